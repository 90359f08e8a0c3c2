//! Servers that are spoken to through TLS, or should be.

use std::cell::Cell;
use std::sync::Arc;

use howdah_wire::backend::Authentication;
use howdah_wire::frontend::SaslInitialResponse;
use howdah_wire::scram::{Binding, Verifier};
use howdah_wire::startup::Opening;
use rustls::pki_types::ServerName;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use super::certificates::{Authority, NAME, Signed, client};
use super::login::{BOTH, scram};
use super::{Peer, against, far, login};
use crate::certificate::end_point;
use crate::upstream::{
    Check, ConnectError, Connected, Encryption, Endpoint, Fault, KeyCache, Target, cancel, connect,
};

fn with_tls(endpoint: Endpoint, check: Check, required: bool) -> Endpoint {
    let name = ServerName::try_from(NAME).unwrap();
    let config = Arc::new(client(check));
    let tls = Some(Encryption { config, name, required, must_bind: false });
    Endpoint { tls, ..endpoint }
}

/// What a client that checks this much makes of a server.
async fn outcome(
    check: Check,
    required: bool,
    server: impl AsyncFnOnce(Peer),
) -> Result<Connected, ConnectError> {
    against(
        async |endpoint| {
            let endpoint = with_tls(endpoint, check, required);
            connect(&endpoint, &login(None), far(), &KeyCache::default()).await
        },
        server,
    )
    .await
}

/// As a server: waits until the client has begun to speak TLS.
async fn begin_handshake(peer: &mut Peer) {
    peer.asked_to_encrypt(b"S").await;
    assert_eq!(peer.stream.read_u8().await.unwrap(), 22);
}

#[tokio::test]
async fn a_server_that_is_who_it_should_be() {
    let authority = Authority::new();
    let server = authority.sign(&[NAME], "x");
    let connected = outcome(Check::Name(authority.believed()), true, async |mut peer| {
        peer.encrypts(server.server()).await.unwrap();
        peer.let_in().await;
    });
    let connected = connected.await.unwrap();
    assert_eq!(connected.stream.peer_certificate(), Some(&server.certificate));
    assert!(connected.peer.tls.is_some_and(|tls| tls.required), "cancel requests are encrypted");
}

#[tokio::test]
async fn a_server_that_is_somebody_else() {
    let authority = Authority::new();
    let check = Check::Name(authority.believed());
    let error = outcome(check, true, async |mut peer| {
        let refused = peer.encrypts(authority.sign(&["other.example"], "x").server()).await;
        assert!(refused.unwrap_err().to_string().contains("alert"));
        assert_eq!(peer.hear().await, None, "nothing is sent");
    });
    let error = error.await.unwrap_err();
    assert!(error.to_string().starts_with("TLS: invalid peer certificate: "), "{error}");
    assert_eq!(error.fault(), Fault::Login);
}

#[tokio::test]
async fn a_server_that_has_no_encryption() {
    let error = outcome(Check::Nothing, true, async |mut peer| {
        peer.asked_to_encrypt(b"N").await;
        assert_eq!(peer.hear().await, None, "nothing is sent in the clear");
    });
    let error = error.await.unwrap_err();
    assert_eq!(error.to_string(), "server does not support SSL, but SSL was required");
    assert_eq!(error.fault(), Fault::Login);
    let connected = outcome(Check::Nothing, false, async |mut peer| {
        peer.asked_to_encrypt(b"N").await;
        peer.let_in().await;
    });
    let connected = connected.await.unwrap();
    assert!(!connected.stream.is_encrypted());
    assert!(connected.peer.tls.is_none(), "nor are cancel requests");
}

/// CVE-2021-23222: what came before encryption must not pass for what came through it.
#[tokio::test]
async fn bytes_smuggled_in_before_encryption_are_refused() {
    for required in [true, false] {
        let error = outcome(Check::Nothing, required, async |mut peer| {
            peer.asked_to_encrypt(b"SR\0\0\0\x08\0\0\0\0").await;
            peer.gone().await;
        });
        let error = error.await.unwrap_err();
        let message = "the server broke the protocol: received unencrypted data after SSL response";
        assert_eq!(error.to_string(), message);
        assert_eq!(error.fault(), Fault::Node);
    }
    // What comes later is taken for TLS, which it is not.
    let error = outcome(Check::Nothing, true, async |mut peer| {
        begin_handshake(&mut peer).await;
        peer.send(b"R\0\0\0\x08\0\0\0\0").await;
    });
    let error = error.await.unwrap_err();
    assert!(matches!(&error, ConnectError::Tls(_)), "{error:?}");
}

