//! A faulty link between the proxy and a server.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Where the next bytes that pass are cut off, with their connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Cut {
    Nowhere,
    /// Before what the proxy sends.
    Before,
    /// In the middle of what the proxy sends.
    HalfSent,
    /// In the middle of what the server answers.
    HalfRead,
    /// Before what the server answers: it has been done, and nobody is told.
    Unanswered,
}

#[derive(Default)]
struct State {
    stalled: AtomicBool,
    cut: AtomicU8,
    connections: Mutex<Vec<Arc<Connection>>>,
}

struct Connection {
    proxy: TcpStream,
    server: TcpStream,
}

/// A link to a server on 127.0.0.1. It ends with the process.
pub(crate) struct Link {
    pub(crate) port: u16,
    state: Arc<State>,
}

impl Link {
    pub(crate) fn to(server: u16) -> Link {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let link = Link { port: listener.local_addr().unwrap().port(), state: Arc::default() };
        let state = Arc::clone(&link.state);
        std::thread::spawn(move || {
            for proxy in listener.incoming().flatten() {
                // Dropped when nobody listens there: the proxy sees its connection end at once.
                if let Ok(server) = TcpStream::connect(("127.0.0.1", server)) {
                    serve(&state, proxy, server);
                }
            }
        });
        link
    }

    /// Nothing passes for a while.
    pub(crate) fn stall(&self, time: Duration) {
        self.state.stalled.store(true, Ordering::SeqCst);
        std::thread::sleep(time);
        self.state.stalled.store(false, Ordering::SeqCst);
    }

    /// Cuts one connection, at the next bytes that pass.
    pub(crate) fn cut(&self, cut: Cut) {
        self.state.cut.store(cut as u8, Ordering::SeqCst);
    }

    /// Resets all connections (RST).
    pub(crate) fn reset(&self) {
        for connection in self.state.connections.lock().unwrap().drain(..) {
            let proxy = socket2::SockRef::from(&connection.proxy);
            // They may have gone by themselves.
            let _ = proxy.set_linger(Some(Duration::ZERO));
            connection.end();
        }
    }

    /// Half-closes all connections: the server seems to have said all that it will, but still listens.
    pub(crate) fn half_close(&self) {
        for connection in self.state.connections.lock().unwrap().iter() {
            let _ = connection.proxy.shutdown(Shutdown::Write);
        }
    }
}

impl Connection {
    fn end(&self) {
        // Either side may have ended already.
        let _ = self.proxy.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }
}

fn serve(state: &Arc<State>, proxy: TcpStream, server: TcpStream) {
    for stream in [&proxy, &server] {
        stream.set_nodelay(true).unwrap();
    }
    let connection = Arc::new(Connection { proxy, server });
    let mut connections = state.connections.lock().unwrap();
    connections.retain(|other| Arc::strong_count(other) > 1);
    connections.push(Arc::clone(&connection));
    drop(connections);
    for up in [true, false] {
        let (state, connection) = (Arc::clone(state), Arc::clone(&connection));
        std::thread::spawn(move || {
            carry(&state, &connection, up);
            connection.end();
        });
    }
}

/// Carries bytes in one direction until something ends.
fn carry(state: &State, connection: &Connection, up: bool) {
    let (mut from, mut to) = match up {
        true => (&connection.proxy, &connection.server),
        false => (&connection.server, &connection.proxy),
    };
    let cuts = if up { [Cut::Before, Cut::HalfSent] } else { [Cut::Unanswered, Cut::HalfRead] };
    let mut bytes = vec![0; 16 << 10];
    loop {
        let Ok(n @ 1..) = from.read(&mut bytes) else { return };
        while state.stalled.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        for cut in cuts {
            let now = Cut::Nowhere as u8;
            if state
                .cut
                .compare_exchange(cut as u8, now, Ordering::SeqCst, Ordering::SeqCst)
                .is_ok()
            {
                let part = if matches!(cut, Cut::HalfSent | Cut::HalfRead) { n / 2 } else { 0 };
                let _ = to.write_all(&bytes[..part]);
                return;
            }
        }
        if to.write_all(&bytes[..n]).is_err() {
            return;
        }
    }
}
