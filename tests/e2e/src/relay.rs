//! A relay between the proxy and a server, which loses what it is told to.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use howdah_wire::{backend, frontend};

/// What is lost of the next COMMIT, after which the proxy's connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Lose {
    /// Nothing.
    Nothing,
    /// Its answer.
    Answer,
    /// COMMIT itself. The server's connection stays open until [`Relay::let_go`].
    Commit,
}

impl Lose {
    fn from(code: u8) -> Lose {
        [Lose::Nothing, Lose::Answer, Lose::Commit][usize::from(code)]
    }
}

#[derive(Debug, Default)]
struct State {
    lose: AtomicU8,
    /// Once something has been lost nobody gets through any more.
    blocks: AtomicBool,
    blocked: AtomicBool,
    lost: AtomicBool,
    /// All connections to the proxy, and those to the server that outlast them.
    clients: Mutex<Vec<TcpStream>>,
    kept: Mutex<Vec<TcpStream>>,
}

/// A relay in front of a server on 127.0.0.1.
#[derive(Debug)]
pub struct Relay {
    /// Where it listens.
    pub port: u16,
    state: Arc<State>,
}

impl Relay {
    /// Starts one. It ends with the process.
    pub fn start(server: u16) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let relay = Relay {
            port: listener.local_addr().unwrap().port(),
            state: Arc::new(State::default()),
        };
        let state = Arc::clone(&relay.state);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                serve(&state, client, server);
            }
        });
        relay
    }

    /// What is lost next. With `and_block` the server is out of reach from then on.
    pub fn lose(&self, what: Lose, and_block: bool) {
        self.state.lost.store(false, Ordering::SeqCst);
        self.state.blocks.store(and_block, Ordering::SeqCst);
        self.state.lose.store(what as u8, Ordering::SeqCst);
    }

    /// Whether it has been lost.
    pub fn has_lost(&self) -> bool {
        self.state.lost.load(Ordering::SeqCst)
    }

    /// Closes the connections to the server that were kept.
    pub fn let_go(&self) {
        for server in self.state.kept.lock().unwrap().drain(..) {
            // It may have gone by itself.
            let _ = server.shutdown(Shutdown::Both);
        }
    }

    /// Lets everybody through again.
    pub fn unblock(&self) {
        self.state.blocked.store(false, Ordering::SeqCst);
    }
}

/// One connection of the proxy.
struct Link {
    state: Arc<State>,
    client: TcpStream,
    server: TcpStream,
    lose: AtomicU8,
    /// How many ReadyForQuery come up to the answer to what the proxy has asked in front of its COMMIT; zero before it has.
    asked: AtomicUsize,
}

fn serve(state: &Arc<State>, client: TcpStream, server: u16) {
    if state.blocked.load(Ordering::SeqCst) {
        return;
    }
    let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { return };
    state.clients.lock().unwrap().push(client.try_clone().unwrap());
    let (lose, asked) = (AtomicU8::new(Lose::Nothing as u8), AtomicUsize::new(0));
    let link = Arc::new(Link { state: Arc::clone(state), client, server, lose, asked });
    let other = Arc::clone(&link);
    std::thread::spawn(move || link.up());
    std::thread::spawn(move || other.down());
}

impl Link {
    /// From the proxy to the server.
    fn up(&self) {
        let (mut tagged, mut dropping, mut readies) = (false, false, 0);
        while let Some(message) = message(&self.client, tagged) {
            let answered =
                [frontend::tag::QUERY, frontend::tag::SYNC, frontend::tag::FUNCTION_CALL]
                    .contains(&message[0]);
            readies += usize::from(answered || !tagged);
            tagged = true;
            let asks = has(&message, "pg_current_xact_id_if_assigned()") || asks_lsn(&message);
            let commits = has(&message, "COMMIT\0");
            if asks {
                self.asked.store(readies, Ordering::SeqCst);
            }
            if asks || commits {
                let next = self.state.lose.swap(Lose::Nothing as u8, Ordering::SeqCst);
                self.lose.fetch_or(next, Ordering::SeqCst);
                if Lose::from(next) == Lose::Commit {
                    // Before anything can be lost, after which `let_go` may come at any time.
                    self.state.kept.lock().unwrap().push(self.server.try_clone().unwrap());
                }
            }
            if commits && self.lose() == Lose::Commit {
                dropping = true;
                if self.asked.load(Ordering::SeqCst) == 0 {
                    self.cut();
                }
            }
            if !dropping && (&self.server).write_all(&message).is_err() {
                break;
            }
        }
        if !dropping {
            let _ = self.server.shutdown(Shutdown::Both);
        }
    }

    /// From the server to the proxy.
    fn down(&self) {
        let mut readies = 0;
        while let Some(message) = message(&self.server, true) {
            let ready = message[0] == backend::tag::READY_FOR_QUERY;
            // In this order: what was asked in an earlier transaction shall not count for what is lost of this one.
            let lose = self.lose();
            let asked = self.asked.load(Ordering::SeqCst);
            let due = readies >= asked;
            match lose {
                Lose::Answer if due && ready => break,
                Lose::Answer if due => continue,
                _ => {}
            }
            if (&self.client).write_all(&message).is_err() {
                return;
            }
            readies += usize::from(ready);
            if lose == Lose::Commit && readies >= asked && asked > 0 {
                break;
            }
        }
        self.cut();
    }

    fn lose(&self) -> Lose {
        Lose::from(self.lose.load(Ordering::SeqCst))
    }

    fn cut(&self) {
        let mut clients = self.state.clients.lock().unwrap();
        // They may have gone by themselves.
        let _ = self.client.shutdown(Shutdown::Both);
        if self.lose() == Lose::Nothing {
            return;
        }
        if self.state.blocks.load(Ordering::SeqCst) {
            self.state.blocked.store(true, Ordering::SeqCst);
            for client in clients.drain(..) {
                let _ = client.shutdown(Shutdown::Both);
            }
        }
        self.state.lost.store(true, Ordering::SeqCst);
    }
}

/// The next message; the first one of a client has no tag. None at the end.
fn message(mut from: &TcpStream, tagged: bool) -> Option<Vec<u8>> {
    let tag = usize::from(tagged);
    let mut bytes = vec![0; tag + 4];
    from.read_exact(&mut bytes).ok()?;
    let len = u32::from_be_bytes(bytes[tag..].try_into().ok()?) as usize;
    bytes.resize(tag + len, 0);
    from.read_exact(&mut bytes[tag + 4..]).ok()?;
    Some(bytes)
}

/// A call of `pg_current_wal_insert_lsn()` by its OID: the last question, where not all is asked in one query.
fn asks_lsn(message: &[u8]) -> bool {
    message[0] == frontend::tag::FUNCTION_CALL && message[5..9] == 2852_u32.to_be_bytes()
}

fn has(message: &[u8], text: &str) -> bool {
    message.windows(text.len()).any(|window| window == text.as_bytes())
}
