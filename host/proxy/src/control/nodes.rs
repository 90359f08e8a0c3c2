//! What operators see of nodes, and order about them: who gets work, and who does not.

use std::time::Duration;

use howdah_cluster::{ClusterId, NodeId};
use serde_json::{Value, json};

use crate::worker::Shared;

/// All clusters with their nodes.
pub(super) fn nodes(shared: &Shared) -> Value {
    let snapshot = shared.monitor.snapshot();
    let node =
        |(id, spec, state): (NodeId, &howdah_cluster::NodeSpec, &howdah_cluster::NodeState)| {
            let pools = shared.pools_of(id);
            json!({
                "name": spec.name,
                "role": state.role.name(),
                "up": state.up,
                "refused": state.refused,
                "resting": state.resting,
                "drained": state.drained,
                "timeline": state.timeline,
                "lag_bytes": state.lag_bytes,
                "lag_ms": state.lag.map(milliseconds),
                "open": pools.open,
                "busy": pools.open.saturating_sub(pools.idle),
            })
        };
    let clusters = snapshot.clusters.iter().enumerate().map(|(index, name)| {
        let id = ClusterId(index as u16);
        let nodes = || snapshot.nodes(id);
        json!({
            "name": name,
            "paused": snapshot.is_paused(id),
            "held": shared.held(id).statements(),
            "waiting": nodes().map(|(node, ..)| shared.pools_of(node).waiting).sum::<usize>(),
            "nodes": nodes().map(node).collect::<Vec<_>>(),
        })
    });
    json!({ "clusters": clusters.collect::<Vec<_>>() })
}

/// Pauses a cluster, or all without a name, or lets it go on; then says how things are.
pub(crate) fn pause(shared: &Shared, name: &str, paused: bool) -> Result<Value, String> {
    let snapshot = shared.monitor.snapshot();
    let all = (0..snapshot.clusters.len()).map(|index| ClusterId(index as u16));
    let chosen: Vec<ClusterId> = match name {
        "" => all.collect(),
        name => vec![snapshot.cluster(name).ok_or_else(|| {
            format!("there is no cluster \"{name}\"; there are {}", snapshot.clusters.join(", "))
        })?],
    };
    for cluster in chosen {
        shared.monitor.pause(cluster, paused);
    }
    let order = if paused { "pause" } else { "resume" };
    tracing::info!(cluster = name, order, "an operator's order was carried out");
    Ok(nodes(shared))
}

/// Gives a node no more work, or work again; then says how things are.
pub(crate) fn drain(shared: &Shared, name: &str, drained: bool) -> Result<Value, String> {
    let snapshot = shared.monitor.snapshot();
    let names = || snapshot.specs.iter().map(|spec| spec.name.as_str());
    let Some(at) = names().position(|known| known == name) else {
        let names: Vec<&str> = names().collect();
        return Err(format!("there is no node \"{name}\"; there are {}", names.join(", ")));
    };
    shared.monitor.drain(NodeId(at as u16), drained);
    let order = if drained { "drain" } else { "undrain" };
    tracing::info!(node = name, order, "an operator's order was carried out");
    Ok(nodes(shared))
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
