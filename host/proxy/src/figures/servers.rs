use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::words::{Counts, words};

words! {
    /// Why a connection to a server was closed.
    pub(crate) enum ServerEnd {
        /// Nobody used it for `pool.idle_timeout`.
        Idle = "idle",
        /// It was older than `pool.lifetime`.
        Lifetime = "lifetime",
        /// The server ended it, or the node was lost or is not what it was.
        Lost = "lost",
        /// The node was drained.
        Drained = "drained",
        /// Its client had it to itself, and `pool.reset` is `close`.
        Reset = "reset",
        /// The pool has become smaller, or all connections were to be made anew.
        Replaced = "replaced",
        /// What was left on it could not be told, or not be put right.
        Unfit = "error",
    }
}

/// Connections to one node, of all workers.
#[derive(Debug, Default)]
pub(crate) struct Servers {
    opened: AtomicU64,
    failed: AtomicU64,
    closed: Counts<ServerEnd>,
}

impl Servers {
    /// Connections that were opened.
    pub(crate) fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Those that could not be.
    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Those that were closed for this reason.
    pub(crate) fn closed(&self, end: ServerEnd) -> u64 {
        self.closed.get(end)
    }

    /// A connection could not be opened.
    pub(crate) fn fails(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }
}

/// A connection to a node, until it is dropped, which closes it.
#[derive(Debug)]
pub(crate) struct Life {
    servers: Arc<Servers>,
    end: ServerEnd,
}

impl Life {
    pub(crate) fn begin(servers: &Arc<Servers>) -> Life {
        servers.opened.fetch_add(1, Ordering::Relaxed);
        Life { servers: Arc::clone(servers), end: ServerEnd::Unfit }
    }

    /// Why it is going to be closed.
    pub(crate) fn ends(&mut self, end: ServerEnd) {
        self.end = end;
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.servers.closed.add(self.end);
    }
}
