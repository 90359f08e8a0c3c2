//! What policies may look at, keep, and be told beside the questions.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use howdah_decision::{Again, Decision, Facts, Parameter, Retry, Rewrite, Safety, Target};
use howdah_e2e::house::{House, Known, first, hostile, misbehaving, scan, spec, well};
use howdah_policy::{OnFailure, Options, PolicySpec, Question, Registry};

/// What may change between two questions is not remembered, and what changes seldom as long as it does not.
#[test]
fn answers_are_remembered_as_long_as_what_they_looked_at_stays() {
    let calls = |house: &House| house.registry.status()[0].calls;
    for mode in ["clock", "random", "shared", "parameter"] {
        let house = House::of(vec![misbehaving("route", mode)]);
        let first = house.value("SELECT 1");
        let second = house.value("SELECT 1");
        assert_eq!(calls(&house), 2, "{mode}");
        assert!(first != second || mode == "parameter", "{mode}: {first}");
    }
    let house = House::of(vec![misbehaving("route", "literal")]);
    for i in ["1", "2", "1", "2"] {
        assert_eq!(house.value(&format!("SELECT {i}")), i);
    }
    assert_eq!(calls(&house), 2);
    let house = House::of(vec![misbehaving("route", "relations")]);
    assert_eq!(house.value("SELECT 1 FROM t"), "t");
    assert_eq!(house.value("SELECT 2 FROM T"), "t");
    assert_eq!(calls(&house), 1);
    let house = House::of(vec![misbehaving("route", "nodes")]).with_nodes(&[("a", true)]);
    for _ in 0..2 {
        assert_eq!(house.value("SELECT 1"), "a");
    }
    assert_eq!(calls(&house), 1);
    house.registry.topology(2, Arc::new([]));
    assert!(matches!(house.route("SELECT 1"), Decision::Answer(table) if table.rows.is_empty()));
    let mut house = House::of(vec![misbehaving("route", "catalog")]);
    for (loads, told) in [(1, "Volatility::Immutable"), (2, "Volatility::Volatile")] {
        house.background.loads = loads;
        for _ in 0..2 {
            assert_eq!(house.value("SELECT 1"), told);
        }
        assert_eq!(calls(&house), loads);
    }
}

/// Whoever wants to know what policies cost, or whether they allow too much, has them asked every time.
#[test]
fn nothing_is_remembered_where_nothing_is_to_be() {
    let calls = |house: &House| house.registry.status()[0].calls;
    for (remember, expected) in [(true, 1), (false, 3)] {
        let house = House::of(vec![well()]);
        if !remember {
            house.registry.remember_nothing();
        }
        for _ in 0..3 {
            assert_eq!(house.route("SELECT 1"), Decision::Primary);
        }
        assert_eq!(calls(&house), expected);
    }
}

#[test]
fn a_policy_sees_what_is_bound() {
    let mut house = House::of(vec![misbehaving("route", "parameter")]);
    assert_eq!(house.value("SELECT $1"), "None");
    let bound = [
        (Parameter::Null, "Some(ParameterValue::Null)"),
        (Parameter::Text("x".into()), "Some(ParameterValue::Text(\"x\"))"),
        (Parameter::Binary(vec![0, 1]), "Some(ParameterValue::Binary([0, 1]))"),
    ];
    for (value, told) in bound {
        house.background.bound = Some(vec![value]);
        assert_eq!(house.value("SELECT $1"), told);
    }
}

