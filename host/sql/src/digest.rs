//! A digest of tokens: SipHash-1-3 with a fixed key, over a canonical form of the text.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

use crate::lex::What;

/// Part of the format: digests are kept in configurations and caches, so it never changes.
const KEY: (u64, u64) = (0x686f_7764_6168_2f73, 0x716c_2f64_6967_6573);
/// Bytes that are gathered before they are hashed; a statement of usual length fits into two.
const BUFFER: usize = 128;

// A byte of its own stands before each token, so that no text of a token can look like another one.
const LITERAL: u8 = 1;
const WORD: u8 = 2;
const OTHER: u8 = 3;
const SEPARATOR: u8 = 4;

/// Where the digest is in a list of literals, `IN (1, 2)` or `VALUES (1, 2), (3, 4)`. What such a list repeats is
/// held back, and hashed when the list turns out to hold something else.
#[derive(Clone, Copy, PartialEq, Eq)]
enum List {
    No,
    /// After `(`.
    Open,
    /// After the first literal and `held` pairs of comma and literal.
    Literal {
        held: u32,
    },
    /// The same, and a comma.
    Comma {
        held: u32,
    },
    /// After `)` of a row.
    Row,
    /// After the comma that follows a row.
    RowComma,
    /// In a further row: nothing of it is hashed yet.
    NextOpen,
    NextLiteral {
        held: u32,
    },
    NextComma {
        held: u32,
    },
}

/// Takes tokens, yields a number.
pub(crate) struct Digest {
    hasher: SipHasher13,
    buffer: [u8; BUFFER],
    len: usize,
    list: List,
}

impl Digest {
    pub(crate) fn new() -> Digest {
        let hasher = SipHasher13::new_with_keys(KEY.0, KEY.1);
        Digest { hasher, buffer: [0; BUFFER], len: 0, list: List::No }
    }

    /// The digest of a text that is not understood: of its first bytes, and its length.
    pub(crate) fn of_bytes(text: &[u8]) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(KEY.0, KEY.1);
        hasher.write(text.get(..crate::MAX_SCAN_LEN).unwrap_or(text));
        hasher.write(&(text.len() as u64).to_le_bytes());
        hasher.finish()
    }

    /// Another statement begins.
    pub(crate) fn separator(&mut self) {
        self.release();
        self.put(SEPARATOR);
    }

    /// Takes the next token. `list`: a `(` here begins a list of values.
    pub(crate) fn add(&mut self, what: What, bytes: &[u8], list: bool) {
        let literal = matches!(what, What::String | What::Number);
        if self.list != List::No && self.is_repetition(what, literal) {
            return;
        }
        if !matches!(self.list, List::No | List::Open | List::Row) {
            self.release();
        }
        self.list = match (self.list, what) {
            (_, What::Punct(b'(')) if list => List::Open,
            (List::Open, _) if literal => List::Literal { held: 0 },
            (List::Literal { .. }, What::Punct(b')')) => List::Row,
            _ => List::No,
        };
        match what {
            _ if literal => self.put(LITERAL),
            What::Word => self.token(WORD, bytes, true),
            _ => self.token(OTHER, bytes, false),
        }
    }

    /// Whether the token only repeats what the list has: then it is held back, or dropped.
    fn is_repetition(&mut self, what: What, literal: bool) -> bool {
        let next = match (self.list, what) {
            (List::Literal { held }, What::Punct(b',')) => List::Comma { held },
            (List::Comma { held }, _) if literal => List::Literal { held: held + 1 },
            (List::Literal { .. }, What::Punct(b')')) => {
                // The row is complete: it counts as a row of one literal.
                self.list = List::Literal { held: 0 };
                return false;
            }
            (List::Row, What::Punct(b',')) => List::RowComma,
            (List::RowComma, What::Punct(b'(')) => List::NextOpen,
            (List::NextOpen, _) if literal => List::NextLiteral { held: 0 },
            (List::NextLiteral { held }, What::Punct(b',')) => List::NextComma { held },
            (List::NextComma { held }, _) if literal => List::NextLiteral { held: held + 1 },
            (List::NextLiteral { .. }, What::Punct(b')')) => List::Row,
            _ => return false,
        };
        self.list = next;
        true
    }

    /// Hashes what was held back.
    fn release(&mut self) {
        let (opening, first, held, comma): (&[&[u8]], bool, u32, bool) = match self.list {
            List::No | List::Open | List::Row => return,
            List::Literal { held } => (&[], false, held, false),
            List::Comma { held } => (&[], false, held, true),
            List::RowComma => (&[b","], false, 0, false),
            List::NextOpen => (&[b",", b"("], false, 0, false),
            List::NextLiteral { held } => (&[b",", b"("], true, held, false),
            List::NextComma { held } => (&[b",", b"("], true, held, true),
        };
        for punctuation in opening {
            self.token(OTHER, punctuation, false);
        }
        if first {
            self.put(LITERAL);
        }
        for _ in 0..held {
            self.token(OTHER, b",", false);
            self.put(LITERAL);
        }
        if comma {
            self.token(OTHER, b",", false);
        }
    }

    fn token(&mut self, class: u8, bytes: &[u8], fold: bool) {
        self.put(class);
        for chunk in bytes.chunks(BUFFER) {
            if self.len + chunk.len() > BUFFER {
                self.flush();
            }
            if let Some(place) = self.buffer.get_mut(self.len..self.len + chunk.len()) {
                place.copy_from_slice(chunk);
                if fold {
                    place.make_ascii_lowercase();
                }
                self.len += chunk.len();
            }
        }
    }

    fn put(&mut self, byte: u8) {
        if self.len == BUFFER {
            self.flush();
        }
        if let Some(slot) = self.buffer.get_mut(self.len) {
            *slot = byte;
            self.len += 1;
        }
    }

    fn flush(&mut self) {
        self.hasher.write(self.buffer.get(..self.len).unwrap_or_default());
        self.len = 0;
    }

    pub(crate) fn finish(&mut self) -> u64 {
        self.release();
        self.flush();
        self.hasher.finish()
    }
}
