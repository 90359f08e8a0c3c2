use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::binary::Binary;

/// A policy as the configuration wants it.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicySpec {
    /// Unique in the chain; it prefixes metrics and log lines.
    pub name: String,
    /// The component.
    pub bytes: Binary,
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
    /// The SHA-256 that the component must have, in lower-case hexadecimal digits.
    pub sha256: Option<String>,
    /// How a new version comes in.
    pub rollout: Rollout,
}

impl PolicySpec {
    /// Whether it asks for the same component with the same settings: what a version is.
    pub(crate) fn same_version(&self, other: &PolicySpec) -> bool {
        let PolicySpec {
            name,
            bytes,
            origin: _,
            settings,
            limits,
            on_failure,
            grants,
            kv_space,
            scope,
            sha256: _,
            rollout: _,
        } = self;
        *bytes == other.bytes
            && *name == other.name
            && *settings == other.settings
            && *limits == other.limits
            && *on_failure == other.on_failure
            && *grants == other.grants
            && *kv_space == other.kv_space
            && *scope == other.scope
    }

    /// Refuses a component that is not the one that was meant.
    ///
    /// # Errors
    /// Both hashes, and what to do.
    pub(crate) fn check_pin(&self) -> Result<(), PolicyError> {
        let Some(wanted) = &self.sha256 else { return Ok(()) };
        self.bytes.pinned(wanted).map_err(|message| PolicyError::new(self, message))
    }
}

/// How a new version of a policy comes in.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Rollout {
    /// It replaces the old one at once.
    #[default]
    Live,
    /// It is asked too, and its verdicts are compared, not obeyed.
    Shadow,
    /// A share of the sessions obeys it, until it is promoted or rolled back.
    Canary(Canary),
}

impl Rollout {
    /// As written in the configuration.
    pub fn name(&self) -> &'static str {
        match self {
            Rollout::Live => "live",
            Rollout::Shadow => "shadow",
            Rollout::Canary(_) => "canary",
        }
    }

    /// Sessions that obey a new version, in percent.
    pub fn share(&self) -> u32 {
        match self {
            Rollout::Live => 100,
            Rollout::Shadow => 0,
            Rollout::Canary(canary) => canary.share,
        }
    }
}

/// How a canary is judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Canary {
    /// Sessions that obey it, in percent.
    pub share: u32,
    /// It is promoted when it has done well for this long.
    pub promote_after: Duration,
    /// More failed calls than this roll it back.
    pub max_failures: u32,
    /// Calls that take longer than this on average roll it back.
    pub max_latency: Duration,
    /// Verdicts that differ from the old version's, in percent: more roll it back.
    pub max_disagreement: u32,
}

impl Canary {
    /// Calls before their average tells something, and comparisons before their share does.
    pub const ENOUGH: u64 = 100;
}

impl Default for Canary {
    fn default() -> Canary {
        Canary {
            share: 10,
            promote_after: Duration::from_secs(600),
            max_failures: 3,
            max_latency: Duration::from_micros(500),
            max_disagreement: 20,
        }
    }
}

impl PolicySpec {
    /// The name of the space that its shared values are in.
    pub fn space(&self) -> &str {
        self.kv_space.as_deref().unwrap_or(&self.name)
    }

    /// Whether nothing but the settings is another than here, so that a living instance can go on.
    pub(crate) fn differs_in_settings_alone(&self, other: &PolicySpec) -> bool {
        let alike = PolicySpec { settings: self.settings.clone(), ..other.clone() };
        alike.same_version(self) && self.settings != other.settings
    }
}

/// A value of a setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
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
