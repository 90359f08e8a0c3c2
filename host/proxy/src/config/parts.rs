use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use howdah_decision::PoolMode;
use ipnet::IpNet;
use rustls::pki_types::ServerName;

use super::Config;
use super::address::Collector;
use super::reader::section;
use super::settings::SettingValue;
use super::tls::{CertName, ServerTls};
use super::units::Size;
use super::value::Word;
use crate::upstream::{Endpoint, Secret, Target};

/// How clients prove who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMethod {
    /// They need not.
    Trust,
    /// With a password, by SCRAM-SHA-256.
    ScramSha256,
    /// With a password, by MD5; by SCRAM-SHA-256 where that is how it is kept (auth.c, `CheckPWChallengeAuth`).
    Md5,
    /// With a password in clear, within TLS.
    Password,
    /// By the certificate of their TLS connection.
    Cert,
    /// They cannot.
    Reject,
}

/// How clients are let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// How they prove who they are.
    pub method: AuthMethod,
    /// Whether [`AuthMethod::Trust`] is for clients of other machines too, not only for those that come over
    /// a loopback address or a Unix socket.
    pub trust_remote: bool,
    /// Where users and passwords are looked up that are not listed.
    pub query: Option<AuthQuery>,
}

/// Who may use the console of operators.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admin {
    /// Those who may give orders.
    pub operators: Vec<String>,
    /// Those who may look.
    pub viewers: Vec<String>,
}

/// What an operator or viewer may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// Look.
    View,
    /// Give orders.
    Operate,
}

impl Admin {
    /// Nobody may: there is no console.
    pub fn is_empty(&self) -> bool {
        self.operators.is_empty() && self.viewers.is_empty()
    }

    /// What a user may do there.
    pub(crate) fn role(&self, user: &str) -> Option<Role> {
        let among = |names: &[String]| names.iter().any(|name| name == user);
        match () {
            () if among(&self.operators) => Some(Role::Operate),
            () if among(&self.viewers) => Some(Role::View),
            () => None,
        }
    }
}

/// What is to be had by HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Where it listens.
    pub listen: Target,
    /// Whether who wants to see the page must log in.
    pub login: bool,
    /// Whether Prometheus must.
    pub metrics_login: bool,
}

impl Http {
    /// Where a configuration has it listen.
    pub(super) fn listens(config: &Config) -> Option<&Target> {
        config.http.as_ref().map(|http| &http.listen)
    }
}

/// Where users and passwords are looked up that are not listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthQuery {
    /// Role that asks.
    pub user: String,
    /// Its password.
    pub password: Option<Secret>,
    /// Database in which it asks.
    pub database: String,
    /// What it asks: `$1` is the user. A row holds name, password, and seconds since 1970 until which that is valid.
    pub sql: String,
    /// How long an answer is kept.
    pub keep: Duration,
}

/// What a client's certificate must be, beside how it proves who it is: `clientcert` in pg_hba.conf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCert {
    /// One of an authority that is believed.
    VerifyCa,
    /// The user's own, too.
    VerifyFull,
}

/// Which clients prove who they are in which way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// How they do.
    pub method: AuthMethod,
    /// Those that want one of these databases; empty for all.
    pub databases: Vec<String>,
    /// Those that want to be one of these users; empty for all.
    pub users: Vec<String>,
    /// Those that come from one of these places; empty for all.
    pub addresses: Vec<Addresses>,
    /// Those whose connections are encrypted, or not, or all.
    pub tls: RuleTls,
    /// The certificate that they must show besides.
    pub client_cert: Option<ClientCert>,
}

