use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};

use tokio::sync::Notify;

use crate::lease::{Conn, Grant, Kept, Lease, Permit};
use crate::queue::{Given, Queue, Ticket, Turn};

/// What a pool may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most open connections.
    pub size: usize,
    /// Longest wait for a connection.
    pub wait_timeout: Duration,
    /// Connections idle for longer are closed.
    pub idle_timeout: Duration,
    /// Connections older than this are closed when they come back.
    pub lifetime: Duration,
    /// Most clients that wait.
    pub max_waiting: usize,
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcquireError {
    /// None came free in time.
    #[error("no server connection came free in time")]
    Timeout,
    /// Too many wait already.
    #[error("too many clients wait for a server connection")]
    QueueFull,
    /// The pool is closed.
    #[error("the pool is closed")]
    Closed,
}

/// Why a pool closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worn {
    /// Nobody has used it for `idle_timeout`.
    Idle,
    /// It is older than `lifetime`.
    Old,
    /// It is one too many, or of an earlier generation, or the pool is closed.
    Surplus,
}

/// Which connections may go from one user to another. They are given back with a number ([`crate::Lease::release`]).
pub trait Clearance: Send + Sync {
    /// Those with this number or a lower one may.
    fn cleared(&self) -> u64;

    /// Those with this number or a lower one soon may.
    fn promised(&self) -> u64;

    /// Others are waited for.
    fn hurry(&self);
}

/// All may.
impl Clearance for () {
    fn cleared(&self) -> u64 {
        u64::MAX
    }

    fn promised(&self) -> u64 {
        u64::MAX
    }

    fn hurry(&self) {}
}

/// How a client waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Patience {
    /// Clients with a higher one go first; among equals, those that came first.
    pub priority: i8,
    /// Longest wait, if not as the pool's limits say.
    pub at_most: Option<Duration>,
    /// When it began to wait, if that was before it came to the pool.
    pub since: Option<Instant>,
}

/// A pool at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Most open connections.
    pub size: usize,
    /// Open connections, and permits to open one.
    pub open: usize,
    /// Those that nobody uses.
    pub idle: usize,
    /// Clients that wait.
    pub waiting: usize,
    /// How long the oldest of them has waited.
    pub max_wait: Duration,
}

/// For how long a user may have the same connection again and again although it is promised to others that wait.
pub(crate) const TURN: Duration = Duration::from_millis(2);

/// The user of a connection that has been idle for longer is taken to be done with it.
pub(crate) const RESTED: Duration = Duration::from_millis(10);

/// Connections to one server, for one user and database. Cheap to clone.
pub struct Pool<C: Send> {
    shared: Arc<Shared<C>>,
}

impl<C: Send> Clone for Pool<C> {
    fn clone(&self) -> Self {
        Pool { shared: Arc::clone(&self.shared) }
    }
}

pub(crate) struct Shared<C> {
    /// What is told of a connection before the pool closes it.
    worn: fn(&mut C, Worn),
    limits: RwLock<Limits>,
    /// The limits' size, without the lock.
    size: AtomicUsize,
    /// Connections and permits.
    open: AtomicUsize,
    /// Clients in the queue.
    waiting: AtomicUsize,
    queue: Mutex<Queue<C>>,
    /// Idle connections by worker, the one used last at the end.
    shards: Box<[Mutex<Vec<Kept<C>>>]>,
    /// Idle connections.
    idle: AtomicUsize,
    clearance: Arc<dyn Clearance>,
    /// By worker: others may have some of its connections now.
    cleared: Box<[Notify]>,
    /// Connections of an earlier generation are not lent again.
    generation: AtomicU64,
    closed: AtomicBool,
}

impl<C> std::fmt::Debug for Shared<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("open", &self.open).field("waiting", &self.waiting).finish()
    }
}

impl<C: Send> Pool<C> {
    /// An empty pool for this many workers. What `worn` is called for is closed then. `clearance` says which
    /// connections others than their last users may have; when there are more, [`Pool::bell`] is to be called.
    pub fn new(
        limits: Limits,
        workers: usize,
        worn: fn(&mut C, Worn),
        clearance: Arc<dyn Clearance>,
    ) -> Pool<C> {
        let shared = Shared {
            worn,
            limits: RwLock::new(limits),
            size: AtomicUsize::new(limits.size),
            open: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            queue: Mutex::new(Queue::new()),
            shards: (0..workers.max(1)).map(|_| Mutex::new(Vec::new())).collect(),
            idle: AtomicUsize::new(0),
            clearance,
            cleared: (0..workers.max(1)).map(|_| Notify::new()).collect(),
            generation: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        };
        Pool { shared: Arc::new(shared) }
    }

