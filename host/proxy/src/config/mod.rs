//! The configuration: as written, then as meant.
//!
//! [`Source::load`] reads a file (or options of the command line) into a [`Config`], or reports every mistake
//! in it at once. The keys are declared in `written.rs` and `parts.rs`; `docs/config.md` is made from these
//! declarations by [`reference`].

mod address;
mod changed;
mod meaning;
mod mistake;
mod nodes;
mod parts;
mod passwords;
mod reader;
mod reference;
mod settings;
mod source;
mod surroundings;
mod tls;
mod units;
mod value;
mod written;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use howdah_decision::PoolMode;

pub use crate::upstream::Secret;
use crate::upstream::{Endpoint, Login, Target};
pub use address::Collector;
pub(crate) use address::show as show_address;
pub(crate) use changed::MAX_SET;
pub use mistake::Mistake;
pub(crate) use mistake::suggestion;
pub(crate) use parts::Role;
pub use parts::{
    Addresses, Admin, Auth, AuthMethod, AuthQuery, Canary, ClientCert, Cluster, Database, Grant,
    Http, Kv, Limits, Log, LogFormat, LogLevel, Mode, Monitor, Node, OnFailure, Others, Policies,
    Policy, PolicyLimits, PolicySource, Pool, PoolChanges, Reset, Rule, RuleTls, Statements,
    Traces, User,
};
pub(crate) use parts::{MAX_CLIENTS, MAX_POOL_SIZE};
use passwords::Passwords;
pub use reader::Shown;
pub use reference::reference;
pub use settings::SettingValue;
pub use source::{Origin, Source};
pub(crate) use surroundings::{MAX_FILE, read as read_text};
pub use tls::{CertName, ChannelBinding, ServerTls, ServerTlsMode, Tls, TlsMode, TlsVersion};
pub use units::Size;
pub(crate) use units::{parse_duration, parse_size, show_duration};
pub(crate) use written::BUILT_IN;

/// A configuration that has been found sound.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where clients connect, at least one address. A host that begins with a slash is the directory of a Unix
    /// socket; port 0 is for the system to choose.
    pub listen: Vec<Target>,
    /// Whether other processes may listen at the same addresses.
    pub reuse_port: bool,
    /// The processes that clients reach under one address, this one included; at most [`crate::peers::MAX_PEERS`].
    pub peers: Vec<Target>,
    /// Whose connections begin with a header of the PROXY protocol.
    pub proxy_protocol_from: Vec<Addresses>,
    /// The Unix socket of the operators' commands.
    pub control: Option<PathBuf>,
    /// The directory of compiled policies.
    pub compiled_policies: Option<PathBuf>,
    /// Threads that serve clients, 1 to 128.
    pub workers: usize,
    /// How clients are let in.
    pub auth: Auth,
    /// The same by who they are and where they come from; none: as [`Config::auth`] says.
    pub rules: Vec<Rule>,
    /// How their connections are encrypted, if they are.
    pub tls: Option<Tls>,
    /// Who may come in, by name.
    pub users: BTreeMap<String, User>,
    /// What becomes of users that are not listed.
    pub others: Others,
    /// At least one; the first is the default.
    pub clusters: Vec<Cluster>,
    /// Pools that nobody has other wishes for; see [`Config::pool_for`].
    pub pool: Pool,
    /// Databases that have something otherwise, by name.
    pub databases: BTreeMap<String, Database>,
    /// Limits of the proxy as a whole.
    pub limits: Limits,
    /// Who may use the console of operators.
    pub admin: Admin,
    /// What is known of statements.
    pub statements: Statements,
    /// What is to be had by HTTP, if anything.
    pub http: Option<Http>,
    /// Where spans of batches are sent, if they are.
    pub traces: Option<Traces>,
    /// Where policies' shared values are exchanged with other proxies, if they are.
    pub kv: Option<Kv>,
    /// What holds for all policies together.
    pub together: Policies,
    /// The chain of policies, at least one.
    pub policies: Vec<Policy>,
    /// The log.
    pub log: Log,
    /// What is allowed, and yet may not be meant; for the log.
    pub warnings: Vec<String>,
    /// All keys, for operators.
    pub shown: Vec<Shown>,
    /// Where passwords come from that are not stated.
    passwords: Passwords,
}

impl Config {
    /// The cluster in which clients find a database, by its place in [`Config::clusters`]: the one that names
    /// it, else the one that takes all.
    pub fn cluster_of(&self, database: &str) -> Option<usize> {
        let has = |name: &str| {
            let mut clusters = self.clusters.iter();
            clusters.position(|cluster| cluster.databases.iter().any(|one| one == name))
        };
        has(database).or_else(|| has(meaning::ANY))
    }

