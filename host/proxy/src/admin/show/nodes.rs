//! Clusters and their nodes.

use std::time::Instant;

use howdah_cluster::ClusterId;

use super::super::table::{Row, float, int, row, text, truth};
use super::{Operated, Show};
use crate::config::show_address;
use crate::figures::{BUCKETS, bound};
use crate::worker::configured;

pub(super) const CLUSTERS: Show = Show {
    name: "CLUSTERS",
    about: "Clusters: whether they can be written to, and what waits for them.",
    columns: &[
        text("cluster", "Its name."),
        text("primary", "The node that is the primary."),
        truth("writable", "Whether the primary gets work."),
        truth("paused", "Whether an operator has paused it."),
        int("nodes", "How many nodes it has."),
        int("up", "How many of them answer."),
        int("held", "Statements that wait because there is no node for them."),
        int("held_so_far", "Statements that have had to wait so."),
        int("waiting", "Sessions that wait for a connection."),
        int("failovers", "Primaries that were followed by another one."),
    ],
    rows: |operated| Box::pin(async { clusters(operated) }),
};

pub(super) const NODES: Show = Show {
    name: "NODES",
    about: "Nodes: role, lag, traffic, and why one gets no work.",
    columns: &[
        text("cluster", "Where it belongs."),
        text("node", "Its name."),
        text("addr", "Where it listens."),
        text("role", "primary, replica or unknown."),
        truth("up", "Whether it answers."),
        text("note", "Why it gets no work, or less."),
        int("timeline", "Its timeline."),
        int("lag_bytes", "WAL that it has still to replay."),
        float("lag", "How long ago it was where the primary is, in seconds."),
        int("open", "Connections to it."),
        int("busy", "Those that sessions have."),
        int("waiting", "Sessions that wait for one."),
        int("reads", "Batches that only read, so far."),
        int("others", "All other batches."),
        float(
            "mean_ms",
            "Milliseconds that its statements took so far, on average, waits included.",
        ),
        float("p95_ms", "What 95 of 100 did not exceed, about."),
    ],
    rows: |operated| Box::pin(async { nodes(operated) }),
};

pub(super) const LATENCIES: Show = Show {
    name: "LATENCIES",
    about: "How long batches took on each node, so far, waits included.",
    columns: &[
        text("cluster", "Where the node belongs."),
        text("node", "Its name."),
        float("over_ms", "More than so many milliseconds …"),
        float("up_to_ms", "… and at most so many."),
        int("batches", "How many."),
    ],
    rows: |operated| Box::pin(async { latencies(operated) }),
};

pub(super) const FAILOVERS: Show = Show {
    name: "FAILOVERS",
    about: "What became of primaries, as a time line, and what clients noticed.",
    columns: &[
        text("cluster", "Where it was."),
        int("seconds_ago", "Since the primary came into doubt."),
        float(
            "after_ms",
            "When this happened after that, in milliseconds; null for what clients noticed.",
        ),
        text("node", "The node that it happened to."),
        int("timeline", "Its timeline then."),
        text("event", "What happened."),
    ],
    rows: |operated| Box::pin(async { failovers(operated) }),
};

fn clusters(operated: &Operated) -> Vec<Row> {
    let shared = &operated.shared;
    let snapshot = shared.monitor.snapshot();
    let row = |(index, name): (usize, &String)| {
        let id = ClusterId(index as u16);
        let primary = snapshot.primary(id).and_then(|node| snapshot.spec(node));
        let held = shared.held(id);
        row![
            name.as_str(),
            primary.map(|spec| spec.name.as_str()),
            snapshot.writable(id).is_some(),
            snapshot.is_paused(id),
            snapshot.nodes(id).count(),
            snapshot.nodes(id).filter(|(.., state)| state.up).count(),
            held.statements(),
            held.so_far(),
            snapshot.nodes(id).map(|(node, ..)| shared.pools_of(node).waiting).sum::<usize>(),
            shared.monitor.failovers_so_far(id),
        ]
    };
    snapshot.clusters.iter().enumerate().map(row).collect()
}

