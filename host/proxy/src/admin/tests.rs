#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;

use super::*;
use crate::admin::table::{Row, float, int, row, text, truth};

const COLUMNS: &[Column] =
    &[text("user", ""), int("seconds", ""), float("wait", ""), truth("tls", "")];

fn command(text: &str) -> Result<Command, String> {
    let mut commands = split(text).map_err(|error| error.to_string())?;
    assert_eq!(commands.len(), 1, "{text}");
    understand(&commands.remove(0)).map_err(|error| error.to_string())
}

/// The users that a filter leaves.
fn left(filter: &str, parameters: &[Option<&str>]) -> Result<Vec<String>, String> {
    let rows: Vec<Row> = vec![
        row!["ann", 5_u64, None::<f64>, true],
        row!["bob", 70_u64, 0.5, false],
        row!["bea", 9_u64, 12.25, true],
    ];
    let mut table = Table { columns: COLUMNS, rows };
    let pieces = split(filter).map_err(|error| error.to_string())?.remove(0);
    let mut reader = Reader { pieces: &pieces, at: 0 };
    let filter = reader.filter(COLUMNS).map_err(|error| error.to_string())?;
    assert!(reader.next().is_none(), "{pieces:?}");
    let parameters: Vec<_> = parameters.iter().map(|one| one.map(str::to_owned)).collect();
    filter.apply(&mut table, &parameters).map_err(|error| error.to_string())?;
    Ok(table.rows.iter().filter_map(|row| row[0].text()).collect())
}

#[test]
fn rows_are_chosen_ordered_and_limited() {
    for (filter, users) in [
        ("", &["ann", "bob", "bea"][..]),
        ("WHERE user = 'ann'", &["ann"]),
        ("where user <> ann", &["bob", "bea"]),
        ("WHERE user LIKE 'b%' AND tls = true", &["bea"]),
        ("WHERE user NOT LIKE '_o_'", &["ann", "bea"]),
        ("WHERE seconds > 8.5", &["bob", "bea"]),
        ("WHERE seconds >= 9 AND seconds < 70", &["bea"]),
        ("WHERE wait IS NULL", &["ann"]),
        ("WHERE wait IS NOT NULL", &["bob", "bea"]),
        // NULL is neither equal nor unequal.
        ("WHERE wait <> 12.25", &["bob"]),
        ("ORDER BY seconds DESC", &["bob", "bea", "ann"]),
        ("ORDER BY wait", &["bob", "bea", "ann"]),
        ("ORDER BY tls DESC, user ASC LIMIT 2", &["ann", "bea"]),
        ("LIMIT 0", &[]),
    ] {
        assert_eq!(left(filter, &[]).unwrap(), users, "{filter}");
    }
}

#[test]
fn parameters_stand_for_values() {
    let found = left("WHERE user = $2 AND seconds < $1", &[Some("10"), Some("bea")]);
    assert_eq!(found.unwrap(), ["bea"]);
    assert_eq!(left("WHERE user = $1", &[None]).unwrap_err(), "$1 is NULL (22004)");
}

#[test]
fn what_is_wrong_is_said() {
    for (filter, message) in [
        ("WHERE usr = 'a'", "column \"usr\" does not exist; did you mean \"user\"?"),
        ("WHERE seconds = many", "invalid input syntax for type bigint: \"many\""),
        ("WHERE tls = maybe", "invalid input syntax for type boolean: \"maybe\""),
        ("WHERE user", "expected =, <>, <, >, <=, >=, LIKE or IS NULL at the end"),
        ("ORDER user", "expected BY, found \"user\""),
        ("LIMIT -1", "invalid input syntax for type LIMIT: \"-1\""),
    ] {
        let error = left(filter, &[]).unwrap_err();
        assert!(error.contains(message), "{filter}: {error}");
    }
    for (text, message) in [
        ("SHOW CLIENT", "there is no table CLIENT; did you mean \"CLIENTS\"?"),
        ("SHOW", "expected the name of a table at the end"),
        ("PAUS", "there is no command PAUS; did you mean \"PAUSE\"?"),
        ("SELECT * FROM t", "there is no command SELECT"),
        ("KILL", "expected the id of a client at the end"),
        ("KILL 1 2", "syntax error at or near \"2\""),
        ("POLICY a b", "expected ROLLBACK, PROMOTE or RELEASE, found \"b\""),
        ("SET pool.size 3", "expected TO, found \"3\""),
        ("SHOW CLIENTS WHERE user = 'a", "unterminated quoted string"),
        ("/* SHOW", "unterminated /* comment"),
        ("SHOW CLIENTS LIMIT $65", "there is no such parameter"),
    ] {
        let error = command(text).unwrap_err();
        assert!(error.contains(message), "{text}: {error}");
    }
}

