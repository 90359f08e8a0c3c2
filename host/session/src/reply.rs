//! From the leased server to the client. Each answer is matched with what was sent, and forwarded,
//! swallowed, or preceded by answers of our own.

use bytes::Buf;
use howdah_decision::{Decision, Kind};
use howdah_sql::{Effect, PinReason};
use howdah_wire::backend::{
    CommandComplete, DataRow, ErrorReport, ErrorResponse, ParameterStatus, ReadyForQuery,
    RowDescription, TransactionStatus, tag,
};
use howdah_wire::frame::{self, Head};

use crate::autocommit::ends_session;
use crate::buffers::move_bytes;
use crate::expect::{Expect, Reply};
use crate::hold::{self, GivenUp, READ_ONLY, Unprepared, Verdict};
use crate::limits::MAX_REPLY_VIEW;
use crate::prepared::{Told, columns};
use crate::proof::Asks;
use crate::session::{Fault, Phase, Session};
use crate::{Buffers, Guide, Pin, ServerState};

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
pub(crate) enum Fate {
    Forward,
    Drop,
    /// The client gets this in its place.
    Instead(ErrorReport),
    /// It gets this when the write by itself that it belongs to has been committed.
    Hold,
    /// It has been, and the client gets what was held.
    Held,
    /// It is told before of the parameters that have changed.
    Last,
}

impl<A: AsRef<Decision>> Session<A> {
    /// Deals with what the server has sent.
    pub(crate) fn replies<G: Guide<Answer = A>>(
        &mut self,
        io: &mut Buffers,
        server: &mut ServerState,
        guide: &mut G,
    ) -> Result<Replied, Fault> {
        if self.retained.is_some()
            && self.phase == Phase::Answers
            && !self.awaits_own()
            && let Some(replied) = self.judge(io, server, guide)
        {
            return Ok(replied);
        }
        let mut run = 0;
        loop {
            self.local_replies(io, &mut run);
            if self.server_stream.0 > 0 && !self.pass_server_stream(io, &mut run) {
                break;
            }
            let rest = io.server_in.get(run..).unwrap_or_default();
            let Some(head) = peek_server(rest)? else { break };
            let row = head.tag == tag::DATA_ROW || head.tag == tag::COPY_DATA;
            let Some(frame) = rest.get(..head.len) else {
                let again = matches!(self.pending.front(), Some(Expect::Again(_)));
                if !must_be_whole(head)? && (again || !self.awaits_own()) {
                    self.rows += u64::from(row && !again);
                    if self.is_wrapped() {
                        self.let_go(&mut io.client_out);
                    }
                    self.server_stream = (head.len, !again);
                    self.hear_stream(row || head.tag == tag::PARAMETER_DESCRIPTION);
                    continue;
                }
                break;
            };
            if self.replay.is_some() {
                self.hear(head.tag, frame);
            }
            let own = self.awaits_own();
            if !own && (row || head.tag == tag::NOTICE_RESPONSE) && self.is_wrapped() {
                self.let_go(&mut io.client_out);
            }
            // The hot path: rows pass by the thousand.
            if row && !own {
                self.rows += 1;
                run += head.len;
                continue;
            }
            let ready = head.tag == tag::READY_FOR_QUERY;
            let fate = self.reply(head.tag, &frame[frame::HEADER_LEN..], server)?;
            // Whatever happens meanwhile, it is for the client.
            let at_once = head.tag == tag::NOTIFICATION_RESPONSE || !self.is_wrapped();
            if fate == Fate::Forward && at_once {
                run += head.len;
            } else {
                move_bytes(&mut io.server_in, &mut io.client_out, std::mem::take(&mut run));
                let message = io.server_in.split_to(head.len);
                match fate {
                    Fate::Forward => self.deliver(io, &message),
                    Fate::Drop => {}
                    Fate::Instead(report) => {
                        self.let_go(&mut io.client_out);
                        report.write(&mut io.client_out);
                    }
                    Fate::Hold => self.hold(&message),
                    Fate::Held => self.committed(io),
                    Fate::Last => {
                        server.parameters.tell(&mut self.told, &mut io.client_out);
                        io.client_out.extend_from_slice(&message);
                    }
                }
            }
            if ready && !own && !self.is_wrapped() {
                self.schema_settled(guide);
                self.tally_done();
            }
            if ready && own {
                if let Some(replied) = self.own_query_done(io, server, guide)? {
                    return Ok(replied);
                }
                if self.retained.is_some() && self.phase == Phase::Answers {
                    // The batch went along: its reply is looked at from the beginning.
                    return self.replies(io, server, guide);
                }
            }
        }
        move_bytes(&mut io.server_in, &mut io.client_out, run);
        Ok(Replied::More)
    }

