//! What becomes of a COMMIT whose answer is lost: the client is told the truth, and its session goes on.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use howdah_decision::Outcome;
use howdah_e2e::relay::{Lose, Relay};
use howdah_e2e::{PATIENCE, Running, cluster, connect, value};
use howdah_pgcluster::{Auth, Cluster};
use tokio_postgres::Client;

/// A cluster whose primary is reached by a relay, and a proxy in front of it.
struct Stage {
    cluster: Cluster,
    relay: Relay,
    proxy: Running,
}

impl Stage {
    async fn with(replicas: usize, prepare: &str, keys: &str) -> Stage {
        let cluster = cluster(replicas, Auth::Trust);
        let prepare = format!("CREATE TABLE ledger (key int PRIMARY KEY); {prepare}");
        cluster.primary().query("postgres", &prepare).unwrap();
        cluster.wait_replayed().unwrap();
        let relay = Relay::start(cluster.primary().port);
        let mut nodes = cluster.nodes();
        nodes[0] = format!("127.0.0.1:{}", relay.port);
        let proxy = Running::start_with(&nodes, "", keys);
        proxy.wait_up(replicas + 1);
        // The catalog is loaded when the first client has been let in.
        drop(connect(proxy.port, "postgres").await);
        Stage { cluster, relay, proxy }
    }

    async fn new(replicas: usize) -> Stage {
        Stage::with(replicas, "", "").await
    }

