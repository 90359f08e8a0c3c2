#![allow(clippy::unwrap_used)]

use howdah_sdk::{
    Client, Configure, Decision, Facts, Kind, Otherwise, Remember, Route, Session, SessionDecision,
    Settings, Statement, Value, testing,
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

fn with_rules() -> ReadWriteSplit {
    let texts = |name: &str, value: &str| (name.into(), Value::Texts(vec![value.into()]));
    let mut policy = ReadWriteSplit::default();
    let settings = vec![
        texts("users-to-primary", "batch"),
        texts("users-to-replica", "reports"),
        texts("applications-to-primary", "migrate"),
        texts("applications-to-replica", "grafana"),
    ];
    policy.configure(&Settings(settings)).unwrap();
    policy
}

fn class(policy: &mut ReadWriteSplit, user: &str, application: &str) -> u32 {
    let client = Client {
        id: 1,
        user: user.into(),
        database: "shop".into(),
        application_name: application.into(),
        address: "::1".into(),
        parameters: Vec::new(),
    };
    match policy.open(&client) {
        SessionDecision::Accept(admission) => admission.class,
        SessionDecision::NoOpinion => 0,
        SessionDecision::Refuse(_) => panic!("nobody is refused"),
    }
}

#[test]
fn rules_are_by_user_and_by_application_and_the_primary_counts_more() {
    let mut policy = with_rules();
    let cases = [
        ("app", "", Facts::empty(), true),
        ("app", "", Facts::VOLATILE, false),
        ("batch", "", Facts::empty(), false),
        ("app", "migrate", Facts::empty(), false),
        ("reports", "", Facts::VOLATILE, true),
        ("app", "grafana", Facts::VOLATILE, true),
        ("reports", "", Facts::HINT_PRIMARY, false),
        ("reports", "", Facts::LOCKS_ROWS, false),
        ("batch", "grafana", Facts::empty(), false),
    ];
    for (user, application, facts, replica) in cases {
        let class = class(&mut policy, user, application);
        let mut statement = Statement { sql: "", kind: Kind::Read, digest: 0, facts, class };
        let verdict = policy.route(&statement);
        assert_eq!(matches!(verdict.decision, Decision::Replica(_)), replica, "{user} {facts:?}");
        assert_ne!(verdict.remember, Remember::Never, "the class tells who asks");
        // Without a class of its own it looks.
        testing::with(|host| {
            host.user = user.into();
            host.application_name = application.into();
        });
        statement.class = 7;
        let verdict = policy.route(&statement);
        assert_eq!(matches!(verdict.decision, Decision::Replica(_)), replica, "{user} {facts:?}");
        assert_ne!(verdict.remember, Remember::DigestAndClass, "class 7 is another policy's");
    }
    let write =
        Statement { sql: "", kind: Kind::Write, digest: 0, facts: Facts::empty(), class: 0 };
    assert_eq!(policy.route(&write).remember, Remember::Digest, "a write is one for everybody");
}

#[test]
fn a_class_belongs_to_the_rules_that_gave_it() {
    let mut policy = with_rules();
    let before = class(&mut policy, "batch", "");
    let users = Value::Texts(vec!["other".into()]);
    policy.configure(&Settings(vec![("users-to-primary".into(), users)])).unwrap();
    let statement =
        Statement { sql: "", kind: Kind::Read, digest: 0, facts: Facts::empty(), class: before };
    testing::with(|host| host.user = "batch".into());
    let verdict = policy.route(&statement);
    assert!(matches!(verdict.decision, Decision::Replica(_)), "the rule is gone");
    assert_eq!(verdict.remember, Remember::Never);
    policy.configure(&Settings::default()).unwrap();
    assert_eq!(class(&mut policy, "batch", ""), 0, "without rules others may give classes");
    assert_eq!(policy.route(&statement).remember, Remember::Digest);
}
