use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use hashbrown::HashMap;
use howdah_decision::{Decision, PoolMode, Target};
use howdah_wire::backend::{ErrorReport, TransactionStatus};
use howdah_wire::frontend::Query;

use crate::batch::{Batch, Gathered};
use crate::carried::Carried;
use crate::commit::Ending;
use crate::expect::Expect;
use crate::prepared::Named;
use crate::release::{Disposition, reusable};
use crate::replay::{Replay, Replayed};
use crate::reply::Replied;
use crate::server::Sequences;
use crate::tally::Tally;
use crate::{Buffers, Guide, Parameters, Pin, Proof, ServerState, Settings};

/// What a session needs next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Bytes from a peer, after what is to be written has been written.
    Wait,
    /// A server that suits [`Session::decision`] and [`Session::target`]; then `advance` with it, or
    /// [`Session::refuse`].
    Lease,
    /// The outcome of this transaction, whose server has gone; then [`Session::proven`].
    Prove(Box<Proof>),
    /// So many milliseconds of waiting, before a batch is sent again; the server has been released. Then `advance`.
    Pause(u32),
    /// The server is not needed any more; it must not be passed to the next `advance`.
    Release(Disposition),
    /// Nothing: write what is left, then close the client's connection.
    End,
}

/// A mistake that ends a connection.
#[derive(Debug)]
pub enum Fault {
    /// The client broke the protocol: it is told so, and its connection is closed.
    Client(ErrorReport),
    /// The server broke the protocol: its connection is closed.
    Server(&'static str),
}

/// Where a session is. Named for what it awaits.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// A batch from the client, outside of a transaction.
    Batch,
    /// A server.
    Server,
    /// The answer to the settings that precede the batch.
    Setup,
    /// Answers from the server, or more of a transaction from the client.
    Answers,
    /// A Sync from the client: its batch has already got an error.
    Sync,
    /// What has become of a transaction that was to be committed.
    Proof(Box<Proof>),
    /// The end of a transaction that has lost its server.
    Rollback,
    /// Nothing any more: it has said good-bye.
    End,
    /// Nothing any more: it cannot go on.
    Broken,
}

/// What a session does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// It waits for its client.
    Nothing,
    /// It waits for its client, within a transaction.
    Transaction,
    /// It waits for an answer of its server.
    Batch,
}

