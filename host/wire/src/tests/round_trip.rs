//! Every message: what is written is one frame with the right tag, and reads as the same message.

use proptest::prelude::*;

use super::written;
use crate::backend::{self, Authentication, CopyDirection, CopyResponse, TransactionStatus};
use crate::frontend::{self, Target};

/// A string as the wire can carry it.
fn string() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(1_u8.., 0..40)
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..80)
}

/// Writes a message and reads it again.
macro_rules! returns {
    ($tag:expr, $type:ty, $message:expr) => {{
        let message = $message;
        let (tag, body) = written(|out| message.write(out));
        prop_assert_eq!(tag, $tag);
        prop_assert_eq!(<$type>::read(&body), Ok(message));
    }};
}

proptest! {
    #[test]
    fn frontend_messages_return(a in string(), b in string(), data in bytes(), n: u32, portal: bool) {
        use frontend::{tag, *};
        let target = if portal { Target::Portal } else { Target::Statement };
        returns!(tag::QUERY, Query, Query { text: &a });
        returns!(tag::BIND, Bind, Bind { portal: &a, statement: &b, rest: &data });
        returns!(tag::DESCRIBE, Describe, Describe { target, name: &a });
        returns!(tag::CLOSE, Close, Close { target, name: &a });
        returns!(tag::EXECUTE, Execute, Execute { portal: &a, max_rows: n });
        returns!(tag::FUNCTION_CALL, FunctionCall, FunctionCall { function: n, rest: &data });
        returns!(tag::COPY_DATA, CopyData, CopyData { data: &data });
        returns!(tag::COPY_DONE, CopyDone, CopyDone);
        returns!(tag::COPY_FAIL, CopyFail, CopyFail { message: &a });
        returns!(tag::SYNC, Sync, Sync);
        returns!(tag::FLUSH, Flush, Flush);
        returns!(tag::TERMINATE, Terminate, Terminate);
        returns!(tag::PASSWORD, SaslResponse, SaslResponse { data: &data });
        for data in [None, Some(&data[..])] {
            returns!(tag::PASSWORD, SaslInitialResponse, SaslInitialResponse { mechanism: &a, data });
        }
    }

    #[test]
    fn parse_and_password_return(name in string(), query in string(), oids in prop::collection::vec(any::<u32>(), 0..9)) {
        use frontend::{Parse, Password, tag};
        let types = counted(oids.iter().map(|oid| oid.to_be_bytes()));
        returns!(tag::PARSE, Parse, Parse { name: &name, query: &query, types: &types });
        let (tag, body) = written(|out| Password { password: &name }.write(out));
        prop_assert_eq!(tag, tag::PASSWORD);
        prop_assert_eq!(Password::read(&body).unwrap().password, &name);
    }

    #[test]
    fn backend_messages_return(a in string(), b in string(), data in bytes(), n: u32, key in prop::collection::vec(any::<u8>(), 4..=256)) {
        use backend::{tag, *};
        returns!(tag::BACKEND_KEY_DATA, BackendKeyData, BackendKeyData { pid: n, key: &key });
        returns!(tag::COMMAND_COMPLETE, CommandComplete, CommandComplete { tag: &a });
        returns!(tag::PARAMETER_STATUS, ParameterStatus, ParameterStatus { name: &a, value: &b });
        returns!(tag::NOTIFICATION_RESPONSE, NotificationResponse, NotificationResponse { pid: n, channel: &a, payload: &b });
        returns!(tag::NEGOTIATE_PROTOCOL_VERSION, NegotiateProtocolVersion, NegotiateProtocolVersion { version: n, unknown: vec![&a, &b] });
        returns!(tag::PARSE_COMPLETE, ParseComplete, ParseComplete);
        returns!(tag::BIND_COMPLETE, BindComplete, BindComplete);
        returns!(tag::CLOSE_COMPLETE, CloseComplete, CloseComplete);
        returns!(tag::NO_DATA, NoData, NoData);
        returns!(tag::EMPTY_QUERY_RESPONSE, EmptyQueryResponse, EmptyQueryResponse);
        returns!(tag::PORTAL_SUSPENDED, PortalSuspended, PortalSuspended);
        for value in [None, Some(&data[..])] {
            returns!(tag::FUNCTION_CALL_RESPONSE, FunctionCallResponse, FunctionCallResponse { value });
        }
        for status in [TransactionStatus::Idle, TransactionStatus::InTransaction, TransactionStatus::Failed] {
            returns!(tag::READY_FOR_QUERY, ReadyForQuery, ReadyForQuery { status });
        }
    }

    #[test]
    fn authentication_returns(data in bytes(), salt: [u8; 4]) {
        use Authentication::*;
        let plain = [Ok, KerberosV5, CleartextPassword, Gss, Sspi, Md5Password { salt }];
        let with_data = [GssContinue(&data), Sasl(&data), SaslContinue(&data), SaslFinal(&data)];
        for message in plain.into_iter().chain(with_data) {
            let (tag, body) = written(|out| message.write(out));
            prop_assert_eq!(tag, backend::tag::AUTHENTICATION);
            prop_assert_eq!(Authentication::read(&body), Result::Ok(message));
        }
    }

    #[test]
    fn copy_responses_return(format: u8, formats in prop::collection::vec(any::<u16>(), 0..9)) {
        let columns = formats.iter().flat_map(|f| f.to_be_bytes()).collect::<Vec<u8>>();
        let response = CopyResponse { format, columns: &columns };
        for (direction, expected) in [
            (CopyDirection::In, b'G'),
            (CopyDirection::Out, b'H'),
            (CopyDirection::Both, b'W'),
        ] {
            let (tag, body) = written(|out| response.write(direction, out));
            prop_assert_eq!(tag, expected);
            prop_assert_eq!(CopyResponse::read(&body), Ok(response));
        }
    }

    #[test]
    fn parameter_descriptions_return(oids in prop::collection::vec(any::<u32>(), 0..9)) {
        use backend::{ParameterDescription, tag};
        let types = oids.iter().flat_map(|oid| oid.to_be_bytes()).collect::<Vec<u8>>();
        returns!(tag::PARAMETER_DESCRIPTION, ParameterDescription, ParameterDescription { types: &types });
    }

    #[test]
    fn rows_return(values in prop::collection::vec(prop::option::of(bytes()), 0..9)) {
        use backend::{DataRow, tag};
        let (tag, body) = written(|out| DataRow::write(values.iter().map(|v| v.as_deref()), out));
        prop_assert_eq!(tag, tag::DATA_ROW);
        let read = DataRow::read(&body).unwrap().values().map(|v| v.map(<[u8]>::to_vec));
        prop_assert_eq!(read.collect::<Vec<_>>(), values);
    }
}