    /// Whether the next answer is that of the proxy's own query.
    fn awaits_own(&self) -> bool {
        self.pending.front().is_some_and(Expect::is_own)
    }

    /// Looks at the beginning of a reply that may have to come from another server. None: it is delivered.
    fn judge<G: Guide<Answer = A>>(
        &mut self,
        io: &mut Buffers,
        server: &mut ServerState,
        guide: &mut G,
    ) -> Option<Replied> {
        match hold::judge(&io.server_in, server.standby, !self.is_wrapped()) {
            Verdict::More => Some(Replied::More),
            Verdict::Writes => {
                self.learn(guide);
                self.to_primary = true;
                Some(self.reroute(server))
            }
            Verdict::Failed(state, given_up) => {
                let safety = self.safety(Some(state));
                let usual = given_up == GivenUp::Yes;
                if self.shall_go_again(io, guide, Some(state), safety, usual) {
                    return Some(self.reroute(server));
                }
                if !self.is_wrapped() || !ends_session(&state) {
                    self.retained = None;
                }
                None
            }
            Verdict::Unprepared(what, answered) if self.can_prepare_again(what, answered) => {
                self.prepare_again(io, server, guide, what);
                None
            }
            // Of a write by itself nothing is delivered before the first row or notice.
            Verdict::Deliver if self.is_wrapped() => None,
            Verdict::Deliver | Verdict::Unprepared(..) => {
                self.retained = None;
                None
            }
        }
    }

    /// Whether the batch can be sent once more to the same server, with its statements prepared anew. A client that
    /// relies on what it was told of them shall know that it is not so any more.
    fn can_prepare_again(&self, what: Unprepared, answered: usize) -> bool {
        let told = self.batch.told && what != Unprepared::Missing;
        let mut sent = self.pending.iter().filter(|expect| expect.local().is_none());
        let uses = matches!(sent.nth(answered), Some(Expect::Bind | Expect::DescribeStatement(_)));
        uses && self.reused && self.batch.synced && self.unsent == 0 && !told && !self.batch.again
    }

    fn prepare_again<G: Guide<Answer = A>>(
        &mut self,
        io: &mut Buffers,
        server: &mut ServerState,
        guide: &mut G,
        what: Unprepared,
    ) {
        if what == Unprepared::OtherColumns {
            guide.schema_changed();
            self.edition = guide.edition();
        }
        for named in &self.batch.bound {
            server.distrust(named.copy);
            server.distrust(self.copy_of(&named.prepared));
            if what == Unprepared::OtherColumns {
                named.since.set(self.edition);
            }
        }
        for prepared in self.batch.parsed() {
            server.distrust(self.copy_of(prepared));
        }
        self.batch.again = true;
        let reply = std::mem::take(&mut io.server_in);
        let left = self.pending.iter().filter(|expect| expect.ends_with_ready()).count();
        self.restore_batch(io);
        io.server_in = reply;
        self.pending.extend((0..left).map(|_| Expect::Refused));
        self.phase = Phase::Setup;
    }

    /// The proxy's own query has been answered.
    fn own_query_done<G: Guide<Answer = A>>(
        &mut self,
        io: &mut Buffers,
        server: &mut ServerState,
        guide: &G,
    ) -> Result<Option<Replied>, Fault> {
        if let Some(report) = self.last_words.take() {
            if self.phase == Phase::Setup {
                return Ok(Some(Replied::SetupFailed(report)));
            }
            self.last_words = Some(report);
            return Err(Fault::Server("it refused settings that it had accepted before"));
        }
        if self.awaits_own() || self.awaits_commit() {
            // The server is not yet as the client wants it, or the client has not yet got all of what came before.
            return Ok(None);
        }
        if !self.is_replaying() {
            server.parameters.tell(&mut self.told, &mut io.client_out);
        }
        if self.phase == Phase::Setup {
            self.start_batch(io, server, guide);
        }
        Ok(None)
    }

    /// The standby has not run the batch, and the primary shall. A batch that consists of one simple query
    /// or ends with Sync leaves the server ready once its ReadyForQuery is read; rather than to wait for
    /// that, the connection is closed: this happens once per statement text.
    fn reroute(&mut self, server: &mut ServerState) -> Replied {
        self.reroutes += 1;
        server.tainted = true;
        Replied::Reroute
    }

    /// The statement that a standby refused is known as a write from now on.
    fn learn<G: Guide<Answer = A>>(&self, guide: &mut G) {
        self.batch.statements().for_each(|statement| guide.learn_write(statement));
    }

