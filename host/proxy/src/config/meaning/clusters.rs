use std::collections::BTreeMap;

use rustls::pki_types::ServerName;

use super::{ANY, Step};
use crate::config::address::{self, PatroniUrl};
use crate::config::parts::{Cluster, Monitor, Node};
use crate::config::value::At;
use crate::config::written;

impl Step<'_> {
    pub(super) fn clusters(
        &self,
        written: Vec<(At<String>, written::WholeCluster)>,
    ) -> Vec<Cluster> {
        if written.is_empty() {
            self.mistakes.add_missing(
                0,
                "there is no cluster: add [cluster.main] with nodes = [\"HOST:PORT\"]",
            );
        }
        let (mut names, mut addresses) = (BTreeMap::new(), BTreeMap::new());
        let mut homes = BTreeMap::new();
        let mut clusters = Vec::new();
        for (index, (name, (cluster, monitor, tls))) in written.into_iter().enumerate() {
            if cluster.nodes.is_empty() {
                let message = format!(
                    "cluster {}: nodes are missing, as in nodes = [\"HOST:PORT\"]",
                    name.value
                );
                self.mistakes.add_missing(name.at, message);
            }
            let tls = self.server_tls(&name.value, tls);
            let mut nodes = Vec::new();
            for At { at, value } in cluster.nodes {
                let Some(node) = self.node(at, value, tls.is_some()) else { continue };
                self.unique(&mut names, at, "node name", &node.name, &name.value);
                self.unique(
                    &mut addresses,
                    at,
                    "address",
                    &address::show(&node.address),
                    &name.value,
                );
                nodes.push(node);
            }
            let default =
                || if index == 0 { vec![At { at: 0, value: ANY.to_owned() }] } else { Vec::new() };
            let databases = cluster.databases.unwrap_or_else(default);
            for database in &databases {
                self.unique(&mut homes, database.at, "database", &database.value, &name.value);
            }
            clusters.push(Cluster {
                nodes,
                databases: databases.into_iter().map(|database| database.value).collect(),
                causal_reads: cluster.causal_reads,
                patroni: cluster.patroni.into_iter().map(|PatroniUrl(target)| target).collect(),
                prove_commits: cluster.prove_commits,
                prove_autocommit: cluster.prove_autocommit,
                replay_transactions: cluster.replay_transactions,
                monitor: self.monitor(name.at, monitor),
                tls,
                name: name.value,
            });
        }
        clusters
    }

    fn node(&self, at: usize, written: written::Node, encrypted: bool) -> Option<Node> {
        let Some(address) = written.address else {
            self.mistakes.add(at, "the address of the node is missing");
            return None;
        };
        let name = written.name.unwrap_or_else(|| address::show(&address.0));
        let tls_host = match written.tls_host {
            Some(host) if !encrypted => {
                let message = "tls_host: connections to the cluster are not encrypted";
                self.mistakes.add(host.at, message);
                None
            }
            _ if !encrypted || address.0.socket().is_some() => None,
            Some(host) => self.tls_host(host),
            None => self.tls_host(At { at, value: address.0.host.clone() }),
        };
        Some(Node { name, address: address.0, labels: written.labels, tls_host })
    }

    fn tls_host(&self, host: At<String>) -> Option<ServerName<'static>> {
        let read = ServerName::try_from(host.value.clone());
        if read.is_err() {
            let message = format!("\"{}\" is no name that a certificate could be for", host.value);
            self.mistakes.add(host.at, message);
        }
        read.ok()
    }

    fn unique(
        &self,
        seen: &mut BTreeMap<String, String>,
        at: usize,
        what: &str,
        one: &str,
        cluster: &str,
    ) {
        if let Some(other) = seen.insert(one.to_owned(), cluster.to_owned()) {
            self.mistakes.add(at, format!("the {what} \"{one}\" is in cluster {other} already"));
        }
    }

    fn monitor(&self, table: usize, written: written::Monitor) -> Monitor {
        let password =
            self.own_password(table, written.password, written.password_file, written.password_env);
        Monitor {
            user: written.user,
            password,
            database: written.database,
            interval: written.interval,
            timeout: written.timeout,
            definitions: written.definitions,
        }
    }
}