    /// The pool of a user in a database: the user's wishes come before the database's.
    pub fn pool_for(&self, user: &str, database: &str) -> Pool {
        let user = self.users.get(user).map(|user| user.pool).unwrap_or_default();
        let database =
            self.databases.get(database).map(|database| database.pool).unwrap_or_default();
        let mode: Option<PoolMode> = user.mode.or(database.mode);
        let size = user.size.or(database.size);
        let prepare_unnamed = user.prepare_unnamed.or(database.prepare_unnamed);
        Pool {
            mode: mode.unwrap_or(self.pool.mode),
            size: size.unwrap_or(self.pool.size),
            prepare_unnamed: prepare_unnamed.unwrap_or(self.pool.prepare_unnamed),
            ..self.pool.clone()
        }
    }

    /// How a user logs in to a node. None for a user that may not come in.
    pub fn login(&self, user: &str, database: &str, node: &Node) -> Option<Login> {
        let (user, password) = match (self.users.get(user), self.others) {
            (Some(user), _) => (user.server_user.as_str(), user.server_password.clone()),
            (None, Others::Admitted) => (user, None),
            (None, Others::Refused) => return None,
        };
        let password = password.or_else(|| self.passwords.get(&node.address, database, user));
        let (user, database) = (user.to_owned(), database.to_owned());
        Some(Login { user, database, password, parameters: Vec::new() })
    }

    /// How the monitors of all clusters reach the nodes, in their order.
    pub fn monitor_logins(&self) -> Vec<(Endpoint, Login)> {
        let of = |cluster: &Cluster| {
            let nodes = cluster.nodes.iter();
            let login = |node| (cluster.endpoint(node), self.monitor_login(cluster, node));
            nodes.map(login).collect::<Vec<_>>()
        };
        self.clusters.iter().flat_map(of).collect()
    }

    fn monitor_login(&self, cluster: &Cluster, node: &Node) -> Login {
        let Monitor { user, database, password, .. } = cluster.monitor.clone();
        let password = password.or_else(|| self.passwords.get(&node.address, &database, &user));
        let parameters = vec![("application_name".into(), "howdah monitor".into())];
        Login { user, database, password, parameters }
    }

    /// The files of certificates and keys that it names, which may be replaced at any time.
    pub fn tls_files(&self) -> impl Iterator<Item = &Path> {
        let servers = self.clusters.iter().filter_map(|cluster| cluster.tls.as_ref());
        let clients = self.tls.iter().flat_map(Tls::files);
        clients.chain(servers.flat_map(ServerTls::files))
    }

    /// How somebody who looks users up logs in to a node.
    pub fn auth_login(&self, query: &AuthQuery, node: &Node) -> Login {
        let AuthQuery { user, database, password, .. } = query.clone();
        let password = password.or_else(|| self.passwords.get(&node.address, &database, &user));
        Login { user, database, password, parameters: Vec::new() }
    }

    /// The keys that differ and cannot be changed while the program runs.
    pub fn restart_needed(old: &Config, new: &Config) -> Vec<&'static str> {
        let differ = RESTART.iter().filter(|(_, differs)| differs(old, new));
        differ.map(|(key, _)| *key).collect()
    }
}

type Differs = fn(&Config, &Config) -> bool;

/// Keys and tables that cannot be changed while the program runs, and whether they differ. Nor can clusters, but for how
/// their connections are encrypted.
const RESTART: &[(&str, Differs)] = &[
    ("listen", |old, new| old.listen != new.listen),
    ("reuse_port", |old, new| old.reuse_port != new.reuse_port),
    ("peers", |old, new| old.peers != new.peers),
    ("control", |old, new| old.control != new.control),
    ("compiled_policies", |old, new| old.compiled_policies != new.compiled_policies),
    ("workers", |old, new| old.workers != new.workers),
    ("http.listen", |old, new| Http::listens(old) != Http::listens(new)),
    ("traces", |old, new| old.traces != new.traces),
    ("kv", |old, new| old.kv != new.kv),
    ("policies", |old, new| old.together != new.together),
    ("log.format", |old, new| old.log.format != new.log.format),
];

impl Shown {
    /// Whether a change takes a restart.
    pub fn needs_restart(&self) -> bool {
        let is_of = |key: &str| {
            let rest = self.key.strip_prefix(key);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        RESTART.iter().any(|(key, _)| is_of(key)) || is_of("cluster") && !self.key.contains(".tls.")
    }
}

/// Workers when nobody says how many.
fn cores() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    cores.min(written::MAX_WORKERS)
}
