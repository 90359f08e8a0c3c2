//! The file of users and passwords: `"user" "password"` on each line, and whatever follows.

use std::path::Path;

use super::ini::{Place, identifier};
use crate::config::{MAX_FILE, Mistake, read_text};
use crate::upstream::Secret;

/// A user, and what is known of the password.
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) password: Secret,
    pub(super) place: Place,
}

/// Reads a file. Of several lines for a user the last one counts. Blocks on it.
pub(super) fn read(path: &Path) -> Result<Vec<Listed>, Vec<Mistake>> {
    let text = read_text(path, MAX_FILE).map_err(|why| vec![Mistake::general(path, why)])?;
    let (mut users, mut mistakes) = (Vec::<Listed>::new(), Vec::new());
    for (line, number) in text.lines().zip(1..) {
        let line = line.trim();
        if line.is_empty() || line.starts_with(';') {
            continue;
        }
        let place = Place { file: path.into(), line: number };
        match entry(line) {
            Some((name, password)) => {
                users.retain(|user| user.name != name);
                users.push(Listed { name, password: Secret::new(password), place });
            }
            // The line is not shown: there may be a password in it.
            None => {
                mistakes.push(place.mistake("expected \"user\" \"password\", with both quoted"))
            }
        }
    }
    if mistakes.is_empty() { Ok(users) } else { Err(mistakes) }
}

fn entry(line: &str) -> Option<(String, String)> {
    let (name, rest) = identifier(line.strip_prefix('"')?)?;
    let (password, _) = identifier(rest.trim_start().strip_prefix('"')?)?;
    Some((name, password)).filter(|(name, _)| !name.is_empty())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn users_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("userlist.txt");
        let text =
            "; \"no\" \"one\"\n\n \"a\" \"x\"\n\"b\"\"c\"  \"y \"\"z\" more\n\"a\" \"new\"\n";
        std::fs::write(&file, text).unwrap();
        let users = read(&file).unwrap();
        let told: Vec<_> =
            users.iter().map(|user| (user.name.as_str(), user.password.reveal())).collect();
        assert_eq!(told, [("b\"c", "y \"z"), ("a", "new")]);
        std::fs::write(&file, "\"a\" \"x\"\na \"hush\"\n\"a\" hush\n\"\" \"hush\"\n").unwrap();
        let mistakes = read(&file).err().unwrap();
        assert_eq!(mistakes.len(), 3);
        assert!(!format!("{mistakes:?}").contains("hush"));
    }
}