#[tokio::test]
async fn a_server_that_answers_something_else() {
    for answer in [&b"E\0\0\0\x05\0"[..], b"G", b"N\0", b"HTTP/1.1 400"] {
        let error = outcome(Check::Nothing, true, async |mut peer| {
            peer.asked_to_encrypt(answer).await;
            peer.gone().await;
        });
        let error = error.await.unwrap_err();
        assert!(matches!(&error, ConnectError::Protocol(_)), "{error:?}");
    }
    let error = outcome(Check::Nothing, true, async |mut peer| peer.asked_to_encrypt(b"").await);
    assert!(matches!(error.await.unwrap_err(), ConnectError::Io(_)));
}

/// As libpq does with sslmode=prefer.
#[tokio::test]
async fn where_encryption_is_only_preferred_a_failed_handshake_is_not_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let endpoint = Endpoint::from(Target { host: "127.0.0.1".into(), port });
    let endpoint = with_tls(endpoint, Check::Nothing, false);
    let server = async {
        let mut first = Peer::new(listener.accept().await.unwrap().0);
        begin_handshake(&mut first).await;
        // An alert: handshake_failure.
        first.send(b"\x15\x03\x03\0\x02\x02\x28").await;
        let mut second = Peer::new(listener.accept().await.unwrap().0);
        second.let_in().await;
    };
    let (login, keys) = (login(None), KeyCache::default());
    let (connected, ()) = tokio::join!(connect(&endpoint, &login, far(), &keys), server);
    assert!(!connected.unwrap().stream.is_encrypted());
}

#[tokio::test]
async fn a_cancel_request_is_encrypted() {
    let (authority, heard) = (Authority::new(), Cell::new(false));
    against(
        async |endpoint| {
            let endpoint = with_tls(endpoint, Check::Name(authority.believed()), true);
            cancel(&endpoint, 42, b"key!", far()).await.unwrap();
            assert!(heard.get());
        },
        async |mut peer| {
            peer.encrypts(authority.sign(&[NAME], "x").server()).await.unwrap();
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

/// What comes of a login with a password to a server with this certificate, which may have to be bound.
async fn bound(
    must_bind: bool,
    signed: &Signed,
    server: impl AsyncFnOnce(&mut Peer),
) -> Result<Connected, ConnectError> {
    against(
        async |endpoint| {
            let endpoint = with_tls(endpoint, Check::Nothing, true);
            let tls = endpoint.tls.clone().map(|tls| Encryption { must_bind, ..tls });
            let (endpoint, login) = (Endpoint { tls, ..endpoint }, login(Some("secret")));
            connect(&endpoint, &login, far(), &KeyCache::default()).await
        },
        async |mut peer| {
            peer.encrypts(signed.server()).await.unwrap();
            server(&mut peer).await;
        },
    )
    .await
}

#[tokio::test]
async fn a_login_is_bound_to_the_server_where_that_is_offered() {
    let verifier = Verifier::derive(b"secret", b"salt", 4096);
    let signed = Authority::new().sign(&[NAME], "x");
    let hash = end_point(&signed.certificate).unwrap();
    for must_bind in [false, true] {
        let chosen = (BOTH, Binding::EndPoint(&hash));
        let server = async |peer: &mut Peer| scram(peer, &verifier, chosen, |last| last).await;
        bound(must_bind, &signed, server).await.unwrap();
    }
    // A client that could, and is not offered it, says so: a server that has offered it would notice.
    let error = bound(false, &signed, async |peer| {
        peer.opening(|_| ()).await;
        peer.say(|out| Authentication::Sasl(b"SCRAM-SHA-256\0\0").write(out)).await;
        let (_, body) = peer.hear().await.unwrap();
        let initial = SaslInitialResponse::read(&body).unwrap();
        assert!(initial.data.unwrap().starts_with(b"y,,n=,r="));
    });
    assert!(matches!(error.await.unwrap_err(), ConnectError::Io(_)));
}

#[tokio::test]
async fn a_login_that_must_be_bound_is_not_made_otherwise() {
    let signed = Authority::new().sign(&[NAME], "x");
    for asked in [
        Authentication::Ok,
        Authentication::CleartextPassword,
        Authentication::Md5Password { salt: [0; 4] },
        Authentication::Sasl(b"SCRAM-SHA-256\0\0"),
    ] {
        let error = bound(true, &signed, async |peer| {
            peer.opening(|_| ()).await;
            peer.say(|out| asked.write(out)).await;
            assert_eq!(peer.hear().await, None, "nothing is sent");
        });
        let error = error.await.unwrap_err();
        assert_eq!(error.to_string(), "channel binding is required, and the server does without");
        assert_eq!(error.fault(), Fault::Login);
    }
}
