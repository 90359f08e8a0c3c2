//! What is kept of an open transaction to run it again ([`crate::replay`]), and which transactions are not kept.

use std::rc::Rc;

use bytes::BytesMut;
use howdah_decision::{Decision, Facts, Kind};
use howdah_sql::{Effect, Statement};
use howdah_wire::backend::TransactionStatus;
use howdah_wire::frame;
use howdah_wire::frontend::{Bind, Close, Describe, Execute, Parse, Query, Target, tag};

use crate::again::query;
use crate::expect::Expect;
use crate::prepared::Named;
use crate::replay::Replay;
use crate::session::Session;
use crate::{Buffers, Guide, ServerState};

/// Asked before the transaction has done anything. It takes no snapshot, so that the client can still choose the
/// isolation itself (which ends the keeping).
const ISOLATION: &[u8] = b"SHOW transaction_isolation";

/// A batch that can be sent again.
#[derive(Default)]
pub(crate) struct Kept {
    /// A simple query as the server got it, or messages as the client sent them, without those that only prepare or close
    /// a statement.
    pub(crate) messages: BytesMut,
    /// What they bind or describe, in order.
    pub(crate) named: Vec<Rc<Named>>,
    /// What they execute, in order.
    pub(crate) statements: Vec<Rc<Statement>>,
    /// A hash of the answer.
    pub(crate) answer: u128,
    /// The last portal that it has bound.
    portal: Option<Box<[u8]>>,
    /// The last name that it has prepared.
    prepared: Option<Box<[u8]>>,
}

/// What the client waits for, or has begun to send.
#[derive(Default)]
pub(crate) struct UnderWay {
    /// As the client sent it.
    pub(crate) messages: BytesMut,
    /// The statement of a simple query.
    pub(crate) statement: Option<Rc<Statement>>,
    /// The last one that was bound.
    pub(crate) named: Option<Rc<Named>>,
    /// It ends the transaction.
    pub(crate) ends: bool,
}

impl Kept {
    fn query(text: &[u8], statement: Option<&Rc<Statement>>) -> Kept {
        let mut messages = BytesMut::new();
        Query { text }.write(&mut messages);
        let statements = statement.into_iter().map(Rc::clone).collect();
        Kept { messages, statements, ..Kept::default() }
    }

    /// The text of its first statement.
    pub(crate) fn text(&self) -> &[u8] {
        match self.named.first() {
            Some(named) => &named.prepared.query,
            None => query(&self.messages),
        }
    }

