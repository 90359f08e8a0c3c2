//! What Prometheus is told.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use howdah_e2e::{RawClient, Running, cluster, wait};
use howdah_pgcluster::Auth;

/// Status and body of an answer.
fn get(port: u16, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: howdah\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// The figure of this name, labels included.
fn figure(port: u16, name: &str) -> f64 {
    let (status, body) = get(port, "/metrics");
    assert_eq!(status, 200);
    assert!(body.ends_with("# EOF\n"), "{body}");
    let line = body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in\n{body}")).parse().unwrap()
}

fn free() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn what_becomes_of_a_failover_is_counted() {
    let mut cluster = cluster(1, Auth::Trust);
    let (port, nodes) = (free(), cluster.nodes());
    let metrics = format!("[metrics]\nlisten = \"127.0.0.1:{port}\"\n");
    let proxy = Running::start(&nodes, &metrics);
    proxy.wait_up(2);
    let mut client = RawClient::login(proxy.port);
    client.query("CREATE TABLE kept (n int)");
    client.until_ready();
    let of_node = |name: &str, node: usize, more: &str| {
        let node = &nodes[node];
        figure(port, &format!("{name}{{cluster=\"main\",node=\"{node}\"{more}}}"))
    };
    assert_eq!(figure(port, "howdah_clients"), 1.0);
    assert_eq!(of_node("howdah_node_primary", 0, ""), 1.0);
    assert!(of_node("howdah_batches_total", 0, ",kind=\"other\"") >= 1.0);
    assert_eq!(figure(port, "howdah_failovers_total{cluster=\"main\"}"), 0.0);
    assert_eq!(get(port, "/livez"), (200, "ok\n".into()));
    assert_eq!(get(port, "/readyz"), (200, "ok\n".into()));
    assert_eq!(get(port, "/").0, 404);
    cluster.wait_replayed().unwrap();
    cluster.primary_mut().kill();
    wait("the loss to be noticed", || figure(port, "howdah_writable{cluster=\"main\"}") == 0.0);
    client.query("INSERT INTO kept VALUES (1)");
    wait("the statement to wait", || figure(port, "howdah_held{cluster=\"main\"}") == 1.0);
    cluster.replicas()[0].promote().unwrap();
    let answer = client.until_ready();
    assert!(answer.iter().all(|message| RawClient::error(message).is_none()), "{answer:?}");
    assert_eq!(figure(port, "howdah_failovers_total{cluster=\"main\"}"), 1.0);
    assert_eq!(figure(port, "howdah_holds_total{cluster=\"main\"}"), 1.0);
    assert_eq!(figure(port, "howdah_held{cluster=\"main\"}"), 0.0);
    assert_eq!(of_node("howdah_node_up", 0, ""), 0.0);
    assert_eq!(of_node("howdah_node_primary", 1, ""), 1.0);
    for outcome in ["committed", "not committed", "unknown"] {
        let name = format!("howdah_commits_in_doubt_total{{outcome=\"{outcome}\"}}");
        assert_eq!(figure(port, &name), 0.0);
    }
}

#[test]
fn a_proxy_without_servers_is_alive_and_not_ready() {
    let port = free();
    let metrics = format!("[metrics]\nlisten = \"127.0.0.1:{port}\"\n");
    let _proxy = Running::start(&["127.0.0.1:1".to_owned()], &metrics);
    assert_eq!(get(port, "/livez").0, 200);
    assert_eq!(get(port, "/readyz"), (503, "no node answers\n".into()));
    assert_eq!(figure(port, "howdah_clients"), 0.0);
}
