//! What a case expects.

use howdah_decision::{
    Admission, Decision, Demands, Otherwise, PoolMode, Remember, Rewrite, Table,
};
use toml::Value;

use crate::config::suggestion;

/// One thing that must be true of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Expected {
    /// `route` decides so, whatever the details.
    Kind(&'static str),
    /// `route` decides exactly so.
    Decision(Decision),
    /// The client gets this SQLSTATE, and this message if one is given.
    Refusal(String, Option<String>),
    /// The policy fails.
    Failure,
    /// The text becomes this.
    Rewrite(Rewrite),
    /// The answer may be remembered for so long.
    Remember(Remember),
    /// The client is let in; with exactly this, if it is given.
    Admitted(Option<Box<Admission>>),
}

/// The words for decisions without details.
const DECISIONS: [&str; 9] =
    ["no-opinion", "primary", "replica", "node", "cluster", "refuse", "answer", "pin", "failure"];
const REMEMBER: [(&str, Remember); 5] = [
    ("never", Remember::Never),
    ("text", Remember::Text),
    ("text-and-class", Remember::TextAndClass),
    ("digest", Remember::Digest),
    ("digest-and-class", Remember::DigestAndClass),
];

/// The word for how long an answer may be remembered.
pub fn remember_name(remember: Remember) -> &'static str {
    REMEMBER.iter().find(|(_, one)| *one == remember).map_or("", |(name, _)| name)
}

pub(super) fn remember(word: &str) -> Result<Expected, String> {
    let found = REMEMBER.iter().find(|(name, _)| *name == word);
    found.map(|(_, remember)| Expected::Remember(*remember)).ok_or_else(|| {
        let names: Vec<&str> = REMEMBER.iter().map(|(name, _)| *name).collect();
        format!("remember: there is no \"{word}\"{}", suggestion(word, &names))
    })
}

/// `"primary"`, or `{ replica = { … } }` and the like.
pub(super) fn decision(value: &Value) -> Result<Expected, String> {
    match value {
        Value::String(word) if word == "failure" => Ok(Expected::Failure),
        Value::String(word) => match DECISIONS.iter().find(|name| *name == word) {
            Some(name) => Ok(Expected::Kind(name)),
            None => Err(format!("expect: there is no \"{word}\"{}", suggestion(word, &DECISIONS))),
        },
        _ => {
            let (word, details) = only(value, "expect")?;
            detailed(word, details).map_err(|error| format!("expect: {error}"))
        }
    }
}

fn detailed(word: &str, details: &Value) -> Result<Expected, String> {
    let decision = match word {
        "replica" => Decision::Replica(demands(details)?),
        "node" => Decision::Node(text(word, details)?.into()),
        "cluster" => Decision::Cluster(text(word, details)?.into()),
        "pin" => Decision::Pin(text(word, details)?.into()),
        "answer" => Decision::Answer(table(details)?),
        "refuse" => return refusal(details),
        other => {
            let end = suggestion(other, &DECISIONS);
            return Err(format!("there is no \"{other}\" with details{end}"));
        }
    };
    Ok(Expected::Decision(decision))
}

/// A text, `false` for unchanged, or `{ refuse = … }`.
pub(super) fn rewrite(value: &Value) -> Result<Expected, String> {
    match value {
        Value::Boolean(false) => Ok(Expected::Rewrite(Rewrite::Unchanged)),
        Value::String(text) => Ok(Expected::Rewrite(Rewrite::Text(text.as_str().into()))),
        _ => match only(value, "rewrite")? {
            ("refuse", details) => refusal(details).map_err(|error| format!("rewrite: {error}")),
            (other, _) => Err(format!(
                "rewrite: there is no \"{other}\"; say the new text, false for unchanged, or {{ refuse = \"SQLSTATE\" }}"
            )),
        },
    }
}

/// `"accept"`, `{ refuse = … }`, `{ accept = { class = 1, … } }`.
pub(super) fn session(value: &Value) -> Result<Expected, String> {
    const WORDS: [&str; 3] = ["accept", "refuse", "failure"];
    match value {
        Value::String(word) if word == "accept" => Ok(Expected::Admitted(None)),
        Value::String(word) if word == "failure" => Ok(Expected::Failure),
        Value::String(word) if word == "refuse" => Ok(Expected::Kind("refuse")),
        Value::String(word) => {
            Err(format!("expect: there is no \"{word}\"{}", suggestion(word, &WORDS)))
        }
        _ => match only(value, "expect")? {
            ("refuse", details) => refusal(details).map_err(|error| format!("expect: {error}")),
            ("accept", details) => Ok(Expected::Admitted(Some(Box::new(admission(details)?)))),
            (word, _) => Err(format!("expect: there is no \"{word}\"{}", suggestion(word, &WORDS))),
        },
    }
}

