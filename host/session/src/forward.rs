//! From the client to the leased server. Messages pass verbatim, but for the names of prepared statements,
//! which are the server's own: a statement that the server does not have yet is prepared there in the same
//! packet.

use std::borrow::Cow;
use std::rc::Rc;

use bytes::{Buf, BufMut};
use howdah_decision::Decision;
use howdah_sql::PinReason;
use howdah_wire::backend::{ErrorReport, ReadyForQuery, TransactionStatus};
use howdah_wire::frame::{self, Head};
use howdah_wire::frontend::{Bind, Close, Describe, Execute, Parse, Query, Sync, Target, tag};

use crate::batch::{Entry, Refused, malformed, most_gathered, peek_client, too_large};
use crate::buffers::move_bytes;
use crate::expect::{Expect, Reply};
use crate::limits::{MAX_NAME, MAX_STATEMENT};
use crate::own::not_here;
use crate::prepared::Named;
use crate::session::{Fault, Phase, Session};
use crate::{Buffers, Guide, Prepared, ServerState};

/// `lo_create`, `lo_import`, `lo_export`, `lo_import` with an OID, `lo_open`, `lo_close`, `loread`, `lowrite`,
/// `lo_lseek`, `lo_creat`, `lo_tell`, `lo_unlink`, `lo_truncate`, and those for 64 bits (pg_proc.dat).
const LARGE_OBJECTS: [u32; 16] =
    [715, 764, 765, 767, 952, 953, 954, 955, 956, 957, 958, 964, 1004, 3170, 3171, 3172];

/// What becomes of the message at the front of the client's bytes.
#[derive(PartialEq, Eq)]
pub(crate) enum Passage {
    /// It goes as it is.
    Verbatim,
    /// Something else was written in its place, or nothing.
    Replaced,
    /// It has to wait for an answer.
    Held,
}

impl<A: AsRef<Decision>> Session<A> {
    /// Forwards what the client may send at this point.
    pub(crate) fn forward<G: Guide<Answer = A>>(
        &mut self,
        io: &mut Buffers,
        server: &mut ServerState,
        guide: &mut G,
    ) -> Result<(), Fault> {
        self.edition = guide.edition();
        // Verbatim messages at the front of the buffer, to be moved together.
        let mut run = 0;
        loop {
            if self.client_stream.0 > 0 {
                move_bytes(&mut io.client_in, &mut io.server_out, std::mem::take(&mut run));
                if !self.pass_client_stream(io) {
                    return Ok(());
                }
            }
            if !self.may_forward() {
                break;
            }
            let rest = io.client_in.get(run..).unwrap_or_default();
            let Some(head) = peek_client(rest)? else { break };
            if head.tag == tag::TERMINATE {
                self.phase = Phase::End;
                break;
            }
            if rest.len() < head.len {
                move_bytes(&mut io.client_in, &mut io.server_out, std::mem::take(&mut run));
                if !self.stream_large(io, server, guide, head)? {
                    return Ok(());
                }
                continue;
            }
            match head.tag {
                tag::COPY_DATA if self.copying => {
                    run += head.len;
                    continue;
                }
                // The server would ignore it, as long as nothing has gone wrong (copyfromparse.c, `CopyGetData`).
                tag::SYNC if self.copying => {
                    self.flush_run(io, &mut run);
                    io.client_in.advance(head.len);
                    continue;
                }
                _ => {}
            }
            let passage = self.pass(io, server, guide, head, &mut run)?;
            if passage != Passage::Held && head.tag != tag::QUERY {
                let message = io.client_in.get(run..run + head.len).unwrap_or_default();
                self.keep_message(server, guide, head.tag, message);
            }
            match passage {
                Passage::Verbatim => run += head.len,
                Passage::Replaced => io.client_in.advance(head.len),
                Passage::Held => break,
            }
            self.batch.partial = false;
            match head.tag {
                tag::SYNC | tag::QUERY | tag::FUNCTION_CALL => self.unsynced = false,
                tag::COPY_DATA | tag::COPY_DONE | tag::COPY_FAIL => {}
                _ => self.unsynced = true,
            }
            self.unsent = self.unsent.saturating_sub(head.len);
            if self.batch.synced_by_us && self.unsent == 0 {
                move_bytes(&mut io.client_in, &mut io.server_out, std::mem::take(&mut run));
                Sync.write(&mut io.server_out);
                self.pending.push_back(Expect::Sync(Reply::Swallow));
                self.awaiting_ready = true;
                self.unsynced = false;
            }
        }
        move_bytes(&mut io.client_in, &mut io.server_out, run);
        Ok(())
    }