#[test]
fn a_flood_of_shared_values_ends_at_the_quota_and_they_outlive_the_version() {
    let mut flood = misbehaving("route", "flood");
    flood.limits.kv_keys = 100;
    let house = House::of(vec![flood.clone()]);
    assert_eq!(house.value("SELECT 1"), "Some(100)");
    flood.limits.kv_keys = 200;
    flood.limits.memory += 1 << 16;
    house.registry.apply(vec![flood.clone()]).unwrap();
    assert_eq!(house.value("SELECT 1"), "Some(200)");
    let mut narrow = flood.clone();
    narrow.limits.kv_bytes = 1_000;
    narrow.kv_space = Some("narrow".into());
    house.registry.apply(vec![narrow]).unwrap();
    assert_eq!(house.value("SELECT 1"), "Some(14)");
    // Policies that name one space share what is in it.
    let sharing = |name: &str, space: &str| PolicySpec {
        name: name.into(),
        kv_space: Some(space.into()),
        ..misbehaving("route", "shared")
    };
    let house = House::of(vec![sharing("a", "s")]);
    assert_eq!(house.value("SELECT 1"), "1");
    house.registry.apply(vec![sharing("b", "s")]).unwrap();
    assert_eq!(house.value("SELECT 1"), "2");
    house.registry.apply(vec![sharing("b", "t")]).unwrap();
    assert_eq!(house.value("SELECT 1"), "1");
}

#[test]
fn state_goes_over_to_the_next_version_and_what_does_not_change_stays() {
    let version = |name: &str, memory| {
        let mut spec = misbehaving("", "");
        spec.name = name.into();
        spec.limits.memory = memory;
        spec
    };
    let house = House::of(vec![version("a", 8 << 20), well()]);
    assert_eq!(house.value("SELECT 'calls'"), "1");
    // Another policy of the chain changes: the instance stays.
    let other = PolicySpec { on_failure: OnFailure::Open, ..well() };
    house.registry.apply(vec![version("a", 8 << 20), other.clone()]).unwrap();
    assert_eq!(house.value("SELECT 'calls'"), "2");
    // Another version: it is told what the old one knew.
    house.registry.apply(vec![version("a", 9 << 20), other.clone()]).unwrap();
    assert_eq!(house.value("SELECT 'calls'"), "3");
    // Another policy by the same component is not.
    house.registry.apply(vec![version("b", 9 << 20), other]).unwrap();
    assert_eq!(house.value("SELECT 'calls'"), "1");
    assert_eq!(house.failures(), 0);
}

/// Each worker's instances know what was asked there, and so do those that follow them.
#[test]
fn each_worker_hands_its_own_state_over() {
    let registry = Registry::new(Options { workers: 2 }).unwrap();
    let version = |number: usize| {
        let mut spec = misbehaving("", "");
        spec.limits.memory += number << 16;
        registry.apply(vec![spec]).unwrap();
    };
    let house = |index| {
        let (registry, worker) = (Arc::clone(&registry), registry.worker(index));
        House { registry, worker, who: Arc::default(), background: Known::default() }
    };
    let (busy, idle) = (house(0), house(1));
    let calls = |house: &House| house.value("SELECT 'calls'");
    version(0);
    for i in 1..=3 {
        assert_eq!(calls(&busy), i.to_string());
    }
    assert_eq!(calls(&idle), "1");
    let transaction = idle.worker.chain(0);
    version(1);
    assert_eq!(calls(&busy), "4");
    // One that has had nothing to do meanwhile goes from the first version to the third.
    version(2);
    assert_eq!((calls(&busy), calls(&idle)), ("5".into(), "2".into()));
    // What the old instance learns afterwards is lost.
    let by_old = |q: &Question<'_>| idle.worker.route(&transaction, q).verdict.decision.clone();
    assert_eq!(first(&idle.ask("SELECT 'calls'", 0, |_, q| by_old(q))), "2");
    assert_eq!(calls(&idle), "3");
    // A worker that has seen the policy gone begins anew.
    registry.apply(Vec::new()).unwrap();
    assert_eq!(busy.route("SELECT 'calls'"), Decision::NoOpinion);
    version(3);
    assert_eq!(calls(&busy), "1");
    assert!(registry.status()[0].failures == 0);
}

