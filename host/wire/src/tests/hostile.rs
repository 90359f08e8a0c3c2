//! Bodies that are not what they say.

use proptest::prelude::*;

use crate::BodyError;
use crate::backend::{
    Authentication, BackendKeyData, CopyResponse, DataRow, ErrorResponse, NegotiateProtocolVersion,
    ParameterDescription, ReadyForQuery, RowDescription,
};
use crate::frontend::{
    Bind, Close, CopyDone, Describe, Execute, Parse, Query, SaslInitialResponse, Sync,
};
use crate::scram::{Binding, Client, Server, Verifier};
use crate::startup;

/// Bytes that look a little like messages: zeros, small numbers and letters are frequent.
fn garbage() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(0_u8), 0..5_u8, Just(0xff), b'A'..=b'z', any::<u8>()];
    prop::collection::vec(byte, 0..60)
}

proptest! {
    #[test]
    fn nothing_panics(body in garbage()) {
        let _ = startup::read(&body);
        let _ = (Query::read(&body), Parse::read(&body), Bind::read(&body), Close::read(&body));
        let _ = (Execute::read(&body), SaslInitialResponse::read(&body));
        let _ = (NegotiateProtocolVersion::read(&body), ParameterDescription::read(&body));
        let _ = (Authentication::read(&body), CopyResponse::read(&body));
        let _ = RowDescription::read(&body).map(|row| row.columns().count());
        let _ = ErrorResponse::read(&body).map(|error| error.fields().count());
        if let Ok(row) = DataRow::read(&body) {
            let claimed = u16::from_be_bytes([body[0], body[1]]);
            prop_assert_eq!(row.values().count(), usize::from(claimed));
        }
        let verifier = Verifier::mock("user", b"secret", 4096);
        for binding in [Binding::Impossible, Binding::Unused, Binding::EndPoint(b"hash")] {
            let mut server = Server::new(&verifier, "nonce", binding);
            let _ = (server.first(&body), server.last(&body).is_ok());
            let client = Client::new("nonce", binding);
            let _ = (client.challenge(&body), client.verify(&body));
        }
    }
}

#[test]
fn strings_must_end() {
    assert_eq!(Query::read(b"SELECT 1"), Err(BodyError::Unterminated));
    assert_eq!(Query::read(b"SELECT 1\0; SELECT 2\0"), Err(BodyError::Trailing));
    assert_eq!(Bind::read(b"portal\0statement"), Err(BodyError::Unterminated));
    assert_eq!(Parse::read(b"s\0SELECT 1\0"), Err(BodyError::Short));
    assert_eq!(ErrorResponse::read(b"SERROR\0"), Err(BodyError::Short));
    assert_eq!(ErrorResponse::read(b"SERROR"), Err(BodyError::Unterminated));
}

#[test]
fn counts_must_be_true() {
    assert_eq!(Parse::read(b"\0\0\0\x02\0\0\0\x17"), Err(BodyError::Short));
    assert_eq!(Parse::read(b"\0\0\0\0\0"), Err(BodyError::Trailing));
    assert_eq!(DataRow::read(b"\xff\xff\0\0\0\x01a"), Err(BodyError::Short));
    assert_eq!(DataRow::read(b"\0\x01\xff\xff\xff\xfe"), Err(BodyError::Value));
    assert_eq!(DataRow::read(b"\0\x01\x7f\xff\xff\xff"), Err(BodyError::Short));
    assert_eq!(RowDescription::read(b"\xff\xff"), Err(BodyError::Unterminated));
    assert_eq!(CopyResponse::read(b"\0\xff\xff\0\0"), Err(BodyError::Short));
    assert_eq!(ParameterDescription::read(b"\0\x01"), Err(BodyError::Short));
    let many = b"\0\x03\0\0\xff\xff\xff\xffx\0";
    assert_eq!(NegotiateProtocolVersion::read(many), Err(BodyError::Unterminated));
}

#[test]
fn unknown_values_are_refused() {
    assert_eq!(Describe::read(b"Xname\0"), Err(BodyError::Value));
    assert_eq!(Close::read(b""), Err(BodyError::Short));
    assert_eq!(ReadyForQuery::read(b"X"), Err(BodyError::Value));
    assert_eq!(ReadyForQuery::read(b"II"), Err(BodyError::Trailing));
    assert_eq!(Authentication::read(b"\0\0\0\x63"), Err(BodyError::Value));
    assert_eq!(Authentication::read(b"\0\0\0\x05abc"), Err(BodyError::Short));
    assert_eq!(SaslInitialResponse::read(b"X\0\xff\xff\xff\xfe"), Err(BodyError::Value));
    assert_eq!(Sync::read(b"\0"), Err(BodyError::Trailing));
    assert_eq!(CopyDone::read(b"x"), Err(BodyError::Trailing));
}

#[test]
fn keys_have_the_lengths_of_the_documentation() {
    for (len, fits) in [(0, false), (3, false), (4, true), (32, true), (256, true), (257, false)] {
        let body = vec![7; 4 + len];
        assert_eq!(BackendKeyData::read(&body).is_ok(), fits, "{len}");
    }
}
