//! What the sessions of a worker are doing, and since when. The worker looks once a second for those that take too long, so
//! that no session needs a timer of its own, and a query costs no look at a clock. Operators see the same.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use howdah_cluster::NodeId;
use howdah_decision::Decision;
use howdah_policy::Who;
use howdah_session::{Doing, Pin};

use super::{Ctx, SWEEP};
use crate::config::Limits;
use crate::figures::words;

/// Who came, from where, and how.
#[derive(Clone, Debug)]
pub(crate) struct Visitor {
    pub(crate) id: u64,
    /// None for a Unix socket.
    pub(crate) address: Option<IpAddr>,
    pub(crate) encrypted: bool,
    /// It replicates, and its bytes pass as they are.
    pub(crate) replicates: bool,
    pub(crate) came: SystemTime,
}

/// What an operator wants of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// That its statement ends.
    Cancel,
    /// That it ends.
    End,
}

/// A server that a session has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) node: NodeId,
    /// As the server told it, PostgreSQL's process.
    pub(crate) pid: u32,
}

words! {
    /// What a session does.
    pub(crate) enum SessionState {
        /// It has not been greeted yet.
        Login = "login",
        /// It waits for its client.
        Idle = "idle",
        /// It waits for an answer of its server, or replicates.
        Active = "active",
        /// It waits for its client, within a transaction.
        InTransaction = "idle in transaction",
        /// It waits for a server.
        Waiting = "waiting",
    }
}

/// A session, as its worker sees it.
pub(crate) struct Seat {
    visitor: Visitor,
    /// As policies know it.
    who: RefCell<Arc<Who>>,
    waker: RefCell<Option<Waker>>,
    /// The server that it has leased.
    pub(super) link: Cell<Option<Link>>,
    /// Why it keeps it.
    pin: RefCell<Option<Pin>>,
    /// The server that it has none of yet, and since when it waits for one.
    wants: RefCell<Option<(Decision, Instant)>>,
    order: Cell<Option<Order>>,
    /// What it waits for, and the number of its batch.
    doing: Cell<Option<(Doing, u32)>>,
    /// Sweeps of the worker when that began; none when it has been told that it takes too long.
    since: Cell<Option<u64>>,
    /// It takes too long.
    over: Cell<bool>,
}

/// A seat among those of a worker, until it is dropped.
pub(super) struct Seated {
    ctx: Rc<Ctx>,
    number: usize,
    seat: Rc<Seat>,
}

impl Seated {
    pub(super) fn new(ctx: &Rc<Ctx>, visitor: Visitor, who: &Arc<Who>) -> Seated {
        let seat = Rc::new(Seat {
            visitor,
            who: RefCell::new(Arc::clone(who)),
            waker: RefCell::default(),
            link: Cell::default(),
            pin: RefCell::default(),
            wants: RefCell::default(),
            order: Cell::default(),
            doing: Cell::default(),
            since: Cell::default(),
            over: Cell::default(),
        });
        let number = ctx.seats.borrow_mut().insert(Rc::clone(&seat));
        Seated { ctx: Rc::clone(ctx), number, seat }
    }
}

impl std::ops::Deref for Seated {
    type Target = Seat;

    fn deref(&self) -> &Seat {
        &self.seat
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        self.ctx.seats.borrow_mut().try_remove(self.number);
    }
}

/// A session, as operators see it.
#[derive(Clone, Debug)]
pub(crate) struct Sight {
    pub(crate) visitor: Visitor,
    pub(crate) who: Arc<Who>,
    pub(crate) state: SessionState,
    /// Batches that have been answered.
    pub(crate) batches: u32,
    /// For how long it has done that, to the second.
    pub(crate) since: Duration,
    pub(crate) link: Option<Link>,
    pub(crate) pin: Option<Pin>,
    /// The server that it waits for, and for how long.
    pub(crate) wants: Option<(Decision, Duration)>,
}

impl Seat {
    /// As it is now, after so many sweeps of the worker.
    pub(super) fn sight(&self, sweeps: u64) -> Sight {
        let batches = self.doing.get().map(|(_, batches)| batches);
        let wants = self.wants.borrow();
        let lasts = self.since.get().map_or(0, |since| sweeps.saturating_sub(since));
        Sight {
            visitor: self.visitor.clone(),
            who: Arc::clone(&self.who.borrow()),
            state: self.state(),
            batches: batches.unwrap_or_default(),
            since: SWEEP.saturating_mul(u32::try_from(lasts).unwrap_or(u32::MAX)),
            link: self.link.get(),
            pin: self.pin.borrow().clone(),
            wants: wants.as_ref().map(|(decision, since)| (decision.clone(), since.elapsed())),
        }
    }