    /// Whether the next client message may go now: not after something that ReadyForQuery will answer, and
    /// not beyond a batch that may still be sent elsewhere.
    fn may_forward(&self) -> bool {
        let held_back = self.retained.is_some() && self.unsent == 0 && !self.copying
            || matches!(self.pending.back(), Some(Expect::Verify(_)));
        (!self.awaiting_ready || self.copying) && !held_back
    }

    /// Passes on what has come of a large message. False: more of it has still to come.
    fn pass_client_stream(&mut self, io: &mut Buffers) -> bool {
        let (left, keep) = self.client_stream;
        let n = left.min(io.client_in.len());
        match keep {
            true => move_bytes(&mut io.client_in, &mut io.server_out, n),
            false => io.client_in.advance(n),
        }
        self.client_stream.0 -= n;
        self.client_stream.0 == 0
    }

    /// A message that has not wholly arrived: large ones start to pass before they are complete.
    /// False: wait for more bytes.
    fn stream_large<G: Guide<Answer = A>>(
        &mut self,
        io: &mut Buffers,
        server: &mut ServerState,
        guide: &mut G,
        head: Head,
    ) -> Result<bool, Fault> {
        if matches!(head.tag, tag::QUERY | tag::FUNCTION_CALL | tag::BIND | tag::PARSE)
            && self.is_large(head)
        {
            self.replay = None;
        }
        match head.tag {
            tag::COPY_DATA | tag::COPY_FAIL => {}
            tag::FUNCTION_CALL if self.is_large(head) => {
                let Some(body) = io.client_in.get(frame::HEADER_LEN..frame::HEADER_LEN + 4) else {
                    return Ok(false);
                };
                self.calls(body);
                self.sent_unseen(server, Expect::FunctionCall);
            }
            tag::QUERY if self.is_large(head) => {
                // Whatever it does to the session is not seen: nobody else gets this server.
                server.tainted = true;
                self.sent_unseen(server, Expect::Query(None));
            }
            tag::BIND if self.is_large(head) && io.client_in.len() > MAX_NAME => {
                return self.stream_bind(io, server, guide, head).map(|()| true);
            }
            tag::PARSE if head.len > MAX_STATEMENT => {
                let report = too_large();
                self.refuse_statement(&report);
                self.client_stream = (head.len, false);
                return Ok(true);
            }
            tag::DESCRIBE | tag::EXECUTE | tag::CLOSE | tag::SYNC | tag::FLUSH | tag::COPY_DONE
                if head.len > MAX_NAME =>
            {
                return Err(Fault::Client(ErrorReport::fatal(b"08P01", "invalid message length")));
            }
            _ => return Ok(false),
        }
        self.batch.partial = false;
        self.client_stream = (head.len, !self.skipping);
        Ok(true)
    }

    /// Whether a message passes before it is whole: because of its size, or because its batch was routed without
    /// waiting for it.
    fn is_large(&self, head: Head) -> bool {
        self.batch.partial || head.len > most_gathered(head.tag)
    }

    /// A function is called by its OID, with which the message begins. Those of large objects leave nothing behind
    /// outside of their transaction (be-fsstubs.c); of others nothing is known.
    fn calls(&mut self, body: &[u8]) {
        let oid = <[u8; 4]>::try_from(body).map(u32::from_be_bytes).ok();
        if !self.skipping && !oid.is_some_and(|oid| LARGE_OBJECTS.contains(&oid)) {
            self.stay(PinReason::UnknownFunction);
        }
    }

    fn sent_unseen(&mut self, server: &mut ServerState, expect: Expect) {
        if !self.skipping {
            server.sequences.drawn_by(self.id);
            self.ending.runs_unseen();
            self.pending.push_back(expect);
            self.awaiting_ready = true;
        }
    }

