//! Writes by themselves that are put into a transaction, so that it can be found out what became of them too.
//!
//! `BEGIN`, the client's batch, the question of [`crate::proof`] and `COMMIT` go in one packet. The client sees what it
//! would see without: its rows come as they come, and the end when `COMMIT` has been answered. Of a simple query
//! PostgreSQL says so only when it has committed (postgres.c, `exec_simple_query`); of the extended protocol it says so
//! before, but commits with Sync, and then adds what went wrong.

use bytes::BytesMut;
use howdah_decision::{Decision, Kind, Safety};
use howdah_sql::Statement;
use howdah_wire::backend::{CommandComplete, ErrorResponse, TransactionStatus};

use crate::batch::is_replayable;
use crate::commit::{Asked, lost_with_state};
use crate::expect::Expect;
use crate::limits::MAX_HELD_REPLY;
use crate::reply::{Fate, Replied};
use crate::session::{Phase, Session};
use crate::{Buffers, Guide, Pin, ServerState};

/// What the client gets when a write by itself has been committed, or is known not to be.
#[derive(Default)]
pub(crate) struct Held {
    /// Messages, in order.
    messages: BytesMut,
    /// The command tag that ends a simple query, if it is committed.
    tag: Option<Box<[u8]>>,
    /// What has been answered of the batch, and must be taken back when the client is never told.
    pub(crate) answered: Vec<Expect>,
}

impl Held {
    /// Nothing fails any more.
    pub(crate) fn write(&mut self, out: &mut BytesMut) {
        self.write_messages(out);
        if let Some(tag) = self.tag.take() {
            CommandComplete { tag: &tag }.write(out);
        }
    }

    fn write_messages(&mut self, out: &mut BytesMut) {
        out.extend_from_slice(&self.messages);
        self.messages.clear();
    }
}

/// Whether a statement reads or changes rows, and nothing else.
fn is_of_rows(statement: &Statement) -> bool {
    statement.query && matches!(statement.kind, Kind::Read | Kind::Write) && !statement.arms
}

impl<A: AsRef<Decision>> Session<A> {
    /// Whether the batch, of which nothing has been sent, is a write by itself that can be put into a transaction. In the
    /// extended protocol all up to Sync is one in any case.
    fn can_wrap<G: Guide<Answer = A>>(&self, server: &ServerState, guide: &G) -> bool {
        self.status == TransactionStatus::Idle
            && self.batch.is_whole()
            && self.batch.statements().all(is_of_rows)
            && !self.batch.statements().all(is_replayable)
            && self.can_ask_proof(server, guide)
            && guide.wraps()
    }

    /// Begins a transaction for a write by itself, and keeps it as the client sent it.
    pub(crate) fn wrap<G: Guide<Answer = A>>(
        &mut self,
        io: &mut Buffers,
        server: &mut ServerState,
        guide: &G,
    ) {
        self.batch.wrapped = self.can_wrap(server, guide);
        if !self.batch.wrapped {
            return;
        }
        self.close_strays(io, server);
        self.retained = io.client_in.get(..self.batch.len).map(BytesMut::from);
        self.sends(io, b"BEGIN", Expect::Begin);
        server.unnamed = None;
    }

    /// Ends it, behind what the client has sent.
    pub(crate) fn wrap_up(&mut self, io: &mut Buffers, server: &mut ServerState, simple: bool) {
        self.ask_proof(io, server);
        self.sends(io, b"COMMIT", Expect::Commit { simple });
        server.unnamed = None;
    }

    /// Whether a write by itself is under way in a transaction that the client does not know of.
    pub(crate) fn is_wrapped(&self) -> bool {
        matches!(self.pending.back(), Some(Expect::Commit { .. }))
    }

    /// Whether all is answered but COMMIT.
    pub(crate) fn awaits_commit(&self) -> bool {
        matches!(self.pending.front(), Some(Expect::Commit { .. }))
    }

    /// Whether what is for the client waits until it is known that the write is not sent again.
    pub(crate) fn holds(&self) -> bool {
        self.is_wrapped() && self.retained.is_some()
    }

    /// Something for the client, in its turn.
    pub(crate) fn deliver(&mut self, io: &mut Buffers, message: &[u8]) {
        if self.holds() && self.ending.held.messages.len() + message.len() <= MAX_HELD_REPLY {
            return self.ending.held.messages.extend_from_slice(message);
        }
        if self.is_wrapped() {
            self.let_go(&mut io.client_out);
        }
        io.client_out.extend_from_slice(message);
    }

    /// The end of a statement, which waits in any case.
    pub(crate) fn hold(&mut self, message: &[u8]) {
        self.ending.held.messages.extend_from_slice(message);
    }

