#![allow(clippy::unwrap_used)]

use howdah_decision::{Facts, Kind};
use proptest::prelude::*;

use crate::{Catalog, Effect, NoCatalog, PinReason, ScanOptions, Statement, Volatility, scan, tag};

/// Knows a few functions, as a server would.
struct Known;

impl Catalog for Known {
    fn function(&self, schema: Option<&str>, name: &str) -> Volatility {
        match (schema, name) {
            (None | Some("pg_catalog"), "now" | "generate_series" | "count" | "lower" | "sum") => {
                Volatility::Stable
            }
            (None | Some("app"), "safe") => Volatility::Immutable,
            (_, "writes" | "random" | "pg_sleep") => Volatility::Volatile,
            _ => Volatility::Unknown,
        }
    }

    fn relation_is_volatile(&self, _: Option<&str>, name: &str) -> bool {
        name == "volatile_view"
    }

    fn operator_is_volatile(&self, symbol: &str) -> bool {
        symbol == "|+|"
    }
}

fn look(sql: &str) -> Statement {
    scan(sql.as_bytes(), ScanOptions::default(), &Known)
}

const N: Facts = Facts::NONE;
const V: Facts = Facts::VOLATILE;
const L: Facts = Facts::LOCKS_ROWS;
const S: Facts = Facts::STICKY;
const C: Facts = Facts::COPY;
const M: Facts = Facts::SEVERAL;

