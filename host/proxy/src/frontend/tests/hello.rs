use howdah_wire::Version;
use howdah_wire::backend::{NegotiateProtocolVersion, tag};
use howdah_wire::frontend::Query;
use howdah_wire::startup::{write_cancel, write_gssenc_request, write_ssl_request};

use super::{All, Method, Opened, let_in, me, opened, startup};
use crate::upstream::tests::{Peer, far};

async fn hear_ok(peer: &mut Peer) {
    let (tag, body) = peer.hear().await.unwrap();
    assert_eq!((tag, &body[..]), (tag::AUTHENTICATION, &b"\0\0\0\0"[..]));
}

#[tokio::test]
async fn a_client_is_who_it_says() {
    let parameters = [("user", "me"), ("application_name", "psql"), ("options", "-c x=1")];
    let hello = let_in(async |mut peer| {
        peer.send(&startup(Version::V3_0, &parameters)).await;
        hear_ok(&mut peer).await;
        assert_eq!(peer.hear().await, None, "the rest is the caller's");
    })
    .await;
    assert_eq!((hello.user.as_str(), hello.database.as_str()), ("me", "me"));
    let rest = [("application_name", "psql"), ("options", "-c x=1")];
    assert_eq!(hello.parameters, rest.map(|(n, v)| (n.to_owned(), v.to_owned())));
    assert_eq!(hello.version, Version::V3_0);
    assert!(hello.input.is_empty());
}

#[tokio::test]
async fn the_last_name_counts() {
    let parameters = [("user", "you"), ("database", "a"), ("user", "me"), ("database", "b")];
    let hello = let_in(async |mut peer| {
        peer.send(&startup(Version::V3_0, &parameters)).await;
        hear_ok(&mut peer).await;
    });
    let hello = hello.await;
    assert_eq!((hello.user.as_str(), hello.database.as_str()), ("me", "b"));
}

#[tokio::test]
async fn encryption_is_declined_in_any_order() {
    for ssl_first in [true, false] {
        let hello = let_in(async |mut peer| {
            for ssl in [ssl_first, !ssl_first] {
                peer.say(if ssl { write_ssl_request } else { write_gssenc_request }).await;
                assert_eq!(peer.byte().await, b'N');
            }
            peer.send(&me()).await;
            hear_ok(&mut peer).await;
        });
        assert_eq!(hello.await.user, "me");
    }
}

/// All in one packet: what is not encrypted needs no second thought.
#[tokio::test]
async fn what_a_client_sends_ahead_is_kept() {
    let hello = let_in(async |mut peer| {
        peer.say(|out| {
            write_ssl_request(out);
            out.extend_from_slice(&me());
            Query { text: b"SELECT 1" }.write(out);
        })
        .await;
        assert_eq!(peer.byte().await, b'N');
        hear_ok(&mut peer).await;
    });
    assert_eq!(&hello.await.input[..], b"Q\0\0\0\x0dSELECT 1\0");
}

#[tokio::test]
async fn an_opening_may_come_byte_by_byte() {
    let hello = let_in(async |mut peer| {
        peer.stream.tcp().unwrap().set_nodelay(true).unwrap();
        for byte in me() {
            peer.send(&[byte]).await;
            tokio::task::yield_now().await;
        }
        hear_ok(&mut peer).await;
    });
    assert_eq!(hello.await.user, "me");
}

#[tokio::test]
async fn a_cancel_request_is_no_client() {
    for ssl in [false, true] {
        let (opened, ()) = opened(&All(|| Method::Trust), far(), async |mut peer| {
            if ssl {
                peer.say(write_ssl_request).await;
                assert_eq!(peer.byte().await, b'N');
            }
            peer.say(|out| write_cancel(out, 7, b"a long key")).await;
            assert_eq!(peer.hear().await, None, "no answer");
        })
        .await;
        let Opened::Cancel { pid, key } = opened else { panic!("{opened:?}") };
        assert_eq!((pid, &key[..]), (7, &b"a long key"[..]));
    }
}

#[tokio::test]
async fn versions_and_options_are_negotiated() {
    let v3 = |minor| Version { major: 3, minor };
    let options = [("user", "me"), ("_pq_.b", "1"), ("_pq_.a", "1"), ("_pq_.b", "2")];
    let plain = &options[..1];
    /// Minor version asked for, start-up parameters, minor version spoken, and what is negotiated.
    type Case<'a> = (u16, &'a [(&'a str, &'a str)], u16, Option<(Version, &'a [&'a [u8]])>);
    let cases: [Case<'_>; 6] = [
        (0, plain, 0, None),
        (1, plain, 1, None),
        (2, plain, 2, None),
        (3, plain, 2, Some((v3(2), &[]))),
        (9999, &options, 2, Some((v3(2), &[b"_pq_.b", b"_pq_.a"]))),
        (0, &options, 0, Some((v3(0), &[b"_pq_.b", b"_pq_.a"]))),
    ];
    for (minor, parameters, spoken, answer) in cases {
        let hello = let_in(async |mut peer| {
            peer.send(&startup(v3(minor), parameters)).await;
            if let Some((version, unknown)) = answer {
                let (tag, body) = peer.hear().await.unwrap();
                assert_eq!(tag, tag::NEGOTIATE_PROTOCOL_VERSION);
                let answer = NegotiateProtocolVersion::read(&body).unwrap();
                assert_eq!((answer.version, &answer.unknown[..]), (version.code(), unknown));
            }
            hear_ok(&mut peer).await;
        })
        .await;
        assert_eq!(hello.version, v3(spoken), "{minor}");
        assert!(hello.parameters.is_empty());
    }
}
