//! A client's prepared statements, and what servers have of them. Servers know a statement by a name of the proxy, which
//! is the same for all clients that mean the same by the same text.

use std::borrow::Cow;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use howdah_decision::{Decision, Kind};
use howdah_sql::{Effect, PinReason, Statement};
use howdah_wire::backend::{ErrorReport, TransactionStatus};
use howdah_wire::frontend::{Bind, Close, Describe, Execute, Parse, Sync, Target};

use crate::batch::{may_draw, may_write};
use crate::expect::{Defined, Expect, Reply};
use crate::forward::Passage;
use crate::prepared::{Named, Told, own_meaning};
use crate::session::Session;
use crate::settings::{Bearing, bearing, decides_names};
use crate::{Buffers, Guide, Pin, Prepared, ServerState, Settings, StatementId};

impl<A: AsRef<Decision>> Session<A> {
    /// The client has prepared this.
    pub(crate) fn define(&mut self, name: &[u8], prepared: Rc<Prepared>) -> (Defined, Rc<Named>) {
        let named = Rc::new(Named {
            has_name: !name.is_empty() || self.gives_name(&prepared),
            copy: self.copy_of(&prepared),
            under: self.shared_settings(),
            prepared,
            since: Cell::new(self.edition),
            told: Cell::new(None),
            outdated: Cell::new(false),
            discarded: Cell::new(false),
        });
        let name = Box::from(name);
        let before = self.means(&name, Rc::clone(&named));
        (Defined { name, before }, named)
    }

    /// This is what the client means by the name; what it meant before.
    fn means(&mut self, name: &[u8], named: Rc<Named>) -> Option<Rc<Named>> {
        match name.is_empty() {
            true => self.unnamed.replace(named),
            false => self.statements.insert(name.into(), named),
        }
    }

    /// Whether a statement that a client prepares without a name gets one on servers: where that is wanted, what has been
    /// prepared before and reads or changes rows.
    pub(crate) fn gives_name(&self, prepared: &Prepared) -> bool {
        self.prepares_unnamed
            && prepared.statement.query
            && prepared.proven.get().is_some()
            && self.means_to_itself().is_none()
    }

    /// A prepared statement of the client.
    pub(crate) fn defined(&self, name: &[u8]) -> Option<Rc<Named>> {
        match name.is_empty() {
            true => self.unnamed.clone(),
            false => self.statements.get(name).cloned(),
        }
    }

    /// The same, as the newest catalog sees it: a function that it calls may do something else by now. After
    /// `DISCARD PLANS` it means what it means under the settings of now, as servers look at its text again
    /// (RevalidateCachedQuery in plancache.c).
    pub(crate) fn look_again<G: Guide<Answer = A>>(
        &mut self,
        name: &[u8],
        guide: &mut G,
    ) -> Option<Rc<Named>> {
        let named = self.defined(name)?;
        let outdated = named.prepared.scanned != guide.catalog();
        if !outdated && !named.discarded.get() {
            return Some(named);
        }
        let mut again = Named::clone(&named);
        if outdated {
            again.prepared = guide.prepare(&again.prepared.query, &again.prepared.types);
        }
        if again.discarded.take() {
            again.copy = self.copy_of(&again.prepared);
            again.under = self.shared_settings();
        }
        let named = Rc::new(again);
        self.means(name, Rc::clone(&named));
        Some(named)
    }

    /// `DISCARD PLANS` has run: what each statement means is found out anew when it is used next.
    pub(crate) fn discard_plans(&mut self) {
        self.statements.values().chain(&self.unnamed).for_each(|named| named.discarded.set(true));
    }

    pub(crate) fn undefine(&mut self, name: &[u8]) {
        if name.is_empty() {
            self.unnamed = None;
        } else {
            self.statements.remove(name);
        }
    }

