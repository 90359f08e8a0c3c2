//! The `howdah` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    howdah::cli::main()
}
