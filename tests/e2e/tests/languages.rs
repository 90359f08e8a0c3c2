//! The same three examples in every language do the same, in front of a real cluster.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use howdah::policies::MOST_COMPILED;
use howdah_decision::{Again, Parameter, Retry, Rewrite, Safety, SessionDecision, Target};
use howdah_e2e::house::{House, Known, spec};
use howdah_e2e::languages::{built, compiled, example};
use howdah_e2e::{Running, cluster, connect, on_replica, value};
use howdah_pgcluster::{Auth, Cluster};
use howdah_policy::{
    Binary, Grants, Limits, OnFailure, Options, PolicySpec, PolicyStatus, Registry, Rollout, Scope,
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
fn proxy(language: &str, component: &Path, settings: &str) -> Running {
    let policy = format!(
        "compiled_policies = {:?}\n[[policy]]\nname = \"example\"\npath = {component:?}\non_failure = \"closed\"\n\
         limits = {{ memory = \"64MiB\", time = \"1s\" }}\n[policy.settings]\n{settings}\n",
        compiled(language)
    );
    let proxy = Running::start(&prepared().nodes(), &policy);
    proxy.wait_up(3);
    proxy
}

fn status(proxy: &Running) -> PolicyStatus {
    proxy.proxy().shared.registry.status().remove(0)
}

async fn first_router(language: &str) -> PathBuf {
    let component = example(language, "first-router");
    let proxy = proxy(language, &component, "");
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
    component
}

async fn user_to_replica(language: &str) {
    let component = example(language, "user-to-replica");
    let proxy = proxy(language, &component, "users = [\"nobody\", \"reporter\"]");
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
    let bytes: Binary = std::fs::read(&component).unwrap().into();
    for (name, value) in [
        ("user", SettingValue::Texts(vec!["reporter".into()])),
        ("users", SettingValue::Text("reporter".into())),
    ] {
        let told = refusal(language, &bytes, name, value);
        assert!(told.contains("does not accept its settings"), "{told}");
        assert!(told.contains("users"), "the policy tells what is wrong: {told}");
    }
}

/// What loading a policy with this setting fails with.
fn refusal(language: &str, bytes: &Binary, name: &str, value: SettingValue) -> String {
    let spec = PolicySpec {
        name: "example".into(),
        bytes: bytes.clone(),
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
    registry.keep_compiled(&compiled(language), MOST_COMPILED).unwrap();
    registry.apply(vec![spec]).unwrap_err().remove(0).message
}

async fn rewrite_tag(language: &str) {
    let proxy = proxy(language, &example(language, "rewrite-tag"), "");
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

/// A policy that has every hook and uses all that the host offers.
fn everything(language: &str) {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guests/everything").join(language);
    let bytes: Binary = std::fs::read(built(language, "everything", &sources)).unwrap().into();
    let version = |settings: &[(&str, &str)], memory| {
        let mut spec = spec(bytes.clone(), settings);
        spec.limits.memory = memory;
        vec![spec]
    };
    let mut house = House::empty();
    house.registry.keep_compiled(&compiled(language), MOST_COMPILED).unwrap();
    house.background = Known { loads: 1, bound: Some(vec![Parameter::Text("bound".into())]) };
    house.registry.apply(version(&[("greeting", "hello")], 64 << 20)).unwrap();
    let house = house.with_nodes(&[("a", true), ("b", false)]);
    for (sql, told) in [
        ("SELECT 'setting'", "hello"),
        ("SELECT 'tag' /* app='web' */", "web"),
        ("SELECT 'who'", "alice/shop/"),
        ("SELECT 'relations' FROM t", "t"),
        ("SELECT 'parameter', $1", "bound"),
        ("SELECT 'log'", "true"),
        ("SELECT 'metrics'", "true"),
        ("SELECT 'kv'", "true"),
        ("SELECT 'clock'", "true"),
        ("SELECT 'random'", "true"),
        ("SELECT 'nodes'", "main/a/true main/b/false"),
        ("SELECT 'catalog'", "true"),
    ] {
        assert_eq!(house.value(sql), told, "{language}: {sql}: {}", house.last_failure());
    }
    let SessionDecision::Accept(admission) = house.open() else { panic!("{language}") };
    assert_eq!((admission.class, admission.priority), (7, 3), "{language}");
    assert_eq!(admission.settings, [("application_name".into(), "everything".into())]);
    house.worker.closed(&house.worker.chain(0), 42);
    let rewritten = house.rewrite("SELECT 'rewrite'");
    assert_eq!(rewritten, Rewrite::Text("SELECT 'rewritten'".into()), "{language}");
    let again = Retry::Again(Again { target: Target::Another, delay_ms: 5 });
    assert_eq!(house.retry(Safety::Read), again, "{language}");
    assert_eq!(house.retry(Safety::Unsent), Retry::GiveUp, "{language}");
    house.observe(300);
    house.tick_soon();
    let told = "main/a/true main/b/false 42 300 600 true";
    assert_eq!(house.value("SELECT 'hooks'"), told, "{language}: {}", house.last_failure());
    for (memory, state) in [(65, "x"), (66, "xx"), (67, "")] {
        house.registry.apply(version(&[("greeting", "hello")], memory << 20)).unwrap();
        assert_eq!(house.value("SELECT 'state'"), state, "{language}");
    }
    let refused = house.registry.apply(version(&[("mood", "bad")], 64 << 20)).unwrap_err();
    assert!(refused[0].message.contains("unknown setting mood"), "{language}: {}", refused[0]);
    assert_eq!(house.failures(), 0, "{language}: {}", house.last_failure());
}

/// Where Go's own tests are native ones.
#[test]
fn the_go_sdk_and_example_are_tested_without_webassembly() {
    for folder in ["sdk/go", "examples/rewrite-tag/go"] {
        let output = howdah_e2e::languages::go_tests(folder);
        assert!(output.contains("ok"), "{output}");
    }
}

/// All examples in one language. Returns the component of the first.
async fn all(language: &str) -> PathBuf {
    let component = first_router(language).await;
    user_to_replica(language).await;
    rewrite_tag(language).await;
    component
}

#[tokio::test]
async fn rust() {
    all("rust").await;
}

#[tokio::test]
async fn c() {
    all("c").await;
    everything("c");
}

#[tokio::test]
async fn go() {
    all("go").await;
    everything("go");
}

#[tokio::test]
async fn javascript() {
    all("javascript").await;
    everything("javascript");
}

// An interpreter of many modules: its component has some forty core instances.
#[tokio::test]
async fn python() {
    let component = all("python").await;
    everything("python");
    let size = std::fs::metadata(component).unwrap().len();
    assert!(
        size > 16 << 20,
        "a component of {size} bytes is not as large as one must be able to be"
    );
}

/// What a Go module is called alone may be a name that Go keeps for itself.
#[test]
fn a_policy_may_be_called_as_its_language() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/first-router/go");
    assert!(built("go", "go", &sources).exists());
}
