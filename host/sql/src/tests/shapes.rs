//! A text whose shape is known is what a scan of it would find.

use std::rc::Rc;
use std::sync::Arc;

use proptest::prelude::*;

use super::{Known, laws, look};
use crate::shapes::{MAX_SHAPES, Shapes, hash};

/// Whether the second is taken for one of the first's shape.
fn are_one(first: &str, second: &str) -> bool {
    let mut shapes = Shapes::default();
    // The second time it is remembered.
    let [_, _, known, found] =
        [first, first, first, second].map(|text| shapes.scan(text.as_bytes(), || Arc::new(Known)));
    assert_eq!(*found, look(second), "{first} and {second}");
    Rc::ptr_eq(&known, &found)
}

#[test]
fn constants_and_comments_make_no_difference() {
    for (first, second) in [
        ("SELECT a FROM t WHERE a = 1", "SELECT a FROM t WHERE a = 12345"),
        ("SELECT a FROM t WHERE a = -1.5;", "SELECT a FROM t WHERE a = -0.25;"),
        ("SELECT a FROM t WHERE b = 'x' LIMIT 1", "SELECT a FROM t WHERE b = 'it''s; --' LIMIT 20"),
        (
            "UPDATE t SET a = 1, b = '' WHERE c IN (1,2)",
            "UPDATE t SET a = 0, b = '/*' WHERE c IN (34,5)",
        ),
        ("SELECT 1 /* a */; SELECT '2'", "SELECT 3 /* a */; SELECT '4'"),
        ("SELECT t1.a FROM t1 WHERE a=1or b='2'", "SELECT t1.a FROM t1 WHERE a=1or b='3'"),
        ("SELECT 1 /* 1 */", "SELECT 1 /* '2' -- */"),
        (
            "/* 1 *//**/SELECT /**/a/*1*/./* 1 */b;/***/",
            "/**//* */SELECT /* 0 */a/**/./* **/b;/*a*/",
        ),
        ("BEGIN", "BEGIN"),
        ("BEGIN /* traceparent='00-1-2-01' */", "BEGIN /* traceparent='00-3-4-01' */"),
        ("SET work_mem = '64MB'", "SET work_mem = '64MB'"),
        ("SELECT set_config('a.b', 'c', true)", "SELECT set_config('a.b', 'c', true)"),
    ] {
        assert!(are_one(first, second), "{first} and {second}");
    }
}

#[test]
fn hints_are_kept_apart() {
    let texts = ["", " /* howdah: primary */", " /* howdah: replica */"];
    let texts = texts.map(|hint| format!("SELECT 1{hint}"));
    let mut shapes = Shapes::default();
    let mut scan = |text: &String| shapes.scan(text.as_bytes(), || Arc::new(Known));
    let [_, known, again] = [(); 3].map(|()| texts.each_ref().map(&mut scan));
    assert!(known.iter().zip(&again).all(|(known, again)| Rc::ptr_eq(known, again)));
}

#[test]
fn all_else_makes_one() {
    for (first, second) in [
        ("SELECT a FROM t1 WHERE a = 1", "SELECT a FROM t2 WHERE a = 1"),
        ("SELECT $1", "SELECT $2"),
        ("SELECT 1", "SELECT '1'"),
        ("SELECT 1", "SELECT 1e5"),
        ("SELECT 0 x1", "SELECT 0x1"),
        ("SELECT 1 /* howdah: primary */", "SELECT 1 /* howdah: replica */"),
        ("SELECT 1 /* 1 */", "SELECT 1 /* howdah: replica */"),
        ("SELECT 1 /* 1 */", "SELECT 1 -- 1"),
        ("SELECT 1 -- 1", "SELECT 1 -- 2"),
        ("SELECT 1 /* 1 */", "SELECT 1 /* 1 */ + 1 /* 1 */"),
        ("SELECT 1 /* 1 */", "SELECT 1 /* /* 1 */ */"),
        ("SELECT 1 /* 1 */ + 1 /* 1 */", "SELECT 1 /* /*/ + 1 /* 1 */"),
        ("SELECT 1 /* 1 */", "SELECT 1 /* not ended"),
        ("SELECT 'a'", "SELECT E'a'"),
        ("SELECT 'a'", "SELECT 'a''"),
        ("SELECT 'a' 'b'", "SELECT 'a'''b'"),
        ("SELECT \"a'1'\"", "SELECT \"a'2'\""),
        ("SELECT $$1$$", "SELECT $$2$$"),
        ("SET work_mem = '64MB'", "SET work_mem = '32MB'"),
        ("SELECT set_config('a.b', 'c', 'true')", "SELECT set_config('a.b', 'c', 'false')"),
        ("DO 'BEGIN END'", "DO 'BEGIN LISTEN a; END'"),
        ("SAVEPOINT a1", "SAVEPOINT a2"),
        ("SELECT 'not ended", "SELECT 'never ended"),
        ("ALTER ROLE r PASSWORD 'sesame'", "ALTER ROLE r PASSWORD 'sesame'"),
    ] {
        assert!(!are_one(first, second), "{first} and {second}");
    }
}

