//! Transactions that outlive their server (`replay_transactions`): the client sees a wait, or 40001.
#![allow(clippy::unwrap_used)]

use howdah_e2e::relay::{Lose, Relay};
use howdah_e2e::{Running, cluster, connect, value};
use howdah_pgcluster::{Auth, Cluster};
use tokio_postgres::Client;

const ON: &str = "replay_transactions = true";

/// A cluster of which the proxy has been told to run transactions again.
struct Stage {
    cluster: Cluster,
    proxy: Running,
}

impl Stage {
    async fn new(replicas: usize) -> Stage {
        let cluster = cluster(replicas, Auth::Trust);
        let tables = "CREATE TABLE ledger (key int PRIMARY KEY); \
            CREATE TABLE account (owner int, balance int); INSERT INTO account VALUES (1, 10), (2, 10)";
        cluster.primary().query("postgres", tables).unwrap();
        cluster.wait_replayed().unwrap();
        let proxy = Running::start_with(&cluster.nodes(), "", ON);
        proxy.wait_up(replicas + 1);
        drop(connect(proxy.port, "postgres").await);
        Stage { cluster, proxy }
    }

    /// A transaction that has read and written, by simple queries or with prepared statements.
    async fn transaction(&self, prepared: bool, key: i32) -> Client {
        let client = connect(self.proxy.port, "postgres").await;
        let insert = client.prepare("INSERT INTO ledger VALUES ($1)").await.unwrap();
        let inserts = async || match prepared {
            true => client.execute(&insert, &[&key]).await.map(|_| ()),
            false => client.batch_execute(&format!("INSERT INTO ledger VALUES ({key})")).await,
        };
        for sql in ["BEGIN", "SET LOCAL application_name = 'mine'"] {
            client.batch_execute(sql).await.unwrap();
        }
        inserts().await.unwrap();
        client.batch_execute("SAVEPOINT here").await.unwrap();
        assert_eq!(state(inserts().await), "23505");
        client.batch_execute("ROLLBACK TO here").await.unwrap();
        if prepared {
            let read = "SELECT balance FROM account WHERE owner = $1";
            let row = client.query_one(read, &[&key]).await.unwrap();
            assert_eq!(row.get::<_, i32>(0), 10);
        }
        // The driver closes it at once, and not with the next statement of the test.
        drop(insert);
        assert_eq!(balance(&client, key).await, "10");
        client
    }

    /// The primary dies, and comes back or is replaced.
    fn fails(&mut self) {
        self.cluster.primary_mut().kill();
        match self.cluster.replicas().first() {
            Some(replica) => replica.promote().unwrap(),
            None => self.cluster.primary_mut().start().unwrap(),
        }
    }

    fn replayed(&self) -> [u64; 2] {
        [true, false].map(|same| self.proxy.proxy().shared.replayed(same))
    }
}

/// What another transaction changes would be in the way of running this one again.
async fn balance(client: &Client, owner: i32) -> String {
    value(client, &format!("SELECT balance FROM account WHERE owner = {owner}")).await
}

async fn rows(client: &Client, key: i32) -> String {
    value(client, &format!("SELECT count(*) FROM ledger WHERE key = {key}")).await
}

fn state(result: Result<(), tokio_postgres::Error>) -> String {
    result.unwrap_err().code().unwrap().code().to_owned()
}

#[tokio::test]
async fn a_transaction_goes_on_where_its_server_comes_back_or_is_replaced() {
    for replicas in [0, 1] {
        let mut stage = Stage::new(replicas).await;
        let first = stage.transaction(false, 1).await;
        let second = stage.transaction(true, 2).await;
        stage.cluster.wait_replayed().unwrap();
        stage.fails();
        for (key, client) in [(1, &first), (2, &second)] {
            assert_eq!(value(client, "SHOW application_name").await, "mine");
            assert_eq!(rows(client, key).await, "1");
            let pay = "UPDATE account SET balance = balance - 1 WHERE owner = $1";
            assert_eq!(client.execute(pay, &[&key]).await.unwrap(), 1);
            client.batch_execute("COMMIT").await.unwrap();
            assert_ne!(value(client, "SHOW application_name").await, "mine");
        }
        let other = connect(stage.proxy.port, "postgres").await;
        for sql in ["BEGIN", "LOCK ledger"] {
            other.batch_execute(sql).await.unwrap();
        }
        assert_eq!([rows(&other, 1).await, rows(&other, 2).await], ["1", "1"]);
        assert_eq!([balance(&other, 1).await, balance(&other, 2).await], ["9", "9"]);
        other.batch_execute("COMMIT").await.unwrap();
        assert_eq!(stage.replayed(), [2, 0]);
    }
}

