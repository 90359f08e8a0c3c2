//! Texts that have been scanned, by their shape. Most clients send the same few texts with other numbers and strings in
//! them, or with other comments (sqlcommenter), and what these say makes no difference to what a statement is.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use lru::LruCache;

use crate::comment::hint;
use crate::lex::{Lexer, Token, What, is_identifier};
use crate::scan::Scan;
use crate::{Catalog, ScanOptions, Statement, scan};
use howdah_decision::{Facts, Kind};

/// Shapes that are kept, and texts that have been seen once. Of more, the least recently used are forgotten.
pub(crate) const MAX_SHAPES: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();
/// Longer texts are scanned each time.
const MAX_TEXT: usize = 4_096;

/// Scans texts as [`scan()`] does with default options, and remembers what it has found. A text is remembered when its like
/// comes for the second time. For one catalog: when that says something else, this has to be made anew.
///
/// By hash. None: its like has been seen once.
pub struct Shapes(LruCache<u64, Option<Shape>>);

impl Default for Shapes {
    fn default() -> Shapes {
        Shapes(LruCache::sparse(MAX_SHAPES))
    }
}

/// Texts that are the same but for some of their constants and comments.
struct Shape {
    /// What stands around these.
    fixed: Box<[u8]>,
    /// Where they stand, in order.
    gaps: Box<[Gap]>,
    statement: Rc<Statement>,
}

/// A place for what makes no difference.
struct Gap {
    /// How much of [`Shape::fixed`] stands before it.
    after: usize,
    filler: Filler,
}

#[derive(Clone, Copy)]
enum Filler {
    /// Digits, with one point among or after them or none. What follows is no part of any number.
    Number,
    /// `'…'`, without a prefix.
    String,
    /// `/*…*/` with no other comment in it, and no hint.
    Comment,
}

/// What makes no difference to a statement.
#[derive(Clone, Copy)]
enum Free {
    ConstantsAndComments,
    Comments,
    Nothing,
}

impl Free {
    fn takes(self, filler: Filler) -> bool {
        match self {
            Free::ConstantsAndComments => true,
            Free::Comments => matches!(filler, Filler::Comment),
            Free::Nothing => false,
        }
    }
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
                let free = match query && !scan.reads_constants && statement.effects.is_empty() {
                    true => Free::ConstantsAndComments,
                    false if statement.kind == Kind::Unknown => Free::Nothing,
                    false => Free::Comments,
                };
                *shape = Some(Shape::new(text, free, Rc::clone(&statement)));
            }
            Some(_) => {}
            None => {
                self.0.put(hash, None);
            }
        }
        statement
    }
}

impl Shape {
    fn new(text: &[u8], free: Free, statement: Rc<Statement>) -> Shape {
        let mut fixed = Vec::with_capacity(text.len());
        let mut gaps = Vec::new();
        let mut end = 0;
        for (filler, range) in fillers(text).filter(|(filler, _)| free.takes(*filler)) {
            fixed.extend_from_slice(text.get(end..range.start).unwrap_or_default());
            gaps.push(Gap { after: fixed.len(), filler });
            end = range.end;
        }
        fixed.extend_from_slice(text.get(end..).unwrap_or_default());
        Shape { fixed: fixed.into(), gaps: gaps.into(), statement }
    }

    /// Whether the scan of a text of this shape would find the same statement: every token of the one is a token of the
    /// other, and but for what is in the gaps they are the same.
    fn is_of(&self, text: &[u8]) -> bool {
        let mut rest = text;
        let mut from = 0;
        for gap in &self.gaps {
            let fixed = self.fixed.get(from..gap.after).unwrap_or_default();
            let Some(at) = rest.strip_prefix(fixed) else { return false };
            let Some(behind) = gap.filler.strip(at) else { return false };
            rest = behind;
            from = gap.after;
        }
        self.fixed.get(from..) == Some(rest)
    }
}

/// What others may stand for in a text, and where it does.
fn fillers(text: &[u8]) -> impl Iterator<Item = (Filler, Range<usize>)> {
    let mut lexer = Lexer::new(text, 0, false);
    let mut end = 0;
    let tokens = std::iter::from_fn(move || {
        let token = lexer.token();
        let between = std::mem::replace(&mut end, token.end)..token.start;
        (!matches!(token.what, What::Unterminated)
            && (between.end < text.len() || !between.is_empty()))
        .then_some((between, token))
    });
    tokens.flat_map(move |(between, token)| {
        let mut comments =
            Lexer::new(text.get(..between.end).unwrap_or_default(), between.start, false);
        let comments = std::iter::from_fn(move || comments.comment());
        let comments = comments.filter(|range| Filler::Comment.is(text, range));
        let constant = Filler::of(text, token).map(|filler| (filler, token.start..token.end));
        comments.map(|range| (Filler::Comment, range)).chain(constant)
    })
}

