//! A batch is what a client sends up to a point where it may expect an answer: a simple query, a function
//! call, or extended-protocol messages up to Sync or Flush. It is gathered whole, so that it can be routed
//! by all that it contains.

use std::collections::VecDeque;
use std::rc::Rc;

use bytes::{Buf, BytesMut};
use howdah_decision::{Decision, Facts, Kind, Refusal, Rewrite};
use howdah_sql::{Effect, PinReason, Statement};
use howdah_wire::backend::{ErrorReport, TransactionStatus};
use howdah_wire::frame::{self, Head};
use howdah_wire::frontend::{Bind, Close, Describe, Parse, Query, Target, tag};

use crate::limits::{MAX_BATCH, MAX_CLIENT_STATEMENTS, MAX_STATEMENT};
use crate::own::{OwnBatch, asked_of_servers};
use crate::prepared::Named;
use crate::session::{Fault, Phase, Session};
use crate::{Buffers, Guide, Prepared};

/// What the gathering of a batch came to.
pub(crate) enum Gathered {
    /// More bytes are needed.
    More,
    /// It was answered without a server.
    Done,
    /// It is to be sent to a server.
    Routed,
    /// The client says good-bye.
    Terminate,
}

/// What a statement of the batch is, so that it is not looked at twice.
pub(crate) enum Entry {
    /// A Parse: the client's name, and the text that the server shall get.
    Parse(Box<[u8]>, Rc<Prepared>),
    /// A simple query, with its new text when a policy rewrote it.
    Query(Rc<Statement>, Option<Box<str>>),
}

/// The current batch.
pub(crate) struct Batch<A> {
    /// Bytes of it that have been looked at.
    pub(crate) len: usize,
    /// What was found, in order; `sent` of them have been forwarded.
    entries: VecDeque<Entry>,
    next: usize,
    /// Statements prepared earlier that it binds or describes.
    pub(crate) bound: Vec<Rc<Named>>,
    /// Statements that it prepares or describes, and has not bound so far: nobody has been asked about them yet.
    pub(crate) unasked: Vec<Rc<Prepared>>,
    /// The client knows parameters or columns of some of them.
    pub(crate) told: bool,
    /// ReadyForQuery ends its answer.
    pub(crate) synced: bool,
    /// Its statements have been prepared anew for it.
    pub(crate) again: bool,
    /// The strictest routing answer so far.
    pub(crate) answer: Option<Rc<A>>,
    /// What it has to do with settings of the proxy itself.
    pub(crate) own: OwnBatch,
    /// Every statement may be sent again as long as nothing of its result was delivered.
    pub(crate) replayable: bool,
    /// Every statement only reads.
    pub(crate) reads: bool,
    /// It may begin a transaction, or read what sequences have given to the session.
    pub(crate) reads_sequences: bool,
    /// It was routed before its end was seen.
    pub(crate) partial: bool,
    /// It does something, or begins to.
    pub(crate) executes: bool,
    /// A simple query stands behind other messages.
    pub(crate) mixed: bool,
    /// It has been put into a transaction of its own.
    pub(crate) wrapped: bool,
    /// It calls a function by its OID (FunctionCall).
    pub(crate) calls: bool,
    /// It cannot be answered without a server.
    pub(crate) needs_server: bool,
    /// Flush ended it, and it only defines things: the proxy adds the Sync that sets the server free.
    pub(crate) synced_by_us: bool,
}

impl<A> Default for Batch<A> {
    fn default() -> Self {
        Batch {
            len: 0,
            entries: VecDeque::new(),
            next: 0,
            bound: Vec::new(),
            unasked: Vec::new(),
            told: false,
            synced: false,
            again: false,
            answer: None,
            own: OwnBatch::Nothing,
            replayable: true,
            reads: true,
            reads_sequences: false,
            partial: false,
            executes: false,
            mixed: false,
            wrapped: false,
            calls: false,
            needs_server: false,
            synced_by_us: false,
        }
    }
}

impl<A> Batch<A> {
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The next gathered statement, when forwarding reaches it.
    pub(crate) fn next_entry(&mut self) -> Option<&Entry> {
        let entry = self.entries.get(self.next)?;
        self.next += 1;
        Some(entry)
    }

    /// Whether it, or what follows in its transaction, may read what sequences have given to the session.
    pub(crate) fn may_read_sequences(&self) -> bool {
        self.reads_sequences || self.partial
    }

