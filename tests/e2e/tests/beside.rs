//! What policies are told and asked beside the questions, with real servers: what has become of statements, what shall
//! become of those that failed, what is bound to parameters.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use howdah_e2e::{Running, connect, policy, shared, try_value, value, wait};
use howdah_policy::PolicyStatus;

/// A proxy with a single worker, so that there is one instance of the policy that sees everything.
fn running(hook: &str, mode: &str) -> Running {
    let directory = tempfile::tempdir().unwrap();
    let text = format!(
        "listen = [\"127.0.0.1:0\"]\nworkers = 1\n[[policy]]\nname = \"bad\"\npath = {:?}\n\
         grants = [\"metrics\", \"kv\", \"clock\", \"random\", \"nodes\", \"catalog\"]\n\
         [policy.settings]\nhook = \"{hook}\"\nmode = \"{mode}\"\n[cluster.main]\nnodes = {:?}\n",
        policy("hostile"),
        shared().nodes(),
    );
    Running::with_file(directory, &text)
}

fn status(proxy: &Running) -> PolicyStatus {
    proxy.proxy().shared.registry.status().remove(0)
}

async fn values(client: &tokio_postgres::Client, sql: &str) -> Vec<String> {
    let rows = client.simple_query(sql).await.unwrap().into_iter();
    let value = |message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    };
    rows.filter_map(value).collect()
}

/// Waits until the policy has been told of a statement like this.
async fn observed(client: &tokio_postgres::Client, like: &str) -> String {
    let give_up = std::time::Instant::now() + howdah_e2e::PATIENCE;
    loop {
        let all = values(client, "SELECT 'observed'").await;
        if let Some(found) = all.iter().find(|seen| seen.contains(like)) {
            return found.clone();
        }
        assert!(std::time::Instant::now() < give_up, "{like} is not in {all:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_policy_is_told_what_became_of_statements() {
    let proxy = running("", "");
    proxy.wait_up(3);
    let client = connect(proxy.port, "postgres").await;
    value(&client, "SELECT generate_series(1, 1000)").await;
    let primary = &shared().nodes()[0];
    let seen = observed(&client, " 1000 ").await;
    assert_eq!(seen, format!("Kind::Read Some(\"{primary}\") Source::Nobody 1000 None true true"));
    try_value(&client, "SELECT 1 / 0").await.unwrap_err();
    let seen = observed(&client, "22012").await;
    assert!(seen.starts_with("Kind::Read ") && seen.contains(" 0 Some(\"22012\")"), "{seen}");
    client.batch_execute("BEGIN").await.unwrap();
    client.query("SELECT $1::int4", &[&7]).await.unwrap();
    client.batch_execute("CREATE TEMP TABLE x (a int)").await.unwrap();
    client.batch_execute("ROLLBACK").await.unwrap();
    observed(&client, "Kind::Ddl").await;
    let seen = observed(&client, "Source::Bound 1 ").await;
    assert!(seen.starts_with("Kind::Read"), "{seen}");
    // What the policy answered by itself has no node.
    observed(&client, "Kind::Read None Source::Policy").await;
    wait("ticks", || status(&proxy).calls > 20);
    let ticks: u64 = value(&client, "SELECT 'ticks'").await.parse().unwrap();
    assert!(ticks > 0);
    assert_eq!(status(&proxy).failures, 0);
}

#[tokio::test]
async fn a_policy_sees_what_a_driver_binds() {
    let proxy = running("route", "parameter");
    let client = connect(proxy.port, "postgres").await;
    let typed = [(
        &"four" as &(dyn tokio_postgres::types::ToSql + Sync),
        tokio_postgres::types::Type::TEXT,
    )];
    let rows = client.query_typed("SELECT $1", &typed).await.unwrap();
    let told: String = rows[0].get(0);
    assert!(told.contains("[102, 111, 117, 114]"), "{told}");
}

#[tokio::test]
async fn a_loop_beside_the_questions_harms_no_client() {
    for hook in ["tick", "observe"] {
        let proxy = running(hook, "loop");
        let client = connect(proxy.port, "postgres").await;
        assert_eq!(value(&client, "SELECT 1").await, "1");
        wait("a failure", || status(&proxy).failures > 0);
        assert_eq!(value(&client, "SELECT 1").await, "1", "{hook}");
        assert!(status(&proxy).last_failure.unwrap().contains("time limit"));
    }
}

/// A backend that reads is terminated: the client gets its answer from another one.
#[tokio::test]
async fn a_policy_sends_a_read_again_whose_backend_was_terminated() {
    for (mode, answered) in [("again", true), ("give up", false)] {
        let proxy = running("retry", mode);
        proxy.wait_up(3);
        // Functions are known when the catalog is loaded.
        let reader = connect(proxy.port, "postgres").await;
        proxy.wait_up(3);
        let marked = format!("retry {mode}");
        let sql = format!(
            "SELECT count(*)::text FROM generate_series(1, 6000000) x WHERE x::text <> '{marked}'"
        );
        let killer = connect(proxy.port, "postgres").await;
        let reading = tokio::spawn(async move { try_value(&reader, &sql).await });
        let kill = format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
             WHERE query LIKE '%{marked}%' AND pid <> pg_backend_pid()"
        );
        let give_up = std::time::Instant::now() + howdah_e2e::PATIENCE;
        while value(&killer, &kill).await == "0" {
            assert!(std::time::Instant::now() < give_up, "the read was never seen");
        }
        match reading.await.unwrap() {
            Ok(count) => assert!(answered && count == "6000000", "{mode}: {count}"),
            Err(error) => assert!(!answered, "{mode}: {error}"),
        }
    }
}

/// The instance that is asked from now on is told, not the one that let the client in: a policy that notes something of
/// each session would keep it for good otherwise.
#[tokio::test]
async fn the_version_in_force_is_told_that_a_client_has_gone() {
    let proxy = running("", "");
    let (client, other) =
        (connect(proxy.port, "postgres").await, connect(proxy.port, "postgres").await);
    let file = proxy.directory.path().join("howdah.toml");
    let changed = std::fs::read_to_string(&file).unwrap().replace("mode = \"\"", "mode = \"none\"");
    std::fs::write(&file, changed).unwrap();
    let origin = howdah::config::Origin::File(file);
    howdah::reload::reload(proxy.proxy(), &howdah::config::Source { origin, listen: Vec::new() });
    assert_eq!(value(&client, "SELECT 'closed'").await, "0");
    drop(other);
    let give_up = std::time::Instant::now() + howdah_e2e::PATIENCE;
    while value(&client, "SELECT 'closed'").await != "1" {
        assert!(std::time::Instant::now() < give_up, "it is not told");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
