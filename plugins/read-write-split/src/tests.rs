#![allow(clippy::unwrap_used)]

use howdah_sdk::{
    Configure, Decision, Facts, Kind, Otherwise, Remember, Route, Settings, Statement, Value,
    testing,
};

use crate::ReadWriteSplit;

fn ask(policy: &mut ReadWriteSplit, kind: Kind, facts: Facts) -> Decision {
    let statement = Statement { sql: "", kind, digest: 0, facts, class: 0 };
    policy.route(&statement).decision
}

fn to_replica(kind: Kind, facts: Facts) -> bool {
    matches!(ask(&mut ReadWriteSplit::default(), kind, facts), Decision::Replica(_))
}

#[test]
fn only_reads_go_to_replicas() {
    assert!(to_replica(Kind::Read, Facts::empty()));
    assert!(to_replica(Kind::Read, Facts::SEVERAL | Facts::EXTENDED | Facts::COPY));
    for kind in [
        Kind::Write,
        Kind::Ddl,
        Kind::Begin,
        Kind::End,
        Kind::Session,
        Kind::Utility,
        Kind::Unknown,
    ] {
        assert!(!to_replica(kind, Facts::empty()), "{kind:?}");
        assert!(!to_replica(kind, Facts::HINT_REPLICA), "{kind:?}");
    }
    for facts in [Facts::LOCKS_ROWS, Facts::VOLATILE, Facts::STICKY, Facts::HINT_PRIMARY] {
        assert!(!to_replica(Kind::Read, facts), "{facts:?}");
    }
    assert!(to_replica(Kind::Begin, Facts::READ_ONLY));
    assert!(!to_replica(Kind::Begin, Facts::READ_ONLY | Facts::SEVERAL));
}

#[test]
fn a_hint_vouches_for_functions_but_not_for_locks() {
    assert!(to_replica(Kind::Read, Facts::VOLATILE | Facts::HINT_REPLICA));
    assert!(!to_replica(Kind::Read, Facts::LOCKS_ROWS | Facts::HINT_REPLICA));
    assert!(!to_replica(Kind::Read, Facts::HINT_PRIMARY | Facts::HINT_REPLICA));
}

#[test]
fn settings_become_demands() {
    let mut policy = ReadWriteSplit::default();
    let settings = vec![
        ("label".to_owned(), Value::Text("zone=a".into())),
        ("max-lag-ms".to_owned(), Value::Integer(500)),
        ("otherwise".to_owned(), Value::Text("wait".into())),
    ];
    policy.configure(&Settings(settings)).unwrap();
    let Decision::Replica(demands) = ask(&mut policy, Kind::Read, Facts::empty()) else {
        panic!("not to a replica");
    };
    assert_eq!(demands.max_lag_ms, Some(500));
    assert_eq!(demands.label, Some(("zone".into(), "a".into())));
    assert_eq!(demands.otherwise, Otherwise::Wait);
}

#[test]
fn wrong_settings_are_refused() {
    let configure = |name: &str, value| {
        ReadWriteSplit::default().configure(&Settings(vec![(name.into(), value)])).unwrap_err()
    };
    assert!(configure("max-lag", Value::Integer(1)).contains("max-lag-ms"));
    assert!(configure("max-lag-ms", Value::Integer(-1)).contains("whole number"));
    assert!(configure("otherwise", Value::Text("panic".into())).contains("panic"));
    assert!(configure("label", Value::Text("zone".into())).contains("key=value"));
}

#[test]
fn users_can_be_kept_on_the_primary() {
    let mut policy = ReadWriteSplit::default();
    let users = Value::Texts(vec!["batch".into()]);
    policy.configure(&Settings(vec![("users-to-primary".into(), users)])).unwrap();
    let statement =
        Statement { sql: "", kind: Kind::Read, digest: 0, facts: Facts::empty(), class: 0 };
    testing::with(|host| host.user = "batch".into());
    assert!(matches!(policy.route(&statement).decision, Decision::Primary));
    testing::with(|host| host.user = "app".into());
    let verdict = policy.route(&statement);
    assert!(matches!(verdict.decision, Decision::Replica(_)));
    assert!(matches!(verdict.remember, Remember::Never), "it depends on who asks");
}