    /// Whether it uses prepared statements that a server may have from an earlier batch.
    pub(crate) fn uses_prepared(&self, gives_name: impl Fn(&Prepared) -> bool) -> bool {
        let named = |entry: &Entry| matches!(entry, Entry::Parse(name, prepared) if !name.is_empty() || gives_name(prepared));
        !self.bound.is_empty() || self.entries.iter().any(named)
    }

    /// Whether it may be sent again as long as nothing of its result was delivered: it only reads, or only defines.
    pub(crate) fn repeats(&self) -> bool {
        self.replayable || !(self.executes() || self.calls)
    }

    /// Whether it does something, or begins to.
    pub(crate) fn executes(&self) -> bool {
        self.executes || self.partial
    }

    /// Whether it does something, and is one simple query or ends with Sync.
    pub(crate) fn is_whole(&self) -> bool {
        self.executes && self.synced && !(self.calls || self.mixed || self.partial)
    }

    /// The first statement that it sends.
    pub(crate) fn first_entry(&self) -> Option<&Entry> {
        self.entries.front()
    }

    /// The first statement that it prepares or uses.
    pub(crate) fn prepared(&self) -> Option<&Rc<Prepared>> {
        self.parsed().chain(self.bound.iter().map(|named| &named.prepared)).next()
    }

    /// What it prepares.
    pub(crate) fn parsed(&self) -> impl Iterator<Item = &Rc<Prepared>> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Parse(_, prepared) => Some(prepared),
            Entry::Query(..) => None,
        })
    }

    /// It will be forwarded once more from its beginning.
    pub(crate) fn rewind(&mut self) {
        self.next = 0;
    }

    /// Ready for the next one. Keeps its small allocation.
    pub(crate) fn clear(&mut self) {
        let mut entries = std::mem::take(&mut self.entries);
        let mut bound = std::mem::take(&mut self.bound);
        let mut unasked = std::mem::take(&mut self.unasked);
        entries.clear();
        bound.clear();
        unasked.clear();
        entries.shrink_to(4);
        bound.shrink_to(4);
        unasked.shrink_to(4);
        *self = Batch { entries, bound, unasked, ..Batch::default() };
    }

    /// What its statements are.
    pub(crate) fn statements(&self) -> impl Iterator<Item = &Statement> {
        self.texts().map(|(statement, _)| statement)
    }

    /// The same with their texts; none for a simple query as the client sent it.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&Statement, Option<&[u8]>)> {
        let own = self.entries.iter().map(|entry| match entry {
            Entry::Parse(_, prepared) => prepared.with_text(),
            Entry::Query(statement, text) => (&**statement, text.as_deref().map(str::as_bytes)),
        });
        own.chain(self.bound.iter().map(|named| named.prepared.with_text()))
    }

    /// What the batch itself prepares under a name.
    pub(crate) fn find(&self, name: &[u8]) -> Option<Rc<Prepared>> {
        self.entries.iter().rev().find_map(|entry| match entry {
            Entry::Parse(n, prepared) if **n == *name => Some(Rc::clone(prepared)),
            _ => None,
        })
    }
}

/// Whether a statement, or what follows in its transaction, may read what sequences have given to the session.
pub(crate) fn may_read_sequences(statement: &Statement) -> bool {
    let reads =
        |effect: &Effect| matches!(effect, Effect::Begin { .. } | Effect::Pin(PinReason::Sequence));
    statement.facts.any(Facts::VOLATILE)
        || statement.kind == Kind::Unknown
        || statement.effects.iter().any(reads)
}

/// Whether a statement may change what others can read. A transaction as a whole may.
pub(crate) fn may_write(statement: &Statement) -> bool {
    !matches!(statement.kind, Kind::Empty | Kind::Read | Kind::Session)
        || statement.facts.any(Facts::VOLATILE)
}

/// Whether a statement may draw a value from a sequence, itself or by a trigger or a default.
pub(crate) fn may_draw(statement: &Statement) -> bool {
    let never = matches!(
        statement.kind,
        Kind::Empty | Kind::Read | Kind::Begin | Kind::End | Kind::Session
    );
    !never || statement.facts.any(Facts::VOLATILE)
}

/// Whether a statement may be sent again when nothing of its result was delivered.
pub(crate) fn is_replayable(statement: &Statement) -> bool {
    const NEVER: Facts =
        Facts::VOLATILE.with(Facts::LOCKS_ROWS).with(Facts::STICKY).with(Facts::COPY);
    // A transaction that has only begun is lost without a trace.
    let begins = matches!(statement.only_effect(), Effect::Begin { .. });
    (begins || matches!(statement.kind, Kind::Read | Kind::Empty)) && !statement.facts.any(NEVER)
}