    /// `DEALLOCATE` and `EXECUTE` of statements that were prepared by the protocol, which servers know by other names:
    /// for this once the server gets to know the client's. Before a simple query it is synced by itself, for an error
    /// would make the server skip the query.
    pub(crate) fn lend_names(
        &mut self,
        io: &mut Buffers,
        server: &mut ServerState,
        statement: &Statement,
        simple: bool,
    ) {
        if statement.effects.is_empty() || self.status == TransactionStatus::Failed {
            return;
        }
        for effect in &statement.effects {
            let (name, runs) = match effect {
                Effect::Deallocate(Some(name)) => (name.as_bytes(), false),
                Effect::Execute(name) => (name.as_bytes(), true),
                _ => continue,
            };
            let Some(named) = self.statements.get(name).cloned() else { continue };
            if runs {
                self.touches(server, named.statement());
            }
            let (query, types): (&[u8], &[u8]) =
                if runs { (&named.prepared.query, &named.prepared.types) } else { (b"", b"\0\0") };
            Parse { name, query, types }.write(&mut io.server_out);
            if simple {
                Sync.write(&mut io.server_out);
                self.pending.push_back(Expect::Lend);
            } else {
                let reply = Reply::Swallow;
                self.pending.push_back(Expect::Parse { reply, id: None, define: None });
            }
            // Whether the name is gone afterwards is not followed.
            server.tainted |= runs || statement.statements > 1;
        }
    }

    /// The client prepares a name twice. The server itself shall say so, with its own words and after whatever else is
    /// wrong, so it is made to know the client's name; it is not reused afterwards.
    pub(crate) fn provoke_duplicate(
        &mut self,
        io: &mut Buffers,
        server: &mut ServerState,
        parse: &Parse<'_>,
    ) {
        let first = Parse { name: parse.name, query: b"", types: b"\0\0" };
        // In a failed transaction nothing can be prepared in any case.
        if self.status != TransactionStatus::Failed {
            first.write(&mut io.server_out);
            let reply = Reply::Swallow;
            self.pending.push_back(Expect::Parse { reply, id: None, define: None });
            server.strays.push(parse.name.into());
        }
        parse.write(&mut io.server_out);
        self.pending.push_back(Expect::Parse { reply: Reply::Forward, id: None, define: None });
        server.tainted = true;
    }

    /// What has been left under a client's own name is taken away before anything else is sent.
    pub(crate) fn close_strays(&mut self, io: &mut Buffers, server: &mut ServerState) {
        if server.strays.is_empty() {
            return;
        }
        for stray in std::mem::take(&mut server.strays) {
            Close { target: Target::Statement, name: &stray }.write(&mut io.server_out);
        }
        Sync.write(&mut io.server_out);
        self.pending.push_back(Expect::Lend);
    }

    /// The client has prepared this under other settings than it has now, and the server does not know it: to mean the
    /// same there, it is prepared under those, which is undone in the same packet. That is possible at the beginning of
    /// a batch, with settings that no server refuses.
    pub(crate) fn recall(&mut self, io: &mut Buffers, server: &mut ServerState, named: &Named) {
        let Some((before, after)) = self.for_once(server, named) else { return };
        let unnamed = !named.has_name;
        if unnamed {
            server.unnamed = Some((named.copy, self.edition));
        } else {
            if server.prepared.contains(&named.copy) {
                self.close(io, named.copy);
            }
            self.keep(io, server, named.copy);
        }
        before.iter().for_each(|step| run_unseen(io, step));
        let Prepared { query, types, .. } = &*named.prepared;
        let name = named.copy.server_name();
        Parse { name: if unnamed { b"" } else { &name }, query, types }.write(&mut io.server_out);
        after.iter().for_each(|step| run_unseen(io, step));
        Sync.write(&mut io.server_out);
        self.pending.push_back(Expect::Lend);
    }

