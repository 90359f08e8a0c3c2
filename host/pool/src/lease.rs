use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Instant;

use crate::pool::Shared;

/// An answer to a request for a connection.
#[derive(Debug)]
pub enum Grant<C: Send> {
    /// A connection that was idle.
    Conn(Lease<C>),
    /// The right to open one.
    Connect(Permit<C>),
}

/// A connection with its history.
#[derive(Debug)]
pub(crate) struct Conn<C> {
    pub(crate) inner: C,
    /// The worker whose reactor knows the socket.
    pub(crate) home: usize,
    pub(crate) opened: Instant,
    pub(crate) used: Instant,
    /// Who has it, or had it last, and since when.
    pub(crate) user: u64,
    pub(crate) since: Instant,
    /// It is kept for that user until this is cleared ([`crate::Clearance`]).
    pub(crate) until: u64,
    /// The pool's generation when it was opened.
    pub(crate) generation: u64,
}

/// It goes from hand to hand, and is large: it stays in one place.
pub(crate) type Kept<C> = Box<Conn<C>>;

/// A connection that is ours until it is released. Dropping it closes it.
#[derive(Debug)]
pub struct Lease<C: Send> {
    conn: Option<Kept<C>>,
    permit: Permit<C>,
}

/// The right to one open connection. Dropping it gives it to whoever waits longest.
#[derive(Debug)]
pub struct Permit<C: Send> {
    pub(crate) shared: Option<Arc<Shared<C>>>,
    /// Whose right it is.
    user: u64,
}

impl<C: Send> Permit<C> {
    pub(crate) fn new(shared: Arc<Shared<C>>, user: u64) -> Permit<C> {
        Permit { shared: Some(shared), user }
    }

    /// Uses the right for this connection, whose socket belongs to this worker.
    pub fn fill(self, inner: C, worker: usize) -> Lease<C> {
        let now = Instant::now();
        let generation = self.shared.as_ref().map_or(0, |shared| shared.generation());
        let (user, until) = (self.user, 0);
        let conn = Conn {
            inner,
            home: worker,
            opened: now,
            used: now,
            user,
            since: now,
            until,
            generation,
        };
        Lease { conn: Some(Box::new(conn)), permit: self }
    }
}

impl<C: Send> Drop for Permit<C> {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.take() {
            Shared::permit_returned(&shared);
        }
    }
}

impl<C: Send> Lease<C> {
    pub(crate) fn new(conn: Kept<C>, shared: Arc<Shared<C>>) -> Lease<C> {
        let permit = Permit::new(shared, conn.user);
        Lease { conn: Some(conn), permit }
    }

    /// The worker whose reactor knows the socket.
    pub fn home(&self) -> usize {
        self.conn.as_ref().map_or(usize::MAX, |conn| conn.home)
    }

    /// The same connection on another worker's reactor.
    ///
    /// # Errors
    /// What `move_over` says; the connection is closed then.
    pub fn rehome<E>(
        mut self,
        worker: usize,
        move_over: impl FnOnce(&mut C) -> Result<(), E>,
    ) -> Result<Lease<C>, E> {
        if let Some(conn) = &mut self.conn {
            move_over(&mut conn.inner)?;
            conn.home = worker;
        }
        Ok(self)
    }

    /// Gives the connection back: to a client that waits, or to its worker's shard. Until this number is cleared
    /// ([`crate::Clearance`]) only its last user may have it; 0: anybody may at once.
    pub fn release(mut self, until: u64) {
        if let Some(mut conn) = self.conn.take()
            && let Some(shared) = self.permit.shared.take()
        {
            conn.used = Instant::now();
            conn.until = until;
            Shared::conn_returned(&shared, conn);
        }
    }
}

impl<C: Send> Deref for Lease<C> {
    type Target = C;

    fn deref(&self) -> &C {
        match &self.conn {
            Some(conn) => &conn.inner,
            // Only `release` takes the connection, and consumes the lease.
            None => unreachable!("a lease without its connection"),
        }
    }
}

impl<C: Send> DerefMut for Lease<C> {
    fn deref_mut(&mut self) -> &mut C {
        match &mut self.conn {
            Some(conn) => &mut conn.inner,
            None => unreachable!("a lease without its connection"),
        }
    }
}