#[test]
fn the_least_recently_used_are_forgotten() {
    let mut shapes = Shapes::default();
    let mut scan = |text: &str| {
        let statement = shapes.scan(text.as_bytes(), || Arc::new(Known));
        assert!(shapes.kept().0 <= MAX_SHAPES.get());
        statement
    };
    let [_, used] = ["SELECT used"; 2].map(&mut scan);
    let [_, unused] = ["SELECT unused"; 2].map(&mut scan);
    for column in 0..2 * MAX_SHAPES.get() {
        scan(&format!("SELECT c{column}"));
        assert!(Rc::ptr_eq(&scan("SELECT used"), &used));
    }
    assert!(!Rc::ptr_eq(&scan("SELECT unused"), &unused));
}

/// Two constants or comments, mostly of one form: then all that stands around them decides.
fn fillers() -> impl Strategy<Value = (&'static str, &'static str)> {
    let of = |constants: &[&'static str]| prop::sample::select(constants.to_vec());
    let whole = ["1", "0", "27"];
    let decimal = ["1.5", "2.", "0.25"];
    let string =
        ["'a'", "''", "'it''s'", "'1'", "'--'", "'/*'", "';'", "'set_config'", "'true'", "'t'"];
    let odd = [".5", "1e5", "0x1F", "1_000", "E'\\''"];
    let comment = [
        "/**/",
        "/* a */",
        "/*'*/",
        "/*1*/",
        "/*/**/",
        "/* */ */",
        "/* /* */",
        "/***/",
        "/*--*/",
        "/*\n*/",
        "/*howdah:primary*/",
        "/*howdah: x*/",
        "--\n",
    ];
    let any = [&whole[..], &decimal, &string, &comment, &odd].concat();
    prop_oneof![
        4 => (of(&whole), of(&whole)),
        2 => (of(&decimal), of(&decimal)),
        4 => (of(&string), of(&string)),
        4 => (of(&comment), of(&comment)),
        1 => (of(&any), of(&any)),
    ]
}

/// A piece of a text: the same one twice, or two of those.
fn piece() -> impl Strategy<Value = (&'static str, &'static str)> {
    let more = prop::sample::select(vec![
        " ",
        " ",
        " ",
        "t1",
        "e",
        "x",
        "INSERT INTO",
        "WHERE",
        "DO",
        "now()",
        "writes()",
        "LIMIT",
        "howdah:",
    ]);
    let same = prop_oneof![2 => laws::piece(), 1 => more];
    prop_oneof![3 => same.prop_map(|piece| (piece, piece)), 2 => fillers()]
}

/// Constants make no difference in queries alone, so most texts begin like one.
fn beginning() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "",
        "SELECT ",
        "SELECT f(",
        "UPDATE t SET a = ",
        "INSERT INTO t VALUES (",
    ])
}

/// Two of what may stand for each other, or twice something else.
fn alike() -> impl Strategy<Value = (String, String)> {
    prop_oneof![
        2 => "[a-zA-Zé_$0-9 ,.()=;*+-]{0,20}".prop_map(|same| (format!("{same} "), format!("{same} "))),
        1 => ("[0-9]{1,20}", "[0-9]{1,20}"),
        1 => ("'([^']|'')*'", "'([^']|'')*'"),
        1 => ("/\\*[a-z ']{0,20}\\*/", "/\\*[a-z ']{0,20}\\*/"),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn texts_of_one_shape_have_one_hash(pieces in prop::collection::vec(alike(), 0..12)) {
        let texts = pieces.into_iter().map(|(a, b)| (format!("{a} "), format!("{b} ")));
        let (first, second): (String, String) = texts.unzip();
        prop_assert_eq!(hash(first.as_bytes()), hash(second.as_bytes()));
    }

    #[test]
    fn a_known_shape_is_what_a_scan_finds(
        beginning in beginning(),
        pieces in prop::collection::vec(piece(), 0..24),
    ) {
        let (first, second): (String, String) =
            std::iter::once((beginning, beginning)).chain(pieces).unzip();
        are_one(&first, &second);
        are_one(&second, &first);
    }
}
