//! The lexical rules of scan.l: where comments, constants, identifiers and operators begin and end.

mod constant;

use std::borrow::Cow;
use std::ops::Range;

use crate::lossy;
use crate::words::Word;

/// Longer identifiers are cut by the server: NAMEDATALEN - 1 (pg_config_manual.h).
const MAX_IDENTIFIER: usize = 63;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// An unquoted identifier or keyword.
    Word,
    /// A quoted identifier.
    Quoted,
    /// `U&"…"`: its escapes are not decoded, so that its name is not known.
    UnicodeQuoted,
    /// A string constant of any form.
    String,
    /// A numeric constant.
    Number,
    /// `$n`.
    Parameter,
    /// An operator, `::` and `:=`.
    Operator,
    /// One of `( ) [ ] , ; . :`, or a byte that no token begins with.
    Punct(u8),
    /// The end of the text.
    End,
    /// Something that does not end: the server will complain.
    Unterminated,
}

/// A token, as a range of the text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub(crate) what: What,
    /// Which keyword it is, if it is a [`What::Word`] that a scan has to know.
    pub(crate) word: Word,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Token {
    /// Before the first token.
    pub(crate) const NONE: Token = Token { what: What::End, word: Word::Plain, start: 0, end: 0 };

    pub(crate) fn is(&self, punctuation: u8) -> bool {
        self.what == What::Punct(punctuation)
    }

    /// Whether it may be (part of) a name.
    pub(crate) fn is_name(&self) -> bool {
        matches!(self.what, What::Word | What::Quoted | What::UnicodeQuoted)
    }
}

/// Cuts a text into tokens.
pub(crate) struct Lexer<'a> {
    pub(crate) text: &'a [u8],
    at: usize,
    backslash_escapes: bool,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a [u8], at: usize, backslash_escapes: bool) -> Lexer<'a> {
        Lexer { text, at, backslash_escapes }
    }

    pub(crate) fn bytes(&self, token: Token) -> &'a [u8] {
        self.text.get(token.start..token.end).unwrap_or_default()
    }

    /// The identifier as PostgreSQL folds and cuts it (scansup.c). Only ASCII letters are folded, as in a
    /// multibyte encoding. What is no UTF-8 is replaced: no catalog knows such a name.
    pub(crate) fn folded(&self, token: Token) -> Cow<'a, str> {
        let bytes = self.bytes(token);
        let name = if token.what == What::Word {
            let name = lossy(bytes);
            match name.bytes().any(|b| b.is_ascii_uppercase()) {
                true => Cow::Owned(name.to_ascii_lowercase()),
                false => name,
            }
        } else {
            let inner = bytes.get(1..bytes.len().saturating_sub(1)).unwrap_or_default();
            let inner = lossy(inner);
            match inner.contains("\"\"") {
                true => Cow::Owned(inner.replace("\"\"", "\"")),
                false => inner,
            }
        };
        cut(name)
    }

    fn peek(&self, ahead: usize) -> u8 {
        self.text.get(self.at + ahead).copied().unwrap_or(0)
    }

    /// The next token; [`What::End`] for ever at the end.
    pub(crate) fn token(&mut self) -> Token {
        if let Err(start) = self.skip_blanks() {
            return self.finish(start, What::Unterminated);
        }
        let start = self.at;
        let Some(&first) = self.text.get(start) else { return self.finish(start, What::End) };
        let what = match first {
            b'(' | b')' | b'[' | b']' | b',' | b';' => self.single(first),
            b'.' if !self.peek(1).is_ascii_digit() => self.single(first),
            b':' => self.colon(),
            b'\'' => self.string(0, self.backslash_escapes),
            b'"' => self.quoted(),
            b'$' => self.dollar(),
            b'0'..=b'9' | b'.' => self.number(),
            _ if self.peek(1) == b'\'' && self.is_prefix(first) => {
                let escapes = match first {
                    b'e' | b'E' => true,
                    b'n' | b'N' => self.backslash_escapes,
                    _ => false,
                };
                self.string(1, escapes)
            }
            b'u' | b'U' if self.peek(1) == b'&' && self.peek(2) == b'\'' => self.string(2, false),
            b'u' | b'U' if self.peek(1) == b'&' && self.peek(2) == b'"' => {
                self.at += 2;
                match self.quoted() {
                    What::Quoted => What::UnicodeQuoted,
                    other => other,
                }
            }
            _ if is_identifier_start(first) => return self.word(),
            _ if is_operator(first) => self.operator(),
            _ => self.single(first),
        };
        self.finish(start, what)
    }

    /// Whether this letter before `'` begins a constant.
    fn is_prefix(&self, letter: u8) -> bool {
        matches!(letter, b'e' | b'E' | b'b' | b'B' | b'x' | b'X' | b'n' | b'N')
    }

    fn finish(&mut self, start: usize, what: What) -> Token {
        if what == What::Unterminated {
            self.at = self.text.len();
        }
        Token { what, word: Word::Plain, start, end: self.at }
    }

    /// Where the next comment is, when nothing but white space and `;` stands before it.
    pub(crate) fn comment(&mut self) -> Option<Range<usize>> {
        loop {
            let start = self.at;
            match *self.text.get(start)? {
                b if is_blank(b) => self.at += 1,
                b';' => self.at += 1,
                b'-' if self.peek(1) == b'-' => self.line_comment(),
                b'/' if self.peek(1) == b'*' => self.block_comment()?,
                _ => return None,
            }
            if matches!(self.text.get(start), Some(b'-' | b'/')) {
                return Some(start..self.at);
            }
        }
    }

    /// Skips white space and comments. An unterminated comment yields where it begins.
    fn skip_blanks(&mut self) -> Result<(), usize> {
        while let Some(&b) = self.text.get(self.at) {
            match b {
                _ if is_blank(b) => self.at += 1,
                b'-' if self.peek(1) == b'-' => self.line_comment(),
                b'/' if self.peek(1) == b'*' => {
                    let start = self.at;
                    self.block_comment().ok_or(start)?;
                }
                _ => break,
            }
        }
        Ok(())
    }

    fn line_comment(&mut self) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        self.at += memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
    }

    /// Comments nest. None when it does not end.
    fn block_comment(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            let rest = self.text.get(self.at..)?;
            self.at += memchr::memchr2(b'/', b'*', rest)?;
            match (self.peek(0), self.peek(1)) {
                (b'/', b'*') => depth += 1,
                (b'*', b'/') => depth -= 1,
                _ => {
                    self.at += 1;
                    continue;
                }
            }
            self.at += 2;
            if depth == 0 {
                return Some(());
            }
        }
    }

    fn single(&mut self, byte: u8) -> What {
        self.at += 1;
        What::Punct(byte)
    }

    fn colon(&mut self) -> What {
        match self.peek(1) {
            b':' | b'=' => {
                self.at += 2;
                What::Operator
            }
            _ => self.single(b':'),
        }
    }

    fn word(&mut self) -> Token {
        let start = self.at;
        let rest = self.text.get(start..).unwrap_or_default();
        let len = rest.iter().position(|b| !is_identifier(*b)).unwrap_or(rest.len());
        self.at += len;
        let word = Word::find(rest.get(..len).unwrap_or_default());
        Token { what: What::Word, word, start, end: self.at }
    }

    /// Operators end where a comment begins, and in `+` or `-` only if they contain a character that the
    /// standard's operators do not have.
    fn operator(&mut self) -> What {
        let start = self.at;
        let mut unusual = false;
        while is_operator(self.peek(0)) {
            let comment = matches!((self.peek(0), self.peek(1)), (b'-', b'-') | (b'/', b'*'));
            if comment && self.at > start {
                break;
            }
            unusual |= !matches!(self.peek(0), b'+' | b'-' | b'*' | b'/' | b'<' | b'>' | b'=');
            self.at += 1;
        }
        while !unusual
            && self.at > start + 1
            && matches!(self.text.get(self.at - 1), Some(b'+' | b'-'))
        {
            self.at -= 1;
        }
        What::Operator
    }
}

