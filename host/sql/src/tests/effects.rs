//! What texts do to their session.

use super::look;
use crate::{Effect, PinReason, same_shape, tag};

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
        ("SET LOCAL a = 1", Effect::None),
        ("SET TRANSACTION READ ONLY", Effect::None),
        ("SET ROLE x", pin()),
        ("SET role = x", pin()),
        ("SET SESSION AUTHORIZATION x", pin()),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", pin()),
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
        ("SET XML OPTION DOCUMENT", pin()),
        ("SET search_path = pg_temp", Effect::Pin(PinReason::TemporaryTable)),
        ("SET search_path TO 'pg_temp', a", Effect::Pin(PinReason::TemporaryTable)),
        ("SET search_path TO a, pg_temp", set("search_path", "a, pg_temp")),
        ("SET SESSION AUTHORIZATION DEFAULT", Effect::None),
        ("SET ROLE NONE", Effect::None),
        ("RESET SESSION AUTHORIZATION", Effect::None),
        ("RESET TRANSACTION ISOLATION LEVEL", Effect::None),
        ("RESET a", reset("a")),
        ("RESET ALL", Effect::ResetAll),
        ("RESET TIME ZONE", reset("timezone")),
        ("RESET ROLE", Effect::None),
        ("DISCARD ALL", Effect::DiscardAll),
        ("DEALLOCATE ALL", Effect::Deallocate(None)),
        ("DEALLOCATE PREPARE \"A b\"", Effect::Deallocate(Some("A b".into()))),
        ("BEGIN READ ONLY", Effect::Begin { read_only: true }),
        ("COMMIT", Effect::End),
        ("ROLLBACK TO a", Effect::None),
        ("SAVEPOINT a", Effect::None),
        ("LISTEN c", Effect::Pin(PinReason::Listen)),
        ("COMMIT AND CHAIN", Effect::End),
        ("ABORT", Effect::End),
        ("END WORK", Effect::End),
        ("ROLLBACK TRANSACTION TO SAVEPOINT a", Effect::None),
        ("RELEASE SAVEPOINT a", Effect::None),
        ("PREPARE TRANSACTION 'a'", Effect::None),
        ("COMMIT PREPARED 'a'", Effect::None),
        ("START TRANSACTION READ WRITE", Effect::Begin { read_only: false }),
        ("DEALLOCATE prepare", Effect::Deallocate(Some("prepare".into()))),
        ("DEALLOCATE Abc", Effect::Deallocate(Some("abc".into()))),
        ("DEALLOCATE \"all\"", Effect::Deallocate(Some("all".into()))),
        ("DISCARD PLANS", Effect::None),
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
        assert_eq!(look(sql).effect, effect, "{sql}");
    }
}

#[test]
fn effects_of_several_statements() {
    let pin = || Effect::Pin(PinReason::Settings);
    let set = || Effect::Set { name: "a".into(), value: "1".into() };
    let cases = [
        ("BEGIN; COMMIT", Effect::None),
        ("SELECT 1; COMMIT", Effect::None),
        ("SET a = 1; SELECT 1", set()),
        ("SELECT 1; SET a = 1;", set()),
        ("SET a = 1; SET b = 2", pin()),
        ("BEGIN; SET a = 1; COMMIT", pin()),
        ("SET a = 1; LISTEN c", Effect::Pin(PinReason::Listen)),
        ("LISTEN c; SET a = 1; SET b = 2", Effect::Pin(PinReason::Listen)),
        ("SELECT 1; DISCARD ALL", pin()),
        ("SELECT 1; DEALLOCATE a", Effect::None),
        ("SELECT 1; DEALLOCATE ALL", Effect::Deallocate(None)),
        ("DEALLOCATE ALL; RESET ALL", pin()),
        // How asyncpg and Npgsql clean up.
        ("SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL;", Effect::ResetAll),
        (
            "SET SESSION AUTHORIZATION DEFAULT;RESET ALL;CLOSE ALL;UNLISTEN *;\
             SELECT pg_advisory_unlock_all();DISCARD SEQUENCES;DISCARD TEMP",
            Effect::ResetAll,
        ),
    ];
    for (sql, effect) in cases {
        assert_eq!(look(sql).effect, effect, "{sql}");
    }
}

#[test]
fn names_that_are_no_utf8_are_not_followed() {
    let found = crate::scan(b"SET \"a\xff\" = 1", Default::default(), &crate::NoCatalog);
    assert_eq!(found.effect, Effect::Pin(PinReason::Settings));
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
fn tags_come_from_outer_comments() {
    let sql = b"/*app='web',route='%2Fa%20b'*/ SELECT /* app='inner' */ 1 /* action='x' */;";
    assert_eq!(tag(sql, "app").unwrap(), "web");
    assert_eq!(tag(sql, "route").unwrap(), "/a b");
    assert_eq!(tag(sql, "action").unwrap(), "x");
    assert_eq!(tag(sql, "none"), None);
    assert_eq!(tag(b"SELECT '/* app=''x'' */'", "app"), None);
    assert_eq!(tag(b"SELECT 1 /* a='1' */ /* b='it\\'s' */ -- c='3'", "b").unwrap(), "it's");
    assert_eq!(tag(b"SELECT 1 /* a='1' */ /* b='2' */ -- c='3'", "c").unwrap(), "3");
    assert_eq!(tag(b"/* a='1' */ SELECT 1 /* a='2' */", "a").unwrap(), "2");
    assert_eq!(tag(b"SELECT 1 /* a='%zz', b='%f', c='%ff', d */", "a"), None);
    assert_eq!(tag(b"SELECT 1 /* a='%f", "a"), None);
    assert_eq!(tag(b"SELECT 1", "a"), None);
}
