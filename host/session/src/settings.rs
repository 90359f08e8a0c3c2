use std::collections::BTreeMap;
use std::fmt::Write;
use std::hash::Hash;

use serde::{Deserialize, Serialize};
use siphasher::sip128::Hasher128;

use crate::limits::{MAX_SETTING, MAX_SETTINGS};
use crate::prepared::hasher;

/// A setting's value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
pub enum Value {
    /// As a start-up parameter gives it: the plain text of the value.
    Plain(Box<str>),
    /// As `SET name TO …` gives it: SQL text.
    Sql(Box<str>),
}

/// Why a setting cannot be carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The name is not one that PostgreSQL could know (guc.c, `valid_custom_variable_name`).
    #[error("invalid configuration parameter name")]
    Name,
    /// More than [`MAX_SETTINGS`] of them, or one longer than [`MAX_SETTING`] bytes.
    #[error("too many or too long configuration parameters")]
    TooMuch,
    /// `options` is not of the form `-c name=value` or `--name=value`.
    #[error("invalid command-line argument in the options parameter")]
    Options,
}

/// The settings that a client wants, or that a server connection has: names in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "BTreeMap<Box<str>, Value>", into = "BTreeMap<Box<str>, Value>")]
pub struct Settings {
    map: BTreeMap<Box<str>, Value>,
    meaning: u128,
    names: u128,
}

impl TryFrom<BTreeMap<Box<str>, Value>> for Settings {
    type Error = SettingsError;

    fn try_from(map: BTreeMap<Box<str>, Value>) -> Result<Settings, SettingsError> {
        let mut settings = Settings::default();
        for (name, value) in map {
            settings.set(&name, value)?;
        }
        Ok(settings)
    }
}

impl From<Settings> for BTreeMap<Box<str>, Value> {
    fn from(settings: Settings) -> BTreeMap<Box<str>, Value> {
        settings.map
    }
}

impl Settings {
    /// Settings from start-up parameters; `options` is taken apart, protocol-level names are skipped.
    ///
    /// # Errors
    /// A malformed name or value, or too many.
    pub fn from_startup<'a>(
        parameters: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Settings, SettingsError> {
        let mut settings = Settings::default();
        for (name, value) in parameters {
            match name {
                "user" | "database" | "replication" => {}
                "options" => {
                    for (name, value) in parse_options(value)? {
                        settings.set(&name, Value::Plain(value.into()))?;
                    }
                }
                _ if name.starts_with("_pq_.") => {}
                _ => settings.set(name, Value::Plain(value.into()))?,
            }
        }
        Ok(settings)
    }

    /// Sets one.
    ///
    /// # Errors
    /// A malformed name or value, or too many.
    pub fn set(&mut self, name: &str, value: Value) -> Result<(), SettingsError> {
        let (Value::Plain(text) | Value::Sql(text)) = &value;
        if text.len() > MAX_SETTING || text.contains('\0') {
            return Err(SettingsError::TooMuch);
        }
        let name = canonical(name)?;
        if self.map.len() >= MAX_SETTINGS && !self.map.contains_key(&name) {
            return Err(SettingsError::TooMuch);
        }
        self.map.insert(name, value);
        self.changed();
        Ok(())
    }

    /// Forgets one.
    pub fn reset(&mut self, name: &str) {
        if let Ok(name) = canonical(name) {
            self.map.remove(&name);
            self.changed();
        }
    }

    /// What a statement means under these settings: equal where it means the same, 0 where none of them matters.
    pub fn meaning(&self) -> u128 {
        self.meaning
    }

    /// What the names of tables mean under these settings: equal where they mean the same, 0 where none of them matters.
    pub(crate) fn names(&self) -> u128 {
        self.names
    }

    fn changed(&mut self) {
        self.meaning = self.hash(|name| bearing(name) != Bearing::None);
        self.names = self.hash(decides_names);
    }

    fn hash(&self, matters: impl Fn(&str) -> bool) -> u128 {
        let mut hasher = hasher();
        let mut none = true;
        for setting in self.iter().filter(|(name, _)| matters(name)) {
            setting.hash(&mut hasher);
            none = false;
        }
        if none { 0 } else { hasher.finish128().as_u128() }
    }

