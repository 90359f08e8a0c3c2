//! Policies that misbehave: each harms only the answer to its own question.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use howdah_decision::{Decision, Facts, Retry, Rewrite, Safety, SessionDecision};
use howdah_e2e::house::{House, Known, first, hostile, misbehaving, renamed, scan, spec, well};
use howdah_e2e::{Running, component, connect, policy, shared, try_value, value};
use howdah_policy::{Binary, Grants, Limits, OnFailure, Options, PolicySpec, Question, Registry};

/// All ways to fail in any hook, and how the failure is described.
const TRAPS: [(&str, &str); 4] = [
    ("loop", "it exceeded its time limit"),
    ("memory", "memory allocation of 1048576 bytes failed"),
    ("recursion", "it exhausted its stack"),
    ("panic", "on purpose"),
];

#[test]
fn a_trap_in_any_hook_costs_one_answer() {
    for (mode, failure) in TRAPS {
        for hook in ["route", "rewrite", "session", "topology", "retry", "observe", "tick"] {
            let house = House::of(vec![misbehaving(hook, mode), well()]).with_nodes(&[("a", true)]);
            for round in 1..=3 {
                let before = house.failures();
                match hook {
                    "rewrite" => assert_eq!(house.rewrite("SELECT 1"), Rewrite::Unchanged),
                    "retry" => assert_eq!(house.retry(Safety::Read), Retry::NoOpinion),
                    "observe" => house.observe(1),
                    "tick" => house.tick_soon(),
                    "session" => {
                        let SessionDecision::Accept(admission) = house.open() else { panic!() };
                        assert_eq!(admission.class, 0);
                    }
                    _ => assert_eq!(house.route("SELECT 1"), Decision::Primary, "{hook} {mode}"),
                }
                assert_eq!(house.failures(), before + 1, "{hook} {mode} {round}");
                let [traps, late, _] = house.registry.status()[0].faults;
                let expected = if mode == "loop" { (0, before + 1) } else { (before + 1, 0) };
                assert_eq!((traps, late), expected, "{hook} {mode} {round}");
                let told = house.last_failure();
                assert!(told.contains(failure), "{hook} {mode}: {told}");
            }
            assert_eq!(house.registry.status()[1].failures, 0);
        }
    }
}

#[test]
fn an_instance_that_failed_is_replaced_and_one_that_answered_badly_is_not() {
    let house = House::of(vec![misbehaving("rewrite", "panic")]);
    assert_eq!(house.value("SELECT 'calls'"), "1");
    assert_eq!(house.value("SELECT 'calls'"), "2");
    assert_eq!(house.rewrite("SELECT 1"), Rewrite::Unchanged);
    assert_eq!(house.value("SELECT 'calls'"), "1");
    let house = House::of(vec![misbehaving("rewrite", "giant")]);
    assert_eq!(house.value("SELECT 'calls'"), "1");
    assert_eq!(house.rewrite("SELECT 1"), Rewrite::Unchanged);
    assert_eq!(house.value("SELECT 'calls'"), "2");
}

#[test]
fn what_cannot_be_an_answer_is_a_failure() {
    let cases = [
        ("route", "unknown node", "there is no node \"nowhere\""),
        ("route", "unknown cluster", "there is no cluster \"nowhere\""),
        ("route", "no columns", "an answer needs 1 to 64 columns"),
        ("route", "wide", "an answer needs 1 to 64 columns"),
        ("route", "long", "an answer has at most 1000 rows"),
        ("route", "large", "and 65536 bytes"),
        ("route", "ragged", "not as wide as its columns"),
        ("rewrite", "giant", "the limit is 1048576"),
        ("rewrite", "zero", "contains a zero"),
        ("rewrite", "parameters", "other parameters"),
        ("rewrite", "boundary", "transaction boundaries"),
        ("session", "unknown cluster", "there is no cluster \"nowhere\""),
        ("session", "no user", "is no name of a user"),
        ("session", "setting", "cannot be set"),
    ];
    for (hook, mode, failure) in cases {
        let house = House::of(vec![misbehaving(hook, mode), well()]).with_nodes(&[("a", true)]);
        match hook {
            "route" => assert_eq!(house.route("SELECT 1"), Decision::Primary),
            "rewrite" => assert_eq!(house.rewrite("SELECT 1"), Rewrite::Unchanged),
            _ => assert!(matches!(house.open(), SessionDecision::Accept(_))),
        }
        let told = house.last_failure();
        assert_eq!(house.registry.status()[0].faults, [0, 0, 1], "{hook} {mode}");
        assert!(told.contains(failure), "{hook} {mode}: {told}");
    }
}

