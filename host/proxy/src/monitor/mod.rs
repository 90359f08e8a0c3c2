//! What the nodes are doing: probes, snapshots, catalogs. Runs on the control thread.

mod catalogs;
mod definitions;
mod patroni;
mod probe;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use howdah_cluster::{ClusterId, Evidence, Failover, NodeId, NodeSpec, Observer, Snapshot};
use howdah_decision::Role;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::upstream::{Endpoint, KeyCache, Login, Target};
pub use catalogs::{Arming, Catalogs, Schema, fetch as fetch_catalog};
pub use definitions::Definitions;
pub(crate) use definitions::{Stamp, watch as watch_definitions};

/// How a cluster is watched.
#[derive(Clone, Debug)]
pub struct Watch {
    /// Its name.
    pub name: String,
    /// Most time between two probes.
    pub interval: Duration,
    /// A node whose last answer is older than this is down.
    pub timeout: Duration,
    /// Where Patroni's REST API is.
    pub patroni: Vec<Target>,
    /// Whether definitions that come past the proxy are noticed at once.
    pub definitions: bool,
}

/// What is known of the nodes, for everybody.
pub struct Monitor {
    snapshot: ArcSwap<Snapshot>,
    /// By node: what every statement asks of the snapshot, without a look at it.
    standings: Vec<Standing>,
    epochs: watch::Sender<u64>,
    /// By node: it is to be probed soon.
    hints: Vec<Notify>,
    /// By cluster: its manager is to be asked soon.
    managers: Vec<Notify>,
    /// Volatility catalogs.
    pub catalogs: Catalogs,
    observer: Mutex<Observer>,
    watches: Vec<Watch>,
    /// By node: how it is reached, and who we are there.
    logins: ArcSwap<Vec<(Endpoint, Login)>>,
    keys: Arc<KeyCache>,
    /// Failovers so far, by cluster.
    failed_over: Vec<AtomicU64>,
}

/// The tenure of a node, whether it is drained (or its cluster paused), and whether it is a replica.
#[derive(Default)]
struct Standing(AtomicU64);

impl Standing {
    const DRAINED: u64 = 1;
    const REPLICA: u64 = 2;
    const TENURE: u64 = 4;

    fn of(snapshot: &Snapshot, node: NodeId) -> u64 {
        let is_replica = snapshot.state(node).is_some_and(|state| state.role == Role::Replica);
        let drained = if snapshot.is_drained(node) { Standing::DRAINED } else { 0 };
        let replica = if is_replica { Standing::REPLICA } else { 0 };
        (snapshot.tenure(node) * Standing::TENURE) | drained | replica
    }
}

impl Monitor {
    /// Knows nothing yet; [`Monitor::run`] finds out.
    pub fn new(
        watches: Vec<Watch>,
        specs: Vec<NodeSpec>,
        logins: Vec<(Endpoint, Login)>,
        keys: Arc<KeyCache>,
    ) -> Arc<Monitor> {
        let names = watches.iter().map(|w| w.name.clone()).collect();
        let managers = watches.iter().map(|_| Notify::new()).collect();
        let hints = specs.iter().map(|_| Notify::new()).collect();
        let failed_over = watches.iter().map(|_| AtomicU64::new(0)).collect();
        let standings = specs.iter().map(|_| Standing::default()).collect();
        let observer = Observer::new(names, specs);
        Arc::new(Monitor {
            standings,
            snapshot: ArcSwap::new(observer.snapshot()),
            epochs: watch::Sender::new(0),
            hints,
            managers,
            catalogs: Catalogs::new(),
            observer: Mutex::new(observer),
            watches,
            logins: ArcSwap::from_pointee(logins),
            keys,
            failed_over,
        })
    }

    /// The newest snapshot.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// The same for a moment: other threads are not disturbed by it.
    pub(crate) fn glance(&self) -> Guard<Arc<Snapshot>> {
        self.snapshot.load()
    }

    fn standing(&self, node: NodeId) -> u64 {
        let standing = self.standings.get(usize::from(node.0));
        standing.map_or(0, |standing| standing.0.load(Ordering::Acquire))
    }

    /// Tells when the epoch has grown.
    pub fn epochs(&self) -> watch::Receiver<u64> {
        self.epochs.subscribe()
    }

    /// Which tenure of a node this is: what was opened in an earlier one is not gone on with.
    pub fn tenure(&self, node: NodeId) -> u64 {
        self.standing(node) / Standing::TENURE
    }

    /// Whether a node is a replica.
    pub(crate) fn is_replica(&self, node: NodeId) -> bool {
        self.standing(node) & Standing::REPLICA != 0
    }

    /// Returns when this has come true of the nodes.
    pub(crate) async fn until(&self, condition: impl Fn(&Snapshot) -> bool) {
        let mut epochs = self.epochs();
        while !condition(&self.snapshot()) {
            // The sender is a part of this.
            let _ = epochs.changed().await;
        }
    }

    /// Returns when this tenure of a node has ended.
    pub(crate) async fn over(&self, node: NodeId, tenure: u64) {
        self.until(|snapshot| snapshot.tenure(node) != tenure).await;
    }

    /// Something about this node looks wrong: it is probed at once, and all of its cluster if that has no other primary.
    pub fn hint(&self, node: NodeId, evidence: Evidence) {
        if self.observer.lock().doubt(node, Instant::now(), evidence)
            && let Some(spec) = self.snapshot.load().spec(node)
        {
            return self.look(spec.cluster);
        }
        self.wake(node);
    }