    /// The value of one.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.map.get(&canonical(name).ok()?)
    }

    /// Names and values in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.map.iter().map(|(n, v)| (&**n, v))
    }

    /// Bytes of their names and values.
    pub(crate) fn size(&self) -> usize {
        let size = |(name, value): (&str, &Value)| {
            let (Value::Plain(text) | Value::Sql(text)) = value;
            name.len() + text.len()
        };
        self.iter().map(size).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// The SQL that turns a server with the settings `have` into one with these.
    /// Empty when nothing differs.
    ///
    /// Whoever the session is on the server is left first, and whoever it is to be is taken on last: settings may need
    /// the rights of the user that logged in.
    pub fn difference(&self, have: &Settings) -> String {
        let mut sql = String::new();
        self.steps(have, |step| {
            let _ = write!(sql, "{step};");
        });
        sql
    }

    /// The statements of [`Settings::difference`], one by one.
    pub(crate) fn steps(&self, have: &Settings, mut step: impl FnMut(std::fmt::Arguments<'_>)) {
        if self == have {
            return;
        }
        // What everybody may set needs no other identity meanwhile.
        let identity = if self.differs_surely(have) { &[] } else { &IDENTITY[..] };
        for name in identity.iter().rev().filter(|name| have.map.contains_key(**name)) {
            step(format_args!("RESET {}", quote_name(name)));
        }
        let plain = |name: &str| !IDENTITY.contains(&name);
        for (name, _) in have.iter().filter(|(name, _)| !self.map.contains_key(*name)) {
            if plain(name) {
                step(format_args!("RESET {}", quote_name(name)));
            }
        }
        for (name, value) in self.iter().filter(|(name, value)| have.map.get(*name) != Some(value))
        {
            if plain(name) {
                assign(name, value, &mut step);
            }
        }
        for name in identity {
            if let Some(value) = self.map.get(*name) {
                assign(name, value, &mut step);
            }
        }
    }

    /// The SQL that makes those of these settings, which decide what texts mean, local to a transaction, whatever they
    /// are there. `None`: what one of them is has not been reported.
    pub(crate) fn texts(&self) -> Option<String> {
        let mut sql = String::from("SELECT ");
        for (number, name) in TEXTS.iter().enumerate() {
            let value = match self.map.get(*name) {
                Some(Value::Plain(text)) => quote_text(text),
                Some(Value::Sql(_)) => return None,
                None => "NULL".to_owned(),
            };
            let comma = if number > 0 { ", " } else { "" };
            let _ = write!(sql, "{comma}pg_catalog.set_config('{name}', {value}, true)");
        }
        Some(sql)
    }

    /// Whether a server cannot refuse to become what these settings are, coming from `have`: whatever differs depends on
    /// nothing but its value, which a server has accepted before.
    pub fn differs_surely(&self, have: &Settings) -> bool {
        let changed = self.iter().filter(|(name, value)| have.map.get(*name) != Some(value));
        let gone = have.iter().filter(|(name, _)| !self.map.contains_key(*name));
        changed.chain(gone).all(|(name, _)| SURE.contains(&name))
            && IDENTITY.iter().all(|name| self.map.get(*name) == have.map.get(*name))
    }
}

/// Who a session is: the second depends on the first.
const IDENTITY: [&str; 2] = ["session_authorization", "role"];

/// Those settings that decide what texts mean and that servers report.
const TEXTS: [&str; 5] =
    ["client_encoding", "datestyle", "intervalstyle", "standard_conforming_strings", "timezone"];

/// Settings that everybody may make, and whose values depend on nothing that the server would have to look up
/// (guc_tables.c).
const SURE: [&str; 22] = [
    "application_name",
    "bytea_output",
    "client_encoding",
    "client_min_messages",
    "datestyle",
    "default_transaction_deferrable",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "enable_seqscan",
    "extra_float_digits",
    "idle_in_transaction_session_timeout",
    "intervalstyle",
    "lock_timeout",
    "maintenance_work_mem",
    "plan_cache_mode",
    "row_security",
    "search_path",
    "standard_conforming_strings",
    "statement_timeout",
    "synchronous_commit",
    "timezone",
    "work_mem",
];

/// What a setting has to do with the meaning of a prepared statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Bearing {
    /// Nothing.
    None,
    /// The server looks at the statement again when it differs (plancache.c, `RevalidateCachedQuery`), or it only
    /// decides how the statement is run.
    Plan,
    /// What the text says is decided by it once, when it is prepared: dates, numbers, strings.
    Text,
}