#[test]
fn a_remembered_node_that_goes_down_is_asked_about_again() {
    let mut route = misbehaving("route", "unknown node");
    route.name = "to nowhere".into();
    let house = House::of(vec![route, well()]).with_nodes(&[("nowhere", true)]);
    assert_eq!(house.route("SELECT 1"), Decision::Node("nowhere".into()));
    assert_eq!(house.failures(), 0);
    let house = house.with_nodes(&[("nowhere", false)]);
    assert_eq!(house.route("SELECT 1"), Decision::Primary);
    assert_eq!(house.last_failure(), "its answer cannot be used: node \"nowhere\" is down");
}

#[test]
fn a_garbage_sqlstate_is_replaced() {
    let house = House::of(vec![misbehaving("route", "sqlstate")]);
    let Decision::Refuse(refusal) = house.route("SELECT 1") else { panic!() };
    assert_eq!((&refusal.sqlstate, &*refusal.message), (b"42501", "garbage"));
}

#[test]
fn on_failure_decides() {
    let house = |hook, on_failure| {
        let bad = PolicySpec { on_failure, ..misbehaving(hook, "panic") };
        let all = misbehaving("route", "class");
        House::of(vec![bad, PolicySpec { name: "next".into(), ..all }])
    };
    assert_eq!(first(&house("route", OnFailure::Fallback).route("SELECT 1")), "0");
    assert_eq!(house("route", OnFailure::Open).route("SELECT 1"), Decision::Primary);
    let Decision::Refuse(refusal) = house("route", OnFailure::Closed).route("SELECT 1") else {
        panic!()
    };
    assert_eq!(&refusal.sqlstate, b"58000");
    assert_eq!(house("rewrite", OnFailure::Open).rewrite("SELECT 1"), Rewrite::Unchanged);
    let closed = house("rewrite", OnFailure::Closed).rewrite("SELECT 1");
    assert!(matches!(closed, Rewrite::Refuse(_)));
    assert!(matches!(house("session", OnFailure::Open).open(), SessionDecision::Accept(_)));
    let closed = house("session", OnFailure::Closed).open();
    assert!(matches!(closed, SessionDecision::Refuse(_)));
}

#[test]
fn repeated_failures_lead_to_quarantine_and_a_new_file_releases() {
    let mut bad = misbehaving("route", "panic");
    bad.limits.quarantine_after = 3;
    let house = House::of(vec![bad.clone(), well()]);
    for _ in 0..5 {
        assert_eq!(house.route("SELECT 1"), Decision::Primary);
    }
    let status = &house.registry.status()[0];
    assert!(status.quarantined);
    assert_eq!((status.failures, status.calls), (3, 3), "it is not asked any more");
    let applied = house.registry.apply(vec![bad.clone(), well()]).unwrap();
    assert_eq!(applied.changed, ["bad"]);
    assert!(!house.registry.status()[0].quarantined);
    assert_eq!(house.route("SELECT 1"), Decision::Primary);
    assert_eq!(house.failures(), 1);
}

#[test]
fn what_is_no_policy_is_refused_and_the_old_chain_stays() {
    let house = House::of(vec![well()]);
    let generation = house.registry.generation();
    let component: Binary = b"\0asm\x0d\0\x01\0".into();
    let module: Binary = b"\0asm\x01\0\0\0".into();
    let cut: Binary = hostile()[..hostile().len() / 2].into();
    let mut huge = b"\0asm".to_vec();
    huge.resize(Limits::COMPONENT + 1, 0);
    let bytes = |bytes| spec(bytes, &[]);
    let other = |from, to| renamed(&hostile(), from, to);
    let cases = [
        (bytes(Binary::default()), "it is not a WebAssembly component"),
        (bytes(b"#!/bin/sh".into()), "it is not a WebAssembly component"),
        (bytes(module), "it is a core module; make it a component"),
        (bytes(cut), "it is not a valid component"),
        (bytes(huge.into()), "it is larger than 67108864 bytes"),
        (bytes(component), "it exports no hook of howdah:policy/*"),
        (bytes(other("policy/route@0.1.0", "policy/route@0.2.0")), "rebuild it against that"),
        (bytes(other("policy/log@0.1.0", "policy/log@0.9.0")), "rebuild it against that"),
        (bytes(other("policy/log@0.1.0", "policy/kvs@0.1.0")), "which howdah does not offer"),
        (bytes(other("howdah:policy/log", "howdah:police/log")), "which howdah does not offer"),
        (misbehaving("configure", ""), "it does not accept its settings: on purpose"),
        (misbehaving("configure", "panic"), "configure failed: it panicked"),
        (misbehaving("configure", "loop"), "configure failed: it exceeded its time limit"),
        (spec(hostile(), &[("mood", "bad")]), "unknown setting mood; the settings are hook, mode"),
    ];
    let ungranted = |name: &'static str, take: fn(&mut Grants)| {
        let mut spec = misbehaving("", "");
        take(&mut spec.grants);
        (spec, format!("is not granted: add grants = [\"{name}\"]"))
    };
    let ungranted = [
        ungranted("metrics", |grants| grants.metrics = false),
        ungranted("kv", |grants| grants.kv = false),
        ungranted("clock", |grants| grants.clock = false),
        ungranted("random", |grants| grants.random = false),
        ungranted("nodes", |grants| grants.nodes = false),
        ungranted("catalog", |grants| grants.catalog = false),
    ];
    let cases = cases.map(|(spec, message)| (spec, message.to_owned()));
    for (bad, message) in cases.into_iter().chain(ungranted) {
        let errors = house.registry.apply(vec![bad, well()]).unwrap_err();
        assert_eq!(errors.len(), 1, "{errors:?}");
        let told = errors[0].to_string();
        assert!(told.starts_with("policy bad (a test): "), "{told}");
        assert!(told.contains(&message), "{told}\nis not\n{message}");
        assert_eq!(house.registry.generation(), generation);
        assert_eq!(house.route("SELECT 1"), Decision::Primary);
    }
}

