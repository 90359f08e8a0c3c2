//! Logs: to standard error, for people or as JSON.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Overrides the configured level.
const VARIABLE: &str = "HOWDAH_LOG";

/// Starts logging. The first call counts.
pub fn start(log: &Log) {
    let filter = std::env::var(VARIABLE).unwrap_or_else(|_| log.level.clone());
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let outcome = match log.format {
        LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
        LogFormat::Human => subscriber.with_ansi(std::io::stderr().is_terminal()).try_init(),
    };
    // Somebody else logs already: a test, or the demo.
    drop(outcome);
}
