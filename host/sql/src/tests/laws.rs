//! What holds for every text.

use proptest::prelude::*;

use super::{Known, look};
use crate::{ScanOptions, Statement, scan, tag};

/// Tokens of every kind, and pieces of such.
pub(super) fn piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "SELECT",
        "FROM",
        "(",
        ")",
        ",",
        "'",
        "\"",
        "$$",
        "$a$",
        "/*",
        "*/",
        "--",
        "\n",
        ";",
        "WITH",
        "AS",
        "INSERT",
        "INTO",
        "UPDATE",
        "DELETE",
        "f",
        ".",
        "::",
        "SET",
        "RESET",
        "ALL",
        "$1",
        "E'",
        "U&\"",
        "\\",
        "CREATE",
        "BEGIN",
        "ATOMIC",
        "CASE",
        "END",
        "COPY",
        "TO",
        "STDOUT",
        "é",
        "1",
        "1e",
        "0x",
        "ON",
        "DISTINCT",
        " ",
        "set_config",
        "true",
        "EXPLAIN",
        "ANALYZE",
        "VALUES",
        "IN",
        "-",
        "+",
        "=",
        "|",
        "[",
        "]",
        "FOR",
        "SHARE",
        "pg_temp",
        "TEMP",
        "DEALLOCATE",
    ])
}

/// Tokens that mean the same whatever stands between them.
fn token() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "SELECT",
        "FROM",
        "(",
        ")",
        ",",
        "'a'",
        "\"b\"",
        "$$c$$",
        ";",
        "WITH",
        "AS",
        "INSERT",
        "INTO",
        "UPDATE",
        "DELETE",
        "f",
        "now",
        ".",
        "::",
        "$1",
        "CREATE",
        "BEGIN",
        "ATOMIC",
        "CASE",
        "END",
        "COPY",
        "TO",
        "STDOUT",
        "1",
        "ON",
        "set_config",
        "true",
        "EXPLAIN",
        "ANALYZE",
        "VALUES",
        "IN",
        "*",
        "=",
        "FOR",
        "SHARE",
        "pg_temp",
        "TEMP",
        "LISTEN",
        "COMMIT",
        "x",
        "t",
    ])
}

fn blank() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![" ", "\n", "\t ", " /* ; ' */ ", "/**/", " -- x' \n", "/* /* */ */"])
}

/// Without what is verbatim: the values of settings.
fn without_value(mut statement: Statement) -> Statement {
    for effect in &mut statement.effects {
        if let crate::Effect::Set { value, .. } = effect {
            *value = "".into();
        }
    }
    statement
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn never_panics(text in proptest::collection::vec(any::<u8>(), 0..200), escapes: bool) {
        let _ = scan(&text, ScanOptions { backslash_escapes: escapes }, &Known);
        let _ = tag(&text, "a");
    }

    #[test]
    fn never_panics_on_sql_like_text(parts in prop::collection::vec(piece(), 0..60), escapes: bool) {
        let text = parts.concat();
        let _ = scan(text.as_bytes(), ScanOptions { backslash_escapes: escapes }, &Known);
        let _ = tag(text.as_bytes(), "a");
    }

    #[test]
    fn blanks_change_nothing(tokens in prop::collection::vec((token(), blank()), 0..40)) {
        let plain: Vec<_> = tokens.iter().map(|(token, _)| *token).collect();
        let spaced: String = tokens.iter().flat_map(|(token, blank)| [*token, *blank]).collect();
        let (plain, spaced) = (look(&plain.join(" ")), look(&spaced));
        let known = plain.kind != howdah_decision::Kind::Unknown || plain.digest == spaced.digest;
        let spaced = Statement { digest: if known { spaced.digest } else { plain.digest }, ..spaced };
        prop_assert_eq!(without_value(plain), without_value(spaced));
    }

    #[test]
    fn case_changes_nothing(tokens in prop::collection::vec(token(), 0..40)) {
        let text = tokens.join(" ");
        let (upper, lower) = (look(&text), look(&text.to_ascii_lowercase()));
        prop_assert_eq!((upper.kind, upper.facts), (lower.kind, lower.facts));
    }

    /// A statement more never makes a text less demanding.
    #[test]
    fn kinds_only_grow(tokens in prop::collection::vec(token(), 0..20)) {
        let text = tokens.join(" ");
        let (alone, more) = (look(&text), look(&format!("DELETE FROM t; {text}")));
        prop_assert!(more.kind >= alone.kind.max(howdah_decision::Kind::Write));
        prop_assert!(more.facts.has(alone.facts.without(howdah_decision::Facts::READ_ONLY)));
    }
}
