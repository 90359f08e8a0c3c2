use super::Step;
use super::passwords::Stated;
use crate::config::parts::{Auth, AuthMethod, PoolChanges, User};
use crate::config::value::At;
use crate::config::written;

impl Step<'_> {
    pub(super) fn users(
        &self,
        written: Vec<(At<String>, written::User)>,
    ) -> Vec<(At<String>, User)> {
        written
            .into_iter()
            .map(|(name, user)| {
                let user = self.user(&name, user);
                (name, user)
            })
            .collect()
    }

    fn user(&self, name: &At<String>, user: written::User) -> User {
        let password = self.password(Stated {
            table: name.at,
            what: "password",
            plain: user.password,
            file: user.password_file,
            variable: user.password_env,
        });
        let server_password = self.password(Stated {
            table: name.at,
            what: "server_password",
            plain: user.server_password,
            file: user.server_password_file,
            variable: user.server_password_env,
        });
        let own = password.as_ref().filter(|password| !self.is_verifier(password));
        let server_password = match server_password {
            Some(stated) => {
                if self.is_verifier(&stated) {
                    self.mistakes
                        .add(stated.at, "a verifier does not suffice to log in to servers");
                }
                Some(stated.value)
            }
            None => own.map(|password| password.value.clone()),
        };
        User {
            password: password.map(|password| password.value),
            server_user: user.server_user.unwrap_or_else(|| name.value.clone()),
            server_password,
            pool: PoolChanges { mode: user.pool_mode, size: user.pool_size },
        }
    }

    pub(super) fn auth(&self, written: &written::Auth, users: &[(At<String>, User)]) -> Auth {
        let any = users.iter().any(|(_, user)| user.password.is_some());
        let default = if any { AuthMethod::ScramSha256 } else { AuthMethod::Trust };
        let method = written.method.as_ref().map_or(default, |method| method.value);
        if method == AuthMethod::ScramSha256 {
            if let (Some(stated), true) = (&written.method, users.is_empty()) {
                let message = "nobody could come in: list users with passwords, as in [user.app]";
                self.mistakes.add(stated.at, message);
            }
            for (name, _) in users.iter().filter(|(_, user)| user.password.is_none()) {
                let message = format!(
                    "user {}: a password is missing, which scram-sha-256 requires",
                    name.value
                );
                self.mistakes.add_missing(name.at, message);
            }
        }
        Auth { method, trust_remote: written.trust_remote }
    }
}
