//! The configuration as written: every key, and where it is. What depends on more than one key, on files or
//! on the environment is checked later.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use howdah_decision::PoolMode;
use toml::de::{DeTable, DeValue};

use super::address::{Collector, Listen, PROXY_PORT, PatroniUrl, RedisUrl, Server};
use super::parts::{
    Addresses, AuthMethod, Canary, ClientCert, Grant, Limits, Log, MAX_CLIENTS, MAX_POOL_SIZE,
    Mode, OnFailure, Policies, PolicyLimits, Pool, RuleTls, Statements,
};
use super::reader::{Item, Reading, Table, section};
use super::settings::{self, SettingValue};
use super::tls::{CertName, ChannelBinding, ServerTlsMode, TlsMode, TlsVersion};
use super::value::{At, Value};
use crate::upstream::{Secret, Target};

/// Workers are seven bits of the process id in a cancel key (see the workers' cancel module).
pub(super) const MAX_WORKERS: usize = 128;
const SECOND: Duration = Duration::from_secs(1);
/// How users are looked up when nobody says otherwise.
const AUTH_QUERY: &str = "SELECT rolname, rolpassword, extract(epoch FROM rolvaliduntil) FROM pg_authid \
     WHERE rolname = $1 AND rolcanlogin";
/// Longest interval and timeout of probes.
const MAX_PROBE: Duration = Duration::from_secs(600);
/// Shortest interval of probes: below that they would be most of what an idle server does.
const MIN_PROBE: Duration = Duration::from_millis(10);
/// Longest interval and timeout of exchanges with Redis.
const MAX_REFRESH: Duration = Duration::from_secs(60);

section! {
    /// Keys at the top of the file, before the first table.
    pub(super) struct Top {
        /// Where clients connect: `host:port`, or `/directory:port` for a Unix socket, to which everybody may connect who
        /// may enter the directory. Port 0 lets the system choose. Sockets that systemd has opened come instead (see
        /// docs/upgrade.md). A change needs a restart, or an upgrade.
        listen: Vec<Listen> = vec![default_listen()];
        /// True: other processes of the same user may listen at the same addresses, and the system gives each a share of the
        /// new connections (SO_REUSEPORT). Each needs an address of its own too, for `peers`. See docs/upgrade.md. A change
        /// needs a restart.
        reuse_port: bool = false;
        /// Where the processes listen that share this file and that clients reach under one address, this one
        /// included: a cancel request may come to another one than its query, and is passed on. At most 64. A
        /// process knows itself by `listen`. A change needs a restart.
        peers: Vec<At<Listen>> = Vec::new();
        /// Load balancers in front of the proxy: addresses, networks, or `"local"` for Unix sockets. Their connections must
        /// begin with a header of the PROXY protocol, version 1 or 2, and are then treated as coming from the address in it.
        proxy_protocol_from: Vec<Addresses> = Vec::new();
        /// A Unix socket for `howdah policy status`, `promote` and `rollback`, which only the user that runs the proxy
        /// (and root) may use. By default there is none. A change needs a restart.
        control: Option<At<PathBuf>> = None;
        /// A directory for compiled policies, so that a restart need not compile them again. It is made if need be, and must
        /// be closed to all but the user that runs the proxy: what is in it is run. By default nothing is kept. A change
        /// needs a restart.
        compiled_policies: Option<At<PathBuf>> = None;
        /// Threads that serve clients; by default one per CPU core. A change needs a restart.
        workers: Option<usize> = None, in Some(1)..=Some(MAX_WORKERS);
    }
}

section! {
    /// How clients are let in. Where that depends on who they are and where they come from, `[[rule]]` says it instead.
    pub(super) struct Auth {
        /// How clients prove who they are, see `method` of `[[rule]]`. By default `scram-sha-256` when a user has a
        /// password, or there is `[auth.query]`, else `trust`.
        method: Option<At<AuthMethod>> = None;
        /// `trust` lets in clients from loopback addresses and Unix sockets only. True: all clients.
        trust_remote: bool = false;
    }
}

