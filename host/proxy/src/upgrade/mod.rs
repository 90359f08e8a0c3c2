//! Upgrades: a new process takes over from an old one, and no client notices.
//!
//! The old process starts the new one, and leaves it copies of its sockets. When the new one could serve, the old one
//! listens no more, and hands over its sessions, each when it is at rest; what cannot be handed over stays until it ends, or
//! `limits.upgrade_timeout` has passed. A cancel request that comes to one of the two is passed on to the other. Anything
//! wrong before the new process is ready: it ends, and the old one goes on as if nothing had been.

mod link;
mod predecessor;
mod successor;

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::PollSemaphore;

use crate::worker::{Departure, Shared};
use link::{Link, Message};
pub(crate) use predecessor::Predecessor;
pub(crate) use predecessor::tell_failure;
pub(crate) use successor::{Successor, own_program};

/// Set for a process that is to take over: its standard input is the link to the one that has started it.
const VARIABLE: &str = "HOWDAH_UPGRADE";
/// Longest time in which a new process must be ready: it compiles all policies.
pub(crate) const MAX_START: Duration = Duration::from_secs(120);
/// Sessions that are on their way at once: enough to keep both processes busy, few enough to fit into memory whatever their
/// size.
const ON_THEIR_WAY: usize = 32;

/// Somebody wants another process to take over.
pub(crate) struct Order {
    /// The program, if not the one that runs.
    pub(crate) program: Option<PathBuf>,
    /// The process that has taken over, or why there is none.
    pub(crate) answer: oneshot::Sender<Result<u32, String>>,
}

/// The other process, for workers.
pub(crate) struct Kin {
    out: mpsc::UnboundedSender<Outgoing>,
    /// None: it takes no sessions.
    turns: Option<Arc<Semaphore>>,
}

enum Outgoing {
    Message(Message),
    Session(Box<Departure>, OwnedFd, oneshot::Sender<Result<(), String>>),
}

/// What is to be said to the other process.
pub(crate) struct Outbox(mpsc::UnboundedReceiver<Outgoing>);

impl Kin {
    pub(crate) fn new(takes_sessions: bool) -> (Arc<Kin>, Outbox) {
        let (out, inbox) = mpsc::unbounded_channel();
        let turns = takes_sessions.then(|| Arc::new(Semaphore::new(ON_THEIR_WAY)));
        (Arc::new(Kin { out, turns }), Outbox(inbox))
    }

    /// A session's turn to go, if sessions can.
    pub(crate) fn turn(&self) -> Option<PollSemaphore> {
        self.turns.clone().map(PollSemaphore::new)
    }

    /// Passes a cancel request on.
    pub(crate) fn cancel(&self, pid: u32, key: &[u8]) {
        self.say(Message::Cancel(pid, key.to_vec()));
    }

    /// Hands a session over. When it has been taken, nothing must be done with its socket but to close it.
    ///
    /// # Errors
    /// It was not taken, and goes on here.
    pub(crate) async fn take(
        &self,
        session: Box<Departure>,
        socket: OwnedFd,
    ) -> Result<(), String> {
        let (answer, answered) = oneshot::channel();
        // When the other process has ended, so has the receiver; the answer is lost then.
        let _ = self.out.send(Outgoing::Session(session, socket, answer));
        answered.await.unwrap_or_else(|_| Err("the other process has ended".to_owned()))
    }

    /// Says whether a session was taken.
    pub(crate) fn answer(&self, number: u64, taken: Result<(), String>) {
        self.say(match taken {
            Ok(()) => Message::Taken(number),
            Err(why) => Message::Refused(number, why),
        });
    }

    fn say(&self, message: Message) {
        // When the other process has ended, nobody is left to be told.
        let _ = self.out.send(Outgoing::Message(message));
    }
}

/// Talks with the other process until it ends.
async fn converse(link: &Link, outbox: Outbox, shared: &Shared, kin: &Kin) -> io::Result<()> {
    let waiting = Waiting::default();
    let end = tokio::select! {
        said = say(link, outbox, &waiting) => said,
        heard = hear(link, shared, kin, &waiting) => heard,
    };
    // They may have been taken, and nobody knows: better that their clients connect again than that two serve them.
    for (_, answer) in waiting.take() {
        let _ = answer.send(Ok(()));
    }
    end
}

/// Who waits for what became of a session, by its number.
type Waiting = RefCell<HashMap<u64, oneshot::Sender<Result<(), String>>>>;

async fn say(link: &Link, Outbox(mut inbox): Outbox, waiting: &Waiting) -> io::Result<()> {
    let mut number = 0;
    while let Some(outgoing) = inbox.recv().await {
        let (session, socket, answer) = match outgoing {
            Outgoing::Message(message) => {
                link.send(&message, &[]).await?;
                continue;
            }
            Outgoing::Session(session, socket, answer) => (session, socket, answer),
        };
        number += 1;
        waiting.borrow_mut().insert(number, answer);
        match link.send(&Message::Session(number, session), &[socket.as_fd()]).await {
            // Nothing of it has been sent.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                settle(waiting, number, Err(error.to_string()));
            }
            sent => sent?,
        }
    }
    Ok(())
}

async fn hear(link: &Link, shared: &Shared, kin: &Kin, waiting: &Waiting) -> io::Result<()> {
    while let Some((message, sockets)) = link.receive().await? {
        match message {
            Message::Taken(number) => settle(waiting, number, Ok(())),
            Message::Refused(number, why) => settle(waiting, number, Err(why)),
            Message::Cancel(pid, key) => shared.cancel(pid, key.into(), true),
            Message::Session(number, session) => {
                let socket = sockets.into_iter().next();
                let arrived = socket.ok_or_else(|| "there is no socket with it".to_owned());
                if let Err(why) = arrived.and_then(|socket| shared.arrives(number, session, socket))
                {
                    kin.answer(number, Err(why));
                }
            }
            _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "an unexpected message")),
        }
    }
    Ok(())
}

fn settle(waiting: &Waiting, number: u64, taken: Result<(), String>) {
    if let Some(answer) = waiting.borrow_mut().remove(&number) {
        // The session has gone meanwhile, or its worker has.
        let _ = answer.send(taken);
    }
}
