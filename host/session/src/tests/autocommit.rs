//! Writes by themselves that are put into transactions.

use howdah_decision::{Again, Outcome, Safety, Target};

use super::*;

const INSERT: &str = "INSERT INTO t VALUES (1)";

/// A session that has sent a write by itself in a transaction.
fn sent(server: &mut ServerState, prepare: impl Fn(&mut Bench)) -> Bench {
    let mut bench = Bench::new();
    (bench.guide.proves, bench.guide.wraps) = (true, true);
    prepare(&mut bench);
    bench.query(INSERT);
    assert_eq!(bench.step(None), Step::Lease);
    assert_eq!(bench.step(Some(server)), Step::Wait);
    assert_eq!(bench.sent_up(), b"QQQQ");
    bench
}

/// All is answered but COMMIT.
fn answered(bench: &mut Bench, server: &mut ServerState) {
    bench.completed(TransactionStatus::InTransaction);
    statement_answered(bench, server);
}

/// The same, where BEGIN has been answered already.
fn statement_answered(bench: &mut Bench, server: &mut ServerState) {
    bench.completed(TransactionStatus::InTransaction);
    let row = ["726", "0/30000D0", "000000010000000000000003", "0/0", "20260101000000000000"];
    backend::DataRow::write(
        row.map(|value| Some(value.as_bytes())).into_iter(),
        &mut bench.io.server_in,
    );
    bench.completed(TransactionStatus::InTransaction);
    assert_eq!(bench.step(Some(server)), Step::Wait);
    assert!(bench.sent_down().is_empty());
}

#[test]
fn what_is_counted_is_what_the_client_gets() {
    let mut primary = server(false);
    let mut bench = sent(&mut primary, |_| ());
    answered(&mut bench, &mut primary);
    bench.completed(TransactionStatus::Idle);
    assert_eq!(bench.step(Some(&mut primary)), Step::Release(Disposition::Reuse));
    let bytes = bench.io.client_out.len();
    assert_eq!(bench.sent_down(), b"CZ");
    assert_eq!(bench.guide.seen, [format!("Write 0 {bytes} None true")]);
    assert!(bench.session.is_idle());
}

#[test]
fn a_policy_has_a_say_in_what_is_proven_gone() {
    let elsewhere = Retry::Again(Again { target: Target::Primary, delay_ms: 7 });
    for (retry, step, down) in [
        (Retry::NoOpinion, Step::Lease, &b""[..]),
        (elsewhere, Step::Pause(7), b""),
        (Retry::GiveUp, Step::Wait, b"EZ"),
    ] {
        let mut primary = server(false);
        let mut bench = sent(&mut primary, |bench| bench.guide.retry = Some(retry));
        answered(&mut bench, &mut primary);
        bench.session.server_lost(&mut bench.io, &mut bench.guide);
        assert!(matches!(bench.step(None), Step::Prove(proof) if proof.xid == Some(726)));
        bench.session.proven(&mut bench.io, &mut bench.guide, Outcome::NotCommitted);
        assert_eq!(bench.step(None), step);
        assert_eq!(bench.sent_down(), down);
        let (text, failure) = bench.guide.failures[0].clone();
        assert_eq!((&*text, failure.safety), (INSERT, Safety::Commit));
        assert_eq!(failure.outcome, Outcome::NotCommitted);
    }
}

/// What came together with the end of the connection counts.
#[test]
fn the_last_that_came_is_read() {
    let mut primary = server(false);
    let mut bench = sent(&mut primary, |_| {});
    answered(&mut bench, &mut primary);
    bench.completed(TransactionStatus::Idle);
    bench.session.server_lost(&mut bench.io, &mut bench.guide);
    assert_eq!(bench.step(None), Step::Wait);
    assert_eq!(bench.sent_down(), b"CZ");
    assert!(bench.session.is_idle());
}

/// A session that keeps something on its server has lost that too.
#[test]
fn nothing_is_sent_again_by_a_session_that_has_lost_more() {
    let mut primary = server(false);
    let mut bench = sent(&mut primary, |_| {});
    bench.session.stay(howdah_sql::PinReason::AdvisoryLock);
    answered(&mut bench, &mut primary);
    bench.session.server_lost(&mut bench.io, &mut bench.guide);
    bench.step(None);
    bench.session.proven(&mut bench.io, &mut bench.guide, Outcome::NotCommitted);
    assert_eq!(bench.step(None), Step::Wait);
    assert_eq!(sqlstate(&bench.io.client_out), *b"40001");
}

#[test]
fn nothing_is_wrapped_where_that_is_not_wanted() {
    for (proves, wraps, standby) in [(true, false, false), (false, true, false), (true, true, true)]
    {
        let mut node = server(standby);
        let mut bench = Bench::new();
        (bench.guide.proves, bench.guide.wraps) = (proves, wraps);
        bench.query(INSERT);
        bench.step(None);
        bench.step(Some(&mut node));
        assert_eq!(bench.sent_up(), b"Q");
    }
}

/// A client that was told nothing of a name that it has prepared prepares it again.
#[test]
fn what_the_client_was_not_told_has_not_happened() {
    let (mut bench, mut primary) = (Bench::new(), server(false));
    (bench.guide.proves, bench.guide.wraps) = (true, true);
    bench.guide.retry = Some(Retry::GiveUp);
    for _ in 0..2 {
        let input = &mut bench.io.client_in;
        Parse { name: b"s", query: INSERT.as_bytes(), types: b"\0\0" }.write(input);
        Bind { portal: b"", statement: b"s", rest: b"\0\0\0\0\0\0" }.write(input);
        Execute { portal: b"", max_rows: 0 }.write(input);
        Sync.write(input);
        assert_eq!(bench.step(None), Step::Lease);
        bench.step(Some(&mut primary));
        assert_eq!(bench.sent_up(), b"QPBESQQ");
        bench.completed(TransactionStatus::InTransaction);
        ParseComplete.write(&mut bench.io.server_in);
        BindComplete.write(&mut bench.io.server_in);
        statement_answered(&mut bench, &mut primary);
        bench.session.server_lost(&mut bench.io, &mut bench.guide);
        bench.step(None);
        bench.session.proven(&mut bench.io, &mut bench.guide, Outcome::NotCommitted);
        bench.step(None);
        assert_eq!(bench.sent_down(), b"EZ");
        primary = server(false);
    }
}