/// As people read it: `from 10.0.0.0/8, user app, with TLS: scram-sha-256`.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let some = |what: &str, names: &[String]| match names {
            [] => String::new(),
            names => format!(", {what} {}", names.join(" or ")),
        };
        let places: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        let from = if places.is_empty() { "everywhere".to_owned() } else { places.join(" or ") };
        let tls = match self.tls {
            RuleTls::Allow => "",
            RuleTls::Require => ", with TLS",
            RuleTls::Disable => ", without TLS",
        };
        let (users, databases) = (some("user", &self.users), some("database", &self.databases));
        write!(f, "from {from}{users}{databases}{tls}: {}", self.method)?;
        match self.client_cert {
            None => Ok(()),
            Some(ClientCert::VerifyCa) => f.write_str(" and a certificate"),
            Some(ClientCert::VerifyFull) => f.write_str(" and a certificate of the user's"),
        }
    }
}

/// Where clients come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// From this machine, by a Unix socket.
    Local,
    /// From a network.
    Network(IpNet),
}

impl Addresses {
    /// Whether an address is among them; none is that of a Unix socket.
    pub fn contain(&self, address: Option<IpAddr>) -> bool {
        match (self, address) {
            (Addresses::Local, None) => true,
            // An IPv4 client of a socket that listens for both is an IPv4 client.
            (Addresses::Network(network), Some(ip)) => network.contains(&ip.to_canonical()),
            _ => false,
        }
    }
}

/// Which connections a rule is for: `host`, `hostssl` and `hostnossl` in pg_hba.conf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleTls {
    /// All.
    Allow,
    /// Encrypted ones.
    Require,
    /// Those that are not encrypted.
    Disable,
}

/// What is done with a server connection whose client had it to itself and leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// `DISCARD ALL`.
    DiscardAll,
    /// It is closed.
    Close,
}

/// What becomes of users that are not listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// They are not let in.
    Refused,
    /// They are let in as the rules say, and log in to servers under their own names.
    Admitted,
}

/// A user that may come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The password, or a verifier in PostgreSQL's form (`SCRAM-SHA-256$…`, checked already).
    pub password: Option<Secret>,
    /// Names of certificates that are its own; empty: the common name is its name.
    pub cert_names: Vec<CertName>,
    /// Who it is to servers.
    pub server_user: String,
    /// How it logs in to servers.
    pub server_password: Option<Secret>,
    /// What is different in its pools.
    pub pool: PoolChanges,
    /// Most clients at once.
    pub max_clients: Option<usize>,
}

/// What a user or database has otherwise than [`Pool`] says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolChanges {
    /// Another mode.
    pub mode: Option<PoolMode>,
    /// Another size.
    pub size: Option<usize>,
    /// Whether unnamed statements are prepared once, if that is different.
    pub prepare_unnamed: Option<bool>,
}

/// What a database has otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Database {
    /// What is different in its pools.
    pub pool: PoolChanges,
    /// Most clients at once.
    pub max_clients: Option<usize>,
}

/// A primary and its standbys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Unique.
    pub name: String,
    /// At least one.
    pub nodes: Vec<Node>,
    /// Databases that clients find here; `*` for all that no other cluster has.
    pub databases: Vec<String>,
    /// Whether a session's reads see its own writes, wherever they go.
    pub causal_reads: bool,
    /// Where the REST API of Patroni is, if Patroni looks after the cluster.
    pub patroni: Vec<Target>,
    /// Whether it is found out what became of a COMMIT whose answer was lost.
    pub prove_commits: bool,
    /// Whether the same holds for a write by itself.
    pub prove_autocommit: bool,
    /// Whether open transactions are run again when their server is lost.
    pub replay_transactions: bool,
    /// How its nodes are watched.
    pub monitor: Monitor,
    /// How connections to its nodes are encrypted, if they are.
    pub tls: Option<ServerTls>,
}

impl Cluster {
    /// One of its nodes, as connections are opened to it.
    pub fn endpoint(&self, node: &Node) -> Endpoint {
        let tls = self.tls.as_ref().zip(node.tls_host.clone());
        let tls = tls.map(|(tls, host)| tls.encryption(host));
        Endpoint { target: node.address.clone(), tls }
    }
}

