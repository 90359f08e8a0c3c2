//! Clusters, their nodes, and the connections to them.

use howdah_cluster::{ClusterId, NodeId, NodeSpec, NodeState};
use howdah_decision::Role;

use super::catalogue as metrics;
use super::family::Family;
use crate::figures::{ServerEnd, Words};
use crate::worker::Shared;

pub(super) fn of_clusters(shared: &Shared) -> [Family; 4] {
    let mut writable = Family::of(&metrics::WRITABLE);
    let mut failovers = Family::of(&metrics::FAILOVERS);
    let mut held = Family::of(&metrics::HELD);
    let mut holds = Family::of(&metrics::HOLDS);
    let snapshot = shared.monitor.snapshot();
    for (index, name) in snapshot.clusters.iter().enumerate() {
        let cluster = ClusterId(index as u16);
        let waits = shared.held(cluster);
        writable.add(&[name], snapshot.writable(cluster).is_some());
        failovers.add(&[name], shared.monitor.failovers_so_far(cluster));
        held.add(&[name], waits.statements() as u64);
        holds.add(&[name], waits.so_far() as u64);
    }
    [writable, failovers, held, holds]
}

pub(super) fn of_nodes(shared: &Shared) -> Vec<Family> {
    let mut states = States::new();
    let mut connections = Connections::new();
    let snapshot = shared.monitor.snapshot();
    for (index, cluster) in snapshot.clusters.iter().enumerate() {
        for (id, spec, state) in snapshot.nodes(ClusterId(index as u16)) {
            states.add(cluster, spec, state);
            states.add_definitions(cluster, spec, shared.monitor.definitions(id));
            connections.add(cluster, spec, id, shared);
        }
    }
    states.0.into_iter().chain(connections.0).collect()
}

/// How nodes are.
struct States([Family; 6]);

impl States {
    fn new() -> States {
        let all = [
            &metrics::NODE_UP,
            &metrics::NODE_PRIMARY,
            &metrics::NODE_LAG_BYTES,
            &metrics::NODE_LAG,
            &metrics::DEFINITIONS_ASKED,
            &metrics::DEFINITIONS_CHANGED,
        ];
        States(all.map(Family::of))
    }

    fn add(&mut self, cluster: &str, spec: &NodeSpec, state: &NodeState) {
        let [up, primary, lag_bytes, lag, ..] = &mut self.0;
        let labels = [cluster, spec.name.as_str()];
        up.add(&labels, state.up && state.refused.is_none());
        primary.add(&labels, state.role == Role::Primary);
        if let Some(bytes) = state.lag_bytes {
            lag_bytes.add(&labels, bytes);
        }
        if let Some(time) = state.lag {
            lag.add(&labels, time.as_secs_f64());
        }
    }

    fn add_definitions(&mut self, cluster: &str, spec: &NodeSpec, (asked, changed): (u64, u64)) {
        let [.., asks, changes] = &mut self.0;
        let labels = [cluster, spec.name.as_str()];
        asks.add(&labels, asked);
        changes.add(&labels, changed);
    }
}

/// What connects the proxy to them.
struct Connections([Family; 8]);

impl Connections {
    fn new() -> Connections {
        let all = [
            &metrics::SERVER_CONNECTIONS,
            &metrics::SERVER_CONNECTIONS_LIMIT,
            &metrics::SERVER_CONNECTIONS_OPENED,
            &metrics::SERVER_CONNECTIONS_FAILED,
            &metrics::SERVER_CONNECTIONS_CLOSED,
            &metrics::BATCHES,
            &metrics::WAITING,
            &metrics::LONGEST_WAIT,
        ];
        Connections(all.map(Family::of))
    }

    fn add(&mut self, cluster: &str, spec: &NodeSpec, id: NodeId, shared: &Shared) {
        let [open, limit, opened, failed, closed, batches, waiting, longest] = &mut self.0;
        let labels = [cluster, spec.name.as_str()];
        let with = |word| [labels[0], labels[1], word];
        let pools = shared.pools_of(id);
        open.add(&with("idle"), pools.idle as u64);
        open.add(&with("busy"), pools.open.saturating_sub(pools.idle) as u64);
        limit.add(&labels, pools.size as u64);
        if let Some(servers) = shared.servers.get(usize::from(id.0)) {
            opened.add(&labels, servers.opened());
            failed.add(&labels, servers.failed());
            ServerEnd::ALL
                .iter()
                .for_each(|end| closed.add(&with(end.word()), servers.closed(*end)));
        }
        let (reads, others) = shared.batches(id);
        batches.add(&with("read"), reads);
        batches.add(&with("other"), others);
        waiting.add(&labels, pools.waiting as u64);
        longest.add(&labels, pools.max_wait.as_secs_f64());
    }
}
