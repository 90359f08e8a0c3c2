//! Running an open transaction once more, on the server that is the primary now, after its own has gone. The client
//! sees a wait, or the loss: every answer must be what it was.
//!
//! What is kept goes batch by batch: a simple query, or messages of the extended protocol up to Sync ([`crate::keep`]).

use std::hash::Hasher;
use std::rc::Rc;

use bytes::BufMut;
use howdah_decision::{Decision, Facts, Failure, Outcome, Retry, Safety};
use howdah_wire::backend::{DataRow, ErrorReport, ErrorResponse, TransactionStatus, tag};
use howdah_wire::frame;
use howdah_wire::frontend::{self, Bind, Describe, Target};
use siphasher::sip128::{Hasher128, SipHasher13};

use crate::again::query;
use crate::expect::Expect;
use crate::keep::{Kept, UnderWay};
use crate::limits::{MAX_REPLAY_BYTES, MAX_REPLAY_STATEMENTS, MAX_REPLAYS};
use crate::local::next_frame;
use crate::prepared::{Named, hasher};
use crate::release::Disposition;
use crate::session::{Phase, Session};
use crate::{Buffers, Guide, ServerState};

/// What a server says that is shut down, or one of its sessions; any other last words are about what the session did.
const GOES_AWAY: [[u8; 5]; 3] = [*b"57P01", *b"57P02", *b"57P03"];

/// The open transaction, as far as it can be run again.
pub(crate) struct Replay {
    /// What it has sent, in order.
    sent: Vec<Kept>,
    /// What its isolation was asked with, among them.
    pub(crate) isolation: Option<usize>,
    /// A batch of the extended protocol, up to its Sync.
    pub(crate) batch: Option<Kept>,
    /// Something of it may have changed settings unseen: what is prepared now may not mean what it meant before.
    pub(crate) unsteady: bool,
    bytes: usize,
    statements: usize,
    /// How many batches have been answered, by the present server.
    answered: usize,
    /// Of the answer that is coming.
    hasher: SipHasher13,
    /// What streams at the moment is a part of it.
    streams: bool,
    /// The client has got a part of the answer to what is under way.
    delivered: bool,
    pub(crate) under_way: UnderWay,
    /// It is being run again, and all answers have been the same so far.
    running: Option<bool>,
    attempts: u8,
}

/// What has become of a transaction that was run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// How many statements of it had been answered before.
    pub statements: usize,
    /// It goes on. Else the client was told of its loss.
    pub same: bool,
}

impl Replay {
    pub(crate) fn new() -> Replay {
        Replay {
            sent: Vec::new(),
            isolation: None,
            batch: None,
            unsteady: false,
            bytes: 0,
            statements: 0,
            answered: 0,
            hasher: hasher(),
            streams: false,
            delivered: false,
            under_way: UnderWay::default(),
            running: None,
            attempts: 0,
        }
    }

    /// So much more is kept. False: it has become too large.
    pub(crate) fn grow(&mut self, bytes: usize, statements: usize) -> bool {
        self.bytes += bytes;
        self.statements += statements;
        self.bytes <= MAX_REPLAY_BYTES && self.statements <= MAX_REPLAY_STATEMENTS
    }

    /// A batch is sent.
    pub(crate) fn push(&mut self, batch: Kept) {
        self.sent.push(batch);
    }

    /// The question for the isolation is sent.
    pub(crate) fn push_isolation(&mut self, question: Kept) {
        self.isolation = Some(self.sent.len());
        self.push(question);
    }

    /// Whether nothing but BEGIN has been sent in its batch, so that no snapshot has been taken.
    pub(crate) fn began_alone(&self) -> bool {
        self.sent.first().is_some_and(|batch| batch.statements.len() == 1)
    }

    /// Whether its isolation is known as far as that matters.
    fn is_isolated(&self) -> bool {
        let known = self.isolation.is_some_and(|at| at < self.answered);
        known || self.running.is_some() || self.began_alone()
    }

    /// A whole message. What is said beside the answer, notices and the like, does not count.
    fn hear(&mut self, tag: u8, frame: &[u8]) {
        match tag {
            tag::PARAMETER_DESCRIPTION
            | tag::ROW_DESCRIPTION
            | tag::NO_DATA
            | tag::DATA_ROW
            | tag::COMMAND_COMPLETE
            | tag::EMPTY_QUERY_RESPONSE
            | tag::READY_FOR_QUERY => self.hasher.write(frame),
            tag::ERROR_RESPONSE => {
                let error = frame.get(frame::HEADER_LEN..).map(ErrorResponse::read);
                let state = error.and_then(Result::ok).and_then(|error| error.sqlstate());
                self.hasher.write(&[tag]);
                self.hasher.write(&state.unwrap_or_default());
            }
            _ => {}
        }
    }

