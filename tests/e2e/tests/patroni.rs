//! Patroni looks after three servers; the proxy hears what it says, and believes the servers.
#![allow(clippy::unwrap_used)]

use std::process::Command;
use std::time::Instant;

use howdah_cluster::{ClusterId, NodeId};
use howdah_e2e::{PATIENCE, Running, connect, value};
use howdah_pgcluster::Managed;

const MAIN: ClusterId = ClusterId(0);

/// Longer than [`PATIENCE`]: three servers are made, or a leader's lease must run out.
const LONG: u32 = 4;

fn primary(proxy: &Running) -> Option<NodeId> {
    proxy.proxy().shared.monitor.snapshot().primary(MAIN)
}

async fn until(what: &str, managed: &Managed, condition: impl Fn() -> bool) {
    let give_up = Instant::now() + PATIENCE * LONG;
    while !condition() {
        assert!(Instant::now() < give_up, "waited in vain for {what}\n{}", managed.story());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// Returns when a node has the table: replicas are asynchronous, and whichever is promoted shall not be without.
async fn has_table(node: &str) {
    let port = node.rsplit(':').next().unwrap().parse().unwrap();
    let direct = connect(port, "postgres").await;
    let give_up = Instant::now() + PATIENCE;
    while value(&direct, "SELECT count(*) FROM pg_class WHERE relname = 'kept'").await != "1" {
        assert!(Instant::now() < give_up, "{node} has no table");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// A planned switchover, and then a leader that is killed: every statement of a client is answered, and each row that was
/// acknowledged is there.
#[tokio::test]
async fn switchovers_and_failovers_of_patroni_are_followed() {
    let setup = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.ci/setup");
    assert!(Command::new(setup).arg("patroni").status().unwrap().success());
    let mut managed = Managed::start().unwrap();
    let keys = format!("patroni = {:?}", managed.apis());
    let proxy = Running::start_with(&managed.nodes(), "[pool]\nwait_timeout = \"2min\"\n", &keys);
    let up = || {
        let snapshot = proxy.proxy().shared.monitor.snapshot();
        let replicas = snapshot.states.iter().filter(|state| state.lag_bytes.is_some()).count();
        primary(&proxy).is_some() && replicas == 2
    };
    until("three servers", &managed, up).await;
    let client = connect(proxy.port, "postgres").await;
    client.batch_execute("CREATE TABLE kept (n int)").await.unwrap();
    for node in managed.nodes() {
        has_table(&node).await;
    }
    let mut acknowledged = 0;
    let monitor = &proxy.proxy().shared.monitor;
    let changes = || {
        let failovers = monitor.failovers(MAIN);
        failovers.iter().filter_map(|failover| failover.to).collect::<Vec<_>>()
    };
    for planned in [true, false] {
        let old = primary(&proxy).unwrap();
        let from = usize::from(old.0);
        let before = changes().len();
        if planned {
            managed.switch_over(from, (from + 1) % 3).unwrap();
        } else {
            managed.kill(from);
        }
        // One of them may be under way when its server ends: then its outcome is unknown, and the session goes on.
        loop {
            match client.execute("INSERT INTO kept VALUES (1)", &[]).await {
                Ok(_) => acknowledged += 1,
                Err(error) => {
                    let state = error.code().unwrap_or_else(|| panic!("{error}")).code();
                    assert_eq!(state, "08007", "{error}");
                }
            }
            if primary(&proxy).is_some_and(|new| new != old) {
                break;
            }
        }
        client.batch_execute("INSERT INTO kept VALUES (1)").await.unwrap();
        acknowledged += 1;
        let after = changes();
        assert!(after.len() > before);
        assert_eq!(after.last().map(|to| to.0), primary(&proxy));
        if !planned {
            managed.revive(from).unwrap();
        }
        until("all to follow", &managed, up).await;
    }
    let kept: i64 = client.query_one("SELECT count(*) FROM kept", &[]).await.unwrap().get(0);
    assert!(kept >= acknowledged, "{acknowledged} acknowledged, {kept} kept");
}
