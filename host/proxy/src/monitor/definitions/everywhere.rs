use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use howdah_cluster::NodeId;
use parking_lot::Mutex;

use super::Definitions;

/// The primary that a catalog has been loaded from, after so many changes, and when its WAL had come no further than that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::monitor) struct Origin {
    pub(super) node: NodeId,
    pub(super) changes: u64,
    pub(super) lsn: u64,
}

impl Origin {
    /// Whether it is this node, which has not changed since.
    pub(super) fn is_of(self, node: NodeId, changes: u64) -> bool {
        (self.node, self.changes) == (node, changes)
    }

    /// Whether nothing has changed between the two.
    pub(in crate::monitor) fn is_still(self, before: Origin) -> bool {
        before.is_of(self.node, self.changes)
    }
}

/// The definitions in a database on all nodes of its cluster.
#[derive(Default)]
pub(in crate::monitor) struct Everywhere {
    pub(super) nodes: Vec<(NodeId, Arc<Definitions>)>,
    /// Somebody asks the nodes.
    pub(super) asked: AtomicBool,
    /// What the catalog says ([`howdah_cluster::Catalog::content`]) that is known to be true, and where it is from.
    origin: Mutex<Option<(u64, Origin)>>,
}

impl Everywhere {
    pub(in crate::monitor) fn new(nodes: impl Iterator<Item = NodeId>) -> Everywhere {
        let nodes = nodes.map(|node| (node, Arc::default())).collect();
        Everywhere { nodes, ..Everywhere::default() }
    }

    pub(in crate::monitor) fn of(&self, node: NodeId) -> Option<&Arc<Definitions>> {
        self.nodes.iter().find(|(n, _)| *n == node).map(|(_, definitions)| definitions)
    }

    /// Whether there is somebody to ask, and has been a reason to since the last call.
    pub(in crate::monitor) fn is_in_use(&self) -> bool {
        let mut used = false;
        for (_, definitions) in &self.nodes {
            used |= definitions.was_in_use();
        }
        used && self.asked.load(Ordering::SeqCst)
    }

    /// No catalog is known to be true any more.
    pub(in crate::monitor) fn doubt(&self) {
        let mut origin = self.origin.lock();
        *origin = None;
        for (_, definitions) in &self.nodes {
            definitions.retire();
        }
    }

    /// What the catalog says that is known to be true on its origin.
    pub(super) fn believed(&self) -> Option<(u64, Origin)> {
        *self.origin.lock()
    }

    /// Whether nothing has changed between the origin of the catalog that is known to be true and that one.
    pub(in crate::monitor) fn is_still(&self, origin: Origin) -> bool {
        self.origin.lock().is_some_and(|(_, before)| origin.is_still(before))
    }

    /// The catalog that says this is true, on its origin to begin with.
    pub(in crate::monitor) fn believe(&self, content: u64, origin: Origin) {
        let mut believed = self.origin.lock();
        *believed = Some((content, origin));
        if let Some(definitions) = self.of(origin.node) {
            definitions.believe(content, origin.changes);
        }
    }
}