section! {
    /// Where users are looked up that are not listed, or are listed without a password: in their database's cluster, by one
    /// connection that the proxy keeps, with `search_path` set to `pg_catalog, pg_temp`. They log in to servers under their
    /// own names; what a client has proven to the proxy suffices for that, so no password is in the configuration
    /// (see `docs/security.md`).
    pub(super) struct AuthQuery {
        /// Role that asks. Required. It must be allowed to read `pg_authid`, or to call the function that `sql` calls.
        user: Option<At<String>> = None;
        /// Its password.
        password: Option<At<Secret>> = None;
        /// A file that holds the password.
        password_file: Option<At<PathBuf>> = None;
        /// An environment variable that holds the password.
        password_env: Option<At<String>> = None;
        /// Database in which it asks.
        database: String = "postgres".to_owned();
        /// What it asks: `$1` is the user's name. It answers with no row, or one of NULLs, or with one of the user's name; the
        /// password as in `pg_authid`; and, if there is a third column, until when that is valid, in seconds since 1970,
        /// NULL for ever.
        sql: String = AUTH_QUERY.to_owned();
        /// How long an answer is kept, also that there is no such user. When a client's password does not fit what is kept,
        /// the next one is looked up again.
        keep: Duration = 60 * SECOND, in SECOND / 1_000..=3_600 * SECOND;
    }
}

section! {
    /// Who may come in from where, and how they prove who they are, in the spirit of pg_hba.conf: the first rule that fits
    /// a client counts, and a client that none fits is refused. Without any rule `auth.method` holds for all.
    pub(super) struct Rule {
        /// Required. `trust`: they need not prove it. `scram-sha-256`: with a password. `md5`: the same for drivers that
        /// do not know SCRAM; where a verifier is all that is known of a password, SCRAM is used. `password`: with a
        /// password in clear, only with `tls = "require"`. `cert`: with a certificate that has one of the user's
        /// `cert_names`, only with `tls = "require"`, and with `tls.ca_file`. `reject`: they cannot.
        method: Option<At<AuthMethod>> = None;
        /// Databases that they want; empty for all.
        databases: Vec<String> = Vec::new();
        /// Users that they want to be; empty for all.
        users: Vec<String> = Vec::new();
        /// Where they come from: an address, a network such as `"10.0.0.0/8"`, or `"local"` for Unix sockets; empty for
        /// everywhere.
        addresses: Vec<Addresses> = Vec::new();
        /// `require`: only clients whose connections are encrypted; `disable`: only the others; `allow`: both.
        tls: RuleTls = RuleTls::Allow;
        /// A certificate that they must show beside what the method asks for, as `clientcert` in pg_hba.conf, only with
        /// `tls = "require"`, and with `tls.ca_file`. `verify-ca`: one of an authority of `ca_file`; `verify-full`: one that
        /// has one of the user's `cert_names`, too.
        client_cert: Option<At<ClientCert>> = None;
    }
}

section! {
    /// Encryption of clients' connections, as PostgreSQL does it. Without this table clients are told that there is none,
    /// and those that do not insist go on in the clear. Unix sockets are never encrypted.
    pub(super) struct Tls {
        /// A PEM file with the certificate, and behind it those that lead to an authority that clients know. It is read
        /// again when it changes, and the key too; sessions go on as they are.
        cert_file: Option<At<PathBuf>> = None;
        /// A PEM file with the certificate's private key, without a passphrase.
        key_file: Option<At<PathBuf>> = None;
        /// Further certificates, each as `{ cert_file = "…", key_file = "…" }`. A client that says which server it wants (SNI,
        /// as libpq does for names) is shown the first of them that is for that name; all others, the one above.
        certificates: At<Vec<Certificate>> = At { at: 0, value: Vec::new() };
        /// A PEM file with the authorities that sign clients' certificates. Clients are then asked for one. They need not
        /// have any, but a handshake with one that is not in order fails.
        ca_file: Option<At<PathBuf>> = None;
        /// `allow` lets clients choose; `require` refuses those that do not encrypt, with SQLSTATE 28000, but for those
        /// of a Unix socket. Cancel requests are taken either way, because many clients never encrypt them.
        mode: TlsMode = TlsMode::Allow;
        /// The oldest version of TLS that is spoken.
        min_version: TlsVersion = TlsVersion::V1_2;
    }
}

section! {
    /// A further certificate for clients.
    pub(super) struct Certificate {
        /// A PEM file with the certificate, and behind it those that lead to an authority that clients know. Required.
        cert_file: Option<At<PathBuf>> = None;
        /// A PEM file with its private key, without a passphrase. Required.
        key_file: Option<At<PathBuf>> = None;
    }
}

