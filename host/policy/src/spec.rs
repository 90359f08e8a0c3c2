use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A policy as the configuration wants it.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicySpec {
    /// Unique in the chain; it prefixes metrics and log lines.
    pub name: String,
    /// The component.
    pub bytes: Arc<[u8]>,
    /// Where it came from, for people.
    pub origin: String,
    /// Its settings; nested tables have dotted names.
    pub settings: BTreeMap<String, SettingValue>,
    /// What it may use.
    pub limits: Limits,
    /// What happens to a question that it fails to answer.
    pub on_failure: OnFailure,
    /// What it may import beyond log, settings and question.
    pub grants: Grants,
    /// Where its shared values are: policies that name the same space share them. None: a space of its own.
    pub kv_space: Option<String>,
    /// Whose questions it is asked.
    pub scope: Scope,
}

impl PolicySpec {
    /// The name of the space that its shared values are in.
    pub(crate) fn space(&self) -> &str {
        self.kv_space.as_deref().unwrap_or(&self.name)
    }

    /// Whether nothing but the settings is another than here, so that a living instance can go on.
    pub(crate) fn differs_in_settings_alone(&self, other: &PolicySpec) -> bool {
        let alike = PolicySpec { settings: self.settings.clone(), ..other.clone() };
        alike == *self && self.settings != other.settings
    }
}

/// A value of a setting.
#[derive(Clone, Debug, PartialEq)]
pub enum SettingValue {
    /// true or false.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Number(f64),
    /// A text.
    Text(String),
    /// A list of texts.
    Texts(Vec<String>),
}

/// What a policy may use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Longest call. Enforced with a grain of one millisecond.
    pub time: Duration,
    /// Most bytes of linear memory, all memories of an instance together.
    pub memory: usize,
    /// Most elements of a table.
    pub table_elements: usize,
    /// Most log lines per second; further ones are counted and dropped.
    pub log_lines_per_second: u32,
    /// Largest text that a rewrite may return, in bytes.
    pub rewrite: usize,
    /// Most shared values in the policy's space.
    pub kv_keys: usize,
    /// Most bytes of them, keys and some overhead included.
    pub kv_bytes: usize,
    /// Failures within [`Limits::QUARANTINE_WINDOW`] after which the policy is not asked any more.
    pub quarantine_after: u32,
}

impl Limits {
    /// The window in which failures are counted.
    pub const QUARANTINE_WINDOW: Duration = Duration::from_secs(60);
    /// Most columns, rows and bytes of a table that answers a query.
    pub const ANSWER: (usize, usize, usize) = (64, 1_000, 64 << 10);
    /// Most core instances, memories and tables of one component instance. Interpreters linked from many
    /// modules need some forty.
    pub const INSTANCES: usize = 64;
    /// Largest component, in bytes.
    pub const COMPONENT: usize = 64 << 20;
    /// Largest state that is handed to the next version: it is copied while clients of the worker wait.
    pub const STATE: usize = 1 << 20;
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            time: Duration::from_millis(2),
            memory: 32 << 20,
            table_elements: 100_000,
            log_lines_per_second: 100,
            rewrite: 1 << 20,
            kv_keys: 10_000,
            kv_bytes: 4 << 20,
            quarantine_after: 10,
        }
    }
}

/// What happens to a question that a policy fails to answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// As if it had no opinion.
    #[default]
    Fallback,
    /// Allowed: the primary, unchanged, accepted; the rest of the chain is not asked.
    Open,
    /// Refused with 58000.
    Closed,
}

/// What a policy may import beyond log, settings and question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// `howdah:policy/metrics`.
    pub metrics: bool,
    /// `howdah:policy/kv`.
    pub kv: bool,
    /// `howdah:policy/clock`.
    pub clock: bool,
    /// `howdah:policy/random`.
    pub random: bool,
    /// `howdah:policy/nodes`.
    pub nodes: bool,
    /// `howdah:policy/catalog`.
    pub catalog: bool,
}

impl Grants {
    /// Everything.
    pub const ALL: Grants =
        Grants { metrics: true, kv: true, clock: true, random: true, nodes: true, catalog: true };

    /// Whether this interface is granted. None: it needs no grant, or is not offered at all.
    pub(crate) fn of(self, interface: &str) -> Option<bool> {
        match interface {
            "metrics" => Some(self.metrics),
            "kv" => Some(self.kv),
            "clock" => Some(self.clock),
            "random" => Some(self.random),
            "nodes" => Some(self.nodes),
            "catalog" => Some(self.catalog),
            _ => None,
        }
    }
}

/// Whose questions a policy is asked. An empty list means everybody's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Users, as authenticated.
    pub users: Vec<String>,
    /// Databases, as asked for.
    pub databases: Vec<String>,
    /// Clusters.
    pub clusters: Vec<String>,
}

impl Scope {
    /// Whether it takes in questions of this user in this database and cluster.
    pub fn includes(&self, user: &str, database: &str, cluster: &str) -> bool {
        let fits = |list: &[String], one: &str| list.is_empty() || list.iter().any(|l| l == one);
        fits(&self.users, user) && fits(&self.databases, database) && fits(&self.clusters, cluster)
    }
}

/// Why a policy cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("policy {policy} ({origin}): {message}")]
pub struct PolicyError {
    /// Its name.
    pub policy: String,
    /// Where it came from.
    pub origin: String,
    /// What is wrong, and what to do about it.
    pub message: String,
}

impl PolicyError {
    pub(crate) fn new(spec: &PolicySpec, message: impl Into<String>) -> PolicyError {
        PolicyError {
            policy: spec.name.clone(),
            origin: spec.origin.clone(),
            message: message.into(),
        }
    }
}
