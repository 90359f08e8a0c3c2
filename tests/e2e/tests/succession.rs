//! Versions on trial, and what they are told, keep and hand on beside the questions.
#![allow(clippy::unwrap_used)]

use std::rc::Rc;
use std::time::{Duration, Instant};

use howdah_decision::{Again, Facts, Parameter, Retry, Safety, Target};
use howdah_e2e::house::{House, first, misbehaving, scan, well};
use howdah_e2e::wait;
use howdah_policy::{Canary, Chain, PolicySpec, Question, Rollout, TrialStatus};

/// A canary that nothing but a command ends.
fn canary(share: u32) -> Rollout {
    Rollout::Canary(Canary {
        share,
        promote_after: Duration::from_secs(3_600),
        max_failures: 1_000_000,
        max_latency: Duration::from_secs(1),
        max_disagreement: 100,
    })
}

/// The next version of a policy: another component that does the same, with one more custom section.
fn next(spec: PolicySpec, rollout: Rollout) -> PolicySpec {
    let bytes = [&*spec.bytes, &[0, 3, 1, b'v', b'2']].concat();
    PolicySpec { bytes: bytes.into(), rollout, ..spec }
}

fn house(old: PolicySpec, new: PolicySpec) -> House {
    let house = House::of(vec![old]);
    house.registry.apply(vec![new]).unwrap();
    house
}

fn trial(house: &House) -> TrialStatus {
    house.registry.status().remove(0).trial.unwrap()
}

/// Waits until so many questions have had a second opinion.
fn compared(house: &House, many: u64) {
    wait("second opinions", || trial(house).agreed + trial(house).disagreed >= many);
}

/// How many questions the instances of a chain know of.
fn calls(house: &House, chain: &Rc<Chain>) -> String {
    let sql = "SELECT 'calls'";
    let interest = chain.interest("", "", "main");
    let statement = scan(sql);
    let (extra, class, who) = (Facts::NONE, 0, &house.who);
    let background = &house.background;
    let q = Question { sql, statement: &statement, extra, class, who, interest, background };
    first(&house.worker.route(chain, &q).verdict.decision)
}

#[test]
fn a_version_begins_with_what_the_one_before_it_knows() {
    let version = misbehaving("", "");
    let house = House::of(vec![version.clone()]);
    assert_eq!(house.value("SELECT 'calls'"), "1");
    let transaction = house.worker.chain(0);
    // A canary is told when it begins, and not again when another generation does.
    let new = next(version.clone(), canary(100));
    house.registry.apply(vec![new.clone()]).unwrap();
    assert_eq!(house.value("SELECT 'calls'"), "2");
    house.registry.apply(vec![new, well()]).unwrap();
    assert_eq!(house.value("SELECT 'calls'"), "3");
    house.worker.tick();
    assert_eq!(house.value("SELECT 'ticks'"), "1");
    // When it is promoted it is told what the version in force has learned meanwhile.
    for known in 2..10 {
        assert_eq!(calls(&house, &transaction), known.to_string());
    }
    house.registry.promote("bad").unwrap();
    assert_eq!(house.value("SELECT 'calls'"), "10");
    assert_eq!(house.value("SELECT 'ticks'"), "0", "the instance that is told was asked before");
    // So is what a rollback puts back, and a shadow that is promoted.
    house.registry.rollback("bad").unwrap();
    assert_eq!(house.value("SELECT 'calls'"), "12");
    let shadow =
        PolicySpec { bytes: [&*version.bytes, &[0, 2, 1, b'w']].concat().into(), ..version };
    house.registry.apply(vec![PolicySpec { rollout: Rollout::Shadow, ..shadow }]).unwrap();
    assert_eq!(house.value("SELECT 'calls'"), "13");
    house.registry.promote("bad").unwrap();
    assert_eq!(house.value("SELECT 'calls'"), "14");
    assert_eq!(house.failures(), 0);
}

