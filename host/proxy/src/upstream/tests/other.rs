use std::cell::Cell;

use bytes::BytesMut;
use howdah_wire::startup::Opening;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};

use super::peer::ready;
use super::{against, far, login, near};
use crate::upstream::endpoint::{UNACKNOWLEDGED, open};
use crate::upstream::{
    ConnectError, Detached, Endpoint, KeyCache, Stream, Target, cancel, connect,
};

#[tokio::test]
async fn a_cancel_request_is_done_when_the_server_has_closed() {
    let heard = Cell::new(false);
    against(
        async |target| {
            cancel(&target, 42, b"key!", far()).await.unwrap();
            assert!(heard.get());
        },
        async |mut peer| {
            peer.opening(|opening| {
                let Opening::Cancel(cancel) = opening else { panic!("{opening:?}") };
                assert_eq!((cancel.pid, cancel.key), (42, &b"key!"[..]));
            })
            .await;
            heard.set(true);
        },
    )
    .await;
}

/// The system itself gives up a peer that does not acknowledge.
#[tokio::test]
async fn a_connection_over_a_dead_path_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let stream = open(&Target { host: "127.0.0.1".into(), port }.into()).await.unwrap();
    let socket = socket2::SockRef::from(stream.tcp().unwrap());
    assert_eq!(socket.tcp_user_timeout().unwrap(), Some(UNACKNOWLEDGED));
    assert!(socket.keepalive().unwrap());
}

#[tokio::test]
async fn a_cancel_request_does_not_wait_for_ever() {
    against(
        async |target| {
            let error = cancel(&target, 42, b"key!", near()).await.unwrap_err();
            assert!(matches!(error, ConnectError::Timeout), "{error:?}");
        },
        async |mut peer| {
            peer.opening(|_| ()).await;
            assert_eq!(peer.hear().await, None);
        },
    )
    .await;
}

#[tokio::test]
async fn a_unix_socket_is_a_server_too() {
    let directory = tempfile::tempdir().unwrap();
    let target = Target { host: directory.path().to_str().unwrap().into(), port: 5432 };
    let endpoint = Endpoint::from(target.clone());
    let listener = UnixListener::bind(directory.path().join(".s.PGSQL.5432")).unwrap();
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut input, mut out) = (BytesMut::new(), BytesMut::new());
        while !input.ends_with(b"howdah\0\0") {
            assert_ne!(stream.read_buf(&mut input).await.unwrap(), 0);
        }
        ready(&mut out);
        stream.write_all(&out).await.unwrap();
    };
    let (login, keys) = (login(None), KeyCache::default());
    let (connected, ()) = tokio::join!(connect(&endpoint, &login, far(), &keys), server);
    let connected = connected.unwrap();
    assert!(connected.stream.tcp().is_none());
    assert_eq!(connected.peer.target, target);
}

async fn pair() -> (Stream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap());
    let (ours, theirs) = tokio::join!(ours, listener.accept());
    (ours.unwrap().into(), theirs.unwrap().0)
}

#[tokio::test]
async fn news_are_seen_without_being_read() {
    let (mut ours, mut theirs) = pair().await;
    assert!(!ours.has_news());
    theirs.write_all(b"x").await.unwrap();
    std::future::poll_fn(|cx| ours.poll_read_ready(cx)).await.unwrap();
    assert!(ours.has_news());
    assert_eq!(ours.read_u8().await.unwrap(), b'x');
    assert!(!ours.has_news());
    drop(theirs);
    std::future::poll_fn(|cx| ours.poll_read_ready(cx)).await.unwrap();
    assert!(ours.has_news(), "an end is news");
}

#[test]
fn a_connection_moves_to_another_thread() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let (detached, mut theirs) = first.block_on(async {
        let (ours, theirs) = pair().await;
        (ours.detach().unwrap(), theirs)
    });
    let reader = std::thread::spawn(move || {
        runtime().block_on(async {
            let mut stream = Stream::attach(detached).unwrap();
            stream.read_u8().await.unwrap()
        })
    });
    first.block_on(theirs.write_all(b"x")).unwrap();
    assert_eq!(reader.join().unwrap(), b'x');
    fn sendable<T: Send>() {}
    sendable::<Detached>();
}

#[test]
fn passwords_are_not_printed() {
    let printed = format!("{:?}", login(Some("hunter2")));
    assert!(printed.contains("Secret(…)") && !printed.contains("hunter2"), "{printed}");
}
