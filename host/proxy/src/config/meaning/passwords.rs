use std::path::PathBuf;

use howdah_wire::scram::Verifier;

use super::Step;
use crate::config::surroundings::secret;
use crate::config::value::At;
use crate::upstream::Secret;

/// Beginning of a verifier, as in `pg_authid`.
const VERIFIER: &str = "SCRAM-SHA-256$";

/// A password as three keys can state it.
pub(super) struct Stated {
    /// Where its table begins.
    pub(super) table: usize,
    pub(super) what: &'static str,
    pub(super) plain: Option<At<Secret>>,
    pub(super) file: Option<At<PathBuf>>,
    pub(super) variable: Option<At<String>>,
}

impl Step<'_> {
    /// The password of who logs in for the proxy itself, if one is stated in its table.
    pub(super) fn own_password(
        &self,
        table: usize,
        plain: Option<At<Secret>>,
        file: Option<At<PathBuf>>,
        variable: Option<At<String>>,
    ) -> Option<Secret> {
        let stated = Stated { table, what: "password", plain, file, variable };
        self.password(stated).map(|password| password.value)
    }

    /// The password that is stated, if any, and where.
    pub(super) fn password(&self, stated: Stated) -> Option<At<Secret>> {
        let places = [
            stated.plain.as_ref().map(|at| at.at),
            stated.file.as_ref().map(|at| at.at),
            stated.variable.as_ref().map(|at| at.at),
        ];
        if let Some(second) = places.iter().flatten().nth(1) {
            let what = stated.what;
            self.mistakes.spoil(stated.table);
            self.mistakes.add(
                *second,
                format!("only one of {what}, {what}_file and {what}_env may be given"),
            );
            return None;
        }
        if let Some(At { at, value }) = stated.file {
            return self.found(stated.table, at, self.surroundings.password(&value));
        }
        if let Some(At { at, value }) = stated.variable {
            let read = self.surroundings.text(&value);
            let sound = |text| {
                secret(text).map_err(|why| format!("the environment variable {value} {why}"))
            };
            return self.found(stated.table, at, read.and_then(sound));
        }
        stated.plain
    }

    fn found(&self, table: usize, at: usize, read: Result<Secret, String>) -> Option<At<Secret>> {
        match read {
            Ok(value) => Some(At { at, value }),
            Err(message) => {
                self.mistakes.spoil(table);
                self.mistakes.add(at, message);
                None
            }
        }
    }

    /// Whether it is a verifier rather than a password; it must be a sound one then.
    pub(super) fn is_verifier(&self, password: &At<Secret>) -> bool {
        let text = password.value.reveal();
        if text.starts_with(VERIFIER) {
            if let Err(error) = Verifier::parse(text) {
                self.mistakes.add(password.at, error.to_string());
            }
            return true;
        }
        false
    }
}
