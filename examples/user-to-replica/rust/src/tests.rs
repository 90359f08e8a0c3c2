#![allow(clippy::unwrap_used)]

use howdah_sdk::{
    Client, Configure, Decision, Facts, Kind, Route, Session, SessionDecision, Settings, Statement,
    Value,
};

use crate::{LISTED, UserToReplica};

fn policy() -> UserToReplica {
    let mut policy = UserToReplica::default();
    let users = Value::Texts(vec!["report".into()]);
    policy.configure(&Settings(vec![("users".into(), users)])).unwrap();
    policy
}

#[test]
fn listed_users_get_a_class() {
    let class = |user: &str| {
        let client = Client {
            id: 1,
            user: user.into(),
            database: "app".into(),
            application_name: String::new(),
            address: "127.0.0.1".into(),
            parameters: Vec::new(),
        };
        match policy().open(&client) {
            SessionDecision::Accept(admission) => admission.class,
            _ => 0,
        }
    };
    assert_eq!(class("report"), LISTED);
    assert_eq!(class("app"), 0);
}

#[test]
fn only_their_reads_go_to_replicas() {
    let to_replica = |kind, class| {
        let statement = Statement { sql: "", kind, digest: 0, facts: Facts::empty(), class };
        matches!(policy().route(&statement).decision, Decision::Replica(_))
    };
    assert!(to_replica(Kind::Read, LISTED));
    assert!(!to_replica(Kind::Write, LISTED));
    assert!(!to_replica(Kind::Read, 0));
}