/// A server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Unique among the nodes of all clusters.
    pub name: String,
    /// Where it listens.
    pub address: Target,
    /// For policies.
    pub labels: BTreeMap<String, String>,
    /// What it is called in TLS. None where nothing is encrypted.
    pub tls_host: Option<ServerName<'static>>,
}

/// How the nodes of a cluster are watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Monitor {
    /// Role that asks.
    pub user: String,
    /// Its password.
    pub password: Option<Secret>,
    /// Database in which it asks.
    pub database: String,
    /// Most time between two questions.
    pub interval: Duration,
    /// A node that has not answered for so long is down.
    pub timeout: Duration,
    /// Whether nodes are asked if definitions have changed.
    pub definitions: bool,
}

/// Where spans of batches are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traces {
    /// Who collects them.
    pub endpoint: Collector,
    /// One batch in so many is traced; none but those whose applications ask for it.
    pub sample_one_in: Option<u32>,
    /// What this proxy is called there.
    pub service_name: String,
}

/// Where proxies exchange the values that their policies share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kv {
    /// The server.
    pub server: Target,
    /// The number of a database of it.
    pub database: u32,
    /// Who logs in, if not the default user.
    pub user: Option<String>,
    /// The password, if there is one.
    pub password: Option<Secret>,
    /// Time between two exchanges.
    pub refresh: Duration,
    /// What keys begin with.
    pub prefix: String,
    /// Longest time for connecting.
    pub connect_timeout: Duration,
    /// Longest time for an answer.
    pub timeout: Duration,
}

/// A policy of the chain.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Unique.
    pub name: String,
    /// Where the component is.
    pub source: PolicySource,
    /// Cases that a version must pass before it comes into force: a file, which existed when the configuration was
    /// read.
    pub cases: Option<PathBuf>,
    /// Of the component, in lower-case hexadecimal digits: what it must be.
    pub sha256: Option<String>,
    /// How a new version comes in.
    pub mode: Mode,
    /// How a canary is judged.
    pub canary: Canary,
    /// What happens to a question that it fails to answer.
    pub on_failure: OnFailure,
    /// What it may use besides log, settings and the question.
    pub grants: Vec<Grant>,
    /// Where its shared values are, if not in a space of its own.
    pub kv_space: Option<String>,
    /// Users whose questions it is asked; empty: everybody's.
    pub users: Vec<String>,
    /// Databases whose questions it is asked; empty: those of all.
    pub databases: Vec<String>,
    /// Clusters whose questions it is asked; empty: those of all.
    pub clusters: Vec<String>,
    /// How much it may use.
    pub limits: PolicyLimits,
    /// What it is told; nested tables have dotted names.
    pub settings: BTreeMap<String, SettingValue>,
}

/// Where the component of a policy is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicySource {
    /// In the program: read-write-split.
    BuiltIn,
    /// In a file, which existed when the configuration was read.
    File(PathBuf),
}

/// How a new version of a policy comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It replaces the old one.
    Live,
    /// It is asked too, and not obeyed.
    Shadow,
    /// Some sessions obey it.
    Canary,
}

/// What happens to a question that a policy fails to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// As if it had no opinion: the next policy is asked.
    Fallback,
    /// Allowed, unchanged, on the primary; the rest of the chain is not asked.
    Open,
    /// Refused.
    Closed,
}

/// What a policy may use besides log, settings and the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Metrics of its own.
    Metrics,
    /// Values that its instances share.
    Kv,
    /// Clocks.
    Clock,
    /// Random numbers.
    Random,
    /// The nodes at any time.
    Nodes,
    /// What is known of the database's functions.
    Catalog,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object per line.
    Json,
}

/// What is logged: directives of `tracing_subscriber::EnvFilter`, checked already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLevel(pub(crate) String);

