#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use howdah_decision::{Demands, Otherwise, Role};
use howdah_sql::{Catalog as _, PinReason, Volatility};

use crate::{
    Balancer, Catalog, Causality, ClusterId, Evidence, Failure, MAX_FAILOVERS, MustHaveSeen,
    NodeId, NodeSpec, Observer, Pick, Sample, Snapshot, Token,
};

const MAIN: ClusterId = ClusterId(0);

fn observer() -> Observer {
    let spec = |name: &str| NodeSpec {
        name: name.into(),
        labels: vec![("zone".into(), name.into())],
        cluster: MAIN,
    };
    Observer::new(vec!["main".into()], vec![spec("a"), spec("b"), spec("c")])
}

fn primary(timeline: u32, lsn: u64) -> Result<Sample, Failure> {
    let (system_identifier, replay_age, recovered, first) = (7, None, Some(lsn), false);
    let in_recovery = false;
    Ok(Sample { in_recovery, timeline, system_identifier, lsn, replay_age, recovered, first })
}

fn replica(lsn: u64) -> Result<Sample, Failure> {
    let replay_age = Some(Duration::from_millis(900));
    let (timeline, system_identifier, recovered, first) = (1, 7, None, false);
    let in_recovery = true;
    Ok(Sample { in_recovery, timeline, system_identifier, lsn, replay_age, recovered, first })
}

#[test]
fn roles_and_lags_come_from_probes() {
    let (mut observer, now) = (observer(), Instant::now());
    assert_eq!(observer.snapshot().primary(MAIN), None);
    observer.observe(NodeId(1), now, replica(90));
    let snapshot = observer.observe(NodeId(0), now, primary(1, 100));
    assert_eq!(snapshot.primary(MAIN), Some(NodeId(0)));
    assert_eq!(snapshot.state(NodeId(1)).unwrap().lag_bytes, Some(10));
    let caught_up = observer.observe(NodeId(1), now, replica(100));
    assert_eq!(caught_up.state(NodeId(1)).unwrap().lag, Some(Duration::ZERO));
    assert_eq!(caught_up.epoch, snapshot.epoch, "progress is not a change");
    let down = observer.observe(NodeId(0), now, Err(Failure::Silent));
    assert_eq!((down.primary(MAIN), down.epoch), (None, snapshot.epoch + 1));
    assert_eq!(down.state(NodeId(0)).unwrap().role, Role::Unknown);
}

#[test]
fn of_two_primaries_the_higher_timeline_wins() {
    let (mut observer, now) = (observer(), Instant::now());
    observer.observe(NodeId(0), now, primary(1, 100));
    let snapshot = observer.observe(NodeId(1), now, primary(2, 50));
    assert_eq!(snapshot.primary(MAIN), Some(NodeId(1)));
    assert!(snapshot.state(NodeId(0)).unwrap().refused.is_some());
    observer.observe(NodeId(0), now, Err(Failure::Silent));
    let back = observer.observe(NodeId(0), now, primary(1, 100));
    assert_eq!(back.primary(MAIN), Some(NodeId(1)));
}

/// Where a promoted standby left the old timeline is known when the same connection has seen both.
#[test]
fn a_promotion_is_followed_over_one_connection() {
    let (mut observer, now) = (observer(), Instant::now());
    let mut see = |sample| observer.observe(NodeId(1), now, sample).states[1].clone();
    assert_eq!(see(replica(90)).forked, None);
    assert_eq!(see(primary(2, 100)).forked, Some(100));
    assert_eq!(see(primary(2, 150)).forked, Some(100));
    // A standby whose receiver has gone tells of an older timeline that it was on.
    let late = Sample { timeline: 3, ..replica(160).unwrap() };
    assert_eq!(see(Ok(late)).timeline, 3);
    assert_eq!(see(replica(170)).timeline, 3);
    assert_eq!(see(primary(4, 180)).forked, Some(180));
    // It was another life, or not seen at all.
    see(replica(90));
    assert_eq!(see(primary(3, 100)).forked, None);
    for between in [Ok(Sample { first: true, ..primary(2, 100).unwrap() }), Err(Failure::Silent)] {
        see(replica(90));
        see(between);
        assert_eq!(see(primary(2, 100)).forked, None);
    }
}