/// The life of one client after its start-up. See the crate's documentation.
pub struct Session<A> {
    /// Tells sessions apart that use the same server.
    pub(crate) id: u64,
    pub(crate) phase: Phase,
    /// Batches that servers have answered so far.
    pub(crate) answered: u32,
    pub(crate) carried: Carried,
    /// What others have left on a server is discarded before this session uses it.
    discards: bool,
    pub(crate) prepares_unnamed: bool,
    /// Reported parameters as the client knows them.
    pub(crate) told: Parameters,
    /// As of the last ReadyForQuery.
    pub(crate) status: TransactionStatus,
    pub(crate) pin: Option<Pin>,
    /// It has made something temporary: its server keeps a schema for that, even when that is empty.
    pub(crate) temporary: bool,
    pub(crate) statements: HashMap<Box<[u8]>, Rc<Named>>,
    pub(crate) unnamed: Option<Rc<Named>>,
    /// The edition of the database's schema, as of the last look.
    pub(crate) edition: u64,
    /// What the session prepares at the moment means this to itself, and to nobody else: its transaction has changed
    /// settings or the schema.
    pub(crate) own_meaning: Option<u128>,
    /// The last of the occasions on which names have come to mean other tables: in the open transaction, or where it has
    /// made something temporary.
    pub(crate) own_names: Option<u64>,
    /// How often what its literals or names mean has changed within a transaction.
    pub(crate) occasions: u64,
    /// The batch relies on what an earlier one has prepared on the server.
    pub(crate) reused: bool,
    /// The server has just been asked whether a statement is as the client knows it.
    pub(crate) verified: bool,
    /// The schema has been changed: since the last ReadyForQuery, in this transaction.
    pub(crate) altered: (bool, bool),
    /// Something has been defined in this transaction by which sessions may leave something behind ([`Statement::arms`]).
    pub(crate) armed: bool,
    /// Something that may end the transaction has been sent.
    pub(crate) commits: bool,
    pub(crate) ending: Ending,
    /// The open transaction, while it can be run again when its server is lost.
    pub(crate) replay: Option<Box<Replay>>,
    /// What has become of one that was.
    pub(crate) replayed: Option<Replayed>,
    /// Something that may write has been sent since [`Session::take_writes`] was asked last.
    pub(crate) wrote: bool,
    /// What was known when the present batch was looked at, or the first of its transaction ([`Guide::settled`]).
    pub(crate) settled: Option<u64>,
    /// What the catalog said then ([`Guide::content`]); 0: what the session leaves behind cannot be known by it.
    pub(crate) content: u64,
    /// What keeps the session on its server may have gone, or may never have come: the server is to be asked.
    pub(crate) pin_in_doubt: bool,
    /// Portals of the current transaction, with what they execute.
    pub(crate) portals: Vec<(Box<[u8]>, Rc<Named>)>,
    pub(crate) batch: Batch<A>,
    pub(crate) pending: VecDeque<Expect>,
    /// A message that ReadyForQuery will answer has been sent.
    pub(crate) awaiting_ready: bool,
    /// Extended-protocol messages have been sent, and no Sync behind them: their work is not done before that.
    pub(crate) unsynced: bool,
    /// COPY … FROM STDIN is under way.
    pub(crate) copying: bool,
    /// The client's messages up to Sync are dropped, but Sync is sent.
    pub(crate) skipping: bool,
    /// Something failed since the last ReadyForQuery.
    pub(crate) failed: bool,
    /// Statements of the present simple query that have been completed.
    pub(crate) completed: usize,
    /// The batch as the client sent it, while it may still be sent once more.
    pub(crate) retained: Option<BytesMut>,
    /// It may be sent elsewhere when its server is lost: it can run twice, or a standby has got it.
    pub(crate) resendable: bool,
    /// Bytes of the batch that are not yet forwarded.
    pub(crate) unsent: usize,
    pub(crate) reroutes: u8,
    /// The server of the batch was a standby.
    pub(crate) on_standby: bool,
    /// Policies have a say in what becomes of the batch when it fails.
    pub(crate) retries: bool,
    /// Where it goes then, and how long it waits before.
    pub(crate) target: Option<Target>,
    pub(crate) pause_ms: u32,
    pub(crate) tally: Option<Tally<A>>,
    /// Rows that have passed; counted for the tally.
    pub(crate) rows: u64,
    /// The batch was refused by a standby because it writes.
    pub(crate) to_primary: bool,
    /// Bytes of a large message still to pass through, and whether they are forwarded.
    pub(crate) client_stream: (usize, bool),
    pub(crate) server_stream: (usize, bool),
    /// The server's last words, when they were FATAL or spoiled the settings.
    pub(crate) last_words: Option<ErrorReport>,
    /// An error that the client gets instead of its next answer.
    pub(crate) owed: Option<ErrorReport>,
}

impl<A: AsRef<Decision>> Session<A> {
    /// A session whose client has just been greeted, and told of these parameters. No two sessions of a process have
    /// the same `id`.
    pub fn new(id: u64, mode: PoolMode, settings: Arc<Settings>, told: Parameters) -> Session<A> {
        Session {
            id,
            phase: Phase::Batch,
            answered: 0,
            carried: Carried::new(settings),
            discards: false,
            prepares_unnamed: false,
            told,
            status: TransactionStatus::Idle,
            pin: (mode == PoolMode::Session).then_some(Pin::Mode),
            statements: HashMap::new(),
            unnamed: None,
            edition: 1,
            own_meaning: None,
            own_names: None,
            occasions: 0,
            reused: false,
            verified: false,
            altered: (false, false),
            armed: false,
            commits: false,
            ending: Ending::default(),
            replay: None,
            replayed: None,
            wrote: false,
            settled: None,
            content: 0,
            temporary: false,
            pin_in_doubt: false,
            portals: Vec::new(),
            batch: Batch::default(),
            pending: VecDeque::new(),
            awaiting_ready: false,
            unsynced: false,
            copying: false,
            skipping: false,
            failed: false,
            completed: 0,
            retained: None,
            resendable: false,
            unsent: 0,
            reroutes: 0,
            on_standby: false,
            retries: false,
            target: None,
            pause_ms: 0,
            tally: None,
            rows: 0,
            to_primary: false,
            client_stream: (0, true),
            server_stream: (0, true),
            last_words: None,
            owed: None,
        }
    }

