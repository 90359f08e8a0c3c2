//! From what is written to what is meant: defaults that depend on other keys, references, files, secrets.

mod clusters;
mod kv;
mod passwords;
mod policies;
mod rules;
mod tls;
mod users;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::address::Listen;
use super::mistake::Mistakes;
use super::parts::{
    Admin, AuthMethod, Database, Http, Others, Policies, PoolChanges, Traces, User,
};
use super::passwords::Passwords;
use super::surroundings::Surroundings;
use super::value::At;
use super::written::{self, Written};
use super::{Config, Tls, address, cores};
use crate::peers::MAX_PEERS;

/// The name of a database that stands for all others.
pub(super) const ANY: &str = "*";
/// The permission of everybody to read (inode(7)).
const OTHERS_READ: u32 = 0o004;

/// Says what a file means. Only to be used when no mistake has been noted.
pub(super) fn meaning(
    written: Written,
    surroundings: &Surroundings<'_>,
    mistakes: &Mistakes,
) -> Config {
    let step = Step { surroundings, mistakes };
    let users = step.users(written.users);
    let tls = step.tls(written.tls);
    let query = step.auth_query(written.auth_query);
    let rules = step.rules(written.rules, tls.as_ref());
    let auth = step.auth(&written.auth, query, &rules, &users, tls.as_ref());
    let unlisted = |method| matches!(method, AuthMethod::Trust | AuthMethod::Cert);
    let anybody = match rules.as_slice() {
        [] => unlisted(auth.method),
        rules => rules.iter().any(|rule| unlisted(rule.method)),
    };
    let others = match anybody && users.is_empty() || auth.query.is_some() {
        true => Others::Admitted,
        false => Others::Refused,
    };
    let users: BTreeMap<String, User> =
        users.into_iter().map(|(name, user)| (name.value, user)).collect();
    let clusters = step.clusters(written.clusters);
    let policies = step.policies(written.policies, &users, &clusters);
    let mut config = Config {
        listen: written.top.listen.into_iter().map(|listen| listen.0).collect(),
        reuse_port: written.top.reuse_port,
        peers: written.top.peers.iter().map(|peer| peer.value.0.clone()).collect(),
        proxy_protocol_from: written.top.proxy_protocol_from,
        control: written.top.control.and_then(|path| step.control(path)),
        compiled_policies: written
            .top
            .compiled_policies
            .map(|path| step.surroundings.path(&path.value)),
        workers: written.top.workers.unwrap_or_else(cores),
        auth,
        rules,
        tls,
        users,
        others,
        clusters,
        pool: written.pool,
        databases: databases(written.databases),
        limits: written.limits,
        statements: written.statements,
        admin: Admin { operators: written.admin.operators, viewers: written.admin.viewers },
        shown: Vec::new(),
        http: None,
        traces: written.traces.endpoint.map(|endpoint| Traces {
            endpoint,
            sample_one_in: written.traces.sample_one_in,
            service_name: written.traces.service_name,
        }),
        kv: step.kv(written.kv),
        together: Policies {
            record: written.together.record.as_ref().map(|path| surroundings.path(path)),
            ..written.together
        },
        policies,
        log: written.log,
        warnings: Vec::new(),
        passwords: Passwords::None,
    };
    config.http = step.http(written.http, &config.admin);
    if config.listen.is_empty() {
        mistakes.add(0, "listen: must name at least one address");
    }
    if let Some(surplus) = written.top.peers.get(MAX_PEERS) {
        mistakes.add(surplus.at, format!("peers: there are more than {MAX_PEERS}"));
    }
    config.warnings = warnings(&config);
    config
}

struct Step<'a> {
    surroundings: &'a Surroundings<'a>,
    mistakes: &'a Mistakes,
}

impl Step<'_> {
    /// Neither browsers nor Prometheus know Unix sockets.
    fn http(&self, written: written::Http, admin: &Admin) -> Option<Http> {
        let At { at, value: Listen(listen) } = written.listen?;
        if listen.socket().is_some() {
            self.mistakes.add(at, "http.listen: must be host:port");
        }
        let login = written.login.as_ref().map(|login| ("login", login));
        for (key, wanted) in login.into_iter().chain([("metrics_login", &written.metrics_login)]) {
            if wanted.value && admin.is_empty() {
                let message = format!("http.{key}: nobody could log in: [admin] names nobody");
                self.mistakes.add(wanted.at, message);
            }
        }
        let login = written.login.map_or(!address::is_local(&listen), |login| login.value);
        Some(Http { login, metrics_login: written.metrics_login.value, listen })
    }

    /// The path of a socket, which must fit into an address (unix(7)).
    fn control(&self, path: At<PathBuf>) -> Option<PathBuf> {
        let full = self.surroundings.path(&path.value);
        if let Err(error) = std::os::unix::net::SocketAddr::from_pathname(&full) {
            let message = format!("control: {} cannot be a socket: {error}", full.display());
            self.mistakes.add(path.at, message);
            return None;
        }
        Some(full)
    }
}

fn databases(written: Vec<(At<String>, written::Database)>) -> BTreeMap<String, Database> {
    let changes = |database: written::Database| Database {
        pool: PoolChanges {
            mode: database.pool_mode,
            size: database.pool_size,
            prepare_unnamed: database.pool_prepare_unnamed,
        },
        max_clients: database.max_clients,
    };
    written.into_iter().map(|(name, database)| (name.value, changes(database))).collect()
}

/// What is allowed, and yet may not be meant.
fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    warnings.extend(rules::warnings(&config.rules, config.tls.is_some()));
    if config.rules.is_empty() && config.auth.method == AuthMethod::Trust {
        let remote = config.listen.iter().find(|target| !address::is_local(target));
        if let (Some(target), false) = (remote, config.auth.trust_remote) {
            warnings.push(format!(
                "clients of other machines that come to {} will be refused: the method is trust, and \
                 auth.trust_remote is not set",
                address::show(target)
            ));
        }
        if config.auth.trust_remote {
            warnings.push("clients of other machines are let in without a password".to_owned());
        }
    }
    let trusts = match config.rules.as_slice() {
        [] => config.auth.method == AuthMethod::Trust,
        rules => rules.iter().any(|rule| rule.method == AuthMethod::Trust),
    };
    if !config.admin.is_empty() && trusts {
        warnings.push(
            "admin: everybody on this machine can be an operator, because trusted users need not prove who they are"
                .to_owned(),
        );
    }
    if let Some(Http { listen, .. }) = &config.http
        && !address::is_local(listen)
        && !config.admin.is_empty()
    {
        let listen = address::show(listen);
        warnings.push(format!(
            "http.listen: passwords come to {listen} without encryption, unless something in front of it has TLS"
        ));
    }
    let servers = config.clusters.iter().filter_map(|cluster| cluster.tls.as_ref()?.key_file());
    for file in config.tls.iter().flat_map(Tls::key_files).chain(servers) {
        if std::fs::metadata(file).is_ok_and(|meta| meta.permissions().mode() & OTHERS_READ != 0) {
            let file = file.display();
            warnings.push(format!("every user of this machine can read the private key {file}"));
        }
    }
    warnings
}