#[test]
fn a_stranger_is_not_used() {
    let (mut observer, now) = (observer(), Instant::now());
    observer.observe(NodeId(0), now, primary(1, 100));
    let mut stranger = primary(9, 100).unwrap();
    stranger.system_identifier = 8;
    let snapshot = observer.observe(NodeId(1), now, Ok(stranger));
    assert_eq!(snapshot.primary(MAIN), Some(NodeId(0)));
    assert_eq!(snapshot.named("b"), None);
}

/// Whoever answers first may be the stranger.
#[test]
fn the_identity_of_a_cluster_is_that_of_most_nodes() {
    let (mut observer, now) = (observer(), Instant::now());
    let mut stranger = primary(9, 100).unwrap();
    stranger.system_identifier = 8;
    let refused = |observer: &Observer| {
        let snapshot = observer.snapshot();
        [0, 1, 2].map(|node| snapshot.state(NodeId(node)).unwrap().refused.is_some())
    };
    observer.observe(NodeId(2), now, Ok(stranger));
    observer.observe(NodeId(0), now, primary(1, 100));
    assert_eq!(refused(&observer), [true, false, false], "one against one: who was first");
    let snapshot = observer.observe(NodeId(1), now, replica(100));
    assert_eq!(refused(&observer), [false, false, true]);
    assert_eq!(snapshot.primary(MAIN), Some(NodeId(0)), "the stranger's timeline does not count");
    // Those that are away count as well.
    observer.observe(NodeId(0), now, Err(Failure::Silent));
    observer.observe(NodeId(1), now, Err(Failure::Silent));
    assert_eq!(observer.observe(NodeId(2), now, Ok(stranger)).primary(MAIN), None);
}

#[test]
fn reads_are_spread_over_replicas_that_qualify() {
    let (mut observer, now) = (observer(), Instant::now());
    observer.observe(NodeId(0), now, primary(1, 100));
    observer.observe(NodeId(1), now, replica(100));
    let snapshot = observer.observe(NodeId(2), now, replica(60));
    let mut balancer = Balancer::default();
    let mut pick =
        |demands: &Demands| balancer.pick(&snapshot, MAIN, demands, MustHaveSeen::Anything, |_| 0);
    let any = Demands::default();
    let picks: Vec<Pick> = (0..4).map(|_| pick(&any)).collect();
    assert_eq!(picks.iter().filter(|p| **p == Pick::Node(NodeId(1))).count(), 2);
    assert_eq!(picks.iter().filter(|p| **p == Pick::Node(NodeId(2))).count(), 2);
    let fresh = Demands { max_lag_bytes: Some(10), ..Demands::default() };
    assert_eq!(pick(&fresh), Pick::Node(NodeId(1)));
    let slow = Demands { max_lag_ms: Some(500), ..Demands::default() };
    assert_eq!(pick(&slow), Pick::Node(NodeId(1)));
    let zone = |zone: &str, otherwise| Demands {
        label: Some(("zone".into(), zone.into())),
        otherwise,
        ..Demands::default()
    };
    assert_eq!(pick(&zone("c", Otherwise::Refuse)), Pick::Node(NodeId(2)));
    assert_eq!(pick(&zone("x", Otherwise::Primary)), Pick::Node(NodeId(0)));
    assert_eq!(pick(&zone("x", Otherwise::Wait)), Pick::Wait);
    assert_eq!(pick(&zone("x", Otherwise::Refuse)), Pick::Refuse);
    let busy = |node| if node == NodeId(1) { 3 } else { 1 };
    assert_eq!(
        balancer.pick(&snapshot, MAIN, &any, MustHaveSeen::Anything, busy),
        Pick::Node(NodeId(2))
    );
}

