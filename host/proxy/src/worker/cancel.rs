//! Cancel requests. Clients get keys of the proxy's own: the process id names the process, the worker and the slot of
//! the session, the secret proves who asks. So a request needs no table that workers or processes share.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use howdah_wire::same;
use slab::Slab;
use tokio::time::Instant;

use crate::upstream::{self, Endpoint, Target};

/// A key's process id: below the sign bit six bits for the process, seven for the worker, the rest for the session.
const SLOT_BITS: u32 = 18;
const WORKER_BITS: u32 = 7;
/// Set in a request that another process has passed on: it goes no further.
const PASSED_ON: u32 = 1 << 31;
/// Most sessions of one worker.
pub(crate) const MAX_SLOTS: usize = 1 << SLOT_BITS;
/// Secret of a key: protocol 3.0 has room for four bytes, 3.2 for 256, of which PostgreSQL uses 32.
const SECRET: usize = 32;
const SHORT_SECRET: usize = 4;
/// How long a cancel request to a server may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// What a worker knows of a session for the sake of cancel requests.
pub(crate) struct Slot {
    secret: Box<[u8]>,
    server: RefCell<Option<Arc<ServerKey>>>,
}

/// How to cancel what a server runs. Lives with the connection.
pub(crate) struct ServerKey {
    server: Endpoint,
    pid: u32,
    key: Box<[u8]>,
    /// Requests on their way: the connection must not be lent to anyone else meanwhile.
    under_way: AtomicU32,
    /// A request may still arrive, nobody knows when.
    lost: AtomicBool,
    done: tokio::sync::Notify,
}

impl ServerKey {
    pub(crate) fn new(server: Endpoint, pid: u32, key: Box<[u8]>) -> Arc<ServerKey> {
        Arc::new(ServerKey {
            server,
            pid,
            key,
            under_way: AtomicU32::new(0),
            lost: AtomicBool::new(false),
            done: tokio::sync::Notify::new(),
        })
    }

    /// The server's process.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether no request is on its way, and none got lost.
    pub(crate) fn is_unused(&self) -> bool {
        !self.is_cancelling() && !self.lost.load(Ordering::Acquire)
    }

    fn is_cancelling(&self) -> bool {
        self.under_way.load(Ordering::Acquire) > 0
    }

    /// Returns when no request is on its way any more; false when one got lost, so that the connection must not be lent
    /// to anyone else at all. Cancel safe.
    pub(crate) async fn settled(&self) -> bool {
        loop {
            let done = self.done.notified();
            if !self.is_cancelling() {
                return !self.lost.load(Ordering::Acquire);
            }
            done.await;
        }
    }

    /// Sends a request to the server. From this call on, not only from when the future runs, it is on its way: the session
    /// may be done with the server in between.
    fn cancel(self: Arc<Self>) -> impl Future<Output = ()> {
        self.under_way.fetch_add(1, Ordering::AcqRel);
        async move {
            let deadline = Instant::now() + DEADLINE;
            if let Err(error) = upstream::cancel(&self.server, self.pid, &self.key, deadline).await
            {
                tracing::warn!(%error, "a cancel request did not reach its server");
                self.lost.store(true, Ordering::Release);
            }
            self.under_way.fetch_sub(1, Ordering::AcqRel);
            self.done.notify_waiters();
        }
    }
}

/// Who a cancel request is for.
pub(crate) enum Recipient {
    /// This process.
    Here,
    /// The process of this number.
    Peer(usize),
}

/// Who a request with this process id is for. One that was passed on is for this process in any case.
pub(crate) fn recipient(pid: u32, own: usize) -> Recipient {
    let process = ((pid & !PASSED_ON) >> (SLOT_BITS + WORKER_BITS)) as usize;
    match process == own || pid & PASSED_ON != 0 {
        true => Recipient::Here,
        false => Recipient::Peer(process),
    }
}

/// The worker in a process id. One of a session that has come from a process with more workers names none.
pub(crate) fn worker(pid: u32) -> usize {
    (pid >> SLOT_BITS) as usize & ((1 << WORKER_BITS) - 1)
}

/// Passes a request on to the process that it is for.
pub(crate) async fn pass_on(peer: &Target, pid: u32, key: &[u8]) {
    let deadline = Instant::now() + DEADLINE;
    let peer = Endpoint::from(peer.clone());
    if let Err(error) = upstream::cancel(&peer, pid | PASSED_ON, key, deadline).await {
        let peer = peer.to_string();
        tracing::warn!(peer, %error, "a cancel request could not be passed on");
    }
}

