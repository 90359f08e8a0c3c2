//! Policies and configurations are replaced while queries run, and no query fails.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use howdah_e2e::{Running, cluster, connect, finished, on_replica, pgbench, policy, shared, wait};
use howdah_pgcluster::Auth;
use howdah_policy::sha256;

#[tokio::test]
async fn a_swap_under_pgbench_changes_routing_and_fails_nothing() {
    let cluster = cluster(2, Auth::Trust);
    let (split, primary_only) = (policy("read-write-split"), policy("user-to-replica"));
    let chain = "[[policy]]\nname = \"router\"\npath = \"@DIR@/router.wasm\"\n";
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("router.wasm");
    std::fs::copy(&split, &file).unwrap();
    let text = format!(
        "listen = [\"127.0.0.1:0\"]\nworkers = 2\n{}[cluster.main]\nnodes = {:?}\n",
        chain.replace("@DIR@", &directory.path().display().to_string()),
        cluster.nodes()
    );
    let proxy = Running::with_file(directory, &text);
    proxy.wait_split().await;
    finished(pgbench(cluster.primary().port, &["-i", "-s", "2", "-q"]));
    cluster.wait_replayed().unwrap();
    let load = pgbench(proxy.port, &["-M", "prepared", "-c", "32", "-j", "2", "-T", "6"]);
    let client = connect(proxy.port, "postgres").await;
    for (component, replica) in [(&primary_only, false), (&split, true), (&primary_only, false)] {
        // Written in place, in two steps, as a careless copy would: half a file must not be taken for a policy.
        let bytes = std::fs::read(component).unwrap();
        let (first, second) = bytes.split_at(bytes.len() / 2);
        std::fs::write(&file, first).unwrap();
        std::fs::write(&file, [first, second].concat()).unwrap();
        let complete = Instant::now();
        while on_replica(&client).await != replica {
            assert!(complete.elapsed() < Duration::from_secs(20), "the swap had no effect");
        }
    }
    // Garbage changes nothing.
    let generation = proxy.proxy().shared.registry.generation();
    std::fs::write(&file, b"\0asm garbage").unwrap();
    assert!(!on_replica(&client).await);
    let text = finished(load);
    assert!(text.contains("number of failed transactions: 0"), "{text}");
    assert_eq!(proxy.proxy().shared.registry.generation(), generation);
    let sums = "SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(delta) FROM pgbench_history) \
        AND (SELECT sum(tbalance) FROM pgbench_tellers) = (SELECT sum(delta) FROM pgbench_history) \
        AND (SELECT sum(bbalance) FROM pgbench_branches) = (SELECT sum(delta) FROM pgbench_history)";
    assert_eq!(cluster.primary().value("postgres", sums).unwrap(), "t");
}

/// The whole of what an operator does: a new file comes in as a canary under load, does well, is promoted, and is
/// rolled back by a command.
#[tokio::test]
async fn a_canary_comes_and_goes_under_pgbench_and_fails_nothing() {
    let cluster = cluster(2, Auth::Trust);
    let (split, primary_only) = (policy("read-write-split"), policy("user-to-replica"));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("router.wasm");
    std::fs::copy(&split, &file).unwrap();
    let place = directory.path().display().to_string();
    let text = format!(
        "listen = [\"127.0.0.1:0\"]\nworkers = 2\ncontrol = \"{place}/control\"\n\
         [[policy]]\nname = \"router\"\npath = \"{place}/router.wasm\"\nmode = \"canary\"\n\
         canary = {{ share = 50, promote_after = \"1s\", max_disagreement = 100, max_latency = \"1s\" }}\n\
         limits.time = \"1s\"\n\
         [cluster.main]\nnodes = {:?}\n",
        cluster.nodes()
    );
    let proxy = Running::with_file(directory, &text);
    proxy.wait_split().await;
    finished(pgbench(cluster.primary().port, &["-i", "-s", "2", "-q"]));
    cluster.wait_replayed().unwrap();
    let load = pgbench(proxy.port, &["-M", "prepared", "-c", "16", "-j", "2", "-T", "8"]);
    let registry = &proxy.proxy().shared.registry;
    let client = connect(proxy.port, "postgres").await;
    std::fs::copy(&primary_only, proxy.directory.path().join("new")).unwrap();
    std::fs::rename(proxy.directory.path().join("new"), &file).unwrap();
    let promoted = sha256(&std::fs::read(&primary_only).unwrap());
    wait("the canary to be promoted", || registry.status()[0].sha256 == promoted);
    assert!(!on_replica(&client).await);
    assert_eq!(order(&proxy, "rollback"), "router was rolled back\n");
    assert_eq!(registry.status()[0].sha256, sha256(&std::fs::read(&split).unwrap()));
    assert!(on_replica(&client).await, "a session obeys what is in force");
    let text = finished(load);
    assert!(text.contains("number of failed transactions: 0"), "{text}");
    assert_eq!(registry.status()[0].failures, 0);
}

/// What `howdah policy ORDER router` prints.
fn order(proxy: &Running, order: &str) -> String {
    let actions = howdah::cli::Actions {
        run: |_, _| anyhow::bail!("nothing is to run"),
        demo: |_| anyhow::bail!("nothing is to be shown"),
    };
    let file = proxy.directory.path().join("howdah.toml");
    let typed = ["howdah", "policy", order, "router", "--config", file.to_str().unwrap()];
    let mut out = Vec::new();
    howdah::cli::execute_from(typed, &actions, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[tokio::test]
async fn a_changed_configuration_is_taken_over_and_a_broken_one_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let text = |limit: u32| {
        format!(
            "listen = [\"127.0.0.1:0\"]\nworkers = 1\n[limits]\nmax_clients = {limit}\n[cluster.main]\nnodes = {:?}\n",
            shared().nodes()
        )
    };
    let proxy = Running::with_file(directory, &text(7));
    let file = proxy.directory.path().join("howdah.toml");
    let source = howdah::config::Source::of(howdah::config::Origin::File(file.clone()));
    let limit = || proxy.proxy().shared.config.load().limits.max_clients;
    std::fs::write(&file, text(9)).unwrap();
    howdah::reload::reload(proxy.proxy(), &source);
    assert_eq!(limit(), 9);
    std::fs::write(&file, text(11).replace("max_clients", "max_client")).unwrap();
    howdah::reload::reload(proxy.proxy(), &source);
    assert_eq!(limit(), 9);
}

#[tokio::test]
async fn service_begins_with_nodes_missing_and_goes_on_when_one_goes() {
    let mut cluster = cluster(2, Auth::Trust);
    let mut nodes = cluster.nodes();
    // Nobody listens on port 1.
    nodes.push("127.0.0.1:1".into());
    let proxy = Running::start(&nodes, "");
    proxy.wait_up(3).wait_split().await;
    let client = connect(proxy.port, "postgres").await;
    cluster.replicas_mut()[0].kill();
    for _ in 0..20 {
        assert!(on_replica(&client).await, "the other replica answers");
    }
    let gone = cluster.replicas()[0].address();
    wait("the dead node to be known as such", || {
        let snapshot = proxy.proxy().shared.monitor.snapshot();
        snapshot.named(&gone).is_none()
    });
    client.batch_execute("CREATE TABLE swap_a (a int)").await.unwrap();
    cluster.replicas_mut()[0].start().unwrap();
    proxy.wait_up(3);
}