fn nodes(operated: &Operated) -> Vec<Row> {
    let shared = &operated.shared;
    let (snapshot, config) = (shared.monitor.snapshot(), shared.config.load());
    let clusters = snapshot.clusters.iter().enumerate();
    let all = clusters.flat_map(|(index, name)| {
        snapshot
            .nodes(ClusterId(index as u16))
            .map(move |(id, spec, state)| (name, id, spec, state))
    });
    let row = |(cluster, id, spec, state): (
        &String,
        howdah_cluster::NodeId,
        &howdah_cluster::NodeSpec,
        &howdah_cluster::NodeState,
    )| {
        let pools = shared.pools_of(id);
        let (reads, others) = shared.batches(id);
        let took = shared.latencies(id);
        let mut notes = Vec::new();
        notes.extend((!state.up).then_some("down"));
        notes.extend(state.refused);
        notes.extend(state.drained.then_some("drained"));
        notes.extend(state.resting.then_some("resting"));
        row![
            cluster.as_str(),
            spec.name.as_str(),
            configured(&config, id).map(|(_, node)| show_address(&node.address)),
            state.role.name(),
            state.up,
            Some(notes.join(", ")).filter(|notes| !notes.is_empty()),
            Some(state.timeline).filter(|timeline| *timeline > 0),
            state.lag_bytes,
            state.lag.map(|lag| lag.as_secs_f64()),
            pools.open,
            pools.open.saturating_sub(pools.idle),
            pools.waiting,
            reads,
            others,
            (took.count() > 0).then(|| took.sum as f64 / took.count() as f64 / 1e3),
            (took.count() > 0).then(|| took.quantile(0.95, u64::MAX) as f64 / 1e3),
        ]
    };
    all.map(row).collect()
}

fn latencies(operated: &Operated) -> Vec<Row> {
    let shared = &operated.shared;
    let snapshot = shared.monitor.snapshot();
    let mut rows = Vec::new();
    for (index, cluster) in snapshot.clusters.iter().enumerate() {
        for (id, spec, _) in snapshot.nodes(ClusterId(index as u16)) {
            let counted = shared.latencies(id).buckets;
            for (bucket, count) in counted.iter().enumerate().filter(|(_, count)| **count > 0) {
                let milliseconds = |bucket| bound(bucket) as f64 / 1e3;
                let over = bucket.checked_sub(1).map_or(0.0, milliseconds);
                let up_to = (bucket < BUCKETS).then(|| milliseconds(bucket));
                rows.push(row![cluster.as_str(), spec.name.as_str(), over, up_to, *count]);
            }
        }
    }
    rows
}

fn failovers(operated: &Operated) -> Vec<Row> {
    let monitor = &operated.shared.monitor;
    let snapshot = monitor.snapshot();
    let mut rows = Vec::new();
    for (index, cluster) in snapshot.clusters.iter().enumerate() {
        for failover in monitor.failovers(ClusterId(index as u16)) {
            let ago = failover.doubted.elapsed().as_secs();
            for event in failover.events() {
                let after = |at: Instant| at.saturating_duration_since(failover.doubted);
                rows.push(row![
                    cluster.as_str(),
                    ago,
                    after(event.at).as_secs_f64() * 1_000.0,
                    snapshot.spec(event.node).map(|spec| spec.name.as_str()),
                    event.timeline,
                    event.what,
                ]);
            }
            if let Some(toll) = operated.shared.tolls.of(ClusterId(index as u16), failover.doubted)
            {
                rows.push(row![
                    cluster.as_str(),
                    ago,
                    None::<f64>,
                    None::<&str>,
                    None::<u32>,
                    toll.to_string()
                ]);
            }
        }
    }
    rows
}