    fn has_bound(&self, portal: &[u8]) -> bool {
        self.portal.as_deref() == Some(portal)
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
    /// Whether a statement outside of a transaction begins one that is kept.
    fn begins_to_keep<G: Guide<Answer = A>>(
        &self,
        server: &ServerState,
        guide: &G,
        statement: &Statement,
    ) -> bool {
        matches!(statement.only_effect(), Effect::Begin { .. })
            && self.pin.is_none()
            && !server.standby
            && guide.replays()
    }

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
            let kept = self.begins_to_keep(server, guide, statement);
            self.replay = kept.then(|| Box::new(Replay::new()));
        }
        let kept = begins || (self.pin.is_none() && can_run_again(statement, text));
        let mixed = self.replay.as_ref().is_some_and(|replay| replay.batch.is_some());
        if mixed || !(kept || statement.ends()) {
            self.replay = None;
            return;
        }
        if !begins {
            self.ask_isolation(io, server, statement);
        }
        let Some(replay) = &mut self.replay else { return };
        replay.under_way.ends = statement.ends();
        replay.under_way.statement = Some(Rc::clone(statement));
        Query { text: asked }.write(&mut replay.under_way.messages);
        if statement.ends() {
            return;
        }
        replay.unsteady |= statement.facts.any(Facts::VOLATILE);
        replay.push(Kept::query(text, Some(statement)));
        if !replay.grow(text.len(), 1) {
            self.replay = None;
        }
    }

    /// In front of the first batch that needs to know it, its first statement being this one, the isolation is asked for.
    pub(crate) fn ask_isolation(
        &mut self,
        io: &mut Buffers,
        server: &mut ServerState,
        statement: &Statement,
    ) {
        let first = self.status == TransactionStatus::InTransaction
            && !self.unsynced
            && !self.skipping
            && self.pending.iter().all(|expect| expect.is_own() || expect.local().is_some());
        let Some(replay) = self.replay.as_mut().filter(|_| first) else { return };
        if replay.isolation.is_some() || (statement.ends() && replay.began_alone()) {
            return;
        }
        Query { text: ISOLATION }.write(&mut io.server_out);
        server.unnamed = None;
        self.pending.push_back(Expect::Isolation);
        replay.push_isolation(Kept::query(ISOLATION, None));
        if !replay.grow(ISOLATION.len(), 1) {
            self.replay = None;
        }
    }

    /// A message that is no simple query has been passed on.
    pub(crate) fn keep_message<G: Guide<Answer = A>>(
        &mut self,
        server: &ServerState,
        guide: &G,
        tag: u8,
        message: &[u8],
    ) {
        let outside = self.status == TransactionStatus::Idle;
        if outside && self.replay.is_none() && tag == tag::BIND {
            let executes =
                |expect: &Expect| matches!(expect, Expect::Execute(_) | Expect::FunctionCall);
            let first = self.batch.synced && !self.pending.iter().any(executes);
            let begins =
                |(_, named): &(_, Rc<Named>)| self.begins_to_keep(server, guide, named.statement());
            if first && self.portals.last().is_some_and(begins) {
                self.replay = Some(Box::new(Replay::new()));
            }
        }
        let Some(mut replay) = self.replay.take() else { return };
        replay.under_way.messages.extend_from_slice(message);
        let mut batch = replay.batch.take().unwrap_or_default();
        let body = message.get(frame::HEADER_LEN..).unwrap_or_default();
        let kept = replay.grow(message.len(), usize::from(tag == tag::BIND))
            && !self.skipping
            && self.keeps(&mut replay, &mut batch, tag, body).is_some_and(|stays| {
                if stays {
                    batch.messages.extend_from_slice(message);
                }
                true
            });
        if !kept {
            return;
        }
        match tag {
            tag::SYNC if replay.under_way.ends => {}
            tag::SYNC => replay.push(batch),
            _ => replay.batch = Some(batch),
        }
        self.replay = Some(replay);
    }

    /// Notes what a message does. None: the transaction cannot be run again. False: the message need not be.
    fn keeps(&self, replay: &mut Replay, batch: &mut Kept, tag: u8, body: &[u8]) -> Option<bool> {
        match tag {
            tag::PARSE => {
                batch.prepared = Some(Parse::read(body).ok()?.name.into());
                Some(false)
            }
            tag::BIND => {
                let bind = Bind::read(body).ok()?;
                let (portal, named) = self.portals.last()?;
                let same = **portal == *bind.portal;
                if !same || !matches!(self.pending.back(), Some(Expect::Bind)) {
                    return None;
                }
                let prepared_here = batch.prepared.as_deref() == Some(bind.statement);
                self.keeps_statement(replay, batch, named, prepared_here)?;
                batch.portal = Some(bind.portal.into());
                Some(true)
            }
            tag::DESCRIBE => {
                let describe = Describe::read(body).ok()?;
                if describe.target == Target::Portal {
                    return batch.has_bound(describe.name).then_some(true);
                }
                let Some(Expect::DescribeStatement(Some(named))) = self.pending.back() else {
                    return None;
                };
                let prepared_here = batch.prepared.as_deref() == Some(describe.name);
                if !self.means_the_same(replay, named, prepared_here) {
                    return None;
                }
                batch.named.push(Rc::clone(named));
                Some(true)
            }
            tag::EXECUTE => {
                let execute = Execute::read(body).ok()?;
                let named = replay.under_way.named.as_ref()?;
                replay.unsteady |= named.statement().facts.any(Facts::VOLATILE);
                batch.statements.push(Rc::clone(named.statement()));
                batch.has_bound(execute.portal).then_some(true)
            }
            tag::CLOSE => Some(Close::read(body).ok()?.target == Target::Portal),
            tag::FLUSH => Some(false),
            tag::SYNC => Some(true),
            _ => None,
        }
    }

    /// Notes a statement that is bound.
    fn keeps_statement(
        &self,
        replay: &mut Replay,
        batch: &mut Kept,
        named: &Rc<Named>,
        prepared_here: bool,
    ) -> Option<()> {
        let statement = named.statement();
        let first = batch.portal.is_none();
        let begins = self.status == TransactionStatus::Idle && first;
        let ends = statement.ends() && first;
        let kept = begins
            || ends
            || (self.pin.is_none()
                && can_run_again(statement, &named.prepared.query)
                && self.means_the_same(replay, named, prepared_here));
        if !kept || replay.under_way.ends {
            return None;
        }
        replay.under_way.ends = ends;
        replay.under_way.named = Some(Rc::clone(named));
        batch.named.push(Rc::clone(named));
        Some(())
    }

    /// Whether a statement means the same when it is prepared where it is bound or described: by the settings and the
    /// schema, as far as they are known.
    fn means_the_same(&self, replay: &Replay, named: &Named, prepared_here: bool) -> bool {
        let of_rows = matches!(named.statement().kind, Kind::Read | Kind::Write | Kind::Ddl);
        !of_rows
            || (self.own_meaning.is_none()
                && self.copy_of(&named.prepared) == named.copy
                && (prepared_here || !replay.unsteady))
    }
}
