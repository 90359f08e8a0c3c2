use bytes::BytesMut;

use super::written;
use crate::backend::{ErrorReport, ErrorResponse, tag};

#[test]
fn a_report_has_the_fields_that_clients_look_for() {
    let report = ErrorReport::fatal(b"28P01", "no entry").detail("wrong word").hint("ask again");
    let (tag, body) = written(|out| report.write(out));
    assert_eq!(tag, tag::ERROR_RESPONSE);
    let response = ErrorResponse::read(&body).unwrap();
    let fields: Vec<_> = response.fields().collect();
    let expected: [(u8, &[u8]); 6] = [
        (b'S', b"FATAL"),
        (b'V', b"FATAL"),
        (b'C', b"28P01"),
        (b'M', b"no entry"),
        (b'D', b"wrong word"),
        (b'H', b"ask again"),
    ];
    assert_eq!(fields, expected);
    assert_eq!(response.sqlstate(), Some(*b"28P01"));
    assert_eq!(response.message(), b"no entry");
    assert!(response.is_fatal());
}

#[test]
fn a_notice_is_no_error() {
    let (tag, body) = written(|out| ErrorReport::notice(b"00000", "by the way").write(out));
    assert_eq!(tag, tag::NOTICE_RESPONSE);
    assert!(!ErrorResponse::read(&body).unwrap().is_fatal());
}

#[test]
fn a_servers_error_is_passed_on_as_one_of_a_statement() {
    let body = b"SFATAL\0C57P03\0Mthe database system is starting up\0\0";
    let report = ErrorReport::from_response(&ErrorResponse::read(body).unwrap());
    assert_eq!(report.sqlstate(), b"57P03");
    assert_eq!(report.to_string(), "the database system is starting up (57P03)");
    let (_, body) = written(|out| report.write(out));
    assert!(!ErrorResponse::read(&body).unwrap().is_fatal());
}

#[test]
fn a_cause_is_told_in_the_detail() {
    let cause = Some(ErrorReport::error(b"53300", "too many clients"));
    let report = ErrorReport::error(b"08006", "no server").detail("Tried two.").caused_by(cause);
    let (_, body) = written(|out| report.write(out));
    let response = ErrorResponse::read(&body).unwrap();
    let detail = b"Tried two. The server said: too many clients (53300).";
    assert_eq!(response.field(b'D'), Some(&detail[..]));
}

#[test]
fn a_sqlstate_of_another_length_is_none() {
    for body in [&b"C1234\0\0"[..], b"C123456\0\0", b"Mno code\0\0", b"\0"] {
        let response = ErrorResponse::read(body).unwrap();
        assert_eq!(response.sqlstate(), None);
        assert_eq!(ErrorReport::from_response(&response).sqlstate(), b"XX000");
    }
}

#[test]
fn a_zero_cannot_smuggle_a_field() {
    let mut out = BytesMut::new();
    ErrorReport::error(b"22021", "bad name \"a\0Hrun this\"").write(&mut out);
    let response = ErrorResponse::read(&out[5..]).unwrap();
    assert_eq!(response.field(b'H'), None);
}
