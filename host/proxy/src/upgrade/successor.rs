//! The process that follows this one.

use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::timeout;

use super::link::{Estate, Go, Link, Message, PROTOCOL, SESSIONS};
use super::{Kin, MAX_START, Outbox, VARIABLE, converse};
use crate::sockets::{Purpose, Sockets};
use crate::worker::Shared;

/// Numbers of clients that are left to this process: more than it can still need.
const NUMBERS: u64 = 1 << 20;

/// A process that could serve clients. Until it has been told to, it ends when this is dropped.
pub(crate) struct Successor {
    link: Link,
    started: Started,
    /// Whether it takes sessions as this process has them.
    takes_sessions: bool,
}

/// A process that ends when this is dropped, unless it is to go on.
struct Started {
    child: Child,
    goes_on: bool,
}

impl Drop for Started {
    fn drop(&mut self) {
        if !self.goes_on {
            self.end();
        }
    }
}

impl Started {
    /// Ends it, and says how it has ended if it had done so by itself.
    fn end(&mut self) -> String {
        // It may have ended.
        let _ = self.child.kill();
        self.child.wait().map_or_else(|error| error.to_string(), |status| status.to_string())
    }
}

impl Successor {
    /// Starts a process with the arguments of this one, and waits until it is ready.
    ///
    /// # Errors
    /// It could not be started, or has ended, or takes too long.
    pub(crate) async fn start(
        program: Option<PathBuf>,
        shared: &Shared,
        sockets: &Sockets,
    ) -> Result<Successor, String> {
        if shared.kin().is_some() {
            return Err(
                "the process before this one has not handed over all its sessions yet".into()
            );
        }
        let program = program.unwrap_or_else(|| shared.program.clone());
        let failed = |error: std::io::Error| format!("{}: {error}", program.display());
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        let link = Link::new(ours).map_err(failed)?;
        let started = Started { child: spawn(&program, theirs).map_err(failed)?, goes_on: false };
        let mut successor = Successor { link, started, takes_sessions: false };
        match timeout(MAX_START, successor.wait(shared, sockets)).await {
            Ok(Ok(())) => Ok(successor),
            Ok(Err(why)) => Err(why),
            Err(_) => Err(format!("it was not ready after {} s", MAX_START.as_secs())),
        }
    }

    async fn wait(&mut self, shared: &Shared, sockets: &Sockets) -> Result<(), String> {
        let (purposes, fds): (Vec<Purpose>, Vec<BorrowedFd<'_>>) = sockets
            .used()
            .iter()
            .map(|(purpose, socket)| (purpose.clone(), socket.as_fd()))
            .unzip();
        let estate = Estate {
            protocol: PROTOCOL,
            sockets: purposes,
            hash_key: howdah_session::hash_key(),
            databases: shared.monitor.databases(),
        };
        // One that has ended says nothing any more, or has said why.
        let _ = self.link.send(&Message::Estate(estate), &fds).await;
        match self.link.receive().await {
            Ok(Some((Message::Ready { sessions }, _))) => {
                self.takes_sessions = sessions == SESSIONS;
                Ok(())
            }
            Ok(Some((Message::Failed(why), _))) => Err(why),
            Ok(Some(_)) => Err("it does not speak as a process that takes over".to_owned()),
            Err(error) if error.kind() != ErrorKind::ConnectionReset => {
                Err(format!("it cannot be understood: {error}"))
            }
            Ok(None) | Err(_) => {
                Err(format!("it has ended ({}); the log may say why", self.started.end()))
            }
        }
    }

    /// Its number.
    pub(crate) fn pid(&self) -> u32 {
        self.started.child.id()
    }

    /// Tells it to serve clients. From now on it goes on whatever becomes of this process.
    ///
    /// # Errors
    /// It has ended in the last moment.
    pub(crate) async fn go(&mut self, shared: &Shared) -> std::io::Result<()> {
        let snapshot = shared.monitor.snapshot();
        let is_paused =
            |cluster: &usize| snapshot.paused.get(*cluster).copied().unwrap_or_default();
        let paused = (0..snapshot.clusters.len()).filter(is_paused);
        let nodes = snapshot.specs.iter().zip(&snapshot.states);
        let drained = nodes.filter(|(_, state)| state.drained);
        let next = shared.next_client.load(Ordering::Relaxed);
        let go = Go {
            // Those who come here meanwhile get some of the numbers between.
            next_client: next + NUMBERS,
            paused: paused.map(|cluster| snapshot.clusters[cluster].clone()).collect(),
            drained: drained.map(|(spec, _)| spec.name.clone()).collect(),
            shown: shared.memory.keys.all_shown(),
        };
        self.link.send(&Message::Go(Box::new(go)), &[]).await?;
        self.started.goes_on = true;
        Ok(())
    }

    /// Passes on whatever workers have for it, until it ends.
    pub(crate) async fn serve(self, outbox: Outbox, shared: Arc<Shared>, kin: Arc<Kin>) {
        let ended = converse(&self.link, outbox, &shared, &kin).await;
        shared.is_kin_to(None);
        match ended {
            Ok(()) => tracing::warn!("the process that has taken over has ended"),
            Err(error) => {
                tracing::warn!(%error, "the process that has taken over cannot be reached");
            }
        }
    }

    /// Whether sessions can be handed over to it.
    pub(crate) fn takes_sessions(&self) -> bool {
        self.takes_sessions
    }
}

/// Starts a process whose standard input is the link. What systemd has said to this one is not for it.
fn spawn(program: &Path, link: UnixStream) -> std::io::Result<Child> {
    let mut command = Command::new(program);
    command.args(std::env::args_os().skip(1)).env(VARIABLE, "1").stdin(OwnedFd::from(link));
    for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID"] {
        command.env_remove(name);
    }
    command.spawn()
}

/// The program that runs, as it was called: a file that has replaced it is meant, and what a link leads to by then.
pub(crate) fn own_program() -> PathBuf {
    let called = PathBuf::from(std::env::args_os().next().unwrap_or_default());
    // A name alone is looked for where programs are.
    match called.components().count() {
        0 | 1 => called,
        _ => std::path::absolute(&called).unwrap_or(called),
    }
}