    /// A Bind whose parameters are too large to be gathered: its names are replaced, the rest streams.
    fn stream_bind<G: Guide<Answer = A>>(
        &mut self,
        io: &mut Buffers,
        server: &mut ServerState,
        guide: &mut G,
        head: Head,
    ) -> Result<(), Fault> {
        if self.skipping {
            self.client_stream = (head.len, false);
            return Ok(());
        }
        let body = &io.client_in[frame::HEADER_LEN..];
        let bind = Bind::read(body).map_err(malformed)?;
        let names = bind.portal.len() + bind.statement.len() + 2;
        let left = head.len - frame::HEADER_LEN - names;
        let (portal, name) = (Box::<[u8]>::from(bind.portal), Box::<[u8]>::from(bind.statement));
        io.client_in.advance(frame::HEADER_LEN + names);
        let server_name = match self.look_again(&name, guide) {
            Some(named) => {
                self.planned(named.statement());
                self.recall(io, server, &named);
                self.provide(io, server, &named)
            }
            None => {
                self.lacks(io, server, &name);
                Cow::Owned(name.to_vec())
            }
        };
        let len = 4 + portal.len() + server_name.len() + 2 + left;
        io.server_out.put_u8(tag::BIND);
        io.server_out.put_u32(u32::try_from(len).unwrap_or(u32::MAX));
        for name in [&portal[..], &server_name[..]] {
            io.server_out.put_slice(name);
            io.server_out.put_u8(0);
        }
        self.batch.partial = false;
        self.unsynced = true;
        self.bound(portal, self.defined(&name));
        self.client_stream = (left, true);
        Ok(())
    }

    /// One whole message.
    fn pass<G: Guide<Answer = A>>(
        &mut self,
        io: &mut Buffers,
        server: &mut ServerState,
        guide: &mut G,
        head: Head,
        run: &mut usize,
    ) -> Result<Passage, Fault> {
        if self.skipping && head.tag != tag::SYNC {
            self.flush_run(io, run);
            return Ok(Passage::Replaced);
        }
        match head.tag {
            tag::SYNC => {
                self.skipping = false;
                self.pending.push_back(Expect::Sync(Reply::Forward));
                self.awaiting_ready = true;
                if !self.batch.wrapped {
                    return Ok(Passage::Verbatim);
                }
                self.flush_run(io, run);
                Sync.write(&mut io.server_out);
                self.wrap_up(io, server, false);
                Ok(Passage::Replaced)
            }
            tag::FUNCTION_CALL => {
                let begin = *run + frame::HEADER_LEN;
                self.calls(io.client_in.get(begin..begin + 4).unwrap_or_default());
                self.sent_unseen(server, Expect::FunctionCall);
                Ok(Passage::Verbatim)
            }
            tag::COPY_DONE | tag::COPY_FAIL => {
                self.copying = false;
                Ok(Passage::Verbatim)
            }
            tag::EXECUTE => {
                self.explain_bound(guide);
                self.pass_execute(io, server, guide, run, head)
            }
            tag::QUERY | tag::PARSE | tag::BIND | tag::DESCRIBE | tag::CLOSE => {
                self.flush_run(io, run);
                self.pass_named(io, server, guide, head)
            }
            _ => Ok(Passage::Verbatim),
        }
    }

    fn flush_run(&self, io: &mut Buffers, run: &mut usize) {
        move_bytes(&mut io.client_in, &mut io.server_out, std::mem::take(run));
    }

    /// A message that names a statement, or is one. It stands at the front of the buffer.
    fn pass_named<G: Guide<Answer = A>>(
        &mut self,
        io: &mut Buffers,
        server: &mut ServerState,
        guide: &mut G,
        head: Head,
    ) -> Result<Passage, Fault> {
        // The message is taken out so that what must stand before it can be written; it is small.
        if self.pending.is_empty() && !self.unsynced {
            self.close_strays(io, server);
        }
        let frame = std::mem::take(&mut io.client_in);
        let body = &frame[frame::HEADER_LEN..head.len];
        let passage = match head.tag {
            tag::QUERY => self.pass_query(io, server, guide, body),
            tag::PARSE => self.pass_parse(io, server, guide, body),
            tag::BIND => self.pass_bind(io, server, guide, body),
            tag::DESCRIBE => self.pass_describe(io, server, body),
            _ => self.pass_close(body),
        };
        io.client_in = frame;
        passage
    }

