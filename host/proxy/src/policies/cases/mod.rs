//! Cases: questions with the answers that a policy must give, in a TOML file beside it. They need no PostgreSQL.
//!
//! They are run by `howdah policy test`, and by the proxy before a new version of a policy comes into force.

mod expected;
mod retry;
mod run;
mod told;
mod written;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use howdah_policy::SettingValue;

pub use expected::{Expected, remember_name};
use retry::Retried;
pub use run::{Report, Tested, Unlike};
use told::Telling;
use written::{Case, Configured, Opening, Surrounding};
pub(crate) use written::{setting, sqlstate};

/// Longest file of cases that is read, in bytes: it is written by people.
const MAX_FILE: u64 = 4 << 20;

/// A file of cases that has been found sound.
#[derive(Debug)]
pub struct Cases {
    /// The file.
    pub path: PathBuf,
    /// Settings that the policy gets; without any it keeps its own.
    settings: Option<BTreeMap<String, SettingValue>>,
    surrounding: Surrounding,
    cases: Vec<(Place, Case)>,
    sessions: Vec<(Place, Opening)>,
    retries: Vec<(Place, Retried)>,
    told: Vec<(Place, Telling)>,
    configured: Vec<(Place, Configured)>,
}

/// Where a case is, and what it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its line, from 1.
    pub line: usize,
    /// Its name, or its statement.
    pub name: String,
}

impl Cases {
    /// Reads a file.
    ///
    /// # Errors
    /// What is wrong with it, with file and line.
    pub fn load(path: &Path) -> Result<Cases, String> {
        let shown = path.display();
        let unreadable = |error: std::io::Error| format!("{shown}: cannot be read: {error}");
        let size = std::fs::metadata(path).map_err(unreadable)?.len();
        if size > MAX_FILE {
            return Err(format!("{shown}: it is larger than {MAX_FILE} bytes"));
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        Cases::parse(path, &text)
    }

    /// The hash of a file, to tell whether it is another one. None: it cannot be read.
    pub fn sha256(path: &Path) -> Option<String> {
        let mut content = Vec::new();
        let file = std::fs::File::open(path).ok()?;
        // A larger one is refused, however it goes on.
        file.take(MAX_FILE + 1).read_to_end(&mut content).ok()?;
        Some(howdah_policy::sha256(&content))
    }

    /// Where the cases of a policy's file are by default: `<policy>.cases.toml` beside it, else `cases.toml` in its
    /// folder; `policy` may be the folder of a project.
    pub fn beside(policy: &Path) -> Option<PathBuf> {
        let folder =
            if policy.is_dir() { policy } else { policy.parent().unwrap_or(Path::new("")) };
        [policy.with_extension("cases.toml"), folder.join("cases.toml")]
            .into_iter()
            .find(|path| path.is_file())
    }

    /// How many cases there are.
    pub fn len(&self) -> usize {
        let verdicts = self.sessions.len() + self.cases.len() + self.retries.len();
        self.configured.len() + verdicts + self.told.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
