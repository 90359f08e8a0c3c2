//! Policy files: the built-in policy, and the watcher that swaps changed ones in.

mod paths;
mod watch;

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use howdah_policy::{
    Canary, Grants, Limits, OnFailure, PolicyError, PolicySpec, Rollout, Scope, SettingValue,
};

pub use crate::config::PolicySource;
use crate::config::{self, Config, Grant, Policy};

pub use watch::{Swapper, start};

/// The built-in policy, as a component.
pub const READ_WRITE_SPLIT: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/read_write_split.wasm"));

/// A policy as configured: everything but its bytes, which are read when they are needed.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyFile {
    /// Where the component is.
    pub source: PolicySource,
    /// The rest; its bytes and origin are filled in.
    pub spec: PolicySpec,
}

impl PolicyFile {
    /// Reads the component.
    fn read(&self) -> Result<PolicySpec, PolicyError> {
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

impl std::fmt::Display for PolicySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PolicySource::BuiltIn => f.write_str("built in"),
            PolicySource::File(path) => path.display().fmt(f),
        }
    }
}

/// A component's bytes: one more than any policy may have, at most.
///
/// # Errors
/// The file cannot be read.
pub fn component(source: &PolicySource) -> std::io::Result<Arc<[u8]>> {
    let PolicySource::File(path) = source else { return Ok(READ_WRITE_SPLIT.into()) };
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(Limits::COMPONENT as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

/// A file that has not changed for this long is taken to be complete.
const SETTLED: Duration = Duration::from_millis(100);

/// The chain of a configuration.
pub fn files(config: &Config) -> Vec<PolicyFile> {
    config.policies.iter().map(file).collect()
}

/// A policy of a configuration.
pub(crate) fn file(policy: &Policy) -> PolicyFile {
    let limits = &policy.limits;
    let spec = PolicySpec {
        name: policy.name.clone(),
        bytes: Arc::new([]),
        origin: String::new(),
        settings: policy.settings.iter().map(|(name, v)| (name.clone(), value(v))).collect(),
        limits: Limits {
            time: limits.time,
            memory: limits.memory.0 as usize,
            table_elements: limits.table_elements,
            log_lines_per_second: limits.log_lines_per_second,
            rewrite: limits.rewrite.0 as usize,
            quarantine_after: limits.quarantine_after,
        },
        on_failure: match policy.on_failure {
            config::OnFailure::Fallback => OnFailure::Fallback,
            config::OnFailure::Open => OnFailure::Open,
            config::OnFailure::Closed => OnFailure::Closed,
        },
        grants: Grants { metrics: policy.grants.contains(&Grant::Metrics) },
        scope: Scope {
            users: policy.users.clone(),
            databases: policy.databases.clone(),
            clusters: policy.clusters.clone(),
        },
        sha256: policy.sha256.clone(),
        rollout: rollout(policy),
    };
    PolicyFile { source: policy.source.clone(), spec }
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