#[tokio::test]
async fn what_the_client_has_read_must_still_be_so() {
    let mut stage = Stage::new(0).await;
    let clients = [stage.transaction(false, 1).await, stage.transaction(true, 2).await];
    // They would read 11 now.
    stage.cluster.primary().query("postgres", "UPDATE account SET balance = 11").unwrap();
    stage.fails();
    for (client, key) in clients.iter().zip(1..) {
        let update = "UPDATE account SET balance = 9";
        let result = match key {
            1 => client.batch_execute(update).await,
            _ => client.execute(update, &[]).await.map(|_| ()),
        };
        assert_eq!(state(result), "40001");
        assert_eq!(state(client.batch_execute("SELECT 1").await), "25P02");
        client.batch_execute("ROLLBACK").await.unwrap();
        assert_eq!(rows(client, key).await, "0");
    }
    assert_eq!(stage.replayed(), [0, 2]);
}

#[tokio::test]
async fn what_cannot_be_run_again_is_lost_at_once() {
    let mut stage = Stage::new(0).await;
    let mut clients = Vec::new();
    for statements in [
        &["BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT 1"][..],
        &["BEGIN", "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "SELECT 1"],
        &["BEGIN", "DECLARE c CURSOR FOR SELECT 1"],
        &["BEGIN", "SELECT pg_advisory_xact_lock(1)"],
        &["BEGIN", "NOTIFY somebody"],
        &["BEGIN", "CREATE TEMPORARY TABLE mine ()"],
    ] {
        let client = connect(stage.proxy.port, "postgres").await;
        for sql in statements {
            client.batch_execute(sql).await.unwrap();
        }
        clients.push((client, statements));
    }
    stage.fails();
    for (client, statements) in clients {
        let result = client.batch_execute("SELECT 2").await;
        assert_eq!(state(result), "40001", "{statements:?}");
        client.batch_execute("ROLLBACK").await.unwrap();
    }
    assert_eq!(stage.replayed(), [0, 0]);
}

#[tokio::test]
async fn a_commit_that_did_not_happen_happens_then() {
    let cluster = cluster(0, Auth::Trust);
    cluster.primary().query("postgres", "CREATE TABLE ledger (key int PRIMARY KEY)").unwrap();
    let relay = Relay::start(cluster.primary().port);
    let proxy = Running::start_with(&[format!("127.0.0.1:{}", relay.port)], "", ON);
    proxy.wait_up(1);
    drop(connect(proxy.port, "postgres").await);
    let client = connect(proxy.port, "postgres").await;
    let insert = client.prepare("INSERT INTO ledger VALUES ($1)").await.unwrap();
    for (key, what) in [(1, Lose::Answer), (2, Lose::Commit), (3, Lose::Commit)] {
        client.batch_execute("BEGIN").await.unwrap();
        match key {
            3 => assert_eq!(client.execute(&insert, &[&key]).await.unwrap(), 1),
            _ => {
                let insert = format!("INSERT INTO ledger VALUES ({key})");
                client.batch_execute(&insert).await.unwrap();
            }
        }
        relay.lose(what, false);
        let (committed, ()) = tokio::join!(client.batch_execute("COMMIT"), async {
            while !relay.has_lost() {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            relay.let_go();
        });
        committed.unwrap();
        assert_eq!(rows(&client, key).await, "1");
    }
    let replayed = [true, false].map(|same| proxy.proxy().shared.replayed(same));
    assert_eq!(replayed, [2, 0]);
}