/// The slots of one worker.
pub(crate) struct Slots {
    process: usize,
    worker: usize,
    slots: RefCell<Slab<Rc<Slot>>>,
    /// Of sessions that have come from other processes, by their process ids, which sessions of this process may have too:
    /// the secret tells them apart.
    moved: RefCell<HashMap<u32, Vec<Rc<Slot>>>>,
}

/// A session's place among the slots; given up when dropped.
pub(crate) struct Place {
    slots: Rc<Slots>,
    pid: u32,
    slot: Rc<Slot>,
    /// It has come from another process.
    moved: bool,
}

impl Slots {
    pub(crate) fn new(process: usize, worker: usize) -> Rc<Slots> {
        let (slots, moved) = (RefCell::default(), RefCell::default());
        Rc::new(Slots { process, worker, slots, moved })
    }

    /// A place with a fresh secret. None when the worker has [`MAX_SLOTS`] sessions.
    pub(crate) fn occupy(self: &Rc<Slots>, long_key: bool) -> Option<Place> {
        let mut slots = self.slots.borrow_mut();
        if slots.len() >= MAX_SLOTS {
            return None;
        }
        let secret: [u8; SECRET] = upstream::random();
        let secret = &secret[..if long_key { SECRET } else { SHORT_SECRET }];
        let slot = Slot::new(secret.into());
        let index = slots.insert(Rc::clone(&slot)) as u32;
        let process = (self.process as u32) << (SLOT_BITS + WORKER_BITS);
        let pid = process | ((self.worker as u32) << SLOT_BITS) | index;
        Some(Place { slots: Rc::clone(self), pid, slot, moved: false })
    }

    /// The place of a session that has come from another process, with its key.
    pub(crate) fn admit(self: &Rc<Slots>, pid: u32, secret: Box<[u8]>) -> Place {
        let slot = Slot::new(secret);
        self.moved.borrow_mut().entry(pid).or_default().push(Rc::clone(&slot));
        Place { slots: Rc::clone(self), pid, slot, moved: true }
    }

    /// Sends a request on to the server that the session uses at this moment, if any. False: there is no such session.
    pub(crate) fn cancel(&self, pid: u32, secret: &[u8]) -> bool {
        let pid = pid & !PASSED_ON;
        let (slots, moved) = (self.slots.borrow(), self.moved.borrow());
        let here = slots.get(pid as usize & (MAX_SLOTS - 1)).into_iter();
        let mut all = here.chain(moved.get(&pid).into_iter().flatten());
        let slot = all.find(|slot| same(&slot.secret, secret));
        slot.inspect(|slot| slot.cancel()).is_some()
    }
}

impl Slot {
    fn new(secret: Box<[u8]>) -> Rc<Slot> {
        Rc::new(Slot { secret, server: RefCell::default() })
    }

    fn cancel(&self) {
        if let Some(server) = self.server.borrow().clone() {
            tokio::task::spawn_local(server.cancel());
        }
    }
}

impl Place {
    /// Cancels what the session's server does for it, if anything.
    pub(crate) fn cancel(&self) {
        self.slot.cancel();
    }

    /// The process id that the client gets.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// The secret that the client gets.
    pub(crate) fn secret(&self) -> &[u8] {
        &self.slot.secret
    }

    /// The server that a cancel request is for from now on.
    pub(crate) fn uses(&self, server: Option<Arc<ServerKey>>) {
        *self.slot.server.borrow_mut() = server;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.moved {
            self.slots.slots.borrow_mut().try_remove(self.pid as usize & (MAX_SLOTS - 1));
            return;
        }
        let mut moved = self.slots.moved.borrow_mut();
        if let Some(slots) = moved.get_mut(&self.pid) {
            slots.retain(|slot| !Rc::ptr_eq(slot, &self.slot));
            if slots.is_empty() {
                moved.remove(&self.pid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn sessions_from_another_process_keep_their_keys() {
        let slots = Slots::new(1, 3);
        let own = slots.occupy(true).unwrap();
        // The first session of that process on that worker had the same number.
        let moved = slots.admit(own.pid(), Box::from(*b"from before"));
        let third = slots.admit(own.pid(), Box::from(*b"from long before"));
        assert_eq!((moved.pid(), moved.secret()), (own.pid(), &b"from before"[..]));
        let known = |secret: &[u8]| slots.cancel(own.pid() | PASSED_ON, secret);
        assert!(known(own.secret()) && known(b"from before") && known(b"from long before"));
        assert!(!known(b"from nowhere"));
        drop(moved);
        assert!(known(own.secret()) && !known(b"from before") && known(b"from long before"));
        drop(third);
        assert!(slots.moved.borrow().is_empty());
        let (pid, secret) = (own.pid(), Box::<[u8]>::from(own.secret()));
        drop(own);
        assert!(!slots.cancel(pid, &secret));
    }
}
