//! The table of texts, with what they are.

use howdah_decision::{Facts, Kind};

use super::look;
use crate::{NoCatalog, ScanOptions, scan};

const N: Facts = Facts::NONE;
const V: Facts = Facts::VOLATILE;
const L: Facts = Facts::LOCKS_ROWS;
const S: Facts = Facts::STICKY;
const C: Facts = Facts::COPY;
const M: Facts = Facts::SEVERAL;
const R: Facts = Facts::READ_ONLY;
const P: Facts = Facts::HINT_PRIMARY;
const U: Facts = Facts::UNBOUNDED;

use Kind::*;

#[rustfmt::skip]
const CASES: &[(&str, Kind, Facts)] = &[
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
    (
        "WITH RECURSIVE x(n) AS (VALUES (1) UNION ALL SELECT n+1 FROM x) SELECT sum(n) FROM x",
        Read,
        N,
    ),
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
    ("DO $$ BEGIN END $$", Write, V),
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
    ("COPY t TO '/f'", Write, C),
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
    ("EXECUTE p(1)", Unknown, N),
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
    ("SELECT set_config('a', 'b', false)", Read, V.with(S)),
    ("SELECT set_config('a', f(1, 2), true)", Read, V),
    ("SELECT pg_advisory_lock(1)", Read, V.with(S)),
    ("SELECT pg_try_advisory_lock_shared(1)", Read, V.with(S)),
    ("SELECT pg_advisory_xact_lock(1)", Read, V),
    ("SELECT pg_advisory_unlock_all()", Read, V),
    ("SELECT E'it\\'s; DROP TABLE x'", Read, N),
    ("SELECT 'it''s; DROP TABLE x'", Read, N),
    ("SELECT U&'d\\0061t; DROP TABLE x', U&\"d; DELETE\" FROM t", Read, N),
    ("SELECT 'a", Unknown, N),
    ("SELECT \"a", Unknown, N),
    ("SELECT $x$ a", Unknown, N),
    ("SELECT 1 /* a", Unknown, N),
    ("SELECT a$b$ FROM t", Read, N),
    ("SELECT 1--2\n, 3", Read, N),
    ("SELECT 1+/* ; DELETE */2", Read, N),
    (
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 1 END; END",
        Ddl,
        N,
    ),
    ("CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2)", Ddl, N),
    ("/* howdah: primary */ SELECT 1", Read, Facts::HINT_PRIMARY),
    ("SELECT 1 /*HOWDAH:Replica*/", Read, Facts::HINT_REPLICA),
    ("SELECT 1 -- howdah: replica", Read, Facts::HINT_REPLICA),
    ("SELECT /* howdah: primary */ 1", Read, N),

    // Words where they are no keywords.
    ("SELECT 1 AS update, 2 AS into, 3 AS for, 4 AS delete FROM t", Read, N),
    ("SELECT insert, update, delete, merge FROM t", Read, N),
    ("SELECT (update), f.delete FROM f", Read, N),
    ("SELECT t.into, t.for FROM t", Read, N),
    ("WITH delete AS (SELECT 1), insert AS (SELECT 2) SELECT * FROM delete, insert", Read, N),
    ("WITH x AS (SELECT 1), update AS (SELECT 2) SELECT * FROM x, update", Read, N),
    ("SELECT temp FROM temporary", Read, N),
    ("SELECT 1 AS \"into\" FROM \"for update\"", Read, N),
    // Words that hide.
    ("WITH x AS (WITH y AS (SELECT 1) DELETE FROM t RETURNING 1) SELECT * FROM x", Write, N),
    ("WITH x AS (SELECT 1) SELECT 1 INTO t2", Write, N),
    ("WITH RECURSIVE x AS (SELECT 1) SEARCH DEPTH FIRST BY a SET b UPDATE t SET a = 1", Write, N),
    ("WITH x AS (UPDATE ONLY t SET a = 1 RETURNING *) SELECT * FROM x", Write, N),
    ("WITH x AS (UPDATE \"t\" SET a = 1 RETURNING *) SELECT * FROM x", Write, N),
    ("WITH x AS (MERGE INTO t USING s ON true WHEN MATCHED THEN DELETE RETURNING *) SELECT 1", Write, N),
    ("(WITH x AS (DELETE FROM t RETURNING 1) SELECT * FROM x)", Write, N),
    ("SELECT 1 UNION SELECT 2 INTO t2", Write, N),
    ("(SELECT 1 INTO t2)", Write, N),
    ("SELECT 1INTO t2", Write, N),
    ("SELECT 1 INTO TEMPORARY TABLE t2", Write, S),
    ("SELECT 1 INTO LOCAL TEMP t2", Write, S),
    ("SELECT 1 INTO pg_temp.t2", Write, S),
    ("INSERT INTO t SELECT 1 FOR UPDATE", Write, L),
    ("SELECT * FROM (SELECT 1 FOR NO KEY UPDATE) x", Read, L),
    ("SELECT * FROM t FOR UPDATE OF t NOWAIT", Read, L),
    ("DELETE FROM t USING u WHERE t.a = u.a", Write, N),
    ("INSERT INTO s.t (a, b) SELECT 1, 2 ON CONFLICT (a) DO UPDATE SET (a, b) = (1, 2)", Write, N),
    ("UPDATE t SET (a, b) = (SELECT 1, 2)", Write, N),
    ("UPDATE t SET a = writes()", Write, V),
    // EXPLAIN and COPY.
    ("EXPLAIN (SELECT 1)", Read, N),
    ("EXPLAIN ((SELECT 1))", Read, N),
    ("EXPLAIN VERBOSE DELETE FROM t", Read, N),
    ("EXPLAIN ANALYZE VERBOSE DELETE FROM t", Write, N),
    ("EXPLAIN (VERBOSE, analyze ON, FORMAT json) INSERT INTO t VALUES (1)", Write, N),
    ("EXPLAIN (FORMAT 'json', COSTS 0) DELETE FROM t", Read, N),
    ("EXPLAIN WITH x AS (DELETE FROM t RETURNING 1) SELECT * FROM x", Read, N),
    ("EXPLAIN ANALYZE WITH x AS (DELETE FROM t RETURNING 1) SELECT * FROM x", Write, N),
    ("EXPLAIN ANALYZE (WITH x AS (DELETE FROM t RETURNING 1) SELECT * FROM x)", Write, N),
    ("EXPLAIN SELECT 1 INTO t2", Read, N),
    ("EXPLAIN ANALYZE SELECT 1 INTO t2", Write, N),
    ("EXPLAIN EXECUTE p", Read, N),
    ("EXPLAIN ANALYZE EXECUTE p", Unknown, N),
    ("EXPLAIN CREATE TEMP TABLE x AS SELECT 1", Read, N),
    ("EXPLAIN ANALYZE CREATE TEMP TABLE x AS SELECT 1", Ddl, S),
    ("COPY t (a) TO STDOUT WITH (FORMAT csv, FORCE_QUOTE (a))", Read, C),
    ("COPY (SELECT writes((a)) FROM t) TO STDOUT", Read, C.with(V)),
    ("EXPLAIN FROBNICATE", Read, N),
    ("EXPLAIN", Unknown, N),
    ("COPY t TO STDIN", Read, C),
    ("COPY s.t FROM STDIN (FORMAT csv, FORCE_NULL (a))", Write, C),
    ("COPY t (a) FROM PROGRAM 'to stdout'", Write, C),
    ("COPY t FROM '/f' WITH (NULL 'to stdout')", Write, C),
    ("COPY (SELECT 'to stdout') TO '/f'", Write, C),
    ("COPY (WITH x AS (DELETE FROM t RETURNING 1) SELECT * FROM x) TO STDOUT", Write, C),
    ("COPY (SELECT 1 FOR UPDATE) TO STDOUT", Read, C.with(L)),
    // Transactions.
    ("BEGIN WORK ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE", Begin, R),
    ("BEGIN READ ONLY, READ WRITE", Begin, N),
    ("START TRANSACTION", Begin, N),
    ("START", Unknown, N),
    ("BEGIN READ ONLY; SELECT 1", Begin, R.with(M)),
    ("BEGIN READ ONLY; SELECT 1; COMMIT", End, R.with(M)),
    ("BEGIN READ ONLY; SELECT 1; COMMIT; SELECT 2", End, M),
    ("BEGIN READ ONLY; COMMIT; DELETE FROM t", Write, M),
    ("BEGIN READ ONLY; SET TRANSACTION READ WRITE; DELETE FROM t", Write, M),
    ("BEGIN READ ONLY; ROLLBACK TO a; SELECT 1", End, M),
    ("SELECT 1; BEGIN READ ONLY", Begin, M),
    ("COMMIT AND CHAIN", End, N),
    ("ABORT", End, N),
    ("RELEASE a", End, N),
    ("ROLLBACK WORK TO a", End, N),
    ("PREPARE transaction AS SELECT 1", Session, S),
    ("PREPARE transaction (int) AS SELECT $1", Session, S),
    // The rest.
    ("", Empty, N),
    ("()", Unknown, N),
    ("1 SELECT 1", Unknown, N),
    ("\"select\" 1", Unknown, N),
    ("FROBNICATE SELECT 1", Unknown, N),
    ("SELECT 1; FROBNICATE", Unknown, M),
    ("DELETE FROM t; SELECT 1", Write, M),
    ("SELECT 1;;; ;SELECT 2;", Read, M),
    ("SELECT 1;", Read, N),
    (";SELECT 1", Read, N),
    ("INSERT INTO t VALUES ('a;b'); SELECT $$;$$", Write, M),
    ("REVOKE ALL ON t FROM u", Ddl, N),
    ("SECURITY LABEL ON TABLE t IS 'x'", Ddl, N),
    ("COMMENT ON TABLE t IS 'DROP'", Ddl, N),
    ("IMPORT FOREIGN SCHEMA s FROM SERVER x INTO y", Ddl, N),
    ("REASSIGN OWNED BY a TO b", Ddl, N),
    ("CREATE INDEX CONCURRENTLY i ON t USING btree (lower(a))", Ddl, N),
    ("CREATE UNLOGGED TABLE t (a int)", Ddl, N),
    ("CREATE TEMP SEQUENCE s", Ddl, S),
    ("CREATE TEMPORARY RECURSIVE VIEW v (a) AS SELECT 1", Ddl, S),
    ("CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'", Ddl, S),
    ("CREATE TABLE \"pg_temp\".t (a int)", Ddl, S),
    ("ALTER TABLE t SET SCHEMA pg_temp", Ddl, S),
    ("CREATE PROCEDURE p() BEGIN ATOMIC DELETE FROM t; DELETE FROM u; END; SELECT 1", Ddl, M),
    ("CREATE FUNCTION f() RETURNS void AS $$ BEGIN; END; $$ LANGUAGE plpgsql; SELECT 1", Ddl, M),
    ("CREATE RULE r AS ON DELETE TO t DO ALSO (DELETE FROM u; NOTIFY x); SELECT 1", Ddl, M),
    ("CHECKPOINT", Utility, N),
    ("REINDEX TABLE t", Utility, N),
    ("CLUSTER t", Utility, N),
    ("ANALYZE t (a)", Utility, N),
    ("UNLISTEN *", Session, N),
    ("CLOSE ALL", Session, N),
    ("MOVE 1 FROM c", Session, N),
    ("DECLARE c SCROLL CURSOR WITHOUT HOLD FOR SELECT 1", Session, N),
    ("DECLARE c CURSOR FOR SELECT writes() FOR UPDATE", Session, V.with(L)),
    ("DISCARD TEMP", Session, N),
    ("SET ROLE x", Session, Facts::NONE),
    ("SET ROLE NONE", Session, N),
    // set_config and advisory locks.
    ("SELECT set_config('a', 'b', TRUE)", Read, V),
    ("SELECT set_config('a', 'b', 'true')", Read, V),
    ("SELECT set_config('a', (SELECT 'x, y'), true), 1", Read, V),
    ("SELECT set_config('a', 'b', NOT true)", Read, V.with(S)),
    ("SELECT set_config('a', 'b', (true))", Read, V.with(S)),
    ("SELECT set_config('a', 'b', $1)", Read, V.with(S)),
    ("SELECT set_config('a', set_config('b', 'c', false), true)", Read, V.with(S)),
    ("SELECT set_config('a', set_config('b', 'c', true), true)", Read, V),
    ("SELECT pg_catalog.set_config('a', 'b', false)", Read, V.with(S)),
    ("SELECT \"set_config\"('a', 'b', false)", Read, V.with(S)),
    ("SELECT pg_catalog.pg_advisory_lock_shared(1)", Read, V.with(S)),
    ("SELECT \"pg_advisory_lock\"(1)", Read, V.with(S)),
    ("SELECT U&\"pg\\005fadvisory_lock\"(1)", Read, V.with(S)),
    ("SELECT * FROM pg_try_advisory_lock(1)", Read, V.with(S)),
    ("SELECT pg_try_advisory_xact_lock(1)", Read, V),
    ("SELECT pg_advisory_lock FROM t", Read, N),
    ("CREATE TABLE t AS SELECT pg_advisory_lock(1)", Ddl, S),
    ("EXPLAIN SELECT pg_advisory_lock(1)", Read, V),
    // Tokens.
    ("SELECT e'\\\\'; DELETE FROM t", Write, M),
    ("SELECT E'\\''; DELETE FROM t; --'", Write, M),
    ("SELECT B'01', X'1f', N'a;b'", Read, N),
    ("SELECT 'a'\n'b; DELETE FROM t'", Read, N),
    ("SELECT $é$ ; DELETE $é$", Read, N),
    ("SELECT $1$$;DELETE$$", Read, N),
    ("SELECT $a$ $A$ ; DELETE FROM t; $a$", Read, N),
    ("SELECT $a; DELETE FROM t", Write, M),
    ("SELECT a$$, $$; DELETE FROM t; $$", Read, N),
    ("SELECT \"a\"\"; DELETE\" FROM t", Read, N),
    ("SELECT 1 */* ; DELETE */ 2", Read, N),
    ("SELECT /*/ ; DELETE */ 2", Read, N),
    ("SELECT /* /* */ ; DELETE FROM t", Unknown, N),
    ("SELECT 1 -- /*\n; DELETE FROM t -- */", Write, M),
    ("SELECT 1 -- a\r; DELETE FROM t", Write, M),
    ("SELECT 0x1F, 1_000, 1.5e-3, .5, 1.FROM t", Read, N),
    ("SELECT (1; DELETE FROM t", Unknown, N),
    ("SELECT 1); DELETE FROM t", Write, M),
    // Hints.
    ("/* howdah: primary */ /* app='x' */ SELECT 1", Read, P),
    ("-- howdah:primary\nSELECT 1", Read, P),
    ("SELECT 1; /* howdah : PRIMARY */ ;", Read, P),
    ("SELECT 1 /* a */ /* howdah: primary */ -- b", Read, P),
    ("SELECT 1 /* howdah: primary, please */", Read, N),
    ("SELECT '/* howdah: primary */'", Read, N),
    ("SELECT 1 /* howdah: primary */ ; SELECT 2", Read, M),
    ("/* howdah: primary */", Empty, P),
];

#[test]
fn kinds_and_facts() {
    let wrong: Vec<_> = CASES
        .iter()
        .map(|(sql, kind, facts)| (sql, (*kind, *facts), look(sql)))
        // UNBOUNDED has a test of its own.
        .filter(|(_, expected, found)| *expected != (found.kind, found.facts.without(U)))
        .map(|(sql, expected, found)| {
            format!("{sql}: {:?} {:?}, not {expected:?}", found.kind, found.facts)
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
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
fn too_long_and_too_deep_are_unknown() {
    let long = " ".repeat(crate::MAX_SCAN_LEN + 1);
    let deep = format!("SELECT {}1{}", "(".repeat(100), ")".repeat(100));
    for sql in [long, deep] {
        let found = look(&sql);
        assert_eq!((found.kind, found.facts), (Kind::Unknown, V.with(S)));
        assert_eq!(found.pin(), Some(crate::PinReason::Unseen));
    }
    let open = "(".repeat(1000);
    assert_eq!(look(&open).kind, Kind::Unknown);
}
