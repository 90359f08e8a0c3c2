//! Which texts have the same digest.

use super::look;
use crate::{ScanOptions, without_literals};

#[test]
fn digests() {
    let same = [
        ("SELECT 1", "select  2 -- x"),
        ("SELECT * FROM t WHERE a = 'x'", "select * from T where A='it''s'"),
        ("SELECT a IN (1)", "SELECT a IN (1, 2, 3)"),
        ("INSERT INTO t VALUES (1, 2)", "INSERT INTO t VALUES (1, 2), (3, 4), (5, 6)"),
        ("SELECT $$a$$, 1.5e3", "SELECT E'b', 7"),
        ("SELECT 1 /* howdah: primary */", "SELECT 1"),
        ("SELECT 1;", " ; SELECT 1"),
        ("SELECT 1; SELECT a", "SELECT 2;; SELECT A;"),
        (
            "SELECT a FROM t WHERE b = -1 AND c IN (-1, 2)",
            "SELECT a FROM t WHERE b = 1 AND c IN (3)",
        ),
        ("SELECT a+/* */b", "SELECT a + b"),
        ("SELECT 'a'\n'b'", "SELECT 'c'"),
        ("INSERT INTO t VALUES (1, 'a'), (2, 'b');", "INSERT INTO t VALUES (1, 'a')"),
        ("INSERT INTO t VALUES (1), (2) RETURNING a", "INSERT INTO t VALUES (1) RETURNING a"),
        ("VALUES (1, 2), (3, 4), (5, a)", "VALUES (1, 2), (3, 4), (5, 6), (7, a)"),
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
        ("SELECT f(1)", "SELECT f(1, 2)"),
        ("SELECT 1", "SELECT 1, 2"),
        ("SELECT a IN (1, b)", "SELECT a IN (1, 2, b)"),
        ("SELECT a IN (1, 2)", "SELECT a IN (1, 2, b)"),
        ("SELECT a IN ($1)", "SELECT a IN ($1, $2)"),
        ("VALUES (1), (2, b)", "VALUES (1), (2, 3, b)"),
        ("VALUES (1), (2", "VALUES (1), (2, "),
        ("VALUES (1),", "VALUES (1)"),
        ("VALUES (1), (", "VALUES (1),"),
        ("SELECT a - 1", "SELECT a 1"),
        ("SELECT a ? b", "SELECT a '?' b"),
        ("SELECT ab", "SELECT a b"),
        ("SELECT 1; SELECT 1", "SELECT 1"),
        ("SELECT 'a", "SELECT 'b"),
        ("SELECT \"a b\"", "SELECT a b"),
    ];
    for (a, b) in different {
        assert_ne!(look(a).digest, look(b).digest, "{a} / {b}");
    }
}

/// Digests are kept in configurations and caches: a new version must give the same ones.
#[test]
fn digests_are_for_ever() {
    assert_eq!(look("SELECT a FROM t WHERE b IN (1, 2)").digest, 0x0d6f0673f1b4c8dd);
    assert_eq!(look("").digest, 0x1e06d420abd9e39e);
    assert_eq!(look("SELECT 'a").digest, 0x7aa867e90f740b9b);
}

/// A token longer than the hasher's buffer counts to its last byte.
#[test]
fn long_tokens_count() {
    let name = "n".repeat(1000);
    assert_ne!(look(&format!("SELECT {name}a")).digest, look(&format!("SELECT {name}b")).digest);
}

#[test]
fn a_text_without_literals_has_the_same_digest() {
    let options = ScanOptions::default();
    let digest = |text: &str| look(text).digest;
    for (text, expected) in [
        ("SELECT * FROM t WHERE a='x' AND b=-7 -- secret", "SELECT * FROM t WHERE a='' AND b=-0"),
        ("/* k='v' */ SELECT $$a$$,E'\\'', $1, \"A\"", "SELECT '','', $1, \"A\""),
        ("SELECT 1; SELECT 'open", "SELECT 0; SELECT"),
    ] {
        let normal = without_literals(text, options);
        assert_eq!(normal, expected);
        if !text.ends_with("open") {
            assert_eq!(digest(&normal), digest(text), "{text}");
        }
    }
}