    /// Whatever another session may have left on a server is discarded before this one uses it, known or not
    /// (`DISCARD ALL`, in the same packet as the batch). Otherwise only what is known is put right.
    #[must_use]
    pub fn discarding(mut self, always: bool) -> Session<A> {
        self.discards = always;
        self
    }

    /// What the catalog said when the last batch was looked at, or the first of its transaction ([`Guide::content`]). What the
    /// session has left on its server is known if that was true there, and never by 0. None: nobody cares ([`Session::discarding`]).
    pub fn content(&self) -> Option<u64> {
        (!self.discards).then_some(self.content)
    }

    /// What clients prepare again and again without a name is prepared once on each server connection, by a name that it
    /// gets there. PostgreSQL may then plan it once for all parameters (`plan_cache_mode`).
    #[must_use]
    pub fn preparing_unnamed(mut self, once: bool) -> Session<A> {
        self.prepares_unnamed = once;
        self
    }

    /// Moves bytes on as far as possible. Pass the leased server's state, or none when there is none.
    pub fn advance<G: Guide<Answer = A>>(
        &mut self,
        io: &mut Buffers,
        server: Option<&mut ServerState>,
        guide: &mut G,
    ) -> Step {
        self.tally_from(io);
        let step = self.go_on(io, server, guide);
        self.tally_to(io);
        step
    }

    fn go_on<G: Guide<Answer = A>>(
        &mut self,
        io: &mut Buffers,
        mut server: Option<&mut ServerState>,
        guide: &mut G,
    ) -> Step {
        loop {
            self.tell_tally(io, guide);
            let step = match (&self.phase, server.as_deref_mut()) {
                (Phase::End | Phase::Broken, _) => Ok(Some(Step::End)),
                (Phase::Batch, server) => self.await_batch(io, server, guide),
                (Phase::Server, None) => Ok(Some(match std::mem::take(&mut self.pause_ms) {
                    0 => Step::Lease,
                    ms => Step::Pause(ms),
                })),
                (Phase::Server, Some(server)) => {
                    self.explain_sent(io, guide);
                    self.begin(io, server, guide);
                    Ok(None)
                }
                (Phase::Setup | Phase::Answers, Some(server)) => self.serve(io, server, guide),
                (Phase::Setup | Phase::Answers, None) => {
                    self.server_lost(io, guide);
                    Ok(None)
                }
                (Phase::Proof(proof), _) => Ok(Some(Step::Prove(proof.clone()))),
                (Phase::Sync, _) => self.skip_to_sync(io),
                (Phase::Rollback, _) => self.await_rollback(io, guide),
            };
            match step {
                Ok(None) => {}
                Ok(Some(step)) => return step,
                Err(Fault::Client(report)) => {
                    report.write(&mut io.client_out);
                    self.phase = Phase::Broken;
                }
                Err(Fault::Server(what)) => {
                    self.last_words = Some(ErrorReport::error(
                        b"08P01",
                        &format!("the server broke the protocol: {what}"),
                    ));
                    self.server_lost(io, guide);
                    return Step::Release(Disposition::Close);
                }
            }
        }
    }

    /// Where the server for the current batch has to come from.
    pub fn decision(&self) -> &Decision {
        match &self.batch.answer {
            _ if self.to_primary => &Decision::Primary,
            Some(answer) => (**answer).as_ref(),
            None => &Decision::NoOpinion,
        }
    }

    /// Whether the current batch only reads, for the counters of whoever leases.
    pub fn reads(&self) -> bool {
        self.batch.reads
    }

