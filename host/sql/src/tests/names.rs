//! Which functions, views and operators a text is seen to use.

use howdah_decision::{Facts, Kind};

use super::{Known, look};
use crate::{NoCatalog, ScanOptions, scan};

/// Uses nothing volatile.
const CALM: &[&str] = &[
    "SELECT now()",
    "SELECT NOW ()",
    "SELECT now/* */()",
    "SELECT pg_catalog.now()",
    "SELECT \"now\"()",
    "SELECT app.safe(1)",
    "SELECT writes, \"writes\", t.writes FROM t",
    "SELECT 'writes()', $$writes()$$, \"writes()\" FROM t -- writes()",
    "SELECT * FROM generate_series(1, 3) g(i)",
    "SELECT * FROM generate_series(1, 3) AS g(i int, j numeric(10,2))",
    "SELECT * FROM generate_series(1, 3) WITH ORDINALITY g(i, n)",
    "SELECT * FROM ROWS FROM (generate_series(1, 3), generate_series(1, 2)) AS g(a, b)",
    "SELECT * FROM (VALUES (1)) v(x)",
    "SELECT * FROM (VALUES (1)) \"v\" (x)",
    "SELECT * FROM t writes(x)",
    "SELECT * FROM s.t writes(x)",
    "SELECT * FROM t AS writes(x)",
    "SELECT * FROM t JOIN u USING (x) WHERE a IN (SELECT b FROM c)",
    "SELECT * FROM t a(x) JOIN u b(y) ON a.x = b.y JOIN (t c JOIN u d USING (z)) ON (true)",
    "SELECT * FROM t NATURAL JOIN (SELECT 1) u CROSS JOIN LATERAL (SELECT 2) v",
    "WITH writes(a, b) AS (SELECT 1, 2), y(c) AS (SELECT 3) SELECT * FROM writes, y",
    "WITH RECURSIVE writes(n) AS (VALUES (1)) SELECT sum(n) FROM writes",
    "SELECT * FROM t WHERE (SELECT 1 FROM u writes(y))",
    "SELECT x::numeric(10,2), CAST(y AS varchar(3)), CAST(y AS character varying(3)) FROM t",
    "SELECT x::vector(3), x::public.geometry(Point, 4326), CAST(x AS vector(3)) FROM t",
    "SELECT x::timestamp(3) with time zone, x::bit varying(3), x::timestamptz(3) FROM t",
    "SELECT timestamp (3) '2020-01-01', interval (3) '1 s', float(3) '1'",
    "SELECT coalesce(a, b), nullif(a, b), greatest(a), least(a), extract(year FROM d) FROM t",
    "SELECT trim(both FROM a), overlay(a PLACING b FROM 1), position(a IN b) FROM t",
    "SELECT normalize(a), treat(a AS b), xmlelement(name x, xmlattributes(1 AS a)) FROM t",
    "SELECT count(*) FILTER (WHERE a) OVER (PARTITION BY (b) ORDER BY (c)) FROM t",
    "SELECT sum(a) OVER w FROM t WINDOW w AS (PARTITION BY b)",
    "SELECT a FROM t GROUP BY GROUPING SETS ((a), (), CUBE (a, b)), ROLLUP (a)",
    "SELECT grouping(a) FROM t GROUP BY CUBE (a)",
    "SELECT a IN (1, 2), EXISTS (SELECT 1), a = ANY (ARRAY[1]), ROW (1, 2), NOT (a) FROM t",
    "SELECT a LIKE ('%' || $1) AND a NOT ILIKE ('x') AND a ~~ ('y') FROM t",
    "SELECT a AT TIME ZONE ('UTC') FROM t",
    "SELECT current_timestamp, current_user, localtime(3), current_date",
    "SELECT CASE WHEN (a) THEN (b) ELSE (c) END FROM t",
    "SELECT a FROM t UNION ALL (SELECT b FROM u) ORDER BY (1) LIMIT (1) OFFSET (2)",
    "SELECT a FROM t FETCH FIRST (3) ROWS ONLY",
    "SELECT DISTINCT ON (a) b FROM t",
    "SELECT a + b, a OPERATOR(pg_catalog.*) b FROM t",
    "SELECT a=+1, a@b, a<->b FROM t /* - */",
    "SELECT json_value(a, '$.b'), json_object('a': 1) FROM t",
    "SELECT jsonb '{}' -> 'writes()' FROM t",
    "SELECT volatile_view FROM t",
    "SELECT volatile_view.a FROM t",
    "SELECT * FROM other.volatile_view",
    "SELECT * FROM volatile_view.t",
    "SELECT * FROM \"VOLATILE_VIEW\"",
    "SELECT extract(epoch FROM volatile_view) FROM t",
    "SELECT a IS DISTINCT FROM volatile_view FROM t",
];