    /// A connection for this user, or the right to open one, if that takes no waiting.
    pub fn try_acquire(&self, worker: usize, user: u64) -> Option<Grant<C>> {
        let shared = &self.shared;
        if shared.closed.load(Ordering::SeqCst) {
            return None;
        }
        let others_wait = shared.waiting.load(Ordering::SeqCst) > 0;
        if let Some(conn) = shared.pop_own(worker, user, others_wait) {
            return Some(Shared::lend(shared, conn, user));
        }
        // Nobody overtakes those that wait.
        if others_wait {
            return None;
        }
        self.take(worker, user)
    }

    /// A connection, or the right to open one. Cancel safe: a client that goes away leaves the queue.
    ///
    /// # Errors
    /// See [`AcquireError`].
    pub async fn acquire(
        &self,
        worker: usize,
        user: u64,
        patience: Patience,
    ) -> Result<Grant<C>, AcquireError> {
        if self.shared.closed.load(Ordering::SeqCst) {
            return Err(AcquireError::Closed);
        }
        if let Some(grant) = self.try_acquire(worker, user) {
            return Ok(grant);
        }
        let limits = *self.shared.limits.read();
        let mut ticket = {
            let mut queue = self.shared.queue.lock();
            if queue.len() >= limits.max_waiting {
                return Err(AcquireError::QueueFull);
            }
            let since = patience.since.unwrap_or_else(Instant::now);
            let (turn, from) = queue.push(worker, patience.priority, since);
            self.shared.waiting.store(queue.len(), Ordering::SeqCst);
            Ticket { turn, shared: Arc::clone(&self.shared), from }
        };
        // Whatever came free between the first look and the queue would not see us waiting.
        self.shared.serve_all();
        let at_most = patience.at_most.unwrap_or(limits.wait_timeout);
        match tokio::time::timeout(at_most, &mut ticket.from).await {
            Ok(Ok(Given::Conn(conn))) => Ok(Shared::lend(&self.shared, conn, user)),
            Ok(Ok(Given::Permit)) => {
                Ok(Grant::Connect(Permit::new(Arc::clone(&self.shared), user)))
            }
            Ok(Err(_)) => Err(AcquireError::Closed),
            Err(_) => Err(AcquireError::Timeout),
        }
    }

    /// Of another user. Before one that is in use again and again, others are looked for.
    fn take(&self, worker: usize, user: u64) -> Option<Grant<C>> {
        let shared = &self.shared;
        let others = || (0..shared.shards.len()).filter(|other| *other != worker);
        let since = Instant::now().checked_sub(RESTED);
        let rested = |worker| shared.pop_rested(worker, since?);
        let is_empty = || shared.shards.get(worker).is_none_or(|own| own.lock().is_empty());
        let conn = match rested(worker) {
            Some(conn) => Some(conn),
            // Where some will soon be free, none is opened.
            None if is_empty() && shared.reserve() => {
                return Some(Grant::Connect(Permit::new(Arc::clone(shared), user)));
            }
            None => others()
                .find_map(rested)
                .or_else(|| shared.pop(worker))
                .or_else(|| others().find_map(|other| shared.pop(other))),
        };
        Some(Shared::lend(shared, conn?, user))
    }

    /// What is to be called when connections have been cleared.
    pub fn bell(&self) -> impl Fn() + Send + Sync + use<C>
    where
        C: 'static,
    {
        let shared = Arc::downgrade(&self.shared);
        move || {
            if let Some(shared) = shared.upgrade()
                && shared.waiting.load(Ordering::SeqCst) > 0
            {
                let workers = shared.shards.iter().zip(&shared.cleared);
                let those = workers.filter(|(shard, _)| !shard.lock().is_empty());
                those.for_each(|(_, cleared)| cleared.notify_one());
            }
        }
    }