    /// A client with a row of the ledger in an open transaction, whose COMMIT is on its way and has been lost.
    async fn commit(&self, key: i32, what: Lose, and_block: bool) -> Commit {
        let client = connect(self.proxy.port, "postgres").await;
        client.batch_execute("BEGIN").await.unwrap();
        client.batch_execute(&format!("INSERT INTO ledger VALUES ({key})")).await.unwrap();
        self.relay.lose(what, and_block);
        let commit = tokio::spawn(async move {
            let result = client.batch_execute("COMMIT").await;
            (client, result)
        });
        let give_up = Instant::now() + PATIENCE;
        while !self.relay.has_lost() {
            assert!(Instant::now() < give_up, "no COMMIT has come");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Commit { key, commit }
    }

    /// The primary dies and comes back.
    fn crash(&mut self) {
        self.cluster.primary_mut().kill();
        self.cluster.primary_mut().start().unwrap();
        self.relay.unblock();
    }

    fn proven(&self, outcome: Outcome) -> u64 {
        self.proxy.proxy().shared.proven(outcome)
    }
}

/// A commit in doubt.
struct Commit {
    key: i32,
    commit: tokio::task::JoinHandle<(Client, Result<(), tokio_postgres::Error>)>,
}

impl Commit {
    /// What the client is told, and whether the row is there then; by the same session, which goes on.
    async fn told(self) -> (Option<String>, bool) {
        let (client, result) = self.commit.await.unwrap();
        let state = result.err().map(|error| error.code().unwrap().code().to_owned());
        let there = value(&client, &count(self.key)).await;
        (state, there == "1")
    }
}

/// To the primary: it locks rows.
fn count(key: i32) -> String {
    format!("SELECT count(*) FROM (SELECT FROM ledger WHERE key = {key} FOR UPDATE) AS l")
}

const COMMITTED: (Option<String>, bool) = (None, true);

fn refused(state: &str, there: bool) -> (Option<String>, bool) {
    (Some(state.to_owned()), there)
}

#[tokio::test]
async fn a_server_that_lives_on_is_asked() {
    let stage = Stage::new(0).await;
    assert_eq!(stage.commit(1, Lose::Answer, false).await.told().await, COMMITTED);
    assert_eq!(stage.proven(Outcome::Committed), 1);
    // The transaction is open until its server notices that nobody is there any more.
    let commit = stage.commit(2, Lose::Commit, false).await;
    let give_up = Instant::now() + PATIENCE;
    let open = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'";
    while stage.cluster.primary().value("postgres", open).unwrap() != "1" {
        assert!(Instant::now() < give_up, "the transaction is not open");
    }
    stage.relay.let_go();
    assert_eq!(commit.told().await, refused("40001", false));
    assert_eq!(stage.proven(Outcome::NotCommitted), 1);
}

#[tokio::test]
async fn a_server_that_comes_back_tells_what_it_has_recovered() {
    let mut stage = Stage::new(0).await;
    for (what, told) in [
        (Lose::Answer, COMMITTED),
        (Lose::Commit, refused("40001", false)),
        // It has recovered before.
        (Lose::Answer, COMMITTED),
        (Lose::Commit, refused("40001", false)),
    ]
    .into_iter()
    .enumerate()
    .map(|(key, (what, told))| ((key as i32, what), told))
    {
        let commit = stage.commit(what.0, what.1, true).await;
        stage.crash();
        assert_eq!(commit.told().await, told, "{what:?}");
    }
    assert_eq!(stage.proven(Outcome::Unknown), 0);
}

#[tokio::test]
async fn a_promoted_replica_tells_what_it_has_got() {
    for (arrives, told) in [(true, COMMITTED), (false, refused("40001", false))] {
        let mut stage = Stage::new(1).await;
        let replica = &stage.cluster.replicas()[0];
        if !arrives {
            let stop = "ALTER SYSTEM SET primary_conninfo = ''";
            replica.query("postgres", stop).unwrap();
            replica.query("postgres", "SELECT pg_reload_conf()").unwrap();
            howdah_e2e::wait("the end of streaming", || {
                let receivers = "SELECT count(*) FROM pg_stat_wal_receiver";
                replica.value("postgres", receivers).unwrap() == "0"
            });
        }
        let commit = stage.commit(1, Lose::Answer, true).await;
        if arrives {
            stage.cluster.wait_replayed().unwrap();
        }
        stage.cluster.primary_mut().kill();
        stage.cluster.replicas()[0].query("postgres", "SELECT pg_promote()").unwrap();
        assert_eq!(commit.told().await, told);
        // The id may belong to another transaction by now.
        let client = connect(stage.proxy.port, "postgres").await;
        client.batch_execute("INSERT INTO ledger VALUES (2)").await.unwrap();
    }
}

#[tokio::test]
async fn what_cannot_be_proven_is_unknown() {
    // After a recovery, nothing tells what was only in unlogged tables.
    let mut stage = Stage::with(0, "CREATE UNLOGGED TABLE fleeting (n int)", "").await;
    let commit = stage.commit(1, Lose::Answer, true).await;
    stage.crash();
    assert_eq!(commit.told().await, refused("08007", true));
    assert_eq!(stage.proven(Outcome::Unknown), 1);
    // A server that was shut down and started again has forgotten whether it had recovered in between.
    let mut stage = Stage::new(0).await;
    let commit = stage.commit(1, Lose::Answer, true).await;
    stage.cluster.primary_mut().stop().unwrap();
    stage.cluster.primary_mut().start().unwrap();
    stage.relay.unblock();
    assert_eq!(commit.told().await, refused("08007", true));
    assert_eq!(stage.proven(Outcome::Unknown), 1);
}

#[tokio::test]
async fn nothing_is_asked_where_that_is_not_wanted_or_not_allowed() {
    let revoke = "REVOKE EXECUTE ON FUNCTION pg_current_wal_insert_lsn() FROM PUBLIC";
    for (prepare, keys) in [(revoke, ""), ("", "prove_commits = false")] {
        let stage = Stage::with(0, prepare, keys).await;
        let client = connect(stage.proxy.port, "postgres").await;
        client.batch_execute("BEGIN").await.unwrap();
        client.batch_execute("INSERT INTO ledger VALUES (0)").await.unwrap();
        client.batch_execute("COMMIT").await.unwrap();
        assert_eq!(value(&client, &count(0)).await, "1");
        assert_eq!(stage.commit(1, Lose::Answer, false).await.told().await, refused("08007", true));
        let proven = [Outcome::Unknown, Outcome::Committed, Outcome::NotCommitted];
        assert_eq!(proven.map(|outcome| stage.proven(outcome)), [0; 3]);
    }
}
