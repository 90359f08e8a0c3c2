//! Running an open transaction once more, on the server that is the primary now, after its own has gone. The client
//! sees a wait, or the loss: every answer must be what it was.

use std::hash::Hasher;
use std::rc::Rc;

use bytes::BytesMut;
use howdah_decision::{Decision, Facts, Failure, Kind, Outcome, Retry, Safety};
use howdah_sql::{Effect, Statement};
use howdah_wire::backend::{DataRow, ErrorReport, ErrorResponse, TransactionStatus, tag};
use howdah_wire::frame;
use howdah_wire::frontend::Query;
use siphasher::sip128::{Hasher128, SipHasher13};

use crate::expect::Expect;
use crate::limits::{MAX_REPLAY_BYTES, MAX_REPLAY_STATEMENTS, MAX_REPLAYS};
use crate::prepared::hasher;
use crate::release::Disposition;
use crate::session::{Phase, Session};
use crate::{Buffers, Guide, ServerState};

/// Asked behind BEGIN. It takes no snapshot, so that the client can still choose the isolation itself (which ends the
/// keeping).
const ISOLATION: &[u8] = b"SHOW transaction_isolation";

/// What a server says that is shut down, or one of its sessions; any other last words are about what the session did.
const GOES_AWAY: [[u8; 5]; 3] = [*b"57P01", *b"57P02", *b"57P03"];

/// The open transaction, as far as it can be run again.
pub(crate) struct Replay {
    /// What it has sent, in order.
    sent: Vec<Sent>,
    bytes: usize,
    /// How many of them have been answered, by the present server.
    answered: usize,
    /// Of the answer that is coming.
    hasher: SipHasher13,
    /// What streams at the moment is a row.
    row: bool,
    /// The client has got a part of the answer to what is under way.
    delivered: bool,
    under_way: Option<UnderWay>,
    /// It is being run again, and all answers have been the same so far.
    running: Option<bool>,
    attempts: u8,
}

struct Sent {
    /// As the server got it.
    text: Box<[u8]>,
    /// None for the proxy's own question.
    statement: Option<Rc<Statement>>,
    answer: u128,
}

/// What the client waits for.
struct UnderWay {
    /// As the client sent it.
    text: Box<[u8]>,
    statement: Rc<Statement>,
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
    fn new() -> Replay {
        Replay {
            sent: Vec::new(),
            bytes: 0,
            answered: 0,
            hasher: hasher(),
            row: false,
            delivered: false,
            under_way: None,
            running: None,
            attempts: 0,
        }
    }

    /// False: it has become too large to be kept.
    fn push(&mut self, text: &[u8], statement: Option<&Rc<Statement>>) -> bool {
        self.bytes += text.len();
        let statement = statement.map(Rc::clone);
        self.sent.push(Sent { text: text.into(), statement, answer: 0 });
        self.bytes <= MAX_REPLAY_BYTES && self.sent.len() <= MAX_REPLAY_STATEMENTS
    }

    /// A whole message. What is said beside the answer, notices and the like, does not count.
    fn hear(&mut self, tag: u8, frame: &[u8]) {
        match tag {
            tag::ROW_DESCRIPTION
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
        let own = usize::from(self.sent.len() > 1);
        self.sent.len() - own
    }

    /// From the beginning.
    fn start(&mut self) {
        if self.running.is_none() {
            self.sent.truncate(self.answered);
        }
        self.running = Some(true);
        self.attempts += 1;
        (self.answered, self.hasher, self.delivered) = (0, hasher(), false);
    }
}

/// Whether a statement inside a transaction does the same when it is run again, or shows in its answer that it does
/// not. What is not known to be so is not.
fn can_run_again(statement: &Statement, text: &[u8]) -> bool {
    // Locks that others than PostgreSQL heed, and notifications, by whatever function.
    let says = |word: &[u8]| text.windows(word.len()).any(|w| w.eq_ignore_ascii_case(word));
    statement.statements <= 1
        && !statement.arms
        && !statement.facts.any(Facts::STICKY.with(Facts::COPY))
        && match statement.only_effect() {
            Effect::Set { .. } | Effect::SetLocal { .. } => true,
            Effect::Savepoint(_) | Effect::Release(_) | Effect::RollbackTo(_) => true,
            Effect::None => {
                statement.boundaries == 0
                    && matches!(statement.kind, Kind::Empty | Kind::Read | Kind::Write | Kind::Ddl)
            }
            _ => false,
        }
        && !says(b"advisory")
        && !says(b"notify")
}

impl<A: AsRef<Decision>> Session<A> {
    /// A simple query is about to be sent: as `text`, when the client has sent `asked`.
    pub(crate) fn keep_query<G: Guide<Answer = A>>(
        &mut self,
        io: &mut Buffers,
        server: &mut ServerState,
        guide: &G,
        statement: &Rc<Statement>,
        (asked, text): (&[u8], &[u8]),
    ) {
        let begins = self.status == TransactionStatus::Idle;
        if begins {
            let kept = matches!(statement.only_effect(), Effect::Begin { .. })
                && self.pin.is_none()
                && !server.standby
                && guide.replays();
            self.replay = kept.then(|| Box::new(Replay::new()));
        }
        let Some(replay) = &mut self.replay else { return };
        replay.under_way = Some(UnderWay { text: asked.into(), statement: Rc::clone(statement) });
        if statement.ends() {
            return;
        }
        let mut kept = self.pin.is_none() && (begins || can_run_again(statement, text));
        if kept && replay.sent.len() == 1 {
            Query { text: ISOLATION }.write(&mut io.server_out);
            server.unnamed = None;
            self.pending.push_back(Expect::Isolation);
            kept &= replay.push(ISOLATION, None);
        }
        if !kept || !replay.push(text, Some(statement)) {
            self.replay = None;
        }
    }