    /// Passes on what has come of a large message, with the run in front of it. False: more of it has still to come.
    fn pass_server_stream(&mut self, io: &mut Buffers, run: &mut usize) -> bool {
        let (left, keep) = self.server_stream;
        let piece = io.server_in.get(*run..).unwrap_or_default();
        let n = left.min(piece.len());
        self.hear_piece(&piece[..n]);
        match keep {
            true => *run += n,
            false => {
                move_bytes(&mut io.server_in, &mut io.client_out, std::mem::take(run));
                io.server_in.advance(n);
            }
        }
        self.server_stream.0 -= n;
        self.server_stream.0 == 0
    }

    /// Answers of our own whose turn has come.
    fn local_replies(&mut self, io: &mut Buffers, run: &mut usize) {
        if io.server_in.len() == *run && self.waits_to_hear() {
            return;
        }
        while let Some(expect) = self.pending.pop_front_if(|expect| expect.local().is_some()) {
            self.hear_local();
            move_bytes(&mut io.server_in, &mut io.client_out, std::mem::take(run));
            self.deliver(io, expect.local().unwrap_or_default());
            self.note_answered(expect);
        }
    }

    /// One whole message.
    fn reply(&mut self, tag: u8, body: &[u8], server: &mut ServerState) -> Result<Fate, Fault> {
        let own = self.awaits_own();
        match tag {
            tag::PARSE_COMPLETE | tag::BIND_COMPLETE | tag::CLOSE_COMPLETE if own => Ok(Fate::Drop),
            tag::PARSE_COMPLETE => match self.pending.pop_front() {
                Some(Expect::Parse { reply: Reply::Swallow, .. }) => Ok(Fate::Drop),
                Some(Expect::Parse { define, .. }) => {
                    if let Some((defined, named)) = define {
                        named.prepared.proven.set(Some((named.copy, named.since.get())));
                        self.note_answered(Expect::Defined(defined));
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
                self.described(tag, body)?;
                Ok(drop_if(own))
            }
            tag::COMMAND_COMPLETE => {
                let complete = CommandComplete::read(body)
                    .map_err(|_| Fault::Server("malformed CommandComplete"))?;
                self.completed(complete.tag, server);
                if !own && self.is_wrapped() {
                    return Ok(self.wrapped_completed(complete.tag));
                }
                let rolled_back = !own && complete.tag == b"ROLLBACK";
                Ok(match rolled_back.then(|| self.ending.instead()).flatten() {
                    Some(report) => {
                        self.tally_error(Some(*report.sqlstate()));
                        Fate::Instead(report)
                    }
                    None => drop_if(own),
                })
            }
            tag::EMPTY_QUERY_RESPONSE | tag::PORTAL_SUSPENDED => {
                match self.pending.front() {
                    Some(Expect::Execute(_)) => drop(self.pending.pop_front()),
                    Some(Expect::Again(_)) => self.completed += 1,
                    _ => {}
                }
                Ok(if !own && self.is_wrapped() { Fate::Hold } else { drop_if(own) })
            }
            tag::DATA_ROW | tag::FUNCTION_CALL_RESPONSE if own => {
                match self.pending.front() {
                    Some(Expect::PinCheck) => self.pin_checked(body)?,
                    Some(Expect::Proof(asked)) => {
                        self.ending.answered(*asked, body);
                        if *asked == Asks::All {
                            server.life = self.ending.life().cloned();
                        }
                    }
                    Some(Expect::Isolation) => self.isolated(body),
                    _ => {}
                }
                Ok(Fate::Drop)
            }
            tag::COPY_IN_RESPONSE => {
                self.copy_in();
                Ok(Fate::Forward)
            }
            tag::ERROR_RESPONSE => self.error(body, server, own),
            tag::READY_FOR_QUERY => self.ready(body, server),
            tag::PARAMETER_STATUS => {
                let status = ParameterStatus::read(body)
                    .map_err(|_| Fault::Server("malformed ParameterStatus"))?;
                let told = server.parameters.report(status.name, status.value);
                if own || !told || self.is_wrapped() {
                    return Ok(Fate::Drop);
                }
                self.told = server.parameters.clone();
                Ok(Fate::Forward)
            }
            tag::COPY_BOTH_RESPONSE | tag::AUTHENTICATION | tag::BACKEND_KEY_DATA => {
                Err(Fault::Server("a message that has no place here"))
            }
            // Whatever is asked at the moment, it is for the client.
            tag::NOTIFICATION_RESPONSE => Ok(Fate::Forward),
            _ => Ok(drop_if(own)),
        }
    }

    /// Columns, or none.
    fn described(&mut self, tag: u8, body: &[u8]) -> Result<(), Fault> {
        let found = || match tag {
            tag::ROW_DESCRIPTION => RowDescription::read(body)
                .map(|description| columns(Some(description)))
                .map_err(|_| Fault::Server("malformed RowDescription")),
            _ => Ok(columns(None)),
        };
        match self.pending.front() {
            Some(Expect::Verify(_)) => self.verified(found()?),
            Some(Expect::DescribeStatement(named) | Expect::DescribePortal(named)) => {
                if let Some(named) = named
                    && named.told.get().is_none_or(|told| !self.is_as_told(told))
                {
                    let (edition, names) = (self.edition, self.names());
                    named.told.set(Some(Told { edition, names, columns: found()? }));
                }
                self.pending.pop_front();
            }
            _ => {}
        }
        Ok(())
    }

    /// A statement has run.
    fn completed(&mut self, tag: &[u8], server: &mut ServerState) {
        let (statement, number) = match self.pending.front() {
            Some(Expect::Execute(statement)) => {
                let statement = statement.clone();
                self.pending.pop_front();
                (statement, 0)
            }
            Some(Expect::Query(statement)) => {
                self.completed += 1;
                (statement.clone(), self.completed - 1)
            }
            Some(Expect::Again(statements)) => {
                self.completed += 1;
                (statements.get(self.completed - 1).cloned(), 0)
            }
            _ => return,
        };
        let Some(statement) = statement else { return };
        if statement.kind == Kind::Ddl && statement.pin() != Some(PinReason::TemporaryTable) {
            self.altered = (true, true);
        }
        let effect = match statement.effect(number) {
            Effect::None | Effect::Pin(_) | Effect::Begin { .. } => return,
            effect => effect,
        };
        match effect {
            Effect::Unpin => self.pin_in_doubt = true,
            // Other clients' statements are prepared there too, and mean what they meant when they were prepared.
            Effect::DiscardPlans => {
                server.tainted = true;
                self.discard_plans();
            }
            // What was made in the transaction may have gone with it.
            Effect::End => self.pin_in_doubt |= self.pin.is_some(),
            Effect::DiscardAll => {
                server.discarded();
                self.statements.clear();
                self.unnamed = None;
                if self.pin.as_ref().is_some_and(Pin::is_discarded) {
                    self.pin = None;
                }
            }
            Effect::Deallocate(Some(name)) => {
                self.undefine(name.as_bytes());
                self.pin_in_doubt |= self.pin.is_some();
            }
            Effect::Deallocate(None) => {
                server.prepared.clear();
                self.statements.clear();
                self.pin_in_doubt |= self.pin.is_some();
            }
            _ => {}
        }
        if self.carried.completed(effect, tag).is_err() {
            self.stay(PinReason::Settings);
        }
        if *effect == Effect::End {
            self.ending.completed(&statement);
            // Another transaction may follow at once (AND CHAIN), of which the server may be set free.
            self.carried.settle(server);
        }
    }

    /// The answer to the question whether the session may leave its server.
    fn pin_checked(&mut self, row: &[u8]) -> Result<(), Fault> {
        let malformed = |_| Fault::Server("malformed DataRow");
        let row = DataRow::read(row).map_err(malformed)?;
        let value = row.values().next().flatten();
        if value == Some(b"f") && self.pin.as_ref().is_some_and(Pin::can_be_checked) {
            self.pin = None;
        }
        Ok(())
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

    fn error(&mut self, body: &[u8], server: &mut ServerState, own: bool) -> Result<Fate, Fault> {
        let error =
            ErrorResponse::read(body).map_err(|_| Fault::Server("malformed ErrorResponse"))?;
        self.copying = false;
        let ignored =
            matches!(self.pending.front(), Some(Expect::PinCheck | Expect::Lend | Expect::Refused));
        if ignored && !error.is_fatal() {
            // It cannot be told, so the session stays where it is; what names are missing will be said by the server;
            // the batch will be sent once more.
            return Ok(Fate::Drop);
        }
        if let Some(Expect::Again(_)) = self.pending.front()
            && !error.is_fatal()
        {
            self.failed = true;
            self.failed_again(server);
            return Ok(Fate::Drop);
        }
        if let Some(Expect::Proof(_) | Expect::Isolation) = self.pending.front()
            && !error.is_fatal()
        {
            self.replay = None;
            // After an error of its own a transaction refuses whatever is asked.
            if !self.failed {
                self.ending.refused(ErrorReport::from_response(&error));
            }
            return Ok(Fate::Drop);
        }
        self.may_never_commit(&error);
        let unasked = own && !matches!(self.pending.front(), Some(Expect::Verify(_)));
        if unasked || error.is_fatal() || self.pending.is_empty() {
            // Last words: the end of the connection follows, and the client is told then.
            self.last_words = Some(ErrorReport::from_response(&error));
            server.tainted = true;
            return Ok(Fate::Drop);
        }
        self.failed = true;
        server.refused_write |= !server.standby && error.sqlstate() == Some(READ_ONLY);
        self.tally_error(error.sqlstate());
        self.retained = None;
        let whole = matches!(
            self.pending.front(),
            Some(Expect::Query(_) | Expect::FunctionCall | Expect::Commit { .. })
        );
        if whole {
            // A question of ours has failed before.
            let aborted = error.sqlstate() == Some(*b"25P02");
            if let Some(report) = aborted.then(|| self.ending.instead()).flatten() {
                return Ok(Fate::Instead(report));
            }
            return Ok(Fate::Forward);
        }
        let fate = match self.pending.front() {
            Some(Expect::Instead(report)) => Fate::Instead(report.clone()),
            _ => Fate::Forward,
        };
        // The server skips to Sync, and so do the expectations.
        let mut skipped = Vec::new();
        while let Some(expect) = self.pending.front() {
            if expect.ends_with_ready() {
                break;
            }
            skipped.extend(self.pending.pop_front());
        }
        if let Some(Expect::Parse { define: Some((defined, _)), .. }) = skipped.first_mut() {
            // The one that fails drops the unnamed statement first (postgres.c, `exec_parse_message`).
            defined.before = None;
        }
        for expect in skipped.iter().rev() {
            self.undo(expect, server);
        }
        if !self.awaiting_ready {
            // Sync has not been sent yet: what the client sends before it is dropped by the server, and
            // must not leave expectations.
            self.skipping = true;
        }
        Ok(fate)
    }

    /// Something that was sent has not happened.
    fn undo(&mut self, expect: &Expect, server: &mut ServerState) {
        self.take_back(expect);
        match expect {
            Expect::Parse { id: Some(id), .. } => drop(server.prepared.pop(id)),
            Expect::Parse { id: None, .. } => server.unnamed = None,
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
                if self.last_words.is_none() && ready.status == TransactionStatus::Idle {
                    server.settings = settings;
                    self.carried.leased();
                } else if self.last_words.is_none() {
                    self.carried.now_there();
                }
                return Ok(Fate::Drop);
            }
            Some(Expect::Again(_)) => {
                self.completed = 0;
                if !std::mem::take(&mut self.failed) {
                    self.carried.reported(server);
                }
                self.heard(true);
                return Ok(Fate::Drop);
            }
            Some(Expect::Isolation) => {
                self.heard(true);
                return Ok(Fate::Drop);
            }
            Some(Expect::PinCheck) => {
                self.awaiting_ready = false;
                return Ok(Fate::Drop);
            }
            Some(
                Expect::Discard
                | Expect::Lend
                | Expect::Begin
                | Expect::Proof(_)
                | Expect::Refused
                | Expect::Verify(_),
            ) => {
                return Ok(Fate::Drop);
            }
            Some(Expect::Query(_) | Expect::Sync(_)) if self.is_wrapped() => {
                return Ok(Fate::Drop);
            }
            Some(Expect::Commit { .. }) => {
                self.retained = None;
                Fate::Last
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
        self.ending.ready(ready.status);
        self.heard(false);
        self.settle(server);
        Ok(fate)
    }

    /// Others see a change of the schema when its transaction has ended, the session itself at once.
    pub(crate) fn schema_settled<G: Guide<Answer = A>>(&mut self, guide: &mut G) {
        let (now, transaction) = self.altered;
        let ended = self.status == TransactionStatus::Idle;
        if now || (transaction && ended) {
            guide.schema_changed();
        }
        self.altered = (false, transaction && !ended);
        self.commits = false;
        if ended && std::mem::take(&mut self.armed) {
            guide.arm(false);
        }
    }

    /// A ReadyForQuery has come: what was done counts now, or not.
    fn settle(&mut self, server: &mut ServerState) {
        self.answered = self.answered.wrapping_add(1);
        let failed = std::mem::take(&mut self.failed);
        self.completed = 0;
        if !failed {
            self.carried.reported(server);
        }
        if self.status == TransactionStatus::Idle {
            self.own_meaning = None;
            if self.knows_meaning() {
                self.own_names = None;
            }
            self.portals.clear();
            self.carried.ended(!failed);
            self.carried.settle(server);
        }
    }
}

fn drop_if(own: bool) -> Fate {
    if own { Fate::Drop } else { Fate::Forward }
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
