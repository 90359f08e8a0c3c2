//! Passwords as libpq finds them when nobody states one: PGPASSWORD, else the password file
//! (https://www.postgresql.org/docs/current/libpq-pgpass.html).

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::surroundings::{MAX_FILE, Surroundings, read};
use crate::upstream::{Secret, Target};

/// Where the passwords for servers come from that the configuration does not state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Passwords {
    /// Nowhere.
    #[default]
    None,
    /// One for all.
    Same(Secret),
    /// From the lines of a password file.
    Lines(Vec<Line>),
}

/// `host:port:database:user:password`, where `*` stands for any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    fields: [String; 4],
    password: Secret,
}

impl Passwords {
    /// What libpq would find. A warning when the password file may not be used.
    pub(super) fn find(surroundings: &Surroundings<'_>, warnings: &mut Vec<String>) -> Passwords {
        if let Ok(password) = surroundings.text("PGPASSWORD") {
            return Passwords::Same(Secret::new(password));
        }
        let given = (surroundings.variable)("PGPASSFILE").map(PathBuf::from);
        let home = || Some(PathBuf::from((surroundings.variable)("HOME")?).join(".pgpass"));
        let Some(path) = given.or_else(home) else { return Passwords::None };
        let Ok(metadata) = std::fs::metadata(&path) else { return Passwords::None };
        // As in libpq (fe-connect.c, passwordFromFile).
        if !metadata.is_file() || metadata.permissions().mode() & 0o077 != 0 {
            let path = path.display();
            warnings.push(format!(
                "{path} is not used: it must be a file that nobody else may read (chmod 600)"
            ));
            return Passwords::None;
        }
        match read(&path, MAX_FILE) {
            Ok(text) => Passwords::Lines(text.lines().filter_map(line).collect()),
            Err(why) => {
                warnings.push(why);
                Passwords::None
            }
        }
    }

    /// The password for a login.
    pub(super) fn get(&self, node: &Target, database: &str, user: &str) -> Option<Secret> {
        match self {
            Passwords::None => None,
            Passwords::Same(password) => Some(password.clone()),
            Passwords::Lines(lines) => {
                let port = node.port.to_string();
                let asked = [node.host.as_str(), &port, database, user];
                let fits = |line: &&Line| {
                    line.fields
                        .iter()
                        .zip(asked)
                        .all(|(field, asked)| field == "*" || field == asked)
                };
                lines.iter().find(fits).map(|line| line.password.clone())
            }
        }
    }
}

/// Reads a line; none for comments and lines without all fields. A backslash takes the next character as it is.
fn line(text: &str) -> Option<Line> {
    if text.starts_with('#') {
        return None;
    }
    let mut fields = vec![String::new()];
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            ':' => fields.push(String::new()),
            '\\' => fields.last_mut()?.extend(characters.next()),
            other => fields.last_mut()?.push(other),
        }
    }
    let [host, port, database, user, password] = <[String; 5]>::try_from(fields).ok()?;
    let usable = !password.is_empty();
    usable.then(|| Line { fields: [host, port, database, user], password: Secret::new(password) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn get(text: &str, host: &str, database: &str, user: &str) -> Option<String> {
        let passwords = Passwords::Lines(text.lines().filter_map(line).collect());
        let node = Target { host: host.to_owned(), port: 5432 };
        passwords.get(&node, database, user).map(|secret| secret.reveal().to_owned())
    }

    #[test]
    fn the_first_line_that_fits_wins() {
        let file = "# comment\nshort:line\na:5432:*:app:one\n*:*:*:app:two\n*:6000:*:*:three\n";
        assert_eq!(get(file, "a", "x", "app").as_deref(), Some("one"));
        assert_eq!(get(file, "b", "x", "app").as_deref(), Some("two"));
        assert_eq!(get(file, "b", "x", "bob"), None);
    }

    #[test]
    fn a_backslash_hides_colons() {
        assert_eq!(get(r"\:\:1:*:*:*:p\:w\\d", "::1", "x", "y").as_deref(), Some(r"p:w\d"));
    }
}
