//! Frames from a server. What reads is written again to the same bytes, and can be taken apart.
#![no_main]

use bytes::BytesMut;
use howdah_wire::backend::{
    Authentication, BackendKeyData, BindComplete, CloseComplete, CommandComplete, CopyDirection,
    CopyResponse, DataRow, EmptyQueryResponse, ErrorReport, ErrorResponse, FunctionCallResponse,
    NegotiateProtocolVersion, NoData, NotificationResponse, ParameterDescription, ParameterStatus,
    ParseComplete, PortalSuspended, ReadyForQuery, RowDescription, tag,
};
use howdah_wire::{BodyError, frame, limits};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    while let Ok(Some(head)) = frame::peek(rest, limits::MAX_FRAME_LEN) {
        let Some((frame, more)) = rest.split_at_checked(head.len) else { break };
        if let Some(written) = rewrite(head.tag, &frame[frame::HEADER_LEN..]) {
            assert_eq!(written, frame);
        }
        rest = more;
    }
});

/// The frame again, when its body can be read.
fn rewrite(tag: u8, body: &[u8]) -> Option<BytesMut> {
    macro_rules! views {
        ($($tag:ident: $view:ident;)*) => {
            match tag {
                $(tag::$tag => again($view::read(body), |view, out| view.write(out)),)*
                tag::COPY_IN_RESPONSE => copy(body, CopyDirection::In),
                tag::COPY_OUT_RESPONSE => copy(body, CopyDirection::Out),
                tag::COPY_BOTH_RESPONSE => copy(body, CopyDirection::Both),
                tag::AUTHENTICATION => authentication(body),
                tag::DATA_ROW => row(body),
                tag::ROW_DESCRIPTION => columns(body),
                tag::ERROR_RESPONSE | tag::NOTICE_RESPONSE => error(body),
                _ => None,
            }
        };
    }
    views! {
        BACKEND_KEY_DATA: BackendKeyData;
        BIND_COMPLETE: BindComplete;
        CLOSE_COMPLETE: CloseComplete;
        COMMAND_COMPLETE: CommandComplete;
        EMPTY_QUERY_RESPONSE: EmptyQueryResponse;
        FUNCTION_CALL_RESPONSE: FunctionCallResponse;
        NEGOTIATE_PROTOCOL_VERSION: NegotiateProtocolVersion;
        NO_DATA: NoData;
        NOTIFICATION_RESPONSE: NotificationResponse;
        PARAMETER_DESCRIPTION: ParameterDescription;
        PARAMETER_STATUS: ParameterStatus;
        PARSE_COMPLETE: ParseComplete;
        PORTAL_SUSPENDED: PortalSuspended;
        READY_FOR_QUERY: ReadyForQuery;
    }
}

fn again<V>(view: Result<V, BodyError>, write: impl FnOnce(&V, &mut BytesMut)) -> Option<BytesMut> {
    let mut out = BytesMut::new();
    write(&view.ok()?, &mut out);
    Some(out)
}

fn copy(body: &[u8], direction: CopyDirection) -> Option<BytesMut> {
    again(CopyResponse::read(body), |view, out| view.write(direction, out))
}

/// Methods without data may be followed by some, which is ignored as in libpq: only the others come back whole.
fn authentication(body: &[u8]) -> Option<BytesMut> {
    let view = Authentication::read(body).ok()?;
    let _ = view.offers("SCRAM-SHA-256");
    let with_data = matches!(
        view,
        Authentication::GssContinue(_)
            | Authentication::Sasl(_)
            | Authentication::SaslContinue(_)
            | Authentication::SaslFinal(_)
    );
    with_data.then(|| again(Ok(view), |view, out| view.write(out))).flatten()
}

fn row(body: &[u8]) -> Option<BytesMut> {
    again(DataRow::read(body), |view, out| DataRow::write(view.values(), out))
}

/// Only columns as we write them ourselves come back: those of no table.
fn columns(body: &[u8]) -> Option<BytesMut> {
    let view = RowDescription::read(body).ok()?;
    let ours = |c: &howdah_wire::backend::Column<'_>| (c.table, c.number, c.modifier) == (0, 0, -1);
    let columns: Option<Vec<_>> = view
        .columns()
        .map(|c| {
            ours(&c).then_some((str::from_utf8(c.name).ok()?, c.type_oid, c.type_len, c.format))
        })
        .collect();
    let columns = columns?;
    again(Ok(view), |_, out| RowDescription::write(&columns, out))
}

/// A report made from a server's error reads as that error.
fn error(body: &[u8]) -> Option<BytesMut> {
    let view = ErrorResponse::read(body).ok()?;
    let _ = (view.is_fatal(), view.fields().count());
    let report = ErrorReport::from_response(&view);
    let mut out = BytesMut::new();
    report.write(&mut out);
    let ours = ErrorResponse::read(&out[frame::HEADER_LEN..]).expect("we write what reads");
    assert_eq!(ours.sqlstate().as_ref(), Some(report.sqlstate()));
    assert_eq!(ours.message(), report.message().as_bytes());
    None
}
