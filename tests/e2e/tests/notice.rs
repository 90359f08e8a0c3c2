//! The loss of a node is noticed, by what it does and by what it leaves undone, and nothing else is taken for it.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use howdah_cluster::{ClusterId, Evidence, NodeId, Snapshot};
use howdah_e2e::{
    RawClient, Running, cluster, connect, on_replica, try_connect, try_value, value, wait,
};
use howdah_pgcluster::{Auth, Cluster};
use howdah_wire::backend::tag;

const MAIN: ClusterId = ClusterId(0);

/// Nodes are asked only when something happens: a test that waits for less than this sees what has been noticed.
const SELDOM: &str = "monitor = { interval = \"10min\", timeout = \"10min\" }";

/// Clients wait for the next primary.
const PATIENT: &str = "control = \"@DIR@/control\"\n[pool]\nwait_timeout = \"60s\"\n";

fn snapshot(proxy: &Running) -> Arc<Snapshot> {
    proxy.proxy().shared.monitor.snapshot()
}

fn primary(proxy: &Running) -> Option<NodeId> {
    snapshot(proxy).primary(MAIN)
}

/// The SQLSTATE that a client got, and the state of its transaction.
fn told(client: &mut RawClient) -> (Option<String>, u8) {
    let messages = client.until_ready();
    let sqlstate = messages.iter().find_map(RawClient::error).map(|(sqlstate, _)| sqlstate);
    assert!(!messages.iter().any(|(kind, _)| *kind == tag::COMMAND_COMPLETE) || sqlstate.is_none());
    let (_, ready) = messages.into_iter().find(|(kind, _)| *kind == tag::READY_FOR_QUERY).unwrap();
    (sqlstate, ready[0])
}

fn run(client: &mut RawClient, sql: &str) -> (Option<String>, u8) {
    client.query(sql);
    told(client)
}

/// What `howdah failovers` prints.
fn failovers(proxy: &Running) -> String {
    proxy.howdah(&["failovers"]).0
}

/// A cluster with a table, and a proxy in front of it.
fn prepared(replicas: usize, keys: &str) -> (Cluster, Running) {
    let cluster = cluster(replicas, Auth::Trust);
    cluster.primary().query("postgres", "CREATE TABLE kept (n int)").unwrap();
    cluster.wait_replayed().unwrap();
    let proxy = Running::start_with(&cluster.nodes(), PATIENT, keys);
    proxy.wait_up(1 + replicas);
    (cluster, proxy)
}

#[tokio::test]
async fn a_killed_primary_is_noticed_at_once_and_nobody_is_dropped() {
    let (mut cluster, proxy) = prepared(1, SELDOM);
    proxy.wait_split().await;
    let reader = connect(proxy.port, "postgres").await;
    let mut idle = RawClient::login(proxy.port);
    let mut open = RawClient::login(proxy.port);
    run(&mut open, "BEGIN");
    run(&mut open, "INSERT INTO kept VALUES (1)");
    cluster.primary_mut().kill();
    wait("the loss to be noticed", || primary(&proxy).is_none());
    assert!(on_replica(&reader).await, "reads go on");
    assert_eq!(run(&mut open, "INSERT INTO kept VALUES (2)"), (Some("40001".into()), b'E'));
    assert_eq!(run(&mut open, "ROLLBACK"), (None, b'I'));
    // It waits for the primary, whoever that is.
    idle.query("INSERT INTO kept VALUES (3)");
    cluster.primary_mut().start().unwrap();
    assert_eq!(told(&mut idle), (None, b'I'));
    assert_eq!(run(&mut open, "INSERT INTO kept VALUES (4)"), (None, b'I'));
    let kept = cluster.primary().value("postgres", "SELECT sum(n) FROM kept").unwrap();
    assert_eq!(kept, "7");
}