#[test]
fn whoever_calls_what_leaves_something_behind_leaves_it_too() {
    let own = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<Vec<_>>()
    };
    let bodies = own(&[
        ("third", "SELECT second()"),
        ("second", "BEGIN PERFORM first(); END"),
        ("first", "BEGIN PERFORM set_config('a.b', 'c', false); END"),
        ("long", &"SELECT 1;".repeat(10_000)),
        ("harmless", "SELECT 1"),
    ]);
    let uses = own(&[("v", "third"), ("w", "harmless"), ("", "harmless")]);
    let catalog = Catalog::default().with_bodies(bodies.into_iter(), uses.clone().into_iter());
    for name in ["first", "second", "third"] {
        assert_eq!(catalog.pins(name), Some(PinReason::Settings), "{name}");
    }
    assert_eq!(catalog.pins("long"), Some(PinReason::Function));
    assert_eq!(catalog.pins("harmless"), None);
    assert_eq!(catalog.pins("v"), Some(PinReason::Settings));
    assert_eq!(catalog.pins("w"), None);
    assert_eq!(catalog.writing_pins(), None);
    assert!(!catalog.writing_reads_sequences());
    let uses = own(&[("", "reads"), ("", "harmless")]);
    let bodies = own(&[("harmless", "LISTEN c"), ("reads", "BEGIN RETURN lastval(); END")]);
    let catalog = Catalog::default().with_bodies(bodies.into_iter(), uses.into_iter());
    assert_eq!(catalog.writing_pins(), Some(PinReason::Listen));
    assert!(catalog.writing_reads_sequences());
}

#[test]
fn what_is_used_without_being_named_counts_too() {
    let own = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<Vec<_>>()
    };
    let catalog = |bodies: &[(&str, &str)], uses: &[(&str, &str)]| {
        Catalog::default().with_bodies(own(bodies).into_iter(), own(uses).into_iter())
    };
    let leaves = ("leaves", "BEGIN SET a.b = 'c'; END");
    // Views of views, operators, aggregates, and the functions that use them.
    let bodies = [
        leaves,
        ("reads", "SELECT * FROM v2"),
        ("adds", "SELECT 1 |+| 2"),
        ("calm", "SELECT 1 * 2"),
    ];
    let uses = [("v1", "leaves"), ("v2", "v1"), ("|+|", "leaves"), ("total", "leaves")];
    let found = catalog(&bodies, &uses);
    for name in ["v1", "v2", "|+|", "total", "reads", "adds"] {
        assert_eq!(found.pins(name), Some(PinReason::Settings), "{name}");
    }
    assert_eq!(found.pins("calm"), None);
    assert_eq!((found.writing_pins(), found.anything_pins()), (None, None));
    // Whoever writes runs triggers, in a function too.
    let bodies = [leaves, ("writes", "INSERT INTO t VALUES (1)"), ("calm", "SELECT 1")];
    let found = catalog(&bodies, &[("", "leaves")]);
    assert_eq!(found.pins("writes"), Some(PinReason::Settings));
    assert_eq!(found.pins("calm"), None);
    // Casts and types.
    assert_eq!(catalog(&[leaves], &[(".", "leaves")]).anything_pins(), Some(PinReason::Settings));
    // A view that calls a built-in function; calls of that by itself are judged by the scan.
    let found = catalog(&[], &[("v", "set_config"), ("w", "pg_advisory_lock")]);
    assert_eq!(found.pins("v"), Some(PinReason::Settings));
    assert_eq!(found.pins("w"), Some(PinReason::AdvisoryLock));
    assert_eq!(found.pins("set_config"), None);
    // Of two reasons the one counts that no question can clear, however far away it is.
    let bodies =
        [("a", "SELECT b(), d()"), ("b", "LISTEN x"), ("d", "SELECT e()"), ("e", "SET x = 1")];
    assert_eq!(catalog(&bodies, &[]).pins("a"), Some(PinReason::Settings));
}

