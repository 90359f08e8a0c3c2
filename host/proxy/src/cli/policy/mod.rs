//! `howdah policy …`: for people who write policies, who need no running proxy and no PostgreSQL server, and for those
//! who operate them (`control`), who do.

mod arguments;
mod bench;
mod build;
mod check;
pub(super) mod control;
mod explain;
mod inspect;
mod new;
mod reference;
mod replay;
mod test;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::bail;
use howdah_policy::{Description, PolicyError, PolicySpec};

pub use arguments::PolicyCommand;
use arguments::Set;
pub(super) use reference::hooks_reference;

use super::Mistakes;
use crate::config::Config;
use crate::policies::{self, PolicyFile, trial};

/// Compiled components that are kept from command to command: a version or two of what is being worked on. With an
/// interpreter they have tens of megabytes.
const MOST_COMPILED: usize = 4;

/// Does what one of the subcommands says.
pub(super) fn execute(command: PolicyCommand, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    if let Some(cache) = cache() {
        trial::keep_compiled(cache, MOST_COMPILED);
    }
    match command {
        PolicyCommand::New(arguments) => new::new(&arguments, out),
        PolicyCommand::Build(arguments) => build::build(&arguments, out),
        PolicyCommand::Check(arguments) => check::check(&arguments, out),
        PolicyCommand::Test(arguments) => test::test(&arguments, out),
        PolicyCommand::Explain(arguments) => explain::explain(&arguments, out),
        PolicyCommand::Bench(arguments) => bench::bench(&arguments, out),
        PolicyCommand::Replay(arguments) => replay::replay(&arguments, out),
        PolicyCommand::Inspect(arguments) => inspect::inspect(&arguments, out),
        PolicyCommand::Control(command) => control::execute(command, out),
    }
}

/// The user's own directory for what can be made again, as the XDG base directory specification has it.
fn cache() -> Option<PathBuf> {
    let named = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = named("XDG_CACHE_HOME").or_else(|| Some(named("HOME")?.join(".cache")))?;
    Some(caches.join("howdah/compiled"))
}

/// A policy with what its bytes tell.
type Found = (PolicySpec, Description);

/// A policy that is in a file, or in a project's folder, and in no configuration, with these settings.
fn alone(path: &Path, set: &[Set]) -> Result<Found, PolicyError> {
    let component = match path.is_dir() {
        true => build::component(path).map_err(|error| PolicyError {
            policy: path.display().to_string(),
            origin: path.display().to_string(),
            message: format!("{error:#}"),
        })?,
        false => path.to_owned(),
    };
    let (mut spec, description) = trial::alone(&component)?;
    spec.settings.extend(set.iter().map(|Set { name, value }| (name.clone(), value.clone())));
    Ok((spec, description))
}

/// Policies of a configuration as written, with the mistakes of the configuration as an error.
fn configured(config: &Path) -> anyhow::Result<Vec<PolicyFile>> {
    Ok(policies::files(&Config::load(config).map_err(Mistakes)?))
}

/// The policies that a command is about: files, or those of a configuration, or the built-in one.
fn chain(
    files: &[impl AsRef<Path>],
    config: Option<&Path>,
    set: &[Set],
) -> anyhow::Result<Vec<PolicySpec>> {
    match config {
        Some(_) if !files.is_empty() => bail!("give files or --config, not both"),
        Some(_) if !set.is_empty() => bail!("--set is for files: a configuration has settings"),
        Some(config) => {
            let files = configured(config)?;
            Ok(files.iter().map(PolicyFile::read).collect::<Result<_, _>>()?)
        }
        None if files.is_empty() => Ok(vec![PolicyFile::built_in().read()?]),
        None => {
            let specs = files.iter().map(|file| Ok(alone(file.as_ref(), set)?.0));
            specs.collect::<anyhow::Result<_>>()
        }
    }
}

/// All that is wrong with some policies, one per line.
fn all(errors: &[PolicyError]) -> anyhow::Error {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    anyhow::anyhow!("{}", lines.join("\n"))
}

/// Prints a value as JSON, indented.
fn print_json(value: &serde_json::Value, out: &mut dyn Write) -> anyhow::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    Ok(writeln!(out)?)
}

/// 0 when all is well, 1 when not.
fn code(well: bool) -> ExitCode {
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
