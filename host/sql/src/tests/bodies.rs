use crate::{PinReason, body};

#[test]
fn what_bodies_leave_behind() {
    use PinReason::*;
    let cases = [
        ("BEGIN RETURN 1; END", None),
        ("BEGIN UPDATE t\n SET a = 1; RETURN NEW; END", None),
        ("BEGIN SET LOCAL work_mem = '1MB'; END", None),
        ("BEGIN SET TRANSACTION READ ONLY; END", None),
        ("-- set it\nBEGIN SET work_mem = '1MB'; END", Some(Settings)),
        ("BEGIN -- now\n RESET ALL; END", Some(Settings)),
        ("IF x THEN SET ROLE r; END IF", Some(Settings)),
        ("LOOP RESET a; END LOOP", Some(Settings)),
        ("PERFORM set_config('a.b', v, true);", None),
        ("PERFORM pg_catalog.set_config('a.b', f(v, 1), TRUE);", None),
        ("PERFORM set_config('a.b', v, false);", Some(Settings)),
        ("PERFORM set_config('a.b', v, l OR true);", Some(Settings)),
        ("EXECUTE 'SET ROLE ' || quote_ident(r);", Some(Settings)),
        ("EXECUTE format('CREATE TEMP TABLE %I (a int)', n);", Some(TemporaryTable)),
        ("EXECUTE $q$ CREATE TEMPORARY VIEW v AS SELECT 1 $q$;", Some(TemporaryTable)),
        ("SELECT 1 INTO TEMP t;", Some(TemporaryTable)),
        (
            "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            Some(TemporaryTable),
        ),
        ("PERFORM pg_advisory_lock(1);", Some(AdvisoryLock)),
        ("PERFORM pg_advisory_xact_lock(1);", None),
        ("LISTEN c;", Some(Listen)),
        ("EXECUTE 'LISTEN ' || c;", Some(Listen)),
        ("EXECUTE 'PREPARE p AS SELECT 1';", Some(SqlPrepare)),
        ("PERFORM dblink_connect('x', '');", Some(Function)),
        ("PERFORM setseed(0.5);", Some(Function)),
        ("GD['n'] = 1", Some(Function)),
        ("$_SHARED{n} = 1;", Some(Function)),
        ("# it's python\nreturn 1", Some(Function)),
        // What no question can clear outlasts what one can.
        ("LISTEN c; PERFORM setseed(1); CREATE TEMP TABLE t ();", Some(Function)),
    ];
    for (text, pin) in cases {
        assert_eq!(body(text.as_bytes()).pin, pin, "{text}");
    }
}

#[test]
fn what_bodies_name() {
    let found =
        body(b"PERFORM a.Leaves(1); EXECUTE 'SELECT \"Other\"(2) |+| 1'; f (3); SELECT leaves()");
    for name in ["leaves", "Other", "|+|", "f", "perform"] {
        assert!(found.names.contains(name), "{name}");
    }
    assert!(!found.names.contains("Leaves"));
}
