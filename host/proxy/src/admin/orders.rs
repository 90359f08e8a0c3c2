//! What operators order.

use std::sync::Arc;

use howdah_cluster::{ClusterId, NodeId};
use howdah_policy::Registry;
use howdah_wire::backend::ErrorReport;

use super::Operated;
use super::grammar::{Reader, Word};
use crate::config::suggestion;
use crate::control::{drain, pause};
use crate::reload::Change;
use crate::worker;

/// Something that is to be done.
#[derive(Clone, Debug)]
pub(super) enum Order {
    /// A cluster gets no more work, or all; or work again.
    Pause(Option<Word>, bool),
    /// A node gets no more work, or work again.
    Drain(Word, bool),
    /// Server connections of a node, or all, are not lent any more.
    Reconnect(Option<Word>),
    Reload,
    /// A client's statement, or the client.
    Kill(Word, worker::Order),
    /// A key of the configuration has this value, or the file's again.
    Set(Word, Option<Word>),
    /// What is known of statements is forgotten.
    Forget,
    Policy(Word, PolicyOrder),
}

/// What becomes of a policy's versions.
#[derive(Clone, Copy, Debug)]
pub(super) struct PolicyOrder {
    tag: &'static str,
    carry_out: fn(&Registry, &str) -> Result<(), howdah_policy::PolicyError>,
}

/// All orders as they are written, and what they do.
pub(super) const ALL: &[(&str, &str)] = &[
    (
        "PAUSE [CLUSTER]",
        "Gives a cluster, or all, no more statements; they wait. Answers when none is under way.",
    ),
    ("RESUME [CLUSTER]", "Lets them go on."),
    (
        "DRAIN NODE",
        "Gives a node no more statements, and closes its connections as they come free.",
    ),
    ("UNDRAIN NODE", "Gives it statements again."),
    ("RECONNECT [NODE]", "Replaces the server connections of a node, or all, as they come free."),
    ("RELOAD", "Reads the configuration again."),
    ("KILL CLIENT", "Ends the session of this id, and cancels its statement."),
    ("KILL QUERY CLIENT", "Cancels the statement of the session of this id."),
    (
        "SET KEY = VALUE",
        "Changes a key of the configuration, such as pool.size, until the proxy ends or RESET.",
    ),
    ("RESET KEY", "Lets the configuration's file decide again."),
    ("FORGET STATEMENTS", "Forgets what SHOW STATEMENTS has counted."),
    (
        "POLICY NAME ROLLBACK",
        "Takes a policy's version on trial back, or puts the version before in force.",
    ),
    ("POLICY NAME PROMOTE", "Puts the version on trial in force."),
    ("POLICY NAME RELEASE", "Lets a version that was rolled back come in again."),
];

/// Reads an order whose first word was this.
pub(super) fn read(verb: &str, reader: &mut Reader<'_>) -> Result<Order, ErrorReport> {
    let order = match verb {
        "PAUSE" => Order::Pause(reader.maybe_word("the name of a cluster")?, true),
        "RESUME" => Order::Pause(reader.maybe_word("the name of a cluster")?, false),
        "DRAIN" => Order::Drain(reader.word("the name of a node")?, true),
        "UNDRAIN" => Order::Drain(reader.word("the name of a node")?, false),
        "RECONNECT" => Order::Reconnect(reader.maybe_word("the name of a node")?),
        "RELOAD" => Order::Reload,
        "KILL" if reader.accept("QUERY") => {
            Order::Kill(reader.word("the id of a client")?, worker::Order::Cancel)
        }
        "KILL" => Order::Kill(reader.word("the id of a client")?, worker::Order::End),
        "SET" => {
            let key = reader.word("a key")?;
            if !reader.accept_symbol("=") {
                reader.expect("TO")?;
            }
            Order::Set(key, Some(reader.word("a value")?))
        }
        "FORGET" => {
            reader.expect("STATEMENTS")?;
            Order::Forget
        }
        "RESET" => Order::Set(reader.word("a key")?, None),
        "POLICY" => {
            let name = reader.word("the name of a policy")?;
            Order::Policy(name, policy(reader)?)
        }
        _ => {
            let verbs = ALL.iter().filter_map(|(usage, _)| usage.split(' ').next());
            let verbs: Vec<&str> = verbs.chain(["SHOW", "EXPLAIN"]).collect();
            let like = suggestion(verb, &verbs);
            return Err(ErrorReport::error(b"42601", &format!("there is no command {verb}{like}"))
                .hint("SHOW HELP lists all commands. Statements are for other databases."));
        }
    };
    Ok(order)
}

fn policy(reader: &mut Reader<'_>) -> Result<PolicyOrder, ErrorReport> {
    const ORDERS: &[PolicyOrder] = &[
        PolicyOrder { tag: "ROLLBACK", carry_out: Registry::rollback },
        PolicyOrder { tag: "PROMOTE", carry_out: Registry::promote },
        PolicyOrder { tag: "RELEASE", carry_out: Registry::release },
    ];
    let order = ORDERS.iter().find(|order| reader.accept(order.tag));
    order.copied().ok_or_else(|| reader.expected("ROLLBACK, PROMOTE or RELEASE"))
}

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
        Order::Kill(client, order) => {
            let client = client.text(parameters)?;
            let id = client.parse::<u64>().map_err(|_| {
                ErrorReport::error(b"22P02", &format!("\"{client}\" is not the id of a client"))
                    .hint("SHOW CLIENTS has it.")
            })?;
            let order = *order;
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
            let done = tokio::task::spawn_blocking(move || (order.carry_out)(&registry, &policy));
            let done = done.await.map_err(|error| refused(error.to_string()))?;
            done.map_err(|error| refused(format!("policy {}: {}", error.policy, error.message)))?;
            tracing::info!(policy = name, order = order.tag, "an operator's order was carried out");
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