#[tokio::test]
async fn a_promoted_replica_takes_the_writes_of_a_killed_primary() {
    let (mut cluster, proxy) = prepared(2, SELDOM);
    proxy.wait_split().await;
    let mut writer = RawClient::login(proxy.port);
    assert_eq!(run(&mut writer, "INSERT INTO kept VALUES (1)"), (None, b'I'));
    cluster.wait_replayed().unwrap();
    wait("the doubt to pass", || failovers(&proxy).starts_with("no primary has changed"));
    cluster.primary_mut().kill();
    writer.query("INSERT INTO kept VALUES (2)");
    cluster.replicas()[0].promote().unwrap();
    let first = told(&mut writer);
    assert!(first == (None, b'I') || first == (Some("08007".into()), b'I'), "{first:?}");
    assert_eq!(run(&mut writer, "INSERT INTO kept VALUES (3)"), (None, b'I'));
    assert_eq!(primary(&proxy), Some(NodeId(1)));
    let seen = cluster.replicas()[0].value("postgres", "SELECT sum(n) FROM kept WHERE n <> 2");
    assert_eq!(seen.unwrap(), "4");
    let failover = proxy.proxy().shared.monitor.failovers(MAIN).remove(0);
    assert_eq!(failover.from, (NodeId(0), 1));
    assert!(matches!(failover.to, Some((NodeId(1), 2, _))), "{failover:?}");
    let (lost, _) = failover.lost.unwrap();
    assert!(failover.doubted <= lost && lost <= failover.to.unwrap().2);
    let [before, after] = [cluster.primary(), &cluster.replicas()[0]].map(|node| node.address());
    let told = failovers(&proxy);
    assert!(told.contains(&format!("the primary was {before}, on timeline 1\n")), "{told}");
    assert!(told.contains(&format!(" ms  the primary is {after}, on timeline 2\n")), "{told}");
    assert!(told.contains("  0 ms  in doubt: ") && told.contains(" ms  lost: "), "{told}");
    // And what clients noticed: the writer has waited, or was told that nobody knows.
    wait("what clients noticed", || {
        let told = failovers(&proxy);
        told.contains("clients: statements that waited: ")
            || told.contains("clients: errors told: ")
    });
    // A session sees the same, from anywhere.
    writer.query("SHOW howdah.failovers");
    let rows = writer.until_ready().into_iter().filter(|(tag, _)| *tag == b'D');
    let rows: Vec<String> = rows.map(|(_, row)| row.escape_ascii().to_string()).collect();
    let [doubt, lost, found] = rows.try_into().unwrap();
    assert!(doubt.contains(&before) && doubt.contains("in doubt: "), "{doubt}");
    assert!(lost.contains(&before) && lost.contains("lost: "), "{lost}");
    assert!(found.contains(&after) && found.contains("is the primary"), "{found}");
    // A replica that has not followed is at no known distance; one that has is read from.
    cluster.replicas()[1].follow(&cluster.replicas()[0]).unwrap();
    wait("the other replica to follow", || {
        proxy.proxy().shared.monitor.want(MAIN);
        let snapshot = snapshot(&proxy);
        let state = snapshot.state(NodeId(2)).unwrap();
        (state.timeline, state.lag_bytes) == (2, Some(0))
    });
}

/// Nothing tells of a server that is frozen but its silence. What it says when it thaws is for nobody.
#[tokio::test]
async fn nothing_of_a_frozen_primary_is_acknowledged_after_a_promotion() {
    // However seldom nodes are to be asked, silence is noticed in time.
    let keys = "monitor = { interval = \"10min\", timeout = \"1s\" }";
    let (cluster, proxy) = prepared(1, keys);
    let mut committing = RawClient::login(proxy.port);
    let mut writing = RawClient::login(proxy.port);
    let mut open = RawClient::login(proxy.port);
    let mut idle = RawClient::login(proxy.port);
    for client in [&mut committing, &mut open] {
        run(client, "BEGIN");
        run(client, "INSERT INTO kept VALUES (1)");
    }
    // The one who writes gets this connection again; over a new one the statement would not be sent.
    for client in [&mut idle, &mut writing] {
        run(client, "INSERT INTO kept VALUES (5)");
    }
    cluster.wait_replayed().unwrap();
    cluster.primary().freeze();
    committing.query("COMMIT");
    writing.query("INSERT INTO kept VALUES (2)");
    // One who comes now waits for another server, and is let in.
    let dsn = format!("host=127.0.0.1 port={} user=postgres dbname=postgres", proxy.port);
    let late = try_connect(&format!("{dsn} application_name=late")).await.unwrap();
    assert!(on_replica(&late).await);
    wait("the silence to be noticed", || primary(&proxy).is_none());
    assert_eq!(told(&mut committing), (Some("08007".into()), b'I'));
    assert_eq!(told(&mut writing), (Some("08007".into()), b'I'));
    cluster.replicas()[0].promote().unwrap();
    wait("the new primary to be seen", || primary(&proxy) == Some(NodeId(1)));
    cluster.primary().thaw();
    wait("the old one to be refused", || {
        snapshot(&proxy).state(NodeId(0)).unwrap().refused.is_some()
    });
    assert_eq!(run(&mut open, "COMMIT"), (Some("40001".into()), b'I'));
    for client in [&mut committing, &mut writing, &mut open, &mut idle] {
        assert_eq!(run(client, "INSERT INTO kept VALUES (100)"), (None, b'I'));
    }
    assert_eq!(primary(&proxy), Some(NodeId(1)));
    let kept = cluster.replicas()[0].value("postgres", "SELECT sum(n) FROM kept").unwrap();
    assert_eq!(kept, "410");
}