#[test]
fn a_canary_that_has_no_state_to_be_told_goes_on_when_it_is_promoted() {
    let house =
        house(well(), next(PolicySpec { name: "well".into(), ..misbehaving("", "") }, canary(100)));
    assert_eq!(house.value("SELECT 'calls'"), "1");
    house.registry.promote("well").unwrap();
    assert_eq!(house.value("SELECT 'calls'"), "2");
}

#[test]
fn a_canary_decides_what_becomes_of_failed_statements_and_a_shadow_does_not() {
    let decided = |mode, rollout| {
        let new = next(misbehaving("retry", mode), rollout);
        let house = house(misbehaving("retry", "give up"), new);
        let decision = house.retry(Safety::Read);
        let trial = trial(&house);
        assert_eq!(house.failures(), 0);
        (decision, trial.calls, trial.failures, trial.skipped)
    };
    let again = Retry::Again(Again { target: Target::Another, delay_ms: 5 });
    assert_eq!(decided("again", canary(100)), (again, 1, 0, 0));
    assert_eq!(decided("again", Rollout::Shadow), (Retry::GiveUp, 0, 0, 0));
    // The version in force answers what a canary fails to answer.
    assert_eq!(decided("panic", canary(100)), (Retry::GiveUp, 1, 1, 0));
}

#[test]
fn a_canary_is_told_of_all_statements_and_of_the_time_and_a_shadow_is_not() {
    for (rollout, told) in [(canary(1), 1), (Rollout::Shadow, 0)] {
        // The version in force has no such hooks.
        let old = PolicySpec { name: "bad".into(), ..well() };
        let house = house(old, next(misbehaving("", ""), rollout));
        house.observe(1);
        assert_eq!(trial(&house).calls, told);
        assert_eq!(house.worker.tick().is_some(), told > 0);
        assert_eq!(trial(&house).calls, 2 * told);
        house.observe(8_192 + 5);
        assert_eq!(house.registry.status()[0].calls, 0);
    }
    // Both have them.
    let house = house(misbehaving("", ""), next(misbehaving("", ""), canary(1)));
    house.observe(1);
    house.worker.tick();
    assert_eq!((house.registry.status()[0].calls, trial(&house).calls), (2, 2));
}

#[test]
fn a_canary_that_was_only_told_the_time_is_not_promoted() {
    let Rollout::Canary(judged) = canary(1) else { panic!() };
    let rollout = Rollout::Canary(Canary { promote_after: Duration::ZERO, ..judged });
    let house = house(misbehaving("", ""), next(misbehaving("", ""), rollout));
    house.worker.tick();
    assert_eq!(trial(&house).calls, 1);
    // Longer than the judge needs: it looks at trials ten times a second.
    let until = Instant::now() + Duration::from_millis(500);
    wait("half a second", || {
        assert!(house.registry.status()[0].trial.is_some());
        Instant::now() >= until
    });
}

#[test]
fn a_second_opinion_changes_no_shared_value() {
    let version = misbehaving("route", "shared");
    let count = |house: &House, from: u64| {
        for i in 0..5 {
            assert_eq!(house.value("SELECT 1"), (from + i).to_string());
            compared(house, i + 1);
        }
    };
    let house = house(version.clone(), next(version.clone(), Rollout::Shadow));
    count(&house, 1);
    // A canary shares them, and the version in force that is asked beside it does not.
    house.registry.apply(vec![next(version, canary(100))]).unwrap();
    count(&house, 6);
    house.registry.promote("bad").unwrap();
    assert_eq!(house.value("SELECT 1"), "11");
}

#[test]
fn a_second_opinion_sees_what_is_bound_and_what_is_known() {
    for mode in ["parameter", "catalog"] {
        let version = misbehaving("route", mode);
        let mut house = house(version.clone(), next(version, Rollout::Shadow));
        house.background.bound = Some(vec![Parameter::Text("x".into())]);
        house.value("SELECT $1");
        compared(&house, 1);
        assert_eq!((trial(&house).agreed, trial(&house).disagreed), (1, 0), "{mode}");
    }
}