#[test]
fn the_worst_function_of_a_name_counts() {
    let functions = [
        ("pg_catalog", "now", b's'),
        ("pg_catalog", "f", b'i'),
        ("app", "f", b'v'),
        ("pg_catalog", "random", b'v'),
    ];
    let catalog = Catalog::new(
        1,
        functions.into_iter().map(|(s, n, v)| (s.to_owned(), n.to_owned(), v)),
        [("public".to_owned(), "v".to_owned())].into_iter(),
        ["|+|".to_owned()].into_iter(),
    );
    assert_eq!(catalog.function(None, "now"), Volatility::Stable);
    assert_eq!(catalog.function(None, "f"), Volatility::Volatile);
    assert_eq!(catalog.function(Some("pg_catalog"), "f"), Volatility::Immutable);
    assert_eq!(catalog.function(Some("other"), "f"), Volatility::Unknown);
    assert_eq!(catalog.function(None, "nothing"), Volatility::Unknown);
    assert_eq!(catalog.unknown_pins(), Some(PinReason::UnknownFunction));
    assert_eq!(Catalog::default().unknown_pins(), None, "before the first load nothing is known");
    assert!(catalog.relation_is_volatile(None, "v"));
    assert!(!catalog.relation_is_volatile(Some("app"), "v"));
    assert!(catalog.operator_is_volatile("|+|"));
}

#[test]
fn a_session_reads_where_its_writes_have_arrived() {
    let (mut observer, begin) = (observer(), Instant::now());
    let at = |ms: u64| begin + Duration::from_millis(ms);
    let mut session = Causality::default();
    let mut balancer = Balancer::default();
    let any = Demands {
        max_lag_ms: None,
        max_lag_bytes: None,
        label: None,
        otherwise: Otherwise::Primary,
    };
    observer.observe(NodeId(0), at(0), primary(1, 100));
    observer.observe(NodeId(1), at(0), replica(100));
    let snapshot = observer.snapshot();
    assert_eq!(session.demand(&snapshot, MAIN), MustHaveSeen::Anything);
    session.wrote(at(5));
    // Asked for before the write: it may be from before the write.
    assert_eq!(session.demand(&snapshot, MAIN), MustHaveSeen::Everything);
    observer.observe(NodeId(0), at(5), primary(1, 120));
    assert_eq!(session.demand(&observer.snapshot(), MAIN), MustHaveSeen::Everything);
    observer.observe(NodeId(0), at(6), primary(1, 130));
    let token = MustHaveSeen::All(Token { timeline: 1, lsn: 130 });
    assert_eq!(session.demand(&observer.snapshot(), MAIN), token);
    let mut pick =
        |observer: &Observer, seen| balancer.pick(&observer.snapshot(), MAIN, &any, seen, |_| 0);
    observer.observe(NodeId(1), at(7), replica(129));
    assert_eq!(pick(&observer, token), Pick::Node(NodeId(0)));
    assert_eq!(pick(&observer, MustHaveSeen::Anything), Pick::Node(NodeId(1)));
    observer.observe(NodeId(1), at(8), replica(130));
    assert_eq!(pick(&observer, token), Pick::Node(NodeId(1)));
    // What others write later does not move the point.
    observer.observe(NodeId(0), at(9), primary(1, 500));
    assert_eq!(session.demand(&observer.snapshot(), MAIN), token);
    // Without a primary it still counts.
    observer.observe(NodeId(0), at(10), Err(Failure::Silent));
    assert_eq!(session.demand(&observer.snapshot(), MAIN), token);
    // On another timeline it does not, and positions there are not compared with it.
    observer.observe(NodeId(2), at(4), primary(2, 90));
    assert_eq!(session.demand(&observer.snapshot(), MAIN), MustHaveSeen::Everything);
    observer.observe(NodeId(2), at(12), primary(2, 95));
    let token = MustHaveSeen::All(Token { timeline: 2, lsn: 95 });
    assert_eq!(session.demand(&observer.snapshot(), MAIN), token);
    assert_eq!(pick(&observer, token), Pick::Node(NodeId(2)), "the replica is on the old timeline");
    session.wrote(at(20));
    assert_eq!(session.demand(&observer.snapshot(), MAIN), MustHaveSeen::Everything);
}

