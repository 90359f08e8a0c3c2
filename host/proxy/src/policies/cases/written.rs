//! The file as written.

use std::collections::BTreeMap;
use std::path::Path;

use howdah_decision::{Client, Facts, Node, Parameter, Role};
use howdah_policy::{SettingValue, Who};
use howdah_sql::{Catalog, Volatility};
use serde::Deserialize;
use toml::Spanned;

use super::expected::{self, Expected};
use super::retry::{self, WrittenRetry};
use super::told::{self, WrittenTold};
use super::{Cases, Place};

/// Who asks when a case does not say so, and where.
const SOMEBODY: &str = "postgres";
const SOMEWHERE: &str = "main";
/// Most times that a case is asked: more is a benchmark.
const MAX_TIMES: u32 = 100_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    settings: Option<toml::Table>,
    #[serde(default)]
    functions: BTreeMap<String, WrittenVolatility>,
    #[serde(default)]
    node: Vec<WrittenNode>,
    #[serde(default)]
    case: Vec<Spanned<WrittenCase>>,
    #[serde(default)]
    session: Vec<Spanned<WrittenSession>>,
    #[serde(default)]
    retry: Vec<Spanned<WrittenRetry>>,
    #[serde(default)]
    told: Vec<Spanned<WrittenTold>>,
    #[serde(default)]
    configure: Vec<Spanned<WrittenConfigure>>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WrittenVolatility {
    Immutable,
    Stable,
    Volatile,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum WrittenRole {
    Unknown,
    Primary,
    Replica,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenNode {
    name: String,
    cluster: Option<String>,
    role: WrittenRole,
    up: Option<bool>,
    lag_ms: Option<u64>,
    lag_bytes: Option<u64>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCase {
    name: Option<String>,
    sql: String,
    user: Option<String>,
    database: Option<String>,
    cluster: Option<String>,
    application: Option<String>,
    #[serde(default)]
    class: u32,
    #[serde(default)]
    extended: bool,
    #[serde(default)]
    in_transaction: bool,
    parameters: Option<Vec<WrittenParameter>>,
    times: Option<u32>,
    expect: Option<toml::Value>,
    rewrite: Option<toml::Value>,
    remember: Option<String>,
}

/// `"42"`, `{ binary = "0000002a" }` or `{ null = true }`.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a text, { binary = \"HEX\" } or { null = true }")]
enum WrittenParameter {
    Text(String),
    Binary(WrittenBinary),
    Null(WrittenNull),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenBinary {
    binary: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenNull {
    null: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSession {
    name: Option<String>,
    user: Option<String>,
    database: Option<String>,
    cluster: Option<String>,
    application: Option<String>,
    address: Option<String>,
    #[serde(default)]
    parameters: BTreeMap<String, String>,
    expect: toml::Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenConfigure {
    name: Option<String>,
    settings: toml::Table,
    error: Option<String>,
}

/// What holds for all cases: the nodes, and what is known of functions.
#[derive(Debug, Default)]
pub(super) struct Surrounding {
    pub(super) nodes: Vec<Node>,
    pub(super) functions: Functions,
}

/// Functions by name; all others are unknown.
#[derive(Debug, Default)]
pub(super) struct Functions(BTreeMap<String, Volatility>);

/// A statement, and what must become of it.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) sql: String,
    pub(super) who: Who,
    pub(super) class: u32,
    pub(super) extra: Facts,
    /// What is bound to it, when it is executed.
    pub(super) parameters: Option<Vec<Parameter>>,
    /// How often it is asked; the last answer counts.
    pub(super) times: u32,
    /// At least one.
    pub(super) expected: Vec<Expected>,
}

/// A client, and what must become of it.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) client: Client,
    pub(super) cluster: String,
    pub(super) expected: Expected,
}

/// Settings, and how the policy must take them.
#[derive(Debug)]
pub(super) struct Configured {
    pub(super) settings: BTreeMap<String, SettingValue>,
    /// Part of its error; none: it must accept them.
    pub(super) error: Option<String>,
}

impl Catalog for Functions {
    fn function(&self, _: Option<&str>, name: &str) -> Volatility {
        self.0.get(name).copied().unwrap_or(Volatility::Unknown)
    }

    fn relation_is_volatile(&self, _: Option<&str>, _: &str) -> bool {
        false
    }

    fn operator_is_volatile(&self, _: &str) -> bool {
        false
    }
}

impl Cases {
    /// Reads a text.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Cases, String> {
        let at = |offset: usize, message: &str| {
            let before = text.get(..offset).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            format!("{}:{line}: {message}", path.display())
        };
        let file: File = toml::from_str(text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            at(offset, error.message())
        })?;
        let place = |span: std::ops::Range<usize>, name: String| {
            let line = text.get(..span.start).unwrap_or_default().matches('\n').count() + 1;
            Place { line, name }
        };
        let mut cases = Cases {
            path: path.to_owned(),
            settings: file
                .settings
                .map(|table| settings(&table))
                .transpose()
                .map_err(|e| at(0, &e))?,
            surrounding: Surrounding {
                nodes: file.node.into_iter().map(node).collect(),
                functions: Functions(file.functions.into_iter().map(volatility).collect()),
            },
            cases: Vec::new(),
            sessions: Vec::new(),
            retries: Vec::new(),
            told: Vec::new(),
            configured: Vec::new(),
        };
        for one in file.case {
            let (span, one) = (one.span(), one.into_inner());
            let name = one.name.clone().unwrap_or_else(|| one.sql.clone());
            let case = case(one).map_err(|e| at(span.start, &format!("case \"{name}\": {e}")))?;
            cases.cases.push((place(span, name), case));
        }
        for one in file.session {
            let (span, one) = (one.span(), one.into_inner());
            let name = one.name.clone().unwrap_or_else(|| "session".to_owned());
            let session =
                session(one).map_err(|e| at(span.start, &format!("session \"{name}\": {e}")))?;
            cases.sessions.push((place(span, name), session));
        }
        for one in file.retry {
            let (span, one) = (one.span(), one.into_inner());
            let name = one.name();
            let retried = retry::retried(one)
                .map_err(|e| at(span.start, &format!("retry \"{name}\": {e}")))?;
            cases.retries.push((place(span, name), retried));
        }
        for one in file.told {
            let (span, one) = (one.span(), one.into_inner());
            let name = one.name();
            let telling =
                told::telling(one).map_err(|e| at(span.start, &format!("told \"{name}\": {e}")))?;
            cases.told.push((place(span, name), telling));
        }
        for one in file.configure {
            let (span, one) = (one.span(), one.into_inner());
            let name = one.name.unwrap_or_else(|| "configure".to_owned());
            let settings = settings(&one.settings).map_err(|e| at(span.start, &e))?;
            let configured = Configured { settings, error: one.error };
            cases.configured.push((place(span, name), configured));
        }
        if cases.is_empty() {
            return Err(at(0, "there is no case: add a [[case]] with sql and expect"));
        }
        Ok(cases)
    }
}

fn case(written: WrittenCase) -> Result<Case, String> {
    let mut expected = Vec::new();
    if let Some(value) = &written.expect {
        expected.push(expected::decision(value)?);
    }
    if let Some(value) = &written.rewrite {
        expected.push(expected::rewrite(value)?);
    }
    if let Some(word) = &written.remember {
        expected.push(expected::remember(word)?);
    }
    if expected.is_empty() {
        return Err("nothing is expected: say expect, rewrite or remember".into());
    }
    if written.in_transaction && written.expect.is_some() {
        return Err("inside a transaction no policy is asked where to go: say rewrite only".into());
    }
    let parameters = written.parameters.map(|all| all.into_iter().map(parameter).collect());
    let parameters: Option<Vec<Parameter>> = parameters.transpose()?;
    // Only the extended protocol has parameters.
    let extended = written.extended || parameters.is_some();
    let flags = [(extended, Facts::EXTENDED), (written.in_transaction, Facts::IN_TRANSACTION)];
    let set = flags.into_iter().filter(|(set, _)| *set);
    Ok(Case {
        sql: written.sql,
        who: who(written.user, written.database, written.cluster, written.application),
        class: written.class,
        extra: set.fold(Facts::NONE, |all, (_, flag)| all.with(flag)),
        parameters,
        times: times(written.times)?,
        expected,
    })
}

/// Who asks, as far as it is said.
pub(super) fn who(
    user: Option<String>,
    database: Option<String>,
    cluster: Option<String>,
    application: Option<String>,
) -> Who {
    Who {
        user: user.unwrap_or_else(|| SOMEBODY.to_owned()),
        database: database.unwrap_or_else(|| SOMEBODY.to_owned()),
        cluster: cluster.unwrap_or_else(|| SOMEWHERE.to_owned()),
        application_name: application.unwrap_or_default(),
    }
}

/// How often a case is asked.
pub(super) fn times(written: Option<u32>) -> Result<u32, String> {
    match written {
        None => Ok(1),
        Some(times) if (1..=MAX_TIMES).contains(&times) => Ok(times),
        Some(_) => Err(format!("times must be from 1 to {MAX_TIMES}")),
    }
}

/// An SQLSTATE.
pub(crate) fn sqlstate(text: &str) -> Result<[u8; 5], String> {
    let five = <[u8; 5]>::try_from(text.as_bytes());
    five.map_err(|_| format!("sqlstate: \"{text}\" has not five characters"))
}

fn parameter(written: WrittenParameter) -> Result<Parameter, String> {
    let hexadecimal = |text: &str| {
        let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
        let pair = |pair: &[u8]| match pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        };
        text.as_bytes().chunks(2).map(pair).collect::<Option<Vec<u8>>>()
    };
    match written {
        WrittenParameter::Text(text) => Ok(Parameter::Text(text)),
        WrittenParameter::Null(WrittenNull { null: true }) => Ok(Parameter::Null),
        WrittenParameter::Null(WrittenNull { null: false }) => {
            Err("parameters: null can only be true".into())
        }
        WrittenParameter::Binary(WrittenBinary { binary }) => {
            let wrong = || format!("parameters: binary = \"{binary}\" is not hexadecimal");
            hexadecimal(&binary).map(Parameter::Binary).ok_or_else(wrong)
        }
    }
}

fn session(written: WrittenSession) -> Result<Opening, String> {
    Ok(Opening {
        expected: expected::session(&written.expect)?,
        cluster: written.cluster.unwrap_or_else(|| SOMEWHERE.to_owned()),
        client: Client {
            id: 1,
            user: written.user.unwrap_or_else(|| SOMEBODY.to_owned()),
            database: written.database.unwrap_or_else(|| SOMEBODY.to_owned()),
            application_name: written.application.unwrap_or_default(),
            address: written.address.unwrap_or_else(|| "127.0.0.1".to_owned()),
            parameters: written.parameters.into_iter().collect(),
        },
    })
}

fn node(written: WrittenNode) -> Node {
    Node {
        name: written.name,
        cluster: written.cluster.unwrap_or_else(|| SOMEWHERE.to_owned()),
        role: written.role.into(),
        up: written.up.unwrap_or(true),
        lag_bytes: written.lag_bytes,
        lag_ms: written.lag_ms,
        labels: written.labels.into_iter().collect(),
    }
}

impl From<WrittenRole> for Role {
    fn from(written: WrittenRole) -> Role {
        match written {
            WrittenRole::Unknown => Role::Unknown,
            WrittenRole::Primary => Role::Primary,
            WrittenRole::Replica => Role::Replica,
        }
    }
}

fn volatility((name, written): (String, WrittenVolatility)) -> (String, Volatility) {
    let volatility = match written {
        WrittenVolatility::Immutable => Volatility::Immutable,
        WrittenVolatility::Stable => Volatility::Stable,
        WrittenVolatility::Volatile => Volatility::Volatile,
    };
    (name, volatility)
}

/// Settings of a table, as in the configuration: those of nested tables have dotted names.
pub(super) fn settings(table: &toml::Table) -> Result<BTreeMap<String, SettingValue>, String> {
    let mut all = BTreeMap::new();
    for (name, value) in table {
        if let toml::Value::Table(nested) = value {
            let nested = settings(nested)?;
            all.extend(nested.into_iter().map(|(inner, v)| (format!("{name}.{inner}"), v)));
            continue;
        }
        all.insert(name.clone(), setting(value).map_err(|e| format!("setting {name}: {e}"))?);
    }
    Ok(all)
}

/// A value as policies are told it.
pub(crate) fn setting(value: &toml::Value) -> Result<SettingValue, String> {
    Ok(match value {
        toml::Value::Boolean(b) => SettingValue::Boolean(*b),
        toml::Value::Integer(i) => SettingValue::Integer(*i),
        toml::Value::Float(n) => SettingValue::Number(*n),
        toml::Value::String(text) => SettingValue::Text(text.clone()),
        toml::Value::Array(all) => {
            let texts = all.iter().map(|one| one.as_str().map(str::to_owned));
            let texts = texts.collect::<Option<_>>().ok_or("a list may hold texts only")?;
            SettingValue::Texts(texts)
        }
        _ => return Err("expected a text, a list of texts, true or false, or a number".into()),
    })
}
