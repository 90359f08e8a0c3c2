#![allow(clippy::unwrap_used)]

mod hello;
mod password;
mod rules;

use std::net::IpAddr;
use std::time::Duration;

use bytes::BytesMut;
use howdah_wire::Version;
use howdah_wire::startup::write_startup;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::{Authenticator, Caller, ClientHello, Method, Opened, Proof, Stored, open};
use crate::config::Tls;
use crate::upstream::Stream;
use crate::upstream::tests::{Peer, far};

/// Treats all alike.
struct All<F>(F);

impl<F: Fn() -> Method> Authenticator for All<F> {
    fn tls(&self) -> Option<&Tls> {
        None
    }

    async fn method(&self, _: &ClientHello, caller: Caller<'_>) -> Method {
        assert!(caller.address.is_some_and(|address| address.is_loopback()));
        (self.0)()
    }

    fn proven(&self, client: &ClientHello, _: Proof) {
        assert_eq!(client.user, "me");
    }

    fn failed(&self, client: &ClientHello, _: Caller<'_>) -> Duration {
        assert_eq!(client.user, "me");
        Duration::ZERO
    }
}

/// Opens a connection, and tells the client that it is let in.
async fn told(
    stream: &mut Stream,
    peer: Option<IpAddr>,
    auth: &impl Authenticator,
    deadline: Instant,
) -> Opened {
    let opened = open(stream, peer, auth, deadline).await;
    if let Opened::Client(hello) = &opened {
        stream.write_all(&hello.output).await.unwrap();
    }
    opened
}

/// Opens a connection for a client; what came of it, and the client's own result.
async fn opened<T>(
    auth: &impl Authenticator,
    deadline: Instant,
    client: impl AsyncFnOnce(Peer) -> T,
) -> (Opened, T) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = async {
        let (stream, peer) = listener.accept().await.unwrap();
        let mut stream = Stream::from(stream);
        // The stream is dropped here, so that a client that was sent away sees the end.
        told(&mut stream, Some(peer.ip()), auth, deadline).await
    };
    let client = async { client(Peer::new(TcpStream::connect(address).await.unwrap())).await };
    tokio::join!(server, client)
}

/// The same for a proxy that trusts, and a client that is let in.
async fn let_in(client: impl AsyncFnOnce(Peer)) -> ClientHello {
    let (opened, ()) = opened(&All(|| Method::Trust), far(), client).await;
    let Opened::Client(hello) = opened else { panic!("{opened:?}") };
    hello
}

/// The same for a client that is sent away: the SQLSTATE that it sees.
async fn sent_away(bytes: &[u8]) -> String {
    let (opened, state) = opened(&All(|| Method::Trust), far(), async |mut peer| {
        peer.send(bytes).await;
        peer.fatal().await
    })
    .await;
    assert!(matches!(opened, Opened::Gone(_)));
    state
}

fn startup(version: Version, parameters: &[(&str, &str)]) -> BytesMut {
    let mut out = BytesMut::new();
    write_startup(&mut out, version, parameters.iter().copied());
    out
}

fn me() -> BytesMut {
    startup(Version::V3_0, &[("user", "me")])
}