#[test]
fn what_was_opened_to_a_node_that_is_lost_or_refused_is_over() {
    let (mut observer, now) = (observer(), Instant::now());
    let tenures =
        |observer: &Observer| [0, 1, 2].map(|node| observer.snapshot().tenure(NodeId(node)));
    observer.observe(NodeId(0), now, primary(1, 100));
    observer.observe(NodeId(1), now, replica(100));
    observer.observe(NodeId(2), now, replica(100));
    assert_eq!(tenures(&observer), [0, 0, 0]);
    // It speaks, so what it has to say is still its own.
    for failure in [Failure::Unavailable("57P03".into()), Failure::Login("53300".into())] {
        observer.observe(NodeId(1), now, Err(failure));
    }
    assert_eq!(tenures(&observer), [0, 0, 0]);
    // Once, however often it is not found.
    for failure in [Failure::Silent, Failure::Unreachable("refused".into())] {
        observer.observe(NodeId(1), now, Err(failure));
    }
    assert_eq!(tenures(&observer), [0, 1, 0]);
    observer.observe(NodeId(1), now, replica(100));
    let before = observer.snapshot().epoch;
    let snapshot = observer.observe(NodeId(2), now, primary(2, 100));
    assert_eq!(tenures(&observer), [1, 1, 0], "the old primary's time has ended");
    assert!(snapshot.epoch > before);
}

#[test]
fn no_older_primary_takes_over_while_the_newest_is_away() {
    let (mut observer, now) = (observer(), Instant::now());
    observer.observe(NodeId(0), now, primary(1, 100));
    observer.observe(NodeId(1), now, primary(2, 100));
    observer.observe(NodeId(0), now, Err(Failure::Silent));
    observer.observe(NodeId(1), now, Err(Failure::Silent));
    let thawed = observer.observe(NodeId(0), now, primary(1, 120));
    assert_eq!(thawed.primary(MAIN), None, "it has not what was written to the other");
    assert_eq!(observer.observe(NodeId(2), now, primary(3, 100)).primary(MAIN), Some(NodeId(2)));
    // The newest is made anew from the old one: an operator has decided.
    observer.observe(NodeId(2), now, replica(100));
    assert_eq!(observer.observe(NodeId(0), now, primary(1, 130)).primary(MAIN), Some(NodeId(0)));
}

#[test]
fn of_two_primaries_on_one_timeline_the_first_goes_on() {
    let (mut observer, now) = (observer(), Instant::now());
    observer.observe(NodeId(1), now, primary(1, 100));
    let snapshot = observer.observe(NodeId(0), now, primary(1, 100));
    assert_eq!(snapshot.primary(MAIN), Some(NodeId(1)));
    observer.observe(NodeId(1), now, Err(Failure::Silent));
    let snapshot = observer.observe(NodeId(0), now, primary(1, 100));
    assert_eq!(snapshot.primary(MAIN), Some(NodeId(0)));
}

#[test]
fn the_manager_settles_a_tie_and_nothing_else() {
    let (mut observer, now) = (observer(), Instant::now());
    observer.observe(NodeId(0), now, primary(1, 100));
    observer.led_by(MAIN, Some(NodeId(1)));
    assert_eq!(observer.snapshot().primary(MAIN), Some(NodeId(0)));
    observer.observe(NodeId(1), now, replica(100));
    assert_eq!(observer.snapshot().primary(MAIN), Some(NodeId(0)), "it says itself what it is");
    let snapshot = observer.observe(NodeId(1), now, primary(1, 100));
    assert_eq!(snapshot.primary(MAIN), Some(NodeId(1)));
    let snapshot = observer.observe(NodeId(0), now, primary(2, 100));
    assert_eq!(snapshot.primary(MAIN), Some(NodeId(0)), "the later promotion counts");
}

