//! The same three examples in every language do the same, in front of a real cluster.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use howdah_e2e::languages::example;
use howdah_e2e::{Running, cluster, connect, on_replica, value};
use howdah_pgcluster::{Auth, Cluster};
use howdah_policy::{
    Grants, Limits, OnFailure, Options, PolicySpec, PolicyStatus, Registry, Rollout, Scope,
    SettingValue,
};
use tokio_postgres::SimpleQueryMessage;

/// A cluster with the user and the table of these tests. It ends with the process.
fn prepared() -> &'static Cluster {
    static PREPARED: OnceLock<Cluster> = OnceLock::new();
    PREPARED.get_or_init(|| {
        let cluster = cluster(2, Auth::Trust);
        for sql in ["CREATE ROLE reporter LOGIN", "CREATE TABLE written (way text)"] {
            cluster.primary().query("postgres", sql).unwrap();
        }
        cluster.wait_replayed().unwrap();
        cluster
    })
}

/// A proxy with this policy. Interpreters need more memory than the default, and a busy machine more time.
fn proxy(component: &Path, settings: &str) -> Running {
    let policy = format!(
        "[[policy]]\nname = \"example\"\npath = {component:?}\non_failure = \"closed\"\n\
         limits = {{ memory = \"64MiB\", time = \"1s\" }}\n[policy.settings]\n{settings}\n"
    );
    let proxy = Running::start(&prepared().nodes(), &policy);
    proxy.wait_up(3);
    proxy
}

fn status(proxy: &Running) -> PolicyStatus {
    proxy.proxy().shared.registry.status().remove(0)
}

async fn first_router(language: &str) {
    let proxy = proxy(&example(language, "first-router"), "");
    assert_eq!(status(&proxy).hooks, ["route"], "a policy has the hooks that it defines");
    let client = connect(proxy.port, "postgres").await;
    assert!(on_replica(&client).await);
    let insert = format!(
        "INSERT INTO written VALUES ('{language}') RETURNING current_setting('transaction_read_only')"
    );
    assert_eq!(value(&client, &insert).await, "off");
    let read = |number| format!("SELECT {number}, current_setting('transaction_read_only')");
    value(&client, &read(0)).await;
    let calls = status(&proxy).calls;
    for number in 1..20 {
        value(&client, &read(number)).await;
    }
    let status = status(&proxy);
    assert_eq!(status.calls, calls, "the verdict is remembered by digest");
    assert_eq!(status.failures, 0, "{:?}", status.last_failure);
}

async fn user_to_replica(language: &str) {
    let component = example(language, "user-to-replica");
    let proxy = proxy(&component, "users = [\"nobody\", \"reporter\"]");
    assert_eq!(status(&proxy).hooks, ["configure", "session", "route"]);
    let (reporter, other) =
        (connect(proxy.port, "reporter").await, connect(proxy.port, "postgres").await);
    for _ in 0..3 {
        assert!(on_replica(&reporter).await, "the same text, but of another class");
        assert!(!on_replica(&other).await);
    }
    let write = "CREATE TEMP TABLE of_reporter (a int)";
    value(&reporter, write).await;
    let status = status(&proxy);
    assert_eq!(status.failures, 0, "{:?}", status.last_failure);
    let bytes: Arc<[u8]> = std::fs::read(&component).unwrap().into();
    for (name, value) in [
        ("user", SettingValue::Texts(vec!["reporter".into()])),
        ("users", SettingValue::Text("reporter".into())),
    ] {
        let told = refusal(&bytes, name, value);
        assert!(told.contains("does not accept its settings"), "{told}");
        assert!(told.contains("users"), "the policy tells what is wrong: {told}");
    }
}

/// What loading a policy with this setting fails with.
fn refusal(bytes: &Arc<[u8]>, name: &str, value: SettingValue) -> String {
    let spec = PolicySpec {
        name: "example".into(),
        bytes: Arc::clone(bytes),
        origin: "a test".into(),
        settings: BTreeMap::from([(name.to_owned(), value)]),
        limits: Limits { memory: 64 << 20, ..Limits::default() },
        on_failure: OnFailure::Closed,
        grants: Grants::default(),
        kv_space: None,
        scope: Scope::default(),
        sha256: None,
        rollout: Rollout::Live,
    };
    let registry = Registry::new(Options { workers: 1 }).unwrap();
    registry.apply(vec![spec]).unwrap_err().remove(0).message
}

async fn rewrite_tag(language: &str) {
    let proxy = proxy(&example(language, "rewrite-tag"), "");
    assert_eq!(status(&proxy).hooks, ["rewrite"]);
    let client = connect(proxy.port, "postgres").await;
    for (sql, rows) in [
        ("SELECT n FROM generate_series(1, 100) n", 100),
        ("SELECT n FROM generate_series(1, 100) n /* cap='7' */", 7),
        ("select n FROM generate_series(1, 100) n /* app='x',cap='8' */ ; ", 8),
        ("SELECT n FROM generate_series(1, 100) n LIMIT 50 /* cap='7' */", 50),
        ("SELECT n FROM generate_series(1, 100) n /* cap='many' */", 100),
        ("VALUES (1), (2), (3) /* cap='2' */", 3),
    ] {
        let messages = client.simple_query(sql).await.unwrap();
        let got = messages.iter().filter(|m| matches!(m, SimpleQueryMessage::Row(_))).count();
        assert_eq!(got, rows, "{sql}");
    }
    let sql = "SELECT n FROM generate_series(1, $1::int) n /* cap='9' */";
    assert_eq!(client.query(sql, &[&50]).await.unwrap().len(), 9, "prepared");
    let status = status(&proxy);
    assert_eq!(status.failures, 0, "{:?}", status.last_failure);
}

/// Where Go's own tests are native ones.
#[test]
fn the_go_example_is_tested_without_webassembly() {
    let output = howdah_e2e::languages::go_tests("rewrite-tag");
    assert!(output.contains("ok"), "{output}");
}

/// All examples in one language.
async fn all(language: &str) {
    first_router(language).await;
    user_to_replica(language).await;
    rewrite_tag(language).await;
}

#[tokio::test]
async fn rust() {
    all("rust").await;
}

#[tokio::test]
async fn c() {
    all("c").await;
}

#[tokio::test]
async fn go() {
    all("go").await;
}

#[tokio::test]
async fn javascript() {
    all("javascript").await;
}

// An interpreter of many modules: its component has some forty core instances.
#[tokio::test]
async fn python() {
    let size = std::fs::metadata(example("python", "first-router")).unwrap().len();
    assert!(
        size > 16 << 20,
        "a component of {size} bytes is not as large as one must be able to be"
    );
    all("python").await;
}
