//! The parameters of a text.

use std::collections::BTreeMap;

use crate::lex::{Lexer, What};

/// The parameters of a text by their numbers, each with the name of the type that the text casts it to (`$1::int4`),
/// where it does; as written, without what may follow the name. None for a text longer than [`crate::MAX_SCAN_LEN`].
pub fn parameters(text: &[u8]) -> BTreeMap<u16, Option<String>> {
    let mut found = BTreeMap::new();
    if text.len() > crate::MAX_SCAN_LEN {
        return found;
    }
    let mut lexer = Lexer::new(text, 0, false);
    let mut token = lexer.token();
    while !matches!(token.what, What::End | What::Unterminated) {
        let number = (token.what == What::Parameter).then(|| number(lexer.bytes(token))).flatten();
        token = lexer.token();
        let Some(number) = number else { continue };
        let known: &mut Option<String> = found.entry(number).or_default();
        if lexer.bytes(token) != b"::" {
            continue;
        }
        token = lexer.token();
        let mut name = String::new();
        while matches!(token.what, What::Word | What::Quoted | What::Punct(b'.'))
            && (name.is_empty() || name.ends_with('.') || token.what == What::Punct(b'.'))
        {
            name.push_str(&String::from_utf8_lossy(lexer.bytes(token)));
            token = lexer.token();
        }
        if known.is_none() && !name.is_empty() {
            *known = Some(name);
        }
    }
    found
}

/// The number of `$n`.
fn number(token: &[u8]) -> Option<u16> {
    std::str::from_utf8(token.get(1..)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_have_the_types_that_the_text_gives_them() {
        let found = parameters(
            b"SELECT $2::int4, $1, $3 :: pg_catalog.text || '$9', $2, $1::\"Odd\" -- $4",
        );
        let shown: Vec<_> = found.iter().map(|(number, name)| (*number, name.as_deref())).collect();
        assert_eq!(shown, [(1, Some("\"Odd\"")), (2, Some("int4")), (3, Some("pg_catalog.text"))]);
        assert!(parameters(b"SELECT $99999, $1::").contains_key(&1));
        assert!(parameters(b"SELECT 1").is_empty());
    }
}
