//! Which transactions are run again when their server is lost.

use howdah_decision::{Outcome, Safety};
use howdah_wire::frontend::{Close, Target};

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

/// The messages of a statement without a name, with this most of rows.
fn unnamed(sql: &str, max_rows: u32) -> BytesMut {
    let mut out = BytesMut::new();
    Parse { name: b"", query: sql.as_bytes(), types: b"\0\0" }.write(&mut out);
    bound(&mut out, b"", max_rows);
    Sync.write(&mut out);
    out
}

fn bound(out: &mut BytesMut, name: &[u8], max_rows: u32) {
    Bind { portal: b"", statement: name, rest: b"\0\0\0\0\0\0" }.write(out);
    Execute { portal: b"", max_rows }.write(out);
}

/// A session in a transaction, this server of which has answered these messages like that.
fn extended(messages: &[u8], answer: &[u8]) -> (Bench, ServerState) {
    let (mut bench, mut primary) = transaction(&["SELECT 1"], true);
    bench.io.client_in.extend_from_slice(messages);
    bench.step(Some(&mut primary));
    for tag in answer {
        match tag {
            b'C' => CommandComplete { tag: b"DONE" }.write(&mut bench.io.server_in),
            tag => bench.io.server_in.extend_from_slice(&[*tag, 0, 0, 0, 4]),
        }
    }
    ReadyForQuery { status: TransactionStatus::InTransaction }.write(&mut bench.io.server_in);
    bench.step(Some(&mut primary));
    (bench, primary)
}

#[test]
fn batches_of_the_extended_protocol_are_kept() {
    assert!(goes_on(&mut extended(&unnamed("INSERT INTO t VALUES (1)", 1), b"12C").0));
    let mut two = unnamed("SELECT 1", 0);
    two.truncate(two.len() - 5);
    two.extend_from_slice(&unnamed("UPDATE t SET a = 1", 0));
    assert!(goes_on(&mut extended(&two, b"12C12C").0));
    for (sql, answer) in [
        ("DECLARE c CURSOR FOR SELECT 1", b"12C"),
        ("NOTIFY x", b"12C"),
        ("SAVEPOINT a; SAVEPOINT b", b"12C"),
        // A portal that stays open.
        ("SELECT a FROM t", b"12s"),
    ] {
        assert!(!goes_on(&mut extended(&unnamed(sql, 1), answer).0), "{sql}");
    }
    // COMMIT with others, a portal of an earlier batch, and what is called by its OID.
    let mut commit = unnamed("INSERT INTO t VALUES (1)", 0);
    commit.truncate(commit.len() - 5);
    commit.extend_from_slice(&unnamed("COMMIT", 0));
    let mut portal = unnamed("SELECT 1", 0);
    Execute { portal: b"", max_rows: 0 }.write(&mut portal);
    Sync.write(&mut portal);
    for (messages, answer) in
        [(&commit[..], &b"12C12C"[..]), (&portal, b"12C"), (b"F\0\0\0\x0c\0\0\0\x01\0\0\0\0", b"")]
    {
        assert!(!goes_on(&mut extended(messages, answer).0));
    }
}

/// What the client has got a part of the answer to is not sent again; a Parse that the proxy answers itself waits for
/// what follows.
#[test]
fn nothing_is_answered_in_part_by_the_proxy_itself() {
    let mut parse = BytesMut::new();
    Parse { name: b"s", query: b"SELECT 2", types: b"\0\0" }.write(&mut parse);
    Sync.write(&mut parse);
    let (mut bench, mut primary) = extended(&parse, b"1");
    bench.sent_down();
    Close { target: Target::Statement, name: b"s" }.write(&mut bench.io.client_in);
    Parse { name: b"s", query: b"SELECT 2", types: b"\0\0" }.write(&mut bench.io.client_in);
    bound(&mut bench.io.client_in, b"s", 0);
    Sync.write(&mut bench.io.client_in);
    bench.step(Some(&mut primary));
    assert_eq!(bench.sent_down(), b"");
    assert!(goes_on(&mut bench));
    let (mut bench, mut primary) = extended(&unnamed("SELECT 2", 0), b"12C");
    bench.io.client_in.extend_from_slice(&unnamed("SELECT 3", 0));
    bench.step(Some(&mut primary));
    ParseComplete.write(&mut bench.io.server_in);
    bench.step(Some(&mut primary));
    assert!(!goes_on(&mut bench));
}