/// The head of the next client message, when its tag is one that PostgreSQL knows
/// (postgres.c, `SocketBackend`).
pub(crate) fn peek_client(input: &[u8]) -> Result<Option<Head>, Fault> {
    match input.first() {
        None => return Ok(None),
        Some(
            &(tag::QUERY
            | tag::PARSE
            | tag::BIND
            | tag::DESCRIBE
            | tag::EXECUTE
            | tag::CLOSE
            | tag::SYNC
            | tag::FLUSH
            | tag::TERMINATE
            | tag::FUNCTION_CALL
            | tag::COPY_DATA
            | tag::COPY_DONE
            | tag::COPY_FAIL),
        ) => {}
        Some(other) => {
            return Err(Fault::Client(ErrorReport::fatal(
                b"08P01",
                &format!("invalid frontend message type {other}"),
            )));
        }
    }
    frame::peek(input, howdah_wire::limits::MAX_FRAME_LEN)
        .map_err(|_| Fault::Client(ErrorReport::fatal(b"08P01", "invalid message length")))
}

/// Largest message of this type that is waited for until it is whole.
pub(crate) fn most_gathered(tag: u8) -> usize {
    if tag == tag::QUERY { MAX_STATEMENT } else { MAX_BATCH }
}

/// What PostgreSQL says of a message that it cannot take apart (pqformat.c).
pub(crate) fn malformed<E: std::fmt::Display>(error: E) -> Fault {
    Fault::Client(ErrorReport::fatal(b"08P01", &format!("invalid message format: {error}")))
}

impl<A: AsRef<Decision>> Session<A> {
    /// Looks at the client's messages until the batch is complete, and routes it.
    pub(crate) fn gather<G: Guide<Answer = A>>(
        &mut self,
        io: &mut Buffers,
        guide: &mut G,
    ) -> Result<Gathered, Fault> {
        if !self.drain_client_stream(&mut io.client_in) {
            return Ok(Gathered::More);
        }
        loop {
            let rest = io.client_in.get(self.batch.len..).unwrap_or_default();
            let Some(head) = peek_client(rest)? else { return Ok(Gathered::More) };
            if self.batch.is_empty() {
                guide.refresh(&self.told);
                self.edition = guide.edition();
                if self.status == TransactionStatus::Idle {
                    guide.arm(false);
                    if self.pin.is_none() {
                        self.settled = guide.settled();
                        self.content = guide.content();
                    }
                }
                self.retries = guide.retries();
                if let Some(gathered) = self.outside_batch(io, head) {
                    return Ok(gathered);
                }
                if io.client_in.is_empty() {
                    return Ok(Gathered::More);
                }
                if self.batch.is_empty() && self.client_stream.0 > 0 {
                    continue;
                }
            }
            let rest = io.client_in.get(self.batch.len..).unwrap_or_default();
            let Some(frame) = rest.get(..head.len) else {
                return self.incomplete(io, head);
            };
            let gathered = self.gather_frame(head.tag, &frame[frame::HEADER_LEN..], guide);
            self.batch.len += head.len;
            match gathered {
                Ok(()) => {}
                Err(Refused::Fault(fault)) => return Err(fault),
                Err(Refused::Statement(report)) => {
                    self.batch.executes = true;
                    self.tally_batch(io, guide, head.len);
                    self.fail_batch(io, &report);
                    return Ok(Gathered::Done);
                }
            }
            let ends = matches!(head.tag, tag::QUERY | tag::FUNCTION_CALL | tag::SYNC | tag::FLUSH);
            if ends || self.batch.len > MAX_BATCH {
                self.ask_rest(guide);
                self.tally_batch(io, guide, head.len);
            }
            match head.tag {
                tag::QUERY | tag::FUNCTION_CALL | tag::SYNC => {
                    self.batch.synced = true;
                    return Ok(self.batch_complete(io, guide));
                }
                tag::FLUSH => {
                    if self.answer_own(io, guide) {
                        return Ok(Gathered::Done);
                    }
                    if self.batch.needs_server {
                        self.flushed();
                        return Ok(self.batch_complete(io, guide));
                    }
                    self.answer_definitions(io);
                    return Ok(Gathered::Done);
                }
                _ if self.batch.len > MAX_BATCH => {
                    self.batch.partial = true;
                    self.batch.replayable = false;
                    self.to_primary = true;
                    return Ok(Gathered::Routed);
                }
                _ => {}
            }
        }
    }

