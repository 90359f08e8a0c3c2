//! Sessions see their own writes, wherever they read.
#![allow(clippy::unwrap_used)]

use howdah_e2e::{Running, cluster, connect, on_replica, try_connect, try_value, value};
use howdah_pgcluster::Auth;

const COUNT: &str = "SELECT count(*) FROM seen";

async fn until_on_replica(client: &tokio_postgres::Client) {
    let give_up = std::time::Instant::now() + howdah_e2e::PATIENCE;
    while !on_replica(client).await {
        assert!(std::time::Instant::now() < give_up, "reads do not go to a replica");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// The replica stands still: whoever has written must not read there until it goes on, others may.
#[tokio::test]
async fn a_session_that_has_written_reads_where_that_has_arrived() {
    let cluster = cluster(1, Auth::Trust);
    cluster.primary().query("postgres", "CREATE TABLE seen (n int)").unwrap();
    cluster.wait_replayed().unwrap();
    for (more, sees) in [("", true), ("causal_reads = false", false)] {
        let proxy = Running::start_with(&cluster.nodes(), "", more);
        proxy.wait_up(2).wait_split().await;
        cluster.primary().query("postgres", "TRUNCATE seen").unwrap();
        cluster.wait_replayed().unwrap();
        let (writer, reader) =
            (connect(proxy.port, "postgres").await, connect(proxy.port, "postgres").await);
        until_on_replica(&reader).await;
        until_on_replica(&writer).await;
        cluster.replicas()[0].query("postgres", "SELECT pg_wal_replay_pause()").unwrap();
        for written in 1..=3 {
            writer.batch_execute(&format!("INSERT INTO seen VALUES ({written})")).await.unwrap();
            let seen: usize = value(&writer, COUNT).await.parse().unwrap();
            assert_eq!(seen, if sees { written } else { 0 });
            assert_eq!(on_replica(&writer).await, !sees);
            assert!(on_replica(&reader).await);
            assert_eq!(value(&reader, COUNT).await, "0");
        }
        cluster.replicas()[0].query("postgres", "SELECT pg_wal_replay_resume()").unwrap();
        cluster.wait_replayed().unwrap();
        until_on_replica(&writer).await;
        assert_eq!(value(&writer, COUNT).await, "3");
    }
}

/// Writes of every kind, each read at once, with replicas that follow as fast as they can.
#[tokio::test]
async fn every_kind_of_write_is_seen() {
    let cluster = cluster(2, Auth::Trust);
    let prepare = "CREATE TABLE seen (n int); \
        CREATE FUNCTION add() RETURNS int LANGUAGE sql AS 'INSERT INTO seen VALUES (1) RETURNING n'";
    cluster.primary().query("postgres", prepare).unwrap();
    cluster.wait_replayed().unwrap();
    let proxy = Running::start(&cluster.nodes(), "");
    proxy.wait_up(3).wait_split().await;
    let client = connect(proxy.port, "postgres").await;
    let insert = client.prepare("INSERT INTO seen VALUES ($1)").await.unwrap();
    let count = client.prepare("SELECT count(*) FROM seen").await.unwrap();
    let mut written = 0;
    for round in 0..50 {
        match round % 5 {
            0 => client.batch_execute("INSERT INTO seen VALUES (1)").await.unwrap(),
            1 => drop(client.execute(&insert, &[&round]).await.unwrap()),
            2 => client.batch_execute("BEGIN; INSERT INTO seen VALUES (1); COMMIT").await.unwrap(),
            3 => client.batch_execute("SELECT add()").await.unwrap(),
            _ => {
                client.batch_execute("BEGIN").await.unwrap();
                client.batch_execute("INSERT INTO seen VALUES (1)").await.unwrap();
                client.batch_execute("COMMIT").await.unwrap();
            }
        }
        written += 1;
        assert_eq!(value(&client, COUNT).await, written.to_string(), "round {round}");
        let row = client.query_one(&count, &[]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0), written);
    }
    until_on_replica(&client).await;
    assert_eq!(value(&client, COUNT).await, written.to_string());
}

/// One session hands on what it has seen, in either protocol, also where sessions see their own writes only if they ask.
#[tokio::test]
async fn another_session_sees_what_it_was_told_of() {
    let cluster = cluster(1, Auth::Trust);
    cluster.primary().query("postgres", "CREATE TABLE seen (n int)").unwrap();
    cluster.wait_replayed().unwrap();
    for more in ["", "causal_reads = false"] {
        let proxy = Running::start_with(&cluster.nodes(), "", more);
        proxy.wait_up(2).wait_split().await;
        cluster.primary().query("postgres", "TRUNCATE seen").unwrap();
        cluster.wait_replayed().unwrap();
        let (writer, reader) =
            (connect(proxy.port, "postgres").await, connect(proxy.port, "postgres").await);
        until_on_replica(&reader).await;
        cluster.replicas()[0].query("postgres", "SELECT pg_wal_replay_pause()").unwrap();
        writer.batch_execute("INSERT INTO seen VALUES (1)").await.unwrap();
        assert_eq!(value(&reader, COUNT).await, "0");
        let row = writer.query_one("SHOW howdah.causal_token", &[]).await.unwrap();
        assert_eq!(row.columns()[0].name(), "howdah.causal_token");
        let token = value(&writer, "SHOW howdah.causal_token").await;
        assert!(row.get::<_, String>(0) <= token, "it goes on");
        reader.batch_execute(&format!("SET howdah.causal_token = '{token}'")).await.unwrap();
        assert_eq!(value(&reader, COUNT).await, "1");
        assert!(!on_replica(&reader).await);
        let dsn = format!(
            "host=127.0.0.1 port={} user=postgres dbname=postgres options='-c howdah.causal_token={token}'",
            proxy.port
        );
        let late = try_connect(&dsn).await.unwrap();
        assert_eq!(value(&late, COUNT).await, "1");
        cluster.replicas()[0].query("postgres", "SELECT pg_wal_replay_resume()").unwrap();
        until_on_replica(&reader).await;
        assert_eq!(value(&reader, COUNT).await, "1");
        for (sql, state) in [
            ("SET howdah.causal_token = 'nonsense'", "22023"),
            ("SET LOCAL howdah.causal_token = '00000001:0/1'", "0A000"),
            ("RESET howdah.causal_token", "0A000"),
        ] {
            let error = try_value(&reader, sql).await.unwrap_err();
            assert_eq!(error.code().unwrap().code(), state, "{sql}");
        }
    }
}
