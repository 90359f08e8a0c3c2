//! Logs. They go to standard error.

use std::io::{IsTerminal, stderr};
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Log, LogFormat};

/// Overrides the level of the configuration.
pub const LEVEL_VARIABLE: &str = "HOWDAH_LOG";

/// The compiler of policies tells a novel at level debug; whoever wants to read it can ask for it by name.
const QUIET: &str = "cranelift=warn,wasmtime=warn,regalloc2=warn";

/// The filter that is in force. There is one log in a process, as there is one standard error.
static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Sets the log up. To be called once.
///
/// # Errors
/// When there is a log already, or `HOWDAH_LOG` is no level.
pub fn init(log: &Log) -> anyhow::Result<()> {
    let (filter, handle) = reload::Layer::new(filter(log)?);
    // A line that cannot be written is lost: the library would complain about it with a macro that panics.
    let lines = fmt::layer().with_writer(stderr).log_internal_errors(false);
    let lines: Box<dyn Layer<_> + Send + Sync> = match log.format {
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
        LogFormat::Human => {
            let lines = lines.with_ansi(stderr().is_terminal());
            if under_journald() { lines.without_time().boxed() } else { lines.boxed() }
        }
    };
    tracing_subscriber::registry().with(filter).with(lines).try_init()?;
    // Whoever has won the race to be the log has the place too.
    let _ = FILTER.set(handle);
    Ok(())
}

/// Changes the level to that of a configuration that has been reloaded. Without a log, nothing happens.
///
/// # Errors
/// When `HOWDAH_LOG` is no level.
pub fn set_level(log: &Log) -> anyhow::Result<()> {
    if let Some(handle) = FILTER.get() {
        handle.reload(filter(log)?)?;
    }
    Ok(())
}

fn filter(log: &Log) -> anyhow::Result<EnvFilter> {
    match std::env::var(LEVEL_VARIABLE) {
        Ok(level) if !level.is_empty() => EnvFilter::builder().parse(&level).map_err(|error| {
            anyhow::anyhow!("{LEVEL_VARIABLE}: \"{level}\" is not a level: {error}")
        }),
        _ => Ok(EnvFilter::builder().parse(format!("{QUIET},{}", log.level.0))?),
    }
}

/// Whether standard error is the journal, which adds the time itself (systemd.exec(5), `$JOURNAL_STREAM`:
/// device and inode of the stream, since a child may inherit the variable but not the stream).
fn under_journald() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Some((device, inode)) = stream.split_once(':') else { return false };
    let ours = std::fs::metadata("/dev/stderr").map(|file| (file.dev(), file.ino()));
    ours.is_ok_and(|(dev, ino)| device.parse() == Ok(dev) && inode.parse() == Ok(ino))
}
