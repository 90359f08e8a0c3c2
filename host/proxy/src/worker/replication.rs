//! Replication connections. Their protocol is streaming in both directions at once, and their server does nothing else,
//! so they pass as they are, over a connection of their own that no pool counts: only with `pool.mode = "session"`.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use bytes::BytesMut;
use howdah_decision::PoolMode;
use howdah_session::Parameters;
use howdah_wire::Version;
use howdah_wire::backend::{BackendKeyData, ErrorReport, ReadyForQuery, TransactionStatus};
use tokio::io::{AsyncWriteExt, copy, split};

use super::Ctx;
use super::admission::Admitted;
use super::cancel::ServerKey;
use super::client::too_many;
use super::seat::{Link, Seat, Seated};
use crate::figures::ClientEnd;
use crate::frontend::ClientHello;
use crate::upstream::Stream;

/// Serves until the end, and says what that was.
pub(super) async fn serve(
    ctx: &Rc<Ctx>,
    client: &mut Stream,
    hello: ClientHello,
    mut admitted: Admitted,
    before: &mut BytesMut,
) -> Result<ClientEnd, ErrorReport> {
    if admitted.mode != PoolMode::Session {
        let message = "replication connections are not possible in transaction pooling";
        return Err(ErrorReport::fatal(b"0A000", message).hint(
            "Set mode = \"session\" for this user or database, or connect to the server itself.",
        ));
    }
    let mut parameters = hello.parameters;
    parameters.extend(hello.replication.map(|value| ("replication".to_owned(), value)));
    let connected = admitted.lessee.connect_apart(&parameters).await;
    let (mut connected, node, tenure) = connected.map_err(ErrorReport::into_fatal)?;
    let place = ctx.slots.occupy(hello.version >= Version::V3_2).ok_or_else(too_many)?;
    place.uses(Some(ServerKey::new(connected.peer, connected.pid, connected.key)));
    let mut greeting = std::mem::take(before);
    connected.parameters.into_iter().collect::<Parameters>().greet(&mut greeting);
    BackendKeyData { pid: place.pid(), key: place.secret() }.write(&mut greeting);
    ReadyForQuery { status: TransactionStatus::Idle }.write(&mut greeting);
    if client.write_all(&greeting).await.is_err()
        || client.flush().await.is_err()
        || connected.stream.write_all(&hello.input).await.is_err()
    {
        return Ok(ClientEnd::Closed);
    }
    ctx.counters().logins.add(hello.method);
    let (mut client_reads, mut client_writes) = split(client);
    let (mut server_reads, mut server_writes) = split(&mut connected.stream);
    let seat = Seated::new(ctx, admitted.visitor, &admitted.guide.who);
    seat.link.set(Some(Link { node, pid: connected.pid }));
    // Whoever ends first has said all, and it has been passed on.
    let end = tokio::select! {
        _ = copy(&mut server_reads, &mut client_writes) => ClientEnd::ServerGone,
        _ = copy(&mut client_reads, &mut server_writes) => ClientEnd::Closed,
        () = drained(ctx, &seat) => ClientEnd::Drained,
        () = seat.end_ordered() => ClientEnd::Ordered,
        () = ctx.shared.monitor.over(node, tenure) => ClientEnd::ServerGone,
    };
    Ok(end)
}

/// Returns when the worker drains.
async fn drained(ctx: &Ctx, seat: &Seat) {
    poll_fn(|cx| {
        if ctx.draining.get() {
            return Poll::Ready(());
        }
        seat.remember(cx);
        Poll::Pending
    })
    .await;
}