impl Filler {
    /// What may stand in place of a token; none when only itself.
    fn of(text: &[u8], token: Token) -> Option<Filler> {
        let range = token.start..token.end;
        let next = text.get(token.end);
        match token.what {
            What::String if text.get(token.start) == Some(&b'\'') => Some(Filler::String),
            What::Number if next.is_some_and(|next| is_identifier(*next) || *next == b'.') => None,
            What::Number => Filler::Number.is(text, &range).then_some(Filler::Number),
            _ => None,
        }
    }

    /// Whether that is what stands there.
    fn is(self, text: &[u8], range: &Range<usize>) -> bool {
        text.get(range.clone()).and_then(|bytes| self.strip(bytes)) == Some(b"")
    }

    /// What stands behind the one that a text begins with.
    fn strip(self, text: &[u8]) -> Option<&[u8]> {
        match self {
            Filler::Number => {
                let rest = digits(text)?;
                Some(match rest.strip_prefix(b".") {
                    Some(fraction) => digits(fraction).unwrap_or(fraction),
                    None => rest,
                })
            }
            Filler::String => strip_string(text.strip_prefix(b"'")?),
            Filler::Comment => {
                let inner = text.strip_prefix(b"/*")?;
                let end = memchr::memmem::find(inner, b"*/")?;
                let (comment, rest) = text.split_at_checked(end + 4)?;
                // The first byte of the end may belong to the beginning of another one.
                let nests = memchr::memmem::find(inner.get(..end + 1)?, b"/*").is_some();
                (!nests && hint(comment) == Facts::NONE).then_some(rest)
            }
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

/// The same for all texts of a shape: of everything but the digits of numbers, what stands between single quotes, and
/// comments that may differ. Texts of one database meet in a table, so that who chooses them slows down only its own.
pub(crate) fn hash(text: &[u8]) -> u64 {
    let mut hash = 0_u64;
    let mut add = |value: u64| {
        hash = (hash.rotate_left(5) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    };
    let mut rest = text;
    let mut last = b' ';
    while !rest.is_empty() {
        let eight = first_eight(rest);
        // What may vary begins with a byte that counts by itself, so that all before it counts in the same portions.
        let plain = first_special(eight).min(rest.len());
        if plain > 0 {
            add(if plain < 8 { eight & ((1 << (8 * plain)) - 1) } else { eight });
            last = rest[plain - 1];
            rest = &rest[plain..];
            continue;
        }
        let (first, behind) = (rest[0], &rest[1..]);
        rest = match first {
            b'\'' => strip_string(behind).unwrap_or_default(),
            b'/' => Filler::Comment.strip(rest).unwrap_or(behind),
            _ if is_identifier(last) => behind,
            _ => {
                rest = digits(rest).unwrap_or_default();
                continue;
            }
        };
        last = first;
        add(u64::from(first));
    }
    hash ^ hash >> 32
}

/// The first eight bytes, the first one lowest; zeros for those that are missing.
fn first_eight(text: &[u8]) -> u64 {
    match text.first_chunk() {
        Some(eight) => u64::from_le_bytes(*eight),
        None => text.iter().rev().fold(0, |eight, b| eight << 8 | u64::from(*b)),
    }
}

/// How many of eight bytes stand before the first digit, slash or quote: all bytes are compared at once, in arithmetic
/// that does not carry from one to the next before the first that is found.
fn first_special(eight: u64) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    // The slash stands before the digits.
    const BEFORE: u64 = b'/' as u64 - 1;
    const BEHIND: u64 = b'9' as u64 + 1;
    let low = eight & !HIGH;
    let between = (ONES * (127 + BEHIND) - low) & (low + ONES * (127 - BEFORE));
    let no_quote = eight ^ (ONES * b'\'' as u64);
    let quote = no_quote.wrapping_sub(ONES) & !no_quote;
    let found = ((between & !eight) | quote) & HIGH;
    found.trailing_zeros() as usize / 8
}