impl Word for AuthMethod {
    const WORDS: &'static [(&'static str, AuthMethod)] = &[
        ("trust", AuthMethod::Trust),
        ("scram-sha-256", AuthMethod::ScramSha256),
        ("md5", AuthMethod::Md5),
        ("password", AuthMethod::Password),
        ("cert", AuthMethod::Cert),
        ("reject", AuthMethod::Reject),
    ];
}

impl fmt::Display for AuthMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl Word for ClientCert {
    const WORDS: &'static [(&'static str, ClientCert)] =
        &[("verify-ca", ClientCert::VerifyCa), ("verify-full", ClientCert::VerifyFull)];
}

impl Word for RuleTls {
    const WORDS: &'static [(&'static str, RuleTls)] =
        &[("allow", RuleTls::Allow), ("require", RuleTls::Require), ("disable", RuleTls::Disable)];
}

impl Word for PoolMode {
    const WORDS: &'static [(&'static str, PoolMode)] = &[
        (PoolMode::Session.name(), PoolMode::Session),
        (PoolMode::Transaction.name(), PoolMode::Transaction),
    ];
}

impl Word for Reset {
    const WORDS: &'static [(&'static str, Reset)] =
        &[("discard-all", Reset::DiscardAll), ("close", Reset::Close)];
}

impl Word for Mode {
    const WORDS: &'static [(&'static str, Mode)] =
        &[("live", Mode::Live), ("shadow", Mode::Shadow), ("canary", Mode::Canary)];
}

impl Word for OnFailure {
    const WORDS: &'static [(&'static str, OnFailure)] = &[
        ("fallback", OnFailure::Fallback),
        ("open", OnFailure::Open),
        ("closed", OnFailure::Closed),
    ];
}

impl Word for Grant {
    const WORDS: &'static [(&'static str, Grant)] = &[
        ("metrics", Grant::Metrics),
        ("kv", Grant::Kv),
        ("clock", Grant::Clock),
        ("random", Grant::Random),
        ("nodes", Grant::Nodes),
        ("catalog", Grant::Catalog),
    ];
}

impl Word for LogFormat {
    const WORDS: &'static [(&'static str, LogFormat)] =
        &[("human", LogFormat::Human), ("json", LogFormat::Json)];
}

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// More connections of one pool than any PostgreSQL server takes by default from everybody together (100),
/// by far; `max_connections` ends at 262,143 (guc_tables.c, `MAX_BACKENDS`).
pub(crate) const MAX_POOL_SIZE: usize = 262_143;

/// More clients than one process has descriptors for on any system that we know of.
pub(crate) const MAX_CLIENTS: usize = 1_000_000;

section! {
    /// Pools of server connections: there is one for each combination of node, user and database.
    pub struct Pool {
        /// When a client gives its server connection back: `transaction`, at the end of each transaction;
        /// `session`, when it disconnects.
        mode: PoolMode = PoolMode::Transaction;
        /// What is done with a connection whose client had it to itself and leaves: `discard-all` runs DISCARD ALL, so
        /// that another client can have it; `close` closes it, for DISCARD ALL leaves loaded libraries and what
        /// procedural languages remember.
        reset: Reset = Reset::DiscardAll;
        /// True: DISCARD ALL runs whenever a connection goes from one client to another, in transaction pooling too, in the
        /// same packet as the first statement. False: what clients leave behind is followed, as docs/fidelity.md says, and
        /// put right where it differs, which costs servers far less.
        reset_always: bool = false;
        /// True: a query that clients prepare again and again without a name (Parse), as most drivers do for a query with
        /// parameters, is prepared once on each connection, and only run from then on, which spares servers half of the
        /// work for a short one. PostgreSQL may then plan it once for all parameters, which is slower where they differ
        /// much in how many rows they find: `plan_cache_mode = force_custom_plan`, for a database, a user or a session,
        /// has it planned each time.
        prepare_unnamed: bool = false;
        /// Most connections of a pool.
        size: usize = 20, in 1..=MAX_POOL_SIZE;
        /// Most clients that wait for a connection of a pool; further ones get an error at once.
        max_waiting: usize = 10_000, in 0..=1_000_000;
        /// Longest wait for a connection before the client gets an error.
        wait_timeout: Duration = 30 * SECOND, in MILLISECOND..=DAY;
        /// Connections that nobody has used for this long are closed.
        idle_timeout: Duration = 600 * SECOND, in SECOND..=30 * DAY;
        /// Connections older than this are closed when they are free.
        lifetime: Duration = HOUR, in SECOND..=30 * DAY;
        /// Longest time for connecting and logging in to a server.
        connect_timeout: Duration = 5 * SECOND, in MILLISECOND..=HOUR;
        /// Whether servers see a client's address behind its application_name, as in `app - 10.0.0.7`, unless it sets
        /// that by a statement. Clients from different addresses then have different settings, which costs one more
        /// statement in the same packet whenever a connection goes from one to the other.
        show_client_address: bool = false;
    }
}

