//! What texts do to their session.

use super::look;
use crate::{Catalog, Effect, PinReason, ScanOptions, Volatility, same_shape, scan, tag};

#[test]
fn effects() {
    let set = |name: &str, value: &str| Effect::Set { name: name.into(), value: value.into() };
    let pin = || Effect::Pin(PinReason::Settings);
    let reset = |name: &str| Effect::Reset { name: name.into() };
    let cases = [
        ("SET work_mem TO '1MB'", set("work_mem", "'1MB'")),
        ("set session Work_Mem = 64 ;", set("work_mem", "64")),
        ("SET search_path TO a, \"B\"", set("search_path", "a, \"B\"")),
        ("SET app.user_id = 'x'", set("app.user_id", "'x'")),
        ("SET TIME ZONE 'UTC'", set("timezone", "'UTC'")),
        ("SET TIME ZONE INTERVAL '1' HOUR", pin()),
        ("SET NAMES 'latin1'", set("client_encoding", "'latin1'")),
        ("SET a TO DEFAULT", reset("a")),
        ("SET LOCAL a = 1", Effect::SetLocal { name: "a".into() }),
        ("SET LOCAL ROLE x", Effect::SetLocal { name: "role".into() }),
        ("SET LOCAL seed = 1", Effect::None),
        ("SET TRANSACTION READ ONLY", Effect::None),
        ("SET ROLE x", set("role", "x")),
        ("SET role = x", set("role", "x")),
        ("SET role TO 'x'", set("role", "'x'")),
        ("SET SESSION AUTHORIZATION x", set("session_authorization", "x")),
        (
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
            set("default_transaction_read_only", "on"),
        ),
        (
            "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL repeatable  READ",
            set("default_transaction_isolation", "'repeatable READ'"),
        ),
        (
            "SET SESSION CHARACTERISTICS AS TRANSACTION NOT DEFERRABLE",
            set("default_transaction_deferrable", "off"),
        ),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY, DEFERRABLE", pin()),
        ("SET a", pin()),
        ("SET a FROM CURRENT", pin()),
        ("SET names", reset("client_encoding")),
        ("SET SCHEMA 'x'", set("search_path", "'x'")),
        ("SET TIME ZONE LOCAL", reset("timezone")),
        ("SET TIME ZONE DEFAULT", reset("timezone")),
        ("SET TIME ZONE -7", set("timezone", "-7")),
        ("SET \"A\".b TO $$x;y$$ -- z", set("A.b", "$$x;y$$")),
        ("/* x */ SET/**/a/**/=/**/'y' /* z */;", set("a", "'y'")),
        ("SET transaction_isolation = 'serializable'", Effect::None),
        ("SET SESSION transaction_read_only TO on", Effect::None),
        ("SET seed = 0.5", pin()),
        ("SET CONSTRAINTS ALL DEFERRED", Effect::None),
        ("SET XML OPTION DOCUMENT", set("xmloption", "DOCUMENT")),
        ("SET search_path = pg_temp", pin()),
        ("SET search_path TO 'pg_temp', a", pin()),
        ("SET search_path TO a, pg_temp", set("search_path", "a, pg_temp")),
        ("SET SESSION AUTHORIZATION DEFAULT", reset("session_authorization")),
        ("SET ROLE NONE", set("role", "NONE")),
        ("RESET SESSION AUTHORIZATION", reset("session_authorization")),
        ("RESET TRANSACTION ISOLATION LEVEL", Effect::None),
        ("RESET a", reset("a")),
        ("RESET ALL", Effect::ResetAll),
        ("RESET TIME ZONE", reset("timezone")),
        ("RESET ROLE", reset("role")),
        ("DISCARD ALL", Effect::DiscardAll),
        ("DEALLOCATE ALL", Effect::Deallocate(None)),
        ("DEALLOCATE PREPARE \"A b\"", Effect::Deallocate(Some("A b".into()))),
        ("BEGIN READ ONLY", Effect::Begin { read_only: true }),
        ("COMMIT", Effect::End),
        ("ROLLBACK TO a", Effect::RollbackTo("a".into())),
        ("SAVEPOINT \"A b\"", Effect::Savepoint("A b".into())),
        ("LISTEN c", Effect::Pin(PinReason::Listen)),
        ("COMMIT AND CHAIN", Effect::End),
        ("ABORT", Effect::End),
        ("END WORK", Effect::End),
        ("ROLLBACK TRANSACTION TO SAVEPOINT a", Effect::RollbackTo("a".into())),
        ("RELEASE SAVEPOINT a", Effect::Release("a".into())),
        ("RELEASE a", Effect::Release("a".into())),
        ("PREPARE TRANSACTION 'a'", Effect::None),
        ("COMMIT PREPARED 'a'", Effect::None),
        ("START TRANSACTION READ WRITE", Effect::Begin { read_only: false }),
        ("DEALLOCATE prepare", Effect::Deallocate(Some("prepare".into()))),
        ("DEALLOCATE Abc", Effect::Deallocate(Some("abc".into()))),
        ("SELECT lastval()", Effect::Pin(PinReason::Sequence)),
        ("SELECT nextval('s')", Effect::None),
        ("DO $$ BEGIN EXECUTE 'SET ROLE r'; END $$", Effect::Pin(PinReason::Settings)),
        ("DO 'BEGIN PERFORM 1; END'", Effect::None),
        ("EXECUTE P(1, 'x')", Effect::Execute("p".into())),
        ("EXPLAIN (ANALYZE) EXECUTE \"P\"", Effect::Execute("P".into())),
        ("CREATE TABLE t AS EXECUTE p (1)", Effect::Execute("p".into())),
        ("GRANT EXECUTE ON FUNCTION f TO g", Effect::None),
        ("DEALLOCATE \"all\"", Effect::Deallocate(Some("all".into()))),
        ("DISCARD PLANS", Effect::DiscardPlans),
        ("DISCARD TEMP", Effect::Unpin),
        ("DROP TABLE t", Effect::Unpin),
        ("UNLISTEN *", Effect::Unpin),
        ("SELECT pg_advisory_unlock(1)", Effect::Unpin),
        ("PREPARE a AS SELECT 1", Effect::Pin(PinReason::SqlPrepare)),
        ("LOAD 'a'", Effect::Pin(PinReason::Load)),
        ("CREATE TEMP TABLE t (a int)", Effect::Pin(PinReason::TemporaryTable)),
        ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", Effect::Pin(PinReason::HoldCursor)),
        ("SELECT pg_advisory_lock(1)", Effect::Pin(PinReason::AdvisoryLock)),
        ("SELECT set_config('a', 'b', false)", pin()),
        ("SELECT 1", Effect::None),
        ("", Effect::None),
    ];
    for (sql, effect) in cases {
        assert_eq!(*look(sql).only_effect(), effect, "{sql}");
    }
}

