//! New versions of policies on trial, promoted, rolled back, pinned.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use howdah_decision::{Client, Decision, Facts, Rewrite, SessionDecision};
use howdah_e2e::{policy, wait};
use howdah_policy::{
    Canary, Chain, Grants, Limits, OnFailure, Options, PolicySpec, PolicyStatus, Question,
    Registry, Rollout, Scope, SettingValue, TrialStatus, Who, Worker, sha256,
};
use howdah_sql::{NoCatalog, ScanOptions, Statement};

/// The hostile policy, which has no opinion unless it is told to misbehave.
fn quiet() -> Vec<u8> {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| std::fs::read(policy("hostile")).unwrap()).clone()
}

/// A policy that sends everything to the primary.
fn primary() -> Vec<u8> {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| std::fs::read(policy("user-to-replica")).unwrap()).clone()
}

/// Another component that does the same: it has one more custom section.
fn again(mut bytes: Vec<u8>, version: u8) -> Vec<u8> {
    bytes.extend([0, 3, 1, b'v', version]);
    bytes
}

fn spec(bytes: Vec<u8>, rollout: Rollout) -> PolicySpec {
    PolicySpec {
        name: "router".into(),
        bytes: bytes.into(),
        origin: "a test".into(),
        settings: BTreeMap::new(),
        limits: Limits { time: Duration::from_secs(1), memory: 8 << 20, ..Limits::default() },
        on_failure: OnFailure::Closed,
        grants: Grants::ALL,
        kv_space: None,
        scope: Scope::default(),
        sha256: None,
        rollout,
    }
}

fn misbehaving(hook: &str, mode: &str, rollout: Rollout) -> PolicySpec {
    let text = |value: &str| SettingValue::Text(value.to_owned());
    let settings = [("hook".to_owned(), text(hook)), ("mode".to_owned(), text(mode))];
    PolicySpec { settings: settings.into(), ..spec(again(quiet(), b'b'), rollout) }
}

fn live(bytes: Vec<u8>) -> PolicySpec {
    spec(bytes, Rollout::Live)
}

/// A canary that only the reason under test can end.
fn patient(share: u32) -> Canary {
    Canary {
        share,
        promote_after: Duration::from_secs(3_600),
        max_failures: 1_000_000,
        max_latency: Duration::from_secs(1),
        max_disagreement: 100,
    }
}

struct House {
    registry: Arc<Registry>,
    worker: Worker,
    who: Arc<Who>,
}

impl House {
    /// One version in force, and what came after it.
    fn of(first: PolicySpec, second: PolicySpec) -> House {
        let registry = Registry::new(Options { workers: 1 }).unwrap();
        let worker = registry.worker(0);
        let house = House { registry, worker, who: Arc::default() };
        house.registry.apply(vec![first]).unwrap();
        house.registry.apply(vec![second]).unwrap();
        house
    }

    fn status(&self) -> PolicyStatus {
        self.registry.status().remove(0)
    }

    fn trial(&self) -> TrialStatus {
        self.status().trial.unwrap()
    }

