//! How a connection becomes a client that is served: it says who it is, policies are asked, and it is greeted.

use std::future::poll_fn;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use bytes::BytesMut;
use howdah_wire::backend::ErrorReport;
use rustls::ProtocolVersion;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout_at};

use super::admission::{Refused, admit, may_come};
use super::cancel::{Recipient, pass_on, recipient};
use super::client::Guest;
use super::replication;
use super::seat::Visitor;
use super::{Ctx, Message, Shared};
use crate::access::crowd::{Caller, Member};
use crate::admin;
use crate::config::Config;
use crate::figures::{ClientEnd, Words as _};
use crate::frontend::{
    ClientHello, FAREWELL, LoginFailure, Opened, TlsSpoken, behind, open, send_away,
};
use crate::upstream::Stream;

/// Serves a client. As many of these wait as there are clients, so whatever comes before and after it is served has a box
/// of its own, which lasts as long as that.
pub(crate) async fn serve(ctx: Rc<Ctx>, mut stream: Stream, peer: Option<IpAddr>) {
    let _counted = Counted(Rc::clone(&ctx));
    ctx.counters().connections.add(1);
    match Box::pin(receive(&ctx, &mut stream, peer)).await {
        Came::In { mut guest, caller: _caller, member: _member } => {
            guest.see_off(&mut stream).await;
        }
        Came::Operator(hello) => return Box::pin(visit(&ctx, stream, *hello)).await,
        Came::Nobody => {}
    }
    // A client that does not listen is not waited for.
    let deadline = Instant::now() + FAREWELL;
    let _ = timeout_at(deadline, poll_fn(|cx| stream.poll_close_tls(cx))).await;
}

/// Who has come by a connection.
enum Came {
    /// A client that is served from now on, and counted as long as it is.
    In { guest: Box<Guest>, caller: Caller, member: Member },
    /// Somebody who wants the console.
    Operator(Box<ClientHello>),
    /// Nobody any more.
    Nobody,
}

/// Sees a connection through to where its client is served.
async fn receive(ctx: &Rc<Ctx>, stream: &mut Stream, peer: Option<IpAddr>) -> Came {
    let config = ctx.shared.config.load_full();
    let deadline = Instant::now() + config.limits.login_timeout;
    let nothing = BytesMut::new();
    let peer = match real(stream, peer, &config, deadline).await {
        Ok(peer) => peer,
        Err(report) => return not_let_in(ctx, stream, peer, nothing, &report).await,
    };
    let caller = match ctx.shared.memory.crowd.call(peer, &config) {
        Ok(caller) => caller,
        // It need not say who it is to be told.
        Err(report) => return not_let_in(ctx, stream, peer, nothing, &report).await,
    };
    let access = ctx.shared.access.load_full();
    let opened = open(stream, peer, &*access, deadline).await;
    match stream.tls_version() {
        Some(ProtocolVersion::TLSv1_2) => ctx.counters().handshakes.add(TlsSpoken::V1_2),
        Some(ProtocolVersion::TLSv1_3) => ctx.counters().handshakes.add(TlsSpoken::V1_3),
        // In the clear, or it was not to be.
        _ => {}
    }
    match opened {
        Opened::Gone(why) => ctx.counters().failures.add(why),
        Opened::Cancel { pid, key } => {
            ctx.counters().cancels.add(1);
            cancel(&ctx.shared, pid, key).await;
        }
        Opened::Client(hello) if admin::is_for(&hello.database, &config) => {
            return Came::Operator(Box::new(hello));
        }
        Opened::Client(hello) => {
            // Clients that have not got so far need no room for it.
            if let Some((guest, member)) = Box::pin(welcome(ctx, stream, peer, hello)).await {
                return Came::In { guest, caller, member };
            }
        }
    }
    Came::Nobody
}

/// An operator is brought to the control thread.
async fn visit(ctx: &Ctx, mut stream: Stream, hello: ClientHello) {
    let config = ctx.shared.config.load_full();
    match admin::role(&hello.user, &config) {
        Ok(role) => {
            if let Ok(stream) = stream.detach() {
                // The process ends if nobody is there to receive it.
                let _ = ctx.shared.door.send(admin::Visit { stream, hello, role });
            }
        }
        Err(report) => {
            not_let_in(ctx, &mut stream, None, hello.output, &report).await;
        }
    }
}

/// A client is not let in, before anything is known of it.
async fn not_let_in(
    ctx: &Ctx,
    stream: &mut Stream,
    peer: Option<IpAddr>,
    before: BytesMut,
    report: &ErrorReport,
) -> Came {
    ctx.counters().failures.add(LoginFailure::of(report));
    send_away(stream, peer, before, report).await;
    Came::Nobody
}