    /// Messages that mean nothing at the start of a batch.
    fn outside_batch(&mut self, io: &mut Buffers, head: Head) -> Option<Gathered> {
        match head.tag {
            tag::TERMINATE => Some(Gathered::Terminate),
            // Left-overs of a COPY that failed (postgres.c ignores them too), and a Flush of nothing.
            tag::COPY_DATA | tag::COPY_DONE | tag::COPY_FAIL | tag::FLUSH => {
                self.client_stream = (head.len, false);
                self.drain_client_stream(&mut io.client_in);
                Some(if io.client_in.is_empty() { Gathered::More } else { Gathered::Done })
            }
            _ => {
                let report = self.owed.take()?;
                self.fail_batch(io, &report);
                Some(Gathered::Done)
            }
        }
    }

    /// A message that has not wholly arrived: wait for it, unless it is too large to be looked at.
    fn incomplete(&mut self, io: &mut Buffers, head: Head) -> Result<Gathered, Fault> {
        match head.tag {
            tag::QUERY | tag::BIND | tag::FUNCTION_CALL
                if head.len > most_gathered(head.tag).saturating_sub(self.batch.len) =>
            {
                self.batch.partial = true;
                self.batch.replayable = false;
                self.batch.reads = false;
                self.wrote = true;
                self.to_primary = true;
                Ok(Gathered::Routed)
            }
            tag::PARSE if head.len > MAX_STATEMENT => {
                let report = too_large();
                self.fail_batch(io, &report);
                Ok(Gathered::Done)
            }
            tag::DESCRIBE | tag::EXECUTE | tag::CLOSE | tag::SYNC | tag::FLUSH
                if head.len > crate::limits::MAX_NAME =>
            {
                Err(Fault::Client(ErrorReport::fatal(b"08P01", "invalid message length")))
            }
            _ => Ok(Gathered::More),
        }
    }

