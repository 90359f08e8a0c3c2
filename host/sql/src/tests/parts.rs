//! Literals and relations of a text, and statements that change every row.

use howdah_decision::Facts;

use super::look;
use crate::{literal, relations};

fn literals(sql: &str) -> Vec<String> {
    (0..).map_while(|i| literal(sql.as_bytes(), i)).map(|value| value.into_owned()).collect()
}

#[test]
fn literals_come_in_their_order() {
    let cases: [(&str, &[&str]); 12] = [
        ("SELECT a FROM t", &[]),
        ("SELECT 1, 'a', $1, x", &["1", "a"]),
        (
            "SELECT * FROM t WHERE a = 'it''s' AND b IN (1, -2.5e3, - 7)",
            &["it's", "1", "-2.5e3", "-7"],
        ),
        ("SELECT a - 1", &["1"]),
        ("SELECT a = -1", &["-1"]),
        ("SELECT $$it's$$, $tag$a $$ b$tag$, ''", &["it's", "a $$ b", ""]),
        ("SELECT 'a'\n 'b', 'c'", &["ab", "c"]),
        (r"SELECT E'a\n\'\\\x41\101\u00e9\q', 'a\n'", &["a\n'\\AA\u{e9}q", r"a\n"]),
        ("SELECT B'101', X'1F', U&'d\\0061t', N'n'", &["101", "1F", "d\\0061t", "n"]),
        ("SELECT 1 /* 2 */ -- 3\n, '4'", &["1", "4"]),
        ("SELECT \"1\", TRUE, NULL, 0x1F, 1_000", &["0x1F", "1_000"]),
        ("SELECT 1, 'open", &["1"]),
    ];
    for (sql, expected) in cases {
        assert_eq!(literals(sql), expected, "{sql}");
    }
}

#[test]
fn relations_are_what_a_text_reads_and_changes() {
    let cases: [(&str, &[&str]); 40] = [
        ("SELECT 1", &[]),
        ("SELECT * FROM t", &["t"]),
        ("SELECT a FROM T, s.U x, \"My Table\" AS y WHERE a = b", &["t", "s.u", "My Table"]),
        (
            "SELECT * FROM a JOIN b USING (id) LEFT JOIN ONLY c ON c.x = (SELECT max(y) FROM d), e",
            &["a", "b", "c", "d", "e"],
        ),
        ("SELECT * FROM (SELECT * FROM inner_one) x", &["inner_one"]),
        ("SELECT * FROM ((a CROSS JOIN b) JOIN c ON true)", &["a", "b", "c"]),
        ("SELECT * FROM generate_series(1, 2) g, LATERAL f(g) h", &["generate_series", "f"]),
        ("SELECT * FROM ROWS FROM (f(1), g(2)) x", &["f", "g"]),
        ("SELECT extract(year FROM a), trim(b FROM c), a IS DISTINCT FROM d FROM t", &["t"]),
        ("SELECT 'FROM x' -- FROM y\n FROM t", &["t"]),
        ("SELECT * FROM t UNION ALL SELECT * FROM u ORDER BY x, y", &["t", "u"]),
        ("TABLE t", &["t"]),
        ("SELECT * FROM t; DELETE FROM u; SELECT * FROM t", &["t", "u"]),
        ("INSERT INTO s.t (a, b) SELECT x FROM u", &["s.t", "u"]),
        ("INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 1", &["t"]),
        ("UPDATE ONLY t SET a = b, c = d FROM u WHERE t.id = u.id", &["t", "u"]),
        ("UPDATE t AS x SET a = (SELECT b FROM u)", &["t", "u"]),
        ("DELETE FROM t USING u JOIN v USING (id) WHERE true", &["t", "u", "v"]),
        ("MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN DELETE", &["t", "s"]),
        (
            "MERGE INTO t USING (SELECT * FROM s) x ON true WHEN MATCHED THEN UPDATE SET a = 1",
            &["t", "s"],
        ),
        ("COPY t FROM STDIN", &["t"]),
        ("COPY s.t (a, b) TO STDOUT", &["s.t"]),
        ("COPY (SELECT * FROM t) TO STDOUT", &["t"]),
        ("TRUNCATE a, ONLY b", &["a", "b"]),
        ("TRUNCATE TABLE a, s.b CASCADE", &["a", "s.b"]),
        ("WITH x AS (SELECT * FROM t) SELECT * FROM x, s.x", &["t", "s.x"]),
        ("WITH t AS (SELECT * FROM t) SELECT * FROM t", &["t"]),
        ("WITH t (a) AS (SELECT * FROM t) SELECT * FROM t", &["t"]),
        (
            "WITH RECURSIVE x (n) AS (VALUES (1) UNION ALL SELECT n FROM x JOIN y ON true) SELECT * FROM x",
            &["y"],
        ),
        (
            "WITH x AS (DELETE FROM t RETURNING *), z AS (SELECT 1) INSERT INTO u SELECT * FROM x, z",
            &["t", "u"],
        ),
        ("WITH x AS (SELECT 1) UPDATE x SET a = 1", &["x"]),
        ("SELECT * FROM (WITH x AS (SELECT 1) SELECT * FROM x) y, x", &["x"]),
        ("EXPLAIN ANALYZE DELETE FROM t", &["t"]),
        ("PREPARE p AS UPDATE t SET a = 1", &["t"]),
        ("DECLARE c CURSOR FOR SELECT * FROM t FOR UPDATE", &["t"]),
        ("CREATE VIEW v AS SELECT * FROM t", &["t"]),
        ("REVOKE SELECT ON t FROM bob", &[]),
        ("FETCH NEXT FROM c", &[]),
        ("SELECT * FROM", &[]),
        ("SELECT * FROM t FOR UPDATE OF t", &["t"]),
    ];
    for (sql, expected) in cases {
        assert_eq!(relations(sql.as_bytes()), expected, "{sql}");
    }
    let many: Vec<String> = (0..100).map(|i| format!("t{i}")).collect();
    assert_eq!(relations(format!("SELECT * FROM {}", many.join(",")).as_bytes()).len(), 64);
    assert!(relations("(".repeat(10_000).as_bytes()).is_empty());
}

