#![allow(clippy::unwrap_used)]

use howdah_sdk::{
    Configure, Facts, Kind, Outcome, Remember, Rewrite, Settings, Statement, Value, testing,
};

use crate::{CommentTagger, MAX_TEXT};

fn tagger(settings: &[(&str, Value)]) -> Result<CommentTagger, String> {
    let mut policy = CommentTagger::default();
    let settings = settings.iter().map(|(name, value)| ((*name).into(), value.clone()));
    policy.configure(&Settings(settings.collect()))?;
    Ok(policy)
}

fn ask(policy: &mut CommentTagger, sql: &str, kind: Kind) -> Option<String> {
    let statement = Statement { sql, kind, digest: 0, facts: Facts::empty(), class: 0 };
    match policy.rewrite(&statement).outcome {
        Outcome::Text(text) => Some(text),
        Outcome::Unchanged => None,
        Outcome::Refuse(_) => panic!("nothing is refused"),
    }
}

fn is(user: &str, application: &str) {
    testing::with(|host| {
        host.user = user.into();
        host.database = "shop".into();
        host.application_name = application.into();
    });
}

#[test]
fn a_name_cannot_get_out_of_its_comment() {
    is("al*/ DROP TABLE x; /*", "ü'\\\n--");
    let text = ask(&mut CommentTagger::default(), "SELECT 1", Kind::Read).unwrap();
    assert_eq!(
        text,
        "SELECT 1 /* user='al%2A%2F%20DROP%20TABLE%20x%3B%20%2F%2A',application='%C3%BC%27%5C%0A--' */"
    );
}

#[test]
fn a_line_comment_does_not_swallow_it() {
    is("a", "b");
    let text = ask(&mut CommentTagger::default(), "SELECT 1 -- one", Kind::Read).unwrap();
    assert_eq!(text, "SELECT 1 -- one\n/* user='a',application='b' */");
}

#[test]
fn keys_and_place_are_settings() {
    is("a", "b");
    let keys = Value::Texts(vec!["application".into(), "database".into()]);
    let mut policy = tagger(&[("keys", keys), ("where", Value::Text("before".into()))]).unwrap();
    let text = ask(&mut policy, "SELECT 1 --", Kind::Read).unwrap();
    assert_eq!(text, "/* application='b',database='shop' */ SELECT 1 --");
    for (name, value, told) in [
        ("keys", Value::Texts(vec!["age".into()]), "age"),
        ("keys", Value::Texts(vec!["user".into(), "user".into()]), "twice"),
        ("keys", Value::Texts(Vec::new()), "empty"),
        ("where", Value::Text("under".into()), "under"),
        ("places", Value::Text("before".into()), "where"),
    ] {
        assert!(tagger(&[(name, value)]).unwrap_err().contains(told), "{name}");
    }
}

#[test]
fn what_cannot_have_a_comment_stays() {
    is("a", "b");
    let mut policy = CommentTagger::default();
    assert_eq!(ask(&mut policy, "FROBNICATE", Kind::Unknown), None);
    assert_eq!(ask(&mut policy, " ; ", Kind::Empty), None);
    let long = format!("SELECT '{}'", "x".repeat(MAX_TEXT - 20));
    assert_eq!(ask(&mut policy, &long, Kind::Read), None);
    let statement =
        Statement { sql: "SELECT 1", kind: Kind::Read, digest: 0, facts: Facts::empty(), class: 0 };
    assert_eq!(policy.rewrite(&statement).remember, Remember::Never, "it depends on who asks");
}
