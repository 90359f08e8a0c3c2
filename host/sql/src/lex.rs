//! The lexical rules of scan.l: where comments, strings, identifiers and operators begin and end.

use std::borrow::Cow;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// An unquoted identifier or keyword.
    Word,
    /// A quoted identifier.
    Quoted,
    /// A string constant of any form.
    String,
    /// A numeric constant.
    Number,
    /// `$n`.
    Parameter,
    /// A run of operator characters.
    Operator,
    /// One of `( ) [ ] , ; . :`.
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
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// Cuts a text into tokens.
pub(crate) struct Lexer<'a> {
    pub(crate) text: &'a [u8],
    at: usize,
    backslash_escapes: bool,
    /// Range of the comment skipped last, for hints.
    pub(crate) comment: Option<(usize, usize)>,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a [u8], at: usize, backslash_escapes: bool) -> Lexer<'a> {
        Lexer { text, at, backslash_escapes, comment: None }
    }

    pub(crate) fn bytes(&self, token: Token) -> &'a [u8] {
        self.text.get(token.start..token.end).unwrap_or_default()
    }

    /// Whether a word is this keyword, given in lower case.
    pub(crate) fn is(&self, token: Token, keyword: &str) -> bool {
        self.bytes(token).eq_ignore_ascii_case(keyword.as_bytes())
    }

    /// The identifier as PostgreSQL folds it.
    pub(crate) fn folded(&self, token: Token) -> Cow<'a, str> {
        let bytes = self.bytes(token);
        if token.what == What::Quoted {
            let inner = bytes.get(1..bytes.len().saturating_sub(1)).unwrap_or_default();
            let inner = String::from_utf8_lossy(inner);
            return if inner.contains("\"\"") {
                Cow::Owned(inner.replace("\"\"", "\""))
            } else {
                inner
            };
        }
        let text = String::from_utf8_lossy(bytes);
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            Cow::Owned(text.to_ascii_lowercase())
        } else {
            text
        }
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
            b'(' | b')' | b'[' | b']' | b',' | b';' => {
                self.at += 1;
                What::Punct(first)
            }
            b'.' if !self.peek(1).is_ascii_digit() => {
                self.at += 1;
                What::Punct(b'.')
            }
            b':' => self.colon(),
            b'\'' => self.string(self.backslash_escapes),
            b'"' => self.quoted(),
            b'$' => self.dollar(),
            b'0'..=b'9' | b'.' => self.number(),
            b'e' | b'E' if self.peek(1) == b'\'' => self.prefixed(1, true),
            b'b' | b'B' | b'x' | b'X' | b'n' | b'N' if self.peek(1) == b'\'' => {
                self.prefixed(1, self.backslash_escapes && matches!(first, b'n' | b'N'))
            }
            b'u' | b'U' if self.peek(1) == b'&' && self.peek(2) == b'\'' => self.prefixed(2, false),
            b'u' | b'U' if self.peek(1) == b'&' && self.peek(2) == b'"' => {
                self.at += 2;
                match self.quoted() {
                    // Its escapes are not decoded: a name that no catalog knows.
                    What::Quoted => What::Quoted,
                    other => other,
                }
            }
            _ if is_identifier_start(first) => self.word(),
            _ if is_operator(first) => self.operator(),
            // A byte that no token begins with (control characters, backslash): passed alone.
            _ => {
                self.at += 1;
                What::Punct(first)
            }
        };
        self.finish(start, what)
    }

    fn finish(&mut self, start: usize, what: What) -> Token {
        if what == What::Unterminated {
            self.at = self.text.len();
        }
        Token { what, start, end: self.at }
    }

    /// Skips white space and comments. An unterminated comment yields where it begins.
    fn skip_blanks(&mut self) -> Result<(), usize> {
        loop {
            match self.peek(0) {
                b' ' | b'\t' | b'\n' | b'\r' | 0x0c | 0x0b if self.at < self.text.len() => {
                    self.at += 1;
                }
                b'-' if self.peek(1) == b'-' => {
                    let rest = &self.text[self.at..];
                    let end = rest.iter().position(|b| matches!(b, b'\n' | b'\r'));
                    self.comment = Some((self.at, self.at + end.unwrap_or(rest.len())));
                    self.at += end.unwrap_or(rest.len());
                }
                b'/' if self.peek(1) == b'*' => {
                    let start = self.at;
                    self.block_comment().ok_or(start)?;
                    self.comment = Some((start, self.at));
                }
                _ => return Ok(()),
            }
        }
    }

    /// Comments nest.
    fn block_comment(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match (self.text.get(self.at)?, self.peek(1)) {
                (b'/', b'*') => {
                    depth += 1;
                    self.at += 2;
                }
                (b'*', b'/') => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return Some(());
                    }
                }
                _ => self.at += 1,
            }
        }
    }

    fn colon(&mut self) -> What {
        match self.peek(1) {
            b':' | b'=' => {
                self.at += 2;
                What::Operator
            }
            _ => {
                self.at += 1;
                What::Punct(b':')
            }
        }
    }

    fn prefixed(&mut self, prefix: usize, escapes: bool) -> What {
        self.at += prefix;
        self.string(escapes)
    }

    /// At the opening quote.
    fn string(&mut self, escapes: bool) -> What {
        self.at += 1;
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let step = if escapes {
                memchr::memchr2(b'\'', b'\\', rest)
            } else {
                memchr::memchr(b'\'', rest)
            };
            let Some(step) = step else { return What::Unterminated };
            self.at += step;
            if self.peek(0) == b'\\' || self.peek(1) == b'\'' {
                self.at += 2;
            } else {
                self.at += 1;
                return What::String;
            }
        }
    }

    fn quoted(&mut self) -> What {
        self.at += 1;
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let Some(step) = memchr::memchr(b'"', rest) else { return What::Unterminated };
            self.at += step;
            if self.peek(1) == b'"' {
                self.at += 2;
            } else {
                self.at += 1;
                return What::Quoted;
            }
        }
    }

    /// A parameter, a dollar-quoted string, or a lone `$`.
    fn dollar(&mut self) -> What {
        let rest = &self.text[self.at + 1..];
        if rest.first().is_some_and(u8::is_ascii_digit) {
            let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
            self.at += 1 + digits;
            return What::Parameter;
        }
        let tag = match rest.first() {
            Some(b'$') => 0,
            Some(b) if is_identifier_start(*b) => {
                rest.iter().take_while(|b| is_identifier(**b) && **b != b'$').count()
            }
            _ => {
                self.at += 1;
                return What::Operator;
            }
        };
        if rest.get(tag) != Some(&b'$') {
            self.at += 1;
            return What::Operator;
        }
        let delimiter = &self.text[self.at..self.at + tag + 2];
        let body = self.at + delimiter.len();
        match memchr::memmem::find(&self.text[body..], delimiter) {
            Some(end) => {
                self.at = body + end + delimiter.len();
                What::String
            }
            None => What::Unterminated,
        }
    }

    fn number(&mut self) -> What {
        let bytes = &self.text[self.at..];
        let mut end = 0;
        while let Some(&b) = bytes.get(end) {
            let exponent_sign = matches!(b, b'+' | b'-')
                && end > 0
                && matches!(bytes[end - 1], b'e' | b'E')
                && !bytes.starts_with(b"0x")
                && bytes.get(end + 1).is_some_and(u8::is_ascii_digit);
            if b.is_ascii_alphanumeric() || b == b'_' || b == b'.' || exponent_sign {
                end += 1;
            } else {
                break;
            }
        }
        self.at += end;
        What::Number
    }

    fn word(&mut self) -> What {
        let rest = &self.text[self.at..];
        self.at += rest.iter().take_while(|b| is_identifier(**b)).count();
        What::Word
    }

    /// Operators end where a comment begins.
    fn operator(&mut self) -> What {
        let start = self.at;
        while is_operator(self.peek(0)) && self.at < self.text.len() {
            let comment = matches!((self.peek(0), self.peek(1)), (b'-', b'-') | (b'/', b'*'));
            if comment && self.at > start {
                break;
            }
            self.at += 1;
        }
        What::Operator
    }
}

fn is_identifier_start(b: u8) -> bool {
    b.is_ascii_alphabetic() || b == b'_' || b >= 0x80
}

fn is_identifier(b: u8) -> bool {
    is_identifier_start(b) || b.is_ascii_digit() || b == b'$'
}

fn is_operator(b: u8) -> bool {
    matches!(
        b,
        b'~' | b'!' | b'@' | b'#' | b'^' | b'&' | b'|' | b'`' | b'?' | b'+' | b'-' | b'*' | b'/'
            | b'%' | b'<' | b'>' | b'='
    )
}