    /// What the session does.
    pub(super) fn state(&self) -> SessionState {
        match self.doing.get() {
            _ if self.wants.borrow().is_some() => SessionState::Waiting,
            _ if self.visitor.replicates => SessionState::Active,
            None => SessionState::Login,
            Some((Doing::Nothing, _)) => SessionState::Idle,
            Some((Doing::Transaction, _)) => SessionState::InTransaction,
            Some((Doing::Batch, _)) => SessionState::Active,
        }
    }

    /// Why it stays on its server, in one of few words.
    pub(super) fn pinned(&self) -> Option<&'static str> {
        self.pin.borrow().as_ref().map(Pin::word)
    }

    /// Whose it is.
    pub(super) fn visitor(&self) -> &Visitor {
        &self.visitor
    }

    pub(super) fn id(&self) -> u64 {
        self.visitor.id
    }

    /// Tells the session what an operator wants of it.
    pub(super) fn give(&self, order: Order) {
        self.order.set(Some(order));
        self.wake();
    }

    /// What an operator wants. Says so once.
    pub(super) fn take_order(&self) -> Option<Order> {
        self.order.take()
    }

    /// Whether the session is to end.
    pub(super) fn must_end(&self) -> bool {
        self.order.get() == Some(Order::End)
    }

    /// Returns when the session is to end.
    pub(super) async fn end_ordered(&self) {
        std::future::poll_fn(|cx| {
            if self.must_end() {
                return Poll::Ready(());
            }
            self.remember(cx);
            Poll::Pending
        })
        .await;
    }

    /// The session is this one's, and stays on its server for this reason.
    pub(super) fn belongs(&self, who: &Arc<Who>, pin: Option<&Pin>) {
        if !Arc::ptr_eq(&self.who.borrow(), who) {
            *self.who.borrow_mut() = Arc::clone(who);
        }
        if self.pin.borrow().as_ref() != pin {
            *self.pin.borrow_mut() = pin.cloned();
        }
    }

    /// Sees to it that operators see the session wait for a server while it does. No look at a clock unless it must.
    pub(super) async fn waiting<T>(
        &self,
        decision: &Decision,
        lease: impl Future<Output = T>,
    ) -> T {
        let mut lease = pin!(lease);
        let _seen = Wanting(&self.wants);
        std::future::poll_fn(|cx| {
            let poll = lease.as_mut().poll(cx);
            if poll.is_pending() && self.wants.borrow().is_none() {
                *self.wants.borrow_mut() = Some((decision.clone(), Instant::now()));
            }
            poll
        })
        .await
    }

    /// A session waits, with this to do.
    pub(super) fn waits(&self, doing: (Doing, u32), sweeps: u64, cx: &Context<'_>) {
        if self.doing.get() != Some(doing) {
            self.doing.set(Some(doing));
            self.since.set(Some(sweeps));
            self.over.set(false);
        }
        self.remember(cx);
    }

    /// Who is to be woken.
    pub(super) fn remember(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }

    pub(super) fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Whether it has taken too long. Says so once.
    pub(super) fn is_over(&self) -> bool {
        self.over.take()
    }

    /// Wakes a session that takes too long.
    pub(super) fn look(&self, sweeps: u64, limits: &Limits) {
        let (Some((doing, _)), Some(since)) = (self.doing.get(), self.since.get()) else { return };
        let longest = match doing {
            Doing::Nothing => limits.idle_timeout,
            Doing::Transaction => limits.idle_in_transaction_timeout,
            Doing::Batch => limits.query_timeout,
        };
        // It began within a period: that one is not whole.
        let whole = sweeps.saturating_sub(since).saturating_sub(1);
        let took = SWEEP.saturating_mul(u32::try_from(whole).unwrap_or(u32::MAX));
        if longest.is_some_and(|longest| took >= longest) {
            self.since.set(None);
            self.over.set(true);
            self.wake();
        }
    }
}

/// A session wants a server for as long as this lives.
struct Wanting<'s>(&'s RefCell<Option<(Decision, Instant)>>);

impl Drop for Wanting<'_> {
    fn drop(&mut self) {
        // Mostly there is nothing to forget.
        if self.0.borrow().is_some() {
            *self.0.borrow_mut() = None;
        }
    }
}
