//! Answers that the proxy gives by itself, without any server.

use std::rc::Rc;

use bytes::{Buf, BytesMut};
use howdah_decision::{Decision, Table};
use howdah_sql::Effect;
use howdah_wire::backend::{
    self, CommandComplete, ErrorReport, ReadyForQuery, RowDescription, TransactionStatus,
};
use howdah_wire::frame;
use howdah_wire::frontend::{Bind, Close, Describe, Parse, Query, Target, tag};

use crate::batch::{Entry, malformed, peek_client};
use crate::session::{Fault, Phase, Session, Step};
use crate::{Buffers, Guide, Told};

/// OID of type text (pg_type.dat).
const TEXT: u32 = 25;
/// What a client gets for a Parse of a statement that the server has already.
pub(crate) const PARSE_COMPLETE: &[u8] = b"1\0\0\0\x04";
pub(crate) const BIND_COMPLETE: &[u8] = b"2\0\0\0\x04";
pub(crate) const NO_DATA: &[u8] = b"n\0\0\0\x04";
/// ParameterDescription of no parameters.
pub(crate) const NO_PARAMETERS: &[u8] = b"t\0\0\0\x06\0\0";
/// What a client gets for a Close of a statement, which never reaches a server.
pub(crate) const CLOSE_COMPLETE: &[u8] = b"3\0\0\0\x04";

/// What a locally answered batch produces.
pub(crate) enum Produce<'a> {
    Table(&'a Table),
    Command(&'static str),
}

impl<'a> From<&'a Told> for Produce<'a> {
    fn from(told: &'a Told) -> Produce<'a> {
        match told {
            Told::Done(tag) => Produce::Command(tag),
            Told::Table(table) => Produce::Table(table),
        }
    }
}

impl Produce<'_> {
    /// All that a simple query gets, but ReadyForQuery.
    pub(crate) fn write(&self, out: &mut BytesMut) {
        if let Produce::Table(_) = self {
            describe(out, self);
        }
        execute(out, self);
    }
}

impl<A: AsRef<Decision>> Session<A> {
    /// ReadyForQuery with the status that the client knows.
    pub(crate) fn write_ready(&self, io: &mut Buffers) {
        ReadyForQuery { status: self.status }.write(&mut io.client_out);
    }

    /// The current batch gets an error; the session goes on with the next one.
    pub(crate) fn fail_batch(&mut self, io: &mut Buffers, report: &ErrorReport) {
        let partial = self.batch.partial;
        let batch = self.take_batch(io);
        self.tally_error(Some(*report.sqlstate()));
        self.tally_done();
        report.write(&mut io.client_out);
        self.phase = match self.status {
            TransactionStatus::Idle => Phase::Batch,
            _ => Phase::Rollback,
        };
        match last_tag(&batch) {
            Some(tag::QUERY | tag::FUNCTION_CALL | tag::SYNC) => self.write_ready(io),
            None if partial => match peek_client(&io.client_in) {
                // A query too large to be gathered: the rest of it is dropped as it comes.
                Ok(Some(head)) if matches!(head.tag, tag::QUERY | tag::FUNCTION_CALL) => {
                    self.client_stream = (head.len, false);
                    self.write_ready(io);
                }
                _ => self.phase = Phase::Sync,
            },
            _ => self.phase = Phase::Sync,
        }
    }

    /// A batch that needs no server: Parse of what servers have prepared before, Close of prepared statements,
    /// and Sync.
    pub(crate) fn answer_definitions(&mut self, io: &mut Buffers) {
        self.define_all();
        let batch = self.take_batch(io);
        let mut rest = &batch[..];
        while let Some((tag, body)) = next_frame(&mut rest) {
            match tag {
                tag::CLOSE => {
                    if let Ok(close) = Close::read(body) {
                        self.undefine(close.name);
                    }
                    io.client_out.extend_from_slice(CLOSE_COMPLETE);
                }
                tag::PARSE => io.client_out.extend_from_slice(PARSE_COMPLETE),
                tag::SYNC => self.write_ready(io),
                _ => {}
            }
        }
    }

