//! Worker threads and the client sessions that they serve.
//!
//! Each worker is a thread with a runtime of its own. A client stays on its worker; whatever its session needs on
//! the hot path (policies, idle servers, buffers, caches) belongs to that worker.

mod admission;
mod beside;
mod budget;
mod buffers;
mod cancel;
mod causal;
mod clean;
mod client;
mod exchange;
mod explain;
mod failovers;
mod greeting;
mod guide;
mod held;
mod lease;
mod moving;
mod prove;
mod reception;
mod replication;
mod seat;
mod server;
mod shared;
mod traced;
mod witness;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use howdah_cluster::{Balancer, ClusterId, NodeId};
use slab::Slab;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::{LocalSet, spawn_local};

pub(crate) use explain::explain;
pub use moving::Arrival;
pub(crate) use moving::Departure;
pub(crate) use shared::Doors;
pub use shared::Shared;
pub(crate) use shared::{PoolKey, ServerPool, configured};

use crate::figures::{Counters, Figures, Row, ServerEnd, Statement, Statements, Words};
use crate::upstream::{Detached, Stream};
use seat::Seat;
pub(crate) use seat::{Order, SessionState, Sight};

/// Most worker threads: their number has seven bits in a cancel key.
pub const MAX_WORKERS: usize = 128;

/// Between two looks at idle server connections.
const SWEEP: Duration = Duration::from_secs(1);

/// What a worker is told.
pub enum Message {
    /// A client has connected.
    Client(Detached, Option<IpAddr>),
    /// A session has come from another process.
    Arrival(Arrival),
    /// A cancel request for one of its sessions: process id and secret, and whether another process has passed it on.
    Cancel(u32, Box<[u8]>, bool),
    /// Sessions go to another process as soon as they can.
    Leave,
    /// A client has gone, and the worker is to end.
    Gone,
    /// Somebody wants to know something of it, or wants something done.
    Ask(Asked),
    /// No more transactions: idle clients are sent away, the others when they are idle.
    Drain,
}

/// What is done where the sessions of a worker can be seen. It must be quick: their queries wait for it.
pub struct Asked(Look);

/// Something that looks at a worker.
type Look = Box<dyn FnOnce(&Rc<Ctx>) + Send>;

/// What the sessions of a worker share.
pub(crate) struct Ctx {
    pub(crate) index: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) policies: howdah_policy::Worker,
    /// What the nodes are called.
    pub(crate) names: Vec<Arc<str>>,
    /// Policies have a whole batch of observations to be told.
    pub(crate) observed: Notify,
    pub(crate) spare: buffers::Spare,
    pub(crate) budget: budget::Budget,
    pub(crate) witness: witness::Witness,
    pub(crate) slots: Rc<cancel::Slots>,
    pub(crate) balancer: RefCell<Balancer>,
    /// Connections that this worker's sessions have leased, by node.
    pub(crate) in_use: Vec<Cell<usize>>,
    pub(crate) databases: RefCell<HashMap<(u16, String), Rc<guide::Database>>>,
    pub(crate) greetings: RefCell<HashMap<greeting::Key, Rc<greeting::Greeting>>>,
    pub(crate) draining: Cell<bool>,
    /// Sessions go to another process as soon as they can.
    pub(crate) leaving: Cell<bool>,
    /// How many sessions may ask at once what became of their commits.
    pub(crate) proving: Semaphore,
    /// Sessions, to be woken when the worker drains, nodes are lost, or they take too long.
    pub(crate) seats: RefCell<Slab<Rc<Seat>>>,
    /// What is known of statements.
    pub(crate) statements: RefCell<Statements>,
    /// Sweeps so far.
    pub(crate) sweeps: Cell<u64>,
    /// Batches until the next one that is traced.
    pub(crate) untraced: Cell<u32>,
}

impl Ctx {
    pub(crate) fn counters(&self) -> &Counters {
        &self.shared.counters[self.index]
    }

    /// Whether this worker ends when its last client has gone.
    pub(crate) fn is_ending(&self) -> bool {
        self.draining.get() || self.leaving.get()
    }