impl Value for Certificate {
    fn read(item: &Item<'_>) -> Option<Certificate> {
        let Some(mut table) = item.table() else {
            item.expected("a table such as { cert_file = \"a.crt\", key_file = \"a.key\" }");
            return None;
        };
        let certificate = Certificate::read(&mut table);
        table.finish();
        if certificate.cert_file.is_none() || certificate.key_file.is_none() {
            item.mistake("both cert_file and key_file are required");
        }
        Some(certificate)
    }

    fn kind() -> String {
        "certificate".to_owned()
    }

    fn show(&self) -> String {
        self.cert_file.as_ref().map(|file| file.value.show()).unwrap_or_default()
    }
}

section! {
    /// A user that may come in, and how it logs in to servers. When no user is listed, and the method is
    /// `trust` or `cert`, everybody may come in and logs in to servers under their own name without a password.
    pub(super) struct User {
        /// What a client must know: a password, or what PostgreSQL's `pg_authid` has of one (`SCRAM-SHA-256$…`, or
        /// `md5…` where the method is `md5` or `password`).
        password: Option<At<Secret>> = None;
        /// A file that holds the password; a line break at its end is ignored.
        password_file: Option<At<PathBuf>> = None;
        /// An environment variable that holds the password.
        password_env: Option<At<String>> = None;
        /// Names of certificates that let in as this user, by the method `cert` or `client_cert = "verify-full"`: any of `"CN:…"`, the common name,
        /// and `"DNS:…"` and `"email:…"`, alternative names. By default the common name must be that of the user.
        cert_names: Vec<CertName> = Vec::new();
        /// Role at the server; by default the same name.
        server_user: Option<String> = None;
        /// Its password at the server; by default the same password. Where the proxy has only a verifier, the client's own
        /// proof is passed on: the server must have the same verifier then.
        server_password: Option<At<Secret>> = None;
        /// A file that holds it.
        server_password_file: Option<At<PathBuf>> = None;
        /// An environment variable that holds it.
        server_password_env: Option<At<String>> = None;
        /// Overrides `pool.mode`, and the database's.
        pool_mode: Option<PoolMode> = None;
        /// Overrides `pool.size`, and the database's.
        pool_size: Option<usize> = None, in Some(1)..=Some(MAX_POOL_SIZE);
        /// Overrides `pool.prepare_unnamed`, and the database's.
        pool_prepare_unnamed: Option<bool> = None;
        /// Most clients at once under this name; further ones are refused with SQLSTATE 53300.
        max_clients: Option<usize> = None, in Some(1)..=Some(MAX_CLIENTS);
    }
}

section! {
    /// A primary and its standbys. There must be one cluster at least; the first is the default. Which node is
    /// the primary is found out, and watched.
    pub(super) struct Cluster {
        /// Required. An address for each server, or a table (see below). The port is 5432 unless given.
        nodes: Vec<At<Node>> = Vec::new();
        /// Databases that clients find here; `"*"` stands for all that no other cluster has. By default `["*"]`
        /// for the first cluster and none for the others, which are then reached only by a policy's verdict.
        databases: Option<Vec<At<String>>> = None;
        /// A session sees its own writes in what it reads: after a write it reads from the primary until a replica is known
        /// to have replayed it. That is found out beside the queries, and costs none of them anything. False: replicas may
        /// show a session less than it has written.
        causal_reads: bool = true;
        /// Where the REST API of Patroni is, if Patroni looks after the cluster: `["http://HOST:8008", …]`, one for each
        /// member. What it says of the leader is a hint which node to ask at once, and settles which of two primaries on
        /// one timeline counts; it is never believed against what a node says itself. TLS is not supported.
        patroni: Vec<PatroniUrl> = Vec::new();
        /// When a server is lost between COMMIT and its answer, it is found out whether the transaction was committed, while
        /// the client waits: see `failover.md`. It costs the server one small question in front of each COMMIT of a
        /// transaction that may have written, and no round trip. False: the client gets 08007 (outcome unknown).
        prove_commits: bool = true;
        /// The same for a write by itself: an INSERT, UPDATE, DELETE or MERGE outside of a transaction, or a SELECT that may
        /// write, in a simple query or in the extended protocol. It is put into a transaction of its own, in the same
        /// packet, and sent again when it is proven that nothing of it was committed and the client has got nothing of its
        /// result. The server has BEGIN, COMMIT and one small question more for each. Without `prove_commits` it does
        /// nothing.
        prove_autocommit: bool = false;
        /// When the primary is lost, an open transaction is run again on the next one; it goes on when all answers are what
        /// they were, and else the client gets 40001. Not all transactions are: see `failover.md`. It costs one small query
        /// for each transaction, no round trip, and the memory of its statements.
        replay_transactions: bool = false;
    }
}

