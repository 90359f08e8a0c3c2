#![allow(clippy::unwrap_used)]

use howdah_sdk::{
    Configure, Facts, Failure, Kind, Observation, Observe, Proven, Retry, RetryDecision, Role,
    Safety, Settings, Source, Statement, Target, Tick, Value, testing,
};

use crate::CarefulRetry;

fn failure(sqlstate: Option<&str>, safety: Safety) -> Failure {
    Failure {
        sqlstate: sqlstate.map(str::to_owned),
        node: "a".into(),
        role: Role::Replica,
        safety,
        outcome: Proven::Unknown,
        replayable: true,
        attempt: 1,
        elapsed_ms: 10,
    }
}

fn ask(policy: &mut CarefulRetry, failure: &Failure) -> RetryDecision {
    let statement =
        Statement { sql: "", kind: Kind::Read, digest: 0, facts: Facts::empty(), class: 0 };
    policy.failed(failure, &statement)
}

/// Where to and when, if it is sent again.
fn again(policy: &mut CarefulRetry, failure: &Failure) -> Option<(Target, u32)> {
    match ask(policy, failure) {
        RetryDecision::Again(again) => Some((again.target, again.delay_ms)),
        RetryDecision::GiveUp => None,
        other => panic!("{other:?}"),
    }
}

fn answered(statements: usize, sqlstate: Option<&str>) -> Vec<Observation> {
    let seen = Observation {
        session: 1,
        class: 0,
        kind: Kind::Read,
        digest: 0,
        node: None,
        source: Source::Nobody,
        latency_us: 1,
        waited_us: 0,
        rows: 0,
        bytes: 0,
        sqlstate: sqlstate.map(str::to_owned),
    };
    vec![seen; statements]
}

#[test]
fn only_what_had_no_effect_is_sent_again() {
    for safety in [Safety::Unsent, Safety::Refused, Safety::OnStandby, Safety::Read] {
        assert!(
            again(&mut CarefulRetry::default(), &failure(None, safety)).is_some(),
            "{safety:?}"
        );
    }
    for safety in [Safety::InTransaction, Safety::Commit, Safety::Unknown] {
        let decision = ask(&mut CarefulRetry::default(), &failure(None, safety));
        assert!(matches!(decision, RetryDecision::NoOpinion), "{safety:?}");
    }
}

#[test]
fn it_goes_where_it_may_succeed() {
    let to = |sqlstate, safety| again(&mut CarefulRetry::default(), &failure(sqlstate, safety));
    assert_eq!(to(Some("25006"), Safety::OnStandby), Some((Target::Primary, 0)));
    assert_eq!(to(Some("0A000"), Safety::Refused), Some((Target::Same, 0)));
    assert_eq!(to(Some("57P01"), Safety::Read).unwrap().0, Target::Another);
    assert_eq!(to(None, Safety::Unsent).unwrap().0, Target::Another);
    for state in ["53100", "53200", "57014"] {
        assert_eq!(to(Some(state), Safety::Read), None, "{state}");
    }
}

#[test]
fn pauses_grow_and_are_partly_chance() {
    let pause = |attempt, chance| {
        testing::with(|host| host.random = [chance].into());
        let failed = Failure { attempt, ..failure(None, Safety::Read) };
        let settings = Settings(vec![("attempts".into(), Value::Integer(100))]);
        let mut policy = CarefulRetry::default();
        policy.configure(&settings).unwrap();
        again(&mut policy, &failed).unwrap().1
    };
    assert_eq!((pause(1, 0), pause(1, 25)), (25, 50));
    assert_eq!((pause(2, 0), pause(2, 50)), (50, 100));
    assert_eq!(pause(90, 1_000), 2_000);
}

#[test]
fn attempts_and_time_are_limited_and_full_servers_are_left_alone_sooner() {
    let tried = |sqlstate, attempt, elapsed_ms| {
        let failed = Failure { attempt, elapsed_ms, ..failure(sqlstate, Safety::Refused) };
        again(&mut CarefulRetry::default(), &failed).is_some()
    };
    assert!(tried(Some("57P03"), 2, 4_999));
    assert!(!tried(Some("57P03"), 3, 0));
    assert!(!tried(Some("57P03"), 1, 5_000));
    assert!(tried(Some("53300"), 2, 999));
    assert!(!tried(Some("53300"), 1, 1_000));
}

#[test]
fn retries_are_a_share_of_what_goes_well() {
    let mut policy = CarefulRetry::default();
    let failed = failure(None, Safety::Read);
    let sent =
        |policy: &mut CarefulRetry| (0..1_000).filter(|_| again(policy, &failed).is_some()).count();
    assert_eq!(sent(&mut policy), 5, "the reserve");
    policy.statements(&answered(200, None));
    policy.statements(&answered(200, Some("08006")));
    assert_eq!(sent(&mut policy), 20, "a tenth of what went well");
    policy.statements(&answered(100_000, None));
    assert_eq!(sent(&mut policy), 100, "no hoard");
    assert_eq!(policy.tick(), 1_000);
    assert_eq!(sent(&mut policy), 5, "a second has passed");
    for _ in 0..100 {
        policy.tick();
    }
    assert_eq!(sent(&mut policy), 50, "ten seconds' worth at most");
    testing::with(|host| assert!(host.metrics["budget_empty"] > 0.0));
}

#[test]
fn wrong_settings_are_refused() {
    for (name, value, told) in [
        ("attempts", 0, "at least 1"),
        ("attempts", 101, "at most 100"),
        ("budget-percent", 101, "at most 100"),
        ("delay-ms", 3_000, "at most 2000"),
        ("within", 1, "within-ms"),
    ] {
        let settings = Settings(vec![(name.into(), Value::Integer(value))]);
        assert!(CarefulRetry::default().configure(&settings).unwrap_err().contains(told), "{name}");
    }
}
