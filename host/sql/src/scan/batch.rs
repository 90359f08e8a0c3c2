use howdah_decision::{Facts, Kind};

use super::Scan;
use super::level::Level;
use super::statement::Current;
use crate::Statement;
use crate::effect::{Effect, PinReason, of_savepoint, of_session_verb, of_show};
use crate::words::Word;

/// Statements of one text whose effects are followed.
const MAX_EFFECTS: usize = 1_000;

/// Whether everything so far is inside `BEGIN READ ONLY`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Promise {
    /// There is no statement yet.
    Open,
    /// In the block.
    Given,
    /// The block has ended.
    Kept,
    /// There is something that the block does not cover, or that may lift the promise.
    Void,
}

impl Promise {
    /// SET TRANSACTION READ WRITE may lift the promise: only reads leave it alone.
    fn after(self, statement: &Current, kind: Kind) -> Promise {
        match (self, kind) {
            (Promise::Open, Kind::Begin) if statement.read_only => Promise::Given,
            (Promise::Given, Kind::Read) => Promise::Given,
            (Promise::Given, Kind::End) if statement.ends_transaction() => Promise::Kept,
            _ => Promise::Void,
        }
    }
}

/// What several statements are together.
impl Scan<'_> {
    pub(super) fn end_statement(&mut self) {
        let mut current = std::mem::replace(&mut self.current, Current::new());
        current.unbounded |= self.levels[0].unbounded;
        self.levels[0] = Level::outermost();
        self.depth = 0;
        self.configures = false;
        if !current.begun {
            return;
        }
        let kind = current.final_kind();
        let writes = matches!(kind, Kind::Write | Kind::Ddl | Kind::Unknown);
        let writing = writes.then(|| self.catalog.writing_pins()).flatten();
        for reason in self.catalog.anything_pins().into_iter().chain(writing) {
            current.stay(reason);
        }
        current.volatile |= kind == Kind::Write && self.catalog.writing_reads_sequences();
        let effect = self.effect_of(&current);
        self.promise = self.promise.after(&current, kind);
        let flags = [
            (current.locks_rows, Facts::LOCKS_ROWS),
            (current.volatile, Facts::VOLATILE),
            (current.copy, Facts::COPY),
            (current.is_unbounded(), Facts::UNBOUNDED),
        ];
        let found = &mut self.found;
        for (_, fact) in flags.iter().filter(|(is, _)| *is) {
            found.facts = found.facts.with(*fact);
        }
        found.kind = found.kind.max(kind);
        found.arms |= current.arms;
        found.defers |= current.defers();
        found.query = found.statements == 0 && current.only_queries();
        found.add_boundary(current.boundary());
        if effect != Effect::None || !self.effects.is_empty() {
            self.add_effect(effect);
        }
        self.found.statements += 1;
    }

    fn add_effect(&mut self, effect: Effect) {
        let number = self.found.statements as usize;
        if number < MAX_EFFECTS {
            self.effects.resize(number, Effect::None);
            self.effects.push(effect);
        } else if effect != Effect::None {
            // Too many to be followed one by one.
            self.effects[0] = Effect::Pin(PinReason::Unseen);
        }
    }

    pub(super) fn finish(&mut self) -> Statement {
        let found = &mut self.found;
        if found.statements > 1 {
            found.facts = found.facts.with(Facts::SEVERAL);
        }
        found.effects = std::mem::take(&mut self.effects).into();
        if found.pin().is_some() {
            found.facts = found.facts.with(Facts::STICKY);
        }
        if matches!(self.promise, Promise::Given | Promise::Kept) {
            found.facts = found.facts.with(Facts::READ_ONLY);
        }
        found.digest = self.digest.finish();
        std::mem::replace(found, Statement::empty())
    }

    fn effect_of(&self, current: &Current) -> Effect {
        if let Some(reason) = current.final_pin() {
            return Effect::Pin(reason);
        }
        let (text, escapes) = (self.lexer.text, self.options.backslash_escapes);
        if let Some(start) = current.executes {
            return of_session_verb(text, start, escapes);
        }
        match current.verb {
            Word::Set | Word::Reset | Word::Discard | Word::Deallocate => {
                of_session_verb(text, current.start, escapes)
            }
            Word::Show => of_show(text, current.start, escapes),
            _ if current.is_savepoint() => of_savepoint(text, current.start, escapes),
            Word::Begin | Word::Start => Effect::Begin { read_only: current.read_only },
            _ if current.ends_transaction() => Effect::End,
            Word::Drop | Word::Close | Word::Unlisten => Effect::Unpin,
            _ if current.unlocks => Effect::Unpin,
            _ => Effect::None,
        }
    }
}