#[test]
fn a_node_that_comes_and_goes_rests_longer_each_time() {
    let (mut observer, begin) = (observer(), Instant::now());
    let at = |ms: u64| begin + Duration::from_millis(ms);
    let any = Demands { otherwise: Otherwise::Wait, ..Demands::default() };
    let mut balancer = Balancer::default();
    let mut pick = |observer: &Observer| {
        balancer.pick(&observer.snapshot(), MAIN, &any, MustHaveSeen::Anything, |_| 0)
    };
    observer.observe(NodeId(0), at(0), primary(1, 100));
    observer.observe(NodeId(2), at(0), replica(100));
    let rests = |observer: &Observer| observer.snapshot().state(NodeId(1)).unwrap().resting;
    observer.observe(NodeId(1), at(0), replica(100));
    observer.observe(NodeId(1), at(1), Err(Failure::Silent));
    observer.observe(NodeId(1), at(2), replica(100));
    assert!(!rests(&observer), "once is forgiven");
    observer.observe(NodeId(1), at(3), Err(Failure::Silent));
    observer.observe(NodeId(1), at(4), replica(100));
    assert!(rests(&observer));
    for _ in 0..4 {
        assert_eq!(pick(&observer), Pick::Node(NodeId(2)));
    }
    observer.observe(NodeId(1), at(505), replica(100));
    assert!(!rests(&observer));
    observer.observe(NodeId(1), at(506), Err(Failure::Silent));
    observer.observe(NodeId(1), at(507), replica(100));
    observer.observe(NodeId(1), at(1_400), replica(100));
    assert!(rests(&observer), "longer than the time before");
    // It is better than none.
    observer.observe(NodeId(2), at(1_401), Err(Failure::Silent));
    assert_eq!(pick(&observer), Pick::Node(NodeId(1)));
    // A primary is wanted at once.
    observer.observe(NodeId(0), at(1_402), Err(Failure::Silent));
    observer.observe(NodeId(1), at(1_403), Err(Failure::Silent));
    let snapshot = observer.observe(NodeId(1), at(1_404), primary(2, 100));
    assert_eq!(snapshot.primary(MAIN), Some(NodeId(1)));
    // Whoever has been up for long begins anew.
    observer.observe(NodeId(1), at(100_000), primary(2, 100));
    observer.observe(NodeId(1), at(100_001), Err(Failure::Silent));
    observer.observe(NodeId(1), at(100_002), primary(2, 100));
    assert!(!rests(&observer));
}

