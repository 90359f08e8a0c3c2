//! A crowd of clients that wait for a primary: what waits is limited, and when there is one, it is not run over.
#![allow(clippy::unwrap_used)]

use howdah_cluster::ClusterId;
use howdah_e2e::{RawClient, Running, wait};
use howdah_pgcluster::{Cluster, Options};
use howdah_wire::backend::tag;

const MAIN: ClusterId = ClusterId(0);

/// A server that logs who comes, and a proxy with a pool of so many connections, for which so many clients may wait.
fn prepared(workers: usize, size: usize, waiting: usize) -> (Cluster, Running) {
    let settings = vec!["log_connections = on".to_owned()];
    let cluster = Cluster::start(&Options { settings, ..Options::default() }).unwrap();
    // The monitor goes to another one.
    cluster.primary().query("postgres", "CREATE DATABASE storm").unwrap();
    let table = "CREATE TABLE served (place serial, client int)";
    cluster.primary().query("storm", table).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let text = format!(
        "listen = [\"127.0.0.1:0\"]\nworkers = {workers}\ncontrol = {:?}\n[limits]\nheld_bytes = \"64KiB\"\n\
         [pool]\nsize = {size}\nmax_waiting = {waiting}\nwait_timeout = \"5min\"\n[cluster.main]\nnodes = {:?}\n",
        directory.path().join("control"),
        cluster.nodes()
    );
    let proxy = Running::with_file(directory, &text);
    proxy.wait_up(1);
    (cluster, proxy)
}

fn crowd(proxy: &Running, clients: usize) -> Vec<RawClient> {
    (0..clients).map(|_| RawClient::login_to(proxy.port, "storm")).collect()
}

/// The SQLSTATE of the answer, if it is an error.
fn told(client: &mut RawClient) -> Option<String> {
    let messages = client.until_ready();
    assert_eq!(messages.last().unwrap().0, tag::READY_FOR_QUERY, "it is still connected");
    messages.iter().find_map(RawClient::error).map(|(sqlstate, _)| sqlstate)
}

/// How often the pool has come to the server.
fn connections(cluster: &Cluster) -> usize {
    let sql = "SELECT count(*) FROM regexp_matches(\
        pg_read_file(current_setting('data_directory') || '.log'), \
        'connection authorized: user=postgres database=storm(?! application_name=howdah monitor)', 'g')";
    cluster.primary().value("postgres", sql).unwrap().parse().unwrap()
}

#[test]
fn a_crowd_that_waits_is_limited_and_does_not_run_over_the_next_primary() {
    const SIZE: usize = 4;
    const CROWD: usize = 300;
    let (mut cluster, proxy) = prepared(2, SIZE, CROWD);
    let mut clients = crowd(&proxy, CROWD);
    let mut late = RawClient::login_to(proxy.port, "storm");
    let before = connections(&cluster);
    assert!(0 < before && before <= SIZE, "{before}");
    cluster.primary_mut().kill();
    let monitor = &proxy.proxy().shared.monitor;
    wait("the loss to be noticed", || monitor.snapshot().primary(MAIN).is_none());
    for client in &mut clients {
        client.query("INSERT INTO served (client) VALUES (0)");
    }
    wait("all to wait", || proxy.held() == CROWD as u64);
    late.query("SELECT 1");
    assert_eq!(told(&mut late), Some("57P03".into()), "too many statements");
    assert_eq!(proxy.held(), CROWD as u64);
    cluster.primary_mut().start().unwrap();
    for client in &mut clients {
        assert_eq!(told(client), None);
    }
    late.query("SELECT 1");
    assert_eq!(told(&mut late), None);
    let new = connections(&cluster) - before;
    assert!(0 < new && new <= SIZE, "{new} connections for {CROWD} clients");
    let served = cluster.primary().value("storm", "SELECT count(*) FROM served").unwrap();
    assert_eq!(served, CROWD.to_string());
}

#[test]
fn who_has_waited_longest_goes_on_first() {
    const CROWD: usize = 30;
    // Those of one worker: between workers a turn is a matter of milliseconds.
    let (mut cluster, proxy) = prepared(1, 1, CROWD);
    let mut clients = crowd(&proxy, CROWD);
    let mut late = RawClient::login_to(proxy.port, "storm");
    cluster.primary_mut().kill();
    let monitor = &proxy.proxy().shared.monitor;
    wait("the loss to be noticed", || monitor.snapshot().primary(MAIN).is_none());
    for (at, client) in clients.iter_mut().enumerate() {
        client.query(&format!("INSERT INTO served (client) VALUES ({at})"));
        wait("one more to wait", || proxy.held() == at as u64 + 1);
    }
    late.query(&format!("SELECT '{}'", "x".repeat(64 << 10)));
    assert_eq!(told(&mut late), Some("57P03".into()), "too many bytes");
    // Whoever wakes up first is served while the others come to the queue: it is held up until they are there.
    monitor.pause(MAIN, true);
    cluster.primary_mut().start().unwrap();
    let mut locking = RawClient::login_to(cluster.primary().port, "storm");
    locking.query("BEGIN; LOCK TABLE served");
    assert_eq!(told(&mut locking), None);
    monitor.pause(MAIN, false);
    wait("all others to queue", || proxy.proxy().shared.waiting() == CROWD - 1);
    locking.query("COMMIT");
    assert_eq!(told(&mut locking), None);
    for client in &mut clients {
        assert_eq!(told(client), None);
    }
    let sql = "SELECT string_agg(client::text, ' ' ORDER BY place) FROM served";
    let served = cluster.primary().value("storm", sql).unwrap();
    let served: Vec<usize> = served.split(' ').map(|at| at.parse().unwrap()).collect();
    assert_eq!(served.len(), CROWD);
    assert!(served[1..].is_sorted(), "{served:?}");
}
