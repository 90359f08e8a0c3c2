use howdah_wire::md5;

use super::Step;
use super::passwords::Stated;
use crate::config::parts::{PoolChanges, User};
use crate::config::value::At;
use crate::config::written;
use crate::upstream::Secret;

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
        let is_hash = |password: &At<Secret>| md5::is_hash(password.value.reveal());
        let own = password.as_ref().filter(|own| !self.is_verifier(own) && !is_hash(own));
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
            cert_names: user.cert_names,
            server_user: user.server_user.unwrap_or_else(|| name.value.clone()),
            server_password,
            pool: PoolChanges {
                mode: user.pool_mode,
                size: user.pool_size,
                prepare_unnamed: user.pool_prepare_unnamed,
            },
            max_clients: user.max_clients,
        }
    }
}