    /// Closes idle connections that are of no use any more. Servers may have no room for those of two processes: when
    /// sessions go to another one, no more are kept than there are clients.
    fn close_idle(&self) {
        let most = if self.leaving.get() { self.shared.clients() } else { usize::MAX };
        for pool in self.shared.pools() {
            let mut surplus = pool.stats().open.saturating_sub(most);
            // An idle server says nothing; if it did, its state is not known any more.
            pool.sweep(self.index, |conn| {
                let monitor = &self.shared.monitor;
                let end = match monitor.is_drained(conn.node) {
                    true => Some(ServerEnd::Drained),
                    false if conn.stream.has_news() || conn.is_over(monitor) => {
                        Some(ServerEnd::Lost)
                    }
                    false => (surplus > 0).then_some(ServerEnd::Replaced),
                };
                surplus = surplus.saturating_sub(usize::from(end.is_some()));
                end.inspect(|end| conn.ends(*end)).is_none()
            });
        }
    }

    pub(crate) fn count_lease(&self, node: NodeId, by: isize) {
        if let Some(cell) = self.in_use.get(usize::from(node.0)) {
            cell.set(cell.get().saturating_add_signed(by));
        }
    }

    /// What the worker holds.
    pub(crate) fn holds(&self) -> Holds {
        let databases = self.databases.borrow();
        let (statements, statement_bytes) =
            databases.values().map(|database| database.kept()).fold((0, 0), add);
        let (buffers, buffer_bytes) = self.spare.kept();
        Holds {
            sessions: self.seats.borrow().len(),
            statements,
            statement_bytes,
            greetings: self.greetings.borrow().len(),
            buffers,
            buffer_bytes,
        }
    }

    /// All statements that are kept.
    pub(crate) fn statements(&self) -> Vec<Statement> {
        let databases = self.databases.borrow();
        let by_number: HashMap<u32, &Rc<guide::Database>> =
            databases.values().map(|database| (database.number, database)).collect();
        let statements = self.statements.borrow();
        let named = |((number, digest), row): ((u32, u64), &Row)| {
            let database = by_number.get(&number)?;
            let (cluster, name) = (database.cluster, database.name.clone());
            Some(Statement { cluster, database: name, digest, row: row.clone() })
        };
        statements.rows().filter_map(named).collect()
    }

    /// What became of the statements of each database.
    pub(crate) fn traffic(&self) -> Vec<(ClusterId, String, Figures)> {
        let databases = self.databases.borrow();
        let of = |database: &Rc<guide::Database>| {
            (database.cluster, database.name.clone(), database.figures.borrow().clone())
        };
        databases.values().map(of).collect()
    }

    /// How many sessions do what, and what else there is to be counted at the moment.
    pub(crate) fn census(&self) -> Census {
        let mut census = Census::default();
        for (_, seat) in self.seats.borrow().iter() {
            census.states[seat.state().index()] += 1;
            if let Some(reason) = seat.pinned() {
                *census.pins.entry(reason).or_default() += 1;
            }
        }
        let statements = self.statements.borrow();
        census.statements = statements.rows().count() as u64;
        census.forgotten = statements.forgotten();
        census.spare_bytes = self.spare.kept().1 as u64;
        census
    }

    /// All sessions, as they are now.
    pub(crate) fn sights(&self) -> Vec<Sight> {
        let (seats, sweeps) = (self.seats.borrow(), self.sweeps.get());
        seats.iter().map(|(_, seat)| seat.sight(sweeps)).collect()
    }

    /// Gives a session an order. False: there is none of that number.
    pub(crate) fn order(&self, client: u64, order: Order) -> bool {
        let seats = self.seats.borrow();
        let seat = seats.iter().find(|(_, seat)| seat.id() == client);
        seat.inspect(|(_, seat)| seat.give(order)).is_some()
    }

    /// Sessions that wait look again.
    fn wake_sessions(&self, whom: impl Fn(&Seat) -> bool) {
        let seats = self.seats.borrow();
        seats.iter().filter(|(_, seat)| whom(seat)).for_each(|(_, seat)| seat.wake());
    }

    pub(crate) fn leased(&self, node: NodeId) -> usize {
        self.in_use.get(usize::from(node.0)).map_or(0, Cell::get)
    }
}

/// What there is at a moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Census {
    /// Sessions by what they do.
    pub(crate) states: [u64; SessionState::ALL.len()],
    /// Those that stay on their servers, by reason.
    pub(crate) pins: BTreeMap<&'static str, u64>,
    /// Statements that are kept, and that had to go.
    pub(crate) statements: u64,
    pub(crate) forgotten: u64,
    /// Buffers that nobody uses.
    pub(crate) spare_bytes: u64,
}

/// How much a worker holds of what.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Holds {
    pub(crate) sessions: usize,
    pub(crate) statements: usize,
    pub(crate) statement_bytes: usize,
    pub(crate) greetings: usize,
    pub(crate) buffers: usize,
    pub(crate) buffer_bytes: usize,
}