#[test]
fn effects_of_several_statements() {
    let set = |name: &str| Effect::Set { name: name.into(), value: "1".into() };
    let begin = || Effect::Begin { read_only: false };
    let none = || Effect::None;
    let listen = || Effect::Pin(PinReason::Listen);
    let cases = [
        ("SELECT 1; SELECT 2", vec![]),
        (";BEGIN;; COMMIT;", vec![begin(), Effect::End]),
        ("SELECT 1; COMMIT", vec![none(), Effect::End]),
        ("SET a = 1; SELECT 1", vec![set("a"), none()]),
        ("SELECT 1; SET a = 1;", vec![none(), set("a")]),
        ("SET a = 1; SET b = 1", vec![set("a"), set("b")]),
        ("SELECT 1; LISTEN c; SET a = 1", vec![none(), listen(), set("a")]),
        ("DEALLOCATE ALL; RESET ALL", vec![Effect::Deallocate(None), Effect::ResetAll]),
    ];
    for (sql, effects) in cases {
        assert_eq!(*look(sql).effects, effects, "{sql}");
    }
    assert_eq!(look("SELECT 1; LISTEN c; LOAD 'x'").pin(), Some(PinReason::Listen));
    let many = look(&"SET a = 1;".repeat(2_000));
    assert_eq!((many.statements, many.effects.len()), (2_000, 1_000));
    assert_eq!(many.pin(), Some(PinReason::Unseen));
}

#[test]
fn names_that_are_no_utf8_are_not_followed() {
    let found = crate::scan(b"SET \"a\xff\" = 1", Default::default(), &crate::NoCatalog);
    assert_eq!(*found.effects, [Effect::Pin(PinReason::Settings)]);
}

#[test]
fn parameters_are_counted() {
    assert_eq!(look("SELECT $1, $3, '$9', a$7").parameters, 3);
    assert_eq!(look("SELECT $99999999999").parameters, u16::MAX);
}

