use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;

use super::policy::control::{ControlArguments, ask_for};
use crate::upgrade::MAX_START;

/// The proxy itself does not wait for longer than [`MAX_START`].
const PATIENCE: Duration = Duration::from_secs(MAX_START.as_secs() + 10);

/// Has another process take over, and says which one has.
pub(super) fn execute(
    program: Option<PathBuf>,
    proxy: ControlArguments,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let order = match program {
        Some(program) => {
            let program = std::path::absolute(program)?;
            format!("upgrade {}", program.to_str().context("the path is not UTF-8")?)
        }
        None => "upgrade".to_owned(),
    };
    let answer = ask_for(&proxy.socket()?, &order, PATIENCE)?;
    writeln!(out, "process {} has taken over", answer["pid"])?;
    Ok(())
}
