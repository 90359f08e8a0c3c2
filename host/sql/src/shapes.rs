//! Texts that have been scanned, by their shape. Most clients send the same few texts with other numbers and strings in
//! them, and what these say makes no difference to what a statement is.

use std::rc::Rc;
use std::sync::Arc;

use lru::LruCache;

use crate::lex::{Lexer, Token, What, is_identifier};
use crate::scan::Scan;
use crate::{Catalog, ScanOptions, Statement, scan};
use howdah_decision::Kind;

/// Shapes that are kept, and texts that have been seen once. Of more, the least recently used are forgotten.
pub(crate) const MAX_SHAPES: usize = 16_384;
/// Longer texts are scanned each time.
const MAX_TEXT: usize = 4_096;

/// Scans texts as [`scan()`] does with default options, and remembers what it has found. A text is remembered when its like
/// comes for the second time. For one catalog: when that says something else, this has to be made anew.
///
/// By hash. None: its like has been seen once.
pub struct Shapes(LruCache<u64, Option<Shape>>);

impl Default for Shapes {
    fn default() -> Shapes {
        Shapes(LruCache::unbounded())
    }
}

/// Texts that are the same but for some of their constants.
struct Shape {
    /// What stands around these constants.
    fixed: Box<[u8]>,
    /// The constants, in order.
    gaps: Box<[Gap]>,
    statement: Rc<Statement>,
}

/// A constant whose value makes no difference.
struct Gap {
    /// How much of [`Shape::fixed`] stands before it.
    after: usize,
    constant: Constant,
}

#[derive(Clone, Copy)]
enum Constant {
    /// Digits, with one point among or after them or none. What follows is no part of any number.
    Number,
    /// `'…'`, without a prefix.
    String,
}

impl Shapes {
    /// How many are kept or have been seen once, and the bytes of their texts.
    pub fn kept(&self) -> (usize, usize) {
        let shapes = self.0.iter().filter_map(|(_, shape)| shape.as_ref());
        (self.0.len(), shapes.map(|shape| shape.fixed.len()).sum())
    }

    /// What a text is. The catalog is taken when the text has to be scanned.
    pub fn scan<C: Catalog>(
        &mut self,
        text: &[u8],
        catalog: impl FnOnce() -> Arc<C>,
    ) -> Rc<Statement> {
        if text.len() > MAX_TEXT {
            return Rc::new(scan(text, ScanOptions::default(), &*catalog()));
        }
        let hash = hash(text);
        let known = self.0.get_mut(&hash);
        if let Some(Some(shape)) = &known
            && shape.is_of(text)
        {
            return Rc::clone(&shape.statement);
        }
        let catalog = catalog();
        let mut scan = Scan::new(text, ScanOptions::default(), &*catalog);
        let statement = Rc::new(scan.run());
        match known {
            // Definitions are rare, and may hold passwords.
            Some(shape @ None) if statement.kind != Kind::Ddl => {
                let query = matches!(statement.kind, Kind::Read | Kind::Write);
                let whole = !query || scan.reads_constants || !statement.effects.is_empty();
                *shape = Some(Shape::new(text, whole, Rc::clone(&statement)));
            }
            Some(_) => {}
            None => {
                if self.0.len() >= MAX_SHAPES {
                    self.0.pop_lru();
                }
                self.0.put(hash, None);
            }
        }
        statement
    }
}

impl Shape {
    /// `whole`: all of the text counts.
    fn new(text: &[u8], whole: bool, statement: Rc<Statement>) -> Shape {
        let mut fixed = Vec::with_capacity(text.len());
        let mut gaps = Vec::new();
        let mut end = 0;
        for (constant, token) in if whole { Vec::new() } else { constants(text) } {
            fixed.extend_from_slice(text.get(end..token.start).unwrap_or_default());
            gaps.push(Gap { after: fixed.len(), constant });
            end = token.end;
        }
        fixed.extend_from_slice(text.get(end..).unwrap_or_default());
        Shape { fixed: fixed.into(), gaps: gaps.into(), statement }
    }

    /// Whether the scan of a text of this shape would find the same statement: every token of the one is a token of the
    /// other, and but for the constants in the gaps they are the same.
    fn is_of(&self, text: &[u8]) -> bool {
        let mut rest = text;
        let mut from = 0;
        for gap in &self.gaps {
            let fixed = self.fixed.get(from..gap.after).unwrap_or_default();
            let Some(at) = rest.strip_prefix(fixed) else { return false };
            let Some(behind) = gap.constant.strip(at) else { return false };
            rest = behind;
            from = gap.after;
        }
        self.fixed.get(from..) == Some(rest)
    }
}

/// The constants of a text for which others may stand.
fn constants(text: &[u8]) -> Vec<(Constant, Token)> {
    let mut lexer = Lexer::new(text, 0, false);
    let tokens = std::iter::from_fn(|| {
        Some(lexer.token()).filter(|token| !matches!(token.what, What::End | What::Unterminated))
    });
    tokens.filter_map(|token| Some((Constant::of(text, token)?, token))).collect()
}

impl Constant {
    /// What may stand in place of a token; none when only itself.
    fn of(text: &[u8], token: Token) -> Option<Constant> {
        let bytes = text.get(token.start..token.end)?;
        let next = text.get(token.end);
        match token.what {
            What::String if bytes.first() == Some(&b'\'') => Some(Constant::String),
            What::Number if next.is_some_and(|next| is_identifier(*next) || *next == b'.') => None,
            What::Number => Constant::Number.strip(bytes)?.is_empty().then_some(Constant::Number),
            _ => None,
        }
    }

    /// What stands behind the constant that a text begins with.
    fn strip(self, text: &[u8]) -> Option<&[u8]> {
        match self {
            Constant::Number => {
                let rest = digits(text)?;
                Some(match rest.strip_prefix(b".") {
                    Some(fraction) => digits(fraction).unwrap_or(fraction),
                    None => rest,
                })
            }
            Constant::String => strip_string(text.strip_prefix(b"'")?),
        }
    }
}

/// What stands behind a string, after the quote that it begins with.
fn strip_string(mut text: &[u8]) -> Option<&[u8]> {
    loop {
        text = text.get(memchr::memchr(b'\'', text)? + 1..)?;
        match text.strip_prefix(b"'") {
            Some(more) => text = more,
            None => return Some(text),
        }
    }
}

/// What stands behind one digit or more.
fn digits(text: &[u8]) -> Option<&[u8]> {
    let n = text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    text.get(n..).filter(|_| n > 0)
}

/// The same for all texts of a shape: of everything but the digits of numbers and what stands between single quotes. Texts
/// of one database meet in a table, so that who chooses them slows down only its own.
fn hash(text: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut hash = 0_u64;
    let mut word = false;
    let mut rest = text;
    while let Some((&b, behind)) = rest.split_first() {
        rest = behind;
        if b.is_ascii_digit() && !word {
            continue;
        }
        if b == b'\'' {
            rest = strip_string(behind).unwrap_or_default();
        }
        word = is_identifier(b);
        hash = (hash.rotate_left(5) ^ u64::from(b)).wrapping_mul(FACTOR);
    }
    // The table takes its slots from the low bits and its tags from the high ones.
    hash ^ hash >> 32
}