/// A statement that is not answered is a reason to look, also for a successor; nobody else asks anything here.
#[tokio::test]
async fn the_successor_of_a_frozen_primary_is_found_by_who_waits_for_an_answer() {
    let (cluster, proxy) = prepared(1, SELDOM);
    let mut writing = RawClient::login(proxy.port);
    assert_eq!(run(&mut writing, "INSERT INTO kept VALUES (1)"), (None, b'I'));
    cluster.wait_replayed().unwrap();
    cluster.primary().freeze();
    writing.query("INSERT INTO kept VALUES (2)");
    cluster.replicas()[0].promote().unwrap();
    assert_eq!(told(&mut writing), (Some("08007".into()), b'I'));
    assert_eq!(run(&mut writing, "INSERT INTO kept VALUES (3)"), (None, b'I'));
    assert_eq!(primary(&proxy), Some(NodeId(1)));
}

/// A statement that takes long is a reason to look, and the look finds nothing.
#[tokio::test]
async fn a_slow_statement_is_no_dead_node() {
    let (_cluster, proxy) = prepared(0, SELDOM);
    let sampled = || snapshot(&proxy).state(NodeId(0)).unwrap().sampled;
    let mut client = RawClient::login(proxy.port);
    let (before, epoch) = (sampled(), snapshot(&proxy).epoch);
    client.query("SELECT pg_sleep(0.2)");
    wait("the node to be asked", || sampled() > before);
    assert_eq!(told(&mut client), (None, b'I'));
    assert_eq!(snapshot(&proxy).epoch, epoch);
    wait("the doubt to pass", || proxy.proxy().shared.monitor.failovers(MAIN).is_empty());
}

/// The higher timeline is the later promotion. A session in a transaction on the old primary is told that it is over.
#[tokio::test]
async fn of_two_primaries_the_later_one_is_written_to() {
    let (cluster, proxy) = prepared(1, "");
    let mut open = RawClient::login(proxy.port);
    run(&mut open, "BEGIN");
    run(&mut open, "INSERT INTO kept VALUES (1)");
    cluster.replicas()[0].promote().unwrap();
    wait("the new primary to be seen", || primary(&proxy) == Some(NodeId(1)));
    assert_eq!(run(&mut open, "COMMIT"), (Some("40001".into()), b'I'));
    assert_eq!(run(&mut open, "INSERT INTO kept VALUES (2)"), (None, b'I'));
    let kept = |server: &howdah_pgcluster::Server| {
        server.value("postgres", "SELECT sum(n) FROM kept").unwrap()
    };
    assert_eq!(kept(&cluster.replicas()[0]), "2");
    assert_eq!(kept(cluster.primary()), "");
}

#[tokio::test]
async fn a_server_of_another_cluster_is_not_used() {
    let (ours, mut other) = (cluster(1, Auth::Trust), cluster(0, Auth::Trust));
    let mut nodes = ours.nodes();
    nodes.extend(other.nodes());
    other.primary_mut().stop().unwrap();
    let proxy = Running::start(&nodes, PATIENT);
    proxy.wait_up(2);
    other.primary_mut().start().unwrap();
    proxy.wait_up(3);
    assert!(snapshot(&proxy).state(NodeId(2)).unwrap().refused.is_some());
    assert_eq!(primary(&proxy), Some(NodeId(0)));
    proxy.wait_split().await;
    let client = connect(proxy.port, "postgres").await;
    let port = other.primary().port.to_string();
    for _ in 0..8 {
        assert_ne!(value(&client, "SELECT inet_server_port()").await, port);
    }
}