section! {
    /// Limits of the proxy as a whole.
    pub struct Limits {
        /// Most clients at once; further ones are refused with SQLSTATE 53300.
        max_clients: usize = 10_000, in 1..=MAX_CLIENTS;
        /// Most clients at once from one address; further ones are refused with SQLSTATE 53300. Those of Unix sockets are
        /// not counted.
        max_clients_per_address: Option<usize> = None, in Some(1)..=Some(MAX_CLIENTS);
        /// Most connections per second from one address; further ones are refused with SQLSTATE 53300.
        connections_per_second_per_address: Option<u32> = None, in Some(1)..=Some(1_000_000);
        /// A client that has sent nothing for so long outside of a transaction is disconnected with SQLSTATE 57P05. This and
        /// the two next ones are looked at once a second.
        idle_timeout: Option<Duration> = None, in Some(SECOND)..=Some(30 * DAY);
        /// The same for a client within a transaction, with SQLSTATE 25P03; the transaction is rolled back.
        idle_in_transaction_timeout: Option<Duration> = None, in Some(SECOND)..=Some(30 * DAY);
        /// A statement, or batch of the extended protocol, that takes longer is cancelled, as by `statement_timeout`.
        query_timeout: Option<Duration> = None, in Some(SECOND)..=Some(30 * DAY);
        /// The answer to a wrong password is held back for so long, and twice as long after each further one from the same
        /// address, up to 64 times; a minute without one makes good for all. "0ms" holds nothing back.
        failed_login_delay: Duration = 50 * MILLISECOND, in Duration::ZERO..=SECOND;
        /// A client that has not logged in by then is disconnected.
        login_timeout: Duration = 10 * SECOND, in 10 * MILLISECOND..=HOUR;
        /// Most bytes of statements of a cluster that wait because it has no node for them: it has no primary, or is paused.
        /// A further one gets SQLSTATE 57P03.
        held_bytes: Size = Size(64 << 20), in Size(1 << 10)..=Size(1 << 40);
        /// How long clients may go on with what they are doing after a request to shut down.
        shutdown_timeout: Duration = 30 * SECOND, in MILLISECOND..=DAY;
        /// How long sessions may stay with a process whose place another one has taken (`howdah upgrade`), when they cannot go
        /// with the rest. Then it is as if that process were told to shut down.
        upgrade_timeout: Duration = 10 * 60 * SECOND, in MILLISECOND..=7 * DAY;
    }
}

section! {
    /// Statistics of statements: how often each ran, where, for how long, with how many rows and errors. Those with the same
    /// digest count as one, which is shown without its literals (`SHOW STATEMENTS`).
    pub struct Statements {
        /// Most of them that each worker keeps; when there are more, those are forgotten that have taken least time lately.
        /// Each takes about 1.5 kB. 0: none.
        keep: usize = 1_000, in 0..=100_000;
    }
}

