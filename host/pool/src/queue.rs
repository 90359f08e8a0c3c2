use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::lease::Kept;

/// How much longer than the oldest of a worker's own clients a client of another worker may have waited
/// before it goes first: moving a socket between reactors costs some microseconds and a wake-up. Of 2, 5, 10 and 30 ms
/// this has the best 99th percentile (docs/decisions/budget.md).
const FOREIGN_PATIENCE: Duration = Duration::from_millis(5);

/// What a waiting client gets.
#[derive(Debug)]
pub(crate) enum Given<C> {
    Conn(Kept<C>),
    Permit,
}

/// When it is whose turn: the higher priority first, then who has waited longer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Turn {
    priority: Reverse<i8>,
    since: Instant,
    number: u64,
}

struct Waiter<C> {
    turn: Turn,
    worker: usize,
    to: oneshot::Sender<Given<C>>,
}

/// Clients that wait: those of a higher priority first, and of the same one the oldest first. Pure.
pub(crate) struct Queue<C> {
    waiters: VecDeque<Waiter<C>>,
    next: u64,
}

impl<C> Queue<C> {
    pub(crate) fn new() -> Queue<C> {
        Queue { waiters: VecDeque::new(), next: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.waiters.len()
    }

    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.waiters.iter().map(|waiter| waiter.turn.since).min()
    }

    pub(crate) fn push(
        &mut self,
        worker: usize,
        priority: i8,
        since: Instant,
    ) -> (Turn, oneshot::Receiver<Given<C>>) {
        let (to, from) = oneshot::channel();
        let turn = Turn { priority: Reverse(priority), since, number: self.next };
        self.next += 1;
        let at = self.waiters.partition_point(|waiter| waiter.turn < turn);
        self.waiters.insert(at, Waiter { turn, worker, to });
        (turn, from)
    }

    /// The client of this turn does not wait any more.
    pub(crate) fn remove(&mut self, turn: Turn) {
        if let Ok(at) = self.waiters.binary_search_by_key(&turn, |waiter| waiter.turn) {
            self.waiters.remove(at);
        }
    }

    /// Gives to the client whose turn it is. What nobody takes comes back.
    pub(crate) fn give(&mut self, mut given: Given<C>) -> Option<Given<C>> {
        loop {
            let Some(at) = self.turn(&given) else { return Some(given) };
            let waiter = self.waiters.remove(at)?;
            match waiter.to.send(given) {
                Ok(()) => return None,
                Err(back) => given = back,
            }
        }
    }

    /// The first, unless a client on the connection's own reactor with the same priority has waited nearly as long.
    fn turn(&self, given: &Given<C>) -> Option<usize> {
        let first = self.waiters.front()?;
        let Given::Conn(conn) = given else { return Some(0) };
        let local = self.waiters.iter().position(|waiter| waiter.worker == conn.home);
        match local.and_then(|at| self.waiters.get(at).map(|waiter| (at, waiter))) {
            Some((at, waiter))
                if waiter.turn.priority == first.turn.priority
                    && waiter.turn.since - first.turn.since < FOREIGN_PATIENCE =>
            {
                Some(at)
            }
            _ => Some(0),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.waiters.clear();
    }
}

/// Takes a waiting client out of the queue when it goes away, so that nothing is given to nobody.
pub(crate) struct Ticket<C: Send> {
    pub(crate) turn: Turn,
    pub(crate) shared: Arc<crate::pool::Shared<C>>,
    pub(crate) from: oneshot::Receiver<Given<C>>,
}

impl<C: Send> Drop for Ticket<C> {
    fn drop(&mut self) {
        self.shared.gone(self.turn);
        // What was given in the very last moment goes on to the next.
        if let Ok(given) = self.from.try_recv() {
            crate::pool::Shared::give_back(&self.shared, given);
        }
    }
}