    /// An answer is complete.
    fn answered(&mut self) {
        let answer = std::mem::replace(&mut self.hasher, hasher()).finish128().as_u128();
        let Some(sent) = self.sent.get_mut(self.answered) else { return };
        match &mut self.running {
            Some(same) => *same &= sent.answer == answer,
            None => sent.answer = answer,
        }
        self.answered += 1;
    }

    /// How many statements of the client have been answered.
    fn statements(&self) -> usize {
        self.sent.iter().map(|batch| batch.statements.len()).sum()
    }

    /// From the beginning.
    fn start(&mut self) {
        if self.running.is_none() {
            self.sent.truncate(self.answered);
            self.isolation = self.isolation.filter(|at| *at < self.answered);
        }
        self.running = Some(true);
        self.attempts += 1;
        self.batch = None;
        (self.answered, self.hasher, self.delivered) = (0, hasher(), false);
    }
}

impl<A: AsRef<Decision>> Session<A> {
    /// A whole message has come.
    pub(crate) fn hear(&mut self, tag: u8, frame: &[u8]) {
        let Some(replay) = &mut self.replay else { return };
        match self.pending.front() {
            Some(Expect::Again(_) | Expect::Isolation) => {}
            Some(expect) if !expect.is_own() => replay.delivered = true,
            _ => return,
        }
        replay.hear(tag, frame);
        // A portal that stays open has a snapshot of its own.
        if tag == tag::PORTAL_SUSPENDED && replay.running.is_none() {
            self.replay = None;
        }
    }

    /// A message begins that comes in pieces; it belongs to the answer, or not.
    pub(crate) fn hear_stream(&mut self, counts: bool) {
        if let Some(replay) = &mut self.replay {
            replay.streams = counts;
            replay.delivered |= replay.running.is_none();
        }
    }

    /// A piece of it.
    pub(crate) fn hear_piece(&mut self, piece: &[u8]) {
        if let Some(replay) = self.replay.as_mut().filter(|replay| replay.streams) {
            replay.hasher.write(piece);
        }
    }

    /// Whether the next answer of the proxy's own can wait for the server's: nothing that a transaction is run again for
    /// shall have been answered in part.
    pub(crate) fn waits_to_hear(&self) -> bool {
        self.replay.is_some() && !self.pending.iter().all(|expect| expect.local().is_some())
    }

    /// The client gets an answer of the proxy's own.
    pub(crate) fn hear_local(&mut self) {
        if let Some(replay) = &mut self.replay {
            replay.delivered |= !replay.under_way.messages.is_empty();
        }
    }

    /// The isolation of the transaction: with a snapshot of its own it is another one when it is run again.
    pub(crate) fn isolated(&mut self, row: &[u8]) {
        let level = DataRow::read(row).ok().and_then(|row| row.values().next().flatten());
        if level != Some(b"read committed") {
            self.replay = None;
        }
    }

    /// ReadyForQuery has come, for the client or for the proxy.
    pub(crate) fn heard(&mut self, own: bool) {
        let Some(replay) = &mut self.replay else { return };
        replay.answered();
        if own {
            return;
        }
        replay.under_way = UnderWay::default();
        replay.delivered = false;
        if self.status == TransactionStatus::Idle {
            self.replay = None;
        }
    }

    /// Whether the transaction is being run again.
    pub(crate) fn is_replaying(&self) -> bool {
        self.replay.as_ref().is_some_and(|replay| replay.running.is_some())
    }

    /// The server has gone, or (`NotCommitted`) it is proven that it did not commit. True: the transaction will be run
    /// again.
    pub(crate) fn replays<G: Guide<Answer = A>>(
        &mut self,
        io: &mut Buffers,
        guide: &mut G,
        outcome: Outcome,
    ) -> bool {
        let state = self.last_words.as_ref().map(|report| *report.sqlstate());
        let Some(replay) = &self.replay else { return false };
        let ends = replay.under_way.ends;
        let possible = self.status == TransactionStatus::InTransaction
            && self.pin.is_none()
            && !replay.delivered
            && replay.is_isolated()
            && replay.attempts < MAX_REPLAYS
            && state.is_none_or(|state| GOES_AWAY.contains(&state))
            && (!ends || replay.running.is_some() || outcome == Outcome::NotCommitted);
        if !possible
            || !self.policies_let_replay(guide, state, ends, outcome)
            || !guide.affords_another()
        {
            return false;
        }
        self.start_replay(io);
        true
    }

    fn policies_let_replay<G: Guide<Answer = A>>(
        &self,
        guide: &mut G,
        sqlstate: Option<[u8; 5]>,
        ends: bool,
        outcome: Outcome,
    ) -> bool {
        let Some(replay) = self.replay.as_ref().filter(|_| self.retries) else { return true };
        let safety = if ends { Safety::Commit } else { Safety::InTransaction };
        let attempt = u32::from(replay.attempts) + 1;
        let failure = Failure { sqlstate, safety, outcome, replayable: true, attempt };
        let inside = Facts::IN_TRANSACTION;
        let begin = replay.sent.first();
        let retry = match (&replay.under_way.named, &replay.under_way.statement, begin) {
            (Some(named), _, _) => {
                let (text, facts) = (&named.prepared.query, inside.with(Facts::EXTENDED));
                guide.retry(text, named.statement(), facts, &failure)
            }
            (None, Some(statement), _) => {
                guide.retry(query(&replay.under_way.messages), statement, inside, &failure)
            }
            (None, None, Some(begin)) => match begin.statements.first() {
                Some(statement) => guide.retry(begin.text(), statement, inside, &failure),
                None => Retry::NoOpinion,
            },
            (None, None, None) => Retry::NoOpinion,
        };
        retry != Retry::GiveUp
    }

