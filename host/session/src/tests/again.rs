//! What becomes of statements that fail when policies have a say in it.

use howdah_decision::{Again, Safety, Target};

use super::*;

const ELSEWHERE: Retry = Retry::Again(Again { target: Target::Another, delay_ms: 7 });

/// A session whose statement has been sent to a server.
fn sent(sql: &str, retry: Option<Retry>, server: &mut ServerState) -> Bench {
    let mut bench = Bench::new();
    bench.guide.retry = retry;
    bench.query(sql);
    assert_eq!(bench.step(None), Step::Lease);
    assert_eq!(bench.step(Some(server)), Step::Wait);
    assert_eq!(bench.sent_up(), b"Q");
    bench
}

fn error(bench: &mut Bench, state: &[u8; 5]) {
    ErrorReport::error(state, "no").write(&mut bench.io.server_in);
}

#[test]
fn a_policy_sends_a_failed_read_elsewhere_after_a_while() {
    let mut primary = server(false);
    let mut bench = sent("SELECT 1", Some(ELSEWHERE), &mut primary);
    error(&mut bench, b"53200");
    assert_eq!(bench.step(Some(&mut primary)), Step::Release(Disposition::Close));
    let (text, failure) = bench.guide.failures[0].clone();
    assert_eq!((&*text, failure.sqlstate), ("SELECT 1", Some(*b"53200")));
    assert_eq!((failure.safety, failure.attempt), (Safety::Read, 1));
    assert_eq!(bench.step(None), Step::Pause(7));
    assert_eq!(bench.step(None), Step::Lease);
    assert_eq!((bench.session.target(), bench.session.attempts()), (Some(Target::Another), 1));
    let mut other = server(true);
    bench.step(Some(&mut other));
    assert_eq!(bench.sent_up(), b"Q");
    bench.completed(TransactionStatus::Idle);
    assert_eq!(bench.step(Some(&mut other)), Step::Release(Disposition::Reuse));
    assert_eq!(bench.sent_down(), b"CZ");
    assert_eq!((bench.session.target(), bench.session.attempts()), (None, 0));
}

#[test]
fn a_policy_is_asked_when_a_server_goes_and_may_give_up() {
    for (retry, down) in [(Retry::GiveUp, &b"EZ"[..]), (Retry::NoOpinion, b""), (ELSEWHERE, b"")] {
        let mut replica = server(true);
        let mut bench = sent("SELECT 1", Some(retry), &mut replica);
        bench.session.server_lost(&mut bench.io, &mut bench.guide);
        assert_eq!(bench.sent_down(), down, "{retry:?}");
        let failure = bench.guide.failures[0].1;
        assert_eq!((failure.sqlstate, failure.safety), (None, Safety::OnStandby));
    }
}

#[test]
fn nothing_is_asked_about_what_cannot_be_sent_again() {
    let mut primary = server(false);
    let mut bench = sent("INSERT INTO t VALUES (1)", Some(ELSEWHERE), &mut primary);
    error(&mut bench, b"40001");
    ReadyForQuery { status: TransactionStatus::Idle }.write(&mut bench.io.server_in);
    assert_eq!(bench.step(Some(&mut primary)), Step::Release(Disposition::Reuse));
    assert_eq!(bench.sent_down(), b"EZ");
    let mut bench = sent("INSERT INTO t VALUES (1)", Some(ELSEWHERE), &mut primary);
    bench.session.server_lost(&mut bench.io, &mut bench.guide);
    assert_eq!(sqlstate(&bench.io.client_out), *b"08007");
    // A part of the result has been delivered.
    let mut bench = sent("SELECT 1", Some(ELSEWHERE), &mut primary);
    backend::DataRow::write([Some(&b"1"[..])].into_iter(), &mut bench.io.server_in);
    bench.step(Some(&mut primary));
    error(&mut bench, b"53200");
    bench.step(Some(&mut primary));
    assert_eq!(bench.sent_down(), b"DE");
    assert!(bench.guide.failures.is_empty());
    // Part of a transaction.
    let mut bench = sent("BEGIN", Some(ELSEWHERE), &mut primary);
    bench.completed(TransactionStatus::InTransaction);
    bench.step(Some(&mut primary));
    bench.query("SELECT 1");
    bench.step(Some(&mut primary));
    bench.session.server_lost(&mut bench.io, &mut bench.guide);
    assert!(bench.guide.failures.is_empty());
}

#[test]
fn a_write_that_was_refused_before_it_began_may_go_again() {
    let mut demoted = server(false);
    let primary = Retry::Again(Again { target: Target::Primary, delay_ms: 0 });
    let mut bench = sent("INSERT INTO t VALUES (1)", Some(primary), &mut demoted);
    error(&mut bench, b"25006");
    assert_eq!(bench.step(Some(&mut demoted)), Step::Release(Disposition::Close));
    assert_eq!(bench.guide.failures[0].1.safety, Safety::Refused);
    assert_eq!(bench.step(None), Step::Lease);
    assert_eq!(*bench.session.decision(), Decision::Primary);
}

#[test]
fn there_is_an_end_to_it() {
    // Without a policy after three times, also when the server answers.
    let mut replica = server(true);
    let mut bench = sent("SELECT 1", None, &mut replica);
    for _ in 0..3 {
        error(&mut bench, b"40001");
        assert_eq!(bench.step(Some(&mut replica)), Step::Release(Disposition::Close));
        bench.step(None);
        bench.step(Some(&mut replica));
    }
    error(&mut bench, b"40001");
    bench.step(Some(&mut replica));
    assert_eq!(bench.sent_down(), b"E");
    // With one that never gives up after a hundred.
    let mut bench = sent("SELECT 1", Some(ELSEWHERE), &mut replica);
    let mut times = 0;
    while bench.io.client_out.is_empty() {
        bench.session.server_lost(&mut bench.io, &mut bench.guide);
        while matches!(bench.step(None), Step::Pause(_)) {}
        bench.step(Some(&mut replica));
        times += 1;
        assert!(times < 200);
    }
    assert_eq!(times, 101);
    assert_eq!(sqlstate(&bench.io.client_out), *b"08006");
}
