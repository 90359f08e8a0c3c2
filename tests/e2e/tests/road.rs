//! Queries travel to the right server, and what belongs together stays together.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use howdah_e2e::http::free_port;
use howdah_e2e::{Running, connect, on_replica, shared, try_value, value};
use howdah_wire::startup;

#[tokio::test]
async fn reads_go_to_replicas_and_writes_to_the_primary() {
    let cluster = shared();
    let proxy = Running::start(&cluster.nodes(), "");
    proxy.wait_up(3).wait_split().await;
    let client = connect(proxy.port, "postgres").await;
    let mut ports = BTreeSet::new();
    for _ in 0..8 {
        ports.insert(value(&client, "SELECT inet_server_port()").await);
    }
    let replicas: BTreeSet<String> =
        cluster.replicas().iter().map(|r| r.port.to_string()).collect();
    assert_eq!(ports, replicas);
    client.batch_execute("CREATE TABLE road_a (a int)").await.unwrap();
    let primary = cluster.primary().port.to_string();
    assert_eq!(
        value(&client, "INSERT INTO road_a VALUES (1) RETURNING inet_server_port()").await,
        primary
    );
    assert_eq!(
        value(&client, "SELECT inet_server_port() FROM pg_class FOR UPDATE LIMIT 1").await,
        primary
    );
    assert_eq!(value(&client, "/* howdah: primary */ SELECT inet_server_port()").await, primary);
    assert_eq!(
        value(
            &client,
            "WITH x AS (DELETE FROM road_a RETURNING 1) SELECT inet_server_port() FROM x"
        )
        .await,
        primary
    );
    client.batch_execute("DROP TABLE road_a").await.unwrap();
}

#[tokio::test]
async fn a_transaction_keeps_its_server() {
    let proxy = Running::start(&shared().nodes(), "");
    proxy.wait_split().await;
    let client = connect(proxy.port, "postgres").await;
    client.batch_execute("BEGIN READ ONLY").await.unwrap();
    let first = value(&client, "SELECT inet_server_port()").await;
    assert_ne!(first, shared().primary().port.to_string());
    for _ in 0..5 {
        assert_eq!(value(&client, "SELECT inet_server_port()").await, first);
    }
    client.batch_execute("COMMIT").await.unwrap();
    client.batch_execute("BEGIN").await.unwrap();
    for _ in 0..5 {
        assert!(!on_replica(&client).await);
    }
    client.batch_execute("COMMIT").await.unwrap();
}

/// A function that says it is stable, and writes: the replica refuses it, and nobody notices.
#[tokio::test]
async fn a_read_that_writes_after_all_is_moved_to_the_primary() {
    let cluster = shared();
    let direct = connect(cluster.primary().port, "postgres").await;
    direct
        .batch_execute(
            "CREATE TABLE road_liar (a int); CREATE FUNCTION road_lie() RETURNS int LANGUAGE plpgsql STABLE AS \
             'BEGIN EXECUTE ''INSERT INTO road_liar VALUES (1)''; RETURN inet_server_port(); END'",
        )
        .await
        .unwrap();
    cluster.wait_replayed().unwrap();
    let proxy = Running::start(&cluster.nodes(), "");
    proxy.wait_up(3).wait_split().await;
    let client = connect(proxy.port, "postgres").await;
    let primary = i32::from(cluster.primary().port);
    // Twice: the second time the statement is known. A volatile function may write in a stable one only by EXECUTE.
    for _ in 0..2 {
        let said = try_value(&client, "/* howdah: replica */ SELECT nextval('road_seq')").await;
        assert!(said.is_err(), "there is no such sequence");
        assert!(on_replica(&client).await);
    }
    direct.batch_execute("CREATE SEQUENCE road_seq").await.unwrap();
    cluster.wait_replayed().unwrap();
    for expected in 1..4 {
        let sql = "/* howdah: replica */ SELECT nextval('road_seq')";
        assert_eq!(value(&client, sql).await, expected.to_string());
    }
    let row = client
        .query_one("/* howdah: replica */ SELECT nextval('road_seq'), inet_server_port()", &[])
        .await;
    assert_eq!(row.unwrap().get::<_, i32>(1), primary);
    direct
        .batch_execute("DROP FUNCTION road_lie; DROP TABLE road_liar; DROP SEQUENCE road_seq")
        .await
        .unwrap();
}

