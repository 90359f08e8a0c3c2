//! What Patroni says, where it looks after a cluster: a hint which node to ask, and whom to prefer of two that are alike.
//! Whether a node is the primary it must say itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use howdah_cluster::{ClusterId, Evidence, NodeId};
use http_body_util::Full;
use hyper::Request;
use hyper::header::HOST;
use serde::Deserialize;
use tokio::time::{sleep, timeout};

use super::{Monitor, Watch};
use crate::fetch::fetch;
use crate::pace::jittered;
use crate::upstream::Target;

#[cfg(test)]
mod tests;

/// Longest answer that is read: a hundred members take some thirty thousand bytes.
const MAX_ANSWER: usize = 256 << 10;
/// Time between two questions while the cluster has no primary, or one in doubt: for each of them Patroni asks its store.
const EAGER: Duration = Duration::from_millis(200);

/// An answer to `GET /cluster`, as far as it matters.
#[derive(Debug, Deserialize)]
struct Answer {
    members: Vec<Member>,
}

#[derive(Debug, Deserialize)]
struct Member {
    name: String,
    role: String,
    #[serde(default)]
    state: String,
    host: Option<String>,
    port: Option<u16>,
}

/// What is known of the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leader {
    /// This node, and it runs.
    Runs(NodeId),
    /// This node is starting or stopping, or is none of ours, or there is none.
    Changes(Option<NodeId>),
}

impl Leader {
    fn node(self) -> Option<NodeId> {
        match self {
            Leader::Runs(node) => Some(node),
            Leader::Changes(node) => node,
        }
    }
}

/// Asks for ever.
pub(super) async fn watch(monitor: Arc<Monitor>, cluster: ClusterId) {
    let (Some(watch), Some(manager)) =
        (monitor.watches.get(usize::from(cluster.0)), monitor.managers.get(usize::from(cluster.0)))
    else {
        return;
    };
    let (mut members, mut answered) = (watch.patroni.clone(), true);
    while !members.is_empty() {
        let said = ask_any(&mut members, watch.timeout).await;
        if said.is_ok() != answered {
            answered = said.is_ok();
            match &said {
                Ok(_) => tracing::info!(cluster = watch.name, "Patroni answers"),
                Err(error) => {
                    tracing::warn!(cluster = watch.name, error, "Patroni does not answer")
                }
            }
        }
        let leader = said.ok().map(|answer| leader(&monitor, cluster, &answer));
        heed(&monitor, cluster, leader);
        rest(&monitor, cluster, watch, manager).await;
    }
}

async fn rest(monitor: &Monitor, cluster: ClusterId, watch: &Watch, manager: &tokio::sync::Notify) {
    // Whatever is asked for meanwhile is asked for with this pause.
    sleep(jittered(EAGER)).await;
    if monitor.observer.lock().in_doubt(cluster) {
        return;
    }
    tokio::select! {
        () = sleep(watch.interval) => {}
        () = manager.notified() => {}
    }
}

/// A leader that is not the primary that we know is a reason to look; nobody's word is none.
fn heed(monitor: &Monitor, cluster: ClusterId, leader: Option<Leader>) {
    let mut observer = monitor.observer.lock();
    observer.led_by(cluster, leader.and_then(Leader::node));
    let Some(leader) = leader else { return };
    match observer.snapshot().primary(cluster) {
        Some(primary) if leader == Leader::Runs(primary) => {}
        Some(primary) => {
            observer.doubt(primary, Instant::now(), Evidence::Manager);
            monitor.want(cluster);
        }
        None => leader.node().into_iter().for_each(|node| monitor.wake(node)),
    }
}

/// The leader among our nodes: found by its address, else by its name.
fn leader(monitor: &Monitor, cluster: ClusterId, answer: &Answer) -> Leader {
    let Some(member) = answer.members.iter().find(|member| member.role == "leader") else {
        return Leader::Changes(None);
    };
    let snapshot = monitor.snapshot();
    let is_there = |node: NodeId| {
        let target = monitor.login(node).map(|(endpoint, _)| endpoint.target);
        target.is_some_and(|target| {
            Some(&*target.host) == member.host.as_deref() && Some(target.port) == member.port
        })
    };
    let by_address = snapshot.nodes(cluster).find(|(node, ..)| is_there(*node));
    let found = by_address
        .or_else(|| snapshot.nodes(cluster).find(|(_, spec, _)| spec.name == member.name));
    match found {
        Some((node, ..)) if member.state == "running" => Leader::Runs(node),
        found => Leader::Changes(found.map(|(node, ..)| node)),
    }
}

/// Asks one member after the other until one answers; that one is the first to be asked the next time.
async fn ask_any(members: &mut [Target], patience: Duration) -> Result<Answer, String> {
    let mut why = String::new();
    for _ in 0..members.len() {
        let Some(member) = members.first() else { break };
        match ask(member, patience).await {
            Ok(answer) => return Ok(answer),
            Err(error) => why = format!("{member}: {error}"),
        }
        members.rotate_left(1);
    }
    Err(why)
}

/// Asks a member what it knows of its cluster.
async fn ask(member: &Target, patience: Duration) -> Result<Answer, String> {
    let body = timeout(patience, get(member)).await.map_err(|_| "no answer in time")??;
    serde_json::from_slice(&body).map_err(|error| format!("its answer makes no sense: {error}"))
}

async fn get(member: &Target) -> Result<Bytes, String> {
    let request =
        Request::get("/cluster").header(HOST, member.to_string()).body(Full::new(Bytes::new()));
    fetch(member, request.map_err(|error| error.to_string())?, MAX_ANSWER).await
}
