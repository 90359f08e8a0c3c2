//! One client, from its first byte to its last.

use std::future::poll_fn;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use bytes::BytesMut;
use howdah_cluster::Evidence;
use howdah_decision::{Decision, Outcome, PoolMode, Target};
use howdah_policy::Answer;
use howdah_session::{Buffers, Disposition, Doing, Guide as _, Proof, Replayed, Session, Step};
use howdah_wire::Version;
use howdah_wire::backend::{BackendKeyData, ErrorReport, ReadyForQuery, TransactionStatus};
use rustls::ProtocolVersion;
use tokio::io::AsyncWriteExt;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep, timeout_at};

use super::admission::{Admitted, Refused, admit, may_come};
use super::cancel::{MAX_SLOTS, Place, Recipient, pass_on, recipient};
use super::clean::give_back;
use super::exchange::{self, News};
use super::greeting::greeting;
use super::guide::SessionGuide;
use super::lease::{Goal, Lessee};
use super::prove::{Loss, prove};
use super::replication;
use super::seat::{Link, Order, Seated, Visitor};
use super::server::Leased;
use super::{Ctx, Message, Shared};
use crate::access::crowd::{Caller, Member};
use crate::admin;
use crate::config::{Config, Reset};
use crate::figures::{ClientEnd, ServerEnd, Words as _};
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

