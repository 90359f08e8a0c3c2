//! Setting servers to rights between clients, and asking them something by ourselves.

use std::time::Duration;

use bytes::BytesMut;
use howdah_session::Disposition;
use howdah_wire::backend::{ErrorReport, ErrorResponse, ParameterStatus, tag};
use howdah_wire::frontend::Query;
use howdah_wire::{frame, limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use super::server::{Leased, ServerConn};
use crate::figures::ServerEnd;

/// Longest time to roll back and discard.
const DEADLINE: Duration = Duration::from_secs(10);

/// Gives a server back in the way its state demands, if its client has used it.
pub(crate) fn give_back(mut leased: Leased, disposition: Disposition) {
    let commands: &'static [&'static str] = match disposition {
        Disposition::Reuse => return leased.release(),
        Disposition::Close => return leased.close(ServerEnd::Unfit),
        Disposition::Rollback => &["ROLLBACK"],
        Disposition::Reset => &["ROLLBACK", "DISCARD ALL"],
    };
    tokio::task::spawn_local(async move {
        let deadline = Instant::now() + DEADLINE;
        let Some(conn) = leased.conn() else { return };
        for sql in commands {
            if run(conn, sql, deadline).await.is_err() {
                // Dropping the lease closes the connection: its state cannot be known.
                return;
            }
        }
        if disposition == Disposition::Reset {
            conn.was_reset();
        }
        leased.release();
    });
}

/// The server has gone meanwhile.
pub(crate) fn lost() -> ErrorReport {
    ErrorReport::error(b"08006", "the server was lost")
}

/// Runs a query whose rows nobody wants. Parameters that the server reports are noted.
pub(crate) async fn run(
    conn: &mut ServerConn,
    sql: &str,
    deadline: Instant,
) -> Result<(), ErrorReport> {
    let exchange = async {
        let mut bytes = BytesMut::new();
        Query { text: sql.as_bytes() }.write(&mut bytes);
        conn.stream.write_all(&bytes).await.map_err(|_| lost())?;
        bytes.clear();
        let mut refused = None;
        loop {
            let head = frame::peek(&bytes, limits::MAX_FRAME_LEN).map_err(|_| lost())?;
            let Some(head) = head.filter(|head| head.len <= bytes.len()) else {
                if conn.stream.read_buf(&mut bytes).await.map_err(|_| lost())? == 0 {
                    return Err(lost());
                }
                continue;
            };
            let message = bytes.split_to(head.len);
            let body = &message[frame::HEADER_LEN..];
            match head.tag {
                tag::ERROR_RESPONSE => {
                    let error = ErrorResponse::read(body).map_err(|_| lost())?;
                    refused = Some(ErrorReport::from_response(&error));
                }
                tag::PARAMETER_STATUS => {
                    let status = ParameterStatus::read(body).map_err(|_| lost())?;
                    conn.state.parameters.report(status.name, status.value);
                }
                tag::READY_FOR_QUERY => return refused.map_or(Ok(()), Err),
                _ => {}
            }
        }
    };
    timeout_at(deadline, exchange)
        .await
        .unwrap_or_else(|_| Err(ErrorReport::error(b"57014", "the server did not answer in time")))
}
