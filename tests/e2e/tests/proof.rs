//! What becomes of a COMMIT whose answer is lost: the client is told the truth, and its session goes on.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use howdah_decision::Outcome;
use howdah_e2e::relay::{Lose, Relay};
use howdah_e2e::{PATIENCE, Running, cluster, connect, value};
use howdah_pgcluster::{Auth, Cluster};
use tokio::task::JoinHandle;
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
        self.sends(client, "COMMIT".to_owned(), key, what, and_block).await
    }

    /// A client that inserts a row by itself, by a simple query or with a prepared statement; `more` is the rest of it.
    async fn insert(
        &self,
        prepared: bool,
        key: i32,
        more: &str,
        what: Lose,
        and_block: bool,
    ) -> Commit {
        let client = connect(self.proxy.port, "postgres").await;
        if !prepared {
            let sql = format!("INSERT INTO ledger VALUES ({key}) {more}");
            return self.sends(client, sql, key, what, and_block).await;
        }
        let insert = client.prepare(&format!("INSERT INTO ledger VALUES ($1) {more}")).await;
        let insert = insert.unwrap();
        self.relay.lose(what, and_block);
        let commit = tokio::spawn(async move {
            let result = client.execute(&insert, &[&key]).await;
            (client, result.map(|_| ()))
        });
        self.lost(key, commit).await
    }

    async fn sends(
        &self,
        client: Client,
        sql: String,
        key: i32,
        what: Lose,
        and_block: bool,
    ) -> Commit {
        self.relay.lose(what, and_block);
        let commit = tokio::spawn(async move {
            let result = client.batch_execute(&sql).await;
            (client, result)
        });
        self.lost(key, commit).await
    }

    async fn lost(
        &self,
        key: i32,
        commit: JoinHandle<(Client, Result<(), tokio_postgres::Error>)>,
    ) -> Commit {
        let give_up = Instant::now() + PATIENCE;
        while !self.relay.has_lost() {
            assert!(Instant::now() < give_up, "no COMMIT has come");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Commit { key, commit }
    }

    /// The server of a transaction notices that nobody is there any more.
    fn let_go(&self) {
        let open = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'";
        howdah_e2e::wait("an open transaction", || {
            self.cluster.primary().value("postgres", open).unwrap() == "1"
        });
        self.relay.let_go();
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
    commit: JoinHandle<(Client, Result<(), tokio_postgres::Error>)>,
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
    stage.let_go();
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
        stage.cluster.replicas()[0].promote().unwrap();
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

#[tokio::test]
async fn a_write_by_itself_is_proven_and_sent_again() {
    by_itself(false).await;
}

#[tokio::test]
async fn a_prepared_write_by_itself_is_proven_and_sent_again() {
    by_itself(true).await;
}

async fn by_itself(prepared: bool) {
    let mut stage = Stage::with(0, "", "prove_autocommit = true").await;
    let told = stage.insert(prepared, 1, "", Lose::Answer, false).await.told().await;
    assert_eq!(told, COMMITTED);
    assert_eq!(stage.proven(Outcome::Committed), 1);
    let insert = stage.insert(prepared, 2, "", Lose::Commit, false).await;
    stage.let_go();
    assert_eq!(insert.told().await, COMMITTED);
    assert_eq!(stage.proven(Outcome::NotCommitted), 1);
    // The client has got its row: nothing is sent again.
    let insert = stage.insert(prepared, 3, "RETURNING key", Lose::Commit, false).await;
    stage.let_go();
    assert_eq!(insert.told().await, refused("40001", false));
    for (key, what) in [(4, Lose::Answer), (5, Lose::Commit)] {
        let insert = stage.insert(prepared, key, "", what, true).await;
        stage.crash();
        assert_eq!(insert.told().await, COMMITTED, "{what:?}");
    }
    assert_eq!(stage.proven(Outcome::Committed), 2);
    assert_eq!(stage.proven(Outcome::NotCommitted), 3);
    assert_eq!(stage.proven(Outcome::Unknown), 0);
}

#[tokio::test]
async fn a_write_by_itself_fails_as_it_would_without_a_transaction() {
    let rule = "CREATE TABLE kept (key int UNIQUE DEFERRABLE INITIALLY DEFERRED)";
    let stage = Stage::with(0, rule, "prove_autocommit = true").await;
    let client = connect(stage.proxy.port, "postgres").await;
    let state = |error: tokio_postgres::Error| error.code().unwrap().code().to_owned();
    for (sql, expected) in [
        ("INSERT INTO kept VALUES (1), (1)", "23505"),
        ("INSERT INTO ledger VALUES (1), (1)", "23505"),
        ("INSERT INTO nowhere VALUES (1)", "42P01"),
    ] {
        assert_eq!(state(client.batch_execute(sql).await.unwrap_err()), expected, "{sql}");
        assert_eq!(state(client.execute(sql, &[]).await.unwrap_err()), expected, "{sql}");
    }
    client.batch_execute("INSERT INTO kept VALUES (1)").await.unwrap();
    assert_eq!(client.execute("UPDATE kept SET key = 2", &[]).await.unwrap(), 1);
    assert_eq!(value(&client, "SELECT sum(key) FROM kept").await, "2");
    client.batch_execute("VACUUM kept").await.unwrap();
}

/// What clients have been told of the rows that they have inserted.
#[derive(Default)]
struct Ledger {
    committed: Vec<i32>,
    refused: Vec<i32>,
    unknown: Vec<i32>,
}

/// Inserts rows, each in a transaction, with one session and whatever comes between.
async fn keep_inserting(
    client: Client,
    first: i32,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
) -> Ledger {
    let mut ledger = Ledger::default();
    for key in first.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let insert = format!("INSERT INTO ledger VALUES ({key})");
        let mut state = None;
        for sql in ["BEGIN", &insert, "COMMIT"] {
            if let Err(error) = client.batch_execute(sql).await {
                state = Some(error.code().expect("the session has ended").code().to_owned());
                break;
            }
        }
        let told = match state.as_deref() {
            None => &mut ledger.committed,
            Some("08007") => &mut ledger.unknown,
            Some(_) => &mut ledger.refused,
        };
        told.push(key);
        if state.is_some() {
            client.batch_execute("ROLLBACK").await.unwrap();
        }
        done.fetch_add(1, Ordering::Relaxed);
    }
    ledger
}

async fn more_rows(done: &AtomicUsize) {
    let enough = done.load(Ordering::Relaxed) + 300;
    let give_up = Instant::now() + 3 * PATIENCE;
    while done.load(Ordering::Relaxed) < enough {
        assert!(Instant::now() < give_up, "waited in vain for more rows");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Nobody is told what is not so: the primary dies under load, and comes back or is replaced.
#[tokio::test]
async fn the_ledger_agrees_when_the_primary_dies_under_load() {
    for promotes in [false, true] {
        let mut cluster = cluster(1, Auth::Trust);
        let primary = cluster.primary();
        primary.query("postgres", "CREATE TABLE ledger (key int)").unwrap();
        // What is acknowledged is on the replica too.
        let wait_for_it = "ALTER SYSTEM SET synchronous_standby_names = '*'";
        primary.query("postgres", wait_for_it).unwrap();
        primary.query("postgres", "SELECT pg_reload_conf()").unwrap();
        cluster.wait_replayed().unwrap();
        let proxy = Running::start(&cluster.nodes(), "");
        proxy.wait_up(2).wait_split().await;
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut clients = Vec::new();
        for number in 0..16 {
            let client = connect(proxy.port, "postgres").await;
            let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
            clients.push(tokio::spawn(keep_inserting(client, number * 1_000_000, stop, done)));
        }
        for _ in 0..if promotes { 1 } else { 4 } {
            more_rows(&done).await;
            // Beside the clients, which go on meanwhile.
            let dies = move || {
                cluster.primary_mut().kill();
                match promotes {
                    true => {
                        let replica = &cluster.replicas()[0];
                        let alone = "ALTER SYSTEM SET synchronous_standby_names = ''";
                        replica.query("postgres", alone).unwrap();
                        replica.promote().unwrap();
                    }
                    false => cluster.primary_mut().start().unwrap(),
                }
                cluster
            };
            cluster = tokio::task::spawn_blocking(dies).await.unwrap();
        }
        more_rows(&done).await;
        stop.store(true, Ordering::Relaxed);
        let survivor = if promotes { &cluster.replicas()[0] } else { cluster.primary() };
        let mut unknown = 0;
        for client in clients {
            let ledger = client.await.unwrap();
            let there = |keys: &[i32], times: &str| {
                let keys = keys.iter().map(|key| format!("({key})")).collect::<Vec<_>>().join(",");
                let sql = format!(
                    "SELECT count(*) FROM (VALUES {keys}) AS k (key) WHERE \
                        (SELECT count(*) FROM ledger WHERE ledger.key = k.key) {times}"
                );
                if keys.is_empty() { "0".into() } else { survivor.value("postgres", &sql).unwrap() }
            };
            assert_eq!(there(&ledger.committed, "<> 1"), "0", "a row is lost or doubled");
            assert_eq!(there(&ledger.refused, "<> 0"), "0", "a row is there that was refused");
            assert_eq!(there(&ledger.unknown, "> 1"), "0", "a row is doubled");
            unknown += ledger.unknown.len();
        }
        let proven = [Outcome::Committed, Outcome::NotCommitted, Outcome::Unknown]
            .map(|outcome| proxy.proxy().shared.proven(outcome));
        eprintln!(
            "{} transactions; proven committed, not committed, unknown: {proven:?}; told unknown: {unknown}",
            done.load(Ordering::Relaxed)
        );
    }
}