#[test]
fn what_drivers_send_by_themselves_is_taken() {
    for (text, tag) in [
        ("SET extra_float_digits = 3", "SET"),
        ("SET application_name TO 'x'", "SET"),
        ("RESET ALL", "RESET"),
        ("DISCARD ALL", "DISCARD ALL"),
        ("DEALLOCATE ALL", "DEALLOCATE"),
    ] {
        assert!(matches!(command(text), Ok(Command::Nothing(t)) if t == tag), "{text}");
    }
    assert!(matches!(command("-- hello\n SELECT 1;"), Ok(Command::One)));
    assert!(matches!(command("start transaction"), Ok(Command::Begin)));
    assert!(matches!(command(" ; "), Ok(Command::Empty)));
    assert!(matches!(command("SET pool.size = 3"), Ok(Command::Order(Order::Set(..)))));
}

#[test]
fn texts_are_read_as_sql_writes_them() {
    let Ok(Command::Explain { sql, user, database }) =
        command("EXPLAIN ROUTE 'SELECT ''a;b''' USER \"o \"\"x\" DATABASE $3")
    else {
        panic!("not understood");
    };
    assert_eq!(sql, Word::Given("SELECT 'a;b'".to_owned()));
    assert_eq!(user, Some(Word::Given("o \"x".to_owned())));
    assert_eq!(database, Some(Word::Parameter(2)));
    assert_eq!(split("SHOW POOLS; SHOW NODES;").unwrap().len(), 2);
}

#[test]
fn patterns_take_no_more_than_a_look_at_each_pair() {
    let long = "a".repeat(20_000);
    let text: Vec<char> = long.chars().collect();
    let pattern: Vec<char> = "%a%a%a%a%a%a%a%a%b".chars().collect();
    assert!(!like(&text, &pattern));
    assert!(like(&text, &['%']));
    assert!(!like(&[], &['_']));
    assert!(like(&[], &[]));
}

/// Pieces of commands, and what stands between.
const PIECES: [&str; 40] = [
    "SHOW", "CLIENTS", "KV", "SETS", "WHERE", "user", "state", "=", "<>", "!", "LIKE", "NOT",
    "AND", "IS", "NULL", "IN", "ORDER", "BY", "DESC", "LIMIT", "1", "$1", "$64", "$0", "KILL",
    "SET", "RESET", "EXPLAIN", "ROUTE", "USER", "'", "\"", "''", "'it''s'", "--", "/*", "*/", "\n",
    ";", ",",
];

proptest! {
    /// Whatever somebody types, or somebody's program sends.
    #[test]
    fn any_text_is_understood_or_refused(
        pieces in prop::collection::vec(prop_oneof![
            4 => prop::sample::select(&PIECES[..]).prop_map(str::to_owned),
            1 => any::<String>(),
        ], 0..16),
        between in prop::sample::select(&["", " "][..]),
    ) {
        let text = pieces.join(between);
        for command in split(&text).into_iter().flatten() {
            prop_assert!(parameters(&command) <= MAX_PARAMETERS);
            if let Err(report) = understand(&command) {
                prop_assert!(report.sqlstate() != b"XX000" && !report.message().is_empty());
            }
        }
    }
}