    fn ask<T>(&self, chain: &Chain, sql: &str, ask: impl FnOnce(&Question<'_>) -> T) -> T {
        let statement = scan(sql);
        let interest = chain.interest("", "", "");
        let who = &self.who;
        ask(&Question {
            sql,
            statement: &statement,
            extra: Facts::NONE,
            class: 0,
            who,
            interest,
            background: &(),
        })
    }

    fn route(&self, session: u64, sql: &str) -> Decision {
        self.route_by(&self.worker.chain(session), sql)
    }

    fn route_by(&self, chain: &Chain, sql: &str) -> Decision {
        self.ask(chain, sql, |q| self.worker.route(chain, q).verdict.decision.clone())
    }

    fn rewrite(&self, sql: &str) -> Rewrite {
        let chain = self.worker.chain(0);
        self.ask(&chain, sql, |q| self.worker.rewrite(&chain, q, &scan))
    }

    fn open(&self) -> SessionDecision {
        let client = Client {
            id: 1,
            user: "alice".into(),
            database: "shop".into(),
            application_name: String::new(),
            address: "::1".into(),
            parameters: Vec::new(),
        };
        self.worker.open(&self.worker.chain(1), &client, "main")
    }

    /// Statements that all have other digests, by as many sessions.
    fn ask_much(&self, questions: u64, expected: &Decision) {
        for i in 0..questions {
            assert_eq!(self.route(i, &format!("SELECT a AS c{i}")), *expected);
        }
    }
}

fn scan(sql: &str) -> Rc<Statement> {
    Rc::new(howdah_sql::scan(sql.as_bytes(), ScanOptions::default(), &NoCatalog))
}

/// What the policy tells of itself: questions that this instance was asked.
fn calls(decision: &Decision) -> u64 {
    let Decision::Answer(table) = decision else { panic!("{decision:?} is no table") };
    table.rows[0][0].as_deref().unwrap().parse().unwrap()
}

#[test]
fn a_shadow_is_compared_and_not_obeyed() {
    let house = House::of(live(quiet()), spec(primary(), Rollout::Shadow));
    assert_eq!(house.route(1, "SELECT 1"), Decision::NoOpinion);
    wait("the shadow to differ", || house.trial().disagreed == 1);
    let one = house.trial().disagreements.remove(0);
    assert_eq!((one.hook, one.digest), ("route", scan("SELECT 1").digest));
    assert_eq!((one.live.as_str(), one.candidate.as_str()), ("no opinion", "primary"));
    // The policy in force gives a session a class, the new one has no such hook.
    assert!(matches!(house.open(), SessionDecision::Accept(a) if a.class == 7));
    wait("the shadow to differ again", || house.trial().disagreed == 2);
    assert_eq!(house.trial().disagreements[1].hook, "session");
    let status = house.status();
    assert_eq!(status.sha256, sha256(&quiet()));
    assert_eq!(house.trial().sha256, sha256(&primary()));
    assert_eq!(house.trial().failures, 0);
}

#[test]
fn a_hook_that_only_the_shadow_has_is_compared() {
    let house = House::of(live(primary()), misbehaving("rewrite", "append", Rollout::Shadow));
    assert_eq!(house.rewrite("SELECT 1"), Rewrite::Unchanged);
    wait("the shadow to differ", || house.trial().disagreed == 1);
    let one = house.trial().disagreements.remove(0);
    assert_eq!((one.hook, one.live.as_str()), ("rewrite", "unchanged"));
    assert_eq!(one.candidate, "SELECT 1 /* seen */");
}

#[test]
fn what_is_remembered_is_compared_at_times() {
    let house = House::of(live(quiet()), spec(again(quiet(), b'2'), Rollout::Shadow));
    for _ in 0..1_000 {
        assert_eq!(house.route(1, "SELECT 1"), Decision::NoOpinion);
    }
    wait("comparisons", || house.trial().agreed + house.trial().skipped >= 15);
    assert_eq!(house.trial().disagreed, 0);
    assert!(house.trial().agreed + house.trial().skipped < 30, "not all of them");
    assert!(house.status().remembered > 900);
}

#[test]
fn traps_and_timeouts_of_a_shadow_are_its_own() {
    for mode in ["panic", "loop", "unknown node"] {
        let mut shadow = misbehaving("route", mode, Rollout::Shadow);
        shadow.limits.time = Duration::from_millis(100);
        shadow.limits.quarantine_after = 1_000;
        let house = House::of(live(quiet()), shadow);
        let began = Instant::now();
        house.ask_much(50, &Decision::NoOpinion);
        // Fifty calls of an endless loop would take five seconds.
        assert!(began.elapsed() < Duration::from_secs(3), "{mode} made queries wait");
        wait("the shadow to fail", || house.trial().failures > 0);
        let status = house.status();
        assert_eq!((status.failures, status.quarantined), (0, false), "{mode}");
    }
}

#[test]
fn a_share_of_the_sessions_obeys_a_canary_and_always_the_same() {
    let canary = Rollout::Canary(patient(30));
    let house = House::of(live(quiet()), spec(primary(), canary));
    let chosen = |session| house.route(session, "SELECT 1") == Decision::Primary;
    let first: Vec<bool> = (0..1_000).map(chosen).collect();
    let share = first.iter().filter(|chosen| **chosen).count();
    assert!((250..350).contains(&share), "{share} of 1000 sessions");
    assert_eq!((0..1_000).map(chosen).collect::<Vec<_>>(), first);
    wait("comparisons", || house.trial().disagreed > 0);
    let one = house.trial().disagreements.remove(0);
    assert_eq!((one.live.as_str(), one.candidate.as_str()), ("no opinion", "primary"));
}

#[test]
fn a_canary_that_traps_is_rolled_back_and_no_query_fails() {
    for mode in ["panic", "unknown node"] {
        let canary = Rollout::Canary(Canary { max_failures: 2, ..patient(100) });
        let bad = misbehaving("route", mode, canary);
        let house = House::of(live(quiet()), bad.clone());
        // It is on_failure = "closed": a question without an answer would be refused.
        house.ask_much(20, &Decision::NoOpinion);
        wait("the canary to be rolled back", || house.status().trial.is_none());
        house.ask_much(20, &Decision::NoOpinion);
        let status = house.status();
        assert_eq!((status.failures, &status.sha256), (0, &sha256(&quiet())), "{mode}");
        assert_eq!(status.rolled_back.as_ref(), Some(&sha256(&bad.bytes)));
        wait("the reason", || house.status().refused.is_some_and(|why| why.contains("failed")));
        // The same file does not come in again, another one does.
        let generation = house.registry.generation();
        house.registry.apply(vec![bad]).unwrap();
        assert_eq!(house.registry.generation(), generation);
        house.registry.apply(vec![spec(primary(), canary)]).unwrap();
        assert_eq!(house.trial().sha256, sha256(&primary()));
    }
}

#[test]
fn a_canary_that_differs_or_is_slow_is_rolled_back() {
    let differs = Canary { max_disagreement: 20, ..patient(100) };
    let slow = Canary { max_latency: Duration::ZERO, ..patient(100) };
    for (canary, reason) in [(differs, "verdicts differ"), (slow, "on average")] {
        let house = House::of(live(quiet()), spec(primary(), Rollout::Canary(canary)));
        let mut i = 0;
        wait("the canary to be rolled back", || {
            i += 1;
            for n in 0..20 {
                house.route(n, &format!("SELECT a AS c{i}_{n}"));
            }
            house.status().trial.is_none()
        });
        wait("the reason", || house.status().refused.is_some_and(|why| why.contains(reason)));
        assert_eq!(house.route(1, "SELECT 1"), Decision::NoOpinion);
    }
}

#[test]
fn a_canary_that_does_well_is_promoted() {
    let canary = Canary { promote_after: Duration::from_millis(1), ..patient(1) };
    let house = House::of(live(quiet()), spec(primary(), Rollout::Canary(canary)));
    let mut session = 0;
    wait("the canary to be promoted", || {
        session += 1;
        house.route(session, "SELECT 1");
        house.status().trial.is_none()
    });
    assert_eq!(house.status().sha256, sha256(&primary()));
    house.ask_much(100, &Decision::Primary);
    // What the file says is in force: nothing happens.
    let generation = house.registry.generation();
    house.registry.apply(vec![spec(primary(), Rollout::Canary(canary))]).unwrap();
    assert_eq!(house.registry.generation(), generation);
}

#[test]
fn a_canary_that_was_never_asked_is_not_promoted() {
    let canary = Canary { promote_after: Duration::ZERO, ..patient(1) };
    let house = House::of(live(quiet()), spec(primary(), Rollout::Canary(canary)));
    // Longer than the judge needs: it looks at trials ten times a second.
    let until = Instant::now() + Duration::from_millis(500);
    wait("half a second", || {
        assert!(house.status().trial.is_some());
        Instant::now() >= until
    });
}

#[test]
fn the_previous_version_is_put_back_and_forth() {
    let house = House::of(live(quiet()), live(primary()));
    assert_eq!(house.status().previous, Some(sha256(&quiet())));
    assert_eq!(house.route(1, "SELECT 1"), Decision::Primary);
    house.registry.rollback("router").unwrap();
    assert_eq!(house.route(1, "SELECT 1"), Decision::NoOpinion);
    // The file has not changed.
    house.registry.apply(vec![live(primary())]).unwrap();
    assert_eq!(house.route(1, "SELECT 1"), Decision::NoOpinion);
    // Nor has it when the settings have: they are for the component in force.
    let mut set = misbehaving("route", "class", Rollout::Live);
    set.bytes = primary().into();
    house.registry.apply(vec![set]).unwrap();
    assert!(matches!(house.route(1, "SELECT 1"), Decision::Answer(_)));
    assert!(house.registry.rollback("router").unwrap_err().message.contains("no previous one"));
    house.registry.apply(vec![live(again(primary(), b'2'))]).unwrap();
    assert_eq!(house.route(1, "SELECT 1"), Decision::Primary);
    house.registry.rollback("router").unwrap();
    assert!(matches!(house.route(1, "SELECT 1"), Decision::Answer(_)));
    house.registry.promote("router").unwrap();
    assert_eq!(house.route(1, "SELECT 1"), Decision::Primary);
    let error = house.registry.promote("router").unwrap_err();
    assert!(error.message.contains("no version of it is on trial"), "{error}");
    let error = house.registry.rollback("rooter").unwrap_err();
    assert!(error.message.contains("there is router"), "{error}");
}

#[test]
fn a_shadow_is_promoted_or_rolled_back_by_hand_or_by_mode() {
    let house = House::of(live(quiet()), spec(primary(), Rollout::Shadow));
    house.registry.promote("router").unwrap();
    assert_eq!(house.route(1, "SELECT 1"), Decision::Primary);
    house.registry.apply(vec![spec(again(quiet(), b'3'), Rollout::Shadow)]).unwrap();
    house.registry.rollback("router").unwrap();
    assert_eq!(house.route(1, "SELECT 1"), Decision::Primary);
    assert_eq!(house.status().rolled_back, Some(sha256(&again(quiet(), b'3'))));
    // Another mode for the version on trial: it goes on, or comes in.
    let next = again(quiet(), b'4');
    house.registry.apply(vec![spec(next.clone(), Rollout::Shadow)]).unwrap();
    house.registry.apply(vec![spec(next.clone(), Rollout::Canary(patient(100)))]).unwrap();
    assert_eq!(house.route(1, "SELECT 1"), Decision::NoOpinion);
    assert_eq!(house.trial().rollout.name(), "canary");
    house.registry.apply(vec![live(next.clone())]).unwrap();
    assert!(house.status().trial.is_none());
    assert_eq!(house.status().sha256, sha256(&next));
    // The file is as it was before the trial: the trial is over.
    house.registry.apply(vec![spec(primary(), Rollout::Shadow)]).unwrap();
    assert!(house.status().trial.is_some());
    house.registry.apply(vec![spec(next, Rollout::Shadow)]).unwrap();
    assert!(house.status().trial.is_none());
}

#[test]
fn a_transaction_keeps_what_it_began_with() {
    let canary = Rollout::Canary(patient(100));
    let house = House::of(live(quiet()), spec(primary(), canary));
    let transaction = house.worker.chain(1);
    assert_eq!(house.route_by(&transaction, "SELECT 1"), Decision::Primary);
    house.registry.rollback("router").unwrap();
    assert_eq!(house.route(1, "SELECT 1"), Decision::NoOpinion);
    assert_eq!(house.route_by(&transaction, "SELECT 2 AS b"), Decision::Primary);
}

#[test]
fn the_version_in_force_keeps_its_instances_through_a_trial() {
    let house = House::of(live(quiet()), live(again(quiet(), b'2')));
    let asked = || calls(&house.route(1, "SELECT 'calls'"));
    assert_eq!(asked(), 1);
    house.registry.apply(vec![spec(again(quiet(), b'3'), Rollout::Shadow)]).unwrap();
    assert_eq!(asked(), 2);
    house.registry.rollback("router").unwrap();
    assert_eq!(asked(), 3);
    house.registry.apply(vec![spec(primary(), Rollout::Canary(patient(100)))]).unwrap();
    assert_eq!(house.route(1, "SELECT 'calls'"), Decision::Primary);
    house.registry.rollback("router").unwrap();
    assert_eq!(asked(), 4);
}

#[test]
fn quarantine_ends_by_command() {
    let mut bad = misbehaving("route", "panic", Rollout::Live);
    bad.limits.quarantine_after = 1;
    let house = House::of(live(quiet()), bad);
    assert!(house.registry.release("router").unwrap_err().message.contains("not in quarantine"));
    house.route(1, "SELECT 1");
    assert!(house.status().quarantined);
    house.registry.release("router").unwrap();
    assert!(!house.status().quarantined);
}

#[test]
fn another_component_than_the_pinned_one_is_refused() {
    let house = House::of(live(quiet()), live(quiet()));
    let pinned =
        |bytes: Vec<u8>, pin: &str| PolicySpec { sha256: Some(pin.to_owned()), ..live(bytes) };
    let (old, new) = (sha256(&quiet()), sha256(&primary()));
    let errors = house.registry.apply(vec![pinned(primary(), &old)]).unwrap_err();
    assert!(errors[0].message.contains(&old) && errors[0].message.contains(&new), "{errors:?}");
    assert_eq!(house.route(1, "SELECT 1"), Decision::NoOpinion);
    house.registry.apply(vec![pinned(primary(), &new)]).unwrap();
    assert_eq!(house.route(1, "SELECT 1"), Decision::Primary);
}

#[test]
fn a_compiled_policy_is_kept_and_used_again() {
    use std::os::unix::fs::MetadataExt;
    let directory = tempfile::tempdir().unwrap();
    let kept = directory.path().join("kept");
    let start = || {
        let registry = Registry::new(Options { workers: 1 }).unwrap();
        registry.keep_compiled(&kept, 2).unwrap();
        registry.apply(vec![live(primary())]).unwrap();
        let house = House { worker: registry.worker(0), registry, who: Arc::default() };
        assert_eq!(house.route(1, "SELECT 1"), Decision::Primary);
        let mut files = std::fs::read_dir(&kept).unwrap().map(|file| file.unwrap());
        let file = files.next().unwrap();
        assert!(files.next().is_none(), "one component, one file");
        file
    };
    let first = start();
    assert!(first.file_name().to_str().unwrap().starts_with(&sha256(&primary())));
    let number = first.metadata().unwrap().ino();
    assert_eq!(start().metadata().unwrap().ino(), number, "it was not compiled again");
    // Half of it is none of it.
    let bytes = std::fs::read(first.path()).unwrap();
    std::fs::write(first.path(), &bytes[..bytes.len() / 2]).unwrap();
    let mended = start();
    assert_ne!(mended.metadata().unwrap().ino(), number);
    assert_eq!(std::fs::read(mended.path()).unwrap().len(), bytes.len());
}