/// A statement must mean what it meant when it is prepared anew where it is used.
#[test]
fn what_may_mean_something_else_is_not_run_again() {
    for (sql, again) in [
        ("SELECT 1", true),
        ("SET LOCAL statement_timeout = 1", true),
        ("SET LOCAL search_path = other", false),
        ("CREATE TABLE t ()", false),
        ("SELECT configure()", false),
    ] {
        for early in [true, false] {
            let (mut bench, mut primary) = (Bench::new(), server(false));
            bench.guide.replays = true;
            let mut parse = BytesMut::new();
            Parse { name: b"s", query: b"SELECT 2", types: b"\0\0" }.write(&mut parse);
            Sync.write(&mut parse);
            if early {
                bench.io.client_in.extend_from_slice(&parse);
                while bench.step(Some(&mut primary)) == Step::Lease {}
                ParseComplete.write(&mut bench.io.server_in);
                ReadyForQuery { status: TransactionStatus::Idle }.write(&mut bench.io.server_in);
                bench.step(Some(&mut primary));
            }
            run(&mut bench, &mut primary, "BEGIN", true);
            run(&mut bench, &mut primary, sql, false);
            if !early {
                parse.truncate(parse.len() - 5);
                bench.io.client_in.extend_from_slice(&parse);
            }
            bound(&mut bench.io.client_in, b"s", 0);
            Sync.write(&mut bench.io.client_in);
            bench.step(Some(&mut primary));
            let means = again || (!early && sql == "SELECT configure()");
            assert_eq!(goes_on(&mut bench), means, "{sql} {early}");
        }
    }
}

/// Some drivers send BEGIN together with the first statement: the isolation is asked for in front of the next batch.
#[test]
fn a_transaction_that_does_not_begin_alone_is_kept_once_its_isolation_is_known() {
    let (mut bench, mut primary) = (Bench::new(), server(false));
    bench.guide.replays = true;
    let mut begin = unnamed("BEGIN", 0);
    begin.truncate(begin.len() - 5);
    begin.extend_from_slice(&unnamed("INSERT INTO t VALUES (1)", 1));
    bench.io.client_in.extend_from_slice(&begin);
    while bench.step(Some(&mut primary)) == Step::Lease {}
    for tag in b"1212" {
        bench.io.server_in.extend_from_slice(&[*tag, 0, 0, 0, 4]);
        if *tag == b'2' {
            CommandComplete { tag: b"DONE" }.write(&mut bench.io.server_in);
        }
    }
    ReadyForQuery { status: TransactionStatus::InTransaction }.write(&mut bench.io.server_in);
    bench.step(Some(&mut primary));
    bench.sent_up();
    bench.io.client_in.extend_from_slice(&unnamed("SELECT 1", 0));
    bench.step(Some(&mut primary));
    assert_eq!(bench.sent_up(), b"QPBES");
    shown(&mut bench);
    bench.step(Some(&mut primary));
    assert!(goes_on(&mut bench));
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

/// What a driver does by itself does not take the error away that its user has to see.
#[test]
fn a_statement_that_is_closed_after_the_loss_is_closed() {
    let (mut bench, _) = transaction(&["SELECT 1"], false);
    assert!(!goes_on(&mut bench));
    bench.sent_down();
    Close { target: Target::Statement, name: b"s" }.write(&mut bench.io.client_in);
    Sync.write(&mut bench.io.client_in);
    bench.step(None);
    assert!(bench.io.client_out.ends_with(b"Z\0\0\0\x05T"));
    assert_eq!(bench.sent_down(), b"3Z");
    bench.query("SELECT 1");
    bench.step(None);
    assert_eq!(sqlstate(&bench.io.client_out), *b"40001");
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
