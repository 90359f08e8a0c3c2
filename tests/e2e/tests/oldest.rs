//! Guests of other versions of the interface: what was built against the first released one is loaded and asked.
#![allow(clippy::unwrap_used)]

use howdah_decision::{Again, Decision, Retry, Rewrite, Safety, SessionDecision, Target};
use howdah_e2e::house::{House, first, renamed, spec};
use howdah_e2e::policy;
use howdah_policy::{Binary, Description, PolicySpec};

fn oldest() -> Binary {
    std::fs::read(policy("oldest")).unwrap().into()
}

fn greeting(bytes: Binary) -> PolicySpec {
    spec(bytes, &[("greeting", "hello")])
}

/// The first column of a table.
fn column(decision: &Decision) -> Vec<&str> {
    let Decision::Answer(table) = decision else { panic!("{decision:?} is no table") };
    table.rows.iter().map(|row| row[0].as_deref().unwrap()).collect()
}

/// What the guest heard from each function of the host.
fn heard(house: &House) {
    let answer = house.route("SELECT 'x' FROM t /* app='web' */");
    let expected = [
        "Some(Value::Text(\"hello\"))",
        "alice",
        "shop",
        "",
        "Some(\"web\")",
        "Some(\"x\")",
        "None",
        "[\"t\"]",
        "Ok(()) Ok(2) Ok(true) Some([51]) None",
        "[\"a\"]",
        "Volatility::Immutable",
        "true",
        "true",
    ];
    assert_eq!(column(&answer), expected, "{}", house.last_failure());
    let metrics = &house.registry.status()[0].metrics;
    let names: Vec<&str> = metrics.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["asked", "level", "size"]);
}

#[test]
fn the_oldest_guest_has_all_there_was() {
    let guest = Description::of(&oldest()).unwrap();
    assert_eq!(guest.versions, ["0.1.0"]);
    let hooks = [
        "configure",
        "observe",
        "retry",
        "rewrite",
        "route",
        "session",
        "state",
        "tick",
        "topology",
    ];
    let offered = [
        "catalog", "clock", "kv", "log", "metrics", "nodes", "question", "random", "settings",
        "types",
    ];
    let sorted = |mut names: Vec<String>| {
        names.sort();
        names
    };
    assert_eq!(sorted(guest.hooks), hooks);
    let ours = guest.imports.iter().filter_map(|name| name.strip_prefix("howdah:policy/"));
    let ours = ours.map(|name| name.strip_suffix("@0.1.0").unwrap().to_owned()).collect();
    assert_eq!(sorted(ours), offered);
}

#[test]
fn the_oldest_guest_is_asked_everything() {
    let house = House::of(vec![greeting(oldest())]).with_nodes(&[("a", true)]);
    let SessionDecision::Accept(admission) = house.open() else { panic!() };
    assert_eq!((admission.class, admission.priority), (7, -1));
    assert_eq!(admission.max_wait_ms, Some(250));
    assert_eq!(admission.settings, [("search_path".to_owned(), "app".to_owned())]);
    let Rewrite::Text(text) = house.rewrite("SELECT 1") else { panic!() };
    assert_eq!(&*text, "SELECT 1 /* seen */");
    heard(&house);
    let again = Again { target: Target::Another, delay_ms: 5 };
    assert_eq!(house.retry(Safety::Read), Retry::Again(again));
    house.observe(1);
    house.tick_soon();
    house.worker.closed(&house.worker.chain(0), 1);
    // Another version of it, which is told what the old one knew.
    let mut next = greeting(oldest());
    next.limits.memory += 1 << 16;
    house.registry.apply(vec![next]).unwrap();
    let answer = house.route("SELECT 'asked'");
    let functions = [
        "changed",
        "closed",
        "configure",
        "failed",
        "open",
        "restore",
        "rewrite",
        "route",
        "snapshot",
        "statements",
        "tick",
    ];
    let mut called = column(&answer);
    called.sort_unstable();
    assert_eq!(called, functions);
    assert_eq!(house.failures(), 0);
}

#[test]
fn a_guest_of_a_later_patch_is_asked_if_it_needs_nothing_new() {
    let later = renamed(&oldest(), "@0.1.0", "@0.1.9");
    let house = House::of(vec![greeting(later.clone())]).with_nodes(&[("a", true)]);
    heard(&house);
    assert!(matches!(house.open(), SessionDecision::Accept(a) if a.class == 7));
    assert_eq!(first(&house.route("SELECT 'asked'")), "configure");
    assert_eq!(house.failures(), 0);
    // A function that the host does not have, and a hook without one of its functions.
    let cases = [
        (renamed(&later, "wall-ms", "wall-us"), "it cannot be linked: "),
        (renamed(&later, "closed", "cloxed"), "its hook session: "),
        (renamed(&later, "@0.1.9", "@0.2.0"), "this howdah understands version 0.1"),
        (renamed(&later, "@0.1.9", "@0.0.9"), "this howdah understands version 0.1"),
        (renamed(&later, "@0.1.9", "@1.1.0"), "this howdah understands version 0.1"),
    ];
    for (bytes, message) in cases {
        let errors = house.registry.apply(vec![greeting(bytes)]).unwrap_err();
        assert!(errors[0].message.contains(message), "{}", errors[0]);
    }
}