#[test]
fn lag_is_what_the_primary_has_written_meanwhile() {
    let (mut observer, begin) = (observer(), Instant::now());
    let at = |ms: u64| begin + Duration::from_millis(ms);
    let standby = |timeline, lsn, age_ms| {
        let replay_age = Some(Duration::from_millis(age_ms));
        Ok(Sample { timeline, replay_age, ..replica(lsn).unwrap() })
    };
    let lag = |observer: &Observer| {
        let snapshot = observer.snapshot();
        let state = snapshot.state(NodeId(1)).unwrap();
        (state.lag_bytes, state.lag.map(|lag| lag.as_millis()))
    };
    observer.observe(NodeId(0), at(0), primary(1, 100));
    // Nothing was written for an hour, and nothing is missing.
    observer.observe(NodeId(1), at(10), standby(1, 100, 3_600_000));
    assert_eq!(lag(&observer), (Some(0), Some(0)));
    // Something is: it is no older than the last look at the primary that the standby has reached.
    observer.observe(NodeId(0), at(1_000), primary(1, 150));
    observer.observe(NodeId(1), at(1_010), standby(1, 100, 3_601_000));
    assert_eq!(lag(&observer), (Some(50), Some(1_010)));
    // It has stopped to replay, and the primary goes on.
    observer.observe(NodeId(0), at(9_000), primary(1, 900));
    observer.observe(NodeId(1), at(9_010), standby(1, 150, 8_500));
    assert_eq!(lag(&observer), (Some(750), Some(8_010)));
    // The clock of the transaction tells more than the looks.
    observer.observe(NodeId(1), at(9_020), standby(1, 150, 40));
    assert_eq!(lag(&observer), (Some(750), Some(40)));
    // It has not followed to the new timeline: positions and times mean nothing.
    observer.observe(NodeId(2), at(9_030), primary(2, 900));
    observer.observe(NodeId(1), at(9_040), standby(1, 900, 10));
    assert_eq!(lag(&observer), (None, None));
    let any = Demands { otherwise: Otherwise::Refuse, ..Demands::default() };
    let pick = |demands: Demands, seen| {
        Balancer::default().pick(&observer.snapshot(), MAIN, &demands, seen, |_| 0)
    };
    assert_eq!(pick(any.clone(), MustHaveSeen::Anything), Pick::Node(NodeId(1)));
    let token = MustHaveSeen::All(Token { timeline: 2, lsn: 900 });
    assert_eq!(pick(any.clone(), token), Pick::Refuse);
    for demands in [
        Demands { max_lag_ms: Some(60_000), ..any.clone() },
        Demands { max_lag_bytes: Some(60_000), ..any },
    ] {
        assert_eq!(pick(demands, MustHaveSeen::Anything), Pick::Refuse);
    }
}

#[test]
fn failovers_are_kept_with_their_times() {
    let (mut observer, begin) = (observer(), Instant::now());
    let at = |ms: u64| begin + Duration::from_millis(ms);
    observer.observe(NodeId(0), at(0), primary(1, 100));
    observer.observe(NodeId(1), at(0), replica(100));
    assert!(!observer.doubt(NodeId(1), at(1), Evidence::SessionLost), "it is no primary");
    assert!(observer.doubt(NodeId(0), at(2), Evidence::SessionLost));
    assert!(observer.in_doubt(MAIN));
    // An answer to what was asked before the doubt does not settle it.
    observer.observe(NodeId(0), at(1), primary(1, 100));
    assert!(observer.in_doubt(MAIN));
    observer.observe(NodeId(0), at(3), primary(1, 100));
    assert!(!observer.in_doubt(MAIN));
    assert_eq!(observer.failovers(MAIN), []);
    observer.doubt(NodeId(0), at(10), Evidence::Unanswered);
    observer.doubt(NodeId(0), at(11), Evidence::SessionLost);
    observer.observe(NodeId(0), at(12), Err(Failure::Silent));
    observer.observe(NodeId(0), at(13), Err(Failure::Unreachable("refused".into())));
    let [under_way] = observer.failovers(MAIN).try_into().unwrap();
    assert_eq!(under_way.to, None);
    observer.observe(NodeId(1), at(20), primary(2, 100));
    let failover = observer.ended(MAIN).unwrap();
    assert_eq!((failover.from, failover.evidence), ((NodeId(0), 1), Evidence::Unanswered));
    assert_eq!((failover.doubted, failover.to), (at(10), Some((NodeId(1), 2, at(20)))));
    assert_eq!(failover.lost, Some((at(12), "no answer in time".to_owned())));
    assert_eq!(observer.ended(MAIN), None, "it is told once");
    // A successor settles it too, whatever becomes of the silent one.
    observer.doubt(NodeId(1), at(25), Evidence::Unanswered);
    observer.observe(NodeId(2), at(26), replica(100));
    assert!(observer.in_doubt(MAIN), "a standby says nothing of its primary");
    observer.observe(NodeId(2), at(27), primary(3, 100));
    assert!(!observer.in_doubt(MAIN));
    assert_eq!(observer.ended(MAIN).unwrap().to, Some((NodeId(2), 3, at(27))));
    assert!(observer.snapshot().state(NodeId(1)).unwrap().refused.is_some());
    // The memory ends.
    for timeline in 4..60 {
        let (gone, next) = (NodeId(timeline as u16 % 2), NodeId((timeline as u16 + 1) % 2));
        observer.observe(gone, at(30), Err(Failure::Silent));
        observer.observe(next, at(31), primary(timeline, 100));
    }
    assert_eq!(observer.failovers(MAIN).len(), MAX_FAILOVERS);
}

