//! What the proxy counts, for Prometheus: figures are gathered when somebody asks, so they cost a query nothing.
//!
//! Labels are names of the configuration and words of ours, never anything that clients send: their number is bounded.

mod http;

use std::fmt;
use std::sync::Arc;

use howdah_cluster::{ClusterId, NodeId, NodeSpec, NodeState};
use howdah_decision::{Outcome, Role};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::worker::Shared;
pub(crate) use http::serve;

/// One figure for each set of labels.
struct Family {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    rows: Vec<(Vec<(&'static str, String)>, f64)>,
}

impl Family {
    fn gauge(name: &'static str, help: &'static str) -> Family {
        Family { name, help, kind: MetricType::Gauge, rows: Vec::new() }
    }

    /// `_total` is put behind its name.
    fn counter(name: &'static str, help: &'static str) -> Family {
        Family { kind: MetricType::Counter, ..Family::gauge(name, help) }
    }

    fn alone(mut self, value: u64) -> Family {
        self.rows.push((Vec::new(), value as f64));
        self
    }

    fn add(&mut self, labels: &[(&'static str, &str)], value: f64) {
        let labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.rows.push((labels, value));
    }
}

/// The proxy's figures.
struct Figures(Arc<Shared>);

impl fmt::Debug for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Figures")
    }
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for Family { name, help, kind, rows } in families(&self.0) {
            let mut family = encoder.encode_descriptor(name, help, None, kind)?;
            for (labels, value) in rows {
                let labels: Vec<(&str, &str)> =
                    labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
                match labels.as_slice() {
                    [] => write(&mut family, kind, value)?,
                    labels => write(&mut family.encode_family(&labels)?, kind, value)?,
                }
            }
        }
        Ok(())
    }
}

fn write(encoder: &mut MetricEncoder<'_>, kind: MetricType, value: f64) -> fmt::Result {
    match kind {
        MetricType::Counter => encoder.encode_counter::<NoLabelSet, _, u64>(&value, None),
        _ => encoder.encode_gauge(&value),
    }
}

/// All figures as OpenMetrics has them (https://prometheus.io/docs/specs/om/open_metrics_spec/).
pub(crate) fn text(shared: &Arc<Shared>) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("howdah");
    registry.register_collector(Box::new(Figures(Arc::clone(shared))));
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(out)
}

fn families(shared: &Shared) -> Vec<Family> {
    let mut all = vec![
        Family::gauge("clients", "Connected clients.").alone(shared.clients() as u64),
        Family::counter("refused", "Errors of the proxy's own that clients were told.")
            .alone(shared.refused()),
        Family::counter("retried", "Batches that were sent again after a failure.")
            .alone(shared.retried()),
    ];
    all.extend(of_commits(shared));
    all.extend(of_clusters(shared));
    all.extend(of_nodes(shared));
    all
}

fn of_commits(shared: &Shared) -> [Family; 2] {
    let help = "Commits whose answer was lost, by what was found out of them.";
    let mut proven = Family::counter("commits_in_doubt", help);
    for (outcome, word) in [
        (Outcome::Committed, "committed"),
        (Outcome::NotCommitted, "not committed"),
        (Outcome::Unknown, "unknown"),
    ] {
        proven.add(&[("outcome", word)], shared.proven(outcome) as f64);
    }
    let help = "Transactions that were run again on another server: they went on, or were lost all the same.";
    let mut replayed = Family::counter("transactions_run_again", help);
    replayed.add(&[("outcome", "went on")], shared.replayed(true) as f64);
    replayed.add(&[("outcome", "lost")], shared.replayed(false) as f64);
    [proven, replayed]
}

fn of_clusters(shared: &Shared) -> [Family; 4] {
    let mut held = Family::gauge("held", "Statements that wait because there is no node for them.");
    let mut held_so_far = Family::counter("holds", "Statements that had to wait so.");
    let mut failovers =
        Family::counter("failovers", "Primaries that were followed by another one.");
    let mut writable = Family::gauge("writable", "1: the cluster has a primary that gets work.");
    let snapshot = shared.monitor.snapshot();
    for (index, name) in snapshot.clusters.iter().enumerate() {
        let (cluster, labels) = (ClusterId(index as u16), [("cluster", name.as_str())]);
        let waits = shared.held(cluster);
        held.add(&labels, waits.statements() as f64);
        held_so_far.add(&labels, waits.so_far() as f64);
        failovers.add(&labels, shared.monitor.failovers_so_far(cluster) as f64);
        writable.add(&labels, f64::from(u8::from(snapshot.writable(cluster).is_some())));
    }
    [held, held_so_far, failovers, writable]
}

fn of_nodes(shared: &Shared) -> Vec<Family> {
    let mut up = Family::gauge("node_up", "1: the node answers and may get work.");
    let mut primary = Family::gauge("node_primary", "1: the node is the primary.");
    let mut lag_bytes = Family::gauge("node_lag_bytes", "WAL that a standby has still to replay.");
    let mut lag =
        Family::gauge("node_lag_seconds", "How long ago a standby was where the primary is.");
    let mut connections = Family::gauge("server_connections", "Connections to a node.");
    let mut waiting = Family::gauge("waiting", "Clients that wait for a connection to a node.");
    let mut batches = Family::counter("batches", "Batches of statements that a node has run.");
    let snapshot = shared.monitor.snapshot();
    for (index, name) in snapshot.clusters.iter().enumerate() {
        let one = |(id, spec, state): (NodeId, &NodeSpec, &NodeState)| {
            let labels = [("cluster", name.as_str()), ("node", spec.name.as_str())];
            let with = |name, value| [labels[0], labels[1], (name, value)];
            let truth = |is: bool| f64::from(u8::from(is));
            up.add(&labels, truth(state.up && state.refused.is_none()));
            primary.add(&labels, truth(state.role == Role::Primary));
            if let Some(bytes) = state.lag_bytes {
                lag_bytes.add(&labels, bytes as f64);
            }
            if let Some(time) = state.lag {
                lag.add(&labels, time.as_secs_f64());
            }
            let (open, idle, waits) = shared.pools_of(id);
            connections.add(&with("state", "idle"), idle as f64);
            connections.add(&with("state", "busy"), open.saturating_sub(idle) as f64);
            waiting.add(&labels, waits as f64);
            let (reads, others) = shared.batches(usize::from(id.0));
            batches.add(&with("kind", "read"), reads as f64);
            batches.add(&with("kind", "other"), others as f64);
        };
        snapshot.nodes(ClusterId(index as u16)).for_each(one);
    }
    vec![up, primary, lag_bytes, lag, connections, waiting, batches]
}
