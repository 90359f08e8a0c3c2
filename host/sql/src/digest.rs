//! A digest of tokens: FNV-1a over their canonical form, one separator after each.

use crate::lex::What;

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// What has been held back because it may be one more row, or value, of literals.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    Nothing,
    /// `,` after a literal.
    Comma,
    /// `,` after a row of literals.
    RowComma,
    /// `,(` after a row of literals.
    RowOpen,
    /// `,(?` after a row of literals.
    RowLiteral,
    /// `,(?,` after a row of literals.
    RowLiteralComma,
}

/// The shape of what was hashed last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Other,
    Open,
    /// A literal; `true` when `(` stands before it.
    Literal(bool),
    /// `(?)`.
    Row,
}

/// Takes tokens, yields a number.
pub(crate) struct Digest {
    hash: u64,
    last: Last,
    held: Held,
}

impl Digest {
    pub(crate) fn new() -> Digest {
        Digest { hash: OFFSET, last: Last::Other, held: Held::Nothing }
    }

    fn hash(&mut self, bytes: &[u8], fold: bool) {
        for &b in bytes {
            let b = if fold { b.to_ascii_lowercase() } else { b };
            self.hash = (self.hash ^ u64::from(b)).wrapping_mul(PRIME);
        }
        self.hash = (self.hash ^ 0x1f).wrapping_mul(PRIME);
    }

    /// Takes the next token.
    pub(crate) fn add(&mut self, what: What, bytes: &[u8]) {
        let literal = matches!(what, What::String | What::Number);
        match (self.held, what) {
            (Held::Comma, _) if literal => {
                self.held = Held::Nothing;
                return;
            }
            (Held::RowComma, What::Punct(b'(')) => {
                self.held = Held::RowOpen;
                return;
            }
            (Held::RowOpen | Held::RowLiteralComma, _) if literal => {
                self.held = Held::RowLiteral;
                return;
            }
            (Held::RowLiteral, What::Punct(b',')) => {
                self.held = Held::RowLiteralComma;
                return;
            }
            (Held::RowLiteral, What::Punct(b')')) => {
                self.held = Held::Nothing;
                return;
            }
            _ => self.release(),
        }
        match what {
            _ if literal => {
                self.hash(b"?", false);
                self.last = Last::Literal(self.last == Last::Open);
            }
            What::Punct(b',') => match self.last {
                Last::Literal(_) => self.held = Held::Comma,
                Last::Row => self.held = Held::RowComma,
                _ => self.other(bytes, false),
            },
            What::Punct(b'(') => {
                self.hash(bytes, false);
                self.last = Last::Open;
            }
            What::Punct(b')') => {
                self.hash(bytes, false);
                self.last =
                    if self.last == Last::Literal(true) { Last::Row } else { Last::Other };
            }
            _ => self.other(bytes, what == What::Word),
        }
    }

    fn other(&mut self, bytes: &[u8], fold: bool) {
        self.hash(bytes, fold);
        self.last = Last::Other;
    }

    /// What was held back is no further row: it counts.
    fn release(&mut self) {
        let parts: &[&[u8]] = match std::mem::replace(&mut self.held, Held::Nothing) {
            Held::Nothing => return,
            Held::Comma | Held::RowComma => &[b","],
            Held::RowOpen => &[b",", b"("],
            Held::RowLiteral => &[b",", b"(", b"?"],
            Held::RowLiteralComma => &[b",", b"(", b"?", b","],
        };
        for part in parts {
            self.hash(part, false);
        }
        self.last = match parts.last() {
            Some(&b"(") => Last::Open,
            Some(&b"?") => Last::Literal(true),
            _ => Last::Other,
        };
    }

    pub(crate) fn finish(mut self) -> u64 {
        self.release();
        self.hash
    }
}
