#![allow(clippy::unwrap_used)]

use howdah_sdk::question::ParameterValue;
use howdah_sdk::{Configure, Decision, Facts, Kind, Route, Settings, Statement, Value, testing};

use crate::ShardByKey;

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

fn sharded(settings: &[(&str, Value)]) -> Result<ShardByKey, String> {
    let mut policy = ShardByKey::default();
    let shards = Value::Texts((0..16).map(|i| format!("shard{i}")).collect());
    let mut all = vec![("clusters".to_owned(), shards)];
    all.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    policy.configure(&Settings(all))?;
    Ok(policy)
}

fn ask(policy: &mut ShardByKey, sql: &str, kind: Kind, facts: Facts) -> Result<String, String> {
    let statement = Statement { sql, kind, digest: 0, facts, class: 0 };
    match policy.route(&statement).decision {
        Decision::Cluster(name) => Ok(name),
        Decision::Refuse(refusal) => Err(refusal.sqlstate),
        Decision::NoOpinion => Ok("no opinion".into()),
        Decision::Primary => Ok("primary".into()),
        other => panic!("{other:?}"),
    }
}

fn bound(policy: &mut ShardByKey, value: ParameterValue) -> Result<String, String> {
    testing::with(|host| host.parameters = vec![value]);
    ask(policy, "SELECT $1", Kind::Read, Facts::EXTENDED)
}

#[test]
fn a_key_is_the_same_in_every_format() {
    use ParameterValue::{Binary, Text};
    let uuid = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
    let uuid_bytes = vec![
        0xa0, 0xee, 0xbc, 0x99, 0x9c, 0x0b, 0x4e, 0xf8, 0xbb, 0x6d, 0x6b, 0xb9, 0xbd, 0x38, 0x0a,
        0x11,
    ];
    let formats = [
        (
            "integer",
            vec![
                Text("-42".into()),
                Text(" -042 ".into()),
                Binary((-42_i16).to_be_bytes().to_vec()),
                Binary((-42_i32).to_be_bytes().to_vec()),
                Binary((-42_i64).to_be_bytes().to_vec()),
            ],
        ),
        ("text", vec![Text("größer".into()), Binary("größer".into())]),
        (
            "uuid",
            vec![
                Text(uuid.into()),
                Text(format!("{{{}}}", uuid.to_uppercase())),
                Text(uuid.replace('-', "")),
                Binary(uuid_bytes),
            ],
        ),
    ];
    for (key_type, values) in formats {
        let settings = [
            ("parameter", Value::Integer(1)),
            ("tag", text("key")),
            ("literal", Value::Integer(0)),
            ("key-type", text(key_type)),
        ];
        let mut policy = sharded(&settings).unwrap();
        let ParameterValue::Text(first) = &values[0] else { panic!("the first is a text") };
        testing::with(|host| host.literals = vec![first.clone()]);
        let expected = ask(&mut policy, "", Kind::Read, Facts::empty()).unwrap();
        testing::with(|host| host.literals.clear());
        for value in values.iter().cloned() {
            assert_eq!(bound(&mut policy, value).as_ref(), Ok(&expected), "{key_type}");
        }
        testing::with(|host| host.tags.insert("key".into(), first.clone()));
        assert_eq!(ask(&mut policy, "", Kind::Begin, Facts::empty()), Ok(expected));
        testing::with(|host| host.tags.clear());
    }
}

#[test]
fn what_is_no_key_is_refused() {
    use ParameterValue::{Binary, Null, Text};
    let wrong = [
        ("integer", Null),
        ("integer", Text("seven".into())),
        ("integer", Text("9223372036854775808".into())),
        ("integer", Binary(vec![1, 2, 3])),
        ("text", Binary(vec![0xff])),
        ("uuid", Text("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1".into())),
        ("uuid", Text("a0-eebc999c0b4ef8bb6d6bb9bd380a11".into())),
        ("uuid", Text("{a0eebc999c0b4ef8bb6d6bb9bd380a11".into())),
        ("uuid", Binary(vec![0; 15])),
    ];
    for (key_type, value) in wrong {
        let mut policy = sharded(&[
            ("parameter", Value::Integer(1)),
            ("key-type", text(key_type)),
            ("otherwise", text("primary")),
        ])
        .unwrap();
        assert_eq!(bound(&mut policy, value).unwrap_err(), "22023", "{key_type}");
    }
    let ranges = Value::Texts((0..16).map(|i| format!("{i}..{}", i + 1)).collect());
    let mut policy = sharded(&[("parameter", Value::Integer(1)), ("ranges", ranges)]).unwrap();
    assert_eq!(bound(&mut policy, Text("7".into())), Ok("shard7".into()));
    assert_eq!(bound(&mut policy, Text("16".into())).unwrap_err(), "22023");
}

#[test]
fn without_a_key_the_setting_decides() {
    let mut refusing = sharded(&[("parameter", Value::Integer(1))]).unwrap();
    let mut lenient =
        sharded(&[("parameter", Value::Integer(1)), ("otherwise", text("primary"))]).unwrap();
    testing::with(|host| host.parameters.clear());
    for (sql, kind, facts) in [
        ("SELECT 1", Kind::Read, Facts::empty()),
        ("SELECT $10", Kind::Read, Facts::EXTENDED),
        ("BEGIN", Kind::Begin, Facts::empty()),
    ] {
        assert_eq!(ask(&mut refusing, sql, kind, facts).unwrap_err(), "0A000", "{sql}");
        assert_eq!(ask(&mut lenient, sql, kind, facts), Ok("primary".into()), "{sql}");
    }
    // Described by the first, and routed when it is executed.
    let described = ask(&mut refusing, "SELECT $1", Kind::Read, Facts::EXTENDED);
    assert_eq!(described, Ok("shard0".into()));
    let set = ask(&mut refusing, "SET x = 1", Kind::Session, Facts::empty());
    assert_eq!(set, Ok("no opinion".into()));
    // The first constant of two statements is the key of one of them at most.
    let mut policy = sharded(&[("literal", Value::Integer(0))]).unwrap();
    testing::with(|host| host.literals = vec!["1".into(), "2".into()]);
    let two = ask(&mut policy, "SELECT 1; SELECT 2", Kind::Read, Facts::SEVERAL);
    assert_eq!(two.unwrap_err(), "0A000");
}

#[test]
fn wrong_settings_are_refused() {
    let some = ("parameter", Value::Integer(1));
    for (settings, told) in [
        (vec![], "tag, parameter or literal"),
        (vec![("parameter", Value::Integer(0))], "from 1"),
        (vec![some.clone(), ("key-type", text("date"))], "date"),
        (vec![some.clone(), ("otherwise", text("replica"))], "replica"),
        (vec![some.clone(), ("ranges", Value::Texts(vec!["..".into()]))], "16 clusters"),
        (
            vec![
                some.clone(),
                ("ranges", Value::Texts(vec!["..".into()])),
                ("key-type", text("text")),
            ],
            "of type integer",
        ),
        (vec![some, ("shards", Value::Integer(2))], "clusters"),
    ] {
        assert!(sharded(&settings).unwrap_err().contains(told), "{told}");
    }
    assert!(
        ShardByKey::default().configure(&Settings::default()).unwrap_err().contains("clusters")
    );
}