    /// What the batch prepares is prepared.
    fn define_all(&mut self) {
        while let Some(entry) = self.batch.next_entry() {
            if let Entry::Parse(name, prepared) = entry {
                let (name, prepared) = (name.clone(), Rc::clone(prepared));
                self.define(&name, prepared);
            }
        }
    }

    /// The batch gets the table of a policy.
    pub(crate) fn answer_table(&mut self, io: &mut Buffers, table: &Table) {
        self.answer_batch(io, &Produce::Table(table));
    }

    /// The batch gets this, and what it prepares is prepared.
    pub(crate) fn answer_batch(&mut self, io: &mut Buffers, produce: &Produce<'_>) {
        self.define_all();
        let batch = self.take_batch(io);
        if let Produce::Table(table) = produce {
            self.rows = table.rows.len() as u64;
        }
        self.tally_done();
        self.answer_frames(io, &batch, produce);
    }

    /// Answers each message of a batch as a server would.
    fn answer_frames(&mut self, io: &mut Buffers, batch: &BytesMut, produce: &Produce<'_>) {
        let mut rest = &batch[..];
        while let Some((tag, body)) = next_frame(&mut rest) {
            let out = &mut io.client_out;
            match tag {
                tag::QUERY => {
                    produce.write(out);
                    self.write_ready(io);
                }
                tag::PARSE => out.extend_from_slice(PARSE_COMPLETE),
                tag::BIND => out.extend_from_slice(BIND_COMPLETE),
                tag::DESCRIBE => {
                    let statement =
                        Describe::read(body).is_ok_and(|d| d.target == Target::Statement);
                    if statement {
                        out.extend_from_slice(NO_PARAMETERS);
                    }
                    describe(out, produce);
                }
                tag::EXECUTE => execute(out, produce),
                tag::CLOSE => out.extend_from_slice(CLOSE_COMPLETE),
                tag::SYNC => self.write_ready(io),
                _ => {}
            }
        }
    }

    /// The transaction is lost: everything is refused until the client ends it.
    pub(crate) fn await_rollback<G: Guide<Answer = A>>(
        &mut self,
        io: &mut Buffers,
        guide: &mut G,
    ) -> Result<Option<Step>, Fault> {
        if !self.drain_client_stream(&mut io.client_in) {
            return Ok(Some(Step::Wait));
        }
        let Some(len) = self.whole_batch(io)? else { return Ok(Some(Step::Wait)) };
        self.batch.len = len;
        let batch = io.client_in.get(..len).map(BytesMut::from).unwrap_or_default();
        match self.ends_transaction(&batch, guide)? {
            Ending::Terminate => self.phase = Phase::End,
            Ending::Commit if self.owed.is_some() => {
                // It does not know yet that there is nothing to commit, and few look whether the answer is ROLLBACK.
                self.status = TransactionStatus::Idle;
                if let Some(report) = self.owed.take() {
                    self.fail_batch(io, &report);
                }
            }
            Ending::Commit | Ending::Rollback => {
                self.take_batch(io);
                self.status = TransactionStatus::Idle;
                self.owed = None;
                self.phase = Phase::Batch;
                self.answer_frames(io, &batch, &Produce::Command("ROLLBACK"));
            }
            // Drivers close statements behind the back of their users, who would miss an error that answers that.
            Ending::No if only_closes(&batch) => {
                let known = self.owed.as_ref().map(|_| TransactionStatus::InTransaction);
                let status = self.status;
                self.status = known.unwrap_or(status);
                self.answer_definitions(io);
                self.status = status;
            }
            Ending::No => {
                let report = self.owed.take().unwrap_or_else(|| {
                    ErrorReport::error(
                        b"25P02",
                        "current transaction is aborted, commands ignored until end of transaction block",
                    )
                    .detail("The server of this transaction was lost.")
                });
                self.fail_batch(io, &report);
            }
        }
        Ok(None)
    }

