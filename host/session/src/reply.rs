//! From the leased server to the client. Each answer is matched with what was sent, and forwarded,
//! swallowed, or preceded by answers of our own.

use std::sync::Arc;

use bytes::Buf;
use howdah_decision::Decision;
use howdah_sql::{Effect, Statement};
use howdah_wire::backend::{
    ErrorReport, ErrorResponse, ParameterStatus, ReadyForQuery, TransactionStatus, tag,
};
use howdah_wire::frame::{self, Head};

use crate::buffers::move_bytes;
use crate::expect::{Expect, Reply};
use crate::hold::{self, Verdict};
use crate::limits::MAX_REPLY_VIEW;
use crate::session::{Fault, Phase, Session};
use crate::{Buffers, Guide, ServerState, Settings, Value};

/// What the replies came to.
pub(crate) enum Replied {
    /// All that has arrived is dealt with.
    More,
    /// The batch is to be sent to another server; this one is ready for others.
    Reroute,
    /// The settings could not be made on this server.
    SetupFailed(ErrorReport),
}

/// What becomes of a message.
#[derive(PartialEq, Eq)]
enum Fate {
    Forward,
    Drop,
}

impl<A: AsRef<Decision>> Session<A> {
    /// Deals with what the server has sent.
    pub(crate) fn replies<G: Guide<Answer = A>>(
        &mut self,
        io: &mut Buffers,
        server: &mut ServerState,
        guide: &mut G,
    ) -> Result<Replied, Fault> {
        if self.retained.is_some() && self.phase == Phase::Answers {
            match hold::judge(&io.server_in, server.standby) {
                Verdict::More => return Ok(Replied::More),
                Verdict::Deliver => self.retained = None,
                Verdict::Writes => {
                    self.learn(guide);
                    self.to_primary = true;
                    return self.reroute(server);
                }
                Verdict::Again => return self.reroute(server),
            }
        }
        let mut run = 0;
        loop {
            self.local_replies(io, &mut run);
            if self.server_stream.0 > 0 {
                move_bytes(&mut io.server_in, &mut io.client_out, std::mem::take(&mut run));
                if !self.pass_server_stream(io) {
                    return Ok(Replied::More);
                }
            }
            let rest = io.server_in.get(run..).unwrap_or_default();
            let Some(head) = peek_server(rest)? else { break };
            let Some(frame) = rest.get(..head.len) else {
                if !must_be_whole(head)? {
                    let keep = !matches!(self.pending.front(), Some(Expect::Setup(_)));
                    self.server_stream = (head.len, keep);
                    continue;
                }
                break;
            };
            // The hot path: rows pass by the thousand.
            let row = head.tag == tag::DATA_ROW || head.tag == tag::COPY_DATA;
            if row && !matches!(self.pending.front(), Some(Expect::Setup(_))) {
                run += head.len;
                continue;
            }
            let ready = head.tag == tag::READY_FOR_QUERY;
            let fate = self.reply(head.tag, &frame[frame::HEADER_LEN..], server)?;
            match fate {
                Fate::Forward => run += head.len,
                Fate::Drop => {
                    move_bytes(&mut io.server_in, &mut io.client_out, std::mem::take(&mut run));
                    io.server_in.advance(head.len);
                }
            }
            if ready && self.phase == Phase::Setup {
                if let Some(report) = self.last_words.take() {
                    return Ok(Replied::SetupFailed(report));
                }
                self.start_batch(io, server);
            }
        }
        move_bytes(&mut io.server_in, &mut io.client_out, run);
        Ok(Replied::More)
    }

    /// The standby has not run the batch, and the primary shall. A batch that consists of one simple query
    /// or ends with Sync leaves the server ready once its ReadyForQuery is read; rather than to wait for
    /// that, the connection is closed: this happens once per statement text.
    fn reroute(&mut self, server: &mut ServerState) -> Result<Replied, Fault> {
        self.reroutes += 1;
        server.tainted = true;
        Ok(Replied::Reroute)
    }

    /// The statement that a standby refused is known as a write from now on.
    fn learn<G: Guide<Answer = A>>(&self, guide: &mut G) {
        self.batch.statements().for_each(|statement| guide.learn_write(statement));
    }

    /// Passes on what has come of a large message. False: more of it has still to come.
    fn pass_server_stream(&mut self, io: &mut Buffers) -> bool {
        let (left, keep) = self.server_stream;
        let n = left.min(io.server_in.len());
        match keep {
            true => move_bytes(&mut io.server_in, &mut io.client_out, n),
            false => io.server_in.advance(n),
        }
        self.server_stream.0 -= n;
        self.server_stream.0 == 0
    }

