use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use howdah_cluster::NodeId;
use howdah_pool::Clearance;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{self, Instant};

use super::Origin;
use super::question::Found;

/// Least time from one question to the next while clients wait; timers add up to a millisecond.
const INTERVAL: Duration = Duration::from_micros(500);
/// How soon it is asked when nobody waits, but connections have gone to other clients since the last answer.
const LAZY: Duration = Duration::from_millis(2);
/// How soon when each has stayed with its client.
const LAZIEST: Duration = Duration::from_millis(50);
/// A connection that nothing has been asked over for so long is closed.
const IDLE: Duration = Duration::from_secs(600);

/// What has to be found out before a connection may go to another client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The time in which its last client has used it; 0: it is not known whether its statements were looked at with what was
    /// true.
    epoch: u64,
    /// The question whose answer tells.
    question: u64,
}

impl Stamp {
    /// Whether it is of this epoch, in which something is known.
    pub(crate) fn is_of(self, epoch: u64) -> bool {
        self.epoch != 0 && self.epoch == epoch
    }

    /// Which question has to be answered first.
    pub(crate) fn until(self) -> u64 {
        self.question
    }
}

/// What is known of the definitions in one database of one node.
#[derive(Default)]
pub struct Definitions {
    /// A number for the time since a catalog is known to be what the node has, and nothing else was in between; 0: none is.
    epoch: AtomicU64,
    /// What that catalog says ([`howdah_cluster::Catalog::content`]).
    content: AtomicU64,
    /// Questions that have been begun.
    begun: AtomicU64,
    /// The last one that has been answered, or given up.
    ended: AtomicU64,
    /// Whether by that all was as before, and where the node's WAL was.
    answered: AtomicBool,
    lsn: AtomicU64,
    /// The last one by which nothing had changed.
    clean: AtomicU64,
    /// Epochs that there have been.
    epochs: AtomicU64,
    /// The epoch before the present one, and the last such question of it.
    former: AtomicU64,
    former_clean: AtomicU64,
    /// Connections that have been given back before this one was begun may go to anybody, as they are or after DISCARD ALL.
    cleared: AtomicU64,
    /// Its answer is waited for no longer: all of them may.
    late: AtomicBool,
    /// The last one that somebody needs.
    needed: AtomicU64,
    /// Somebody has looked for a connection that was another one's.
    sought: AtomicBool,
    /// Clients of this node are waiting for an answer.
    urgent: AtomicBool,
    /// Connections come back of which nothing is known.
    unknown: AtomicBool,
    /// None has come back since the catalog was loaded last.
    idle: AtomicBool,
    /// Something of this has changed.
    noted: Notify,
    /// Something has ended.
    told: Notify,
    /// How often they have changed, or it is not known.
    changes: AtomicU64,
    /// What is called when connections are free: pools that give them to those that wait.
    pools: Mutex<Vec<Box<dyn Fn() + Send + Sync>>>,
}

impl Definitions {
    /// To be called when connections are free.
    pub(crate) fn tells(&self, pool: impl Fn() + Send + Sync + 'static) {
        self.pools.lock().push(Box::new(pool));
    }

    /// Changes when the catalog that is known to be what the node has does; 0: none is.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// What that catalog says, if it is still the same in the end.
    pub(crate) fn content(&self) -> u64 {
        self.content.load(Ordering::SeqCst)
    }

    /// A connection is given back. Its last client's statements were looked at with what was true in this epoch, in which it
    /// was lent, or (0) it is not known.
    pub(crate) fn stamp(&self, epoch: u64) -> Stamp {
        if self.idle.load(Ordering::Relaxed) {
            self.idle.store(false, Ordering::Relaxed);
        }
        if epoch == 0 || self.epoch() != epoch {
            if self.epoch() == 0 && !self.unknown.swap(true, Ordering::SeqCst) {
                self.noted.notify_one();
            }
            return Stamp::default();
        }
        let question = self.begun.load(Ordering::SeqCst) + 1;
        self.need(question);
        Stamp { epoch, question }
    }

    fn need(&self, question: u64) {
        if self.needed.load(Ordering::SeqCst) < question
            && self.needed.fetch_max(question, Ordering::SeqCst) < question
            && !self.urgent.load(Ordering::SeqCst)
        {
            self.noted.notify_one();
        }
    }

    /// Whether one has been since the last call.
    pub(super) fn was_in_use(&self) -> bool {
        !self.idle.swap(true, Ordering::Relaxed)
    }

    /// Whether it is known what a connection's last client has left there.
    pub(crate) fn vouches(&self, stamp: Stamp) -> bool {
        let was_former = || self.former.load(Ordering::SeqCst) == stamp.epoch;
        let now =
            self.clean.load(Ordering::SeqCst) >= stamp.question && self.epoch() == stamp.epoch;
        let before = || {
            was_former()
                && self.former_clean.load(Ordering::SeqCst) >= stamp.question
                && was_former()
        };
        stamp.epoch != 0 && (now || before())
    }

    /// It is not known what connections will have done. What was known stays known.
    pub(super) fn retire(&self) {
        let epoch = self.epoch.swap(0, Ordering::SeqCst);
        if epoch != 0 {
            self.former.store(0, Ordering::SeqCst);
            self.former_clean.store(self.clean.load(Ordering::SeqCst), Ordering::SeqCst);
            self.former.store(epoch, Ordering::SeqCst);
        }
    }

