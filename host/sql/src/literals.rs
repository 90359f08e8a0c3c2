//! The constants of a text: what its digest leaves out.

use std::borrow::Cow;

use crate::lex::{Lexer, Token, What};
use crate::scan::{is_continued, is_sign};

/// The constant of this number, counted from 0 in the order of the text: a string without its quotes and escapes, a
/// number as written, with its sign. Of `B'…'`, `X'…'` and `U&'…'` what stands between the quotes. None when there is
/// no such constant, and for a text longer than [`crate::MAX_SCAN_LEN`].
pub fn literal(text: &[u8], index: usize) -> Option<Cow<'_, str>> {
    if text.len() > crate::MAX_SCAN_LEN {
        return None;
    }
    let mut lexer = Lexer::new(text, 0, false);
    let (mut before, mut previous, mut token) = (Token::NONE, Token::NONE, lexer.token());
    let mut left = index;
    while !matches!(token.what, What::End | What::Unterminated) {
        let constant = match token.what {
            What::Number => true,
            What::String => !is_continued(previous, token),
            _ => false,
        };
        if constant && left == 0 {
            return Some(match token.what {
                What::Number if is_sign(&lexer, before, previous, token) => {
                    signed(&lexer, previous, token)
                }
                What::Number => String::from_utf8_lossy(lexer.bytes(token)),
                _ => continued(&mut lexer, token),
            });
        }
        left -= usize::from(constant);
        (before, previous, token) = (previous, token, lexer.token());
    }
    None
}

/// A number whose sign may stand apart from it.
fn signed<'a>(lexer: &Lexer<'a>, sign: Token, number: Token) -> Cow<'a, str> {
    let parts = [lexer.bytes(sign), lexer.bytes(number)].map(String::from_utf8_lossy);
    Cow::Owned(parts.concat())
}

/// A string, with what continues it.
fn continued<'a>(lexer: &mut Lexer<'a>, first: Token) -> Cow<'a, str> {
    let escapes = matches!(lexer.bytes(first).first(), Some(b'e' | b'E'));
    let mut all = unquoted(lexer.bytes(first), escapes);
    loop {
        let next = lexer.token();
        if next.what != What::String {
            return all;
        }
        all.to_mut().push_str(&unquoted(lexer.bytes(next), escapes));
    }
}

/// What a string constant means.
fn unquoted(constant: &[u8], escapes: bool) -> Cow<'_, str> {
    let quote = constant.iter().position(|b| matches!(b, b'\'' | b'$')).unwrap_or(0);
    let quoted = constant.get(quote..).unwrap_or_default();
    if quoted.first() == Some(&b'$') {
        let tag = quoted.iter().skip(1).position(|b| *b == b'$').map_or(0, |at| at + 2);
        return String::from_utf8_lossy(
            quoted.get(tag..quoted.len().saturating_sub(tag)).unwrap_or_default(),
        );
    }
    let inner = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
    let plain = |b: &u8| *b != b'\'' && !(escapes && *b == b'\\');
    if inner.iter().all(plain) {
        return String::from_utf8_lossy(inner);
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some((&b, after)) = rest.split_first() {
        rest = match b {
            b'\'' => {
                out.push(b);
                after.strip_prefix(b"'").unwrap_or(after)
            }
            b'\\' if escapes => escape(after, &mut out),
            _ => {
                out.push(b);
                after
            }
        };
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

/// What follows a backslash (scan.l, `unescape_single_char` and the rules around it). What is left of it comes back.
fn escape<'a>(rest: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let Some((&first, after)) = rest.split_first() else { return rest };
    let (radix, most, digits) = match first {
        b'x' => (16, 2, after),
        b'u' => (16, 4, after),
        b'U' => (16, 8, after),
        b'0'..=b'7' => (8, 3, rest),
        _ => (0, 0, after),
    };
    let is_digit = |b: &&u8| radix > 0 && char::from(**b).is_digit(radix);
    let len = digits.iter().take(most).take_while(is_digit).count();
    if len == 0 {
        out.push(match first {
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            other => other,
        });
        return after;
    }
    let (digits, after) = digits.split_at(len);
    let code = digits.iter().fold(0, |code: u32, digit| {
        code.wrapping_mul(radix) + char::from(*digit).to_digit(radix).unwrap_or(0)
    });
    match first {
        b'u' | b'U' => {
            let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        _ => out.push(code as u8),
    }
    after
}
