//! Who may come in.

pub(crate) mod crowd;
mod lookup;
mod rules;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use howdah_wire::backend::ErrorReport;
use howdah_wire::md5;
use howdah_wire::scram::Verifier;

use crate::admin;
use crate::config::{AuthMethod, ClientCert, Config, Others, Secret, Tls, TlsMode};
use crate::frontend::{Authenticator, Caller, ClientHello, Method, Proof, Stored, wrong_password};
use crate::upstream::KeyCache;
pub(crate) use crowd::Crowd;
pub(crate) use lookup::{Lookup, Questions, answer};

/// Iterations of the verifiers that are made here: PostgreSQL's default.
const ITERATIONS: u32 = 4096;

/// The rules of a configuration, with what is derived from its passwords.
pub struct Access {
    config: Arc<Config>,
    /// What is known of passwords of users that are listed, and have one.
    users: HashMap<String, Known>,
    memory: Memory,
    /// Verifiers of unknown users depend on it.
    secret: [u8; 32],
}

/// What outlives a configuration.
#[derive(Clone)]
pub(crate) struct Memory {
    /// Who knows users that are not listed.
    pub(crate) lookup: Arc<Lookup>,
    /// Where what clients have proven is kept, for their servers.
    pub(crate) keys: Arc<KeyCache>,
    /// Who is there.
    pub(crate) crowd: Arc<Crowd>,
}

/// What is known of a password.
struct Known {
    stored: Arc<Stored>,
    /// What is derived from a password in clear: some milliseconds.
    verifier: Option<Arc<Verifier>>,
}

impl Access {
    /// Derives verifiers from plain passwords; some milliseconds for each user.
    pub(crate) fn new(config: Arc<Config>, memory: Memory) -> Access {
        let users = config.users.iter();
        let users = users.filter_map(|(name, user)| Some((name, user.password.as_ref()?)));
        let users = users.map(|(name, password)| (name.clone(), Known::new(password))).collect();
        Access { users, memory, secret: crate::upstream::random(), config }
    }

    /// Whether this is the password of an operator who comes by HTTP; without one it is not.
    ///
    /// # Errors
    /// It is not, or nobody could be asked: how long the answer has to wait.
    pub(crate) async fn operator(
        &self,
        user: &str,
        password: Option<Secret>,
        address: IpAddr,
    ) -> Result<(), Duration> {
        if let Some(password) = password.filter(|password| !password.reveal().is_empty())
            && let Ok(Some(stored)) = self.stored(user, admin::DATABASE).await
            && stored.fits(user, &password).await
        {
            return Ok(());
        }
        Err(self.wrong(user, admin::DATABASE, Some(address)))
    }

    /// What is known of a user's password; none of one who is unknown. The error is that nobody could be asked.
    async fn stored(&self, user: &str, database: &str) -> Result<Option<Arc<Stored>>, ErrorReport> {
        if let Some(known) = self.users.get(user) {
            return Ok(Some(Arc::clone(&known.stored)));
        }
        if self.config.auth.query.is_none() {
            return Ok(None);
        }
        self.memory.lookup.find(self.cluster(database), user).await
    }

    /// A password was not that of a user: how long the answer has to wait.
    fn wrong(&self, user: &str, database: &str, address: Option<IpAddr>) -> Duration {
        if !self.users.contains_key(user) {
            self.memory.lookup.doubt(self.cluster(database), user);
        }
        self.memory.crowd.failed(address, &self.config)
    }

    /// Where a client's database is. One that does not exist is told so when it has proven who it is.
    fn cluster(&self, database: &str) -> usize {
        self.config.cluster_of(database).unwrap_or_default()
    }

    async fn scram(&self, client: &ClientHello) -> Method {
        if let Some(verifier) = self.users.get(&client.user).and_then(|user| user.verifier.clone())
        {
            return Method::Scram(verifier);
        }
        match self.stored(&client.user, &client.database).await {
            Ok(stored) => match stored.as_deref().and_then(Stored::verifier) {
                Some(verifier) => Method::Scram(Arc::clone(verifier)),
                None => self.mock(client),
            },
            Err(report) => Method::Reject(report),
        }
    }

    /// Where no MD5 hash is known of a password, SCRAM is used, for users that there are not, too (auth.c,
    /// `CheckPWChallengeAuth`).
    async fn md5(&self, client: &ClientHello) -> Method {
        let stored = match self.stored(&client.user, &client.database).await {
            Ok(stored) => stored,
            Err(report) => return Method::Reject(report),
        };
        match stored.as_deref() {
            Some(Stored::Verifier(verifier)) => Method::Scram(Arc::clone(verifier)),
            Some(Stored::Md5(hash)) => Method::Md5(hash.clone()),
            Some(Stored::Plain(password)) => {
                let hash = md5::hash(&client.user, password.reveal().as_bytes());
                Method::Md5(Secret::new(hash))
            }
            None => self.mock(client),
        }
    }

    /// What nobody can satisfy.
    fn mock(&self, client: &ClientHello) -> Method {
        Method::Scram(Arc::new(Verifier::mock(&client.user, &self.secret, ITERATIONS)))
    }