    /// Gives this worker's connections to those that wait whenever that has been called, for ever.
    pub async fn serve(&self, worker: usize) {
        let Some(cleared) = self.shared.cleared.get(worker) else { return };
        loop {
            cleared.notified().await;
            self.shared.serve_queue(worker..worker + 1);
        }
    }

    /// Other limits from now on. Connections beyond a smaller size are closed as they come back.
    pub fn set_limits(&self, limits: Limits) {
        *self.shared.limits.write() = limits;
        self.shared.size.store(limits.size, Ordering::SeqCst);
        self.shared.serve_all();
    }

    /// Closes this worker's idle connections that are too old, idle for too long, or found wanting by
    /// `healthy`. To be called about once a second.
    pub fn sweep(&self, worker: usize, mut healthy: impl FnMut(&mut C) -> bool) {
        let limits = *self.shared.limits.read();
        let now = Instant::now();
        let mut closed = Vec::new();
        if let Some(shard) = self.shared.shards.get(worker) {
            let mut shard = shard.lock();
            let mut at = 0;
            while let Some(conn) = shard.get_mut(at) {
                let worn = match now - conn.used >= limits.idle_timeout {
                    true => Some(Worn::Idle),
                    false => self.shared.wears(conn, now, limits.lifetime),
                };
                if let Some(worn) = worn {
                    (self.shared.worn)(&mut conn.inner, worn);
                }
                if worn.is_none() && healthy(&mut conn.inner) {
                    at += 1;
                } else {
                    closed.push(shard.remove(at));
                    self.shared.idle.fetch_sub(1, Ordering::SeqCst);
                }
            }
        }
        for conn in closed {
            drop(conn);
            Shared::permit_returned(&self.shared);
        }
    }

    /// Shows the idle connections: each, when it was opened, and when it was given back.
    pub fn each_idle(&self, mut show: impl FnMut(&C, Instant, Instant)) {
        for shard in &self.shared.shards {
            shard.lock().iter().for_each(|conn| show(&conn.inner, conn.opened, conn.used));
        }
    }

    /// No connection that is open now will be lent again.
    pub fn reconnect(&self) {
        self.shared.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// Nobody gets a connection any more; idle ones are closed, leased ones as they come back.
    pub fn close(&self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        self.shared.queue.lock().clear();
        for shard in &self.shared.shards {
            let mut conns = std::mem::take(&mut *shard.lock());
            conns.iter_mut().for_each(|conn| (self.shared.worn)(&mut conn.inner, Worn::Surplus));
            self.shared.idle.fetch_sub(conns.len(), Ordering::SeqCst);
            self.shared.open.fetch_sub(conns.len(), Ordering::SeqCst);
        }
    }

    /// How it is.
    pub fn stats(&self) -> Stats {
        let queue = self.shared.queue.lock();
        Stats {
            size: self.shared.size.load(Ordering::SeqCst),
            open: self.shared.open.load(Ordering::SeqCst),
            idle: self.shared.idle.load(Ordering::SeqCst),
            waiting: queue.len(),
            max_wait: queue.oldest().map(|since| since.elapsed()).unwrap_or_default(),
        }
    }
}

impl<C: Send> Shared<C> {
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// Of the connections that anybody may have, the one that has been unused for longest.
    fn pop(&self, worker: usize) -> Option<Kept<C>> {
        self.take_out(worker, |shard| {
            let cleared = self.clearance.cleared();
            shard.iter().position(|conn| conn.until <= cleared)
        })
    }

    /// Of those that nobody has used since, the one that was used last, so that others become too old.
    fn pop_rested(&self, worker: usize, since: Instant) -> Option<Kept<C>> {
        self.take_out(worker, |shard| {
            let cleared = self.clearance.cleared();
            shard.iter().rposition(|conn| conn.until <= cleared && conn.used <= since)
        })
    }

    /// The connection that this user has used last, if it is still there. While others wait it may be had only as long as
    /// they may not have it, and after a while, as long as it is not promised to them.
    fn pop_own(&self, worker: usize, user: u64, others_wait: bool) -> Option<Kept<C>> {
        let clearance = &self.clearance;
        let is_kept = |conn: &Kept<C>| {
            conn.until > clearance.cleared()
                && (conn.until > clearance.promised() || conn.used - conn.since < TURN)
        };
        self.take_out(worker, |shard| {
            let at = shard.iter().rposition(|conn| conn.user == user)?;
            (!others_wait || shard.get(at).is_some_and(is_kept)).then_some(at)
        })
    }