fn counted<const N: usize>(items: impl ExactSizeIterator<Item = [u8; N]>) -> Vec<u8> {
    let count = u16::try_from(items.len()).unwrap();
    count.to_be_bytes().into_iter().chain(items.flatten()).collect()
}

#[test]
fn row_descriptions_return() {
    let (tag, body) = written(|out| {
        backend::RowDescription::write(&[("pid", 23, 4, 0), ("query", 25, -1, 0)], out);
    });
    assert_eq!(tag, backend::tag::ROW_DESCRIPTION);
    let columns: Vec<_> = backend::RowDescription::read(&body).unwrap().columns().collect();
    assert_eq!(columns.len(), 2);
    let last = columns.last().unwrap();
    assert_eq!((last.name, last.type_oid, last.type_len), (&b"query"[..], 25, -1));
    assert_eq!((last.table, last.number, last.modifier, last.format), (0, 0, -1, 0));
}

#[test]
fn mechanisms_are_offered() {
    let (_, body) = written(|out| Authentication::write_sasl(out, &["SCRAM-SHA-256"]));
    assert_eq!(body, b"\0\0\0\x0aSCRAM-SHA-256\0\0");
    let message = Authentication::read(&body).unwrap();
    assert!(message.offers("SCRAM-SHA-256"));
    assert!(!message.offers("SCRAM-SHA"));
    assert!(!message.offers("SCRAM-SHA-256-PLUS"));
}

/// The bytes of the documentation, once by hand: writer and reader could be wrong in the same way.
#[test]
fn the_format_is_that_of_the_documentation() {
    use bytes::BytesMut;
    let mut out = BytesMut::new();
    frontend::Query { text: b"SELECT 1" }.write(&mut out);
    frontend::Parse { name: b"s", query: b"SELECT $1", types: b"\0\x01\0\0\0\x17" }.write(&mut out);
    frontend::Execute { portal: b"", max_rows: 7 }.write(&mut out);
    frontend::Describe { target: Target::Portal, name: b"p" }.write(&mut out);
    backend::ReadyForQuery { status: TransactionStatus::Failed }.write(&mut out);
    let expected = b"Q\0\0\0\x0dSELECT 1\0P\0\0\0\x16s\0SELECT $1\0\0\x01\0\0\0\x17E\0\0\0\x09\0\0\0\0\x07D\0\0\0\x07Pp\0Z\0\0\0\x05E";
    assert_eq!(&out[..], &expected[..]);
}
