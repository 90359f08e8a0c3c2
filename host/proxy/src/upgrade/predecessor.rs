//! The process that this one follows.

use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, bail};
use howdah_cluster::{ClusterId, NodeId};
use tokio::time::timeout;

use super::link::{Estate, Link, Message, PROTOCOL, SESSIONS, frame};
use super::{Kin, VARIABLE, converse};
use crate::sockets::Sockets;
use crate::worker::Shared;

/// Longest wait for the catalogs of databases in use: sessions can do without, and then read from the primary.
const CATALOGS: Duration = Duration::from_secs(10);

/// The process that has started this one to be followed by it.
pub(crate) struct Predecessor {
    link: UnixStream,
    databases: Vec<(String, String)>,
}

impl Predecessor {
    /// What it leaves, if there is one.
    ///
    /// # Errors
    /// It says what this process does not understand.
    pub(crate) async fn find() -> anyhow::Result<Option<(Predecessor, Sockets)>> {
        let Some(stream) = standard_input().context(VARIABLE)? else { return Ok(None) };
        let link = Link::new(stream).context(VARIABLE)?;
        let (message, sockets) = link.receive().await.context(VARIABLE)?.context("it has ended")?;
        let Message::Estate(estate) = message else { bail!("it does not say what it leaves") };
        let Estate { protocol, sockets: purposes, hash_key, databases } = estate;
        if protocol != PROTOCOL {
            bail!(
                "the process that runs hands over by version {protocol} of the protocol, \
                 this one takes over by version {PROTOCOL}: a restart is needed"
            );
        }
        if purposes.len() != sockets.len() || !howdah_session::take_hash_key(hash_key) {
            bail!("what the process that runs leaves cannot be used");
        }
        let sockets = Sockets::inherited(purposes.into_iter().zip(sockets).collect());
        Ok(Some((Predecessor { link: link.detach()?, databases }, sockets)))
    }

    /// Waits until clients could be served, says so, and waits to be told to. The nodes have been asked then, and catalogs
    /// been loaded; or it has taken too long.
    ///
    /// # Errors
    /// It has ended, or changed its mind.
    pub(crate) async fn take_over(self, shared: &Arc<Shared>) -> anyhow::Result<Linked> {
        let link = Link::new(self.link)?;
        know_nodes(shared).await;
        know_databases(shared, &self.databases).await;
        link.send(&Message::Ready { sessions: SESSIONS }, &[]).await?;
        let told = link.receive().await?;
        let Some((Message::Go(go), _)) = told else { bail!("the process that runs goes on") };
        shared.next_client.store(go.next_client, Ordering::Relaxed);
        let snapshot = shared.monitor.snapshot();
        for cluster in go.paused.iter().filter_map(|name| snapshot.cluster(name)) {
            shared.monitor.pause(cluster, true);
        }
        for (node, spec) in snapshot.specs.iter().enumerate() {
            if go.drained.contains(&spec.name) {
                shared.monitor.drain(NodeId(node as u16), true);
            }
        }
        shared.memory.keys.learn(go.shown);
        Ok(Linked(link))
    }
}

/// The process before this one, while it still has sessions.
pub(crate) struct Linked(Link);

impl Linked {
    /// Takes its sessions, until it ends.
    pub(crate) async fn serve(self, shared: Arc<Shared>) {
        let (kin, outbox) = Kin::new(false);
        shared.is_kin_to(Some(Arc::clone(&kin)));
        let ended = converse(&self.0, outbox, &shared, &kin).await;
        shared.is_kin_to(None);
        match ended {
            Ok(()) => tracing::info!("the process before this one has ended"),
            Err(error) => tracing::warn!(%error, "the process before this one cannot be reached"),
        }
    }
}

/// A node that does not answer by then is down.
async fn know_nodes(shared: &Shared) {
    let config = shared.config.load_full();
    let longest = config.clusters.iter().map(|cluster| cluster.monitor.timeout).max();
    let all_up = shared.monitor.until(|snapshot| snapshot.states.iter().all(|state| state.up));
    let _ = timeout(longest.unwrap_or(Duration::ZERO), all_up).await;
}

async fn know_databases(shared: &Shared, databases: &[(String, String)]) {
    let snapshot = shared.monitor.snapshot();
    let here = |(cluster, database): &(String, String)| {
        Some((snapshot.cluster(cluster)?, database.clone()))
    };
    let databases: Vec<(ClusterId, String)> = databases.iter().filter_map(here).collect();
    for (cluster, database) in &databases {
        shared.monitor.schema(*cluster, database);
    }
    let all = async {
        for (cluster, database) in &databases {
            shared.monitor.catalogs.ready(*cluster, database).await;
        }
    };
    let _ = timeout(CATALOGS, all).await;
}

/// The link, if this process was started to take over.
fn standard_input() -> std::io::Result<Option<UnixStream>> {
    if std::env::var_os(VARIABLE).is_none() {
        return Ok(None);
    }
    std::io::stdin().as_fd().try_clone_to_owned().map(|fd| Some(fd.into()))
}

/// Tells the process that runs why this one does not take over, if that is what it was started for.
pub(crate) fn tell_failure(why: &str) {
    if let Ok(Some(mut stream)) = standard_input()
        && let Ok(frame) = frame(&Message::Failed(why.to_owned()))
    {
        // It has ended, or is no such process.
        let _ = stream.write_all(&frame);
    }
}
