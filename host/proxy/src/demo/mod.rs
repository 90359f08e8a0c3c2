//! `howdah demo`: the whole road on throw-away parts.

use std::process::ExitCode;

/// Runs the demo.
///
/// # Errors
/// What could not be started.
pub fn demo(_check: bool) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not yet")
}
