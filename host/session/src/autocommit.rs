//! Writes by themselves that are put into a transaction, so that it can be found out what became of them too.
//!
//! `BEGIN`, the client's query, the question of [`crate::proof`] and `COMMIT` go in one packet. The client sees what it
//! would see without: its rows come as they come, and the end of its query when `COMMIT` has been answered, as
//! PostgreSQL commits before it says that a simple query is complete (postgres.c, `exec_simple_query`).

use std::rc::Rc;

use bytes::BytesMut;
use howdah_decision::{Decision, Kind, Safety};
use howdah_sql::Statement;
use howdah_wire::backend::{ErrorResponse, TransactionStatus, tag};
use howdah_wire::frame;
use howdah_wire::frontend::Query;

use crate::batch::is_replayable;
use crate::commit::{Asked, lost_with_state};
use crate::expect::Expect;
use crate::reply::{Fate, Replied};
use crate::session::{Phase, Session};
use crate::{Buffers, Guide, Pin, ServerState};

impl<A: AsRef<Decision>> Session<A> {
    /// Whether a simple query, which is about to be sent, is a write by itself that can be put into a transaction.
    pub(crate) fn can_wrap<G: Guide<Answer = A>>(
        &self,
        server: &ServerState,
        guide: &G,
        statement: &Statement,
        text: &[u8],
    ) -> bool {
        let rows = statement.query && matches!(statement.kind, Kind::Read | Kind::Write);
        // Its zero byte ends a text.
        let alone = self.batch.len == frame::HEADER_LEN + text.len() + 1
            && self.unsent == self.batch.len
            && self.status == TransactionStatus::Idle
            && !self.unsynced
            && !self.skipping
            && self.pending.iter().all(Expect::is_own);
        rows && alone
            && !statement.arms
            && !is_replayable(statement)
            && self.can_ask_proof(server, guide)
            && guide.wraps()
    }

    /// Sends a query in a transaction of its own, and keeps it as the client sent it. `new` is what it was rewritten to.
    pub(crate) fn wrap(
        &mut self,
        io: &mut Buffers,
        statement: Rc<Statement>,
        text: &[u8],
        new: Option<&str>,
    ) {
        let mut retained = BytesMut::new();
        Query { text }.write(&mut retained);
        self.retained = Some(retained);
        Query { text: b"BEGIN" }.write(&mut io.server_out);
        Query { text: new.map_or(text, str::as_bytes) }.write(&mut io.server_out);
        self.pending.extend([Expect::Begin, Expect::Query(Some(statement))]);
        self.ask_proof(io);
        Query { text: b"COMMIT" }.write(&mut io.server_out);
        self.pending.push_back(Expect::Commit);
    }

    /// Whether a write by itself is under way in a transaction that the client does not know of.
    pub(crate) fn is_wrapped(&self) -> bool {
        matches!(self.pending.back(), Some(Expect::Commit))
    }

    /// Whether all is answered but COMMIT.
    pub(crate) fn awaits_commit(&self) -> bool {
        matches!(self.pending.front(), Some(Expect::Commit))
    }

    /// Whether the next answer is an error. Of the end of a query the client gets nothing for the time being; all else is
    /// delivered at once.
    pub(crate) fn wrapped_fails(&mut self, reply: &[u8]) -> bool {
        match reply.first() {
            Some(&tag::ERROR_RESPONSE) => return true,
            Some(&(tag::COMMAND_COMPLETE | tag::READY_FOR_QUERY)) | None => {}
            Some(_) => self.retained = None,
        }
        false
    }

    /// The query has been completed, or COMMIT.
    pub(crate) fn wrapped_completed(&mut self, tag: &[u8]) -> Fate {
        if !self.awaits_commit() {
            self.ending.held = Some(tag.into());
            return Fate::Drop;
        }
        if let Some(report) = self.ending.instead() {
            self.failed = true;
            self.tally_error(Some(*report.sqlstate()));
            return Fate::Instead(report);
        }
        // Its error has been told.
        self.ending.held.take().map_or(Fate::Drop, Fate::Tag)
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
        match self.replies(io, &mut gone, guide) {
            Ok(Replied::Reroute) => {
                self.restore_batch(io);
                self.phase = Phase::Server;
                return true;
            }
            // What cannot be read has not been said.
            Ok(Replied::More | Replied::SetupFailed(_)) | Err(_) => {}
        }
        if self.is_wrapped() {
            return false;
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
        self.pending.retain(|expect| matches!(expect, Expect::Commit));
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