#[test]
fn an_update_or_delete_without_where_is_unbounded() {
    let yes = [
        "DELETE FROM t",
        "UPDATE t SET a = 1",
        "UPDATE t SET a = (SELECT b FROM u WHERE true)",
        "DELETE FROM t USING u",
        "SELECT 1; DELETE FROM t; SELECT 2",
        "WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x WHERE true",
        "WITH x AS (SELECT 1 WHERE true) UPDATE t SET a = 1",
        "WITH x AS (SELECT 1), y AS (UPDATE t SET a = 1 RETURNING a) DELETE FROM t WHERE true",
        "EXPLAIN ANALYZE DELETE FROM t",
        "COPY (DELETE FROM t RETURNING a) TO STDOUT",
        "PREPARE p AS DELETE FROM t",
    ];
    let no = [
        "DELETE FROM t WHERE a = 1",
        "UPDATE t SET a = 1 WHERE CURRENT OF c",
        "WITH x AS (DELETE FROM t WHERE a = 1 RETURNING *) SELECT * FROM x",
        "SELECT * FROM t FOR UPDATE",
        "SELECT \"delete\" FROM t",
        "INSERT INTO t VALUES (1) ON CONFLICT DO UPDATE SET a = 1",
        "MERGE INTO t USING s ON true WHEN MATCHED THEN DELETE",
        "EXPLAIN DELETE FROM t",
        "TRUNCATE t",
        "CREATE RULE r AS ON DELETE TO t DO ALSO (DELETE FROM u)",
        "PREPARE p AS DELETE FROM t WHERE a = $1",
    ];
    for (cases, expected) in [(&yes, true), (&no, false)] {
        for sql in cases {
            assert_eq!(look(sql).facts.has(Facts::UNBOUNDED), expected, "{sql}");
        }
    }
}