/// Uses something volatile, or unknown.
const VOLATILE: &[&str] = &[
    "SELECT unknown_function()",
    "SELECT Writes()",
    "SELECT \"Writes\"()",
    "SELECT app.writes()",
    "SELECT db.app.writes()",
    "SELECT other.safe(1)",
    "SELECT writes /* */ -- \n ()",
    "SELECT U&\"wr\\0069tes\"()",
    "SELECT a(writes(1))",
    "SELECT now() + (SELECT writes())",
    "SELECT * FROM writes()",
    "SELECT * FROM t a(x), writes() b",
    "SELECT * FROM t, LATERAL writes(t.a)",
    "SELECT * FROM t CROSS JOIN writes()",
    "SELECT * FROM ROWS FROM (generate_series(1, 3), writes())",
    "SELECT * FROM t JOIN u ON writes()",
    "SELECT * FROM t JOIN u ON a = b, writes()",
    "SELECT * FROM t JOIN u ON a = b JOIN writes() ON true",
    "SELECT * FROM t TABLESAMPLE writes(10)",
    "SELECT * FROM t TABLESAMPLE bernoulli (writes())",
    "SELECT * FROM t a(x) WHERE writes(a)",
    "SELECT * FROM t WHERE a IN (writes(a))",
    "SELECT * FROM t GROUP BY writes(a)",
    "SELECT * FROM t ORDER BY writes(a)",
    "SELECT * FROM t LIMIT writes(a)",
    "SELECT DISTINCT ON (a) writes(a) FROM t",
    "SELECT a IS DISTINCT FROM b AND writes() FROM t",
    "SELECT a IS NOT DISTINCT FROM writes() FROM t",
    "SELECT extract(year FROM b AT TIME ZONE writes()) FROM t",
    "SELECT substring(a FROM writes() FOR writes()) FROM t",
    "SELECT CASE WHEN true THEN writes() END",
    "SELECT CASE WHEN writes() THEN 1 END",
    "SELECT sum(a) OVER (ORDER BY writes()) FROM t",
    "SELECT count(*) FILTER (WHERE writes()) FROM t",
    "SELECT over(1)",
    "SELECT cube(1)",
    "SELECT set(1)",
    "SELECT filter(1) FROM t",
    "SELECT ilike(a, b) FROM t",
    "SELECT join(a) FROM t",
    "SELECT * FROM join(a)",
    "SELECT * FROM t a JOIN join(b) ON true",
    "SELECT a.b.c(1)",
    "SELECT s.coalesce(1)",
    "SELECT s.json_value(1)",
    "SELECT json_writes(1)",
    "SELECT ARRAY[writes()]",
    "SELECT a[writes()] FROM t",
    "SELECT x::int + writes() FROM t",
    "SELECT CAST(writes() AS int)",
    "VALUES (1), (writes())",
    "SELECT a |+| b FROM t",
    "SELECT a OPERATOR(public.|+|) b FROM t",
    "SELECT a=-b FROM t",
    "SELECT * FROM t JOIN volatile_view v ON true",
    "SELECT * FROM t a, volatile_view",
    "SELECT * FROM t JOIN u ON t.a = u.a, volatile_view",
    "SELECT * FROM (volatile_view JOIN t ON true)",
    "SELECT * FROM ((volatile_view v CROSS JOIN t))",
    "SELECT * FROM ONLY (volatile_view)",
    "SELECT * FROM public.volatile_view",
    "SELECT * FROM Volatile_View",
    "SELECT * FROM \"volatile_view\"",
    "SELECT * FROM \"Volatile View\" v",
    "SELECT * FROM U&\"volatile\\005fview\"",
    "SELECT 1 WHERE EXISTS (SELECT FROM volatile_view)",
    "SELECT 1 FROM t WHERE a IN (TABLE volatile_view)",
    "(SELECT 1) UNION (SELECT a FROM volatile_view)",
    "((SELECT 1) UNION SELECT a FROM volatile_view)",
    "WITH x AS (SELECT * FROM volatile_view) SELECT * FROM x",
    "TABLE volatile_view",
    "COPY volatile_view TO STDOUT",
    "SELECT nextval('s')",
    "SELECT pg_catalog.setval('s', 1)",
    "SELECT lo_create(0), loread(1, 2)",
    "SELECT pg_notify('a', 'b')",
    "SELECT set_config('a', 'b', true)",
    "SELECT pg_advisory_xact_lock(1)",
    "SELECT pg_advisory_unlock_all()",
    "EXPLAIN ANALYZE SELECT writes()",
    "CALL p()",
];

#[test]
fn names_are_looked_up() {
    for sql in CALM {
        let found = look(sql);
        assert_eq!((found.kind, found.facts), (Kind::Read, Facts::NONE), "{sql}");
    }
    for sql in VOLATILE {
        assert!(look(sql).facts.has(Facts::VOLATILE), "{sql}");
    }
}

#[test]
fn what_writes_anyway_needs_no_catalog() {
    for function in ["nextval('s')", "setval('s', 1)", "lo_unlink(1)", "pg_try_advisory_lock(1)"] {
        let sql = format!("SELECT {function}");
        assert!(scan(sql.as_bytes(), ScanOptions::default(), &Known).facts.has(Facts::VOLATILE));
    }
    let unknown = scan(b"SELECT lower('x')", ScanOptions::default(), &NoCatalog);
    assert!(unknown.facts.has(Facts::VOLATILE));
}

#[test]
fn long_names_are_cut_as_the_server_cuts_them() {
    struct Cut;
    impl crate::Catalog for Cut {
        fn function(&self, _: Option<&str>, _: &str) -> crate::Volatility {
            crate::Volatility::Stable
        }
        fn relation_is_volatile(&self, _: Option<&str>, name: &str) -> bool {
            name == "v".repeat(63)
        }
        fn operator_is_volatile(&self, _: &str) -> bool {
            false
        }
    }
    let sql = format!("SELECT * FROM {}", "v".repeat(70));
    let found = scan(sql.as_bytes(), ScanOptions::default(), &Cut);
    assert!(found.facts.has(Facts::VOLATILE));
}

#[test]
fn statements_that_only_store_functions_do_not_call_them() {
    for sql in [
        "CREATE VIEW v AS SELECT writes()",
        "CREATE TABLE t (a int DEFAULT writes())",
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT writes(); END",
        "VACUUM (ANALYZE) t (a)",
    ] {
        assert_eq!(look(sql).facts, Facts::NONE, "{sql}");
    }
}
