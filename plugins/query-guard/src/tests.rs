#![allow(clippy::unwrap_used)]

use howdah_sdk::{
    Configure, Facts, Kind, Outcome, Remember, Rewrite, Settings, Statement, Value, testing,
};

use crate::QueryGuard;

fn guard(settings: &[(&str, Value)]) -> QueryGuard {
    let mut policy = QueryGuard::default();
    let settings = settings.iter().map(|(name, value)| ((*name).into(), value.clone()));
    policy.configure(&Settings(settings.collect())).unwrap();
    policy
}

/// What the client is told; none when it passes.
fn refused(policy: &mut QueryGuard, kind: Kind, facts: Facts, digest: u64) -> Option<String> {
    let statement = Statement { sql: "", kind, digest, facts, class: 0 };
    match policy.rewrite(&statement).outcome {
        Outcome::Refuse(refusal) => {
            assert_eq!(refusal.sqlstate, "42501");
            Some(refusal.message)
        }
        _ => None,
    }
}

#[test]
fn each_rule_is_off_until_it_is_set() {
    let texts = |all: &[&str]| Value::Texts(all.iter().map(|one| (*one).to_owned()).collect());
    let rules = [
        ("unbounded", Value::Boolean(true), Kind::Write, Facts::UNBOUNDED, 1),
        ("several", Value::Boolean(true), Kind::Read, Facts::SEVERAL, 1),
        ("ddl-users", texts(&["dba"]), Kind::Ddl, Facts::empty(), 1),
        ("ddl-users", texts(&[]), Kind::Unknown, Facts::empty(), 1),
        ("ddl-applications", texts(&["migrate"]), Kind::Ddl, Facts::empty(), 1),
        ("deny", texts(&["00000000000000ff", "0000000000000001"]), Kind::Read, Facts::empty(), 255),
    ];
    for (name, value, kind, facts, digest) in rules {
        assert_eq!(refused(&mut QueryGuard::default(), kind, facts, digest), None, "{name}");
        let mut policy = guard(&[(name, value)]);
        let message = refused(&mut policy, kind, facts, digest).unwrap();
        let rule = name.split('-').next().unwrap();
        assert!(message.contains(&format!("rule {rule}")), "{message}");
        assert_eq!(refused(&mut policy, Kind::Write, Facts::empty(), 2), None, "{name}");
    }
}

#[test]
fn the_schema_is_for_those_who_are_listed() {
    let mut policy = guard(&[
        ("ddl-users", Value::Texts(vec!["dba".into()])),
        ("ddl-applications", Value::Texts(vec!["migrate".into()])),
    ]);
    for (user, application, passes) in
        [("app", "web", false), ("dba", "web", true), ("app", "migrate", true)]
    {
        testing::with(|host| {
            host.user = user.into();
            host.application_name = application.into();
        });
        let told = refused(&mut policy, Kind::Ddl, Facts::empty(), 0);
        assert_eq!(told.is_none(), passes, "{user} {application}");
    }
}

#[test]
fn a_warning_lets_pass_and_is_counted_each_time() {
    let mut policy =
        guard(&[("mode", Value::Text("warn".into())), ("unbounded", Value::Boolean(true))]);
    let facts = Facts::UNBOUNDED;
    let statement = Statement { sql: "", kind: Kind::Write, digest: 1, facts, class: 0 };
    for _ in 0..2 {
        let verdict = policy.rewrite(&statement);
        assert!(matches!(verdict.outcome, Outcome::Unchanged));
        assert_eq!(verdict.remember, Remember::Never);
    }
    testing::with(|host| {
        assert_eq!(host.metrics["warned"], 2.0);
        assert_eq!(host.metrics["rule_unbounded"], 2.0);
        assert!(host.lines[0].1.contains("digest 0000000000000001"), "{}", host.lines[0].1);
    });
    let read = Statement { kind: Kind::Read, facts: Facts::empty(), ..statement };
    assert_eq!(policy.rewrite(&read).remember, Remember::Digest);
}

#[test]
fn wrong_settings_are_refused() {
    let wrong = |name: &str, value| {
        QueryGuard::default().configure(&Settings(vec![(name.into(), value)])).unwrap_err()
    };
    assert!(wrong("mode", Value::Text("loud".into())).contains("loud"));
    assert!(wrong("unbounded", Value::Integer(1)).contains("true or false"));
    assert!(wrong("unbound", Value::Boolean(true)).contains("unbounded"));
    for text in ["ff", "+0000000000000ff", "00000000000000fg", ""] {
        assert!(wrong("deny", Value::Texts(vec![text.into()])).contains("16 hexadecimal"));
    }
}
