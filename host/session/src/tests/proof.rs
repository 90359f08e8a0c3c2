//! What follows from what a server says of itself about a transaction that another life of it, or another server, had
//! before.

use howdah_decision::Outcome::{Committed, NotCommitted, Unknown};

use super::*;
use crate::proof::{Judgement, Life, Proof, Status, Survivor, lsn};

fn life(timeline: u32, recovered: Option<u64>, started: &str) -> Life {
    Life { timeline, recovered, started: started.into() }
}

fn proof(recovered: Option<u64>) -> Proof {
    Proof { xid: Some(726), lsn: 1000, life: life(3, recovered, "monday") }
}

fn survivor(life: Life) -> Survivor {
    Survivor { same_system: true, life, forked: None, recovered_again: false, unlogged: false }
}

const UNKNOWN: Judgement = Judgement::Decided(Unknown);
const LOST: Judgement = Judgement::Decided(NotCommitted);

#[test]
fn a_server_in_the_same_life_tells() {
    for recovered in [None, Some(900)] {
        let mut now = survivor(life(3, recovered, "monday"));
        assert_eq!(proof(recovered).judge(&now), Judgement::Alive);
        // What is not in the WAL is still there.
        now.unlogged = true;
        assert_eq!(proof(recovered).judge(&now), Judgement::Alive);
        now.same_system = false;
        assert_eq!(proof(recovered).judge(&now), UNKNOWN);
    }
}

#[test]
fn a_server_that_has_recovered_tells_what_it_has_recovered() {
    // Its processes began anew after a crash, or it was started again.
    for started in ["monday", "tuesday"] {
        for before in [None, Some(900)] {
            for (end, judgement) in
                [(999, LOST), (1000, Judgement::Recovered), (1001, Judgement::Recovered)]
            {
                let mut now = survivor(life(3, Some(end), started));
                assert_eq!(proof(before).judge(&now), judgement);
                // Its id may have been given again in between.
                now.recovered_again = true;
                let again = if end < 1000 { LOST } else { UNKNOWN };
                assert_eq!(proof(before).judge(&now), again);
            }
        }
    }
}

#[test]
fn a_server_that_was_started_without_a_recovery_does_not_tell() {
    for before in [None, Some(900)] {
        assert_eq!(proof(before).judge(&survivor(life(3, None, "tuesday"))), UNKNOWN);
    }
    // Recoveries end ever further on.
    assert_eq!(proof(Some(900)).judge(&survivor(life(3, Some(900), "tuesday"))), UNKNOWN);
    assert_eq!(proof(Some(900)).judge(&survivor(life(3, Some(800), "monday"))), UNKNOWN);
}

#[test]
fn a_promoted_server_tells_where_it_left_our_timeline() {
    for (end, judgement) in [(999, LOST), (1000, Judgement::Recovered)] {
        let mut now = survivor(life(4, Some(end), "sunday"));
        now.forked = Some(end);
        assert_eq!(proof(None).judge(&now), judgement);
        // Nobody has seen it leave ours, it has recovered since, or it was started again.
        for forked in [None, Some(end - 1)] {
            assert_eq!(proof(None).judge(&Survivor { forked, ..now.clone() }), UNKNOWN);
        }
        let restarted = Survivor { life: life(4, None, "tuesday"), ..now.clone() };
        assert_eq!(proof(None).judge(&restarted), UNKNOWN);
        // Another timeline than the next one has another history.
        for timeline in [1, 2, 5] {
            let life = life(timeline, Some(end), "sunday");
            assert_eq!(proof(None).judge(&Survivor { life, ..now.clone() }), UNKNOWN);
        }
    }
}

#[test]
fn what_is_only_in_unlogged_relations_is_not_proven_by_the_wal() {
    let now = Survivor { unlogged: true, ..survivor(life(3, Some(1000), "tuesday")) };
    assert_eq!(proof(None).judge(&now), UNKNOWN);
    let now = Survivor { unlogged: true, ..survivor(life(3, Some(999), "tuesday")) };
    assert_eq!(proof(None).judge(&now), LOST);
}

#[test]
fn the_status_decides_the_rest() {
    for (judgement, in_progress) in
        [(Judgement::Alive, None), (Judgement::Recovered, Some(NotCommitted))]
    {
        assert_eq!(judgement.with(Status::Committed), Some(Committed));
        assert_eq!(judgement.with(Status::Aborted), Some(NotCommitted));
        assert_eq!(judgement.with(Status::InProgress), in_progress);
        assert_eq!(judgement.with(Status::Unknown), Some(Unknown));
    }
    assert_eq!(LOST.with(Status::Committed), Some(NotCommitted));
}

#[test]
fn positions_are_read_as_they_are_written() {
    assert_eq!(lsn("16/B374D848"), Some(0x16_B374_D848));
    assert_eq!(lsn("FFFFFFFF/0"), Some(0xFFFF_FFFF_0000_0000));
    for nonsense in ["", "1", "/1", "1/", "G/1", "100000000/0", "1/2/3"] {
        assert_eq!(lsn(nonsense), None, "{nonsense}");
    }
}

/// A server is given up while what it has said is still unread: that counts only as far as it identifies the transaction.
#[test]
fn an_answer_that_came_before_the_loss_counts() {
    let (mut bench, mut primary) = (Bench::new(), server(false));
    bench.guide.proves = true;
    for sql in ["BEGIN", "INSERT INTO t VALUES (1)"] {
        bench.query(sql);
        while bench.step(Some(&mut primary)) == Step::Lease {}
        bench.completed(TransactionStatus::InTransaction);
        bench.step(Some(&mut primary));
    }
    bench.query("COMMIT");
    bench.step(Some(&mut primary));
    assert_eq!(bench.sent_up(), b"QQQQ");
    bench.sent_down();
    let row = ["9", "0/A", "000000020000000000000001", "0/5", "20260101"];
    let values = row.iter().map(|value| Some(value.as_bytes()));
    backend::DataRow::write(values, &mut bench.io.server_in);
    bench.completed(TransactionStatus::InTransaction);
    bench.completed(TransactionStatus::Idle);
    bench.session.server_lost(&mut bench.io, &mut bench.guide);
    let life = life(2, Some(5), "20260101");
    let expected = Proof { xid: Some(9), lsn: 10, life };
    assert_eq!(bench.step(None), Step::Prove(Box::new(expected)));
    assert_eq!(bench.sent_down(), b"");
    bench.session.proven(&mut bench.io, &mut bench.guide, Committed);
    assert_eq!(bench.sent_down(), b"CZ");
    assert!(bench.session.is_idle());
}
