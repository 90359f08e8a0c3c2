//! Puts who asks into a comment behind each statement, so that `pg_stat_activity`, the server's log and `auto_explain`
//! show it even when many clients share a server connection:
//!
//! ```sql
//! SELECT * FROM orders /* user='alice',application='web' */
//! ```
//!
//! Settings, all optional:
//! - `keys`: which of `user`, `database` and `application` it holds, in this order; by default all but the database.
//! - `where`: `behind` (the default), or `before` the statement: then it is seen even of statements that are longer than
//!   the server's `track_activity_query_size`, but the positions in the server's errors count it too.
//!
//! The form is sqlcommenter's: values are URL-encoded, and so can neither end the comment nor begin another. A comment
//! changes no meaning: hints and tags that the text has stay in force.
//!
//! What it does not do: a text that the proxy does not understand, or that is longer than 1 MiB with its comment, stays
//! as it is; so does one without any statement. What a client prepares is prepared once per user and application rather
//! than once for all. Because the text depends on who asks, the answer is not remembered: each simple query and each
//! Parse costs a call.

use howdah_sdk::{
    Configure, Kind, Outcome, Remember, Rewrite, Rewritten, Settings, Statement, export, question,
};

/// Longest text with its comment: the host takes no longer one, unless its limit is set lower still.
const MAX_TEXT: usize = 1 << 20;

/// The policy with its settings.
#[derive(Debug)]
pub struct CommentTagger {
    keys: Vec<Key>,
    before: bool,
}

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    User,
    Database,
    Application,
}

impl Default for CommentTagger {
    fn default() -> Self {
        CommentTagger { keys: vec![Key::User, Key::Application], before: false }
    }
}

impl Configure for CommentTagger {
    fn configure(&mut self, settings: &Settings) -> Result<(), String> {
        settings.only(&["keys", "where"])?;
        let before = match settings.text("where")? {
            None | Some("behind") => false,
            Some("before") => true,
            Some(other) => return Err(format!("where must be behind or before, not {other}")),
        };
        let mut keys = Vec::new();
        for name in settings.texts("keys")? {
            let key = Key::named(name)?;
            if keys.contains(&key) {
                return Err(format!("keys: {name} is there twice"));
            }
            keys.push(key);
        }
        let default = CommentTagger::default();
        let keys = if settings.get("keys").is_some() { keys } else { default.keys };
        if keys.is_empty() {
            return Err("keys must not be empty".into());
        }
        *self = CommentTagger { keys, before };
        Ok(())
    }
}

impl Rewrite for CommentTagger {
    fn rewrite(&mut self, statement: &Statement<'_>) -> Rewritten {
        if matches!(statement.kind, Kind::Empty | Kind::Unknown) {
            return Outcome::Unchanged.remembered(Remember::Digest);
        }
        let (sql, comment) = (statement.sql, self.comment());
        let text = match self.before {
            true => format!("{comment} {sql}"),
            // A comment with two dashes ends at the end of its line, which may be the text's last.
            false if sql.contains("--") => format!("{sql}\n{comment}"),
            false => format!("{sql} {comment}"),
        };
        let outcome = match text.len() <= MAX_TEXT {
            true => Outcome::Text(text),
            false => Outcome::Unchanged,
        };
        outcome.remembered(Remember::Never)
    }
}

impl CommentTagger {
    fn comment(&self) -> String {
        let mut comment = String::from("/* ");
        for (i, key) in self.keys.iter().enumerate() {
            if i > 0 {
                comment.push(',');
            }
            let (name, value) = key.told();
            comment.push_str(name);
            comment.push_str("='");
            encode(&value, &mut comment);
            comment.push('\'');
        }
        comment.push_str(" */");
        comment
    }
}

impl Key {
    fn named(name: &str) -> Result<Key, String> {
        match name {
            "user" => Ok(Key::User),
            "database" => Ok(Key::Database),
            "application" => Ok(Key::Application),
            other => Err(format!("keys: {other} is none of user, database, application")),
        }
    }

    /// The name and the value of the present question.
    fn told(self) -> (&'static str, String) {
        match self {
            Key::User => ("user", question::user()),
            Key::Database => ("database", question::database()),
            Key::Application => ("application", question::application_name()),
        }
    }
}

/// URL-encodes all but the characters that never need it. What is left is ASCII and means the same in every encoding
/// that a client may have.
fn encode(value: &str, into: &mut String) {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                into.push(char::from(byte));
            }
            _ => into.extend(['%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]),
        }
    }
}

export!(CommentTagger: configure, rewrite);

#[cfg(test)]
mod tests;
