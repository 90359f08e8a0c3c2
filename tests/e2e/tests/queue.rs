//! Sessions that wait for a server: whose turn it is and how long they wait, as a policy said when they came.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use howdah_e2e::{PATIENCE, Running, cluster, policy, try_connect, try_value, value};
use howdah_pgcluster::Auth;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Error};

/// A client with this name, which says how it waits: its priority, and milliseconds.
async fn client(proxy: &Running, name: &str) -> Client {
    let port = proxy.port;
    let dsn =
        format!("host=127.0.0.1 port={port} user=postgres dbname=postgres application_name={name}");
    try_connect(&dsn).await.unwrap()
}

/// Waits until so many clients wait for a server.
async fn until_waiting(proxy: &Running, clients: usize) {
    let give_up = Instant::now() + PATIENCE;
    while proxy.proxy().shared.waiting() != clients {
        assert!(Instant::now() < give_up, "{clients} clients do not wait");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Notes in a table that it was this client's turn.
fn noting(client: Client, name: &'static str) -> JoinHandle<Result<String, Error>> {
    let sql = format!("INSERT INTO served (name) VALUES ('{name}')");
    tokio::spawn(async move { try_value(&client, &sql).await })
}

#[tokio::test]
async fn priority_goes_before_time_and_patience_is_the_sessions_own() {
    let cluster = cluster(0, Auth::Trust);
    let chain = format!(
        "[pool]\nsize = 1\nwait_timeout = \"100ms\"\n\
         [[policy]]\nname = \"patience\"\npath = {:?}\nlimits.time = \"1s\"\n\
         grants = [\"metrics\", \"kv\", \"clock\", \"random\", \"nodes\", \"catalog\"]\n\
         [policy.settings]\nhook = \"session\"\nmode = \"patience\"\n",
        policy("hostile")
    );
    let proxy = Running::start(&cluster.nodes(), &chain);
    proxy.wait_up(1);
    // All come while there is a server for each in turn.
    let holder = client(&proxy, "0/600000").await;
    let background = client(&proxy, "-1/600000").await;
    let low = client(&proxy, "0/600000").await;
    let high = client(&proxy, "5/600000").await;
    let hasty = client(&proxy, "5/300").await;
    let ordinary = client(&proxy, "none").await;
    holder.batch_execute("CREATE TABLE served (n serial, name text)").await.unwrap();
    holder.batch_execute("BEGIN").await.unwrap();
    let mut served = Vec::new();
    for (waiting, (client, name)) in
        [(background, "background"), (low, "low")].into_iter().enumerate()
    {
        served.push(noting(client, name));
        until_waiting(&proxy, waiting + 1).await;
    }
    // Who waits less than the others is told so, and the others go on waiting: longer than the pool would let them.
    for (client, waited) in [(&hasty, "300 ms"), (&ordinary, "100 ms")] {
        let error = try_value(client, "SELECT 1").await.unwrap_err();
        let error = error.as_db_error().unwrap();
        assert_eq!(error.code().code(), "53300", "{error}");
        assert_eq!(error.message(), "no server connection came free in time");
        assert!(error.detail().unwrap().contains(waited), "{error:?}");
        assert_eq!(proxy.proxy().shared.waiting(), 2);
    }
    served.push(noting(high, "high"));
    until_waiting(&proxy, 3).await;
    holder.batch_execute("COMMIT").await.unwrap();
    for one in served {
        one.await.unwrap().unwrap();
    }
    let order = "SELECT string_agg(name, ' ' ORDER BY n) FROM served";
    assert_eq!(value(&hasty, order).await, "high low background");
    assert_eq!(value(&ordinary, "SELECT 1").await, "1");
}
