//! What a SQL statement is: a lexical scan of its text, the facts that follow, and a digest. Pure.
//!
//! The scan follows PostgreSQL's own lexer (scan.l); it does not parse. Where it cannot be sure it errs on
//! the side of the primary: an unknown function counts as volatile, an unknown word as an unknown statement.

mod catalog;
mod classify;
mod comment;
mod digest;
mod effect;
mod lex;
mod words;

pub use catalog::{Catalog, NoCatalog, Volatility};
pub use comment::tag;
pub use effect::{Effect, PinReason};

use howdah_decision::{Facts, Kind};

/// A longer text is not scanned: it is [`Kind::Unknown`]. A megabyte costs about two milliseconds.
pub const MAX_SCAN_LEN: usize = 1 << 20;

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
    /// What is true of any of its statements.
    pub facts: Facts,
    /// The same for texts that differ only in literals, comments, white space, case of unquoted words, and the
    /// length of lists of literals. Stable across processes and versions.
    pub digest: u64,
    /// What it does to the session.
    pub effect: Effect,
    /// How many statements that are not empty.
    pub statements: u32,
    /// The greatest `$n`.
    pub parameters: u16,
}

/// Scans a text in any server-side encoding.
pub fn scan(text: &[u8], options: ScanOptions, catalog: &dyn Catalog) -> Statement {
    if text.len() > MAX_SCAN_LEN {
        return Statement {
            kind: Kind::Unknown,
            facts: Facts::VOLATILE,
            digest: 0,
            effect: Effect::Pin(PinReason::Unseen),
            statements: 1,
            parameters: 0,
        };
    }
    classify::classify(text, options, catalog)
}

/// Whether a rewritten text may stand for the original: the same parameters, and no transaction boundary
/// moved.
pub fn same_shape(before: &Statement, after: &Statement) -> bool {
    let boundary = |s: &Statement| matches!(s.kind, Kind::Begin | Kind::End);
    before.parameters == after.parameters
        && boundary(before) == boundary(after)
        && (!boundary(before) || before.effect == after.effect)
        && after.kind != Kind::Unknown
        && (before.statements == after.statements || (before.statements > 0 && !boundary(after)))
}

#[cfg(test)]
mod tests;