fn add(a: (usize, usize), b: (usize, usize)) -> (usize, usize) {
    (a.0 + b.0, a.1 + b.1)
}

/// Runs a worker until it has drained, or its inbox is closed.
pub fn run(index: usize, shared: Arc<Shared>, inbox: mpsc::UnboundedReceiver<Message>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "a worker cannot start");
            return;
        }
    };
    let names: Vec<Arc<str>> =
        shared.monitor.snapshot().specs.iter().map(|spec| spec.name.as_str().into()).collect();
    let ctx = Rc::new(Ctx {
        index,
        policies: shared.registry.worker(index),
        observed: Notify::new(),
        spare: buffers::Spare::default(),
        budget: budget::Budget::new(std::time::Instant::now()),
        witness: witness::Witness::new(names.len()),
        slots: cancel::Slots::new(shared.peers.own(), index),
        balancer: RefCell::default(),
        in_use: names.iter().map(|_| Cell::new(0)).collect(),
        names,
        databases: RefCell::default(),
        greetings: RefCell::default(),
        draining: Cell::new(false),
        leaving: Cell::new(false),
        proving: Semaphore::new(prove::MAX_AT_ONCE),
        seats: RefCell::default(),
        sweeps: Cell::default(),
        untraced: Cell::default(),
        statements: RefCell::new(Statements::new(shared.config.load().statements.keep)),
        shared,
    });
    let local = LocalSet::new();
    local.block_on(&runtime, work(ctx, inbox));
}

async fn work(ctx: Rc<Ctx>, mut inbox: mpsc::UnboundedReceiver<Message>) {
    spawn_local(sweep(Rc::clone(&ctx)));
    spawn_local(end_tenures(Rc::clone(&ctx)));
    spawn_local(witness::listen(Rc::clone(&ctx)));
    spawn_local(beside::tell(Rc::clone(&ctx)));
    while let Some(message) = inbox.recv().await {
        match message {
            Message::Client(detached, peer) => match Stream::attach(detached) {
                Ok(stream) => {
                    spawn_local(reception::serve(Rc::clone(&ctx), stream, peer));
                }
                Err(error) => {
                    ctx.counters().clients.fetch_sub(1, Ordering::Relaxed);
                    tracing::warn!(%error, "a client's connection was lost at once");
                }
            },
            Message::Ask(Asked(what)) => what(&ctx),
            Message::Arrival(arrival) => {
                spawn_local(moving::arrive(Rc::clone(&ctx), arrival));
            }
            Message::Cancel(pid, key, passed_on) => {
                if !ctx.slots.cancel(pid, &key)
                    && !passed_on
                    && let Some(kin) = ctx.shared.kin()
                {
                    kin.cancel(pid, &key);
                }
            }
            Message::Leave => {
                ctx.leaving.set(true);
                ctx.close_idle();
                ctx.wake_sessions(|_| true);
            }
            Message::Gone => ctx.close_idle(),
            Message::Drain => {
                ctx.draining.set(true);
                ctx.wake_sessions(|_| true);
            }
        }
        if ctx.is_ending() && ctx.counters().clients() == 0 {
            break;
        }
    }
}

/// Looks after idle server connections, and sessions that take too long.
async fn sweep(ctx: Rc<Ctx>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        ctx.close_idle();
        let sweeps = ctx.sweeps.get() + 1;
        ctx.sweeps.set(sweeps);
        let config = ctx.shared.config.load();
        ctx.statements.borrow_mut().resize(config.statements.keep);
        ctx.seats.borrow().iter().for_each(|(_, seat)| seat.look(sweeps, &config.limits));
    }
}

/// Ends what sessions have on nodes that are lost, and closes what is free on those that are drained.
async fn end_tenures(ctx: Rc<Ctx>) {
    let monitor = &ctx.shared.monitor;
    let tenures = || {
        let snapshot = monitor.snapshot();
        let states = snapshot.states.iter().map(|state| (state.tenure, state.drained));
        (states.collect::<Vec<_>>(), snapshot.paused.clone())
    };
    let (mut epochs, mut known) = (monitor.epochs(), tenures());
    loop {
        let now = tenures();
        if now != known {
            known = now;
            // The others may be many, and have nothing to lose.
            ctx.wake_sessions(|seat| seat.link.get().is_some());
            ctx.close_idle();
        }
        if epochs.changed().await.is_err() {
            return;
        }
    }
}