/// What the setting of this name, in lower case, has to do with the meaning of a prepared statement. Those of
/// extensions and applications have a dot in their names, and are read when a statement runs.
pub(crate) fn bearing(name: &str) -> Bearing {
    const NONE: [&str; 11] = [
        "application_name",
        "client_min_messages",
        "idle_in_transaction_session_timeout",
        "idle_session_timeout",
        "lock_timeout",
        "statement_timeout",
        "synchronous_commit",
        "transaction_deferrable",
        "transaction_isolation",
        "transaction_read_only",
        "transaction_timeout",
    ];
    const PLAN: [&str; 9] = [
        "hash_mem_multiplier",
        "maintenance_work_mem",
        "plan_cache_mode",
        "role",
        "row_security",
        "search_path",
        "session_authorization",
        "session_replication_role",
        "work_mem",
    ];
    let none = NONE.contains(&name)
        || name.contains('.')
        || ["default_transaction_", "log_"].iter().any(|start| name.starts_with(start));
    let plan = PLAN.contains(&name)
        || name.ends_with("_cost")
        || ["enable_", "jit"].iter().any(|start| name.starts_with(start));
    match (none, plan) {
        (true, _) => Bearing::None,
        (_, true) => Bearing::Plan,
        _ => Bearing::Text,
    }
}

/// Whether the setting of this name, in lower case, decides which tables names without a schema mean: `search_path`, and
/// who the session is, for `"$user"` in it.
pub(crate) fn decides_names(name: &str) -> bool {
    name == "search_path" || IDENTITY.contains(&name)
}

fn assign(name: &str, value: &Value, step: &mut impl FnMut(std::fmt::Arguments<'_>)) {
    match value {
        Value::Plain(text) => step(format_args!(
            "SELECT pg_catalog.set_config({}, {}, false)",
            quote_text(name),
            quote_text(text)
        )),
        Value::Sql(text) => step(format_args!("SET {} TO {text}", quote_name(name))),
    }
}

/// Names are letters, digits, `_` and `$`, with dots between (guc.c); they compare without case.
fn canonical(name: &str) -> Result<Box<str>, SettingsError> {
    let part = |p: &str| {
        p.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_' || b >= 0x80)
            && p.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'$' || b >= 0x80)
    };
    if name.len() > MAX_SETTING || !name.split('.').all(part) {
        return Err(SettingsError::Name);
    }
    Ok(name.to_ascii_lowercase().into())
}

fn quote_name(name: &str) -> String {
    name.split('.').map(|p| format!("\"{p}\"")).collect::<Vec<_>>().join(".")
}

/// An escape string means the same whatever `standard_conforming_strings` says.
fn quote_text(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// Splits the `options` start-up parameter as `pg_split_opts` does (postinit.c): words between white
/// space, a backslash takes the next character as it is.
fn parse_options(options: &str) -> Result<Vec<(String, String)>, SettingsError> {
    let mut words = Vec::new();
    let mut chars = options.chars().peekable();
    while chars.peek().is_some() {
        if chars.next_if(|c| c.is_ascii_whitespace()).is_some() {
            continue;
        }
        let mut word = String::new();
        while let Some(c) = chars.next_if(|c| !c.is_ascii_whitespace()) {
            match c {
                '\\' => word.extend(chars.next()),
                c => word.push(c),
            }
        }
        words.push(word);
    }
    let mut found = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let assignment = match word.strip_prefix("--") {
            Some(rest) => rest.to_owned(),
            None => match word.strip_prefix("-c") {
                Some("") => words.next().ok_or(SettingsError::Options)?,
                Some(rest) => rest.to_owned(),
                None => return Err(SettingsError::Options),
            },
        };
        let (name, value) = assignment.split_once('=').ok_or(SettingsError::Options)?;
        found.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(found)
}
