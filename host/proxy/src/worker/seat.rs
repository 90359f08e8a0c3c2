//! What the sessions of a worker are doing, and since when. The worker looks once a second for those that take too long, so
//! that no session needs a timer of its own, and a query costs no look at a clock.

use std::cell::{Cell, RefCell};
use std::task::{Context, Waker};

use howdah_session::Doing;

use super::SWEEP;
use crate::config::Limits;

/// A session, as its worker sees it.
#[derive(Default)]
pub(crate) struct Seat {
    waker: RefCell<Option<Waker>>,
    /// It has leased a server.
    pub(super) leases: Cell<bool>,
    /// What it waits for, and the number of its batch.
    doing: Cell<Option<(Doing, u32)>>,
    /// Sweeps of the worker when that began; none when it has been told that it takes too long.
    since: Cell<Option<u64>>,
    /// It takes too long.
    over: Cell<bool>,
}

impl Seat {
    /// A session waits, with this to do.
    pub(crate) fn waits(&self, doing: (Doing, u32), sweeps: u64, cx: &Context<'_>) {
        if self.doing.get() != Some(doing) {
            self.doing.set(Some(doing));
            self.since.set(Some(sweeps));
            self.over.set(false);
        }
        self.remember(cx);
    }

    /// Who is to be woken.
    pub(crate) fn remember(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }

    pub(crate) fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Whether it has taken too long. Says so once.
    pub(crate) fn is_over(&self) -> bool {
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
