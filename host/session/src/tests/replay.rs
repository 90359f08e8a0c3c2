//! Which transactions are run again when their server is lost.

use howdah_decision::{Outcome, Safety};

use super::*;
use crate::limits::{MAX_REPLAY_BYTES, MAX_REPLAY_STATEMENTS};

/// A session in a transaction with these statements, all of which have been answered.
fn transaction(statements: &[&str], replays: bool) -> (Bench, ServerState) {
    let (mut bench, mut primary) = (Bench::new(), server(false));
    bench.guide.replays = replays;
    run(&mut bench, &mut primary, "BEGIN", true);
    for (number, sql) in statements.iter().enumerate() {
        run(&mut bench, &mut primary, sql, number > 0 || !replays);
    }
    (bench, primary)
}

fn run(bench: &mut Bench, primary: &mut ServerState, sql: &str, asked: bool) {
    bench.query(sql);
    while bench.step(Some(primary)) == Step::Lease {}
    if !asked && bench.session.pending.iter().any(crate::expect::Expect::is_own) {
        shown(bench);
    }
    bench.completed(TransactionStatus::InTransaction);
    bench.step(Some(primary));
}

fn shown(bench: &mut Bench) {
    let level = [Some(&b"read committed"[..])];
    backend::DataRow::write(level.into_iter(), &mut bench.io.server_in);
    bench.completed(TransactionStatus::InTransaction);
}

/// Whether a transaction is run again that has lost its server.
fn goes_on(bench: &mut Bench) -> bool {
    bench.session.server_lost(&mut bench.io, &mut bench.guide);
    bench.step(None) == Step::Lease
}

#[test]
fn only_what_shows_whether_it_does_the_same_is_run_again() {
    for sql in [
        "INSERT INTO t VALUES (1)",
        "SELECT now()",
        "SELECT a FROM t FOR UPDATE",
        "SAVEPOINT s",
        "SET LOCAL work_mem = 1",
        "SET search_path = s",
        "CREATE TABLE t ()",
        "",
    ] {
        assert!(goes_on(&mut transaction(&[sql], true).0), "{sql}");
        assert!(!goes_on(&mut transaction(&[sql], false).0), "{sql}");
    }
    for sql in [
        "BEGIN",
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "SET transaction_isolation = 'serializable'",
        "DECLARE c CURSOR FOR SELECT 1",
        "FETCH c",
        "CREATE TEMPORARY TABLE t ()",
        "LISTEN x",
        "NOTIFY x",
        "SELECT pg_notify('x', '')",
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_advisory_xact_lock(1)",
        "COPY t TO STDOUT",
        "PREPARE p AS SELECT 1",
        "EXECUTE p",
        "PREPARE TRANSACTION 'x'",
        "COMMIT PREPARED 'x'",
        "COMMIT AND CHAIN",
        "SELECT 1; SELECT 2",
        "RESET work_mem",
        "DISCARD PLANS",
        "gibberish",
    ] {
        assert!(!goes_on(&mut transaction(&["SELECT 1", sql], true).0), "{sql}");
    }
}

#[test]
fn the_extended_protocol_and_the_function_call_are_not_kept() {
    let parse = |out: &mut BytesMut| {
        Parse { name: b"", query: b"SELECT 1", types: &[] }.write(out);
        Sync.write(out);
    };
    let call = |out: &mut BytesMut| out.extend_from_slice(b"F\0\0\0\x0c\0\0\0\x01\0\0\0\0");
    for message in [&parse as &dyn Fn(&mut BytesMut), &call] {
        let (mut bench, mut primary) = transaction(&["SELECT 1"], true);
        message(&mut bench.io.client_in);
        bench.step(Some(&mut primary));
        assert!(!goes_on(&mut bench));
    }
}

#[test]
fn what_is_kept_is_bounded() {
    let long = format!("SELECT '{}'", "x".repeat(MAX_REPLAY_BYTES / 2));
    assert!(goes_on(&mut transaction(&[&long], true).0));
    assert!(!goes_on(&mut transaction(&[&long, &long], true).0));
    // BEGIN and the question count.
    let many = vec!["SELECT 1"; MAX_REPLAY_STATEMENTS - 2];
    assert!(goes_on(&mut transaction(&many, true).0));
    assert!(!goes_on(&mut transaction(&[&many[..], &["SELECT 1"]].concat(), true).0));
}

#[test]
fn a_failed_transaction_is_not_run_again() {
    let (mut bench, mut primary) = transaction(&["SELECT 1"], true);
    bench.query("SELECT 2");
    bench.step(Some(&mut primary));
    ErrorReport::error(b"22012", "no").write(&mut bench.io.server_in);
    ReadyForQuery { status: TransactionStatus::Failed }.write(&mut bench.io.server_in);
    bench.step(Some(&mut primary));
    assert!(!goes_on(&mut bench));
}

#[test]
fn a_server_that_ends_the_session_for_what_it_did_is_heeded() {
    for (state, again) in [(b"57P01", true), (b"25P03", false)] {
        let (mut bench, mut primary) = transaction(&["SELECT 1"], true);
        ErrorReport::fatal(state, "over").write(&mut bench.io.server_in);
        bench.step(Some(&mut primary));
        assert_eq!(goes_on(&mut bench), again);
    }
}

#[test]
fn policies_are_asked() {
    for (retry, again) in [(Retry::NoOpinion, true), (Retry::Replay, true), (Retry::GiveUp, false)]
    {
        let (mut bench, mut primary) = (Bench::new(), server(false));
        (bench.guide.replays, bench.guide.retry) = (true, Some(retry));
        run(&mut bench, &mut primary, "BEGIN", true);
        bench.query("UPDATE t SET a = 1");
        bench.step(Some(&mut primary));
        assert_eq!(goes_on(&mut bench), again);
        let (text, failure) = bench.guide.failures.pop().unwrap();
        assert_eq!((&*text, failure.replayable), ("UPDATE t SET a = 1", true));
        assert_eq!((failure.safety, failure.outcome), (Safety::InTransaction, Outcome::Unknown));
    }
}

#[test]
fn without_a_server_the_transaction_is_lost() {
    let (mut bench, _) = transaction(&["SELECT 1"], true);
    assert!(goes_on(&mut bench));
    bench.sent_down();
    bench.session.refuse(&mut bench.io, &ErrorReport::error(b"57P03", "no"));
    assert_eq!(bench.session.take_replayed().map(|replayed| replayed.same), Some(false));
    bench.query("SELECT 1");
    bench.query("ROLLBACK");
    assert_eq!(bench.step(None), Step::Wait);
    assert_eq!(bench.sent_down(), b"EZCZ");
}
