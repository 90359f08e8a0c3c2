//! `howdah import`: a howdah.toml that does what another pooler's configuration says.

mod document;
mod pgbouncer;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use document::Document;

use super::Mistakes;
use crate::config::Config;

pub(super) use pgbouncer::settings::reference;

/// What to import, and where to.
#[derive(Debug, Args)]
pub struct ImportArguments {
    /// PgBouncer's configuration file
    #[arg(value_name = "PGBOUNCER.INI")]
    file: PathBuf,
    /// Its list of users, instead of the one that auth_file names
    #[arg(value_name = "USERLIST.TXT")]
    userlist: Option<PathBuf>,
    /// File to write, which must not exist yet and will be readable for its owner only; by default standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// What has become of a configuration, and what to look at.
struct Imported {
    document: Document,
    notes: Vec<String>,
}

impl Imported {
    /// The file, with the notes at its top.
    fn text(&self, origin: &Path) -> String {
        let mut comments = vec![format!("Made by howdah import from {}.", origin.display())];
        if !self.notes.is_empty() {
            comments.push(String::new());
            comments.push("To look at:".to_owned());
            comments.extend(self.notes.iter().map(|note| format!("- {note}")));
        }
        self.document.text(&comments)
    }
}

/// Writes the file, and tells what differs on standard error.
pub(super) fn execute(
    arguments: &ImportArguments,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let ImportArguments { file, userlist, output } = arguments;
    let imported = pgbouncer::import(file, userlist.as_deref()).map_err(Mistakes)?;
    let text = imported.text(file);
    match output {
        Some(path) => write(path, &text)?,
        None => out.write_all(text.as_bytes())?,
    }
    for note in &imported.notes {
        writeln!(io::stderr(), "{note}")?;
    }
    let target = output.as_deref().unwrap_or(Path::new("howdah.toml"));
    Config::of_text(&text, target).map_err(Mistakes)?;
    Ok(ExitCode::SUCCESS)
}

/// Passwords are in it.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(0o600).open(path);
    let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
    written.with_context(|| format!("cannot write {}", path.display()))
}
