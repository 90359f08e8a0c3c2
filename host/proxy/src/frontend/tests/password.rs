use std::sync::Arc;

use bytes::BytesMut;
use howdah_wire::backend::{Authentication, ErrorResponse, tag};
use howdah_wire::frontend::{Password, Query, SaslInitialResponse, SaslResponse};
use howdah_wire::md5;
use howdah_wire::scram::{Binding, Client, ClientKeys, MECHANISM, Verifier};
use tokio::net::TcpListener;

use super::{All, Authenticator, Method, Opened, Stored, me, opened, told};
use crate::upstream::tests::{Peer, far, near};
use crate::upstream::{ConnectError, KeyCache, Login, Secret, Stream, Target, connect};

fn scram(verifier: Verifier) -> impl Authenticator {
    let verifier = Arc::new(verifier);
    All(move || Method::Scram(Arc::clone(&verifier)))
}

fn secret() -> impl Authenticator {
    scram(Verifier::derive(b"secret", b"0123456789abcdef", 4096))
}

/// The whole way: our client side against our server side.
async fn log_in(auth: &impl Authenticator, password: &str) -> (Opened, ConnectError) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target =
        Target { host: "127.0.0.1".into(), port: listener.local_addr().unwrap().port() }.into();
    let login = Login {
        user: "me".into(),
        database: "db".into(),
        password: Some(Secret::new(password.into())),
        parameters: Vec::new(),
    };
    let server = async {
        let (stream, peer) = listener.accept().await.unwrap();
        told(&mut Stream::from(stream), Some(peer.ip()), auth, far()).await
    };
    let keys = KeyCache::default();
    let (opened, connected) = tokio::join!(server, connect(&target, &login, far(), &keys));
    // Nobody sends what follows AuthenticationOk, so no login is complete.
    (opened, connected.unwrap_err())
}

