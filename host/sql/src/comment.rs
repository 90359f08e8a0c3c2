//! What leading and trailing comments say: hints for the proxy, and tags in sqlcommenter form.

use std::borrow::Cow;

use howdah_decision::Facts;

use crate::lex::{Lexer, What};

/// The hints in the comments before the first token, which begins at `begin`, and after the last one, which ends
/// at `end`.
pub(crate) fn hints(text: &[u8], begin: usize, end: usize) -> Facts {
    let mut facts = Facts::NONE;
    if begin > 0 {
        facts = comments(text, 0).fold(facts, |facts, comment| facts.with(hint(comment)));
    }
    if end < text.len() {
        facts = comments(text, end).fold(facts, |facts, comment| facts.with(hint(comment)));
    }
    facts
}

/// The comments that begin at `at`, with nothing but white space and `;` between them.
fn comments(text: &[u8], at: usize) -> impl Iterator<Item = &[u8]> {
    let mut lexer = Lexer::new(text, at, false);
    std::iter::from_fn(move || text.get(lexer.comment()?))
}

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
/// URL-decoded; a trailing one is preferred. None when there is no such key, when the value is not UTF-8, and for a
/// text longer than [`crate::MAX_SCAN_LEN`].
pub fn tag<'a>(text: &'a [u8], key: &str) -> Option<Cow<'a, str>> {
    if text.len() > crate::MAX_SCAN_LEN {
        return None;
    }
    // Most texts have no comment at all.
    memchr::memmem::find(text, b"/*").or_else(|| memchr::memmem::find(text, b"--"))?;
    let end = last_token_end(text);
    comments(text, end).chain(comments(text, 0)).find_map(|comment| in_comment(comment, key))
}

/// All keys with their values, as [`tag`] would tell them.
pub fn tags(text: &[u8]) -> Vec<(String, String)> {
    if text.len() > crate::MAX_SCAN_LEN {
        return Vec::new();
    }
    let end = last_token_end(text);
    let mut tags: Vec<(String, String)> = Vec::new();
    for comment in comments(text, end).chain(comments(text, 0)) {
        for pair in inside(comment).unwrap_or_default().split(',') {
            let Some(key) = pair.split_once('=').and_then(|(name, _)| decode(name.trim())) else {
                continue;
            };
            let known = tags.iter().any(|(name, _)| **name == *key);
            if let Some(value) = in_comment(comment, &key).filter(|_| !known) {
                tags.push((key.into_owned(), value.into_owned()));
            }
        }
    }
    tags
}

fn in_comment<'a>(comment: &'a [u8], key: &str) -> Option<Cow<'a, str>> {
    inside(comment)?.split(',').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        if decode(name.trim())? != key {
            return None;
        }
        decode(value.trim().strip_prefix('\'')?.strip_suffix('\'')?)
    })
}

/// Where the last token ends that is not `;`.
fn last_token_end(text: &[u8]) -> usize {
    let mut lexer = Lexer::new(text, 0, false);
    let mut end = 0;
    loop {
        let token = lexer.token();
        match token.what {
            What::End => return end,
            What::Unterminated => return text.len(),
            What::Punct(b';') => {}
            _ => end = token.end,
        }
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