#[test]
fn rewrites_keep_their_shape() {
    let same = |a: &str, b: &str| same_shape(&look(a), &look(b));
    assert!(same("SELECT $1", "SELECT $1 FROM t"));
    assert!(!same("SELECT $1", "SELECT 1"));
    assert!(!same("SELECT 1", "COMMIT"));
    assert!(!same("BEGIN", "COMMIT"));
    assert!(!same("BEGIN", "BEGIN READ ONLY"));
    assert!(!same("SELECT 1", "SELECT 1; COMMIT"));
    assert!(!same("DELETE FROM t", "DELETE FROM t; COMMIT"));
    assert!(!same("DELETE FROM t; SELECT 1", "DELETE FROM t; COMMIT"));
    assert!(!same("DELETE FROM t; COMMIT; SELECT 1", "COMMIT; DELETE FROM t"));
    assert!(!same("SELECT 1", "SELECT 1; SELECT 2"));
    assert!(!same("SELECT 1", ""));
    assert!(!same("SELECT 1", "SELECT 'oops"));
    assert!(!same("EXECUTE p", "SELECT 1"));
    let many = "COMMIT;".repeat(30);
    assert!(!same(&many, &many));
    assert_eq!(look("SELECT 1; DELETE FROM t").boundaries, 0);
    assert_ne!(look("DELETE FROM t; COMMIT").boundaries, 0);
}

#[test]
fn what_ends_a_transaction_is_known() {
    for sql in ["COMMIT", "end work;", "/* a */ COMMIT TRANSACTION -- b"] {
        assert!(look(sql).commits() && !look(sql).rolls_back(), "{sql}");
    }
    for sql in ["ROLLBACK", "abort work"] {
        assert!(look(sql).rolls_back() && !look(sql).commits(), "{sql}");
    }
    for sql in [
        "COMMIT AND CHAIN",
        "ROLLBACK AND CHAIN",
        "COMMIT PREPARED 'x'",
        "PREPARE TRANSACTION 'x'",
        "ROLLBACK TO a",
        "RELEASE a",
        "COMMIT; SELECT 1",
        "SELECT 1; COMMIT",
        "COMMIT; COMMIT",
        "SELECT 'COMMIT'",
    ] {
        assert!(!look(sql).commits() && !look(sql).rolls_back(), "{sql}");
    }
    assert!(!same_shape(&look("COMMIT AND CHAIN"), &look("COMMIT")));
    assert!(!same_shape(&look("COMMIT AND CHAIN"), &look("ROLLBACK AND CHAIN")));
}

/// What may have an effect at the end of its transaction although it writes nothing.
#[test]
fn what_may_notify_is_known() {
    for sql in ["NOTIFY a", "SELECT pg_notify('a', 'b')", "CALL p()", "DO 'x'", "SELECT f()"] {
        assert!(look(sql).defers, "{sql}");
    }
    assert!(!look("UPDATE t SET a = 1").defers);
}

/// What any transaction block takes, and what it may not.
#[test]
fn a_single_query_is_known() {
    for sql in [
        "SELECT f()",
        "WITH a AS (INSERT INTO t VALUES (1) RETURNING b) TABLE a;",
        "/* x */ INSERT INTO t VALUES (1)",
        "UPDATE t SET a = 1",
        "DELETE FROM t",
        "MERGE INTO t USING u ON true WHEN MATCHED THEN DELETE",
        "(VALUES (1))",
    ] {
        assert!(look(sql).query, "{sql}");
    }
    for sql in [
        "",
        "VACUUM",
        "CALL p()",
        "DO 'x'",
        "COPY t FROM STDIN",
        "CREATE DATABASE d",
        "NOTIFY a",
        "BEGIN",
        "EXECUTE s",
        "EXPLAIN ANALYZE INSERT INTO t VALUES (1)",
        "INSERT INTO t VALUES (1); COMMIT",
        "COMMIT; INSERT INTO t VALUES (1)",
    ] {
        assert!(!look(sql).query, "{sql}");
    }
}

#[test]
fn tags_come_from_outer_comments() {
    let sql = b"/*app='web',route='%2Fa%20b'*/ SELECT /* app='inner' */ 1 /* action='x' */;";
    assert_eq!(tag(sql, "app").unwrap(), "web");
    assert_eq!(tag(sql, "route").unwrap(), "/a b");
    assert_eq!(tag(sql, "action").unwrap(), "x");
    assert_eq!(tag(sql, "none"), None);
    let all: Vec<String> = crate::tags(sql).into_iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(all, ["action=x", "app=web", "route=/a b"]);
    assert_eq!(tag(b"SELECT '/* app=''x'' */'", "app"), None);
    assert_eq!(tag(b"SELECT 1 /* a='1' */ /* b='it\\'s' */ -- c='3'", "b").unwrap(), "it's");
    assert_eq!(tag(b"SELECT 1 /* a='1' */ /* b='2' */ -- c='3'", "c").unwrap(), "3");
    assert_eq!(tag(b"/* a='1' */ SELECT 1 /* a='2' */", "a").unwrap(), "2");
    assert_eq!(tag(b"SELECT 1 /* a='%zz', b='%f', c='%ff', d */", "a"), None);
    assert_eq!(tag(b"SELECT 1 /* a='%f", "a"), None);
    assert_eq!(tag(b"SELECT 1", "a"), None);
}

