//! `howdah-component MODULE.wasm POLICY.wasm`

use std::process::ExitCode;

use anyhow::{Context, Result};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [module, policy] = arguments.as_slice() else {
        eprintln!("usage: howdah-component MODULE.wasm POLICY.wasm");
        return ExitCode::from(2);
    };
    match make(module, policy) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{module}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn make(module: &str, policy: &str) -> Result<()> {
    let bytes = std::fs::read(module).context("it cannot be read")?;
    let component = howdah_component::component(&bytes)?;
    std::fs::write(policy, component).with_context(|| format!("{policy} cannot be written"))
}
