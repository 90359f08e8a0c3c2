//! Who may come in.

use std::collections::HashMap;
use std::sync::Arc;

use howdah_wire::backend::ErrorReport;
use howdah_wire::scram::Verifier;
use rustls::ServerConfig;

use crate::config::{AuthMethod, Config, Others, Tls, TlsMode};
use crate::frontend::{Authenticator, Caller, Method};

/// Iterations of the verifiers that are made here: PostgreSQL's default.
const ITERATIONS: u32 = 4096;

/// The rules of a configuration, with what is derived from its passwords.
pub struct Access {
    method: AuthMethod,
    trust_remote: bool,
    tls: Option<Tls>,
    others: Others,
    users: HashMap<String, Option<Arc<Verifier>>>,
    /// Verifiers of unknown users depend on it.
    secret: [u8; 32],
}

impl Access {
    /// Derives verifiers from plain passwords; some milliseconds for each user.
    pub fn new(config: &Config) -> Access {
        let verifier = |password: &str| {
            Verifier::parse(password).unwrap_or_else(|_| {
                Verifier::derive(password.as_bytes(), &crate::upstream::random::<16>(), ITERATIONS)
            })
        };
        let users = config.users.iter().map(|(name, user)| {
            (name.clone(), user.password.as_ref().map(|p| Arc::new(verifier(p.reveal()))))
        });
        Access {
            method: config.auth.method,
            trust_remote: config.auth.trust_remote,
            tls: config.tls.clone(),
            others: config.others,
            users: users.collect(),
            secret: crate::upstream::random(),
        }
    }
}

impl Authenticator for Access {
    fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.tls.as_ref().map(|tls| Arc::clone(&tls.server))
    }

    fn method(&self, user: &str, caller: Caller) -> Method {
        let required = self.tls.as_ref().is_some_and(|tls| tls.mode == TlsMode::Require);
        if required && !caller.encrypted && caller.address.is_some() {
            return Method::Reject(
                ErrorReport::fatal(b"28000", "the proxy takes no connections without encryption")
                    .hint("Connect with sslmode=require or better."),
            );
        }
        let local = caller.address.is_none_or(|ip| ip.to_canonical().is_loopback());
        match self.method {
            AuthMethod::Trust if !local && !self.trust_remote => Method::Reject(
                ErrorReport::fatal(b"28000", "trusted clients must connect from this machine")
                    .hint("Set auth.method = \"scram-sha-256\" and give users passwords."),
            ),
            AuthMethod::Trust
                if self.others == Others::Refused && !self.users.contains_key(user) =>
            {
                Method::Reject(ErrorReport::fatal(
                    b"28000",
                    &format!("role \"{user}\" does not exist"),
                ))
            }
            AuthMethod::Trust => Method::Trust,
            AuthMethod::ScramSha256 => {
                let known = self.users.get(user).cloned().flatten();
                let mock = || Arc::new(Verifier::mock(user, &self.secret, ITERATIONS));
                Method::Scram(known.unwrap_or_else(mock))
            }
        }
    }
}
