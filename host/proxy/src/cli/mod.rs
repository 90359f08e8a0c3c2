//! The command line: arguments as typed, then what is done about them.

mod arguments;
mod check;
mod failovers;
mod import;
mod nodes;
mod policy;
mod shell;
#[cfg(test)]
mod tests;
mod upgrade;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

pub use arguments::{Arguments, Command, RunArguments};
pub use policy::PolicyCommand;

use crate::admin;
use crate::config::{self, Config, Mistake, Source};
use crate::logging;
use crate::metrics;
use crate::policies::{MOST_COMPILED, trial};
use crate::upgrade::tell_failure;

/// What the program does for the commands that do more than print.
pub struct Actions {
    /// Runs the proxy until it is told to stop. The log is set up.
    pub run: fn(Config, Source) -> anyhow::Result<()>,
    /// Runs the demo; with `true`, checks it without a terminal.
    pub demo: fn(bool) -> anyhow::Result<ExitCode>,
}

/// The program: reads the arguments of the process and does what they say.
pub fn main(actions: &Actions) -> ExitCode {
    // Does not return when the arguments are wrong, or ask for help.
    let arguments = Arguments::parse();
    finish(execute(arguments, actions, &mut io::stdout()))
}

/// Like [`main`], for given arguments (the first is the name of the program) and output.
///
/// # Errors
/// Whatever the command fails with; wrong arguments are a [`clap::Error`].
pub fn execute_from(
    arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    actions: &Actions,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    execute(Arguments::try_parse_from(arguments)?, actions, out)
}

fn execute(
    arguments: Arguments,
    actions: &Actions,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    match arguments.command {
        Command::Run(run) => {
            let source = run.source();
            let config = source.load().map_err(Mistakes)?;
            logging::init(&config.log)?;
            for warning in &config.warnings {
                tracing::warn!("{warning}");
            }
            if let Some(directory) = &config.compiled_policies {
                trial::keep_compiled(directory.clone(), MOST_COMPILED);
            }
            (actions.run)(config, source)?;
        }
        Command::Check { config } => return check::check(&config, out),
        Command::Failovers { proxy, json } => failovers::execute(proxy, json, out)?,
        Command::Nodes { proxy, json } => nodes::show(proxy, json, out)?,
        Command::Pause { cluster, rest } => return nodes::pause(cluster, rest, out),
        Command::Drain { node, rest } => return nodes::drain(&node, rest, out),
        Command::Resume { cluster, proxy } => {
            nodes::go_on("resume", cluster.as_deref(), &proxy.socket()?, out)?;
        }
        Command::Undrain { node, proxy } => {
            nodes::go_on("undrain", Some(&node), &proxy.socket()?, out)?;
        }
        Command::Upgrade { program, proxy } => upgrade::execute(program, proxy, out)?,
        Command::Import(arguments) => return import::execute(&arguments, out),
        Command::Policy { command } => return policy::execute(command, out),
        Command::Demo { check } => return (actions.demo)(check),
        Command::Completions { shell } => out.write_all(&shell::completions(shell))?,
        Command::Man => out.write_all(&shell::manual()?)?,
        Command::Version => writeln!(out, "howdah {}", env!("CARGO_PKG_VERSION"))?,
        Command::HooksReference { wit } => {
            out.write_all(policy::hooks_reference(&wit)?.as_bytes())?;
        }
        Command::ConsoleReference => out.write_all(admin::reference().as_bytes())?,
        Command::ImportReference => out.write_all(import::reference().as_bytes())?,
        Command::ConfigReference => out.write_all(config::reference().as_bytes())?,
        Command::MetricsReference => out.write_all(metrics::reference().as_bytes())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Mistakes of a configuration, one per line.
#[derive(Debug)]
struct Mistakes(Vec<Mistake>);

impl std::fmt::Display for Mistakes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lines: Vec<String> = self.0.iter().map(Mistake::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Mistakes {}

/// The end of the program: an error goes to standard error, as far as anybody listens.
fn finish(result: anyhow::Result<ExitCode>) -> ExitCode {
    let error = match result {
        Ok(code) => return code,
        Err(error) => error,
    };
    // The reader of our output has gone (`howdah config-reference | head`).
    let broken_pipe = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    if error.downcast_ref::<io::Error>().is_some_and(broken_pipe) {
        return ExitCode::SUCCESS;
    }
    let text = match error.downcast_ref::<Mistakes>() {
        Some(mistakes) => mistakes.to_string(),
        None => format!("howdah: {error:#}"),
    };
    let _ = writeln!(io::stderr(), "{text}");
    tell_failure(&text);
    ExitCode::FAILURE
}