    /// This node has said nothing since then, though something waits for its answer. That may just take long, so nothing is
    /// in doubt: the node is asked, unless it has answered meanwhile; and if it is a primary, so is whoever may be its
    /// successor.
    pub fn silent(&self, node: NodeId, since: Instant) {
        let snapshot = self.snapshot.load();
        let (Some(spec), Some(state)) = (snapshot.spec(node), snapshot.state(node)) else { return };
        if state.sampled.is_some_and(|sampled| sampled >= since) {
            return;
        }
        match snapshot.primary(spec.cluster) {
            Some(primary) if primary == node => self.want(spec.cluster),
            _ => self.wake(node),
        }
    }

    /// The cluster's primary is not known: whoever may know it is asked at once.
    fn look(&self, cluster: ClusterId) {
        self.want(cluster);
        if let Some(manager) = self.managers.get(usize::from(cluster.0)) {
            manager.notify_one();
        }
    }

    fn wake(&self, node: NodeId) {
        if let Some(hint) = self.hints.get(usize::from(node.0)) {
            hint.notify_one();
        }
    }

    /// Somebody waits for the nodes of a cluster to be at some point: they are probed soon.
    pub fn want(&self, cluster: ClusterId) {
        for (node, ..) in self.snapshot.load().nodes(cluster) {
            self.wake(node);
        }
    }

    /// An operator's order: see [`Observer::pause`].
    pub fn pause(&self, cluster: ClusterId, paused: bool) {
        let mut observer = self.observer.lock();
        self.publish(observer.pause(cluster, paused));
    }

    /// An operator's order: see [`Observer::drain`].
    pub fn drain(&self, node: NodeId, drained: bool) {
        let mut observer = self.observer.lock();
        self.publish(observer.drain(node, drained));
    }

    /// Tells everybody. Under the observer's lock, so that an older snapshot does not follow a newer one.
    fn publish(&self, snapshot: Arc<Snapshot>) {
        let epoch = snapshot.epoch;
        for (node, standing) in (0..).map(NodeId).zip(&self.standings) {
            standing.0.store(Standing::of(&snapshot, node), Ordering::Release);
        }
        self.snapshot.store(snapshot);
        self.epochs.send_if_modified(|known| std::mem::replace(known, epoch) != epoch);
    }

    /// Whether a node gets no new work: what is free there is closed.
    pub fn is_drained(&self, node: NodeId) -> bool {
        self.standing(node) & Standing::DRAINED != 0
    }

    /// How many failovers of a cluster there have been.
    pub(crate) fn failovers_so_far(&self, cluster: ClusterId) -> u64 {
        self.failed_over
            .get(usize::from(cluster.0))
            .map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// The last failovers of a cluster, the oldest first, and behind them the one that is under way.
    pub fn failovers(&self, cluster: ClusterId) -> Vec<Failover> {
        self.observer.lock().failovers(cluster)
    }

    /// The schema of a database. Its catalog is empty until it has been loaded, which this call sets going.
    pub fn schema(&self, cluster: ClusterId, database: &str) -> Arc<Schema> {
        let snapshot = self.snapshot();
        self.catalogs.get(cluster, database, snapshot.nodes(cluster).map(|(node, ..)| node))
    }

    /// Whether definitions that come past the proxy are noticed at once.
    pub(crate) fn watches_definitions(&self, cluster: ClusterId) -> bool {
        self.watches.get(usize::from(cluster.0)).is_some_and(|watch| watch.definitions)
    }

    /// How often a node has been asked whether definitions have changed, in any database, and how often they had.
    pub(crate) fn definitions(&self, node: NodeId) -> (u64, u64) {
        let figures = self.catalogs.schemas().into_iter().filter_map(|schema| {
            let definitions = schema.definitions(node)?;
            Some(definitions.figures())
        });
        figures.fold((0, 0), |sum, (asked, changed)| (sum.0 + asked, sum.1 + changed))
    }

    /// Databases whose schema is known, with the names of their clusters.
    pub(crate) fn databases(&self) -> Vec<(String, String)> {
        let snapshot = self.snapshot();
        let named = |(cluster, database): (ClusterId, String)| {
            Some((snapshot.clusters.get(usize::from(cluster.0))?.clone(), database))
        };
        self.catalogs.known().into_iter().filter_map(named).collect()
    }

    /// Nodes are reached like this from now on: their certificates have changed, or ours.
    pub(crate) fn reach(&self, logins: Vec<(Endpoint, Login)>) {
        self.logins.store(Arc::new(logins));
    }

    /// How to reach a node.
    fn login(&self, node: NodeId) -> Option<(Endpoint, Login)> {
        self.logins.load().get(usize::from(node.0)).cloned()
    }

    /// How to reach a node, in this database.
    pub(crate) fn login_to(&self, node: NodeId, database: &str) -> Option<(Endpoint, Login)> {
        let (endpoint, login) = self.login(node)?;
        Some((endpoint, Login { database: database.to_owned(), ..login }))
    }

    /// Probes nodes and loads catalogs, for ever.
    pub async fn run(self: Arc<Monitor>) {
        let nodes = self.snapshot().specs.len();
        for node in 0..nodes {
            let node = NodeId(node as u16);
            tokio::task::spawn_local(probe::watch_node(Arc::clone(&self), node));
        }
        for cluster in 0..self.watches.len() {
            let cluster = ClusterId(cluster as u16);
            tokio::task::spawn_local(patroni::watch(Arc::clone(&self), cluster));
        }
        catalogs::keep_loaded(self).await;
    }
}