    /// Whether anything may have been written since the last call.
    pub fn take_writes(&mut self) -> bool {
        std::mem::take(&mut self.wrote)
    }

    /// Why the session stays on its server.
    pub fn pin(&self) -> Option<&Pin> {
        self.pin.as_ref()
    }

    /// The transaction status that the client knows.
    pub fn status(&self) -> TransactionStatus {
        self.status
    }

    /// Whether nothing is under way: no batch, no transaction.
    pub fn is_idle(&self) -> bool {
        self.phase == Phase::Batch
            && self.status == TransactionStatus::Idle
            && self.batch.is_empty()
    }

    /// Whether it ends because the client broke the protocol, or has got a part of a message.
    pub fn is_broken(&self) -> bool {
        self.phase == Phase::Broken
    }

    /// What it does at the moment, and how many batches have been answered before.
    pub fn doing(&self) -> (Doing, u32) {
        let at_server = matches!(self.phase, Phase::Setup | Phase::Answers);
        let doing = match self.status {
            _ if at_server && self.answer_due() => Doing::Batch,
            TransactionStatus::Idle => Doing::Nothing,
            _ => Doing::Transaction,
        };
        (doing, self.answered)
    }

    /// Settings that the client wants.
    pub fn settings(&self) -> &Arc<Settings> {
        self.carried.wanted()
    }

    /// No server could be had for the current batch: it gets this error, and the session goes on.
    pub fn refuse(&mut self, io: &mut Buffers, report: &ErrorReport) {
        self.tally_from(io);
        if self.is_replaying() {
            self.last_words = Some(report.clone());
            return self.replay_failed();
        }
        self.restore_batch(io);
        self.fail_batch(io, report);
    }

    /// Takes everything back that was known of the lost or returned server.
    pub(crate) fn forget_server(&mut self) {
        self.pending.clear();
        self.portals.clear();
        self.completed = 0;
        self.carried.ended(false);
        self.awaiting_ready = false;
        self.unsynced = false;
        self.copying = false;
        self.skipping = false;
        self.failed = false;
        self.retained = None;
        self.unsent = 0;
        self.own_meaning = None;
        self.own_names = None;
        self.altered = (false, false);
        self.armed = false;
        self.commits = false;
        self.ending = Ending::default();
        self.replay = None;
        self.end_batch();
        self.server_stream = (0, true);
        if self.pin != Some(Pin::Mode) {
            self.pin = None;
            self.pin_in_doubt = false;
        }
    }

    /// The batch is done with, in one way or another.
    pub(crate) fn end_batch(&mut self) {
        self.batch.clear();
        (self.reroutes, self.target, self.pause_ms) = (0, None, 0);
        self.to_primary = false;
    }

    /// A leased server is there: settings first, then the batch.
    fn begin<G: Guide<Answer = A>>(
        &mut self,
        io: &mut Buffers,
        server: &mut ServerState,
        guide: &G,
    ) {
        if let Decision::Pin(reason) = self.decision() {
            let reason = reason.clone();
            self.pin.get_or_insert(Pin::Policy(reason));
        }
        let discard = server.lent_to(self.id) && (self.discards || !server.known);
        if discard {
            self.sends(io, b"DISCARD ALL", Expect::Discard);
            if !server.known {
                // What is not known may have called setseed(), of which DISCARD ALL leaves the effect.
                let sow = format!("SET seed = {}", any_seed());
                self.sends(io, sow.as_bytes(), Expect::Discard);
            }
            server.discarded();
            server.known = true;
        }
        let wanted = Arc::clone(self.carried.wanted());
        let mut sql = match server.has_settings(&wanted) {
            true => String::new(),
            false => wanted.difference(&server.settings),
        };
        // What another session has drawn from sequences must not be read, now or later in this transaction.
        let may_read = self.batch.may_read_sequences() || self.is_replaying();
        if may_read && server.sequences.are_strange_to(self.id) {
            server.sequences = Sequences::Nobodys;
            sql.insert_str(0, "DISCARD SEQUENCES;");
        }
        if sql.is_empty() {
            server.settings = wanted;
            self.carried.leased();
            if !discard && !self.is_replaying() {
                server.parameters.tell(&mut self.told, &mut io.client_out);
            }
            return self.start_batch(io, server, guide);
        }
        // In the same packet as the batch, unless the server might refuse them.
        let sure = wanted.differs_surely(&server.settings);
        self.set_up(io, &sql);
        match sure {
            true => self.start_batch(io, server, guide),
            false => self.phase = Phase::Setup,
        }
    }