/// Cuts a name as `truncate_identifier` does, without splitting a character.
fn cut(name: Cow<'_, str>) -> Cow<'_, str> {
    let end = name.floor_char_boundary(MAX_IDENTIFIER);
    match name {
        name if end == name.len() => name,
        Cow::Borrowed(name) => Cow::Borrowed(name.get(..end).unwrap_or_default()),
        Cow::Owned(mut name) => {
            name.truncate(end);
            Cow::Owned(name)
        }
    }
}

/// White space as of PostgreSQL 16; earlier versions take the vertical tab for an error.
fn is_blank(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

const fn is_identifier_start(b: u8) -> bool {
    b.is_ascii_alphabetic() || b == b'_' || b >= 0x80
}

pub(crate) fn is_identifier(b: u8) -> bool {
    CLASSES[usize::from(b)] & IDENTIFIER != 0
}

fn is_operator(b: u8) -> bool {
    CLASSES[usize::from(b)] & OPERATOR != 0
}

/// A byte of an unquoted identifier.
const IDENTIFIER: u8 = 1;
/// A byte of an operator.
const OPERATOR: u8 = 2;

/// What a byte may be part of: most of a text is looked up here.
static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut b = 0;
    while b < 256 {
        let byte = b as u8;
        if is_identifier_start(byte) || byte.is_ascii_digit() || byte == b'$' {
            classes[b] |= IDENTIFIER;
        }
        b += 1;
    }
    let operators = b"~!@#^&|`?+-*/%<>=";
    let mut i = 0;
    while i < operators.len() {
        classes[operators[i] as usize] |= OPERATOR;
        i += 1;
    }
    classes
};