#[tokio::test]
async fn prepared_statements_follow_their_client() {
    let cluster = shared();
    let proxy = Running::start(&cluster.nodes(), "");
    proxy.wait_up(3).wait_split().await;
    let client = connect(proxy.port, "postgres").await;
    let statement = client.prepare("SELECT inet_server_port(), $1::int + 1").await.unwrap();
    let mut ports = BTreeSet::new();
    for i in 0..10 {
        let row = client.query_one(&statement, &[&i]).await.unwrap();
        assert_eq!(row.get::<_, i32>(1), i + 1);
        ports.insert(row.get::<_, i32>(0));
    }
    assert_eq!(ports.len(), 2, "both replicas have prepared it");
    client.batch_execute("BEGIN").await.unwrap();
    let row = client.query_one(&statement, &[&1]).await.unwrap();
    assert_eq!(row.get::<_, i32>(0), i32::from(cluster.primary().port));
    client.batch_execute("COMMIT").await.unwrap();
    let wrong = client.prepare("SELECT there_is_no_such_column").await.unwrap_err();
    assert_eq!(wrong.code().unwrap().code(), "42703");
    assert_eq!(client.query_one(&statement, &[&5]).await.unwrap().get::<_, i32>(1), 6);
}

#[tokio::test]
async fn settings_belong_to_their_client() {
    let proxy = Running::start(&shared().nodes(), "[pool]\nsize = 1\n");
    proxy.wait_split().await;
    let a = connect(proxy.port, "postgres").await;
    let b = connect(proxy.port, "postgres").await;
    a.batch_execute("SET work_mem TO '7MB'").await.unwrap();
    b.batch_execute("SET search_path TO pg_catalog").await.unwrap();
    for _ in 0..4 {
        assert_eq!(value(&a, "SHOW work_mem").await, "7MB");
        assert_ne!(value(&b, "SHOW work_mem").await, "7MB");
        assert_eq!(value(&b, "SHOW search_path").await, "pg_catalog");
        assert_ne!(value(&a, "SHOW search_path").await, "pg_catalog");
    }
    a.batch_execute("RESET work_mem").await.unwrap();
    assert_ne!(value(&a, "SHOW work_mem").await, "7MB");
}

#[tokio::test]
async fn what_cannot_follow_stays_and_goes_with_its_client() {
    let proxy = Running::start(&shared().nodes(), "");
    proxy.wait_split().await;
    let a = connect(proxy.port, "postgres").await;
    a.batch_execute("CREATE TEMP TABLE road_temp AS SELECT 1 AS a").await.unwrap();
    for _ in 0..4 {
        assert_eq!(value(&a, "SELECT a FROM road_temp").await, "1");
    }
    drop(a);
    let b = connect(proxy.port, "postgres").await;
    for _ in 0..4 {
        let sql = "/* howdah: primary */ SELECT a FROM road_temp";
        assert_eq!(try_value(&b, sql).await.unwrap_err().code().unwrap().code(), "42P01");
    }
}

#[tokio::test]
async fn an_abandoned_transaction_is_rolled_back() {
    let cluster = shared();
    let proxy = Running::start(&cluster.nodes(), "[pool]\nsize = 1\n");
    proxy.wait_up(3);
    let a = connect(proxy.port, "postgres").await;
    a.batch_execute("CREATE TABLE road_gone (a int); ").await.unwrap();
    a.batch_execute("BEGIN; INSERT INTO road_gone VALUES (1)").await.unwrap();
    drop(a);
    let b = connect(proxy.port, "postgres").await;
    assert_eq!(value(&b, "/* howdah: primary */ SELECT count(*) FROM road_gone").await, "0");
    b.batch_execute("DROP TABLE road_gone").await.unwrap();
}

#[tokio::test]
async fn a_client_that_waits_too_long_is_told_and_lives_on() {
    let proxy = Running::start(&shared().nodes(), "[pool]\nsize = 1\nwait_timeout = \"100ms\"\n");
    proxy.wait_up(3);
    let (a, b) = (connect(proxy.port, "postgres").await, connect(proxy.port, "postgres").await);
    a.batch_execute("BEGIN").await.unwrap();
    let refused = try_value(&b, "/* howdah: primary */ SELECT 1").await.unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "53300");
    a.batch_execute("COMMIT").await.unwrap();
    assert_eq!(value(&b, "/* howdah: primary */ SELECT 1").await, "1");
}