#[test]
fn kinds_and_facts() {
    use Kind::*;
    let cases: &[(&str, Kind, Facts)] = &[
        ("", Empty, N),
        (" ; ;; -- nothing\n /* at all */ ", Empty, N),
        ("SELECT 1", Read, N),
        ("select * from t where a = 'DELETE FROM t; --'", Read, N),
        ("SELECT $$ ; DROP TABLE x $$", Read, N),
        ("SELECT $a$ $$ ; DROP TABLE x $a$", Read, N),
        ("SELECT 1 /* ; DROP TABLE x */", Read, N),
        ("SELECT 1 /* /* nested */ ; DROP TABLE x */", Read, N),
        ("SELECT 1 -- ; DROP TABLE x", Read, N),
        ("SELECT 1; DROP TABLE x", Ddl, M),
        ("SELECT 1; SELECT 2", Read, M),
        ("SELECT \"update\" FROM \"delete\"", Read, N),
        ("SELECT for_update FROM t", Read, N),
        ("SELECT 'x' FOR UPDATE", Read, L),
        ("SELECT * FROM t FOR NO KEY UPDATE", Read, L),
        ("SELECT * FROM t FOR SHARE SKIP LOCKED", Read, L),
        ("SELECT * FROM (SELECT * FROM t FOR KEY SHARE) x", Read, L),
        ("SELECT substring('abc' FOR 2)", Read, N),
        ("SELECT * INTO t2 FROM t", Write, N),
        ("SELECT 1 INTO TEMP t2", Write, S),
        ("(SELECT 1) UNION (SELECT 2)", Read, N),
        ("((SELECT 1))", Read, N),
        ("VALUES (1), (2)", Read, N),
        ("TABLE t", Read, N),
        ("TABLE volatile_view", Read, V),
        ("SHOW search_path", Read, N),
        ("WITH x AS (SELECT 1) SELECT * FROM x", Read, N),
        ("WITH x(a, b) AS (SELECT 1, 2), y(c) AS (SELECT 3) SELECT * FROM x, y", Read, N),
        ("WITH RECURSIVE x(n) AS (VALUES (1) UNION ALL SELECT n+1 FROM x) SELECT sum(n) FROM x", Read, N),
        ("WITH x AS MATERIALIZED (SELECT 1) SELECT * FROM x", Read, N),
        ("WITH x AS NOT MATERIALIZED (SELECT 1) SELECT * FROM x", Read, N),
        ("WITH x AS (SELECT 1) DELETE FROM t", Write, N),
        ("WITH x AS (INSERT INTO t VALUES (1) RETURNING *) SELECT * FROM x", Write, N),
        ("WITH x AS (SELECT 1), y AS (DELETE FROM t RETURNING 1) SELECT * FROM x", Write, N),
        ("WITH x AS (WITH y AS (UPDATE t SET a=1 RETURNING a) SELECT * FROM y) TABLE x", Write, N),
        ("INSERT INTO t (a, b) VALUES (1, 2)", Write, N),
        ("UPDATE t SET a = 1", Write, N),
        ("DELETE FROM t", Write, N),
        ("MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN DELETE", Write, N),
        ("CALL p()", Write, V),
        ("DO $$ BEGIN END $$", Write, N),
        ("LOCK TABLE t", Write, N),
        ("NOTIFY c, 'x'", Write, N),
        ("EXPLAIN SELECT 1", Read, N),
        ("EXPLAIN DELETE FROM t", Read, N),
        ("EXPLAIN ANALYZE SELECT 1", Read, N),
        ("EXPLAIN ANALYZE DELETE FROM t", Write, N),
        ("EXPLAIN (ANALYZE, BUFFERS) UPDATE t SET a = 1", Write, N),
        ("EXPLAIN (COSTS OFF) SELECT 1", Read, N),
        ("EXPLAIN ANALYZE WITH x AS (SELECT 1) DELETE FROM t", Write, N),
        ("EXPLAIN ANALYZE CREATE TABLE x AS SELECT 1", Ddl, N),
        ("COPY t TO STDOUT", Read, C),
        ("COPY t (a, b) TO STDOUT WITH (FORMAT csv)", Read, C),
        ("COPY (SELECT * FROM t) TO STDOUT", Read, C),
        ("COPY (DELETE FROM t RETURNING *) TO STDOUT", Write, C),
        ("COPY t FROM STDIN", Write, C),
        ("COPY t TO '/tmp/x'", Write, C),
        ("COPY t TO PROGRAM 'cat'", Write, C),
        ("BEGIN", Begin, N),
        ("BEGIN READ ONLY", Begin, Facts::READ_ONLY),
        ("START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY", Begin, Facts::READ_ONLY),
        ("BEGIN READ WRITE", Begin, N),
        ("COMMIT", End, N),
        ("END", End, N),
        ("ROLLBACK TO SAVEPOINT a", End, N),
        ("SAVEPOINT a", End, N),
        ("PREPARE TRANSACTION 'x'", End, N),
        ("COMMIT PREPARED 'x'", Write, N),
        ("ROLLBACK PREPARED 'x'", Write, N),
        ("SET a = 1", Session, N),
        ("SET LOCAL a = 1", Session, N),
        ("LISTEN c", Session, S),
        ("UNLISTEN c", Session, N),
        ("PREPARE p AS SELECT 1", Session, S),
        ("DEALLOCATE p", Session, N),
        ("DECLARE c CURSOR FOR SELECT 1", Session, N),
        ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", Session, S),
        ("FETCH 1 FROM c", Session, N),
        ("LOAD 'x'", Session, S),
        ("EXECUTE p(1)", Unknown, V),
        ("VACUUM t", Utility, N),
        ("REFRESH MATERIALIZED VIEW v", Utility, N),
        ("CREATE TABLE t (a int)", Ddl, N),
        ("CREATE TEMP TABLE t (a int)", Ddl, S),
        ("CREATE LOCAL TEMPORARY TABLE t AS SELECT 1", Ddl, S),
        ("CREATE OR REPLACE TEMP VIEW v AS SELECT 1", Ddl, S),
        ("CREATE TABLE pg_temp.t AS SELECT 1", Ddl, S),
        ("CREATE TABLE temp AS SELECT 1", Ddl, N),
        ("TRUNCATE t", Ddl, N),
        ("GRANT SELECT ON t TO u", Ddl, N),
        ("FROBNICATE t", Unknown, N),
        ("SELECT now()", Read, N),
        ("SELECT NOW ()", Read, N),
        ("SELECT pg_catalog.now()", Read, N),
        ("SELECT unknown_function()", Read, V),
        ("SELECT \"Writes\"()", Read, V),
        ("SELECT app.safe(1)", Read, N),
        ("SELECT other.safe(1)", Read, V),
        ("SELECT * FROM generate_series(1, 3) g(i)", Read, N),
        ("SELECT * FROM generate_series(1, 3) AS g(i)", Read, N),
        ("SELECT * FROM (VALUES (1)) v(x)", Read, N),
        ("SELECT * FROM t a(x), writes() b", Read, V),
        ("SELECT * FROM t, LATERAL writes(t.a)", Read, V),
        ("SELECT * FROM t JOIN volatile_view v ON true", Read, V),
        ("SELECT * FROM public.volatile_view", Read, V),
        ("SELECT volatile_view.a FROM t volatile_view", Read, V),
        ("SELECT DISTINCT ON (a) writes(a) FROM t", Read, V),
        ("SELECT a IS DISTINCT FROM b AND writes() FROM t", Read, V),
        ("SELECT * FROM t WHERE writes(a)", Read, V),
        ("SELECT * FROM t ORDER BY writes(a)", Read, V),
        ("SELECT CASE WHEN true THEN writes() END", Read, V),
        ("SELECT a |+| b FROM t", Read, V),
        ("SELECT a + b FROM t", Read, N),
        ("SELECT x::numeric(10,2), CAST(y AS varchar(3)) FROM t", Read, N),
        ("SELECT coalesce(a, b), nullif(a, b), greatest(a), extract(year FROM d) FROM t", Read, N),
        ("SELECT count(*) FILTER (WHERE a) OVER (PARTITION BY b) FROM t", Read, N),
        ("SELECT over(1)", Read, V),
        ("SELECT a FROM t GROUP BY GROUPING SETS ((a), ()), ROLLUP (a)", Read, N),
        ("SELECT a IN (1, 2), EXISTS (SELECT 1), a = ANY (ARRAY[1]), ROW (1, 2)", Read, N),
        ("SELECT current_timestamp, current_user, localtime(3)", Read, N),
        ("SELECT nextval('s')", Read, V),
        ("SELECT pg_catalog.setval('s', 1)", Read, V),
        ("SELECT lo_create(0)", Read, V),
        ("SELECT set_config('a', 'b', false)", Read, V.with(S)),
        ("SELECT set_config('a', f(1, 2), true)", Read, V),
        ("SELECT pg_advisory_lock(1)", Read, V.with(S)),
        ("SELECT pg_try_advisory_lock_shared(1)", Read, V.with(S)),
        ("SELECT pg_advisory_xact_lock(1)", Read, V),
        ("SELECT pg_advisory_unlock_all()", Read, V),
        ("SELECT E'it\\'s; DROP TABLE x'", Read, N),
        ("SELECT 'it''s; DROP TABLE x'", Read, N),
        ("SELECT U&'d\\0061t' , U&\"d\\0061t\"", Read, N),
        ("SELECT 'a", Unknown, N),
        ("SELECT \"a", Unknown, N),
        ("SELECT $x$ a", Unknown, N),
        ("SELECT 1 /* a", Unknown, N),
        ("SELECT a$b$ FROM t", Read, N),
        ("SELECT 1--2\n, 3", Read, N),
        ("SELECT 1+/* ; DELETE */2", Read, N),
        ("CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 1 END; END", Ddl, V),
        ("CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2)", Ddl, N),
        ("/* howdah: primary */ SELECT 1", Read, Facts::HINT_PRIMARY),
        ("SELECT 1 /*HOWDAH:Replica*/", Read, Facts::HINT_REPLICA),
        ("SELECT 1 -- howdah: replica", Read, Facts::HINT_REPLICA),
        ("SELECT /* howdah: primary */ 1", Read, N),
    ];
    let wrong: Vec<_> = cases
        .iter()
        .map(|(sql, kind, facts)| (sql, (*kind, *facts), look(sql)))
        .filter(|(_, expected, found)| *expected != (found.kind, found.facts))
        .map(|(sql, expected, found)| format!("{sql}: {:?} {:?}, not {expected:?}", found.kind, found.facts))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn effects() {
    let set = |name: &str, value: &str| Effect::Set { name: name.into(), value: value.into() };
    let reset = |name: &str| Effect::Reset { name: name.into() };
    let cases = [
        ("SET work_mem TO '1MB'", set("work_mem", "'1MB'")),
        ("set session Work_Mem = 64 ;", set("work_mem", "64")),
        ("SET search_path TO a, \"B\"", set("search_path", "a, \"B\"")),
        ("SET app.user_id = 'x'", set("app.user_id", "'x'")),
        ("SET TIME ZONE 'UTC'", set("timezone", "'UTC'")),
        ("SET TIME ZONE INTERVAL '1' HOUR", Effect::Pin(PinReason::Settings)),
        ("SET NAMES 'latin1'", set("client_encoding", "'latin1'")),
        ("SET a TO DEFAULT", reset("a")),
        ("SET LOCAL a = 1", Effect::None),
        ("SET TRANSACTION READ ONLY", Effect::None),
        ("SET ROLE x", Effect::Pin(PinReason::Settings)),
        ("SET role = x", Effect::Pin(PinReason::Settings)),
        ("SET SESSION AUTHORIZATION x", Effect::Pin(PinReason::Settings)),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", Effect::Pin(PinReason::Settings)),
        ("SET a", Effect::Pin(PinReason::Settings)),
        ("SET a = 1; SELECT 1", Effect::Pin(PinReason::Settings)),
        ("SELECT 1; SET a = 1", Effect::Pin(PinReason::Settings)),
        ("RESET a", reset("a")),
        ("RESET ALL", Effect::ResetAll),
        ("RESET TIME ZONE", reset("timezone")),
        ("RESET ROLE", Effect::Pin(PinReason::Settings)),
        ("DISCARD ALL", Effect::DiscardAll),
        ("DEALLOCATE ALL", Effect::Deallocate(None)),
        ("DEALLOCATE PREPARE \"A b\"", Effect::Deallocate(Some("A b".into()))),
        ("BEGIN READ ONLY", Effect::Begin { read_only: true }),
        ("COMMIT", Effect::End),
        ("ROLLBACK TO a", Effect::None),
        ("SAVEPOINT a", Effect::None),
        ("LISTEN c", Effect::Pin(PinReason::Listen)),
        ("BEGIN; COMMIT", Effect::None),
    ];
    for (sql, effect) in cases {
        assert_eq!(look(sql).effect, effect, "{sql}");
    }
}

#[test]
fn digests() {
    let same = [
        ("SELECT 1", "select  2 -- x"),
        ("SELECT * FROM t WHERE a = 'x'", "select * from T where A='it''s'"),
        ("SELECT a IN (1)", "SELECT a IN (1, 2, 3)"),
        ("INSERT INTO t VALUES (1, 2)", "INSERT INTO t VALUES (1, 2), (3, 4), (5, 6)"),
        ("SELECT $$a$$, 1.5e3", "SELECT E'b', 7"),
        ("SELECT 1 /* howdah: primary */", "SELECT 1"),
    ];
    for (a, b) in same {
        assert_eq!(look(a).digest, look(b).digest, "{a} / {b}");
    }
    let different = [
        ("SELECT a", "SELECT b"),
        ("SELECT \"A\"", "SELECT \"a\""),
        ("SELECT $1", "SELECT $2"),
        ("SELECT f(1)", "SELECT f(1), 2"),
        ("SELECT 1, a", "SELECT 1, 2, b"),
        ("SELECT (1), (a)", "SELECT (1), (2)"),
        ("SELECT (1), (2, a)", "SELECT (1), (2), a"),
    ];
    for (a, b) in different {
        assert_ne!(look(a).digest, look(b).digest, "{a} / {b}");
    }
    // Digests are written into deny lists: they must not change between versions.
    assert_eq!(look("SELECT 1").digest, look("SELECT 99").digest);
}

#[test]
fn backslashes_escape_when_strings_do_not_conform() {
    let sql = br"SELECT 'it\'; DELETE FROM t; --'";
    let conforming = scan(sql, ScanOptions::default(), &NoCatalog);
    let escaping = scan(sql, ScanOptions { backslash_escapes: true }, &NoCatalog);
    assert_eq!(conforming.kind, Kind::Write);
    assert_eq!(escaping.kind, Kind::Read);
}

#[test]
fn parameters_are_counted() {
    assert_eq!(look("SELECT $1, $3, '$9', a$7").parameters, 3);
    assert_eq!(look("SELECT $99999999999").parameters, u16::MAX);
}

#[test]
fn rewrites_keep_their_shape() {
    let same = |a: &str, b: &str| crate::same_shape(&look(a), &look(b));
    assert!(same("SELECT $1", "SELECT $1 FROM t"));
    assert!(!same("SELECT $1", "SELECT 1"));
    assert!(!same("SELECT 1", "COMMIT"));
    assert!(!same("BEGIN", "COMMIT"));
    assert!(!same("SELECT 1", "SELECT 1; COMMIT"));
    assert!(!same("SELECT 1", "SELECT 'oops"));
}

#[test]
fn tags_come_from_outer_comments() {
    let sql = b"/*app='web',route='%2Fa%20b'*/ SELECT /* app='inner' */ 1 /* action='x' */;";
    assert_eq!(tag(sql, "app").unwrap(), "web");
    assert_eq!(tag(sql, "route").unwrap(), "/a b");
    assert_eq!(tag(sql, "action").unwrap(), "x");
    assert_eq!(tag(sql, "none"), None);
    assert_eq!(tag(b"SELECT '/* app=''x'' */'", "app"), None);
}

#[test]
fn too_long_is_unknown() {
    let sql = vec![b' '; crate::MAX_SCAN_LEN + 1];
    assert_eq!(scan(&sql, ScanOptions::default(), &Known).kind, Kind::Unknown);
}

proptest! {
    #[test]
    fn never_panics(text in proptest::collection::vec(any::<u8>(), 0..200), escapes: bool) {
        let _ = scan(&text, ScanOptions { backslash_escapes: escapes }, &Known);
        let _ = tag(&text, "a");
    }

    #[test]
    fn never_panics_on_sql_like_text(
        parts in proptest::collection::vec(
            prop_oneof![
                Just("SELECT"), Just("FROM"), Just("("), Just(")"), Just(","), Just("'"), Just("\""),
                Just("$$"), Just("$a$"), Just("/*"), Just("*/"), Just("--"), Just("\n"), Just(";"),
                Just("WITH"), Just("AS"), Just("INSERT"), Just("f"), Just("."), Just("::"), Just("SET"),
                Just("$1"), Just("E'"), Just("\\"), Just("CREATE"), Just("BEGIN"), Just("ATOMIC"),
                Just("é"), Just("1"), Just("COPY"), Just("ON"), Just("DISTINCT"), Just(" "),
            ],
            0..40,
        )
    ) {
        let text = parts.concat();
        let _ = scan(text.as_bytes(), ScanOptions::default(), &Known);
    }

    #[test]
    fn blanks_change_nothing(gap in "( |\n|\t|/\\* x \\*/|-- y\n){1,4}") {
        let sql = |gap: &str| ["SELECT", "a", ",", "f", "(", "'x'", ")", "FROM", "t", "FOR", "UPDATE"].join(gap);
        prop_assert_eq!(look(&sql(" ")), look(&sql(&gap)));
    }
}
