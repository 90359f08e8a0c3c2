use std::rc::Rc;
use std::sync::Arc;

use howdah_cluster::NodeId;
use howdah_pool::{Lease, Worn};
use howdah_session::ServerState;

use super::Ctx;
use super::cancel::ServerKey;
use crate::figures::{Life, ServerEnd};
use crate::monitor::Monitor;
use crate::upstream::{Connected, Stream};

/// A connection to a server, with all that is known of it.
pub(crate) struct ServerConn {
    pub(crate) stream: Stream,
    pub(crate) state: ServerState,
    pub(crate) key: Arc<ServerKey>,
    pub(crate) node: NodeId,
    /// The node's tenure when the connection was asked for.
    pub(super) tenure: u64,
    pub(super) life: Life,
}

impl ServerConn {
    pub(crate) fn new(connected: Connected, node: NodeId, tenure: u64, life: Life) -> ServerConn {
        ServerConn {
            life,
            stream: connected.stream,
            state: ServerState::new(connected.parameters),
            key: ServerKey::new(connected.peer, connected.pid, connected.key),
            node,
            tenure,
        }
    }

    /// Why it is going to be closed.
    pub(crate) fn ends(&mut self, end: ServerEnd) {
        self.life.ends(end);
    }

    /// The pool is going to close it.
    pub(super) fn worn(&mut self, worn: Worn) {
        self.ends(match worn {
            Worn::Idle => ServerEnd::Idle,
            Worn::Old => ServerEnd::Lifetime,
            Worn::Surplus => ServerEnd::Replaced,
        });
    }

    /// Whether the node has been noticed to be gone, or to be no longer what it was, since the connection was made. Then
    /// nothing counts that comes over it.
    pub(crate) fn is_over(&self, monitor: &Monitor) -> bool {
        monitor.tenure(self.node) != self.tenure
    }
}

/// Dropping it closes it.
impl Drop for ServerConn {
    fn drop(&mut self) {
        self.stream.say_farewell();
    }
}

/// A leased server connection, counted as long as it lives.
pub(crate) struct Leased {
    lease: Option<Lease<ServerConn>>,
    node: NodeId,
    ctx: Rc<Ctx>,
}

impl Leased {
    pub(crate) fn new(lease: Lease<ServerConn>, ctx: &Rc<Ctx>) -> Leased {
        let node = lease.node;
        ctx.count_lease(node, 1);
        Leased { lease: Some(lease), node, ctx: Rc::clone(ctx) }
    }

    pub(crate) fn node(&self) -> NodeId {
        self.node
    }

    pub(crate) fn conn(&mut self) -> Option<&mut ServerConn> {
        self.lease.as_deref_mut()
    }

    /// Closes the connection, for this reason.
    pub(crate) fn close(mut self, end: ServerEnd) {
        if let Some(conn) = self.conn() {
            conn.ends(end);
        }
    }

    /// See [`ServerConn::is_over`].
    pub(crate) fn is_over(&self) -> bool {
        self.lease.as_deref().is_some_and(|conn| conn.is_over(&self.ctx.shared.monitor))
    }

    /// Returns when that has come true.
    pub(crate) fn over(&self) -> impl Future<Output = ()> + use<> {
        let monitor = Arc::clone(&self.ctx.shared.monitor);
        let conn = self.lease.as_deref().map(|conn| (conn.node, conn.tenure));
        async move {
            match conn {
                Some((node, tenure)) => monitor.over(node, tenure).await,
                None => std::future::pending().await,
            }
        }
    }

    /// Gives the connection back, once no cancel request is on its way to it.
    pub(crate) fn release(mut self) {
        if self.ctx.shared.monitor.is_drained(self.node) {
            return self.close(ServerEnd::Drained);
        }
        let Some(lease) = self.lease.take() else { return };
        if lease.key.is_unused() {
            lease.release();
            return;
        }
        tokio::task::spawn_local(async move {
            let key = Arc::clone(&lease.key);
            if key.settled().await {
                lease.release();
            }
        });
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        self.ctx.count_lease(self.node, -1);
    }
}