section! {
    /// What holds for all policies together.
    pub struct Policies {
        /// False: policies are asked about every statement, also where they allow their answers to be remembered. To find out
        /// what they cost, or whether they allow too much. A change needs a restart.
        remember: bool = true;
        /// A file to which calls of policies are appended from the start, with their answers, for `howdah policy
        /// replay`; what is answered from memory is no call. Statements and the names of those who sent them are in it in
        /// clear, so it is made readable for its owner only. A change needs a restart; `howdah policy record` does not.
        record: Option<PathBuf> = None;
        /// Nothing more is recorded when the file has this size.
        record_size: Size = Size(64 << 20), in Size(1 << 10)..=Size(64 << 30);
        /// False: literals are left out of what is recorded, and comments and values of parameters. A policy that looks at them answers otherwise
        /// when it is asked again.
        record_literals: bool = true;
    }
}

section! {
    /// What a policy may use. Each limit is enforced on every call.
    pub struct PolicyLimits {
        /// Longest call.
        time: Duration = 2 * MILLISECOND, in MILLISECOND..=SECOND;
        /// Most memory of an instance. There is one instance per worker, and a spare.
        memory: Size = Size(32 << 20), in Size(64 << 10)..=Size(4 << 30);
        /// Most elements of a table.
        table_elements: usize = 100_000, in 1..=10_000_000;
        /// Most log lines per second; further ones are counted and dropped.
        log_lines_per_second: u32 = 100, in 0..=1_000_000;
        /// Longest text that a rewritten statement may have.
        rewrite: Size = Size(1 << 20), in Size(1)..=Size(64 << 20);
        /// Most values that there may be in its space when it adds one (`kv` must be granted).
        kv_keys: usize = 10_000, in 0..=100_000_000;
        /// Most bytes of them, keys included, and 64 bytes for each.
        kv_bytes: Size = Size(4 << 20), in Size(0)..=Size(64 << 30);
        /// A policy that fails this often within a minute is not asked any more, until its file or the
        /// configuration changes.
        quarantine_after: u32 = 10, in 1..=1_000_000;
    }
}

section! {
    /// How a new version is judged when the mode is `canary`. It is rolled back when it fails, is slow or disagrees, and
    /// promoted when it does well.
    pub struct Canary {
        /// Sessions that obey it, in percent.
        share: u32 = 10, in 1..=100;
        /// It is promoted when it has done well for this long, and was asked.
        promote_after: Duration = 600 * SECOND, in MILLISECOND..=30 * DAY;
        /// More calls that fail than this roll it back. What it fails to answer, the old version answers.
        max_failures: u32 = 3, in 0..=1_000_000;
        /// Calls that take longer than this on average roll it back, after a hundred of them.
        max_latency: Duration = Duration::from_micros(500), in Duration::from_micros(1)..=SECOND;
        /// Verdicts that differ from those of the old version, in percent: more roll it back, after a hundred that
        /// were compared.
        max_disagreement: u32 = 20, in 0..=100;
    }
}

section! {
    /// The log, which goes to standard error.
    pub struct Log {
        /// `human` for people, `json` for one JSON object per line. Human lines have no time under journald,
        /// which adds its own.
        format: LogFormat = LogFormat::Human;
        /// `error`, `warn`, `info`, `debug` or `trace`, also by module: `info,howdah::monitor=debug`. The
        /// environment variable `HOWDAH_LOG` overrides it.
        level: LogLevel = LogLevel("info".to_owned());
    }
}

/// The built-in policy, as asked when no other is named.
impl Default for Policy {
    fn default() -> Policy {
        Policy {
            name: "read-write-split".to_owned(),
            source: PolicySource::BuiltIn,
            cases: None,
            sha256: None,
            mode: Mode::Live,
            canary: Canary::default(),
            on_failure: OnFailure::Fallback,
            grants: vec![Grant::Metrics],
            kv_space: None,
            users: Vec::new(),
            databases: Vec::new(),
            clusters: Vec::new(),
            limits: PolicyLimits::default(),
            settings: BTreeMap::new(),
        }
    }
}
