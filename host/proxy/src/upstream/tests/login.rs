use bytes::{BufMut, BytesMut};
use howdah_wire::backend::{Authentication, ErrorReport, ParameterStatus};
use howdah_wire::frontend::{Password, SaslInitialResponse, tag};
use howdah_wire::md5;
use howdah_wire::scram::{Binding, ClientError, Server, Verifier};
use howdah_wire::startup::Opening;
use tokio::net::TcpListener;

use super::peer::ready;
use super::{Peer, against, far, login, near};
use crate::upstream::{ConnectError, Connected, Endpoint, Fault, KeyCache, Login, Target, connect};

async fn connect_to(target: &Endpoint, login: &Login) -> Result<Connected, ConnectError> {
    connect(target, login, far(), &KeyCache::default()).await
}

/// What a client with a password makes of a server.
async fn outcome(server: impl AsyncFnOnce(Peer)) -> Result<Connected, ConnectError> {
    against(async |target| connect_to(&target, &login(Some("secret"))).await, server).await
}

/// Reads the start-up packet, and asks for a password.
async fn ask(peer: &mut Peer, how: Authentication<'_>) -> BytesMut {
    peer.opening(|_| ()).await;
    peer.say(|out| how.write(out)).await;
    let (tag, body) = peer.hear().await.unwrap();
    assert_eq!(tag, tag::PASSWORD);
    body
}

#[tokio::test]
async fn a_server_that_trusts() {
    let connected = outcome(async |mut peer| {
        peer.opening(|opening| {
            let Opening::Startup(startup) = opening else { panic!("{opening:?}") };
            assert_eq!(startup.version.to_string(), "3.0");
            let expected: [(&[u8], &[u8]); 3] =
                [(b"user", b"me"), (b"database", b"db"), (b"application_name", b"howdah")];
            assert_eq!(startup.parameters().collect::<Vec<_>>(), expected);
        })
        .await;
        peer.say(ready).await;
    })
    .await
    .unwrap();
    assert_eq!(connected.parameters, [("server_version".into(), "15.8".into())]);
    assert_eq!((connected.pid, &connected.key[..]), (42, &b"\x01\x02\x03\x04"[..]));
    assert_eq!(connected.peer.target.host, "127.0.0.1");
}

#[tokio::test]
async fn a_server_that_wants_a_password() {
    let salt = [1, 2, 3, 4];
    for (how, expected) in [
        (Authentication::CleartextPassword, "secret".to_owned()),
        (Authentication::Md5Password { salt }, md5::answer(&md5::hash("me", b"secret"), salt)),
    ] {
        let connected = outcome(async |mut peer| {
            let body = ask(&mut peer, how).await;
            assert_eq!(Password::read(&body).unwrap().password, expected.as_bytes());
            peer.say(ready).await;
        });
        connected.await.unwrap();
    }
}