#[test]
fn a_guest_has_no_authority() {
    for mode in ["environment", "file", "network"] {
        let house = House::of(vec![misbehaving("route", mode), well()]);
        assert_eq!(house.route("SELECT 1"), Decision::Primary);
        let denied = house.failures() == 1 && house.last_failure().contains("wasi:");
        let nothing_there = house.failures() == 0;
        assert!(denied || nothing_there, "{mode}: {}", house.last_failure());
    }
}

#[test]
fn logs_and_metrics_are_bounded() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false).finish();
    let house = House::of(vec![misbehaving("route", "log")]);
    tracing::subscriber::with_default(subscriber, || house.route("SELECT 1"));
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let written = text.lines().filter(|line| line.contains("policy=\"bad\"")).count();
    assert_eq!(written, Limits::default().log_lines_per_second as usize, "{text}");
    let house = House::of(vec![misbehaving("route", "metrics")]);
    house.route("SELECT 1");
    assert_eq!(house.failures(), 0);
    assert_eq!(house.registry.status()[0].metrics.len(), 64);
}

#[derive(Clone, Default)]
struct Lines(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> tracing_subscriber::fmt::MakeWriter<'a> for Lines {
    type Writer = Lines;

    fn make_writer(&'a self) -> Lines {
        self.clone()
    }
}

#[test]
fn answers_are_remembered_as_far_as_what_they_looked_at_allows() {
    let calls = |house: &House| house.registry.status()[0].calls;
    // By digest: literals do not matter.
    let house = House::of(vec![well()]);
    for i in 0..10 {
        house.route(&format!("SELECT {i}"));
    }
    assert_eq!(calls(&house), 1);
    // It looked at a tag: the text does.
    let house = House::of(vec![misbehaving("route", "tag")]);
    for app in ["web", "jobs", "web", "jobs"] {
        assert_eq!(house.value(&format!("SELECT 1 /* app='{app}' */")), app);
    }
    assert_eq!(calls(&house), 2);
    // It looked at who asks: never.
    let house = House::of(vec![misbehaving("route", "who")]);
    assert_eq!(house.value("SELECT 1"), "alice");
    assert_eq!(house.value("SELECT 1"), "alice");
    assert_eq!(calls(&house), 2);
    // By digest and class.
    let house = House::of(vec![misbehaving("route", "class")]);
    for class in [1, 2, 1, 2] {
        let answer = house.ask("SELECT 1", class, |chain, q| house.worker.route(chain, q));
        assert_eq!(first(&answer.verdict.decision), class.to_string());
    }
    assert_eq!(calls(&house), 2);
    // A new generation remembers nothing of the old.
    let mut changed = well();
    changed.limits.rewrite = 7;
    house.registry.apply(vec![changed]).unwrap();
    assert_eq!(house.route("SELECT 1"), Decision::Primary);
}

#[test]
fn rewrites_are_asked_about_what_the_policy_before_made_of_the_text() {
    let mut second = misbehaving("rewrite", "append");
    second.name = "second".into();
    let house = House::of(vec![misbehaving("rewrite", "append"), second]);
    for _ in 0..2 {
        let Rewrite::Text(text) = house.rewrite("SELECT 1") else { panic!() };
        assert_eq!(&*text, "SELECT 1 /* seen */ /* seen */");
    }
    assert_eq!(house.registry.status()[1].calls, 1);
}

#[test]
fn every_instance_learns_of_the_nodes() {
    let house = House::of(vec![misbehaving("", "")]).with_nodes(&[("a", true), ("b", false)]);
    assert_eq!(house.value("SELECT 'nodes'"), "a");
    let Decision::Answer(table) = house.route("SELECT 'nodes'") else { panic!() };
    assert_eq!(table.rows.len(), 2);
}