    /// Answers of our own whose turn has come.
    fn local_replies(&mut self, io: &mut Buffers, run: &mut usize) {
        while let Some(Expect::Local(_)) = self.pending.front() {
            move_bytes(&mut io.server_in, &mut io.client_out, std::mem::take(run));
            if let Some(Expect::Local(bytes)) = self.pending.pop_front() {
                io.client_out.extend_from_slice(&bytes);
            }
        }
    }

    /// One whole message.
    fn reply(&mut self, tag: u8, body: &[u8], server: &mut ServerState) -> Result<Fate, Fault> {
        let setup = matches!(self.pending.front(), Some(Expect::Setup(_)));
        match tag {
            tag::PARSE_COMPLETE => match self.pending.pop_front() {
                Some(Expect::Parse { reply: Reply::Swallow, .. }) => Ok(Fate::Drop),
                Some(Expect::Parse { define, .. }) => {
                    if let Some((_, prepared)) = define {
                        prepared.proven.set(true);
                    }
                    Ok(Fate::Forward)
                }
                _ => Err(Fault::Server("unexpected ParseComplete")),
            },
            tag::BIND_COMPLETE => match self.pending.pop_front() {
                Some(Expect::Bind) => Ok(Fate::Forward),
                _ => Err(Fault::Server("unexpected BindComplete")),
            },
            tag::CLOSE_COMPLETE => match self.pending.pop_front() {
                Some(Expect::Close(Reply::Forward)) => Ok(Fate::Forward),
                Some(Expect::Close(Reply::Swallow)) => Ok(Fate::Drop),
                _ => Err(Fault::Server("unexpected CloseComplete")),
            },
            tag::ROW_DESCRIPTION | tag::NO_DATA => {
                if let Some(Expect::DescribeStatement | Expect::DescribePortal) =
                    self.pending.front()
                {
                    self.pending.pop_front();
                }
                Ok(drop_if(setup))
            }
            tag::COMMAND_COMPLETE | tag::EMPTY_QUERY_RESPONSE | tag::PORTAL_SUSPENDED => {
                self.completed();
                Ok(drop_if(setup))
            }
            tag::COPY_IN_RESPONSE => {
                self.copy_in();
                Ok(Fate::Forward)
            }
            tag::ERROR_RESPONSE => self.error(body, server, setup),
            tag::READY_FOR_QUERY => self.ready(body, server),
            tag::PARAMETER_STATUS => {
                let status = ParameterStatus::read(body)
                    .map_err(|_| Fault::Server("malformed ParameterStatus"))?;
                server.report(status.name, status.value);
                Ok(drop_if(setup))
            }
            tag::COPY_BOTH_RESPONSE | tag::AUTHENTICATION | tag::BACKEND_KEY_DATA => {
                Err(Fault::Server("a message that has no place here"))
            }
            _ => Ok(drop_if(setup)),
        }
    }

    /// A statement has run.
    fn completed(&mut self) {
        let statement = match self.pending.front() {
            Some(Expect::Execute(_)) => match self.pending.pop_front() {
                Some(Expect::Execute(statement)) => statement,
                _ => None,
            },
            Some(Expect::Query(statement)) => statement.clone(),
            _ => None,
        };
        if let Some(statement) = statement
            && !matches!(statement.effect, Effect::None | Effect::Pin(_))
        {
            self.done.push(statement);
        }
    }

    /// The server wants rows. In the extended protocol it ignores a Sync that was sent behind the Execute
    /// (copyfromparse.c, `CopyGetData`); the client sends another one when it is done.
    fn copy_in(&mut self) {
        self.copying = true;
        if let Some(Expect::Execute(_)) = self.pending.front() {
            let waiting = self.pending.len();
            self.pending.retain(|expect| !matches!(expect, Expect::Sync(_)));
            if self.pending.len() < waiting {
                self.awaiting_ready = false;
            }
        }
    }

    fn error(&mut self, body: &[u8], server: &mut ServerState, setup: bool) -> Result<Fate, Fault> {
        let error =
            ErrorResponse::read(body).map_err(|_| Fault::Server("malformed ErrorResponse"))?;
        self.copying = false;
        if setup || error.is_fatal() || self.pending.is_empty() {
            // Last words: the end of the connection follows, and the client is told then.
            self.last_words = Some(ErrorReport::from_response(&error));
            server.tainted = true;
            return Ok(Fate::Drop);
        }
        self.failed = true;
        if matches!(self.pending.front(), Some(Expect::Query(_) | Expect::FunctionCall)) {
            return Ok(Fate::Forward);
        }
        // The server skips to Sync, and so do the expectations.
        let mut skipped = Vec::new();
        while let Some(expect) = self.pending.front() {
            if expect.ends_with_ready() {
                break;
            }
            skipped.extend(self.pending.pop_front());
        }
        for expect in skipped {
            self.undo(expect, server);
        }
        if !self.awaiting_ready {
            // Sync has not been sent yet: what the client sends before it is dropped by the server, and
            // must not leave expectations.
            self.skipping = true;
        }
        Ok(Fate::Forward)
    }