/// Both mechanisms, as a server with TLS offers them.
pub(super) const BOTH: Authentication<'_> =
    Authentication::Sasl(b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0");

/// The server's side of SCRAM with a client that chooses this of what is offered; `last` may falsify its last message.
pub(super) async fn scram(
    peer: &mut Peer,
    verifier: &Verifier,
    (offered, chosen): (Authentication<'_>, Binding<'_>),
    last: impl FnOnce(String) -> String,
) {
    let body = ask(peer, offered).await;
    let initial = SaslInitialResponse::read(&body).unwrap();
    assert_eq!(initial.mechanism, chosen.mechanism().as_bytes());
    let mut server = Server::new(verifier, "server-nonce", chosen);
    let first = server.first(initial.data.unwrap()).unwrap();
    peer.say(|out| Authentication::SaslContinue(first.as_bytes()).write(out)).await;
    let (_, body) = peer.hear().await.unwrap();
    let (outcome, _) = server.last(&body).unwrap();
    let outcome = last(outcome);
    peer.say(|out| Authentication::SaslFinal(outcome.as_bytes()).write(out)).await;
    peer.say(ready).await;
}

/// Without encryption there is nothing to be bound to.
const UNBOUND: (Authentication<'_>, Binding<'_>) = (BOTH, Binding::Impossible);

#[tokio::test]
async fn a_server_that_wants_scram_is_asked_for_its_own_proof() {
    let verifier = Verifier::derive(b"secret", b"salt", 4096);
    let (keys, login) = (KeyCache::default(), login(Some("secret")));
    for _ in 0..2 {
        let connected = against(
            async |target| connect(&target, &login, far(), &keys).await,
            async |mut peer| scram(&mut peer, &verifier, UNBOUND, |last| last).await,
        );
        connected.await.unwrap();
    }
    assert_eq!(format!("{keys:?}"), "KeyCache(1 kept)");

    let false_one = |_| "v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned();
    let error =
        outcome(async |mut peer| scram(&mut peer, &verifier, UNBOUND, false_one).await).await;
    assert!(matches!(error, Err(ConnectError::Scram(ClientError::Signature))), "{error:?}");
}

#[tokio::test]
async fn a_hostile_scram_server_gets_no_work_out_of_us() {
    let error = outcome(async |mut peer| {
        let body = ask(&mut peer, Authentication::Sasl(b"SCRAM-SHA-256\0\0")).await;
        let initial = SaslInitialResponse::read(&body).unwrap();
        let nonce = std::str::from_utf8(initial.data.unwrap()).unwrap().split_once("r=").unwrap().1;
        let first = format!("r={nonce}x,s=c2FsdA==,i=2147483647");
        peer.say(|out| Authentication::SaslContinue(first.as_bytes()).write(out)).await;
        peer.gone().await;
    });
    let error = error.await.unwrap_err();
    assert!(matches!(error, ConnectError::Scram(ClientError::Iterations)), "{error:?}");
    assert_eq!(error.fault(), Fault::Node);
}

#[tokio::test]
async fn a_login_without_what_the_server_asks_for() {
    for how in [
        Authentication::CleartextPassword,
        Authentication::Md5Password { salt: [0; 4] },
        Authentication::Sasl(b"SCRAM-SHA-256\0\0"),
        Authentication::Gss,
    ] {
        let result = against(
            async |target| connect_to(&target, &login(None)).await,
            async |mut peer| {
                peer.opening(|_| ()).await;
                peer.say(|out| how.write(out)).await;
                assert_eq!(peer.hear().await, None, "nothing is sent");
            },
        );
        assert_eq!(result.await.unwrap_err().fault(), Fault::Login);
    }
}

#[tokio::test]
async fn a_refusal_says_whose_fault_it_is() {
    for (state, fault) in [
        (b"28P01", Fault::Login),
        (b"28000", Fault::Login),
        (b"3D000", Fault::Login),
        (b"22023", Fault::Login),
        (b"57P03", Fault::StartingUp),
        (b"53300", Fault::TooManyClients),
        (b"57P01", Fault::Node),
        (b"53200", Fault::Node),
        (b"XX000", Fault::Node),
    ] {
        let error = outcome(async |mut peer| {
            peer.opening(|_| ()).await;
            peer.say(|out| ErrorReport::fatal(state, "no").write(out)).await;
        });
        let error = error.await.unwrap_err();
        assert_eq!(error.fault(), fault, "{error}");
        assert_eq!(error.blames_node(), fault != Fault::Login);
        let ConnectError::Refused(report) = error else { panic!("{error:?}") };
        assert_eq!(report.sqlstate(), state);
    }
}

#[tokio::test]
async fn a_server_that_speaks_something_else() {
    let mut extra = BytesMut::new();
    ready(&mut extra);
    extra.put_slice(b"Z\0\0\0\x05I");
    for bytes in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        b"R\0\0\0\x03",
        b"R\x7f\xff\xff\xff\0\0\0\0",
        b"R\0\0\0\x04",
        b"R\0\0\0\x08\0\0\0\x63",
        b"Z\0\0\0\x05I",
        b"R\0\0\0\x08\0\0\0\0D\0\0\0\x06\0\0",
        b"R\0\0\0\x08\0\0\0\0K\0\0\0\x08\0\0\0\x01",
        b"E\0\0\0\x06xx",
        &extra,
    ] {
        let error = outcome(async |mut peer| {
            peer.opening(|_| ()).await;
            peer.send(bytes).await;
            peer.gone().await;
        });
        let error = error.await.unwrap_err();
        assert!(matches!(error, ConnectError::Protocol(_)), "{bytes:?}: {error:?}");
        assert_eq!(error.fault(), Fault::Node);
    }
}

#[tokio::test]
async fn a_server_that_never_comes_to_the_point() {
    let error = outcome(async |mut peer| {
        peer.opening(|_| ()).await;
        peer.say(|out| Authentication::Ok.write(out)).await;
        let mut out = BytesMut::new();
        for _ in 0..1000 {
            ParameterStatus { name: b"search_path", value: &[b'x'; 1000] }.write(&mut out);
        }
        peer.send(&out).await;
    });
    assert!(matches!(error.await, Err(ConnectError::Protocol(_))));
}

#[tokio::test]
async fn a_server_that_hangs_up() {
    for said in [&b""[..], b"R\0\0", b"R\0\0\0\x08\0\0\0\0"] {
        let error = outcome(async |mut peer| {
            peer.opening(|_| ()).await;
            peer.send(said).await;
        });
        let error = error.await.unwrap_err();
        assert!(matches!(error, ConnectError::Io(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_server_that_keeps_silent() {
    let keys = KeyCache::default();
    let error = against(
        async |target| connect(&target, &login(None), near(), &keys).await,
        async |mut peer| {
            peer.opening(|_| ()).await;
            peer.gone().await;
        },
    );
    let error = error.await.unwrap_err();
    assert!(matches!(error, ConnectError::Timeout), "{error:?}");
    assert_eq!(error.fault(), Fault::Node);
}

#[tokio::test]
async fn nobody_listens() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    for host in ["127.0.0.1", "/nowhere/at/all"] {
        let target = Target { host: host.into(), port }.into();
        let error = connect_to(&target, &login(None)).await.unwrap_err();
        assert!(matches!(error, ConnectError::Io(_)), "{error:?}");
    }
}

#[tokio::test]
async fn parameters_that_no_server_would_take_are_not_sent() {
    let mut long = login(None);
    long.parameters.push(("options".into(), "x".repeat(10_000)));
    let error = against(
        async |target| connect_to(&target, &long).await,
        async |mut peer| assert_eq!(peer.hear().await, None),
    );
    assert_eq!(error.await.unwrap_err().fault(), Fault::Login);
}

/// A message may arrive in any pieces.
#[tokio::test]
async fn a_greeting_byte_by_byte() {
    let connected = outcome(async |mut peer| {
        peer.opening(|_| ()).await;
        let mut out = BytesMut::new();
        ready(&mut out);
        peer.stream.tcp().unwrap().set_nodelay(true).unwrap();
        for byte in out {
            peer.send(&[byte]).await;
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(connected.await.unwrap().pid, 42);
}
