//! What the nodes are doing: probes, snapshots, catalogs. Runs on the control thread.

mod catalogs;
mod probe;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use howdah_cluster::{ClusterId, NodeId, NodeSpec, Observer, Snapshot};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::upstream::{KeyCache, Login, Target};
pub use catalogs::{Arming, Catalogs, Schema, fetch as fetch_catalog};

/// How a cluster is watched.
#[derive(Clone, Debug)]
pub struct Watch {
    /// Its name.
    pub name: String,
    /// Where its nodes are, and who we are there, in their order.
    pub logins: Vec<(Target, Login)>,
    /// Time between two probes.
    pub interval: Duration,
    /// Longest wait for an answer.
    pub timeout: Duration,
}

/// What is known of the nodes, for everybody.
pub struct Monitor {
    snapshot: ArcSwap<Snapshot>,
    epochs: watch::Sender<u64>,
    hints: Vec<Notify>,
    /// By node: somebody would like to know how far it is.
    wanted: Vec<Notify>,
    /// Volatility catalogs.
    pub catalogs: Catalogs,
    observer: Mutex<Observer>,
    watches: Vec<Watch>,
    keys: Arc<KeyCache>,
}

impl Monitor {
    /// Knows nothing yet; [`Monitor::run`] finds out.
    pub fn new(watches: Vec<Watch>, specs: Vec<NodeSpec>, keys: Arc<KeyCache>) -> Arc<Monitor> {
        let names = watches.iter().map(|w| w.name.clone()).collect();
        let notifies = || specs.iter().map(|_| Notify::new()).collect();
        let (hints, wanted) = (notifies(), notifies());
        let observer = Observer::new(names, specs);
        Arc::new(Monitor {
            snapshot: ArcSwap::new(observer.snapshot()),
            epochs: watch::Sender::new(0),
            hints,
            wanted,
            catalogs: Catalogs::new(),
            observer: Mutex::new(observer),
            watches,
            keys,
        })
    }

    /// The newest snapshot.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Tells when the epoch has grown.
    pub fn epochs(&self) -> watch::Receiver<u64> {
        self.epochs.subscribe()
    }

    /// Something about this node looks wrong: it is probed at once.
    pub fn hint(&self, node: NodeId) {
        if let Some(hint) = self.hints.get(usize::from(node.0)) {
            hint.notify_one();
        }
    }

    /// Somebody waits for the nodes of a cluster to be at some point: they are probed soon.
    pub fn want(&self, cluster: ClusterId) {
        for (spec, wanted) in self.snapshot().specs.iter().zip(&self.wanted) {
            if spec.cluster == cluster {
                wanted.notify_one();
            }
        }
    }

    /// The schema of a database. Its catalog is empty until it has been loaded, which this call sets going.
    pub fn schema(&self, cluster: ClusterId, database: &str) -> Arc<Schema> {
        self.catalogs.get(cluster, database)
    }

    /// How to reach a node. Nodes are numbered through all clusters.
    fn login(&self, node: NodeId) -> Option<(&Watch, &(Target, Login))> {
        let all = self.watches.iter().flat_map(|w| w.logins.iter().map(move |login| (w, login)));
        all.into_iter().nth(usize::from(node.0))
    }

    /// Probes nodes and loads catalogs, for ever.
    pub async fn run(self: Arc<Monitor>) {
        let nodes = self.snapshot().specs.len();
        for node in 0..nodes {
            let node = NodeId(node as u16);
            tokio::task::spawn_local(probe::watch_node(Arc::clone(&self), node));
        }
        catalogs::keep_loaded(self).await;
    }
}