    /// Notes what one whole message adds to the batch.
    fn gather_frame<G: Guide<Answer = A>>(
        &mut self,
        tag: u8,
        body: &[u8],
        guide: &mut G,
    ) -> Result<(), Refused> {
        match tag {
            tag::QUERY => {
                let query = Query::read(body).map_err(malformed)?;
                let (statement, text) = self.understand_query(query.text, guide)?;
                let seen = text.as_deref().map_or(query.text, str::as_bytes);
                self.batch.executes = true;
                self.batch.mixed = !self.batch.is_empty();
                if let Some(own) = statement.own() {
                    self.batch.own.add(own, &statement);
                    return Ok(());
                }
                self.note(&statement);
                self.note_answer(guide.route(seen, &statement, Facts::NONE, None));
                self.batch.entries.push_back(Entry::Query(statement, text));
            }
            tag::PARSE => {
                let parse = Parse::read(body).map_err(malformed)?;
                let prepared = self.understand_parse(&parse, guide)?;
                let needed = self.batch.needs_server;
                if !self.is_own(&prepared) {
                    self.note(&prepared.statement);
                    self.batch.unasked.push(Rc::clone(&prepared));
                }
                let twice = !parse.name.is_empty() && self.knows(parse.name);
                let proof = Some((self.copy_of(&prepared), self.edition));
                self.batch.needs_server = needed || twice || prepared.proven.get() != proof;
                // Known to the Bind that may follow in the same batch; forwarding makes it so for good.
                self.batch.entries.push_back(Entry::Parse(parse.name.into(), prepared));
            }
            tag::BIND => {
                let bind = Bind::read(body).map_err(malformed)?;
                self.gather_bind(&bind, guide);
                // Its portal is there until Sync.
                self.batch.executes = true;
                self.batch.needs_server = true;
            }
            tag::DESCRIBE => {
                let describe = Describe::read(body).map_err(malformed)?;
                if describe.target == Target::Statement {
                    self.gather_describe(describe.name, guide);
                }
                self.batch.needs_server = true;
            }
            tag::EXECUTE => {
                self.batch.executes = true;
                self.batch.needs_server = true;
            }
            tag::FUNCTION_CALL => {
                self.batch.calls = true;
                self.batch.replayable = false;
                self.batch.reads = false;
                self.wrote = true;
                self.batch.reads_sequences = true;
                self.to_primary = true;
                self.batch.needs_server = true;
            }
            tag::CLOSE => {
                let close = Close::read(body).map_err(malformed)?;
                self.batch.needs_server |= close.target == Target::Portal;
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether the client has, or will have, a prepared statement of this name.
    fn knows(&self, name: &[u8]) -> bool {
        self.batch.find(name).is_some() || self.defined(name).is_some()
    }

    /// Flush ended the batch. What only defines is set free by a Sync of ours; what executes may be
    /// followed by anything, so it is not for a replica.
    fn flushed(&mut self) {
        if !self.batch.executes {
            self.batch.synced_by_us = true;
            self.batch.synced = true;
            return;
        }
        self.batch.reads_sequences = true;
        if matches!(self.decision(), Decision::Replica(_) | Decision::NoOpinion) {
            self.to_primary = true;
        }
    }

    fn batch_complete<G: Guide<Answer = A>>(
        &mut self,
        io: &mut Buffers,
        guide: &mut G,
    ) -> Gathered {
        if self.answer_own(io, guide) {
            return Gathered::Done;
        }
        self.explain_local(io, guide);
        if self.to_primary {
            return Gathered::Routed;
        }
        match self.decision() {
            Decision::Refuse(refusal) => {
                let report = refusal_report(refusal);
                self.fail_batch(io, &report);
                Gathered::Done
            }
            _ if !self.batch.needs_server => {
                self.answer_definitions(io);
                Gathered::Done
            }
            Decision::Answer(table) => {
                let table = table.clone();
                self.answer_table(io, &table);
                Gathered::Done
            }
            _ => Gathered::Routed,
        }
    }

    /// What a simple query is, after the policies' rewriting.
    pub(crate) fn understand_query<G: Guide<Answer = A>>(
        &self,
        text: &[u8],
        guide: &mut G,
    ) -> Result<(Rc<Statement>, Option<Box<str>>), Refused> {
        let statement = guide.scan(text);
        if let Some(sql) = asked_of_servers(&statement) {
            return Ok((guide.scan(sql.as_bytes()), Some(sql.into())));
        }
        if statement.own().is_some() {
            return Ok((statement, None));
        }
        match guide.rewrite(text, &statement, self.transaction_facts()) {
            Rewrite::Unchanged => Ok((statement, None)),
            Rewrite::Text(new) => Ok((guide.scan(new.as_bytes()), Some(new))),
            Rewrite::Refuse(refusal) => Err(Refused::Statement(refusal_report(&refusal))),
        }
    }

    /// What a Parse prepares, after the policies' rewriting.
    pub(crate) fn understand_parse<G: Guide<Answer = A>>(
        &self,
        parse: &Parse<'_>,
        guide: &mut G,
    ) -> Result<Rc<Prepared>, Refused> {
        if self.statements.len() >= MAX_CLIENT_STATEMENTS {
            return Err(Refused::Statement(
                ErrorReport::error(b"54000", "too many prepared statements")
                    .detail(&format!("The limit is {MAX_CLIENT_STATEMENTS}."))
                    .hint("Close those that are not needed any more."),
            ));
        }
        let prepared = guide.prepare(parse.query, parse.types);
        if let Some(sql) = asked_of_servers(&prepared.statement) {
            return Ok(guide.prepare(sql.as_bytes(), parse.types));
        }
        if prepared.statement.own().is_some() {
            return Ok(prepared);
        }
        let facts = self.transaction_facts().with(Facts::EXTENDED);
        match guide.rewrite(parse.query, &prepared.statement, facts) {
            Rewrite::Unchanged => Ok(prepared),
            Rewrite::Text(new) => Ok(guide.prepare(new.as_bytes(), parse.types)),
            Rewrite::Refuse(refusal) => Err(Refused::Statement(refusal_report(&refusal))),
        }
    }

    fn transaction_facts(&self) -> Facts {
        match self.phase {
            Phase::Answers if self.status != TransactionStatus::Idle => Facts::IN_TRANSACTION,
            _ => Facts::NONE,
        }
    }

    /// The gathered batch is over without having been sent: takes it out of the buffer.
    pub(crate) fn take_batch(&mut self, io: &mut Buffers) -> BytesMut {
        let batch = io.client_in.get(..self.batch.len).map(BytesMut::from).unwrap_or_default();
        io.client_in.advance(batch.len());
        self.end_batch();
        batch
    }
}

/// Why a message was not taken into the batch.
pub(crate) enum Refused {
    /// The connection ends.
    Fault(Fault),
    /// The batch gets an error.
    Statement(ErrorReport),
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Refused {
        Refused::Fault(fault)
    }
}

/// A Parse is too large to be kept.
pub(crate) fn too_large() -> ErrorReport {
    ErrorReport::error(b"54000", "statement is too large to be prepared")
        .detail(&format!("The limit is {MAX_STATEMENT} bytes."))
        .hint("Pass long values as parameters, or send the statement as a simple query.")
}

/// A policy's refusal as the client sees it.
pub(crate) fn refusal_report(refusal: &Refusal) -> ErrorReport {
    ErrorReport::error(&refusal.sqlstate, &refusal.message)
}
