//! What operators order is done.

use std::sync::Arc;

use howdah_cluster::{ClusterId, NodeId};
use howdah_policy::Registry;
use howdah_wire::backend::ErrorReport;

use super::Operated;
use super::grammar::Word;
use super::order::{Kill, Order, PolicyOrder};
use crate::control::{drain, pause};
use crate::reload::Change;
use crate::worker;

/// Does it, and says so.
pub(super) async fn carry_out(
    order: &Order,
    operated: &Operated,
    parameters: &[Option<String>],
) -> Result<&'static str, ErrorReport> {
    let shared = &operated.shared;
    let refused = |why: String| ErrorReport::error(b"22023", &why);
    let text = |word: &Option<Word>| -> Result<Option<String>, ErrorReport> {
        let text = word.as_ref().map(|word| word.text(parameters)).transpose();
        Ok(text?.map(str::to_owned))
    };
    match order {
        Order::Pause(cluster, paused) => {
            let cluster = text(cluster)?.unwrap_or_default();
            pause(shared, &cluster, *paused).map_err(refused)?;
            if *paused {
                rest(operated, &cluster).await;
            }
            Ok(if *paused { "PAUSE" } else { "RESUME" })
        }
        Order::Drain(node, drained) => {
            drain(shared, node.text(parameters)?, *drained).map_err(refused)?;
            Ok(if *drained { "DRAIN" } else { "UNDRAIN" })
        }
        Order::Reconnect(node) => {
            let node = text(node)?;
            let snapshot = shared.monitor.snapshot();
            if let Some(name) = &node
                && !snapshot.specs.iter().any(|spec| spec.name == *name)
            {
                return Err(refused(format!("there is no node \"{name}\"")));
            }
            for (key, pool) in shared.keyed_pools() {
                let name = snapshot.spec(key.node).map(|spec| &spec.name);
                if node.is_none() || node.as_ref() == name {
                    pool.reconnect();
                }
            }
            tracing::info!(node, "server connections are replaced by an operator's order");
            Ok("RECONNECT")
        }
        Order::Reload => change(operated, None).await.map(|()| "RELOAD"),
        Order::Kill(client, kill) => {
            let client = client.text(parameters)?;
            let id = client.parse::<u64>().map_err(|_| {
                ErrorReport::error(b"22P02", &format!("\"{client}\" is not the id of a client"))
                    .hint("SHOW CLIENTS has it.")
            })?;
            let order = match kill {
                Kill::Statement => worker::Order::Cancel,
                Kill::Session => worker::Order::End,
            };
            let found = shared.ask(move |ctx| ctx.order(id, order)).await;
            if !found.contains(&true) {
                let message = format!("there is no client {id}");
                return Err(ErrorReport::error(b"22023", &message));
            }
            tracing::info!(client = id, ?order, "a client was given an operator's order");
            Ok("KILL")
        }
        Order::Set(key, value) => {
            let key = key.text(parameters)?.to_owned();
            let tag = if value.is_some() { "SET" } else { "RESET" };
            change(operated, Some((key, text(value)?))).await.map(|()| tag)
        }
        Order::Forget => {
            shared.forget_statements().await;
            Ok("FORGET")
        }
        Order::Policy(name, order) => {
            let (name, order) = (name.text(parameters)?.to_owned(), *order);
            let registry = Arc::clone(&operated.registry);
            let policy = name.clone();
            // Starting instances takes a while.
            let done = tokio::task::spawn_blocking(move || match order {
                PolicyOrder::Rollback => Registry::rollback(&registry, &policy),
                PolicyOrder::Promote => Registry::promote(&registry, &policy),
                PolicyOrder::Release => Registry::release(&registry, &policy),
            });
            let done = done.await.map_err(|error| refused(error.to_string()))?;
            done.map_err(|error| refused(format!("policy {}: {}", error.policy, error.message)))?;
            tracing::info!(policy = name, ?order, "an operator's order was carried out");
            Ok("POLICY")
        }
    }
}

/// Returns when nothing of a cluster is under way, or of any.
async fn rest(operated: &Operated, cluster: &str) {
    const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_millis(5);
    let shared = &operated.shared;
    let snapshot = shared.monitor.snapshot();
    let clusters = snapshot.clusters.iter().enumerate();
    let paused = clusters.filter(|(_, name)| cluster.is_empty() || *name == cluster);
    let nodes = paused.flat_map(|(index, _)| snapshot.nodes(ClusterId(index as u16)));
    let nodes: Vec<NodeId> = nodes.map(|(node, ..)| node).collect();
    let busy = |node: &NodeId| {
        let pools = shared.pools_of(*node);
        pools.open > pools.idle
    };
    loop {
        if !nodes.iter().any(busy) {
            return;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Has the configuration read again, with a change.
async fn change(
    operated: &Operated,
    change: Option<(String, Option<String>)>,
) -> Result<(), ErrorReport> {
    let (tell, told) = tokio::sync::oneshot::channel();
    let failed = |lines: &[String]| {
        let first = lines.first().map_or("the configuration cannot be read now", String::as_str);
        let report = ErrorReport::error(b"F0000", first);
        match lines.get(1..).unwrap_or_default() {
            [] => report,
            rest => report.detail(&rest.join("\n")),
        }
    };
    if operated.shared.changes.send(Change { key: change, tell }).is_err() {
        return Err(failed(&[]));
    }
    match told.await {
        Ok(done) => done.map_err(|lines| failed(&lines)),
        Err(_) => Err(failed(&[])),
    }
}
