//! Openings that break a rule: the right FATAL error, or a clean end.

use howdah_wire::Version;
use howdah_wire::backend::ErrorReport;
use howdah_wire::startup::{write_gssenc_request, write_ssl_request};

use super::{All, Method, Opened, let_in, me, opened, sent_away, startup};
use crate::upstream::tests::{far, near};

#[tokio::test]
async fn each_broken_rule_has_its_error() {
    let v3 = |parameters: &[(&str, &str)]| startup(Version::V3_0, parameters);
    let long = "x".repeat(64);
    assert_eq!(sent_away(&v3(&[])).await, "28000");
    assert_eq!(sent_away(&v3(&[("user", "")])).await, "28000");
    assert_eq!(sent_away(&v3(&[("database", "d")])).await, "28000");
    assert_eq!(sent_away(&v3(&[("user", &long)])).await, "42622");
    assert_eq!(sent_away(&v3(&[("user", "me"), ("database", &long)])).await, "42622");
    for major in [0, 2, 4] {
        let version = Version { major, minor: 0 };
        assert_eq!(sent_away(&startup(version, &[("user", "me")])).await, "0A000");
    }
    assert_eq!(sent_away(b"\0\0\0\x10\0\x03\0\0user\0\xff\0\0").await, "22021");
    assert_eq!(sent_away(b"\0\0\0\x0f\0\x03\0\0user\0me").await, "08P01");
    assert_eq!(sent_away(b"\0\0\0\x07\0\x03\0\0").await, "08P01");
    assert_eq!(sent_away(b"GET / HTTP/1.1\r\n\r\n").await, "08P01");
    assert_eq!(sent_away(b"\0\0\x27\x15\0\x03\0\0user\0me\0").await, "08P01");
}

#[tokio::test]
async fn replication_is_asked_for_or_not() {
    for (value, asked) in [
        ("false", None),
        ("off", None),
        ("NO", None),
        ("0", None),
        ("true", Some("true")),
        ("database", Some("database")),
        ("on", Some("on")),
    ] {
        let hello = let_in(async |mut peer| {
            let parameters = [("user", "me"), ("replication", value)];
            peer.send(&startup(Version::V3_0, &parameters)).await;
            peer.gone().await;
        });
        let hello = hello.await;
        assert!(hello.parameters.is_empty());
        assert_eq!(hello.replication.as_deref(), asked);
    }
}

#[tokio::test]
async fn encryption_is_declined_once() {
    for request in [write_ssl_request, write_gssenc_request] {
        let (opened, ()) = opened(&All(|| Method::Trust), far(), async |mut peer| {
            peer.say(request).await;
            assert_eq!(peer.byte().await, b'N');
            peer.say(request).await;
            assert_eq!(peer.fatal().await, "0A000");
        })
        .await;
        assert!(matches!(opened, Opened::Gone(_)));
    }
}

#[tokio::test]
async fn whoever_is_rejected_hears_why() {
    let reject = || Method::Reject(ErrorReport::fatal(b"28000", "not from there"));
    let (opened, ()) = opened(&All(reject), far(), async |mut peer| {
        peer.send(&me()).await;
        assert_eq!(peer.fatal().await, "28000");
    })
    .await;
    assert!(matches!(opened, Opened::Gone(_)));
}

#[tokio::test]
async fn who_says_nothing_or_too_little_is_sent_away_at_the_deadline() {
    for said in [&b""[..], b"\0", b"\0\0\0\x50\0\x03\0\0user"] {
        let (opened, ()) = opened(&All(|| Method::Trust), near(), async |mut peer| {
            peer.send(said).await;
            assert_eq!(peer.fatal().await, "57014");
        })
        .await;
        assert!(matches!(opened, Opened::Gone(_)));
    }
}

#[tokio::test]
async fn who_goes_is_gone() {
    for said in [&b""[..], b"\0\0\0\x08", b"\0\0\0\x08\x04\xd2\x16\x2f"] {
        let (opened, ()) = opened(&All(|| Method::Trust), far(), async |mut peer| {
            peer.send(said).await;
        })
        .await;
        assert!(matches!(opened, Opened::Gone(_)));
    }
}
