//! What leading and trailing comments say: hints for the proxy, and tags in sqlcommenter form.

use std::borrow::Cow;

use howdah_decision::Facts;

use crate::lex::{Lexer, What};

/// The hint in a comment: `/* howdah: primary */` or `/* howdah: replica */`.
pub(crate) fn hint(comment: &[u8]) -> Facts {
    let Some(inner) = inside(comment) else { return Facts::NONE };
    let Some((name, value)) = inner.split_once(':') else { return Facts::NONE };
    if !name.trim().eq_ignore_ascii_case("howdah") {
        return Facts::NONE;
    }
    match value.trim() {
        v if v.eq_ignore_ascii_case("primary") => Facts::HINT_PRIMARY,
        v if v.eq_ignore_ascii_case("replica") => Facts::HINT_REPLICA,
        _ => Facts::NONE,
    }
}

/// The text of a comment without its marks.
fn inside(comment: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(comment).ok()?;
    match text.strip_prefix("/*") {
        Some(rest) => rest.strip_suffix("*/"),
        None => text.strip_prefix("--"),
    }
}

/// The value of a key in a leading or trailing comment of the sqlcommenter form `/* key='value',… */`,
/// URL-decoded. None when there is no such key, or the value is not UTF-8.
pub fn tag<'a>(text: &'a [u8], key: &str) -> Option<Cow<'a, str>> {
    let (first, last) = outer_comments(text);
    [last, first].into_iter().flatten().find_map(|(start, end)| {
        let inner = inside(text.get(start..end)?)?;
        inner.split(',').find_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            let value = value.trim().strip_prefix('\'')?.strip_suffix('\'')?;
            (decode(name.trim())? == key).then(|| decode(value))?
        })
    })
}

/// The first comment before any token, and the last one after all tokens.
fn outer_comments(text: &[u8]) -> (Option<(usize, usize)>, Option<(usize, usize)>) {
    if text.len() > crate::MAX_SCAN_LEN {
        return (None, None);
    }
    let mut lexer = Lexer::new(text, 0, false);
    let mut token = lexer.token();
    let first = lexer.comment.take();
    loop {
        match token.what {
            What::End => return (first, lexer.comment),
            What::Unterminated => return (first, None),
            What::Punct(b';') => {}
            _ => lexer.comment = None,
        }
        token = lexer.token();
    }
}

fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['%', '\\']) {
        return Some(Cow::Borrowed(text));
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        match b {
            b'%' => {
                let (high, low) = (bytes.next()?, bytes.next()?);
                let digit = |d: u8| char::from(d).to_digit(16);
                out.push((digit(high)? * 16 + digit(low)?) as u8);
            }
            b'\\' => out.push(bytes.next()?),
            b => out.push(b),
        }
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}