    /// The client gets what was held.
    pub(crate) fn committed(&mut self, io: &mut Buffers) {
        self.retained = None;
        self.ending.held.write(&mut io.client_out);
    }

    /// This has been answered, and the client has perhaps not been told.
    pub(crate) fn note_answered(&mut self, expect: Expect) {
        if self.holds() {
            self.ending.held.answered.push(expect);
        }
    }

    /// The client gets something that cannot be taken back.
    pub(crate) fn let_go(&mut self, out: &mut BytesMut) {
        self.retained = None;
        self.ending.held.answered.clear();
        self.ending.held.write_messages(out);
    }

    /// A statement has been completed, or COMMIT.
    pub(crate) fn wrapped_completed(&mut self, tag: &[u8]) -> Fate {
        if !self.awaits_commit() {
            if !matches!(self.pending.back(), Some(Expect::Commit { simple: true })) {
                return Fate::Hold;
            }
            self.ending.held.tag = Some(tag.into());
            return Fate::Drop;
        }
        if let Some(report) = self.ending.instead() {
            self.failed = true;
            self.tally_error(Some(*report.sqlstate()));
            return Fate::Instead(report);
        }
        Fate::Held
    }

    /// A server that ends the session says so in the order of its answers: what has not been answered then, it has not
    /// done.
    pub(crate) fn may_never_commit(&mut self, error: &ErrorResponse<'_>) {
        let ends = error.is_fatal() && error.sqlstate().is_some_and(|state| ends_session(&state));
        if ends && self.is_wrapped() && !self.awaits_commit() {
            self.ending.proof = Asked::Never;
        }
    }

    /// The server has gone; what it has said before counts, unless it has said already that it ends. True: that was all.
    pub(crate) fn hear_rest<G: Guide<Answer = A>>(
        &mut self,
        io: &mut Buffers,
        guide: &mut G,
    ) -> bool {
        if self.last_words.is_some() {
            return false;
        }
        let mut gone = ServerState::new(Vec::new());
        gone.parameters = self.told.clone();
        let heard = self.replies(io, &mut gone, guide);
        if self.is_wrapped() && !matches!(heard, Ok(Replied::Reroute)) {
            // What cannot be read has not been said.
            return false;
        }
        let again = self.phase == Phase::Setup || self.unsent > 0;
        if again || matches!(heard, Ok(Replied::Reroute)) {
            // It was to be sent once more, to this server or another one.
            self.restore_batch(io);
            self.phase = Phase::Server;
            return true;
        }
        io.server_in.clear();
        io.server_out.clear();
        self.owed = self.pin.is_some().then(lost_with_state);
        self.last_words = None;
        self.forget_server();
        self.phase = Phase::Batch;
        true
    }

    /// The server has gone: true when what became of the write is known, or will be ([`Session::proven`]).
    pub(crate) fn wrapped_without_server<G: Guide<Answer = A>>(
        &mut self,
        io: &mut Buffers,
        guide: &mut G,
    ) -> bool {
        if self.is_cut() {
            return false;
        }
        match &self.ending.proof {
            _ if self.failed => {}
            Asked::Answered(proof) if proof.xid.is_some() => {
                self.phase = Phase::Proof(proof.clone());
                return true;
            }
            // There was nothing to commit.
            Asked::Answered(_) if !self.ending.defers => {}
            Asked::Refused(_) => {
                self.not_committed(io);
                return true;
            }
            Asked::Never => {
                if !self.goes_again(io, guide) {
                    self.not_committed(io);
                }
                return true;
            }
            Asked::Answered(_) | Asked::No => return false,
        }
        self.pending.retain(|expect| matches!(expect, Expect::Commit { .. }));
        let tag: &[u8] = if self.failed { b"ROLLBACK" } else { b"COMMIT" };
        self.ended(io, guide, tag);
        true
    }

    /// Whether a write by itself of which it is known that it was not committed is sent again: when the client has got
    /// nothing of it, and the session has lost nothing else with its server.
    pub(crate) fn goes_again<G: Guide<Answer = A>>(
        &mut self,
        io: &mut Buffers,
        guide: &mut G,
    ) -> bool {
        let free = self.pin.as_ref().is_none_or(|pin| *pin == Pin::Mode);
        let possible = self.is_wrapped() && self.retained.is_some() && free;
        let sqlstate = self.last_words.as_ref().map(|report| *report.sqlstate());
        let again = possible && self.shall_go_again(io, guide, sqlstate, Safety::Commit, true);
        if again {
            self.last_words = None;
            self.go_again(io);
        }
        again
    }
}

/// Whether it is the server itself that ends a session with this error (class 57, operator intervention), and nobody who
/// stands between.
pub(crate) fn ends_session(sqlstate: &[u8; 5]) -> bool {
    sqlstate.starts_with(b"57P")
}