    fn pass_query<G: Guide<Answer = A>>(
        &mut self,
        io: &mut Buffers,
        server: &mut ServerState,
        guide: &mut G,
        body: &[u8],
    ) -> Result<Passage, Fault> {
        let query = Query::read(body).map_err(malformed)?;
        let (statement, text) = match self.batch.next_entry() {
            Some(Entry::Query(statement, text)) => (Rc::clone(statement), text.clone()),
            _ => match self.understand_query(query.text, guide) {
                Ok(understood) => understood,
                Err(Refused::Fault(fault)) => return Err(fault),
                Err(Refused::Statement(report)) => {
                    self.refuse_query(&report);
                    return Ok(Passage::Replaced);
                }
            },
        };
        if let Some(own) = statement.own() {
            self.tell_own(own, &statement, guide);
            return Ok(Passage::Replaced);
        }
        self.explain_bound(guide);
        self.ask_before(io, server, guide, &statement);
        let sent = text.as_deref().map_or(query.text, str::as_bytes);
        self.keep_query(io, server, guide, &statement, (query.text, sent));
        self.touches(server, &statement);
        self.tally_statement(io, guide, &statement, sent);
        // A simple query drops the unnamed statement (postgres.c, exec_simple_query).
        server.unnamed = None;
        self.unnamed = None;
        self.lend_names(io, server, &statement, true);
        self.awaiting_ready = true;
        self.pending.push_back(Expect::Query(Some(statement)));
        if text.is_none() && !self.batch.wrapped {
            return Ok(Passage::Verbatim);
        }
        Query { text: sent }.write(&mut io.server_out);
        if self.batch.wrapped {
            self.wrap_up(io, server, true);
        }
        Ok(Passage::Replaced)
    }

    fn pass_parse<G: Guide<Answer = A>>(
        &mut self,
        io: &mut Buffers,
        server: &mut ServerState,
        guide: &mut G,
        body: &[u8],
    ) -> Result<Passage, Fault> {
        let parse = Parse::read(body).map_err(malformed)?;
        let prepared = match self.batch.next_entry() {
            Some(Entry::Parse(_, prepared)) => Rc::clone(prepared),
            _ => match self.understand_parse(&parse, guide) {
                Ok(prepared) => prepared,
                Err(Refused::Fault(fault)) => return Err(fault),
                Err(Refused::Statement(report)) => {
                    self.refuse_statement(&report);
                    return Ok(Passage::Replaced);
                }
            },
        };
        if prepared.statement.own().is_some() {
            self.refuse_statement(&not_here());
            return Ok(Passage::Replaced);
        }
        self.ask_isolation(io, server, &prepared.statement);
        self.ask_before(io, server, guide, &prepared.statement);
        if parse.name.is_empty() && !self.gives_name(&prepared) {
            return Ok(self.pass_unnamed(io, server, &parse, prepared));
        }
        if !parse.name.is_empty() && self.statements.contains_key(parse.name) {
            self.provoke_duplicate(io, server, &parse);
            return Ok(Passage::Replaced);
        }
        let (defined, named) = self.define(parse.name, prepared);
        let known = server.has_prepared(named.copy, self.edition);
        if known && self.status != TransactionStatus::Failed {
            self.reused = true;
            self.pending.push_back(Expect::Defined(defined));
            return Ok(Passage::Replaced);
        }
        self.prepare(io, server, named.copy, &named.prepared);
        let copy = named.copy;
        let (id, define) = (Some(copy), Some((defined, named)));
        self.pending.push_back(Expect::Parse { reply: Reply::Forward, id, define });
        self.keep(io, server, copy);
        Ok(Passage::Replaced)
    }

    fn pass_unnamed(
        &mut self,
        io: &mut Buffers,
        server: &mut ServerState,
        parse: &Parse<'_>,
        prepared: Rc<Prepared>,
    ) -> Passage {
        let same = *prepared.query == *parse.query;
        if !same {
            Parse { name: b"", query: &prepared.query, types: parse.types }
                .write(&mut io.server_out);
        }
        let (defined, named) = self.define(b"", prepared);
        server.unnamed = Some((named.copy, self.edition));
        let define = Some((defined, named));
        self.pending.push_back(Expect::Parse { reply: Reply::Forward, id: None, define });
        if same { Passage::Verbatim } else { Passage::Replaced }
    }

    fn pass_bind<G: Guide<Answer = A>>(
        &mut self,
        io: &mut Buffers,
        server: &mut ServerState,
        guide: &mut G,
        body: &[u8],
    ) -> Result<Passage, Fault> {
        let bind = Bind::read(body).map_err(malformed)?;
        let Some(named) = self.look_again(bind.statement, guide) else {
            self.lacks(io, server, bind.statement);
            self.bound(bind.portal.into(), None);
            return Ok(Passage::Verbatim);
        };
        if named.statement().own().is_some() {
            self.refuse_statement(&not_here());
            return Ok(Passage::Replaced);
        }
        if let Some(passage) = self.verify(io, server, &named) {
            return Ok(passage);
        }
        self.ask_isolation(io, server, named.statement());
        self.ask_before(io, server, guide, named.statement());
        self.planned(named.statement());
        self.recall(io, server, &named);
        let name = self.provide(io, server, &named);
        self.bound(bind.portal.into(), Some(named));
        if name.is_empty() {
            return Ok(Passage::Verbatim);
        }
        Bind { statement: &name, ..bind }.write(&mut io.server_out);
        Ok(Passage::Replaced)
    }