/// Where a client really comes from, when a load balancer is in front.
async fn real(
    stream: &mut Stream,
    peer: Option<IpAddr>,
    config: &Config,
    deadline: Instant,
) -> Result<Option<IpAddr>, ErrorReport> {
    if !config.proxy_protocol_from.iter().any(|balancers| balancers.contain(peer)) {
        return Ok(peer);
    }
    let late = || ErrorReport::fatal(b"57014", "canceling authentication due to timeout");
    let behind = timeout_at(deadline, behind(stream)).await.map_err(|_| late())??;
    Ok(behind.or(peer))
}

/// A cancel request goes to the worker, or the process, that the session belongs to. The requester's connection stays
/// open meanwhile, as with PostgreSQL.
async fn cancel(shared: &Shared, pid: u32, key: Box<[u8]>) {
    match recipient(pid, shared.peers.own()) {
        Recipient::Here => shared.cancel(pid, key, false),
        Recipient::Peer(number) => {
            if let Some(peer) = shared.peers.other(number) {
                pass_on(peer, pid, &key).await;
            }
        }
    }
}

/// Takes a connection, which was counted when it was handed out, off the count when it ends.
pub(super) struct Counted(pub(super) Rc<Ctx>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.counters().clients.fetch_sub(1, Ordering::Relaxed);
        if self.0.is_ending()
            && let Some(worker) = self.0.shared.workers.get(self.0.index)
        {
            // The worker looks whether it was the last one.
            let _ = worker.send(Message::Gone);
        }
    }
}

/// A client that has authenticated: policies are asked, and it is greeted. None: it is not to be served any more.
async fn welcome(
    ctx: &Rc<Ctx>,
    stream: &mut Stream,
    peer: Option<IpAddr>,
    mut hello: ClientHello,
) -> Option<(Box<Guest>, Member)> {
    let mut out = std::mem::take(&mut hello.output);
    let id = ctx.shared.next_client.fetch_add(1, Ordering::Relaxed);
    let outcome = match may_come(ctx) {
        Ok(()) => {
            let outcome = let_in(ctx, stream, id, peer, hello, &mut out).await;
            if !matches!(outcome, Ok(LetIn::Guest(..))) {
                ctx.policies.closed(&ctx.policies.chain(id), id);
            }
            outcome
        }
        Err(report) => Err(report.into()),
    };
    match outcome {
        Ok(LetIn::Guest(guest, member)) => return Some((guest, member)),
        Ok(LetIn::Ended(end)) => ended(ctx, id, end),
        Err(Refused { why, report }) => {
            ctx.counters().refused.add(1);
            ctx.counters().failures.add(why);
            tracing::info!(client = id, reason = %report, "client refused");
            report.write(&mut out);
            // It may have gone.
            let _ = stream.write_all(&out).await;
        }
    }
    None
}

/// A client that was let in has gone.
pub(super) fn ended(ctx: &Ctx, id: u64, end: ClientEnd) {
    ctx.counters().ends.add(end);
    tracing::debug!(client = id, end = end.word(), "client gone");
}

/// What became of a client that policies have let in.
enum LetIn {
    /// It is to be served.
    Guest(Box<Guest>, Member),
    /// It has wanted no queries, and has gone.
    Ended(ClientEnd),
}

/// Asks the policies, and greets the client. What it is told before anything else is taken from `before` when it is told.
async fn let_in(
    ctx: &Rc<Ctx>,
    stream: &mut Stream,
    id: u64,
    peer: Option<IpAddr>,
    hello: ClientHello,
    before: &mut BytesMut,
) -> Result<LetIn, Refused> {
    let config = ctx.shared.config.load_full();
    let member = ctx.shared.memory.crowd.join(&hello.user, &hello.database, &config)?;
    let visitor = Visitor {
        id,
        address: peer,
        encrypted: stream.is_encrypted(),
        replicates: hello.replication.is_some(),
        came: SystemTime::now(),
    };
    let admitted = admit(ctx, visitor, &hello).await?;
    if hello.replication.is_some() {
        return Ok(LetIn::Ended(replication::serve(ctx, stream, hello, admitted, before).await?));
    }
    let method = hello.method;
    let guest = Box::new(Guest::greet(ctx, id, hello, admitted, before).await?);
    ctx.counters().logins.add(method);
    Ok(LetIn::Guest(guest, member))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten thousand idle clients have ten thousand of these, and as many sessions in boxes.
    #[test]
    fn a_client_that_is_idle_is_small() {
        fn size<A, B, C, F>(_: impl Fn(A, B, C) -> F) -> usize {
            size_of::<F>()
        }
        let size = size(serve) + size_of::<Guest>();
        assert!(size <= 4096, "{size}");
    }
}