#[test]
fn orders_of_operators_outlast_probes() {
    let (mut observer, now) = (observer(), Instant::now());
    observer.observe(NodeId(0), now, primary(1, 100));
    let before = observer.observe(NodeId(1), now, replica(100));
    let drained = observer.drain(NodeId(0), true);
    assert!(drained.epoch > before.epoch);
    let snapshot = observer.observe(NodeId(0), now, primary(1, 101));
    assert_eq!((snapshot.primary(MAIN), snapshot.writable(MAIN)), (Some(NodeId(0)), None));
    observer.observe(NodeId(0), now, Err(Failure::Silent));
    let promoted = observer.observe(NodeId(1), now, primary(2, 101));
    assert_eq!(promoted.writable(MAIN), Some(NodeId(1)));
    assert!(promoted.is_drained(NodeId(0)) && !promoted.is_drained(NodeId(1)));
    assert!(observer.pause(MAIN, true).is_drained(NodeId(1)));
    assert!(!observer.pause(MAIN, false).is_drained(NodeId(1)));
    let back = observer.drain(NodeId(0), false);
    assert!(!back.is_drained(NodeId(0)));
    observer.observe(NodeId(1), now, Err(Failure::Silent));
    let reads = |snapshot: &Snapshot, demands| {
        Balancer::default().pick(snapshot, MAIN, demands, MustHaveSeen::Anything, |_| 0)
    };
    let demands =
        Demands { max_lag_ms: None, max_lag_bytes: None, label: None, otherwise: Otherwise::Wait };
    let snapshot = observer.observe(NodeId(2), now, replica(101));
    assert_eq!(reads(&snapshot, &demands), Pick::Node(NodeId(2)));
    assert_eq!(reads(&observer.drain(NodeId(2), true), &demands), Pick::Wait);
}

#[test]
fn a_session_follows_another_one_by_its_token() {
    let (mut observer, began) = (observer(), Instant::now());
    let at = |ms| began + Duration::from_millis(ms);
    let token = |timeline, lsn| Token { timeline, lsn };
    let all = |timeline, lsn| MustHaveSeen::All(token(timeline, lsn));
    let snapshot = observer.observe(NodeId(0), at(1), primary(1, 100));
    let mut session = Causality::default();
    session.follow(token(1, 70), at(2));
    assert_eq!(session.demand(&snapshot, MAIN), all(1, 70));
    session.follow(token(1, 60), at(3));
    assert_eq!(session.demand(&snapshot, MAIN), all(1, 70), "it never goes back");
    session.wrote(at(4));
    session.follow(token(1, 90), at(5));
    assert_eq!(session.demand(&snapshot, MAIN), MustHaveSeen::Everything);
    let snapshot = observer.observe(NodeId(0), at(6), primary(1, 110));
    assert_eq!(session.demand(&snapshot, MAIN), all(1, 110));
    session.follow(token(2, 50), at(7));
    assert_eq!(session.demand(&snapshot, MAIN), MustHaveSeen::Everything, "another timeline");
}

#[test]
fn a_token_is_written_as_it_is_read() {
    let token = Token { timeline: 26, lsn: 0xAB_0300_0090 };
    assert_eq!(token.to_string(), "0000001A:AB/3000090");
    assert_eq!("0000001A:AB/3000090".parse(), Ok(token));
    for bad in
        ["", "1", "1:", "1:/", "1:0", "1:+1/0", "1:0/1/2", "1:0/100000000", "x:0/0", "-1:0/0"]
    {
        assert_eq!(bad.parse::<Token>(), Err(()), "{bad}");
    }
}