fn ended(ctx: &Ctx, id: u64, end: ClientEnd) {
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

/// A client that is being served.
pub(super) struct Guest {
    pub(super) ctx: Rc<Ctx>,
    pub(super) session: Session<Answer>,
    pub(super) guide: SessionGuide,
    pub(super) lessee: Lessee,
    pub(super) leased: Option<Leased>,
    pub(super) io: Buffers,
    pub(super) place: Place,
    /// Where it sits among the worker's.
    pub(super) seat: Seated,
    /// The server that went away last.
    lost: Option<Loss>,
    /// What it said when it came.
    pub(super) opening: Box<Opening>,
    /// It may go to another process, as far as is known, and it is its turn.
    pub(super) leaves: bool,
    pub(super) turn: Option<OwnedSemaphorePermit>,
}

/// How a client came in.
pub(super) struct Opening {
    pub(super) hello: ClientHello,
    pub(super) mode: PoolMode,
}

impl Guest {
    async fn greet(
        ctx: &Rc<Ctx>,
        id: u64,
        mut hello: ClientHello,
        admitted: Admitted,
        before: &mut BytesMut,
    ) -> Result<Guest, ErrorReport> {
        let Admitted { guide, mut lessee, mode, settings, visitor } = admitted;
        let seat = Seated::new(ctx, visitor, &guide.who);
        let pool = lessee.pool_settings();
        let fatal = |report: ErrorReport| report.into_fatal();
        let greeting = greeting(ctx, &mut lessee, &settings);
        let greeting = seat.waiting(&Decision::NoOpinion, greeting).await.map_err(fatal)?;
        let place = ctx.slots.occupy(hello.version >= Version::V3_2).ok_or_else(too_many)?;
        let client_in = std::mem::take(&mut hello.input);
        let client_out = std::mem::take(before);
        let mut io = Buffers { client_in, client_out, ..Buffers::default() };
        let out = &mut io.client_out;
        out.extend_from_slice(&greeting.messages);
        BackendKeyData { pid: place.pid(), key: place.secret() }.write(out);
        ReadyForQuery { status: TransactionStatus::Idle }.write(out);
        let session = Session::new(id, mode, settings, greeting.parameters.clone())
            .discarding(pool.reset_always)
            .preparing_unnamed(pool.prepare_unnamed);
        let opening = Opening { hello, mode };
        Ok(Guest::seated(seat, session, guide, lessee, place, opening, io))
    }

    /// With a seat among those of its worker.
    pub(super) fn seated(
        seat: Seated,
        session: Session<Answer>,
        guide: SessionGuide,
        lessee: Lessee,
        place: Place,
        opening: Opening,
        io: Buffers,
    ) -> Guest {
        Guest {
            ctx: Rc::clone(&lessee.ctx),
            session,
            guide,
            lessee,
            leased: None,
            io,
            place,
            seat,
            lost: None,
            opening: Box::new(opening),
            leaves: true,
            turn: None,
        }
    }

    /// Serves until the end, and tells whom it concerns.
    pub(super) async fn see_off(&mut self, client: &mut Stream) {
        let end = self.run(client).await;
        let (ctx, id) = (&self.ctx, self.guide.id);
        ctx.policies.closed(&ctx.policies.chain(id), id);
        ended(ctx, id, end);
    }

    /// Serves until the end, and says what that was.
    async fn run(&mut self, client: &mut Stream) -> ClientEnd {
        loop {
            let server = self.leased.as_mut().and_then(Leased::conn).map(|conn| &mut conn.state);
            let step = self.session.advance(&mut self.io, server, &mut self.guide);
            if let Some(token) = self.guide.follows.take() {
                self.lessee.follow(token);
            }
            self.heed_refusal();
            self.note_replay();
            match step {
                Step::Wait => match self.news(client).await {
                    News::Bytes => {}
                    News::ClientGone => return ClientEnd::Closed,
                    News::ServerGone => self.server_gone().await,
                    News::TooLong => {
                        if let Some(report) = self.too_long() {
                            self.farewell(client, &report).await;
                            return ClientEnd::TimedOut;
                        }
                    }
                    News::Leave => {
                        if self.leave(client).await {
                            return ClientEnd::Moved;
                        }
                    }
                    News::Drain => {
                        self.farewell(client, &shutting_down()).await;
                        return ClientEnd::Drained;
                    }
                    News::Ordered(Order::Cancel) => self.place.cancel(),
                    News::Ordered(Order::End) => {
                        self.place.cancel();
                        return self.ended_by_order(client).await;
                    }
                },
                Step::Lease => {
                    if !self.lease(client).await {
                        if self.seat.must_end() {
                            return self.ended_by_order(client).await;
                        }
                        return ClientEnd::ClosedWaiting;
                    }
                }
                Step::Pause(ms) => {
                    let pause = sleep(Duration::from_millis(ms.into()));
                    tokio::select! {
                        () = pause => {}
                        () = gone(client) => return ClientEnd::ClosedWaiting,
                    }
                }
                Step::Prove(proof) => {
                    if !Box::pin(self.prove(client, &proof)).await {
                        return ClientEnd::ClosedWaiting;
                    }
                }
                Step::Release(disposition) => {
                    self.place.uses(None);
                    self.seat.link.set(None);
                    self.guide.node = None;
                    if let Some(mut leased) = self.leased.take() {
                        if disposition == Disposition::Close {
                            self.lost = Some(Loss::of(leased.node()));
                        }
                        self.note_write(&mut leased);
                        give_back(leased, disposition);
                    }
                }
                Step::End => {
                    self.flush(client).await;
                    return match self.session.is_broken() {
                        true => ClientEnd::Broken,
                        false => ClientEnd::Terminated,
                    };
                }
            }
        }
    }

    /// What is said to a client that has kept others waiting for too long. None: its statement is cancelled, and the server
    /// will say so.
    fn too_long(&self) -> Option<ErrorReport> {
        let client = self.guide.id;
        let report = match self.session.doing().0 {
            Doing::Nothing => {
                ErrorReport::fatal(b"57P05", "terminating connection due to idle-session timeout")
                    .hint("See limits.idle_timeout.")
            }
            Doing::Transaction => {
                let message = "terminating connection due to idle-in-transaction timeout";
                ErrorReport::fatal(b"25P03", message)
                    .hint("See limits.idle_in_transaction_timeout.")
            }
            Doing::Batch => {
                tracing::info!(client, "a statement is cancelled: limits.query_timeout has passed");
                self.place.cancel();
                return None;
            }
        };
        tracing::info!(client, reason = %report, "client timed out");
        Some(report)
    }

    /// A primary that refuses to write may be none any more.
    fn heed_refusal(&mut self) {
        if let Some(conn) = self.leased.as_mut().and_then(Leased::conn)
            && conn.state.take_refused_write()
        {
            self.ctx.shared.monitor.hint(conn.node, Evidence::ReadOnly);
        }
    }

    /// A transaction was run again.
    fn note_replay(&mut self) {
        let Some(Replayed { statements, same }) = self.session.take_replayed() else { return };
        self.ctx.counters().replay(same);
        tracing::info!(client = self.guide.id, statements, same, "transaction run again");
    }

    /// Waits for bytes. An idle client gives its buffers back first.
    async fn news(&mut self, client: &mut Stream) -> News {
        let (idle, doing) = (self.session.is_idle(), self.session.doing());
        let mut reclaimed = false;
        let leased = self.leased.as_ref().filter(|_| self.session.awaits_server());
        let asked = leased.and_then(|leased| self.ctx.witness.asked(leased.node()));
        let heard = self.io.server_in.len();
        let mut queue = None;
        let news = poll_fn(|cx| {
            if self.leased.as_ref().is_some_and(Leased::is_over) {
                return Poll::Ready(News::ServerGone);
            }
            let server = self.leased.as_mut().and_then(Leased::conn).map(|conn| &mut conn.stream);
            let news = exchange::poll(&self.ctx, &mut self.io, client, server, cx);
            if news.is_pending() {
                if !reclaimed {
                    self.ctx.spare.reclaim(&mut self.io);
                    reclaimed = true;
                }
                if idle && self.ctx.draining.get() {
                    return Poll::Ready(News::Drain);
                }
                let leaves = idle && self.leaves && self.ctx.leaving.get();
                if leaves && self.leased.is_none() && self.io.is_empty() && !client.is_encrypted() {
                    queue =
                        queue.take().or_else(|| self.ctx.shared.kin().and_then(|kin| kin.turn()));
                    if let Some(queue) = &mut queue
                        && let Poll::Ready(turn) = queue.poll_acquire(cx)
                    {
                        self.turn = turn;
                        return Poll::Ready(News::Leave);
                    }
                }
                if self.seat.is_over() {
                    return Poll::Ready(News::TooLong);
                }
                if let Some(order) = self.seat.take_order() {
                    return Poll::Ready(News::Ordered(order));
                }
                self.seat.belongs(&self.guide.who, self.session.pin());
                self.seat.waits(doing, self.ctx.sweeps.get(), cx);
            }
            news
        })
        .await;
        if self.io.server_in.len() > heard
            && let Some(asked) = asked
        {
            asked.answered();
        }
        news
    }

    /// Gets a server for the current batch. False: the client has gone meanwhile, or has to.
    async fn lease(&mut self, client: &mut Stream) -> bool {
        let decision = self.destination();
        let since = self.guide.traced.as_ref().map(|_| std::time::Instant::now());
        let leased = match self.lessee.at_once(&decision) {
            Ok(leased) => Ok(leased),
            Err(place) => match Box::pin(self.wait_for_server(client, &decision, place)).await {
                Some(leased) => leased,
                None => return false,
            },
        };
        self.guide.waited += self.lessee.waited;
        self.guide.trace_wait(since);
        match leased {
            Ok(mut leased) => {
                self.guide.node = Some(leased.node());
                if self.session.attempts() == 0 {
                    self.ctx.budget.earn();
                    self.guide.sent = self.guide.retries().then(std::time::Instant::now);
                }
                self.guide.on_standby = leased.conn().is_some_and(|conn| conn.state.standby);
                self.ctx.counters().leased(leased.node(), self.session.reads());
                let key = leased.conn().map(|conn| Arc::clone(&conn.key));
                let pid = key.as_ref().map_or(0, |key| key.pid());
                self.seat.link.set(Some(Link { node: leased.node(), pid }));
                self.place.uses(key);
                self.leased = Some(leased);
                // What the session writes in place of the client's own bytes shall not make it grow step by step.
                self.ctx.spare.make_room(&mut self.io.server_out);
            }
            Err(report) => {
                self.ctx.counters().refused.add(1);
                self.session.refuse(&mut self.io, &report);
            }
        }
        true
    }

    /// The same when it takes time. None: the client has gone meanwhile, or has to.
    async fn wait_for_server(
        &mut self,
        client: &mut Stream,
        decision: &Decision,
        place: Goal,
    ) -> Option<Result<Leased, ErrorReport>> {
        // What has been answered so far must not wait for a server.
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        let _ = client.poll_write_buf(&mut cx, &mut self.io.client_out);
        let leasing = self.lessee.lease_later(place, decision, self.io.client_in.len());
        tokio::select! {
            biased;
            leased = self.seat.waiting(decision, leasing) => Some(leased),
            () = gone(client) => None,
            () = self.seat.end_ordered() => None,
        }
    }

    /// Finds out what became of a commit. False: the client has gone meanwhile.
    async fn prove(&mut self, client: &mut Stream, proof: &Proof) -> bool {
        let Some(lost) = &self.lost else { return false };
        let outcome = tokio::select! {
            outcome = prove(&self.lessee, proof, lost) => outcome,
            () = gone(client) => return false,
        };
        self.ctx.counters().prove(outcome);
        if outcome != Outcome::NotCommitted {
            // The server may have done it after it was lost.
            self.lessee.wrote();
        }
        self.session.proven(&mut self.io, &mut self.guide, outcome);
        true
    }

    /// Where the batch goes: as was decided, or as is wished now that it has failed somewhere.
    fn destination(&mut self) -> Decision {
        let decision = self.session.decision();
        let failed = self.guide.failed.take();
        let target = self.session.target();
        self.lessee.avoided = failed.filter(|_| target == Some(Target::Another));
        let same = failed.filter(|_| target == Some(Target::Same));
        let name = same.and_then(|node| self.ctx.names.get(usize::from(node.0)));
        let up = |name: &Arc<str>| self.ctx.shared.monitor.snapshot().named(name).is_some();
        match name.filter(|name| up(name)) {
            Some(name) => Decision::Node((**name).into()),
            None => decision.clone(),
        }
    }

    /// A session's reads are to see what it has written; a standby cannot have been written to.
    fn note_write(&mut self, leased: &mut Leased) {
        let standby = leased.conn().is_some_and(|conn| conn.state.standby);
        if self.session.take_writes() && !standby {
            self.lessee.wrote();
        }
    }

    async fn server_gone(&mut self) {
        self.place.uses(None);
        self.seat.link.set(None);
        if let Some(mut leased) = self.leased.take() {
            self.note_write(&mut leased);
            // What has arrived is known to the reactor when it has had its turn.
            tokio::task::yield_now().await;
            if let Some(conn) = leased.conn() {
                exchange::read_rest(&self.ctx, &mut conn.stream, &mut self.io.server_in);
            }
            self.lost = Some(Loss::of(leased.node()));
            self.ctx.shared.monitor.hint(leased.node(), Evidence::SessionLost);
            leased.close(ServerEnd::Lost);
        }
        self.session.server_lost(&mut self.io, &mut self.guide);
        self.guide.node = None;
    }

    async fn ended_by_order(&mut self, client: &mut Stream) -> ClientEnd {
        self.farewell(client, &shutting_down()).await;
        ClientEnd::Ordered
    }

    async fn farewell(&mut self, client: &mut Stream, report: &ErrorReport) {
        report.write(&mut self.io.client_out);
        self.flush(client).await;
    }

    /// Writes what is left. A client that does not read is not waited for.
    async fn flush(&mut self, client: &mut Stream) {
        let deadline = Instant::now() + Duration::from_secs(1);
        let out = &mut self.io.client_out;
        let _ = timeout_at(deadline, poll_fn(|cx| client.poll_write_buf(cx, out))).await;
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.place.uses(None);
        if let Some(leased) = self.leased.take() {
            let pool = self.lessee.pool_settings();
            match self.session.disposition(&self.guide) {
                Disposition::Reset if pool.reset == Reset::Close => leased.close(ServerEnd::Reset),
                disposition => give_back(leased, disposition),
            }
        }
        self.ctx.spare.reclaim(&mut self.io);
    }
}

/// Returns when the client has closed its connection. Bytes that it sends meanwhile stay where they are.
async fn gone(client: &Stream) {
    poll_fn(|cx| client.poll_ended(cx)).await;
}

/// The worker has no place for another session.
pub(super) fn too_many() -> ErrorReport {
    ErrorReport::fatal(b"53300", "sorry, too many clients already")
        .detail(&format!("A worker serves {MAX_SLOTS} clients."))
        .hint("Raise workers, or run another proxy.")
}

fn shutting_down() -> ErrorReport {
    ErrorReport::fatal(b"57P01", "terminating connection due to administrator command")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten thousand idle clients have ten thousand of these.
    #[test]
    fn a_client_that_is_idle_is_small() {
        fn size<A, B, C, F>(_: impl Fn(A, B, C) -> F) -> usize {
            size_of::<F>()
        }
        assert!(size(serve) <= 4096, "{}", size(serve));
    }
}
