//! Moving bytes between the sockets and the buffers of one session.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use howdah_session::Buffers;
use tokio_util::io::poll_read_buf;

use super::Ctx;
use super::buffers::BUFFER;
use super::seat::Order;
use crate::upstream::Stream;

/// Most bytes that are gathered from a client: one statement, and one batch (`howdah_session::limits`).
const MAX_GATHERED: usize =
    howdah_session::limits::MAX_STATEMENT + howdah_session::limits::MAX_BATCH + BUFFER;

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// Bytes have come in.
    Bytes,
    /// The client has gone.
    ClientGone,
    /// The server has gone.
    ServerGone,
    /// It is the session's turn to go to another process.
    Leave,
    /// The worker drains, and the session is idle.
    Drain,
    /// The session takes longer than `limits` allow.
    TooLong,
    /// An operator wants something of the session.
    Ordered(Order),
}

/// Writes what there is to write and reads what may be read; ready when something has come in. A peer is not read from
/// while something waits to be written to the other one: more would only be copied and kept.
pub(crate) fn poll(
    ctx: &Ctx,
    io: &mut Buffers,
    client: &mut Stream,
    mut server: Option<&mut Stream>,
    cx: &mut Context<'_>,
) -> Poll<News> {
    if let Some(server) = server.as_deref_mut()
        && let Poll::Ready(Err(_)) = server.poll_write_buf(cx, &mut io.server_out)
    {
        // Its last words may still be read.
        io.server_out.clear();
    }
    if let Poll::Ready(Err(_)) = client.poll_write_buf(cx, &mut io.client_out) {
        return Poll::Ready(News::ClientGone);
    }
    let mut news = Poll::Pending;
    if let Some(server) = server
        && io.client_out.is_empty()
    {
        match read(ctx, server, &mut io.server_in, cx) {
            Poll::Ready(Ok(n)) if n > 0 => news = Poll::Ready(News::Bytes),
            Poll::Ready(_) => return Poll::Ready(News::ServerGone),
            Poll::Pending => {}
        }
    }
    if io.server_out.is_empty() && io.client_in.len() < MAX_GATHERED && news.is_pending() {
        match read(ctx, client, &mut io.client_in, cx) {
            Poll::Ready(Ok(n)) if n > 0 => news = Poll::Ready(News::Bytes),
            Poll::Ready(_) => return Poll::Ready(News::ClientGone),
            Poll::Pending => {}
        }
    }
    news
}

/// Reads what a server has said that is given up.
pub(crate) fn read_rest(ctx: &Ctx, server: &mut Stream, buffer: &mut BytesMut) {
    let mut cx = Context::from_waker(std::task::Waker::noop());
    // It may have ended.
    let _ = read(ctx, server, buffer, &mut cx);
}

/// Reads once. A buffer is taken only when there is something to read.
fn read(
    ctx: &Ctx,
    stream: &mut Stream,
    buffer: &mut BytesMut,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    match stream.poll_read_ready(cx) {
        Poll::Ready(Ok(())) => {}
        Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
        Poll::Pending => return Poll::Pending,
    }
    ctx.spare.make_room(buffer);
    // Clears the readiness when the system gave less than there was room for, so that the next look costs no call.
    poll_read_buf(Pin::new(stream), cx, buffer)
}