    /// Length of the next batch, when it has wholly arrived.
    fn whole_batch(&mut self, io: &mut Buffers) -> Result<Option<usize>, Fault> {
        let mut len = 0;
        loop {
            let Some(head) = peek_client(&io.client_in[len..])? else { return Ok(None) };
            if len == 0 && head.len > crate::limits::MAX_BATCH {
                // Too large to be the end of a transaction: refused unseen.
                self.batch.partial = true;
                return Ok(Some(0));
            }
            len += head.len;
            if len > io.client_in.len() {
                return Ok(None);
            }
            if matches!(
                head.tag,
                tag::QUERY | tag::FUNCTION_CALL | tag::SYNC | tag::FLUSH | tag::TERMINATE
            ) {
                return Ok(Some(len));
            }
        }
    }

    /// Whether a batch consists of a COMMIT or ROLLBACK.
    fn ends_transaction<G: Guide<Answer = A>>(
        &self,
        batch: &[u8],
        guide: &mut G,
    ) -> Result<Ending, Fault> {
        let mut rest = batch;
        let (mut ending, mut commits) = (Ending::No, false);
        while let Some((tag, body)) = next_frame(&mut rest) {
            let statement = match tag {
                tag::TERMINATE => return Ok(Ending::Terminate),
                tag::QUERY => guide.scan(Query::read(body).map_err(malformed)?.text),
                tag::PARSE => {
                    let parse = Parse::read(body).map_err(malformed)?;
                    guide.prepare(parse.query, parse.types).statement.clone()
                }
                tag::BIND => {
                    let bind = Bind::read(body).map_err(malformed)?;
                    match self.statements.get(bind.statement) {
                        Some(named) => Rc::clone(named.statement()),
                        None => continue,
                    }
                }
                _ => continue,
            };
            if *statement.only_effect() != Effect::End {
                return Ok(Ending::No);
            }
            commits |= !statement.rolls_back();
            ending = if commits { Ending::Commit } else { Ending::Rollback };
        }
        Ok(ending)
    }
}

/// Whether a batch ends a transaction.
enum Ending {
    Commit,
    Rollback,
    No,
    Terminate,
}

fn describe(out: &mut BytesMut, produce: &Produce<'_>) {
    match produce {
        Produce::Table(table) => {
            let fields: Vec<(&str, u32, i16, i16)> =
                table.columns.iter().map(|name| (name.as_str(), TEXT, -1, 0)).collect();
            RowDescription::write(&fields, out);
        }
        Produce::Command(_) => out.extend_from_slice(NO_DATA),
    }
}

fn execute(out: &mut BytesMut, produce: &Produce<'_>) {
    match produce {
        Produce::Table(table) => {
            for row in &table.rows {
                let columns = row.iter().map(|value| value.as_deref().map(str::as_bytes));
                backend::DataRow::write(columns, out);
            }
            let done = format!("SELECT {}", table.rows.len());
            CommandComplete { tag: done.as_bytes() }.write(out);
        }
        Produce::Command(done) => CommandComplete { tag: done.as_bytes() }.write(out),
    }
}

/// Takes the first frame off a run of whole frames.
pub(crate) fn next_frame<'a>(rest: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let head = frame::peek(rest, usize::MAX).ok()??;
    let (first, others) = rest.split_at_checked(head.len)?;
    *rest = others;
    Some((head.tag, &first[frame::HEADER_LEN..]))
}

/// Whether a batch closes prepared statements, and does nothing else.
fn only_closes(batch: &[u8]) -> bool {
    let (mut rest, mut closes) = (batch, false);
    while let Some((tag, body)) = next_frame(&mut rest) {
        let statement = || Close::read(body).is_ok_and(|close| close.target == Target::Statement);
        match tag {
            tag::SYNC => {}
            tag::CLOSE if statement() => closes = true,
            _ => return false,
        }
    }
    closes
}

fn last_tag(batch: &BytesMut) -> Option<u8> {
    let mut rest = batch.chunk();
    let mut last = None;
    while let Some((tag, _)) = next_frame(&mut rest) {
        last = Some(tag);
    }
    last
}
