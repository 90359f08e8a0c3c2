//! A text without what people keep secret.

use crate::ScanOptions;
use crate::lex::{Lexer, What};

/// The text with `''` in place of every string and `0` in place of every number, and without comments: it has the same
/// digest. What follows something that does not end is left out.
pub fn without_literals(text: &str, options: ScanOptions) -> String {
    let mut lexer = Lexer::new(text.as_bytes(), 0, options.backslash_escapes);
    let mut out = String::with_capacity(text.len());
    let mut end = 0;
    loop {
        let token = lexer.token();
        if matches!(token.what, What::End | What::Unterminated) {
            return out;
        }
        if token.start > end && !out.is_empty() {
            out.push(' ');
        }
        match token.what {
            What::String => out.push_str("''"),
            What::Number => out.push('0'),
            _ => out.push_str(text.get(token.start..token.end).unwrap_or_default()),
        }
        end = token.end;
    }
}
