use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// Where PostgreSQL's server programs are.
#[derive(Clone, Debug)]
pub struct Installation {
    /// The directory of `initdb` and `postgres`.
    pub bin: PathBuf,
    /// 15, for example.
    pub major: u32,
}

/// Names the directory to use, before all others.
const VARIABLE: &str = "HOWDAH_PG_BIN";

impl Installation {
    /// Looks in `HOWDAH_PG_BIN`, on the PATH, where `pg_config` says, and where Debian, PGDG and Homebrew put it.
    ///
    /// # Errors
    /// There is none; the message says what to install.
    pub fn find() -> Result<Installation> {
        let mut places: Vec<PathBuf> =
            std::env::var_os(VARIABLE).map(PathBuf::from).into_iter().collect();
        let path = std::env::var_os("PATH").unwrap_or_default();
        places.extend(std::env::split_paths(&path));
        if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
            places.push(String::from_utf8_lossy(&output.stdout).trim().into());
        }
        let mut versions: Vec<PathBuf> =
            ["/usr/lib/postgresql", "/usr/pgsql", "/opt/homebrew/opt", "/usr/local/opt"]
                .iter()
                .filter_map(|dir| std::fs::read_dir(dir).ok())
                .flatten()
                .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
                .collect();
        // The newest first.
        versions.sort();
        versions.reverse();
        places.extend(versions);
        places.iter().find_map(|bin| Installation::at(bin)).with_context(|| {
            format!(
                "no PostgreSQL server found (initdb and postgres, 13 or newer); install it, for example with \
                 `apt-get install postgresql`, or set {VARIABLE} to the directory of its programs"
            )
        })
    }

    fn at(bin: &Path) -> Option<Installation> {
        // A program on the PATH may be a link to the real place, where the others are.
        let bin = bin.join("postgres").canonicalize().ok()?.parent()?.to_path_buf();
        if !bin.join("initdb").is_file() {
            return None;
        }
        let output = Command::new(bin.join("postgres")).arg("--version").output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let number =
            text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
        let major = number.split(['.', 'd', 'b', 'r']).next()?.parse().ok()?;
        (major >= 13).then_some(Installation { bin, major })
    }
}