    /// Whether a client shows the certificate that it must, if any.
    fn certified(
        &self,
        client: &ClientHello,
        caller: Caller<'_>,
        method: AuthMethod,
        wanted: Option<ClientCert>,
    ) -> Result<(), ErrorReport> {
        let Some(wanted) = wanted else { return Ok(()) };
        let Some(shown) = caller.certificate else {
            let message = "connection requires a valid client certificate";
            return Err(ErrorReport::fatal(b"28000", message));
        };
        let is_own = match self.config.users.get(&client.user).map(|user| &*user.cert_names) {
            None | Some([]) => shown.common_name().as_ref() == Some(&client.user),
            Some(names) => names.iter().any(|name| name.is_of(shown)),
        };
        match wanted {
            ClientCert::VerifyFull if !is_own => Err(failed(method, &client.user)),
            _ => Ok(()),
        }
    }

    fn by_certificate(&self, user: &str) -> Method {
        if self.is_unknown(user) {
            return Method::Reject(failed(AuthMethod::Cert, user));
        }
        Method::Certificate
    }

    /// Whether nobody may come in under this name.
    fn is_unknown(&self, user: &str) -> bool {
        self.config.others == Others::Refused && !self.config.users.contains_key(user)
    }

    /// A client that need not prove who it is must be one that there is.
    fn trust(&self, client: &ClientHello, caller: Caller<'_>) -> Method {
        let local = caller.address.is_none_or(|ip| ip.to_canonical().is_loopback());
        if !local && admin::is_for(&client.database, &self.config) {
            let message = "operators of other machines must prove who they are";
            return Method::Reject(
                ErrorReport::fatal(b"28000", message)
                    .hint("Use another method than trust for them."),
            );
        }
        if self.config.rules.is_empty() && !local && !self.config.auth.trust_remote {
            return Method::Reject(
                ErrorReport::fatal(b"28000", "trusted clients must connect from this machine")
                    .hint("Set auth.method = \"scram-sha-256\" and give users passwords."),
            );
        }
        let user = &client.user;
        if self.is_unknown(user) {
            let message = format!("role \"{user}\" does not exist");
            return Method::Reject(ErrorReport::fatal(b"28000", &message));
        }
        Method::Trust
    }
}

impl Known {
    fn new(password: &Secret) -> Known {
        let stored = Stored::read(password);
        let verifier = match &stored {
            Stored::Plain(password) => {
                let salt = crate::upstream::random::<16>();
                let password = password.reveal().as_bytes();
                Some(Arc::new(Verifier::derive(password, &salt, ITERATIONS)))
            }
            _ => None,
        };
        Known { stored: Arc::new(stored), verifier }
    }
}

/// In the words of PostgreSQL (auth.c, `auth_failed`).
fn failed(method: AuthMethod, user: &str) -> ErrorReport {
    let what = match method {
        AuthMethod::Trust => "\"trust\"",
        AuthMethod::Cert => "certificate",
        _ => return wrong_password(user),
    };
    ErrorReport::fatal(b"28000", &format!("{what} authentication failed for user \"{user}\""))
}

impl Authenticator for Access {
    fn tls(&self) -> Option<&Tls> {
        self.config.tls.as_ref()
    }

    async fn method(&self, client: &ClientHello, caller: Caller<'_>) -> Method {
        let required = |tls: &Tls| tls.mode == TlsMode::Require;
        if self.config.tls.as_ref().is_some_and(required)
            && !caller.encrypted
            && caller.address.is_some()
        {
            return Method::Reject(
                ErrorReport::fatal(b"28000", "the proxy takes no connections without encryption")
                    .hint("Connect with sslmode=require or better."),
            );
        }
        let (method, client_cert) = match self.config.rules.as_slice() {
            [] => (self.config.auth.method, None),
            rules => match rules::first(rules, client, caller) {
                Some(rule) => (rule.method, rule.client_cert),
                None => return Method::Reject(rules::none(client, caller)),
            },
        };
        let of_method = (method == AuthMethod::Cert).then_some(ClientCert::VerifyFull);
        if let Err(report) = self.certified(client, caller, method, client_cert.or(of_method)) {
            return Method::Reject(report);
        }
        match method {
            AuthMethod::Reject => Method::Reject(rules::rejected(client, caller)),
            AuthMethod::Trust => self.trust(client, caller),
            AuthMethod::ScramSha256 => self.scram(client).await,
            AuthMethod::Cert => self.by_certificate(&client.user),
            AuthMethod::Md5 => self.md5(client).await,
            AuthMethod::Password => self
                .stored(&client.user, &client.database)
                .await
                .map_or_else(Method::Reject, Method::Password),
        }
    }

    fn proven(&self, client: &ClientHello, proof: Proof) {
        self.memory.keys.pass_on(&client.user, &client.database, proof);
    }

    fn failed(&self, client: &ClientHello, caller: Caller<'_>) -> Duration {
        self.wrong(&client.user, &client.database, caller.address)
    }
}
