use howdah_decision::{Facts, Kind};

use super::Scan;
use super::level::Level;
use super::statement::Current;
use crate::Statement;
use crate::effect::{Effect, PinReason, of_session_verb};
use crate::words::Word;

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
        let current = std::mem::replace(&mut self.current, Current::new());
        self.levels[0] = Level::outermost();
        self.depth = 0;
        self.configures = false;
        if !current.begun {
            return;
        }
        let kind = current.final_kind();
        let effect = self.effect_of(&current);
        self.promise = self.promise.after(&current, kind);
        let flags = [
            (current.locks_rows, Facts::LOCKS_ROWS),
            (current.volatile, Facts::VOLATILE),
            (current.copy, Facts::COPY),
        ];
        let found = &mut self.found;
        for (_, fact) in flags.iter().filter(|(is, _)| *is) {
            found.facts = found.facts.with(*fact);
        }
        found.kind = found.kind.max(kind);
        found.add_boundary(current.boundary());
        let before = std::mem::replace(&mut found.effect, Effect::None);
        found.effect = match found.statements {
            0 => effect,
            _ => together(before, effect),
        };
        found.statements += 1;
    }

    pub(super) fn finish(&mut self) -> Statement {
        let found = &mut self.found;
        if found.statements > 1 {
            found.facts = found.facts.with(Facts::SEVERAL);
            found.effect = of_batch(&found.effect, found.boundaries);
        }
        if matches!(found.effect, Effect::Pin(_)) {
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
        match current.verb {
            Word::Set | Word::Reset | Word::Discard | Word::Deallocate => {
                let escapes = self.options.backslash_escapes;
                of_session_verb(self.lexer.text, current.start, escapes)
            }
            Word::Begin | Word::Start => Effect::Begin { read_only: current.read_only },
            _ if current.ends_transaction() => Effect::End,
            _ => Effect::None,
        }
    }
}

/// The effect of two statements. A pin outlasts all; what changes settings twice is not tracked.
fn together(before: Effect, after: Effect) -> Effect {
    let changes = |effect: &Effect| {
        matches!(
            effect,
            Effect::Set { .. }
                | Effect::Reset { .. }
                | Effect::ResetAll
                | Effect::DiscardAll
                | Effect::Deallocate(_)
        )
    };
    match (before, after) {
        (Effect::Pin(reason), _) | (_, Effect::Pin(reason)) => Effect::Pin(reason),
        (before, after) if changes(&before) && changes(&after) => Effect::Pin(PinReason::Settings),
        (before, _) if changes(&before) => before,
        (_, after) => after,
    }
}

/// The effect of several statements. They are one transaction, unless they say otherwise: a setting that is the
/// only one among them is made when all succeed.
fn of_batch(effect: &Effect, boundaries: u64) -> Effect {
    match effect {
        Effect::Pin(_) => effect.clone(),
        Effect::Set { .. } | Effect::Reset { .. } | Effect::ResetAll if boundaries == 0 => {
            effect.clone()
        }
        Effect::Deallocate(None) => Effect::Deallocate(None),
        Effect::Set { .. } | Effect::Reset { .. } | Effect::ResetAll | Effect::DiscardAll => {
            Effect::Pin(PinReason::Settings)
        }
        // The host renames prepared statements: the name is not one that the server knows.
        Effect::Deallocate(Some(_)) | Effect::None | Effect::Begin { .. } | Effect::End => {
            Effect::None
        }
    }
}
