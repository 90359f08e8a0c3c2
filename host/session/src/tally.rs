//! What becomes of a batch, counted while it is under way.

use std::ops::Range;
use std::rc::Rc;

use howdah_decision::{Decision, Kind};
use howdah_sql::Statement;
use howdah_wire::backend::TransactionStatus;
use howdah_wire::frame;
use howdah_wire::frontend::Query;

use crate::session::Session;
use crate::{Buffers, Guide};

/// What has become of a batch.
#[derive(Debug)]
pub struct Seen<A> {
    /// The most demanding kind of its statements.
    pub kind: Kind,
    /// The digest of the statement with that kind.
    pub digest: u64,
    /// Rows that the client got.
    pub rows: u64,
    /// Bytes that the client got.
    pub bytes: u64,
    /// Of its first error.
    pub sqlstate: Option<[u8; 5]>,
    /// The routing answer that it followed; none in a transaction, or when the session stays on its server.
    pub answer: Option<Rc<A>>,
}

/// A batch under way.
pub(crate) struct Tally<A> {
    seen: Seen<A>,
    /// Bytes that waited for the client when they were counted last.
    mark: usize,
    /// The answer is complete.
    done: bool,
}

impl<A> Tally<A> {
    fn note<'a, G: Guide<Answer = A>>(
        &mut self,
        guide: &mut G,
        statement: &Statement,
        text: impl FnOnce() -> &'a [u8],
    ) {
        if self.seen.digest == 0 || statement.kind > self.seen.kind {
            self.seen.kind = statement.kind;
            self.seen.digest = statement.digest;
            guide.runs(statement, text());
        }
    }

    fn count(&mut self, io: &Buffers) {
        self.seen.bytes += io.client_out.len().saturating_sub(self.mark) as u64;
        self.mark = io.client_out.len();
    }
}

impl<A: AsRef<Decision>> Session<A> {
    /// A batch has been gathered whole. Its last message has this length.
    pub(crate) fn tally_batch<G: Guide<Answer = A>>(
        &mut self,
        io: &Buffers,
        guide: &mut G,
        last: usize,
    ) {
        if !self.batch.executes() {
            return;
        }
        self.begin_tally(io, guide);
        let Some(tally) = &mut self.tally else { return };
        let message = self.batch.len.saturating_sub(last)..self.batch.len;
        for (statement, text) in self.batch.texts() {
            tally.note(guide, statement, || text.unwrap_or_else(|| query(io, message.clone())));
        }
    }

    /// A statement is sent: one of a batch that is known already, or of a transaction.
    pub(crate) fn tally_statement<G: Guide<Answer = A>>(
        &mut self,
        io: &Buffers,
        guide: &mut G,
        statement: &Statement,
        text: &[u8],
    ) {
        if self.tally.is_none() {
            self.begin_tally(io, guide);
        }
        if let Some(tally) = &mut self.tally {
            tally.note(guide, statement, || text);
        }
    }

    fn begin_tally<G: Guide<Answer = A>>(&mut self, io: &Buffers, guide: &mut G) {
        let bound = self.pin.is_some() || self.status != TransactionStatus::Idle;
        let answer = self.batch.answer.clone().filter(|_| !bound);
        let (kind, digest, rows, bytes, sqlstate) = (Kind::Empty, 0, 0, 0, None);
        let seen = Seen { kind, digest, rows, bytes, sqlstate, answer };
        self.rows = 0;
        self.tally = Some(Tally { seen, mark: io.client_out.len(), done: false });
        guide.begun();
    }

    /// What is written to the client from here on belongs to the batch.
    pub(crate) fn tally_from(&mut self, io: &Buffers) {
        if let Some(tally) = &mut self.tally
            && !tally.done
        {
            tally.mark = io.client_out.len();
        }
    }

    /// What was written to the client belongs to the batch.
    pub(crate) fn tally_to(&mut self, io: &Buffers) {
        if let Some(tally) = &mut self.tally {
            tally.count(io);
        }
    }

    /// The batch has failed.
    pub(crate) fn tally_error(&mut self, sqlstate: Option<[u8; 5]>) {
        if let Some(tally) = &mut self.tally {
            tally.seen.sqlstate = tally.seen.sqlstate.or(sqlstate);
        }
    }

    /// The answer is complete.
    pub(crate) fn tally_done(&mut self) {
        if let Some(tally) = &mut self.tally {
            tally.done = true;
        }
    }

    /// Tells what has become of the batch, when its answer is complete.
    pub(crate) fn tell_tally<G: Guide<Answer = A>>(&mut self, io: &Buffers, guide: &mut G) {
        if let Some(mut tally) = self.tally.take_if(|tally| tally.done) {
            tally.count(io);
            tally.seen.rows = std::mem::take(&mut self.rows);
            guide.ended(&tally.seen);
        }
    }
}

/// The text of the simple query that is this message of what the client has sent.
fn query(io: &Buffers, message: Range<usize>) -> &[u8] {
    let message = io.client_in.get(message).unwrap_or_default();
    let body = message.get(frame::HEADER_LEN..).unwrap_or_default();
    Query::read(body).map(|query| query.text).unwrap_or_default()
}
