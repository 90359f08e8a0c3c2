#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use howdah_decision::{Demands, Otherwise, Role};
use howdah_sql::{Catalog as _, PinReason, Volatility};

use crate::{
    Balancer, Catalog, Causality, ClusterId, Failure, MustHaveSeen, NodeId, NodeSpec, Observer,
    Pick, Sample, Token,
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
    Ok(Sample { in_recovery: false, timeline, system_identifier: 7, lsn, replay_age: None })
}

fn replica(lsn: u64) -> Result<Sample, Failure> {
    let replay_age = Some(Duration::from_millis(900));
    Ok(Sample { in_recovery: true, timeline: 1, system_identifier: 7, lsn, replay_age })
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