    /// What makes the settings those of a statement, and what makes them again what they are. None: it is not prepared
    /// under those.
    fn for_once(
        &self,
        server: &mut ServerState,
        named: &Named,
    ) -> Option<(Vec<String>, Vec<String>)> {
        let (then, now) = (named.under.as_ref()?, self.carried.wanted());
        let known = self.knows_meaning();
        if (known && then.meaning() == now.meaning())
            || !self.begins_batch()
            || self.status == TransactionStatus::Failed
            || (!named.has_name && server.has_unnamed(named.copy, named.since.get()))
            || (named.has_name && server.has_prepared(named.copy, named.since.get()))
        {
            return None;
        }
        match known {
            true => self.changed_for_once(then, now),
            false => self.laid_aside(then),
        }
    }

    /// Whether settings and names mean what they are known to mean, as far as the open transaction has not changed them.
    pub(crate) fn knows_meaning(&self) -> bool {
        self.pin.as_ref().is_none_or(Pin::leaves_meaning)
    }

    /// What names mean to the session.
    pub(crate) fn names(&self) -> u128 {
        self.own_names.map_or_else(|| self.carried.wanted().names(), u128::from)
    }

    /// Whether nothing has happened since this was looked at by which the columns can be other ones.
    pub(crate) fn is_as_told(&self, told: Told) -> bool {
        told.edition == self.edition && told.names == self.names()
    }

    /// Whether nothing of the client's is under way to the server.
    fn begins_batch(&self) -> bool {
        !self.unsynced && self.pending.iter().all(Expect::is_own)
    }

    /// The statements that make the settings `then`, and those that make them what they are now.
    fn changed_for_once(
        &self,
        then: &Settings,
        now: &Settings,
    ) -> Option<(Vec<String>, Vec<String>)> {
        let steps = |to: &Settings, from| {
            let mut all = Vec::new();
            to.steps(from, |step| all.push(step.to_string()));
            all
        };
        let possible = self.own_meaning.is_none()
            && self.carried.is_there()
            && then.differs_surely(now)
            && now.differs_surely(then);
        possible.then(|| (steps(then, now), steps(now, then)))
    }

    /// The same where nobody knows what the settings are now: what is local to a transaction, or to a savepoint, goes
    /// with it.
    fn laid_aside(&self, then: &Settings) -> Option<(Vec<String>, Vec<String>)> {
        let texts = then.texts()?;
        if self.status == TransactionStatus::Idle {
            return Some((vec![texts], Vec::new()));
        }
        let step = |word| format!("{word} howdah_setting");
        Some((vec![step("SAVEPOINT"), texts], vec![step("ROLLBACK TO"), step("RELEASE")]))
    }

    /// The client may have been told other columns of this than it has now: since then the schema has changed, or names
    /// have come to mean other tables. Where the server would not notice, it is asked first; that is possible at the
    /// beginning of a batch. None: the message may go, as far as the server does not find otherwise.
    pub(crate) fn verify(
        &mut self,
        io: &mut Buffers,
        server: &mut ServerState,
        named: &Rc<Named>,
    ) -> Option<Passage> {
        let verified = std::mem::take(&mut self.verified);
        let told = named.told.get()?;
        if self.status == TransactionStatus::Failed {
            return None;
        }
        if verified || self.is_as_told(told) || !self.begins_batch() {
            if !named.outdated.get() {
                return None;
            }
            self.refuse_outdated(io);
            return Some(Passage::Replaced);
        }
        // Where it is going to be prepared under the settings of then, these give names the meaning of then.
        let as_then = told.edition == self.edition && self.knows_meaning();
        if server.would_notice(named, !named.has_name, told.edition)
            || (as_then && self.for_once(server, named).is_some())
        {
            return None;
        }
        let name = self.provide(io, server, named);
        Describe { target: Target::Statement, name: &name }.write(&mut io.server_out);
        Sync.write(&mut io.server_out);
        self.pending.push_back(Expect::Verify(Rc::clone(named)));
        Some(Passage::Held)
    }

    /// The answer to that question.
    pub(crate) fn verified(&mut self, found: u128) {
        if let Some(Expect::Verify(named)) = self.pending.front()
            && let Some(told) = named.told.get()
        {
            named.outdated.set(told.columns != found);
            let (edition, names) = (self.edition, self.names());
            named.told.set(Some(Told { edition, names, ..told }));
            self.verified = true;
        }
    }