section! {
    /// A node of a cluster, when there is more to say than its address:
    /// `nodes = [{ address = "10.0.0.2:5432", name = "b", labels = { zone = "x" } }]`.
    pub(super) struct Node {
        /// Where it listens. Required.
        address: Option<Server> = None;
        /// Unique among all clusters; by default the address.
        name: Option<String> = None;
        /// Labels that policies can ask for.
        labels: BTreeMap<String, String> = BTreeMap::new();
        /// The name that its certificate must be for, where that is checked (`cluster.NAME.tls`), and that it is asked for
        /// by (SNI); by default the host of the address.
        tls_host: Option<At<String>> = None;
    }
}

section! {
    /// Encryption of all connections to the cluster's servers: those of sessions, of the monitor, and cancel requests.
    /// Without this table nothing is encrypted. Connections by a Unix socket never are. Certificates, keys and authorities
    /// are read again when a file changes, and then hold for new connections.
    pub(super) struct ServerTls {
        /// Required. As libpq's `sslmode`: `disable`, nothing is encrypted; `prefer`, encrypted where the server offers it and the
        /// handshake succeeds, else not; `require`, always, and with whoever answers; `verify-ca`, with a server whose
        /// certificate is one of `ca_file`, or signed by one; `verify-full`, with one whose certificate is for its name,
        /// too.
        mode: Option<ServerTlsMode> = None;
        /// A PEM file with the certificates that are believed, required by `verify-ca` and `verify-full`; the system's own
        /// are often in `/etc/ssl/certs/ca-certificates.crt`.
        ca_file: Option<At<PathBuf>> = None;
        /// A PEM file with the proxy's own certificate, for servers that ask for one (`clientcert` or `cert` in
        /// `pg_hba.conf`), and behind it those that lead to an authority that they know.
        cert_file: Option<At<PathBuf>> = None;
        /// A PEM file with its private key, without a passphrase.
        key_file: Option<At<PathBuf>> = None;
        /// Whether logins are bound to the server's certificate, so that nobody in between can pass them on: `prefer`, where
        /// the server asks for SCRAM-SHA-256 and its certificate allows it; `require`, always, and other logins fail.
        channel_binding: ChannelBinding = ChannelBinding::Prefer;
        /// The oldest version of TLS that is spoken.
        min_version: TlsVersion = TlsVersion::V1_2;
    }
}

section! {
    /// How the nodes of the cluster are watched. The role needs no privileges beyond those of everybody.
    pub(super) struct Monitor {
        /// Role that asks.
        user: String = "postgres".to_owned();
        /// Its password.
        password: Option<At<Secret>> = None;
        /// A file that holds the password.
        password_file: Option<At<PathBuf>> = None;
        /// An environment variable that holds the password.
        password_env: Option<At<String>> = None;
        /// Database in which it asks.
        database: String = "postgres".to_owned();
        /// Most time between two questions. Whatever looks like a failure is a reason to ask at once, and nodes are asked
        /// after a third of `timeout` in any case.
        interval: Duration = SECOND, in MIN_PROBE..=MAX_PROBE;
        /// A node that has not answered for so long is down (see docs/failover.md). A question must be answered within two
        /// thirds of it.
        timeout: Duration = SECOND * 3 / 2, in MIN_PROBE..=MAX_PROBE;
        /// Nodes are also asked whether definitions have changed past the proxy (functions, views, triggers and whatever
        /// else decides what a statement leaves behind in a session): once for all connections that clients have given
        /// back since the last time, before others get them as they are. It takes one more connection to each node for
        /// each database in use. False: the catalog is believed for a minute. See docs/fidelity.md.
        definitions: bool = true;
    }
}

section! {
    /// The console of operators, by the PostgreSQL protocol: the database `howdah`, where `SHOW HELP` lists all commands.
    /// Users prove who they are as everywhere else, and are not counted as clients. Without any name there is no console.
    /// Who comes from another machine must prove it: `trust` is not enough.
    pub(super) struct Admin {
        /// Users who may give orders.
        operators: Vec<String> = Vec::new();
        /// Users who may only look.
        viewers: Vec<String> = Vec::new();
    }
}