    /// The connection in a worker's shard that is found there.
    fn take_out(
        &self,
        worker: usize,
        find: impl FnOnce(&[Kept<C>]) -> Option<usize>,
    ) -> Option<Kept<C>> {
        let mut shard = self.shards.get(worker)?.lock();
        let at = find(&shard)?;
        self.idle.fetch_sub(1, Ordering::SeqCst);
        Some(shard.remove(at))
    }

    fn push(&self, conn: Kept<C>) {
        let home = conn.home.min(self.shards.len() - 1);
        if let Some(shard) = self.shards.get(home) {
            shard.lock().push(conn);
            self.idle.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Takes the right to one more connection, if there is one.
    fn reserve(&self) -> bool {
        let size = self.size.load(Ordering::SeqCst);
        let more = |open: usize| (open < size).then_some(open + 1);
        self.open.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_ok()
    }

    fn lend(shared: &Arc<Self>, mut conn: Kept<C>, user: u64) -> Grant<C> {
        if conn.user != user {
            (conn.user, conn.since) = (user, conn.used);
        }
        Grant::Conn(Lease::new(conn, Arc::clone(shared)))
    }

    /// Undoes a grant that nobody took.
    pub(crate) fn give_back(shared: &Arc<Self>, given: Given<C>) {
        match given {
            Given::Conn(conn) => Shared::conn_returned(shared, conn),
            Given::Permit => Shared::permit_returned(shared),
        }
    }

    /// Why a connection had better be closed than kept, if it had.
    fn wears(&self, conn: &Conn<C>, now: Instant, lifetime: Duration) -> Option<Worn> {
        if conn.generation != self.generation() {
            return Some(Worn::Surplus);
        }
        (now - conn.opened >= lifetime).then_some(Worn::Old)
    }

    /// A connection is not needed any more, since the time at which it was used last.
    pub(crate) fn conn_returned(shared: &Arc<Self>, mut conn: Kept<C>) {
        let surplus = shared.closed.load(Ordering::SeqCst)
            || shared.open.load(Ordering::SeqCst) > shared.size.load(Ordering::SeqCst);
        let worn = match surplus {
            true => Some(Worn::Surplus),
            false => shared.wears(&conn, conn.used, shared.limits.read().lifetime),
        };
        if let Some(worn) = worn {
            (shared.worn)(&mut conn.inner, worn);
            drop(conn);
            Shared::permit_returned(shared);
            return;
        }
        let until = conn.until;
        shared.push(conn);
        if shared.waiting.load(Ordering::SeqCst) > 0 {
            match until <= shared.clearance.cleared() {
                true => shared.serve_all(),
                false => shared.clearance.hurry(),
            }
        }
    }

    /// The right to a connection is not needed any more.
    pub(crate) fn permit_returned(shared: &Arc<Self>) {
        shared.open.fetch_sub(1, Ordering::SeqCst);
        if shared.waiting.load(Ordering::SeqCst) > 0 {
            shared.serve_all();
        }
    }

    /// A client has left the queue.
    pub(crate) fn gone(&self, turn: Turn) {
        let mut queue = self.queue.lock();
        queue.remove(turn);
        self.waiting.store(queue.len(), Ordering::SeqCst);
    }

    /// Gives what is free to those that wait. Under the queue's lock, so that nothing is free while
    /// somebody waits when it returns.
    fn serve_all(&self) {
        self.serve_queue(0..self.shards.len());
    }

    fn serve_queue(&self, workers: Range<usize>) {
        let mut queue = self.queue.lock();
        while queue.len() > 0 {
            let free = workers.clone().find_map(|worker| self.pop(worker)).map(Given::Conn);
            let open_more = || self.idle.load(Ordering::SeqCst) < queue.len() && self.reserve();
            let free = free.or_else(|| open_more().then_some(Given::Permit));
            let Some(free) = free else { break };
            match queue.give(free) {
                None => {}
                Some(Given::Conn(conn)) => self.push(conn),
                Some(Given::Permit) => {
                    self.open.fetch_sub(1, Ordering::SeqCst);
                }
            }
        }
        self.waiting.store(queue.len(), Ordering::SeqCst);
        drop(queue);
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.clearance.hurry();
        }
    }
}