/// A replica is as old as what it has not replayed, whether it does not want to or gets nothing; an idle primary makes none
/// old.
#[tokio::test]
async fn a_replica_that_stops_to_replay_grows_old() {
    let (cluster, proxy) = prepared(1, "");
    let (primary, replica) = (cluster.primary(), &cluster.replicas()[0]);
    let lag = || {
        let state = snapshot(&proxy).state(NodeId(1)).unwrap().clone();
        (state.lag_bytes, state.lag)
    };
    let fresh = || wait("a fresh replica", || lag() == (Some(0), Some(Duration::ZERO)));
    let grows_old = || {
        primary.query("postgres", "INSERT INTO kept VALUES (1)").unwrap();
        let old = Duration::from_millis(300);
        wait("an old replica", || {
            let (bytes, time) = lag();
            bytes.is_some_and(|bytes| bytes > 0) && time.is_some_and(|time| time > old)
        });
    };
    fresh();
    replica.query("postgres", "SELECT pg_wal_replay_pause()").unwrap();
    grows_old();
    replica.query("postgres", "SELECT pg_wal_replay_resume()").unwrap();
    fresh();
    replica.query("postgres", "ALTER SYSTEM SET primary_conninfo = ''").unwrap();
    replica.query("postgres", "SELECT pg_reload_conf()").unwrap();
    wait("the end of streaming", || {
        let sql = "SELECT count(*) FROM pg_stat_wal_receiver";
        replica.value("postgres", sql).unwrap() == "0"
    });
    grows_old();
    replica.follow(primary).unwrap();
    fresh();
}

/// A backend that is terminated is a reason to look, and the look finds nothing.
#[tokio::test]
async fn a_killed_backend_is_no_dead_node() {
    let (cluster, proxy) = prepared(1, SELDOM);
    proxy.wait_split().await;
    let client = connect(proxy.port, "postgres").await;
    client.batch_execute("INSERT INTO kept VALUES (1)").await.unwrap();
    let epoch = snapshot(&proxy).epoch;
    const BACKENDS: &str = "pg_stat_activity \
        WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'";
    for _ in 0..5 {
        let query = |sql: &str| cluster.primary().value("postgres", sql).unwrap();
        let old = query(&format!(
            "SELECT string_agg(pid::text, ','), count(pg_terminate_backend(pid)) FROM {BACKENDS}"
        ));
        let gone = format!("SELECT count(*) FROM pg_stat_activity WHERE pid IN ({old})");
        let back =
            format!("SELECT count(*) FROM {BACKENDS} AND application_name = 'howdah monitor'");
        wait("the monitor to be back", || query(&gone) == "0" && query(&back) != "0");
        client.batch_execute("INSERT INTO kept VALUES (1)").await.unwrap();
    }
    let snapshot = snapshot(&proxy);
    assert_eq!(snapshot.epoch, epoch, "no node was ever down");
    assert_eq!(snapshot.tenure(NodeId(0)), 0);
    wait("the doubt to pass", || proxy.proxy().shared.monitor.failovers(MAIN).is_empty());
}

/// A primary that refuses to write, in the middle of a transaction too, is looked at, and all others with it.
#[tokio::test]
async fn a_primary_that_refuses_to_write_is_looked_at() {
    let (_cluster, proxy) = prepared(1, SELDOM);
    let sampled = || [0, 1].map(|node| snapshot(&proxy).state(NodeId(node)).unwrap().sampled);
    let client = connect(proxy.port, "postgres").await;
    for sql in ["BEGIN; SELECT 1", "SET TRANSACTION READ ONLY"] {
        client.batch_execute(sql).await.unwrap();
    }
    let before = sampled();
    let error = try_value(&client, "INSERT INTO kept VALUES (1)").await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "25006");
    wait("both to be asked", || sampled().iter().zip(&before).all(|(now, then)| now > then));
    assert_eq!(primary(&proxy), Some(NodeId(0)));
    client.batch_execute("ROLLBACK").await.unwrap();
    proxy.proxy().shared.monitor.hint(NodeId(0), Evidence::ReadOnly);
    wait("the doubt to pass", || proxy.proxy().shared.monitor.failovers(MAIN).is_empty());
}