section! {
    /// What is to be had by HTTP: a page that shows what happens (`/`), its tables as JSON (`/api`, see `docs/page.md`),
    /// figures for Prometheus (`/metrics`), `/livez`, which answers as long as the process works, and `/readyz`, which says
    /// 503 when the proxy shuts down or no node answers. Users of `[admin]` log in with their passwords. Nothing is
    /// encrypted: let it listen on a loopback address, or have TLS put in front of it.
    pub(super) struct Http {
        /// Where it listens, as `host:port`. By default nowhere. A change needs a restart.
        listen: Option<At<Listen>> = None;
        /// Whether who wants to see the page must log in. By default not where it listens on a loopback address. Who has
        /// not logged in gives no orders.
        login: Option<At<bool>> = None;
        /// Whether Prometheus must log in, too, to read `/metrics`. `/livez` and `/readyz` are for everybody.
        metrics_login: At<bool> = At { at: 0, value: false };
    }
}

section! {
    /// Spans of batches for a collector of OpenTelemetry, by OTLP over HTTP in JSON: one for the batch with its kind, digest,
    /// node, policy, rows and SQLSTATE, and within it what policies took, the wait for a server, and the server. The text of
    /// a statement is never sent. Without `endpoint` nothing is traced, and nothing is paid for it.
    ///
    /// A statement with `traceparent` in a comment, as sqlcommenter writes it, is traced as its application says: as part of
    /// its trace, or not at all.
    pub(super) struct Traces {
        /// `http://HOST:PORT/PATH` of the collector; port 4318 and `/v1/traces` unless given. A change of the table needs a
        /// restart.
        endpoint: Option<Collector> = None;
        /// One batch in so many is traced of those that say nothing about it. By default only those are traced whose
        /// applications ask for it.
        sample_one_in: Option<u32> = None, in Some(1)..=Some(1_000_000_000);
        /// `service.name` of the spans.
        service_name: String = "howdah".to_owned();
    }
}

section! {
    /// The values that policies share (`kv` must be granted) can be shared with the policies of other proxies, by way of
    /// Redis or Valkey: those with the same `url` and `prefix`. Without `url` they stay in this process.
    ///
    /// No query waits for Redis. Policies work on a copy in memory, and what they count and set is exchanged in the
    /// background: sums come out right, other proxies' values are as old as `refresh`, or up to 32 times that where no
    /// policy has looked at them lately; of two values set at once the later one stays, by the clocks of the machines that
    /// set them. A key that a policy looks at before this proxy has heard of it is not there, and is fetched for the next
    /// look.
    ///
    /// A proxy starts without Redis, and goes on without it: each counts alone, and what was counted and set meanwhile is
    /// exchanged when Redis is back, once, unless it has expired. The log tells when Redis goes and comes. If it comes back
    /// empty, values and sums begin anew with what was exchanged last: let it keep an append-only file where that matters.
    /// What a single server cannot hold (a Redis Cluster) and TLS are not supported.
    pub(super) struct Kv {
        /// `redis://HOST:PORT/DATABASE`; 6379 and 0 unless given. A change of the table needs a restart.
        url: Option<At<RedisUrl>> = None;
        /// User of an access control list; by default Redis' own default user.
        user: Option<String> = None;
        /// Its password.
        password: Option<At<Secret>> = None;
        /// A file that holds the password.
        password_file: Option<At<PathBuf>> = None;
        /// An environment variable that holds the password.
        password_env: Option<At<String>> = None;
        /// Time between two exchanges.
        refresh: Duration = SECOND / 10, in MIN_PROBE..=MAX_REFRESH;
        /// What keys begin with in Redis: proxies with the same prefix share their values.
        prefix: String = "howdah:".to_owned();
        /// Longest time for connecting and logging in.
        connect_timeout: Duration = 2 * SECOND, in MIN_PROBE..=MAX_REFRESH;
        /// Redis counts as away when it takes longer to answer.
        timeout: Duration = SECOND, in MIN_PROBE..=MAX_REFRESH;
    }
}

section! {
    /// What a database has otherwise than the rest.
    pub(super) struct Database {
        /// Overrides `pool.mode`.
        pool_mode: Option<PoolMode> = None;
        /// Overrides `pool.size`.
        pool_size: Option<usize> = None, in Some(1)..=Some(MAX_POOL_SIZE);
        /// Overrides `pool.prepare_unnamed`.
        pool_prepare_unnamed: Option<bool> = None;
        /// Most clients at once in it; further ones are refused with SQLSTATE 53300.
        max_clients: Option<usize> = None, in Some(1)..=Some(MAX_CLIENTS);
    }
}