#[test]
fn a_state_that_cannot_go_over_is_lost_and_nothing_else() {
    let cases = [
        ("snapshot", "giant"),
        ("snapshot", "panic"),
        ("snapshot", "loop"),
        ("restore", "refuse"),
        ("restore", "panic"),
        ("restore", "loop"),
    ];
    for (hook, mode) in cases {
        let house = House::of(vec![misbehaving(hook, mode)]);
        assert_eq!(house.value("SELECT 'calls'"), "1");
        let mut next = misbehaving(hook, mode);
        next.limits.memory += 1 << 16;
        house.registry.apply(vec![next]).unwrap();
        assert_eq!(house.value("SELECT 'calls'"), "1", "{hook} {mode}");
        assert_eq!(house.failures(), 0);
    }
}

#[test]
fn a_living_instance_gets_new_settings_and_a_transaction_keeps_the_old_ones() {
    let house = House::of(vec![misbehaving("", "")]);
    assert_eq!(house.value("SELECT 'calls'"), "1");
    let transaction = house.worker.chain(0);
    house.registry.apply(vec![misbehaving("rewrite", "append")]).unwrap();
    assert_eq!(house.value("SELECT 'calls'"), "2", "the instance is another one");
    let Rewrite::Text(text) = house.rewrite("SELECT 1") else { panic!("the settings are the old") };
    assert_eq!(&*text, "SELECT 1 /* seen */");
    let statement = scan("SELECT 1");
    let interest = transaction.interest("", "", "main");
    let q = Question {
        sql: "SELECT 1",
        statement: &statement,
        extra: Facts::IN_TRANSACTION,
        class: 0,
        who: &house.who,
        interest,
        background: &(),
    };
    assert_eq!(house.worker.rewrite(&transaction, &q, &scan), Rewrite::Unchanged);
    // Settings that it does not accept change nothing.
    let refused = house.registry.apply(vec![spec(hostile(), &[("mood", "bad")])]).unwrap_err();
    assert!(refused[0].to_string().contains("unknown setting mood"));
    assert_eq!(house.value("SELECT 'calls'"), "3");
}

#[test]
fn time_passes_for_every_instance_that_wants_to_know() {
    let house = House::of(vec![misbehaving("", "")]);
    house.tick_soon();
    house.tick_soon();
    assert_eq!(house.value("SELECT 'ticks'"), "2");
    let house = House::of(vec![misbehaving("tick", "once")]);
    assert_eq!((house.worker.tick(), house.worker.tick()), (None, None));
    assert_eq!(house.value("SELECT 'ticks'"), "1");
}

#[test]
fn observations_come_in_batches_and_are_dropped_when_there_are_too_many() {
    let house = House::of(vec![misbehaving("", ""), well()]);
    house.observe(600);
    assert_eq!(house.value("SELECT 'largest'"), "256");
    assert_eq!(house.registry.status()[0].calls, 4);
    assert_eq!(
        house.value("SELECT 'observed'"),
        "Kind::Read Some(\"a\") Source::Policy 2 None true true"
    );
    assert_eq!(house.registry.status()[0].unobserved, 0);
    house.observe(8_192 + 5);
    assert_eq!(house.registry.status()[0].unobserved, 5);
    assert_eq!(house.registry.status()[1].unobserved, 0, "it has no such hook");
}

#[test]
fn a_retry_is_what_its_safety_allows() {
    let retry = |mode, safety| {
        let house = House::of(vec![misbehaving("retry", mode), well()]);
        (house.retry(safety), house.last_failure())
    };
    let again = Retry::Again(Again { target: Target::Another, delay_ms: 5 });
    assert_eq!(retry("again", Safety::Read).0, again);
    assert_eq!(retry("give up", Safety::Unknown).0, Retry::GiveUp);
    let (decision, told) = retry("again", Safety::Unknown);
    assert_eq!(decision, Retry::NoOpinion);
    assert!(told.contains("cannot be sent again"), "{told}");
    let (decision, told) = retry("replay", Safety::InTransaction);
    assert_eq!(decision, Retry::NoOpinion);
    assert!(told.contains("cannot be replayed"), "{told}");
}
