use std::rc::Rc;
use std::sync::Arc;

use howdah_cluster::NodeId;
use howdah_pool::{Lease, Worn};
use howdah_session::ServerState;

use super::Ctx;
use super::cancel::ServerKey;
use crate::figures::{Life, ServerEnd};
use crate::monitor::{Definitions, Monitor, Stamp};
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
    /// The definitions that its clients' statements have called; none where nobody watches them.
    definitions: Option<Arc<Definitions>>,
    /// The epoch in which the connection was lent, and what the catalog of that says.
    lent: (u64, u64),
    /// What has to be known before anybody but its last client may have it as it is; none when nobody has used it.
    stamp: Option<Stamp>,
}

impl ServerConn {
    pub(crate) fn new(
        connected: Connected,
        node: NodeId,
        tenure: u64,
        life: Life,
        definitions: Option<Arc<Definitions>>,
    ) -> ServerConn {
        ServerConn {
            life,
            definitions,
            lent: (0, 0),
            stamp: None,
            stream: connected.stream,
            state: ServerState::new(connected.parameters),
            key: ServerKey::new(connected.peer, connected.pid, connected.key),
            node,
            tenure,
        }
    }

    /// It is going to be lent.
    pub(super) fn is_lent(&mut self) {
        if let Some(definitions) = &self.definitions {
            self.lent = (definitions.epoch(), definitions.content());
            self.state.known = self.stamp.is_none_or(|stamp| definitions.vouches(stamp));
        }
    }

    /// Its client has run statements, which were looked at with a catalog that says this
    /// ([`howdah_session::Session::content`]).
    fn was_used(&mut self, content: Option<u64>) {
        let Some(definitions) = &self.definitions else { return };
        let (epoch, said) = self.lent;
        // What the same client has left before is known at the same time, or is not.
        let before = self.state.known || self.stamp.is_some_and(|stamp| stamp.is_of(epoch));
        let known = before && content == Some(said);
        self.stamp = Some(match content {
            Some(_) => definitions.stamp(if known { epoch } else { 0 }),
            None => Stamp::default(),
        });
    }

    fn until(&self) -> u64 {
        self.stamp.map_or(0, Stamp::until)
    }

    /// Nothing of what its clients have left is there any more.
    pub(super) fn was_reset(&mut self) {
        self.state.discarded();
        self.state.is_nobodys();
        self.stamp = None;
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

    /// See [`ServerConn::was_used`].
    pub(crate) fn used(mut self, content: Option<u64>) -> Leased {
        if let Some(conn) = self.conn() {
            conn.was_used(content);
        }
        self
    }

    /// Gives the connection back, once no cancel request is on its way to it.
    pub(crate) fn release(mut self) {
        if self.ctx.shared.monitor.is_drained(self.node) {
            return self.close(ServerEnd::Drained);
        }
        let Some(lease) = self.lease.take() else { return };
        let until = lease.until();
        if lease.key.is_unused() {
            lease.release(until);
            return;
        }
        tokio::task::spawn_local(async move {
            let key = Arc::clone(&lease.key);
            if key.settled().await {
                lease.release(until);
            }
        });
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        self.ctx.count_lease(self.node, -1);
    }
}
