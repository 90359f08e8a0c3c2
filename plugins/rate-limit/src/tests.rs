#![allow(clippy::unwrap_used)]

use std::time::Duration;

use howdah_sdk::{
    Configure, Decision, Facts, Kind, Remember, Route, Settings, Statement, Value, testing,
};

use crate::RateLimit;

fn limiter(settings: &[(&str, Value)]) -> Result<RateLimit, String> {
    let mut policy = RateLimit::default();
    let settings = settings.iter().map(|(name, value)| ((*name).into(), value.clone()));
    policy.configure(&Settings(settings.collect()))?;
    Ok(policy)
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

/// What a request is told; none when it passes.
fn ask(policy: &mut RateLimit) -> Option<String> {
    let statement =
        Statement { sql: "", kind: Kind::Read, digest: 0, facts: Facts::empty(), class: 0 };
    let verdict = policy.route(&statement);
    assert_eq!(verdict.remember, Remember::Never, "each is counted");
    match verdict.decision {
        Decision::NoOpinion => None,
        Decision::Refuse(refusal) => {
            assert_eq!(refusal.sqlstate, "53400");
            Some(refusal.message)
        }
        other => panic!("{other:?}"),
    }
}

/// How many of this many requests pass.
fn passing(policy: &mut RateLimit, requests: usize) -> usize {
    (0..requests).filter(|_| ask(policy).is_none()).count()
}

/// The clock goes on.
fn pass(ms: u64) {
    testing::with(|host| host.now += Duration::from_millis(ms));
}

fn user(name: &str) {
    testing::with(|host| host.user = name.into());
}

#[test]
fn a_burst_passes_and_then_the_pace_counts() {
    let settings = [("per-second", Value::Integer(10)), ("burst", Value::Integer(20))];
    let mut policy = limiter(&settings).unwrap();
    user("alice");
    assert_eq!(passing(&mut policy, 50), 20);
    let told = ask(&mut policy).unwrap();
    assert_eq!(told, "rate-limit: user \"alice\" may send 10 requests per second, 20 at once");
    user("bob");
    assert_eq!(passing(&mut policy, 50), 20, "each has its own");
    user("alice");
    // For a minute it asks every 10 ms: the pace is kept, though most is refused.
    let mut passed = 0;
    for _ in 0..6_000 {
        pass(10);
        passed += passing(&mut policy, 1);
    }
    assert!((580..=620).contains(&passed), "{passed} in a minute");
}

#[test]
fn no_two_halves_of_windows_let_twice_as_much_pass() {
    let mut policy = limiter(&[("per-second", Value::Integer(100))]).unwrap();
    pass(950);
    assert_eq!(passing(&mut policy, 1_000), 100);
    pass(100);
    let more = passing(&mut policy, 1_000);
    assert!(more <= 6, "{more} more within a tenth of a second");
}

#[test]
fn names_have_limits_of_their_own() {
    let mut policy = limiter(&[
        ("per-second", Value::Integer(4)),
        ("burst", Value::Integer(8)),
        ("limits.batch", Value::Integer(1)),
        ("key", text("tag:tenant")),
    ])
    .unwrap();
    testing::with(|host| host.tags.insert("tenant".into(), "batch".into()));
    assert_eq!(passing(&mut policy, 10), 2);
    assert!(ask(&mut policy).unwrap().contains("tenant \"batch\" may send 1 "));
    testing::with(|host| host.tags.insert("tenant".into(), "x".repeat(10_000)));
    assert_eq!(passing(&mut policy, 10), 8);
    testing::with(|host| host.tags.clear());
    assert_eq!(passing(&mut policy, 10), 8, "those without share one");
}

#[test]
fn a_warning_lets_pass() {
    let settings =
        [("per-second", Value::Integer(1)), ("mode", text("warn")), ("key", text("application"))];
    let mut policy = limiter(&settings).unwrap();
    assert_eq!(passing(&mut policy, 3), 3);
    testing::with(|host| {
        assert_eq!(host.metrics["warned"], 2.0);
        assert!(host.lines[0].1.contains("application \"\""));
    });
}

#[test]
fn without_room_for_counts_requests_pass() {
    let mut policy = limiter(&[("per-second", Value::Integer(1))]).unwrap();
    testing::with(|host| host.kv_keys = Some(0));
    assert_eq!(passing(&mut policy, 3), 3);
    testing::with(|host| assert_eq!(host.metrics["uncounted"], 3.0));
}

#[test]
fn wrong_settings_are_refused() {
    let some = ("per-second", Value::Integer(1));
    for (settings, told) in [
        (vec![], "per-second is needed"),
        (vec![("per-second", Value::Integer(0))], "from 1"),
        (vec![("per-second", Value::Integer(i64::MAX))], "from 1"),
        (vec![some.clone(), ("limits.a", Value::Integer(0))], "limits.a"),
        (vec![some.clone(), ("key", text("tag:"))], "tag:NAME"),
        (vec![some.clone(), ("mode", text("loud"))], "loud"),
        (vec![some, ("bursts", Value::Integer(1))], "burst"),
    ] {
        assert!(limiter(&settings).unwrap_err().contains(told), "{told}");
    }
}