#[test]
fn a_scope_limits_whose_questions_are_asked() {
    let mut theirs = misbehaving("route", "panic");
    theirs.scope.users = vec!["bob".into()];
    let house = House::of(vec![theirs, well()]);
    assert_eq!(house.route("SELECT 1"), Decision::Primary);
    assert_eq!(house.registry.status()[0].calls, 0);
}

#[test]
fn swaps_under_load_fail_nothing_and_a_transaction_keeps_its_generation() {
    let registry = Registry::new(Options { workers: 2 }).unwrap();
    let versions = [vec![misbehaving("route", "class")], vec![well()]];
    registry.apply(versions[0].clone()).unwrap();
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let askers: Vec<_> = (0..2)
        .map(|index| {
            let (registry, stop) = (Arc::clone(&registry), Arc::clone(&stop));
            std::thread::spawn(move || {
                let worker = registry.worker(index);
                let background = Known::default();
                let house = House { registry, worker, who: Arc::default(), background };
                let mut asked = 0u64;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let transaction = house.worker.chain(0);
                    // A text of its own each time, so that the guest is asked and not the memory.
                    let sql = format!("SELECT {}", "x,".repeat(asked as usize % 50));
                    let old = transaction.generation() % 2 == 1;
                    let statement = scan(&sql);
                    let q = Question {
                        sql: &sql,
                        statement: &statement,
                        extra: Facts::NONE,
                        class: 3,
                        who: &house.who,
                        interest: transaction.interest("", "", ""),
                        background: &(),
                    };
                    for _ in 0..20 {
                        match &house.worker.route(&transaction, &q).verdict.decision {
                            Decision::Answer(_) => assert!(old),
                            other => {
                                let failure = house.registry.status()[0].last_failure.clone();
                                let right = !old && *other == Decision::Primary;
                                assert!(right, "{other:?} {failure:?}");
                            }
                        }
                    }
                    asked += 1;
                }
                asked
            })
        })
        .collect();
    for i in 1..=20 {
        registry.apply(versions[i % 2].clone()).unwrap();
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    for asker in askers {
        assert!(asker.join().unwrap() > 0);
    }
    assert_eq!(registry.generation(), 21);
    assert_eq!(registry.status()[0].failures, 0);
}

#[test]
fn a_component_made_of_a_plain_core_module_loads() {
    let bytes = component("user-to-replica");
    let house = House::of(vec![spec(bytes.into(), &[])]);
    assert_eq!(house.route("SELECT 1"), Decision::Primary);
    assert_eq!(house.failures(), 0);
}

#[tokio::test]
async fn clients_of_a_bad_policy_stay_connected() {
    for (hook, mode) in [("route", "loop"), ("route", "unknown node"), ("rewrite", "boundary")] {
        for on_failure in ["fallback", "closed"] {
            let file = policy("hostile");
            let proxy = Running::start(
                &shared().nodes(),
                &format!(
                    "[[policy]]\nname = \"bad\"\npath = {file:?}\ngrants = [\"metrics\", \"kv\", \"clock\", \"random\", \"nodes\", \"catalog\"]\n\
                     on_failure = \"{on_failure}\"\nlimits.quarantine_after = 3\n\
                     [policy.settings]\nhook = \"{hook}\"\nmode = \"{mode}\"\n"
                ),
            );
            let client = connect(proxy.port, "postgres").await;
            for i in 0..6 {
                let answer = try_value(&client, "SELECT 1").await;
                match answer {
                    Ok(one) => assert_eq!((on_failure, &*one), ("fallback", "1")),
                    Err(error) => {
                        assert_eq!(on_failure, "closed", "{hook} {mode} {i}: {error}");
                        assert_eq!(error.code().unwrap().code(), "58000");
                    }
                }
            }
            assert!(!client.is_closed());
            let status = &proxy.proxy().shared.registry.status()[0];
            assert!(status.quarantined && status.failures == 3, "{hook} {mode} {status:?}");
        }
    }
}

#[tokio::test]
async fn a_policy_answers_without_a_server() {
    let file = policy("hostile");
    let proxy = Running::start(
        &shared().nodes(),
        &format!(
            "[[policy]]\nname = \"bad\"\npath = {file:?}\ngrants = [\"metrics\", \"kv\", \"clock\", \"random\", \"nodes\", \"catalog\"]\n"
        ),
    );
    let client = connect(proxy.port, "postgres").await;
    proxy.wait_up(3);
    assert_eq!(value(&client, "SELECT 'nodes'").await, shared().nodes()[0]);
    let row = client.query_one("SELECT 'calls'", &[]).await.unwrap();
    assert!(row.get::<_, &str>(0).parse::<u32>().unwrap() > 0);
}
