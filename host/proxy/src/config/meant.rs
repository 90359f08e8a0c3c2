use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use howdah_cluster::NodeSpec;
use howdah_decision::PoolMode;
use howdah_wire::scram::Verifier;

use crate::policies::PolicyFile;
use crate::upstream::Secret;

/// What the proxy shall do. Every value has been checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Addresses to listen on, `host:port`.
    pub listen: Vec<String>,
    /// Worker threads.
    pub workers: usize,
    /// How clients prove who they are.
    pub auth: AuthMethod,
    /// Clients that are trusted may come from other machines.
    pub trust_remote: bool,
    /// Who may come in; empty: everybody, under trust.
    pub users: BTreeMap<String, User>,
    /// Where queries go; the first is the default.
    pub clusters: Vec<Cluster>,
    /// Defaults of the pools.
    pub pool: PoolSettings,
    /// Bounds.
    pub limits: Limits,
    /// The chain.
    pub policies: Vec<PolicyFile>,
    /// Logging.
    pub log: Log,
}

/// How clients prove who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMethod {
    /// They need not.
    Trust,
    /// SCRAM-SHA-256.
    Scram,
}

/// Who may come in.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// What a client's password is checked against.
    pub verifier: Option<Arc<Verifier>>,
    /// The role on the servers.
    pub server_user: String,
    /// Its password there.
    pub server_password: Option<Secret>,
    /// Overrides the pool's.
    pub pool_mode: Option<PoolMode>,
    /// Overrides the pool's.
    pub pool_size: Option<usize>,
}

/// A primary and its replicas.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// Its nodes.
    pub nodes: Vec<NodeSpec>,
    /// Databases that are found here; `*` is any.
    pub databases: Vec<String>,
    /// How it is watched.
    pub monitor: Monitor,
}

/// How a cluster is watched.
#[derive(Clone, Debug, PartialEq)]
pub struct Monitor {
    /// The role that watches.
    pub user: String,
    /// Its password.
    pub password: Option<Secret>,
    /// Its database.
    pub database: String,
    /// Time between two probes.
    pub interval: Duration,
    /// Longest wait for an answer.
    pub timeout: Duration,
}

/// How server connections are pooled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolSettings {
    /// When a server goes back.
    pub mode: PoolMode,
    /// Most connections per node, user and database.
    pub size: usize,
    /// Longest wait for a connection.
    pub wait_timeout: Duration,
    /// Idle connections are closed after this.
    pub idle_timeout: Duration,
    /// Connections are closed at this age.
    pub lifetime: Duration,
    /// Longest time to connect and log in.
    pub connect_timeout: Duration,
    /// Most clients that wait per pool.
    pub max_waiting: usize,
}

/// Bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most clients.
    pub max_clients: usize,
    /// Longest time to open a session.
    pub login_timeout: Duration,
    /// Longest wait for transactions at shutdown.
    pub shutdown_timeout: Duration,
}

/// Form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object per line.
    Json,
}

/// Logging.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Form.
    pub format: LogFormat,
    /// A level, or a filter of tracing-subscriber.
    pub level: String,
}

impl Default for PoolSettings {
    fn default() -> Self {
        PoolSettings {
            mode: PoolMode::Transaction,
            size: 20,
            wait_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(600),
            lifetime: Duration::from_secs(3600),
            connect_timeout: Duration::from_secs(5),
            max_waiting: 10_000,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_clients: 10_000,
            login_timeout: Duration::from_secs(10),
            shutdown_timeout: Duration::from_secs(30),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Log { format: LogFormat::Human, level: "info".into() }
    }
}

/// Where the proxy listens when nothing is said.
pub(crate) const DEFAULT_LISTEN: &str = "127.0.0.1:6432";

impl Config {
    /// The configuration of `howdah run --node …`: one cluster, everybody on this machine is trusted and logs in to
    /// the servers under the same name.
    ///
    /// # Errors
    /// A node that is no `host:port`.
    pub fn from_nodes(
        nodes: &[String],
        monitor_user: &str,
        password: Option<Secret>,
    ) -> Result<Config, String> {
        let specs = nodes.iter().map(|node| node_spec(node, 0)).collect::<Result<Vec<_>, _>>()?;
        let monitor = Monitor {
            user: monitor_user.into(),
            password: password.clone(),
            database: "postgres".into(),
            interval: Duration::from_secs(1),
            timeout: Duration::from_millis(1500),
        };
        let main =
            Cluster { name: "main".into(), nodes: specs, databases: vec!["*".into()], monitor };
        let mut users = BTreeMap::new();
        if password.is_some() {
            let user = User {
                verifier: None,
                server_user: monitor_user.into(),
                server_password: password,
                pool_mode: None,
                pool_size: None,
            };
            users.insert(monitor_user.to_owned(), user);
        }
        Ok(Config {
            listen: vec![DEFAULT_LISTEN.into()],
            workers: default_workers(),
            auth: AuthMethod::Trust,
            trust_remote: false,
            users,
            clusters: vec![main],
            pool: PoolSettings::default(),
            limits: Limits::default(),
            policies: vec![PolicyFile::built_in()],
            log: Log::default(),
        })
    }

    /// What differs from `new` and cannot be changed while the proxy runs.
    pub fn restart_needed(&self, new: &Config) -> Vec<&'static str> {
        let mut needed = Vec::new();
        if self.listen != new.listen {
            needed.push("listen");
        }
        if self.workers != new.workers {
            needed.push("workers");
        }
        if self.clusters != new.clusters {
            needed.push("cluster");
        }
        if self.log != new.log {
            needed.push("log");
        }
        needed
    }

    /// The cluster of a database.
    pub fn cluster_of(&self, database: &str) -> Option<usize> {
        let named = |c: &Cluster| c.databases.iter().any(|d| d == database);
        let any = |c: &Cluster| c.databases.iter().any(|d| d == "*");
        self.clusters.iter().position(named).or_else(|| self.clusters.iter().position(any))
    }
}

/// One worker per core.
pub(crate) fn default_workers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(crate::worker::MAX_WORKERS)
}

/// Reads `host:port`, `[v6]:port`, `host` (port 5432), or `/directory:port`.
pub(crate) fn node_spec(text: &str, cluster: u16) -> Result<NodeSpec, String> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && !host.ends_with(':') => {
            let port = port.parse().map_err(|_| format!("\"{text}\" has no valid port"))?;
            (host.trim_start_matches('[').trim_end_matches(']'), port)
        }
        _ => (text, 5432),
    };
    if host.is_empty() || port == 0 {
        return Err(format!("\"{text}\" is not of the form host:port"));
    }
    Ok(NodeSpec {
        name: format!("{host}:{port}"),
        host: host.into(),
        port,
        labels: Vec::new(),
        cluster: howdah_cluster::ClusterId(cluster),
    })
}