/// Knows functions, an operator and a view that leave something behind.
struct Leaving;

impl Catalog for Leaving {
    fn function(&self, _: Option<&str>, name: &str) -> Volatility {
        match name {
            "new" => Volatility::Unknown,
            _ => Volatility::Immutable,
        }
    }

    fn relation_is_volatile(&self, _: Option<&str>, _: &str) -> bool {
        false
    }

    fn operator_is_volatile(&self, _: &str) -> bool {
        false
    }

    fn pins(&self, name: &str) -> Option<PinReason> {
        matches!(name, "leaves" | "|+|" | "view").then_some(PinReason::Settings)
    }

    fn unknown_pins(&self) -> Option<PinReason> {
        Some(PinReason::UnknownFunction)
    }
}

#[test]
fn what_leaves_something_behind_is_found_however_it_is_used() {
    let pin = |sql: &str| scan(sql.as_bytes(), ScanOptions::default(), &Leaving).pin();
    for sql in [
        "SELECT leaves()",
        "SELECT t.leaves FROM t",
        "SELECT (t).\"leaves\" FROM t",
        "SELECT 1 |+| 2",
        "SELECT 1 OPERATOR(public.|+|) 2",
        "SELECT * FROM a JOIN public.view ON true",
        "DO 'BEGIN PERFORM 1 |+| 2; END'",
        "CREATE TABLE t AS SELECT leaves()",
        "ALTER TABLE t ADD a int DEFAULT leaves()",
    ] {
        assert_eq!(pin(sql), Some(PinReason::Settings), "{sql}");
    }
    for sql in [
        "DO LANGUAGE plperl 'return 1'",
        "DO 'return 1' LANGUAGE 'plperl'",
        "DO $$ return 1 $$ language \"plperl\"",
    ] {
        assert_eq!(pin(sql), Some(PinReason::Function), "{sql}");
    }
    for sql in ["DO LANGUAGE plpgsql 'BEGIN END'", "DO 'BEGIN END' LANGUAGE 'plpgsql'"] {
        assert_eq!(pin(sql), None, "{sql}");
    }
    assert_eq!(pin("SELECT new(1)"), Some(PinReason::UnknownFunction));
    for sql in ["SELECT known(1)", "SELECT leaves FROM t", "SELECT json_new(1)", "EXECUTE new(1)"] {
        assert_eq!(pin(sql), None, "{sql}");
    }
}

#[test]
fn definitions_by_which_others_may_leave_something_behind_are_seen() {
    let arms = |sql: &str| scan(sql.as_bytes(), ScanOptions::default(), &Leaving).arms;
    for sql in [
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT leaves()'",
        "CREATE OR REPLACE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN SET a.b = 1; END $$",
        "CREATE FUNCTION f() RETURNS int RETURN leaves()",
        "CREATE TRIGGER t BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION leaves()",
        "CREATE OPERATOR + (FUNCTION = leaves, LEFTARG = a)",
        "CREATE VIEW v AS SELECT set_config('a.b', 'c', false)",
        "CREATE TABLE t (a int DEFAULT (1 |+| 2))",
        "CREATE TABLE t (a int DEFAULT \"leaves\"())",
        "ALTER FUNCTION leaves() RENAME TO calm",
        "CREATE EXTENSION x",
        "CREATE FUNCTION f() RETURNS int LANGUAGE plperl AS 'return 1'",
        "CREATE FUNCTION f() RETURNS int AS 'return 1' LANGUAGE 'plperl'",
        "SELECT 1; COMMIT PREPARED 'x'",
    ] {
        assert!(arms(sql), "{sql}");
    }
    for sql in [
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT calm()'",
        "CREATE TABLE t (a int DEFAULT calm(), leave text)",
        "CREATE INDEX ON t (lower(a))",
        "SELECT leaves()",
    ] {
        assert!(!arms(sql), "{sql}");
    }
}