    fn bound(&mut self, portal: Box<[u8]>, statement: Option<Rc<Named>>) {
        self.pending.push_back(Expect::Bind);
        self.portals.retain(|(name, _)| *name != portal);
        if let Some(statement) = statement {
            self.portals.push((portal, statement));
        }
    }

    /// What a portal of the client executes.
    fn portal(&self, name: &[u8]) -> Option<&Rc<Named>> {
        self.portals.iter().find(|(portal, _)| **portal == *name).map(|(_, statement)| statement)
    }

    fn pass_describe(
        &mut self,
        io: &mut Buffers,
        server: &mut ServerState,
        body: &[u8],
    ) -> Result<Passage, Fault> {
        let describe = Describe::read(body).map_err(malformed)?;
        if describe.target == Target::Portal {
            let named = self.portal(describe.name).cloned();
            self.pending.push_back(Expect::DescribePortal(named));
            return Ok(Passage::Verbatim);
        }
        let named = self.defined(describe.name);
        let name = match &named {
            Some(named) if named.statement().own().is_some() => {
                self.refuse_statement(&not_here());
                return Ok(Passage::Replaced);
            }
            Some(named) => {
                if let Some(passage) = self.verify(io, server, named) {
                    return Ok(passage);
                }
                self.ask_isolation(io, server, named.statement());
                self.recall(io, server, named);
                self.provide(io, server, named)
            }
            None => {
                self.lacks(io, server, describe.name);
                Cow::Borrowed(describe.name)
            }
        };
        self.pending.push_back(Expect::DescribeStatement(named));
        if *name == *describe.name {
            return Ok(Passage::Verbatim);
        }
        Describe { target: Target::Statement, name: &name }.write(&mut io.server_out);
        Ok(Passage::Replaced)
    }

    fn pass_close(&mut self, body: &[u8]) -> Result<Passage, Fault> {
        let close = Close::read(body).map_err(malformed)?;
        match close.target {
            Target::Portal => {
                self.pending.push_back(Expect::Close(Reply::Forward));
                Ok(Passage::Verbatim)
            }
            Target::Statement => {
                let named = self.defined(close.name);
                self.undefine(close.name);
                self.pending.push_back(Expect::Undefined(close.name.into(), named));
                Ok(Passage::Replaced)
            }
        }
    }

    fn pass_execute<G: Guide<Answer = A>>(
        &mut self,
        io: &mut Buffers,
        server: &mut ServerState,
        guide: &mut G,
        run: &mut usize,
        head: Head,
    ) -> Result<Passage, Fault> {
        let body = &io.client_in[*run + frame::HEADER_LEN..*run + head.len];
        let execute = Execute::read(body).map_err(malformed)?;
        let named = self.portal(execute.portal).cloned();
        let statement = named.as_ref().map(|named| Rc::clone(named.statement()));
        if let (Some(named), Some(statement)) = (&named, &statement) {
            self.touches(server, statement);
            self.tally_statement(io, guide, statement, &named.prepared.query);
            if !statement.effects.is_empty() {
                self.flush_run(io, run);
                self.lend_names(io, server, statement, false);
            }
        }
        if statement.is_none() {
            self.ending.runs_unseen();
        }
        self.pending.push_back(Expect::Execute(statement));
        Ok(Passage::Verbatim)
    }

    /// A policy refuses a statement of an extended-protocol batch that is already under way.
    fn refuse_statement(&mut self, report: &ErrorReport) {
        let mut bytes = bytes::BytesMut::new();
        report.write(&mut bytes);
        self.pending.push_back(Expect::Local(bytes[..].into()));
        self.skipping = true;
    }

    /// A policy refuses a simple query inside a transaction, which stays open.
    fn refuse_query(&mut self, report: &ErrorReport) {
        let mut bytes = bytes::BytesMut::new();
        report.write(&mut bytes);
        ReadyForQuery { status: self.status }.write(&mut bytes);
        self.pending.push_back(Expect::Local(bytes[..].into()));
    }
}
