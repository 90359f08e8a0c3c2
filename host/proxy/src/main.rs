//! The `howdah` binary.

use std::process::ExitCode;

use howdah::cli::{self, Actions};

fn main() -> ExitCode {
    cli::main(&Actions { run: howdah::run::run, demo: howdah::demo::demo })
}