    /// The client uses a statement whose columns are not those any more that it was told. The server, which does not
    /// know what the client was told, is made to say something else, so that its transaction fails.
    fn refuse_outdated(&mut self, io: &mut Buffers) {
        let report = ErrorReport::error(b"0A000", "cached plan must not change result type")
            .routine("RevalidateCachedQuery");
        Bind { portal: b"", statement: b"howdah_outdated", rest: b"\0\0\0\0\0\0" }
            .write(&mut io.server_out);
        self.pending.push_back(Expect::Instead(report));
    }

    /// The name under which the server knows a statement; prepares it there when it does not.
    pub(crate) fn provide(
        &mut self,
        io: &mut Buffers,
        server: &mut ServerState,
        named: &Named,
    ) -> Cow<'static, [u8]> {
        let (unnamed, since) = (!named.has_name, named.since.get());
        // As it was when the client prepared it, or else as it would be prepared now.
        let now = self.copy_of(&named.prepared);
        for copy in [named.copy, now] {
            if unnamed && server.has_unnamed(copy, since) {
                self.reused = true;
                return Cow::Borrowed(b"");
            }
            if !unnamed && server.has_prepared(copy, since) {
                self.reused = true;
                return Cow::Owned(copy.server_name().to_vec());
            }
        }
        let (reply, define) = (Reply::Swallow, None);
        if unnamed {
            let Prepared { query, types, .. } = &*named.prepared;
            Parse { name: b"", query, types }.write(&mut io.server_out);
            self.pending.push_back(Expect::Parse { reply, id: None, define });
            server.unnamed = Some((now, self.edition));
            return Cow::Borrowed(b"");
        }
        self.prepare(io, server, now, &named.prepared);
        self.pending.push_back(Expect::Parse { reply, id: Some(now), define });
        self.keep(io, server, now);
        Cow::Owned(now.server_name().to_vec())
    }

    /// The client uses a statement that it has not prepared. The server shall say so, and not give it the unnamed
    /// statement of another client.
    pub(crate) fn lacks(&mut self, io: &mut Buffers, server: &mut ServerState, client_name: &[u8]) {
        if client_name.is_empty() {
            Close { target: Target::Statement, name: b"" }.write(&mut io.server_out);
            self.pending.push_back(Expect::Close(Reply::Swallow));
            server.unnamed = None;
        }
    }

    /// Has the server prepare a statement by its own name, in the place of an outdated one.
    pub(crate) fn prepare(
        &mut self,
        io: &mut Buffers,
        server: &mut ServerState,
        id: StatementId,
        prepared: &Prepared,
    ) {
        let name = id.server_name();
        if server.prepared.contains(&id) {
            self.close(io, id);
        }
        Parse { name: &name, query: &prepared.query, types: &prepared.types }
            .write(&mut io.server_out);
    }

    fn close(&mut self, io: &mut Buffers, id: StatementId) {
        Close { target: Target::Statement, name: &id.server_name() }.write(&mut io.server_out);
        self.pending.push_back(Expect::Close(Reply::Swallow));
    }

    /// Notes that the server has a statement, and closes the least recently used one when it has too many.
    pub(crate) fn keep(&mut self, io: &mut Buffers, server: &mut ServerState, id: StatementId) {
        if let Some((old, _)) = server.prepared.push(id, self.edition)
            && old != id
        {
            self.close(io, old);
        }
    }

    /// What was sent, or would have been, has not happened: the client's statements are as before.
    pub(crate) fn take_back(&mut self, expect: &Expect) {
        match expect {
            Expect::Parse { define: Some((Defined { name, before }, _)), .. }
            | Expect::Defined(Defined { name, before }) => match before {
                Some(before) => drop(self.means(name, Rc::clone(before))),
                None => self.undefine(name),
            },
            Expect::Undefined(name, Some(named)) => drop(self.means(name, Rc::clone(named))),
            _ => {}
        }
    }

    /// None of what has been sent has happened, as far as the client was not told otherwise.
    pub(crate) fn take_all_back(&mut self) {
        let answered = std::mem::take(&mut self.ending.held.answered).into_iter();
        for expect in answered.chain(std::mem::take(&mut self.pending)).rev() {
            self.take_back(&expect);
        }
    }

    /// What a statement is that is prepared now.
    pub(crate) fn copy_of(&self, prepared: &Prepared) -> StatementId {
        let shared = || self.carried.wanted().meaning();
        prepared.id.where_it_means(self.means_to_itself().unwrap_or_else(shared))
    }

    /// The settings that decide it, unless it means that to this session alone.
    fn shared_settings(&self) -> Option<Arc<Settings>> {
        self.means_to_itself().is_none().then(|| Arc::clone(self.carried.wanted()))
    }

    /// What statements mean to this session alone at the moment.
    fn means_to_itself(&self) -> Option<u128> {
        let pinned = matches!(self.pin, Some(Pin::State(_)));
        self.own_meaning.or_else(|| pinned.then(|| own_meaning(self.id, 0)))
    }

    /// A statement is about to run: what cannot follow the session pins it. Whether it really has left something
    /// behind is asked when it is done.
    pub(crate) fn touches(&mut self, server: &mut ServerState, statement: &Statement) {
        self.wrote |= may_write(statement);
        if may_draw(statement) {
            server.sequences.drawn_by(self.id);
        }
        if statement.kind == Kind::Ddl {
            self.alters();
            self.moves_names();
            // Event triggers run then, and nobody tells when these change.
            self.content = 0;
        }
        self.ending.runs(statement);
        self.armed |= statement.arms;
        self.commits |= statement.boundaries != 0;
        for effect in &statement.effects {
            match effect {
                Effect::Pin(reason) => {
                    self.temporary |= *reason == PinReason::TemporaryTable;
                    self.stay(*reason);
                }
                Effect::Set { name, .. } | Effect::SetLocal { name } | Effect::Reset { name } => {
                    self.sets(bearing(name));
                    if decides_names(name) {
                        self.moves_names();
                    }
                }
                Effect::ResetAll | Effect::DiscardAll => {
                    self.sets(Bearing::Text);
                    self.moves_names();
                }
                _ => {}
            }
        }
    }

    /// A server plans it: what it computes for that can leave something behind before anything is executed.
    pub(crate) fn planned(&mut self, statement: &Statement) {
        if let Some(reason) = statement.pin() {
            self.stay(reason);
        }
    }

    /// The schema changes: until the transaction ends, what the session prepares means that to nobody else.
    fn alters(&mut self) {
        self.own_meaning.get_or_insert_with(|| own_meaning(self.id, 0));
    }

    /// Names may mean other tables from now on.
    fn moves_names(&mut self) {
        self.occasions += 1;
        self.own_names = Some(self.occasions);
    }

    /// Settings change: until the transaction ends, what the session prepares means that to nobody else, and dates and
    /// the like mean it this once.
    fn sets(&mut self, bearing: Bearing) {
        match bearing {
            Bearing::None => {}
            Bearing::Plan => self.alters(),
            Bearing::Text => {
                self.occasions += 1;
                self.own_meaning = Some(own_meaning(self.id, self.occasions));
            }
        }
    }
}

/// A statement of the proxy's own between others of a batch: it leaves nothing.
fn run_unseen(io: &mut Buffers, sql: &str) {
    const NAME: &[u8] = b"howdah_setting";
    let out = &mut io.server_out;
    Parse { name: NAME, query: sql.as_bytes(), types: b"\0\0" }.write(out);
    Bind { portal: NAME, statement: NAME, rest: b"\0\0\0\0\0\0" }.write(out);
    Execute { portal: NAME, max_rows: 0 }.write(out);
    Close { target: Target::Portal, name: NAME }.write(out);
    Close { target: Target::Statement, name: NAME }.write(out);
}
