//! Policy files: the built-in policy, and the watcher that swaps changed ones in.

pub mod cases;
pub mod record;
pub mod replay;
pub mod show;
pub mod trial;
pub mod visible;
mod watch;

use std::io::Read;
use std::path::PathBuf;

use howdah_policy::{
    Binary, Canary, Grants, Limits, OnFailure, PolicyError, PolicySpec, Rollout, Scope,
    SettingValue,
};

pub use crate::config::PolicySource;
use crate::config::{self, Config, Grant, Policy};

pub use watch::{Swapper, start};

/// The built-in policy, as a component.
pub const READ_WRITE_SPLIT: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/read_write_split.wasm"));

/// Compiled components that a proxy keeps: a chain has 64 policies at most, each with the version before.
pub const MOST_COMPILED: usize = 128;

/// A policy as configured: everything but its bytes, which are read when they are needed.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyFile {
    /// Where the component is.
    pub source: PolicySource,
    /// The rest; its bytes and origin are filled in.
    pub spec: PolicySpec,
    /// What a version must pass before it comes into force.
    pub cases: Option<PathBuf>,
}

impl PolicyFile {
    /// The policy that is asked when a configuration names none.
    pub fn built_in() -> PolicyFile {
        file(&Policy::default())
    }

    /// Reads the component.
    ///
    /// # Errors
    /// The file is not there, or cannot be read.
    pub fn read(&self) -> Result<PolicySpec, PolicyError> {
        let mut spec = self.spec.clone();
        spec.origin = self.source.to_string();
        spec.bytes = component(&self.source).map_err(|error| PolicyError {
            policy: spec.name.clone(),
            origin: spec.origin.clone(),
            message: format!("it cannot be read: {error}"),
        })?;
        Ok(spec)
    }
}

/// Whether a policy passes its cases, if it has any. Compiles it once more, in a chain of its own.
///
/// # Errors
/// The first case that fails, or why the cases cannot be asked.
pub fn tested(file: &PolicyFile, spec: &PolicySpec) -> Result<(), PolicyError> {
    let Some(path) = &file.cases else { return Ok(()) };
    let failed = |message| {
        let (policy, origin) = (spec.name.clone(), spec.origin.clone());
        PolicyError { policy, origin, message }
    };
    let cases = cases::Cases::load(path).map_err(failed)?;
    let report = cases.run(spec).map_err(|errors| {
        let messages: Vec<String> = errors.into_iter().map(|error| error.message).collect();
        failed(messages.join("; "))
    })?;
    match report.first_failure() {
        None => Ok(()),
        Some(first) => {
            let (failures, all) = (report.failed(), cases.len());
            let path = path.display();
            Err(failed(format!("it fails {failures} of {all} cases of {path}: {first}")))
        }
    }
}

impl std::fmt::Display for PolicySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PolicySource::BuiltIn => f.write_str("built in"),
            PolicySource::File(path) => path.display().fmt(f),
        }
    }
}

/// A component: one byte more of it than any policy may have, at most.
///
/// # Errors
/// The file cannot be read.
pub fn component(source: &PolicySource) -> std::io::Result<Binary> {
    let PolicySource::File(path) = source else { return Ok(READ_WRITE_SPLIT.into()) };
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(Limits::COMPONENT as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

/// Compares a component with the SHA-256 that it is to have. One that cannot be read is not looked at.
///
/// # Errors
/// They differ: both, and what to do, for people.
pub(crate) fn pinned(wanted: &str, source: &PolicySource) -> Result<(), String> {
    let Ok(component) = component(source) else { return Ok(()) };
    component.pinned(wanted).map_err(|message| format!("{source}: {message}"))
}

/// The chain of a configuration.
pub fn files(config: &Config) -> Vec<PolicyFile> {
    config.policies.iter().map(file).collect()
}

/// A policy of a configuration.
pub(crate) fn file(policy: &Policy) -> PolicyFile {
    let limits = &policy.limits;
    let granted = |grant| policy.grants.contains(&grant);
    let spec = PolicySpec {
        name: policy.name.clone(),
        bytes: Binary::default(),
        origin: String::new(),
        settings: policy.settings.iter().map(|(name, v)| (name.clone(), value(v))).collect(),
        limits: Limits {
            time: limits.time,
            memory: limits.memory.0 as usize,
            table_elements: limits.table_elements,
            log_lines_per_second: limits.log_lines_per_second,
            rewrite: limits.rewrite.0 as usize,
            kv_keys: limits.kv_keys,
            kv_bytes: limits.kv_bytes.0 as usize,
            quarantine_after: limits.quarantine_after,
        },
        on_failure: match policy.on_failure {
            config::OnFailure::Fallback => OnFailure::Fallback,
            config::OnFailure::Open => OnFailure::Open,
            config::OnFailure::Closed => OnFailure::Closed,
        },
        grants: Grants {
            metrics: granted(Grant::Metrics),
            kv: granted(Grant::Kv),
            clock: granted(Grant::Clock),
            random: granted(Grant::Random),
            nodes: granted(Grant::Nodes),
            catalog: granted(Grant::Catalog),
        },
        kv_space: policy.kv_space.clone(),
        scope: Scope {
            users: policy.users.clone(),
            databases: policy.databases.clone(),
            clusters: policy.clusters.clone(),
        },
        sha256: policy.sha256.clone(),
        rollout: rollout(policy),
    };
    PolicyFile { source: policy.source.clone(), spec, cases: policy.cases.clone() }
}

fn rollout(policy: &Policy) -> Rollout {
    let canary = &policy.canary;
    match policy.mode {
        config::Mode::Live => Rollout::Live,
        config::Mode::Shadow => Rollout::Shadow,
        config::Mode::Canary => Rollout::Canary(Canary {
            share: canary.share,
            promote_after: canary.promote_after,
            max_failures: canary.max_failures,
            max_latency: canary.max_latency,
            max_disagreement: canary.max_disagreement,
        }),
    }
}

fn value(value: &config::SettingValue) -> SettingValue {
    match value {
        config::SettingValue::Boolean(b) => SettingValue::Boolean(*b),
        config::SettingValue::Integer(i) => SettingValue::Integer(*i),
        config::SettingValue::Number(n) => SettingValue::Number(*n),
        config::SettingValue::Text(t) => SettingValue::Text(t.clone()),
        config::SettingValue::Texts(t) => SettingValue::Texts(t.clone()),
    }
}