    /// Asks a question that is begun after this has been called. How often definitions have changed by then; none if they have
    /// just now, or may have, or there is no answer.
    async fn ask(&self) -> Option<u64> {
        let question = self.begun.load(Ordering::SeqCst) + 1;
        self.need(question);
        self.hurry();
        loop {
            let told = self.told.notified();
            if self.ended.load(Ordering::SeqCst) >= question {
                break;
            }
            told.await;
        }
        let answered = self.answered.load(Ordering::SeqCst);
        answered.then(|| self.changes())
    }

    /// What a catalog is loaded between, from a primary.
    pub(in crate::monitor) async fn now(&self, node: NodeId) -> Option<Origin> {
        let changes = self.ask().await?;
        Some(Origin { node, changes, lsn: self.lsn() })
    }

    /// Waits until a question is needed; the last was begun `before`, and a node that does not answer rests. False: none has been
    /// needed for so long that the connection is not needed either.
    pub(super) async fn wanted(&self, connected: bool, before: Instant, rest: Instant) -> bool {
        let (mut lazily, sought) = (None, self.sought.swap(false, Ordering::Relaxed));
        loop {
            let now = Instant::now();
            let urgent = self.urgent.load(Ordering::SeqCst);
            let until = if self.is_needed() {
                let lazy = if sought { LAZY } else { LAZIEST };
                let at = *lazily.get_or_insert(now + lazy);
                let at = if urgent { at.min(before + INTERVAL) } else { at };
                if at <= now {
                    return true;
                }
                at
            } else if urgent {
                // Nobody notifies meanwhile.
                if before + INTERVAL <= now {
                    self.urgent.store(false, Ordering::SeqCst);
                    continue;
                }
                before + INTERVAL
            } else if self.unknown.load(Ordering::SeqCst) {
                if rest <= now {
                    return true;
                }
                rest
            } else {
                now + IDLE
            };
            tokio::select! {
                () = self.noted.notified() => {}
                () = time::sleep_until(until) => {
                    if connected && until == now + IDLE {
                        return false;
                    }
                }
            }
        }
    }

    fn is_needed(&self) -> bool {
        self.needed.load(Ordering::SeqCst) > self.begun.load(Ordering::SeqCst)
    }

    /// A question is begun, the one of this number.
    pub(super) fn begin(&self) -> u64 {
        self.begun.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// It has been answered, or (none) given up. Whoever waits for it gets connections.
    pub(super) fn ended(&self, question: u64, found: Option<Found>) {
        match found {
            Some(Found::Same) => self.clean.store(question, Ordering::SeqCst),
            Some(Found::Again | Found::Doubt) => self.retire(),
            Some(Found::Change) | None => self.changed(),
        }
        let answered = matches!(found, Some(Found::Same | Found::Again));
        self.answered.store(answered, Ordering::SeqCst);
        self.ended.store(question, Ordering::SeqCst);
        self.told.notify_waiters();
        self.cleared.store(question, Ordering::SeqCst);
        self.late.store(false, Ordering::SeqCst);
        self.ring();
    }

    /// Whoever waits for any gets connections until [`Definitions::ended`] is called.
    pub(super) fn is_late(&self) {
        self.late.store(true, Ordering::SeqCst);
        self.ring();
    }

    fn ring(&self) {
        self.pools.lock().iter().for_each(|tell| tell());
    }

    /// How often it has been asked, and how often that told of a change, or there was no answer.
    pub fn figures(&self) -> (u64, u64) {
        (self.begun.load(Ordering::Relaxed), self.changes.load(Ordering::Relaxed))
    }

    /// Where the WAL was that the node answers from.
    pub(super) fn is_at(&self, lsn: u64) {
        self.lsn.store(lsn, Ordering::SeqCst);
    }

    pub(super) fn lsn(&self) -> u64 {
        self.lsn.load(Ordering::SeqCst)
    }

    /// Whether connections come back of which nothing is known.
    pub(super) fn is_unknown(&self, unknown: bool) {
        self.unknown.store(unknown, Ordering::SeqCst);
    }

    /// How often they have changed, or it is not known.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }

    /// They have changed, or it is not known.
    pub(super) fn changed(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.retire();
    }

    /// The catalog that says this is true, if they have not changed more often than that.
    pub(super) fn believe(&self, content: u64, changes: u64) {
        self.content.store(content, Ordering::SeqCst);
        let epoch = self.epochs.fetch_add(1, Ordering::SeqCst) + 1;
        self.epoch.store(epoch, Ordering::SeqCst);
        if self.changes.load(Ordering::SeqCst) != changes {
            self.retire();
        }
    }
}

impl Clearance for Definitions {
    fn cleared(&self) -> u64 {
        if !self.sought.load(Ordering::Relaxed) {
            self.sought.store(true, Ordering::Relaxed);
        }
        match self.late.load(Ordering::SeqCst) {
            true => u64::MAX,
            false => self.cleared.load(Ordering::SeqCst),
        }
    }

    fn promised(&self) -> u64 {
        self.begun.load(Ordering::SeqCst)
    }

    fn hurry(&self) {
        if !self.urgent.swap(true, Ordering::SeqCst) {
            self.noted.notify_one();
        }
    }
}
