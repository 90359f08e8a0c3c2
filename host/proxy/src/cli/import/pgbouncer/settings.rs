//! Every setting of PgBouncer (its documentation, up to version 1.25 and what follows it), and what becomes of it.

/// What becomes of a setting.
pub(super) enum Fate {
    /// It becomes this key.
    Key(&'static str),
    /// Nothing need become of it, and why.
    Needless(&'static str),
    /// There is no equivalent, and what to do instead.
    Missing(&'static str),
}

use Fate::{Key, Missing, Needless};

/// Name, PgBouncer's default, fate. What is the default is not told of.
pub(super) type Setting = (&'static str, &'static str, Fate);

const LOG: &str = "the log goes to standard error, which journald keeps";
const SYSTEM: &str = "the system's own setting holds";
const BUFFERS: &str = "buffers grow and shrink as they must";
const NAMES: &str = "names are looked up by the system for each new connection";
const PREPARED: &str = "prepared statements always follow their client";
const CHECKED: &str = "a statement that meets a connection that has ended is sent on another one";
const CIPHERS: &str = "the sound ones of TLS 1.2 and 1.3 are offered, and no others";
const OPENED: &str = "connections are opened when they are wanted and kept for pool.idle_timeout";
const RESERVE: &str = "there is no reserve: add it to pool.size";
const EACH: &str = "it holds for everybody: set it in [pool] or [limits]";
const ROLE: &str = "say it by ALTER DATABASE … SET or ALTER ROLE … SET";

/// `[pgbouncer]`.
pub(super) const SETTINGS: &[Setting] = &[
    ("admin_users", "", Key("admin.operators")),
    ("application_name_add_host", "0", Key("pool.show_client_address")),
    ("auth_dbname", "", Key("auth.query.database")),
    ("auth_file", "", Key("user.NAME")),
    ("auth_hba_file", "", Key("rule")),
    ("auth_ident_file", "", Missing("list names of certificates in user.NAME.cert_names")),
    ("auth_ldap_options", "", Missing("there is no LDAP: use passwords or certificates")),
    ("auth_query", "", Key("auth.query.sql")),
    ("auth_type", "md5", Key("auth.method")),
    ("auth_user", "", Key("auth.query.user")),
    ("autodb_idle_timeout", "3600", Needless("pools that are not used cost nothing")),
    ("cancel_wait_timeout", "10", Needless("cancel requests do not wait for a pool")),
    ("client_idle_timeout", "0", Key("limits.idle_timeout")),
    ("client_login_timeout", "60", Key("limits.login_timeout")),
    ("client_tls13_ciphers", "", Needless(CIPHERS)),
    ("client_tls_ca_file", "", Key("tls.ca_file")),
    ("client_tls_cert_file", "", Key("tls.cert_file")),
    ("client_tls_ciphers", "default", Needless(CIPHERS)),
    ("client_tls_dheparams", "auto", Needless(CIPHERS)),
    ("client_tls_ecdhcurve", "auto", Needless(CIPHERS)),
    ("client_tls_key_file", "", Key("tls.key_file")),
    ("client_tls_protocols", "secure", Key("tls.min_version")),
    ("client_tls_sslmode", "disable", Key("tls.mode")),
    ("conffile", "", Needless("the file is named at the start: howdah run --config FILE")),
    ("default_pool_size", "20", Key("pool.size")),
    (
        "disable_pqexec",
        "0",
        Missing("the policy query-guard refuses several statements in one text"),
    ),
    ("dns_max_ttl", "15", Needless(NAMES)),
    ("dns_nxdomain_ttl", "15", Needless(NAMES)),
    ("dns_zone_check_period", "0", Needless(NAMES)),
    ("idle_transaction_timeout", "0", Key("limits.idle_in_transaction_timeout")),
    ("ignore_startup_parameters", "", Needless("whatever a server takes at the start may be sent")),
    ("job_name", "pgbouncer", Needless("it is for Windows")),
    ("listen_addr", "", Key("listen")),
    ("listen_backlog", "128", Needless("it is 1024")),
    ("listen_port", "6432", Key("listen")),
    ("log_connections", "1", Missing("see log.level and [http]")),
    ("log_disconnections", "1", Missing("see log.level and [http]")),
    ("log_pooler_errors", "1", Missing("see log.level and [http]")),
    ("log_stats", "1", Needless("[http] has the figures")),
    ("logfile", "", Needless(LOG)),
    ("login_notify_message", "", Missing("clients are not told: SHOW howdah.pin tells them apart")),
    ("max_client_conn", "100", Key("limits.max_clients")),
    ("max_db_client_connections", "0", Key("database.NAME.max_clients")),
    (
        "max_db_connections",
        "0",
        Missing("pool.size is for each user of a database: divide by the users"),
    ),
    ("max_packet_size", "2147483647", Needless("messages of any size stream through")),
    ("max_prepared_statements", "200", Needless(PREPARED)),
    ("max_user_client_connections", "0", Key("user.NAME.max_clients")),
    (
        "max_user_connections",
        "0",
        Missing("user.NAME.pool_size is for each database: divide by them"),
    ),
    ("min_pool_size", "0", Missing(OPENED)),
    ("peer_id", "0", Needless("a process knows itself by listen")),
    ("pidfile", "", Needless("systemd knows the process")),
    ("pkt_buf", "4096", Needless(BUFFERS)),
    ("pool_idle_timeout", "0", Needless("pools that are not used cost nothing")),
    ("pool_mode", "session", Key("pool.mode")),
    ("query_timeout", "0", Key("limits.query_timeout")),
    (
        "query_wait_notify",
        "5",
        Missing("clients are not told while they wait; metrics tell how many do"),
    ),
    ("query_wait_timeout", "120", Key("pool.wait_timeout")),
    ("reserve_pool_size", "0", Missing(RESERVE)),
    ("reserve_pool_timeout", "5", Missing(RESERVE)),
    ("resolv_conf", "", Missing("the system's own resolver is asked")),
    ("sbuf_loopcnt", "5", Needless("a client that is busy yields to the others of its thread")),
    (
        "scram_iterations",
        "4096",
        Missing("state a verifier with more of them as the user's password"),
    ),
    ("server_check_delay", "30", Needless(CHECKED)),
    ("server_check_query", "<empty>", Needless(CHECKED)),
    ("server_connect_timeout", "15", Key("pool.connect_timeout")),
    ("server_fast_close", "0", Missing("sessions keep their server until they end")),
    ("server_idle_timeout", "600", Key("pool.idle_timeout")),
    ("server_lifetime", "3600", Key("pool.lifetime")),
    ("server_login_retry", "15", Needless("servers are watched, and used as soon as they answer")),
    ("server_reset_query", "DISCARD ALL", Key("pool.reset")),
    ("server_reset_query_always", "0", Key("pool.reset_always")),
    ("server_round_robin", "0", Needless("policies choose among the nodes of a cluster")),
    ("server_tls13_ciphers", "", Needless(CIPHERS)),
    ("server_tls_ca_file", "", Key("cluster.NAME.tls.ca_file")),
    ("server_tls_cert_file", "", Key("cluster.NAME.tls.cert_file")),
    ("server_tls_ciphers", "default", Needless(CIPHERS)),
    ("server_tls_key_file", "", Key("cluster.NAME.tls.key_file")),
    ("server_tls_protocols", "secure", Key("cluster.NAME.tls.min_version")),
    ("server_tls_sslmode", "prefer", Key("cluster.NAME.tls.mode")),
    ("service_name", "pgbouncer", Needless("it is for Windows")),
    ("so_reuseport", "0", Needless("one process uses all cores")),
    ("stats_period", "60", Needless("[http] has counters, of which others make averages")),
    ("stats_users", "", Key("admin.viewers")),
    ("suspend_timeout", "10", Needless("a restart is a drain, within limits.shutdown_timeout")),
    ("syslog", "0", Needless(LOG)),
    ("syslog_facility", "daemon", Needless(LOG)),
    ("syslog_ident", "pgbouncer", Needless(LOG)),
    ("tcp_defer_accept", "1", Needless("connections that say nothing end by limits.login_timeout")),
    ("tcp_keepalive", "1", Needless(SYSTEM)),
    ("tcp_keepcnt", "0", Missing(SYSTEM)),
    ("tcp_keepidle", "0", Missing(SYSTEM)),
    ("tcp_keepintvl", "0", Missing(SYSTEM)),
    ("tcp_socket_buffer", "0", Missing(SYSTEM)),
    ("tcp_user_timeout", "0", Missing(SYSTEM)),
    ("track_extra_parameters", "IntervalStyle", Needless("all settings follow their client")),
    ("transaction_timeout", "0", Missing("PostgreSQL 17 has transaction_timeout")),
    ("unix_socket_dir", "/tmp", Key("listen")),
    ("unix_socket_group", "", Missing("let the directory be open to the group alone")),
    ("unix_socket_mode", "0777", Missing("let the directory be open to those who may connect")),
    ("user", "", Needless("systemd starts the program as its user")),
    ("verbose", "0", Key("log.level")),
];

/// Of a connection string in `[databases]`.
pub(super) const DATABASE: &[Setting] = &[
    ("application_name", "", Missing(ROLE)),
    ("auth_dbname", "", Missing("auth.query.database is one for all")),
    ("auth_query", "", Missing("auth.query.sql is one for all")),
    ("auth_user", "", Key("auth.query.user")),
    ("client_encoding", "", Missing(ROLE)),
    ("connect_query", "", Missing(ROLE)),
    ("datestyle", "", Missing(ROLE)),
    ("dbname", "", Key("cluster.NAME.databases")),
    ("host", "", Key("cluster.NAME.nodes")),
    ("load_balance_hosts", "round-robin", Needless("policies choose among the nodes of a cluster")),
    ("max_db_client_connections", "", Key("database.NAME.max_clients")),
    (
        "max_db_connections",
        "",
        Missing("database.NAME.pool_size is for each user: divide by the users"),
    ),
    ("min_pool_size", "", Missing(OPENED)),
    ("password", "", Key("user.NAME.server_password")),
    ("pool_mode", "", Key("database.NAME.pool_mode")),
    ("pool_size", "", Key("database.NAME.pool_size")),
    ("port", "", Key("cluster.NAME.nodes")),
    ("query_wait_timeout", "", Missing(EACH)),
    ("reserve_pool", "", Missing(RESERVE)),
    ("reserve_pool_size", "", Missing(RESERVE)),
    ("server_lifetime", "", Missing(EACH)),
    ("target_session_attrs", "any", Needless("which node is the primary is found out")),
    ("timezone", "", Missing(ROLE)),
    ("user", "", Key("user.NAME.server_user")),
];

/// Of an entry in `[users]`.
pub(super) const USER: &[Setting] = &[
    ("client_idle_timeout", "", Missing(EACH)),
    ("idle_transaction_timeout", "", Missing(EACH)),
    ("max_user_client_connections", "", Key("user.NAME.max_clients")),
    (
        "max_user_connections",
        "",
        Missing("user.NAME.pool_size is for each database: divide by them"),
    ),
    ("pool_mode", "", Key("user.NAME.pool_mode")),
    ("pool_size", "", Key("user.NAME.pool_size")),
    ("query_timeout", "", Missing(EACH)),
    ("query_wait_timeout", "", Missing(EACH)),
    ("reserve_pool_size", "", Missing(RESERVE)),
    ("transaction_timeout", "", Missing("PostgreSQL 17 has transaction_timeout")),
];

/// Of an entry in `[peers]`.
pub(super) const PEER: &[Setting] = &[
    ("host", "", Key("peers")),
    ("pool_size", "", Needless("cancel requests do not wait for a pool")),
    ("port", "6432", Key("peers")),
];

const INTRODUCTION: &str = "# Coming from PgBouncer

<!-- Made by `howdah import-reference > docs/pgbouncer.md` from host/proxy/src/cli/import/pgbouncer/settings.rs. -->

```sh
howdah import /etc/pgbouncer/pgbouncer.ini --output /etc/howdah/howdah.toml
howdah check --config /etc/howdah/howdah.toml
```

The first command reads PgBouncer's configuration with all files that it names (`%include`, `auth_file`, \
`auth_hba_file`), and writes one that does the same. What differs is told on standard error and at the top of the \
file, with what to do about it. Unknown keys are errors, with file and line. Passwords of `auth_file` become `password` keys: \
they were in a file before, and the new one can be read by its owner only.

What is otherwise than with PgBouncer:

- A database has one name, at the proxy and at the server: `alias = host=a dbname=real` becomes `real`.
- Hosts of a list are one primary and its standbys. Which is which is found out; reads go to standbys unless a policy \
says otherwise. Databases that share a host are one cluster.
- Servers are watched by a role that logs in, `cluster.NAME.monitor`. The import takes one whose password it knows.
- `user=` of a connection string becomes `server_user` of all users, if it is the same in all databases.
- The console is the database `howdah` instead of `pgbouncer`, with `SHOW` and its columns as there ([console.md](console.md)).
- PgBouncer's defaults are written where they differ: session pooling, 100 clients, two minutes of waiting.

Below is every setting, up to PgBouncer 1.25.
";

/// The contents of `docs/pgbouncer.md`.
pub(in crate::cli) fn reference() -> String {
    let mut page = INTRODUCTION.to_owned();
    for (title, settings) in
        [("[pgbouncer]", SETTINGS), ("[databases]", DATABASE), ("[users]", USER), ("[peers]", PEER)]
    {
        page.push_str(&format!("\n## `{title}`\n\n| setting | here |\n|---|---|\n"));
        for (name, _, fate) in settings {
            let fate = match fate {
                Key(key) => format!("`{key}`"),
                Needless(why) => format!("not needed: {why}"),
                Missing(what) => format!("no equivalent: {what}"),
            };
            page.push_str(&format!("| `{name}` | {fate} |\n"));
        }
    }
    page
}