    fn start_replay(&mut self, io: &mut Buffers) {
        let Some(mut replay) = self.replay.take() else { return };
        if replay.running.is_none() && !replay.under_way.messages.is_empty() {
            let rest = std::mem::replace(&mut io.client_in, replay.under_way.messages.clone());
            io.client_in.extend_from_slice(&rest);
        }
        // What is under way will be sent as if it had just come.
        self.take_all_back();
        replay.start();
        self.forget_server();
        self.last_words = None;
        self.replay = Some(replay);
        self.to_primary = true;
        self.batch.reads = false;
        self.wrote = true;
        self.phase = Phase::Server;
    }

    /// The next batch, when the one before has been answered. Some: it cannot go on, and the server is of no use.
    pub(crate) fn run_again(
        &mut self,
        io: &mut Buffers,
        server: &mut ServerState,
    ) -> Option<Disposition> {
        if !self.pending.is_empty() || self.phase != Phase::Answers {
            return None;
        }
        let mut replay = self.replay.take()?;
        let same = replay.running.unwrap_or_default() && !server.standby;
        let next = if same { replay.sent.get(replay.answered) } else { None };
        if let Some(batch) = next {
            self.send_again(io, server, batch);
        } else if same {
            (replay.running, replay.under_way) = (None, UnderWay::default());
            self.replayed = Some(Replayed { statements: replay.statements(), same: true });
            self.awaiting_ready = false;
            server.parameters.tell(&mut self.told, &mut io.client_out);
        }
        self.replay = Some(replay);
        if same {
            return None;
        }
        self.replay_failed();
        Some(Disposition::Close)
    }

    /// Sends a batch as it was sent before, with its statements by the names that this server knows them by.
    fn send_again(&mut self, io: &mut Buffers, server: &mut ServerState, batch: &Kept) {
        let (pending, mut named) = (self.pending.len(), batch.named.iter());
        let mut name = |session: &mut Self, io: &mut Buffers, server: &mut ServerState| {
            named.next().map(|named: &Rc<Named>| session.provide(io, server, named))
        };
        let mut rest = &batch.messages[..];
        while let Some((tag, body)) = next_frame(&mut rest) {
            match (tag, Bind::read(body), Describe::read(body)) {
                (frontend::tag::BIND, Ok(bind), _) => {
                    if let Some(statement) = name(self, io, server) {
                        Bind { statement: &statement, ..bind }.write(&mut io.server_out);
                    }
                }
                (frontend::tag::DESCRIBE, _, Ok(Describe { target: Target::Statement, .. })) => {
                    if let Some(name) = name(self, io, server) {
                        Describe { target: Target::Statement, name: &name }
                            .write(&mut io.server_out);
                    }
                }
                _ => frame::write(&mut io.server_out, tag, |out| out.put_slice(body)),
            }
            if tag == frontend::tag::QUERY {
                server.unnamed = None;
            }
        }
        // All of its answer is one that the client does not see.
        self.pending.truncate(pending);
        for statement in &batch.statements {
            self.touches(server, statement);
        }
        self.pending.push_back(Expect::Again(batch.statements.clone()));
    }

    /// A batch has failed that is run again: what it was to prepare on the server may not be there.
    pub(crate) fn failed_again(&mut self, server: &mut ServerState) {
        let Some(replay) = &self.replay else { return };
        let Some(batch) = replay.sent.get(replay.answered) else { return };
        for named in &batch.named {
            server.distrust(named.copy);
            server.unnamed = None;
            server.tainted = true;
        }
    }

    /// The transaction cannot be run again after all. What the client has sent last stands before what it sent since,
    /// and gets the error.
    pub(crate) fn replay_failed(&mut self) {
        let statements = self.replay.as_ref().map_or(0, |replay| replay.statements());
        self.replayed = Some(Replayed { statements, same: false });
        let report = ErrorReport::error(b"40001", "the server of this transaction was lost")
            .detail("It could not be run again with the same answers. Nothing of it has been committed.")
            .hint("Roll back and run the transaction again.")
            .caused_by(self.last_words.take());
        self.forget_server();
        self.status = TransactionStatus::Failed;
        self.phase = Phase::Rollback;
        self.owed = Some(report);
    }

    /// What has become of a transaction that was run again, since the last call.
    pub fn take_replayed(&mut self) -> Option<Replayed> {
        self.replayed.take()
    }
}
