//! What policies are told and asked beside the questions, with real servers: what has become of statements, what shall
//! become of those that failed, what is bound to parameters.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use howdah::policies::cases::Cases;
use howdah::policies::trial;
use howdah_e2e::{RawClient, Running, connect, policy, shared, try_value, value, wait};
use howdah_policy::PolicyStatus;

/// A proxy with a single worker, so that there is one instance of the policy that sees everything.
fn running(hook: &str, mode: &str) -> Running {
    let directory = tempfile::tempdir().unwrap();
    let text = format!(
        "listen = [\"127.0.0.1:0\"]\nworkers = 1\n[[policy]]\nname = \"bad\"\npath = {:?}\n\
         grants = [\"metrics\", \"kv\", \"clock\", \"random\", \"nodes\", \"catalog\"]\n\
         limits.time = \"1s\"\n[policy.settings]\nhook = \"{hook}\"\nmode = \"{mode}\"\n[cluster.main]\nnodes = {:?}\n",
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
    howdah::reload::reload(proxy.proxy(), &howdah::config::Source::of(origin));
    assert_eq!(value(&client, "SELECT 'closed'").await, "0");
    drop(other);
    let give_up = std::time::Instant::now() + howdah_e2e::PATIENCE;
    while value(&client, "SELECT 'closed'").await != "1" {
        assert!(std::time::Instant::now() < give_up, "it is not told");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Cases for hooks that give no verdict: the policy fails or not, and leaves shared values.
#[test]
fn cases_tell_a_policy_what_it_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("hostile.cases.toml");
    let told = "seen = { sql = \"SELECT 1\", node = \"a\", sqlstate = \"57014\" }\n";
    let run = |settings: &str, cases: &str| {
        std::fs::write(&file, format!("[settings]\n{settings}\n{cases}")).unwrap();
        let (spec, _) = trial::alone(&policy("hostile")).unwrap();
        let report = Cases::load(&file)?.run(&spec).map_err(|errors| format!("{errors:?}"))?;
        let unlike = report.tested.into_iter().flat_map(|tested| tested.unlike);
        Ok::<Vec<String>, String>(unlike.map(|unlike| unlike.got).collect())
    };
    let hooks = ["tick", "topology", "state"].map(|hook| format!("[[told]]\nhook = \"{hook}\"\n"));
    let all = format!("{}[[told]]\nhook = \"observe\"\ntimes = 3\n{told}", hooks.concat());
    assert_eq!(run("", &all), Ok(Vec::new()));
    for hook in ["tick", "topology", "snapshot", "observe"] {
        let got = run(&format!("hook = \"{hook}\"\nmode = \"panic\""), &all).unwrap();
        let [got] = got.as_slice() else { panic!("{hook}: {got:?}") };
        assert!(got.contains("on purpose"), "{got}");
    }
    let restored = run("hook = \"restore\"", &all).unwrap();
    assert!(restored.len() == 1 && restored[0].contains("it refuses its own state: on purpose"));
    let fails = "[[told]]\nhook = \"tick\"\nexpect = \"failure\"\n";
    assert_eq!(run("hook = \"tick\"\nmode = \"panic\"", fails), Ok(Vec::new()));
    assert_eq!(run("", fails), Ok(vec!["success".to_owned()]));
    let counted = "[[case]]\nsql = \"SELECT 1\"\nexpect = \"answer\"\ntimes = 3\n\
                   [[told]]\nhook = \"tick\"\nkv = { shared = \"3\", other = \"1\" }\n";
    let got = run("hook = \"route\"\nmode = \"shared\"", counted);
    assert_eq!(got, Ok(vec!["no other".to_owned()]));
    for (case, says) in [
        ("hook = \"observe\"", "seen = { sql = … } goes with"),
        ("hook = \"route\"", "unknown variant `route`"),
        ("hook = \"observe\"\nseen = { sql = \"\", sqlstate = \"1\" }", "has not five characters"),
    ] {
        let error = run("", &format!("[[told]]\n{case}\n")).unwrap_err();
        assert!(error.contains(says), "{error}");
    }
}

/// A session that asks is told what policies could see of its statement, and what became of its text.
#[test]
fn notices_tell_what_policies_could_see_and_what_they_rewrote() {
    let proxy = running("rewrite", "");
    proxy.wait_up(3);
    let mut client = RawClient::login(proxy.port);
    client.query("SET howdah.explain = on");
    client.until_ready();
    for rewritten in ["Rewrite asked bad: ", "Rewritten from memory: "] {
        client.query("SELECT relname FROM pg_class WHERE relname = 'nobody'");
        let messages = client.until_ready();
        let notices = messages.iter().filter(|(kind, _)| *kind == b'N');
        let told: String =
            notices.map(|(_, body)| String::from_utf8_lossy(body).into_owned()).collect();
        assert!(
            told.contains("Policies could see literals 'nobody'; relations pg_class."),
            "{told}"
        );
        assert!(told.contains(rewritten) && told.contains("'nobody' /* seen */"), "{told}");
    }
}