    fn set_up(&mut self, io: &mut Buffers, sql: &str) {
        self.sends(io, sql.as_bytes(), Expect::Setup(Arc::clone(self.carried.wanted())));
    }

    /// A query of the proxy's own, in the same packet as what comes behind it.
    pub(crate) fn sends(&mut self, io: &mut Buffers, sql: &[u8], expect: Expect) {
        Query { text: sql }.write(&mut io.server_out);
        self.pending.push_back(expect);
    }

    /// The server is as the client wants it: the batch may go.
    pub(crate) fn start_batch<G: Guide<Answer = A>>(
        &mut self,
        io: &mut Buffers,
        server: &mut ServerState,
        guide: &G,
    ) {
        self.phase = Phase::Answers;
        self.unsent = self.batch.len;
        self.reused = false;
        self.on_standby = server.standby;
        // What is to be run again goes statement by statement.
        self.awaiting_ready |= self.is_replaying();
        self.resendable = server.standby || self.batch.repeats();
        let prepared = self.batch.uses_prepared(|prepared| self.gives_name(prepared));
        let again = self.resendable || prepared || self.retries;
        if again && self.batch.synced {
            self.retained = io.client_in.get(..self.batch.len).map(BytesMut::from);
        }
        self.wrap(io, server, guide);
    }

    fn await_batch<G: Guide<Answer = A>>(
        &mut self,
        io: &mut Buffers,
        server: Option<&mut ServerState>,
        guide: &mut G,
    ) -> Result<Option<Step>, Fault> {
        if let Some(server) = server
            && !io.server_in.is_empty()
        {
            self.replies(io, server, guide)?;
        }
        match self.gather(io, guide)? {
            Gathered::More => Ok(Some(Step::Wait)),
            Gathered::Done => Ok(None),
            Gathered::Routed => {
                self.phase = Phase::Server;
                Ok(None)
            }
            Gathered::Terminate => {
                self.phase = Phase::End;
                Ok(None)
            }
        }
    }

    /// Between lease and release.
    fn serve<G: Guide<Answer = A>>(
        &mut self,
        io: &mut Buffers,
        server: &mut ServerState,
        guide: &mut G,
    ) -> Result<Option<Step>, Fault> {
        let replied = self.replies(io, server, guide)?;
        self.tell_tally(io, guide);
        match replied {
            Replied::More => {}
            Replied::Reroute => {
                self.restore_batch(io);
                self.phase = Phase::Server;
                return Ok(Some(Step::Release(reusable(server))));
            }
            Replied::SetupFailed(report) if self.is_replaying() => {
                self.last_words = Some(report);
                self.replay_failed();
                return Ok(Some(Step::Release(Disposition::Close)));
            }
            Replied::SetupFailed(report) => {
                self.fail_batch(io, &report);
                self.forget_server();
                return Ok(Some(Step::Release(Disposition::Close)));
            }
        }
        if self.is_replaying()
            && let Some(disposition) = self.run_again(io, server)
        {
            return Ok(Some(Step::Release(disposition)));
        }
        if self.phase == Phase::Answers && !self.is_settled() {
            self.make_up(io);
            self.forward(io, server, guide)?;
            // None of it has left yet.
            if self.armed && (self.commits || self.status == TransactionStatus::Idle) {
                guide.arm(true);
            }
            if self.owes_only_local() {
                return Ok(None);
            }
        }
        if self.phase == Phase::Answers && self.is_settled() && self.pin_in_doubt {
            self.check_pin(io);
        }
        let settled = self.phase == Phase::Answers && self.is_settled();
        if settled {
            self.phase = Phase::Batch;
        }
        // In phase Sync a batch that the proxy itself has synced has failed, and the server is done with it too.
        if settled || self.phase == Phase::Sync {
            self.end_batch();
            if self.pin.is_some() {
                return Ok(None);
            }
            server.tainted |= !self.is_known(guide);
            return Ok(Some(Step::Release(reusable(server))));
        }
        match self.phase {
            Phase::End | Phase::Broken => Ok(None),
            _ => Ok(Some(Step::Wait)),
        }
    }

