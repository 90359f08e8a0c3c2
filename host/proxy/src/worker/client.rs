//! A client that is served, from its first statement to its last byte.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use howdah_cluster::Evidence;
use howdah_decision::{Decision, Outcome, PoolMode, Target};
use howdah_policy::Answer;
use howdah_session::{Buffers, Disposition, Doing, Guide as _, Proof, Replayed, Session, Step};
use howdah_wire::Version;
use howdah_wire::backend::{BackendKeyData, ErrorReport, ReadyForQuery, TransactionStatus};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep, timeout_at};

use super::Ctx;
use super::admission::Admitted;
use super::cancel::{MAX_SLOTS, Place};
use super::clean::give_back;
use super::exchange::{self, News};
use super::greeting::greeting;
use super::guide::SessionGuide;
use super::lease::{Goal, Lessee};
use super::prove::{Loss, prove};
use super::reception::ended;
use super::seat::{Link, Order, Seated};
use super::server::Leased;
use crate::config::Reset;
use crate::figures::{ClientEnd, ServerEnd};
use crate::frontend::ClientHello;
use crate::upstream::Stream;

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
    /// One that policies have let in. What it is told before anything else is taken from `before`.
    pub(super) async fn greet(
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
                        give_back(leased.used(self.session.content()), disposition);
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
                disposition => give_back(leased.used(self.session.content()), disposition),
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