#[tokio::test]
async fn the_right_password_opens() {
    let (opened, error) = log_in(&secret(), "secret").await;
    assert!(matches!(opened, Opened::Client(_)), "{opened:?}");
    assert!(matches!(error, ConnectError::Io(_)), "{error:?}");
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_look_the_same() {
    refused(log_in(&secret(), "wrong").await);
    refused(log_in(&scram(Verifier::mock("me", b"seed", 4096)), "secret").await);
    refused(log_in(&All(|| Method::Md5(hash())), "wrong").await);
    for password in kept() {
        refused(log_in(&in_clear(&password), "wrong").await);
    }
    refused(log_in(&All(|| Method::Password(None)), "secret").await);
}

#[track_caller]
fn refused((opened, error): (Opened, ConnectError)) {
    assert!(matches!(opened, Opened::Gone(_)));
    let ConnectError::Refused(report) = error else { panic!("{error:?}") };
    assert_eq!(report.sqlstate(), b"28P01");
    assert_eq!(report.message(), "password authentication failed for user \"me\"");
}

/// The same password, as it may be kept.
fn kept() -> [String; 3] {
    let verifier = Verifier::derive(b"secret", b"0123456789abcdef", 4096);
    ["secret".to_owned(), md5::hash("me", b"secret"), verifier.to_string()]
}

fn hash() -> Secret {
    Secret::new(md5::hash("me", b"secret"))
}

fn in_clear(kept: &str) -> impl Authenticator {
    let stored = Arc::new(Stored::read(&Secret::new(kept.to_owned())));
    All(move || Method::Password(Some(Arc::clone(&stored))))
}

#[tokio::test]
async fn the_right_password_opens_by_md5_and_in_clear() {
    let mut outcomes = vec![log_in(&All(|| Method::Md5(hash())), "secret").await];
    for kept in kept() {
        outcomes.push(log_in(&in_clear(&kept), "secret").await);
    }
    for (opened, _) in outcomes {
        assert!(matches!(opened, Opened::Client(_)), "{opened:?}");
    }
}

#[tokio::test]
async fn who_knows_the_hash_can_answer_a_salt() {
    let (opened, _) = log_in(&All(|| Method::Md5(hash())), hash().reveal()).await;
    assert!(matches!(opened, Opened::Client(_)), "{opened:?}");
    refused(log_in(&in_clear(hash().reveal()), hash().reveal()).await);
}

/// Starts a session as far as the offer of mechanisms.
async fn offered(peer: &mut Peer) {
    peer.send(&me()).await;
    let (tag, body) = peer.hear().await.unwrap();
    assert_eq!(tag, tag::AUTHENTICATION);
    assert!(Authentication::read(&body).unwrap().offers(MECHANISM));
}

/// The SQLSTATE for a client that answers the offer with these bytes.
async fn answer(write: impl FnOnce(&mut BytesMut)) -> String {
    let (opened, state) = opened(&secret(), far(), async |mut peer| {
        offered(&mut peer).await;
        peer.say(write).await;
        peer.fatal().await
    })
    .await;
    assert!(matches!(opened, Opened::Gone(_)));
    state
}

#[tokio::test]
async fn a_client_that_does_not_play_along_is_sent_away() {
    let initial = |mechanism: &'static [u8], data: &'static [u8]| {
        move |out: &mut BytesMut| {
            SaslInitialResponse { mechanism, data: Some(data) }.write(out);
        }
    };
    assert_eq!(answer(initial(b"SCRAM-SHA-256-PLUS", b"p=x,,n=,r=abc")).await, "08P01");
    assert_eq!(answer(initial(b"SCRAM-SHA-256", b"p=x,,n=,r=abc")).await, "08P01");
    assert_eq!(answer(initial(b"SCRAM-SHA-256", b"")).await, "08P01");
    assert_eq!(answer(|out| Password { password: b"secret" }.write(out)).await, "08P01");
    assert_eq!(answer(|out| Query { text: b"SELECT 1" }.write(out)).await, "08P01");
    // Not even waited for to its end.
    assert_eq!(answer(|out| out.extend_from_slice(b"Q\0\0\x10\0")).await, "08P01");
    assert_eq!(answer(|out| out.extend_from_slice(b"p\0\0\0\x03")).await, "08P01");
    assert_eq!(answer(|out| out.extend_from_slice(b"p\0\x01\0\0")).await, "08P01");
}

#[tokio::test]
async fn a_client_may_choose_the_mechanism_first_and_speak_later() {
    let (opened, ()) = opened(&secret(), far(), async |mut peer| {
        offered(&mut peer).await;
        let mechanism = MECHANISM.as_bytes();
        peer.say(|out| SaslInitialResponse { mechanism, data: None }.write(out)).await;
        let (_, body) = peer.hear().await.unwrap();
        assert_eq!(Authentication::read(&body), Ok(Authentication::SaslContinue(b"")));
        let mut client = Client::new("nonce", Binding::Impossible);
        let first = client.first();
        peer.say(|out| SaslResponse { data: first.as_bytes() }.write(out)).await;
        let (_, body) = peer.hear().await.unwrap();
        let Ok(Authentication::SaslContinue(first)) = Authentication::read(&body) else {
            panic!("no challenge")
        };
        let challenge = client.challenge(first).unwrap();
        let keys = ClientKeys::derive(b"secret", &challenge.salt, challenge.iterations);
        let last = client.last(first, &challenge, &keys);
        peer.say(|out| SaslResponse { data: last.as_bytes() }.write(out)).await;
        let (_, body) = peer.hear().await.unwrap();
        let Ok(Authentication::SaslFinal(last)) = Authentication::read(&body) else {
            panic!("no outcome")
        };
        client.verify(last).unwrap();
    })
    .await;
    assert!(matches!(opened, Opened::Client(_)), "{opened:?}");
}

/// As psql does when it must ask its user for the password first.
#[tokio::test]
async fn a_client_that_goes_when_asked_is_gone() {
    let (opened, ()) = opened(&secret(), far(), async |mut peer| offered(&mut peer).await).await;
    assert!(matches!(opened, Opened::Gone(_)));
}

#[tokio::test]
async fn a_client_that_hesitates_is_sent_away_at_the_deadline() {
    let (opened, ()) = opened(&secret(), near(), async |mut peer| {
        peer.send(&me()).await;
        let mut last = None;
        while let Some(message) = peer.hear().await {
            last = Some(message);
        }
        let (tag, body) = last.unwrap();
        assert_eq!(tag, tag::ERROR_RESPONSE);
        assert_eq!(ErrorResponse::read(&body).unwrap().sqlstate(), Some(*b"57014"));
    })
    .await;
    assert!(matches!(opened, Opened::Gone(_)));
}