    /// Something that was sent has not happened.
    fn undo(&mut self, expect: Expect, server: &mut ServerState) {
        match expect {
            Expect::Parse { id, define, .. } => {
                match id {
                    Some(id) => drop(server.prepared.pop(&id)),
                    None => server.unnamed = None,
                }
                if let Some((name, _)) = define {
                    self.undefine(&name);
                }
            }
            // Statements that were to be closed to make room are still there: forget which ones.
            Expect::Close(Reply::Swallow) => server.tainted = true,
            _ => {}
        }
    }

    fn ready(&mut self, body: &[u8], server: &mut ServerState) -> Result<Fate, Fault> {
        let ready =
            ReadyForQuery::read(body).map_err(|_| Fault::Server("malformed ReadyForQuery"))?;
        let fate = match self.pending.pop_front() {
            Some(Expect::Setup(settings)) => {
                if self.last_words.is_none() {
                    server.settings = settings;
                }
                return Ok(Fate::Drop);
            }
            Some(Expect::Sync(Reply::Swallow)) => {
                if self.failed {
                    // The client's own Sync has still to come, and wants its ReadyForQuery.
                    self.phase = Phase::Sync;
                }
                Fate::Drop
            }
            Some(Expect::Sync(Reply::Forward) | Expect::Query(_) | Expect::FunctionCall) => {
                Fate::Forward
            }
            _ => return Err(Fault::Server("unexpected ReadyForQuery")),
        };
        self.awaiting_ready = false;
        self.copying = false;
        self.skipping = false;
        self.status = ready.status;
        self.settle(server);
        Ok(fate)
    }

    /// A ReadyForQuery has come: what was done counts now, or not.
    fn settle(&mut self, server: &mut ServerState) {
        let failed = std::mem::take(&mut self.failed);
        let done = std::mem::take(&mut self.done);
        for statement in &done {
            self.take_effect(statement, failed, server);
        }
        if self.status == TransactionStatus::Idle {
            self.portals.clear();
        }
    }

    fn take_effect(&mut self, statement: &Statement, failed: bool, server: &mut ServerState) {
        let carried = !failed && self.status == TransactionStatus::Idle && self.pin.is_none();
        match &statement.effect {
            Effect::Set { name, value } if carried => {
                let settings = Arc::make_mut(&mut self.settings);
                if settings.set(name, Value::Sql(value.clone())).is_ok() {
                    server.settings = Arc::clone(&self.settings);
                } else {
                    server.tainted = true;
                }
            }
            Effect::Reset { name } if carried => {
                let first = self.startup.get(name).cloned();
                let settings = Arc::make_mut(&mut self.settings);
                settings.reset(name);
                server.settings = Arc::clone(&self.settings);
                if let Some(first) = first {
                    // The server fell back to its own default; the client expects what it asked for.
                    let _ = Arc::make_mut(&mut self.settings).set(name, first);
                }
            }
            Effect::ResetAll if carried => {
                self.settings = Arc::clone(&self.startup);
                server.settings = Arc::new(Settings::default());
            }
            Effect::DiscardAll if !failed => {
                server.discarded();
                self.settings = Arc::clone(&self.startup);
                self.statements.clear();
                self.unnamed = None;
                if matches!(self.pin, Some(crate::Pin::State(_))) {
                    self.pin = None;
                }
            }
            Effect::Deallocate(Some(name)) => self.undefine(name.as_bytes()),
            Effect::Deallocate(None) => {
                server.prepared.clear();
                self.statements.clear();
            }
            _ => {}
        }
    }
}

fn drop_if(setup: bool) -> Fate {
    if setup { Fate::Drop } else { Fate::Forward }
}

fn peek_server(input: &[u8]) -> Result<Option<Head>, Fault> {
    frame::peek(input, howdah_wire::limits::MAX_FRAME_LEN)
        .map_err(|_| Fault::Server("invalid message length"))
}

/// Whether an incomplete message has to be waited for, because it is going to be looked at.
fn must_be_whole(head: Head) -> Result<bool, Fault> {
    let viewed = !matches!(
        head.tag,
        tag::DATA_ROW
            | tag::COPY_DATA
            | tag::FUNCTION_CALL_RESPONSE
            | tag::NOTIFICATION_RESPONSE
            | tag::NOTICE_RESPONSE
            | tag::PARAMETER_DESCRIPTION
    );
    if viewed && head.len > MAX_REPLY_VIEW && head.tag != tag::ROW_DESCRIPTION {
        return Err(Fault::Server("a message that is far too long"));
    }
    Ok(viewed)
}
