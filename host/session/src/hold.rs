//! Holding back the start of a reply until it is known whether the statement may have to run elsewhere.

use howdah_wire::backend::{ErrorResponse, tag};
use howdah_wire::frame;

use crate::limits::{MAX_HELD_REPLY, MAX_REPLY_VIEW};

/// What the start of a reply says.
pub(crate) enum Verdict {
    /// It cannot be told yet.
    More,
    /// The reply is the statement's own: it may be delivered.
    Deliver,
    /// The standby refused the statement because it writes.
    Writes,
    /// It is an error, and nothing was delivered.
    Failed([u8; 5], GivenUp),
    /// A prepared statement is not there, or is not any more what it was; nothing has run. So many messages were
    /// answered before.
    Unprepared(Unprepared, usize),
}

/// Why a statement failed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum GivenUp {
    /// A standby could not finish the read (recovery conflict, shutdown).
    Yes,
    /// The statement is at fault, or the server is a primary.
    No,
}

/// What is wrong with a prepared statement.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unprepared {
    /// The server does not have it (26000).
    Missing,
    /// The schema has changed: it would give other columns than before (plancache.c, `RevalidateCachedQuery`).
    OtherColumns,
    /// The server cannot take it any more, or has never been able to: an error of class 42.
    Invalid,
}

/// `read_only_sql_transaction`: a hot standby refuses to write, before any effect.
pub(crate) const READ_ONLY: [u8; 5] = *b"25006";
/// A standby cancelled the read because replay was in its way (postgres.c, `ProcessInterrupts`), or it is
/// going away. A standby has changed nothing, so the read can run elsewhere.
const GIVEN_UP: [[u8; 5]; 4] = [*b"40001", *b"57P01", *b"57P02", *b"57P03"];

/// Looks at a reply of which nothing has been delivered, and at what is behind notices if those can wait.
pub(crate) fn judge(reply: &[u8], standby: bool, notices: bool) -> Verdict {
    let (mut at, mut answered, mut bound) = (0, 0, false);
    loop {
        let rest = reply.get(at..).unwrap_or_default();
        let Ok(Some(head)) = frame::peek(rest, howdah_wire::limits::MAX_FRAME_LEN) else {
            return if reply.len() > MAX_HELD_REPLY { Verdict::Deliver } else { Verdict::More };
        };
        match head.tag {
            tag::PARSE_COMPLETE
            | tag::BIND_COMPLETE
            | tag::CLOSE_COMPLETE
            | tag::PARAMETER_DESCRIPTION
            | tag::ROW_DESCRIPTION
            | tag::NO_DATA
            | tag::NOTICE_RESPONSE
            | tag::PARAMETER_STATUS
                if at + head.len <= MAX_HELD_REPLY
                    && (notices || head.tag != tag::NOTICE_RESPONSE) =>
            {
                at += head.len;
                bound |= head.tag == tag::BIND_COMPLETE;
                let more = matches!(
                    head.tag,
                    tag::PARAMETER_DESCRIPTION | tag::NOTICE_RESPONSE | tag::PARAMETER_STATUS
                );
                answered += usize::from(!more);
            }
            tag::ERROR_RESPONSE if head.len <= MAX_REPLY_VIEW => {
                let Some(frame) = rest.get(..head.len) else { return Verdict::More };
                return judge_error(
                    &frame[frame::HEADER_LEN..],
                    standby,
                    (!bound).then_some(answered),
                );
            }
            _ => return Verdict::Deliver,
        }
    }
}

/// `answered` is known when nothing of the batch has run.
fn judge_error(body: &[u8], standby: bool, answered: Option<usize>) -> Verdict {
    let Ok(error) = ErrorResponse::read(body) else { return Verdict::Deliver };
    let Some(state) = error.sqlstate() else { return Verdict::Deliver };
    if standby && state == READ_ONLY {
        return Verdict::Writes;
    }
    if standby && GIVEN_UP.contains(&state) {
        return Verdict::Failed(state, GivenUp::Yes);
    }
    let what = match &state {
        b"26000" => Unprepared::Missing,
        b"0A000" if error.field(b'R') == Some(b"RevalidateCachedQuery") => Unprepared::OtherColumns,
        [b'4', b'2', ..] => Unprepared::Invalid,
        _ => return Verdict::Failed(state, GivenUp::No),
    };
    match answered {
        Some(answered) => Verdict::Unprepared(what, answered),
        None => Verdict::Failed(state, GivenUp::No),
    }
}