    /// A whole message has come.
    pub(crate) fn hear(&mut self, tag: u8, frame: &[u8]) {
        if let Some(replay) = &mut self.replay {
            match self.pending.front() {
                Some(Expect::Query(_)) => replay.delivered = true,
                Some(Expect::Again(_) | Expect::Isolation) => {}
                _ => return,
            }
            replay.hear(tag, frame);
        }
    }

    /// A message begins that comes in pieces.
    pub(crate) fn hear_stream(&mut self, row: bool) {
        if let Some(replay) = &mut self.replay {
            replay.row = row;
            replay.delivered |= replay.running.is_none();
        }
    }

    /// A piece of it.
    pub(crate) fn hear_piece(&mut self, piece: &[u8]) {
        if let Some(replay) = self.replay.as_mut().filter(|replay| replay.row) {
            replay.hasher.write(piece);
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
        (replay.under_way, replay.delivered) = (None, false);
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
        let ends = replay.under_way.as_ref().is_some_and(|u| u.statement.ends());
        let possible = self.status == TransactionStatus::InTransaction
            && self.pin.is_none()
            && !replay.delivered
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
        let begin =
            replay.sent.first().and_then(|sent| Some((&sent.text, sent.statement.as_ref()?)));
        let under_way = replay.under_way.as_ref().map(|u| (&u.text, &u.statement));
        let Some((text, statement)) = under_way.or(begin) else { return true };
        let safety = if ends { Safety::Commit } else { Safety::InTransaction };
        let attempt = u32::from(replay.attempts) + 1;
        let failure = Failure { sqlstate, safety, outcome, replayable: true, attempt };
        guide.retry(text, statement, Facts::IN_TRANSACTION, &failure) != Retry::GiveUp
    }

    fn start_replay(&mut self, io: &mut Buffers) {
        let Some(mut replay) = self.replay.take() else { return };
        if replay.running.is_none()
            && let Some(under_way) = &replay.under_way
        {
            let rest = std::mem::replace(&mut io.client_in, BytesMut::new());
            Query { text: &under_way.text }.write(&mut io.client_in);
            io.client_in.extend_from_slice(&rest);
        }
        replay.start();
        self.forget_server();
        self.last_words = None;
        self.replay = Some(replay);
        self.to_primary = true;
        self.batch.reads = false;
        self.wrote = true;
        self.phase = Phase::Server;
    }

    /// The next statement, when the one before has been answered. Some: it cannot go on, and the server is of no use.
    pub(crate) fn run_again(
        &mut self,
        io: &mut Buffers,
        server: &mut ServerState,
    ) -> Option<Disposition> {
        let replay = self.replay.as_mut()?;
        if !self.pending.is_empty() || self.phase != Phase::Answers {
            return None;
        }
        if server.standby || !replay.running? {
            self.replay_failed();
            return Some(Disposition::Close);
        }
        let Some(sent) = replay.sent.get(replay.answered) else {
            (replay.running, replay.under_way) = (None, None);
            self.replayed = Some(Replayed { statements: replay.statements(), same: true });
            self.awaiting_ready = false;
            server.parameters.tell(&mut self.told, &mut io.client_out);
            return None;
        };
        Query { text: &sent.text }.write(&mut io.server_out);
        server.unnamed = None;
        let statement = sent.statement.clone();
        if let Some(statement) = &statement {
            self.touches(server, statement);
        }
        self.pending.push_back(Expect::Again(statement));
        None
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
