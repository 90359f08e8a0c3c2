use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::upstream::Secret;

/// Largest configuration file, in bytes: the largest sensible one has some thousand users.
pub(crate) const MAX_FILE: u64 = 4 << 20;
/// Largest file with a password, in bytes; PostgreSQL's own limit of a password message is near.
const MAX_PASSWORD_FILE: u64 = 16 << 10;

/// What a configuration may look at besides its text. Tests bring their own.
pub(super) struct Surroundings<'a> {
    /// Paths are relative to this.
    pub(super) directory: &'a Path,
    /// Environment variables.
    pub(super) variable: &'a dyn Fn(&str) -> Option<OsString>,
}

/// The environment of the process.
pub(super) fn environment(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

impl Surroundings<'_> {
    pub(super) fn path(&self, path: &Path) -> PathBuf {
        self.directory.join(path)
    }

    /// An environment variable that is set, not empty, and text.
    pub(super) fn text(&self, name: &str) -> Result<String, String> {
        let value = (self.variable)(name).filter(|value| !value.is_empty());
        let value = value.ok_or_else(|| format!("the environment variable {name} is not set"))?;
        value.into_string().map_err(|_| format!("the environment variable {name} is not UTF-8"))
    }

    /// The password in a file.
    pub(super) fn password(&self, path: &Path) -> Result<Secret, String> {
        let path = self.path(path);
        let text = read(&path, MAX_PASSWORD_FILE)?;
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        secret(text.to_owned()).map_err(|why| format!("the file {} {why}", path.display()))
    }
}

/// A password that may be sent. The error completes a sentence.
pub(super) fn secret(text: String) -> Result<Secret, &'static str> {
    match text.as_str() {
        "" => Err("is empty"),
        _ if text.contains('\0') => Err("contains a zero byte"),
        _ => Ok(Secret::new(text)),
    }
}

/// The text of a file that is not too large. The error says what is wrong.
pub(crate) fn read(path: &Path, most: u64) -> Result<String, String> {
    let wrong = |why: &dyn std::fmt::Display| format!("cannot read {}: {why}", path.display());
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(most + 1).read_to_end(&mut bytes))
        .map_err(|error| wrong(&error))?;
    if bytes.len() as u64 > most {
        return Err(wrong(&format!("it is larger than {most} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| wrong(&"it is not UTF-8"))
}
