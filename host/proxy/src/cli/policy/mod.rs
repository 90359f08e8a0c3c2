//! `howdah policy …`.

mod control;

use std::io::Write;
use std::process::ExitCode;

use clap::Subcommand;

use control::ControlCommand;

/// What can be done about policies.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// About the policies of a running proxy.
    #[command(flatten)]
    Control(ControlCommand),
}

pub(super) fn execute(command: PolicyCommand, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    match command {
        PolicyCommand::Control(command) => control::execute(command, out),
    }
}
