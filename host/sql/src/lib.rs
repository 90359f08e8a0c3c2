//! What a SQL statement is: a lexical scan of its text, the facts that follow, and a digest. Pure.
//!
//! The scan follows PostgreSQL's own lexer (scan.l); it does not parse. Where it cannot be sure it errs on
//! the side of the primary: an unknown function counts as volatile, an unknown word as an unknown statement.
//!
//! What a function does inside is known from its body, by way of the catalog. What no scan of a text can see is what a
//! prepared statement of `EXECUTE` is.

mod body;
mod catalog;
mod comment;
mod digest;
mod effect;
mod lex;
mod literals;
mod normal;
mod parameters;
mod relations;
mod scan;
mod shapes;
mod words;

pub use body::{Body, body};
pub use catalog::{Catalog, NoCatalog, Volatility};
pub use comment::{tag, tags};
pub use effect::{Effect, OWN, Own, OwnVerb, PinReason};
pub use literals::literal;
pub use normal::without_literals;
pub use parameters::parameters;
pub use relations::relations;
pub use shapes::Shapes;

use std::borrow::Cow;

use howdah_decision::{Facts, Kind};

/// A longer text is not scanned: it is [`Kind::Unknown`]. A megabyte takes some milliseconds, for which a worker's other sessions wait.
pub const MAX_SCAN_LEN: usize = 1 << 20;

/// A text of a client's, as far as it is UTF-8. Nearly all are, and then this costs a fraction of what
/// [`String::from_utf8_lossy`] does, which looks at every character by itself.
pub fn lossy(text: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(text) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(text),
    }
}

/// What COMMIT and ROLLBACK are in [`Statement::boundaries`].
const COMMIT: u64 = 3;
const ROLLBACK: u64 = 4;

/// What a scan must know besides the text.
#[derive(Clone, Copy, Debug, Default)]
pub struct ScanOptions {
    /// `standard_conforming_strings` is off: a backslash escapes in every string.
    pub backslash_escapes: bool,
}

/// What a text is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The most demanding kind of all its statements.
    pub kind: Kind,
    /// What is true of any of its statements; of `READ_ONLY`, all. Never `IN_TRANSACTION` or `EXTENDED`, which no
    /// text tells.
    pub facts: Facts,
    /// The same for texts that differ only in literals, comments, white space, case of unquoted words, and the
    /// length of lists of literals. Stable across processes and versions. A text of unknown kind has a digest of
    /// its bytes.
    pub digest: u64,
    /// What its statements do to the session, one for each that is not empty, in order. Empty when none does anything:
    /// [`Statement::effect`] tells.
    pub effects: Box<[Effect]>,
    /// How many statements that are not empty.
    pub statements: u32,
    /// It defines something, or makes a definition come true, by which a session may leave something behind later. Others
    /// shall not use servers after it until the catalog knows.
    pub arms: bool,
    /// It may have an effect when its transaction is committed although it has written nothing: a notification.
    pub defers: bool,
    /// It is one statement that reads or changes rows, which any transaction block takes: SELECT, VALUES, TABLE, WITH,
    /// INSERT, UPDATE, DELETE or MERGE.
    pub query: bool,
    /// The greatest `$n`.
    pub parameters: u16,
    /// The transaction boundaries in it, in order: zero when there are none, equal for equal ones.
    pub boundaries: u64,
}

impl Statement {
    fn empty() -> Statement {
        Statement {
            kind: Kind::Empty,
            facts: Facts::NONE,
            digest: 0,
            effects: Box::default(),
            statements: 0,
            arms: false,
            defers: false,
            query: false,
            parameters: 0,
            boundaries: 0,
        }
    }

    fn unknown(text: &[u8], facts: Facts, effect: Effect) -> Statement {
        let digest = digest::Digest::of_bytes(text);
        let effects = if effect == Effect::None { Box::default() } else { Box::from([effect]) };
        Statement {
            kind: Kind::Unknown,
            facts,
            digest,
            effects,
            statements: 1,
            defers: true,
            ..Statement::empty()
        }
    }

    /// What the statement of this number, counted from zero, does to the session.
    pub fn effect(&self, number: usize) -> &Effect {
        self.effects.get(number).unwrap_or(&Effect::None)
    }

    /// What it does to the session, when it is a single statement.
    pub fn only_effect(&self) -> &Effect {
        if self.statements == 1 { self.effect(0) } else { &Effect::None }
    }

    /// The setting of the proxy itself that it is about, or that one of its statements is about.
    pub fn own(&self) -> Option<&Own> {
        self.effects.iter().find_map(|effect| match effect {
            Effect::Own(own) => Some(own),
            _ => None,
        })
    }

    /// Why the session has to stay on its server afterwards: the first reason.
    pub fn pin(&self) -> Option<PinReason> {
        self.effects.iter().find_map(|effect| match effect {
            Effect::Pin(reason) => Some(*reason),
            _ => None,
        })
    }

    /// Whether it is COMMIT and nothing else: no two-phase commit, no AND CHAIN.
    pub fn commits(&self) -> bool {
        self.statements == 1 && self.boundaries == COMMIT
    }

    /// Whether it is ROLLBACK and nothing else: not to a savepoint, no AND CHAIN.
    pub fn rolls_back(&self) -> bool {
        self.statements == 1 && self.boundaries == ROLLBACK
    }

    /// Whether it is one of the two.
    pub fn ends(&self) -> bool {
        self.commits() || self.rolls_back()
    }

    /// `boundary` has four bits; more boundaries than fit are all the same.
    fn add_boundary(&mut self, boundary: u64) {
        if boundary != 0 {
            let fits = self.boundaries.leading_zeros() > 4;
            self.boundaries = if fits { self.boundaries << 4 | boundary } else { u64::MAX };
        }
    }
}

/// Scans a text in any server-side encoding (not SJIS, BIG5, GBK, UHC, GB18030 or JOHAB, in which a character may
/// contain a backslash).
pub fn scan(text: &[u8], options: ScanOptions, catalog: &dyn Catalog) -> Statement {
    if text.len() > MAX_SCAN_LEN {
        let facts = Facts::VOLATILE.with(Facts::STICKY);
        return Statement::unknown(text, facts, Effect::Pin(PinReason::Unseen));
    }
    scan::Scan::new(text, options, catalog).run()
}

/// Whether a rewritten text may stand for the original: as many statements, the same parameters, and the same
/// transaction boundaries. What is not understood can be replaced only by what differs in comments or less.
pub fn same_shape(before: &Statement, after: &Statement) -> bool {
    if Kind::Unknown == before.kind.max(after.kind) {
        return before.digest == after.digest;
    }
    before.statements == after.statements
        && before.parameters == after.parameters
        && before.boundaries == after.boundaries
        && before.boundaries != u64::MAX
}

#[cfg(test)]
mod tests;