#[test]
fn a_cancel_request_finds_the_process_of_its_query() {
    let cluster = howdah_e2e::cluster(0, howdah_pgcluster::Auth::Trust);
    let ports = [free_port(), free_port()];
    let peers = ports.map(|port| format!("127.0.0.1:{port}"));
    let start = |listen: &str| {
        let nodes = cluster.nodes();
        let text = format!(
            "listen = [{listen:?}]\npeers = {peers:?}\nworkers = 2\n[cluster.main]\nnodes = {nodes:?}\n"
        );
        Running::with_file(tempfile::tempdir().unwrap(), &text)
    };
    let proxies = [start(&peers[0]), start(&format!("0.0.0.0:{}", ports[1]))];
    for (own, other) in [(0, 1), (1, 0)] {
        proxies[own].wait_up(1);
        let mut client = howdah_e2e::RawClient::login(ports[own]);
        let key = client.key.clone().unwrap();
        client.query("SELECT pg_sleep(30)");
        howdah_e2e::wait("the query to run", || {
            let sql = "SELECT count(*) FROM pg_stat_activity \
                WHERE query = 'SELECT pg_sleep(30)' AND state = 'active'";
            cluster.primary().value("postgres", sql).unwrap() == "1"
        });
        // One for a process that does not exist, and one that claims to have been passed on.
        for pid in [63 << 25, key.0 | 1 << 31, key.0] {
            let mut request = howdah_e2e::RawClient::connect(ports[other]);
            let mut out = bytes::BytesMut::new();
            startup::write_cancel(&mut out, pid, &key.1);
            request.send(&out);
            assert!(request.message().is_none());
        }
        let answer = client.until_ready();
        assert_eq!(howdah_e2e::RawClient::error(&answer[answer.len() - 2]).unwrap().0, "57014");
    }
}

/// A cancel request may come when its session has long given the server to another one.
#[test]
fn a_late_cancel_request_hits_nobody_else() {
    let cluster = howdah_e2e::cluster(0, howdah_pgcluster::Auth::Trust);
    let proxy = Running::start(&cluster.nodes(), "[pool]\nsize = 1\n");
    proxy.wait_up(1);
    let port = proxy.port;
    let mut hasty = howdah_e2e::RawClient::login(port);
    let key = hasty.key.clone().unwrap();
    let over = std::sync::atomic::AtomicBool::new(false);
    let going_on = || !over.load(std::sync::atomic::Ordering::Relaxed);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while going_on() {
                    let mut request = howdah_e2e::RawClient::connect(port);
                    let mut out = bytes::BytesMut::new();
                    startup::write_cancel(&mut out, key.0, &key.1);
                    request.send(&out);
                    request.message();
                }
            });
        }
        let cancelled = scope.spawn(|| {
            let mut cancelled = 0;
            while going_on() {
                hasty.query("SELECT pg_sleep(0.002)");
                cancelled += usize::from(hasty.until_ready().iter().any(|m| m.0 == b'E'));
            }
            cancelled
        });
        let mut other = howdah_e2e::RawClient::login(port);
        for _ in 0..300 {
            other.query("SELECT pg_sleep(0.001)");
            let answer = other.until_ready();
            let error = answer.iter().find_map(howdah_e2e::RawClient::error);
            if error.is_some() {
                over.store(true, std::sync::atomic::Ordering::Relaxed);
            }
            assert_eq!(error, None);
        }
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_ne!(cancelled.join().unwrap(), 0, "no request was in time");
    });
}

#[tokio::test]
async fn a_cancel_request_reaches_its_query_and_no_other() {
    let cluster = shared();
    let proxy = Running::start(&cluster.nodes(), "");
    proxy.wait_up(3);
    let port = proxy.port;
    let other = connect(port, "postgres").await;
    let sleeper = std::thread::spawn(move || {
        let mut client = howdah_e2e::RawClient::login(port);
        let key = client.key.clone().unwrap();
        client.query("SELECT pg_sleep(30)");
        howdah_e2e::wait("the query to run", || {
            let sql = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(30)' AND state = 'active'";
            shared().primary().value("postgres", sql).unwrap() == "1"
        });
        // A wrong key does nothing.
        for key in [(key.0, vec![0; 4]), key] {
            let mut request = howdah_e2e::RawClient::connect(port);
            let mut out = bytes::BytesMut::new();
            startup::write_cancel(&mut out, key.0, &key.1);
            request.send(&out);
            assert!(request.message().is_none());
        }
        let answer = client.until_ready();
        assert_eq!(howdah_e2e::RawClient::error(&answer[answer.len() - 2]).unwrap().0, "57014");
        client.query("SELECT 1");
        assert_eq!(client.until_ready().len(), 4);
    });
    assert_eq!(value(&other, "SELECT 2").await, "2");
    tokio::task::spawn_blocking(move || sleeper.join().unwrap()).await.unwrap();
}