/// The only key of a table, and its value.
fn only<'a>(value: &'a Value, what: &str) -> Result<(&'a str, &'a Value), String> {
    let mut entries = value.as_table().into_iter().flatten();
    match (entries.next(), entries.next()) {
        (Some((word, details)), None) => Ok((word, details)),
        _ => Err(format!("{what}: expected a word, or a table with one key")),
    }
}

fn text<'a>(what: &str, value: &'a Value) -> Result<&'a str, String> {
    value.as_str().ok_or_else(|| format!("{what} must be a text"))
}

fn number(what: &str, value: &Value) -> Result<u64, String> {
    let number = value.as_integer().and_then(|number| u64::try_from(number).ok());
    number.ok_or_else(|| format!("{what} must be a whole number that is not negative"))
}

/// An SQLSTATE, or `{ sqlstate = …, message = … }`.
fn refusal(value: &Value) -> Result<Expected, String> {
    if let Some(sqlstate) = value.as_str() {
        return Ok(Expected::Refusal(sqlstate.to_owned(), None));
    }
    let (mut sqlstate, mut message) = (None, None);
    for (key, value) in value.as_table().ok_or("refuse must be an SQLSTATE or a table")? {
        match key.as_str() {
            "sqlstate" => sqlstate = Some(text(key, value)?.to_owned()),
            "message" => message = Some(text(key, value)?.to_owned()),
            _ => return Err(unknown(key, &["sqlstate", "message"])),
        }
    }
    Ok(Expected::Refusal(sqlstate.ok_or("refuse needs an sqlstate")?, message))
}

fn demands(value: &Value) -> Result<Demands, String> {
    let mut demands = Demands::default();
    for (key, value) in value.as_table().ok_or("the demands must be a table")? {
        match key.as_str() {
            "max_lag_ms" => demands.max_lag_ms = Some(number(key, value)?),
            "max_lag_bytes" => demands.max_lag_bytes = Some(number(key, value)?),
            "label" => {
                let pair = text(key, value)?.split_once('=').ok_or("label must be key=value")?;
                demands.label = Some((pair.0.into(), pair.1.into()));
            }
            "otherwise" => {
                demands.otherwise = match text(key, value)? {
                    "primary" => Otherwise::Primary,
                    "wait" => Otherwise::Wait,
                    "refuse" => Otherwise::Refuse,
                    _ => return Err("otherwise must be primary, wait or refuse".into()),
                }
            }
            _ => return Err(unknown(key, &["max_lag_ms", "max_lag_bytes", "label", "otherwise"])),
        }
    }
    Ok(demands)
}

/// `{ columns = […], rows = [[…], …] }`; a NULL cannot be written.
fn table(value: &Value) -> Result<Table, String> {
    let texts = |value: &Value| {
        let all = value.as_array().ok_or("columns and rows must be lists of texts")?;
        all.iter().map(|one| text("a value", one).map(str::to_owned)).collect::<Result<Vec<_>, _>>()
    };
    let mut table = Table::default();
    for (key, value) in value.as_table().ok_or("the answer must be a table")? {
        match key.as_str() {
            "columns" => table.columns = texts(value)?,
            "rows" => {
                let rows = value.as_array().ok_or("rows must be a list of lists")?;
                for row in rows {
                    table.rows.push(texts(row)?.into_iter().map(Some).collect());
                }
            }
            _ => return Err(unknown(key, &["columns", "rows"])),
        }
    }
    Ok(table)
}

fn admission(value: &Value) -> Result<Admission, String> {
    const KEYS: [&str; 6] = ["user", "database", "cluster", "pool_mode", "settings", "class"];
    let mut admission = Admission::default();
    for (key, value) in value.as_table().ok_or("accept must be a table")? {
        match key.as_str() {
            "user" => admission.user = Some(text(key, value)?.to_owned()),
            "database" => admission.database = Some(text(key, value)?.to_owned()),
            "cluster" => admission.cluster = Some(text(key, value)?.to_owned()),
            "pool_mode" => {
                admission.pool_mode = Some(match text(key, value)? {
                    "session" => PoolMode::Session,
                    "transaction" => PoolMode::Transaction,
                    _ => return Err("pool_mode must be session or transaction".into()),
                });
            }
            "settings" => {
                for (name, value) in value.as_table().ok_or("settings must be a table")? {
                    admission.settings.push((name.clone(), text(name, value)?.to_owned()));
                }
            }
            "class" => {
                let class = u32::try_from(number(key, value)?);
                admission.class = class.map_err(|_| "class is too large")?;
            }
            _ => return Err(unknown(key, &KEYS)),
        }
    }
    Ok(admission)
}

fn unknown(key: &str, known: &[&str]) -> String {
    format!("unknown key \"{key}\"{}", suggestion(key, known))
}