section! {
    /// A policy of the chain. Policies are asked in the order of the file, and the first opinion wins. Without
    /// any, the built-in read-write-split is asked.
    pub(super) struct Policy {
        /// Unique; it marks log lines and metrics. Required.
        name: Option<At<String>> = None;
        /// The component: a file, watched for changes, or `"built-in"` for read-write-split.
        path: At<PathBuf> = At { at: 0, value: BUILT_IN.into() };
        /// Cases (see docs/write-a-policy.md) that a version must pass before it comes into force; one that fails a
        /// case is refused, and the previous one stays.
        cases: Option<At<PathBuf>> = None;
        /// The SHA-256 of the component, as `sha256sum` prints it: another one is refused.
        sha256: Option<At<String>> = None;
        /// How a new version of the file or of the settings comes in: `live`, it replaces the old one at once;
        /// `shadow`, it is asked the same questions, and its verdicts are compared, not obeyed; `canary`, a share of
        /// the sessions obeys it. `howdah policy promote` and `rollback` end a trial. At start the file is in force.
        mode: Mode = Mode::Live;
        /// What happens to a question that it fails to answer: `fallback`, the next policy is asked; `open`, the
        /// primary gets it unchanged; `closed`, it is refused.
        on_failure: OnFailure = OnFailure::Fallback;
        /// What it may use besides log, settings and the question.
        grants: Vec<Grant> = Vec::new();
        /// Policies that name the same space share their values; by default each has one of its own.
        kv_space: Option<String> = None;
        /// Only questions of these users; empty for everybody's.
        users: Vec<At<String>> = Vec::new();
        /// Only questions in these databases; empty for all.
        databases: Vec<At<String>> = Vec::new();
        /// Only questions in these clusters; empty for all.
        clusters: Vec<At<String>> = Vec::new();
    }
}

/// A cluster with the tables in it.
pub(super) type WholeCluster = (Cluster, Monitor, At<ServerTls>);

/// A policy with the tables in it.
pub(super) type WholePolicy = (Policy, PolicyLimits, Canary, BTreeMap<String, SettingValue>);

/// The path of the policy in the program.
pub(crate) const BUILT_IN: &str = "built-in";

/// Where clients are awaited when nobody says otherwise.
pub(super) fn default_listen() -> Listen {
    Listen(Target { host: "127.0.0.1".to_owned(), port: PROXY_PORT })
}

/// The whole file.
pub(super) struct Written {
    pub(super) top: Top,
    pub(super) auth: Auth,
    pub(super) auth_query: At<AuthQuery>,
    pub(super) rules: Vec<At<Rule>>,
    pub(super) tls: At<Tls>,
    pub(super) users: Vec<(At<String>, User)>,
    pub(super) clusters: Vec<(At<String>, WholeCluster)>,
    pub(super) pool: Pool,
    pub(super) databases: Vec<(At<String>, Database)>,
    pub(super) limits: Limits,
    pub(super) admin: Admin,
    pub(super) statements: Statements,
    pub(super) http: Http,
    pub(super) traces: Traces,
    pub(super) kv: At<Kv>,
    pub(super) together: Policies,
    pub(super) policies: Vec<At<WholePolicy>>,
    pub(super) log: Log,
}

impl Written {
    /// Reads a file that has been parsed. Mistakes are noted in `reading`.
    pub(super) fn read(document: &DeTable<'_>, reading: &Reading) -> Written {
        let mut root = Table::new(String::new(), 0, document, reading);
        let top = Top::read(&mut root);
        let (auth, auth_query) = auth(&mut root);
        let written = Written {
            top,
            auth,
            auth_query,
            rules: rules(&mut root),
            tls: tls(&mut root),
            users: named(&mut root, "user", User::ABOUT, User::read),
            clusters: clusters(&mut root),
            pool: only(&mut root, "pool", Pool::ABOUT, Pool::read),
            databases: named(&mut root, "database", Database::ABOUT, Database::read),
            limits: only(&mut root, "limits", Limits::ABOUT, Limits::read),
            admin: only(&mut root, "admin", Admin::ABOUT, Admin::read),
            statements: only(&mut root, "statements", Statements::ABOUT, Statements::read),
            http: only(&mut root, "http", Http::ABOUT, Http::read),
            traces: only(&mut root, "traces", Traces::ABOUT, Traces::read),
            kv: placed(&mut root, "kv", Kv::ABOUT, Kv::read),
            together: only(&mut root, "policies", Policies::ABOUT, Policies::read),
            policies: policies(&mut root),
            log: only(&mut root, "log", Log::ABOUT, Log::read),
        };
        root.finish();
        written
    }
}

