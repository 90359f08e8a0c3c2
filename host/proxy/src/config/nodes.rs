//! A configuration without any file.

use std::collections::{BTreeMap, BTreeSet};

use super::passwords::Passwords;
use super::surroundings::Surroundings;
use super::written;
use super::{
    Admin, Auth, AuthMethod, Cluster, Config, Limits, Log, Mistake, Monitor, Node, Others,
    Policies, Policy, Pool, Statements, address, cores,
};

/// What mistakes point to.
const OPTION: &str = "--node";

/// One cluster with these nodes, and defaults for all the rest.
pub(super) fn config(
    addresses: &[String],
    surroundings: &Surroundings<'_>,
) -> Result<Config, Vec<Mistake>> {
    let nodes = nodes(addresses)?;
    let mut warnings = Vec::new();
    let passwords = Passwords::find(surroundings, &mut warnings);
    let written::Monitor { user, database, interval, timeout, definitions, .. } =
        written::Monitor::default();
    let user = surroundings.text("PGUSER").unwrap_or(user);
    let database = surroundings.text("PGDATABASE").unwrap_or(database);
    let cluster = Cluster {
        name: "main".to_owned(),
        nodes,
        databases: vec![super::meaning::ANY.to_owned()],
        causal_reads: true,
        patroni: Vec::new(),
        prove_commits: true,
        prove_autocommit: false,
        replay_transactions: false,
        monitor: Monitor { user, password: None, database, interval, timeout, definitions },
        tls: None,
    };
    Ok(Config {
        listen: vec![written::default_listen().0],
        reuse_port: false,
        peers: Vec::new(),
        proxy_protocol_from: Vec::new(),
        control: None,
        compiled_policies: None,
        workers: cores(),
        auth: Auth { method: AuthMethod::Trust, trust_remote: false, query: None },
        rules: Vec::new(),
        tls: None,
        users: BTreeMap::new(),
        others: Others::Admitted,
        clusters: vec![cluster],
        pool: Pool::default(),
        databases: BTreeMap::new(),
        admin: Admin::default(),
        shown: Vec::new(),
        http: None,
        traces: None,
        kv: None,
        limits: Limits::default(),
        statements: Statements::default(),
        together: Policies::default(),
        policies: vec![Policy::default()],
        log: Log::default(),
        warnings,
        passwords,
    })
}

fn nodes(addresses: &[String]) -> Result<Vec<Node>, Vec<Mistake>> {
    let mut seen = BTreeSet::new();
    let (mut nodes, mut mistakes) = (Vec::new(), Vec::new());
    for text in addresses {
        match address::parse_server(text) {
            Ok(address::Server(target)) => {
                let name = address::show(&target);
                if !seen.insert(name.clone()) {
                    mistakes.push(Mistake::general(OPTION, format!("\"{name}\" is given twice")));
                }
                nodes.push(Node { name, address: target, labels: BTreeMap::new(), tls_host: None });
            }
            Err(why) => mistakes.push(Mistake::general(OPTION, why)),
        }
    }
    if nodes.is_empty() && mistakes.is_empty() {
        mistakes.push(Mistake::general(OPTION, "at least one node is needed"));
    }
    if mistakes.is_empty() { Ok(nodes) } else { Err(mistakes) }
}
