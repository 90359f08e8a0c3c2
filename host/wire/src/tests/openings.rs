use bytes::BytesMut;
use proptest::prelude::*;

use crate::Version;
use crate::limits::{MAX_CANCEL_KEY_LEN, MAX_STARTUP_LEN};
use crate::startup::{self, Opening, OpeningError};

fn packet(code: u32, rest: &[u8]) -> Vec<u8> {
    let len = u32::try_from(rest.len() + 8).unwrap();
    [&len.to_be_bytes()[..], &code.to_be_bytes(), rest].concat()
}

proptest! {
    #[test]
    fn startups_return(minor in 0..4_u16, parameters in prop::collection::vec(("[a-z_.]{1,12}", "[^\0]{0,12}"), 0..9)) {
        let version = Version { major: 3, minor };
        let mut out = BytesMut::new();
        let borrowed = parameters.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        startup::write_startup(&mut out, version, borrowed);
        for n in 0..out.len() {
            prop_assert_eq!(startup::read(&out[..n]), Ok(None));
        }
        let len = out.len();
        out.extend_from_slice(b"what follows");
        let Ok(Some((Opening::Startup(read), taken))) = startup::read(&out) else { panic!("no startup") };
        prop_assert_eq!(taken, len);
        prop_assert_eq!(read.version, version);
        let expected: Vec<_> = parameters.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
        prop_assert_eq!(read.parameters().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn cancels_return(pid: u32, key in prop::collection::vec(any::<u8>(), 4..=MAX_CANCEL_KEY_LEN)) {
        let mut out = BytesMut::new();
        startup::write_cancel(&mut out, pid, &key);
        let Ok(Some((Opening::Cancel(cancel), len))) = startup::read(&out) else { panic!("no cancel") };
        prop_assert_eq!((cancel.pid, cancel.key, len), (pid, &key[..], out.len()));
    }
}

#[test]
fn encryption_requests_return() {
    let mut out = BytesMut::new();
    startup::write_ssl_request(&mut out);
    startup::write_gssenc_request(&mut out);
    assert_eq!(&out[..], b"\0\0\0\x08\x04\xd2\x16\x2f\0\0\0\x08\x04\xd2\x16\x30");
    assert_eq!(startup::read(&out), Ok(Some((Opening::Ssl, 8))));
    assert_eq!(startup::read(&out[8..]), Ok(Some((Opening::Gss, 8))));
}

#[test]
fn impossible_lengths_are_refused_before_anything_is_gathered() {
    let too_long = u32::try_from(MAX_STARTUP_LEN).unwrap() + 5;
    for len in [0, 4, 7, too_long, 0x4745_5420, u32::MAX] {
        assert_eq!(startup::read(&len.to_be_bytes()), Err(OpeningError::Length), "{len}");
    }
    assert_eq!(startup::read(&(too_long - 1).to_be_bytes()), Ok(None));
    assert_eq!(startup::read(b"\0\0\0"), Ok(None));
}

#[test]
fn broken_layouts_are_refused() {
    let v3 = Version::V3_0.code();
    for rest in
        [&b""[..], b"user", b"user\0", b"user\0me", b"user\0me\0", b"user\0me\0\0x", b"\0\0"]
    {
        assert_eq!(startup::read(&packet(v3, rest)), Err(OpeningError::Layout), "{rest:?}");
    }
    let cancel = (1234 << 16) | 5678;
    for len in [0, 1, 7, 8 + MAX_CANCEL_KEY_LEN - 3] {
        let rest = vec![1; len];
        assert_eq!(startup::read(&packet(cancel, &rest)), Err(OpeningError::Layout), "{len}");
    }
}

/// The layout belongs to the version: that of another one is not ours to judge, so that the client hears about
/// the version.
#[test]
fn another_version_is_reported_as_such() {
    let bytes = packet(2 << 16, b"?");
    let Ok(Some((Opening::Startup(startup), _))) = startup::read(&bytes) else {
        panic!("no startup")
    };
    assert_eq!(startup.version.negotiate(), None);
    assert_eq!(startup.version.to_string(), "2.0");
}

#[test]
fn the_last_of_several_parameters_counts() {
    let bytes = packet(Version::V3_0.code(), b"user\0a\0database\0d\0user\0b\0\0");
    let Ok(Some((Opening::Startup(startup), _))) = startup::read(&bytes) else {
        panic!("no startup")
    };
    assert_eq!(startup.get("user"), Some(&b"b"[..]));
    assert_eq!(startup.get("options"), None);
}

#[test]
fn versions_are_negotiated_as_in_postgresql() {
    let v3 = |minor| Version { major: 3, minor };
    for (asked, spoken) in [(0, 0), (1, 1), (2, 2), (3, 2), (9999, 2)] {
        assert_eq!(v3(asked).negotiate(), Some(v3(spoken)));
    }
    for major in [0, 1, 2, 4, u16::MAX] {
        assert_eq!(Version { major, minor: 0 }.negotiate(), None);
    }
    assert_eq!(Version::from_code(Version::V3_2.code()), Version::V3_2);
}

/// A zero inside a value would let whoever chooses the value add parameters of their own.
#[test]
fn a_zero_cannot_smuggle_a_parameter() {
    let mut out = BytesMut::new();
    let parameters = [("user", "me\0options\0-c role=postgres"), ("database", "d")];
    startup::write_startup(&mut out, Version::V3_0, parameters.into_iter());
    let Ok(Some((Opening::Startup(startup), _))) = startup::read(&out) else {
        panic!("no startup")
    };
    let read: Vec<_> = startup.parameters().collect();
    assert_eq!(read, [(&b"user"[..], &b"me"[..]), (b"database", b"d")]);
}