    /// Whether the server has nothing more to say before the next answers, which are the proxy's own.
    fn owes_only_local(&self) -> bool {
        let local = self.pending.iter().all(|expect| expect.local().is_some());
        local
            && !self.pending.is_empty()
            && self.phase == Phase::Answers
            && self.retained.is_none()
            && !self.awaiting_ready
            && !self.unsynced
            && self.server_stream.0 == 0
    }

    /// RESET in a transaction has gone back to the server's own default, but the client's start-up wants something
    /// else: that is made up for before anything else is sent.
    fn make_up(&mut self, io: &mut Buffers) {
        let ready = self.status == TransactionStatus::InTransaction && self.pending.is_empty();
        if ready && !self.awaiting_ready && !self.unsynced && !self.carried.is_there() {
            let sql = self.carried.difference();
            self.set_up(io, &sql);
        }
    }

    /// Puts a retained batch back in front of what the client has sent since.
    pub(crate) fn restore_batch(&mut self, io: &mut Buffers) {
        if let Some(mut retained) = self.retained.take() {
            let sent = self.batch.len - self.unsent;
            retained.truncate(sent);
            retained.extend_from_slice(&io.client_in);
            io.client_in = retained;
            self.batch.rewind();
        }
        self.take_all_back();
        self.unsent = 0;
        self.awaiting_ready = false;
        self.unsynced = false;
        self.skipping = false;
        self.failed = false;
        self.completed = 0;
        self.own_meaning = None;
        self.own_names = None;
        self.altered = (false, false);
        self.armed = false;
        self.commits = false;
        self.ending = Ending::default();
        self.carried.ended(false);
        self.portals.clear();
        self.server_stream = (0, true);
        io.server_in.clear();
        io.server_out.clear();
    }

    /// Drops client messages up to Sync, which ReadyForQuery answers.
    fn skip_to_sync(&mut self, io: &mut Buffers) -> Result<Option<Step>, Fault> {
        use howdah_wire::frontend::tag;
        loop {
            if !self.drain_client_stream(&mut io.client_in) {
                return Ok(Some(Step::Wait));
            }
            let Some(head) = crate::batch::peek_client(&io.client_in)? else {
                return Ok(Some(Step::Wait));
            };
            match head.tag {
                tag::SYNC | tag::TERMINATE if io.client_in.len() < head.len => {
                    return Ok(Some(Step::Wait));
                }
                tag::SYNC => {
                    io.client_in.advance(head.len);
                    self.phase = match self.status {
                        TransactionStatus::Idle => Phase::Batch,
                        _ => Phase::Rollback,
                    };
                    self.write_ready(io);
                    return Ok(None);
                }
                tag::TERMINATE => {
                    self.phase = Phase::End;
                    return Ok(None);
                }
                _ => self.client_stream = (head.len, false),
            }
        }
    }

    /// Drops what is left of a large message. False: more of it has still to come.
    pub(crate) fn drain_client_stream(&mut self, input: &mut BytesMut) -> bool {
        let n = self.client_stream.0.min(input.len());
        input.advance(n);
        self.client_stream.0 -= n;
        self.client_stream.0 == 0
    }
}

/// Something from 0 to 1, which nobody can tell beforehand.
fn any_seed() -> f64 {
    const STEPS: u32 = 1 << 30;
    let step = RandomState::new().hash_one(()) % u64::from(STEPS);
    u32::try_from(step).map_or(0.0, f64::from) / f64::from(STEPS)
}
