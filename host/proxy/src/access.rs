//! Who may come in.

use std::net::IpAddr;
use std::sync::Arc;

use howdah_wire::backend::ErrorReport;
use howdah_wire::scram::Verifier;

use crate::config::{AuthMethod, Config};
use crate::frontend::{Authenticator, Method};
use crate::worker::Shared;

/// Iterations of the verifier that stands for an unknown user: PostgreSQL's default.
const MOCK_ITERATIONS: u32 = 4096;

/// The configuration's rules.
pub(crate) struct Access<'a> {
    pub(crate) config: &'a Config,
    pub(crate) shared: &'a Shared,
}

impl Authenticator for Access<'_> {
    fn method(&self, user: &str, _database: &str, peer: Option<IpAddr>) -> Method {
        let local = peer.is_none_or(|ip| ip.to_canonical().is_loopback());
        match self.config.auth {
            AuthMethod::Trust if !local && !self.config.trust_remote => Method::Reject(
                ErrorReport::fatal(b"28000", "trusted clients must connect from this machine")
                    .hint("Set auth.method = \"scram-sha-256\" and give users passwords."),
            ),
            AuthMethod::Trust => Method::Trust,
            AuthMethod::Scram => {
                let known = self.config.users.get(user).and_then(|user| user.verifier.clone());
                let mock =
                    || Arc::new(Verifier::mock(user, &self.shared.mock_secret, MOCK_ITERATIONS));
                Method::Scram(known.unwrap_or_else(mock))
            }
        }
    }
}