fn only<T>(
    root: &mut Table<'_>,
    key: &'static str,
    about: &'static str,
    read: impl Fn(&mut Table<'_>) -> T,
) -> T {
    let mut table = root.table(key, about);
    let value = read(&mut table);
    table.finish();
    value
}

/// The same, with its place.
fn placed<T>(
    root: &mut Table<'_>,
    key: &'static str,
    about: &'static str,
    read: impl Fn(&mut Table<'_>) -> T,
) -> At<T> {
    let mut table = root.table(key, about);
    let (at, value) = (table.at, read(&mut table));
    table.finish();
    At { at, value }
}

fn named<T>(
    root: &mut Table<'_>,
    key: &'static str,
    about: &'static str,
    read: impl Fn(&mut Table<'_>) -> T,
) -> Vec<(At<String>, T)> {
    let one = |(name, mut table): (&str, Table<'_>)| {
        let name = At { at: table.at, value: name.to_owned() };
        let value = read(&mut table);
        table.finish();
        (name, value)
    };
    root.named(key, about).into_iter().map(one).collect()
}

fn auth(root: &mut Table<'_>) -> (Auth, At<AuthQuery>) {
    let read = |table: &mut Table<'_>| {
        let auth = Auth::read(table);
        (auth, placed(table, "query", AuthQuery::ABOUT, AuthQuery::read))
    };
    only(root, "auth", Auth::ABOUT, read)
}

fn tls(root: &mut Table<'_>) -> At<Tls> {
    let read = |table: &mut Table<'_>| {
        let tls = Tls::read(table);
        table.describe("certificates", Certificate::ABOUT, Certificate::read);
        tls
    };
    placed(root, "tls", Tls::ABOUT, read)
}

fn rules(root: &mut Table<'_>) -> Vec<At<Rule>> {
    let one = |mut table: Table<'_>| {
        let (at, value) = (table.at, Rule::read(&mut table));
        table.finish();
        At { at, value }
    };
    root.list("rule", Rule::ABOUT).into_iter().map(one).collect()
}

fn clusters(root: &mut Table<'_>) -> Vec<(At<String>, WholeCluster)> {
    let read = |table: &mut Table<'_>| {
        let cluster = Cluster::read(table);
        table.describe("nodes", Node::ABOUT, Node::read);
        let monitor = only(table, "monitor", Monitor::ABOUT, Monitor::read);
        (cluster, monitor, placed(table, "tls", ServerTls::ABOUT, ServerTls::read))
    };
    named(root, "cluster", Cluster::ABOUT, read)
}

fn policies(root: &mut Table<'_>) -> Vec<At<WholePolicy>> {
    const SETTINGS: &str = "What the policy is told: texts, lists of texts, numbers, true or false, in nested tables as you like. \
         The keys are the policy's own.";
    let one = |mut table: Table<'_>| {
        let policy = Policy::read(&mut table);
        let limits = only(&mut table, "limits", PolicyLimits::ABOUT, PolicyLimits::read);
        let canary = only(&mut table, "canary", Canary::ABOUT, Canary::read);
        let settings = settings::read(table.table("settings", SETTINGS));
        let at = table.at;
        table.finish();
        At { at, value: (policy, limits, canary, settings) }
    };
    root.list("policy", Policy::ABOUT).into_iter().map(one).collect()
}

/// A node is an address, or a table.
impl Value for Node {
    fn read(item: &Item<'_>) -> Option<Node> {
        match item.value {
            DeValue::String(_) => {
                let address = Some(Server::read(item)?);
                Some(Node { address, ..Node::default() })
            }
            DeValue::Table(_) => {
                let mut table = item.table()?;
                let node = Node::read(&mut table);
                table.finish();
                Some(node)
            }
            _ => {
                item.expected("an address such as \"10.0.0.1:5432\", or a table");
                None
            }
        }
    }

    fn kind() -> String {
        "node".to_owned()
    }

    fn show(&self) -> String {
        self.address.show()
    }
}
