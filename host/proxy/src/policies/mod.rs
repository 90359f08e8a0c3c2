//! Policy files: the built-in policy, and the watcher that swaps changed ones in.

mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use howdah_policy::{PolicyError, PolicySpec};

pub use watch::{Swapper, start};

/// The built-in policy, as a component.
pub const READ_WRITE_SPLIT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/read_write_split.wasm"));

/// Where a policy's component comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicySource {
    /// [`READ_WRITE_SPLIT`].
    BuiltIn,
    /// A file, read again whenever it changes.
    File(PathBuf),
}

/// A policy as configured: everything but its bytes, which are read when they are needed.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyFile {
    /// Where the component is.
    pub source: PolicySource,
    /// The rest; its bytes and origin are filled in.
    pub spec: PolicySpec,
}

impl PolicyFile {
    /// The built-in policy with its defaults.
    pub fn built_in() -> PolicyFile {
        let spec = PolicySpec {
            name: "read-write-split".into(),
            bytes: Arc::new([]),
            origin: String::new(),
            settings: Default::default(),
            limits: Default::default(),
            on_failure: Default::default(),
            grants: Default::default(),
            scope: Default::default(),
        };
        PolicyFile { source: PolicySource::BuiltIn, spec }
    }

    /// Reads the component.
    fn read(&self) -> Result<PolicySpec, PolicyError> {
        let mut spec = self.spec.clone();
        (spec.origin, spec.bytes) = match &self.source {
            PolicySource::BuiltIn => ("built in".into(), READ_WRITE_SPLIT.into()),
            PolicySource::File(path) => {
                let origin = path.display().to_string();
                let bytes = std::fs::read(path).map_err(|error| PolicyError {
                    policy: spec.name.clone(),
                    origin: origin.clone(),
                    message: format!("it cannot be read: {error}"),
                })?;
                (origin, bytes.into())
            }
        };
        Ok(spec)
    }
}

/// A file that has not changed for this long is taken to be complete.
const SETTLED: Duration = Duration::from_millis(100);
