//! What guests were built against stays as it is: `wit/released/<version>` against `wit/`. See wit/VERSIONING.md.
#![allow(clippy::unwrap_used)]

mod package;

use std::path::{Path, PathBuf};

use package::Package;

fn wit() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit")
}

/// The released packages that guests of today's minor version may have been built against.
fn released(today: &Package) -> Vec<Package> {
    let folders = std::fs::read_dir(wit().join("released")).unwrap().map(|e| e.unwrap().path());
    let minor = |version: &str| version.rsplit_once('.').unwrap().0.to_owned();
    let read = |folder: PathBuf| {
        let package = Package::read(&folder);
        assert!(folder.ends_with(&package.version), "{} holds another", folder.display());
        package
    };
    folders.map(read).filter(|old| minor(&old.version) == minor(&today.version)).collect()
}

#[test]
fn what_was_released_still_works() {
    let today = Package::read(&wit());
    let released = released(&today);
    assert!(!released.is_empty(), "nothing of {} has been released", today.version);
    for old in &released {
        let broken = old.broken_by(&today);
        assert!(broken.is_empty(), "guests built against {} break: {broken:#?}", old.version);
        if old.version == today.version {
            let new = today.broken_by(old);
            assert!(new.is_empty(), "this needs a version of its own: {new:#?}");
        }
    }
}

/// A package with a hook and something that the host offers.
const MADE_UP: &str = "
package made:up@0.1.0;
interface types {
    record place { name: string, at: option<u32> }
    variant answer { no, yes(place), several(list<tuple<string, u8>>) }
    enum mode { slow, fast }
    flags facts { large, old }
    type digest = u64;
}
interface offered {
    use types.{place};
    get: func(key: string) -> option<place>;
}
interface hook {
    use types.{answer, mode, facts, digest};
    ask: func(text: string, mode: mode, facts: facts, digest: digest) -> result<answer, string>;
    tell: func();
}
world imports { import offered; }
world one { include imports; export hook; }
";

/// What breaks when the made-up package becomes this one.
fn broken(replaced: &str, by: &str) -> Vec<String> {
    assert_eq!(MADE_UP.matches(replaced).count(), 1, "{replaced}");
    Package::parse(MADE_UP).broken_by(&Package::parse(&MADE_UP.replace(replaced, by)))
}

#[test]
fn what_breaks_guests_is_found() {
    let changes = [
        ("get: func(key: string) -> option<place>;", "", "offered: function get is gone"),
        ("    tell: func();\n", "", "hook: function tell is gone"),
        (
            "tell: func();",
            "tell: func(); more: func();",
            "hook: function more is new, and guests export it",
        ),
        (
            "tell: func();",
            "tell: func(); type more = u8;",
            "hook: type more is new, and guests export it",
        ),
        (
            "tell: func();",
            "tell: func() -> u8;",
            "hook: function tell was func() -> nothing and is func() -> u8",
        ),
        ("ask: func(text: string,", "ask: func(sql: string,", "hook: function ask was"),
        ("at: option<u32>", "at: option<u64>", "types: type place was"),
        ("at: option<u32>", "at: option<u32>, more: bool", "types: type place was"),
        ("name: string, at: option<u32>", "at: option<u32>, name: string", "types: type place was"),
        ("yes(place), several", "yes(place), maybe, several", "types: type answer was"),
        (
            "several(list<tuple<string, u8>>)",
            "several(list<tuple<string, u16>>)",
            "types: type answer was",
        ),
        (
            "slow, fast",
            "slow, fast, faster",
            "types: type mode was enum(slow, fast) and is enum(slow, fast, faster)",
        ),
        ("large, old", "old, large", "types: type facts was"),
        ("digest = u64", "digest = u32", "types: type digest was u64 and is u32"),
        ("result<answer, string>", "result<answer>", "hook: function ask was"),
        ("export hook;", "", "world one does not export hook"),
        ("world one", "world other", "world one is gone"),
    ];
    for (replaced, by, told) in changes {
        let broken = broken(replaced, by);
        assert!(broken.iter().any(|one| one.starts_with(told)), "{by}: {broken:#?}");
    }
}

#[test]
fn an_interface_that_is_gone_is_found() {
    let without = "package made:up@0.1.0; interface types {}";
    let broken = Package::parse(MADE_UP).broken_by(&Package::parse(without));
    for told in ["interface offered is gone", "interface hook is gone", "world imports is gone"] {
        assert!(broken.iter().any(|one| one == told), "{broken:#?}");
    }
}

#[test]
fn what_breaks_no_guest_is_allowed() {
    let changes = [
        ("get: func(key: string)", "/// Tells more.\n    get: func(key: string)"),
        ("get: func", "set: func(key: string, place: place); get: func"),
        ("enum mode", "enum more { a, b } enum mode"),
        (
            "interface hook",
            "interface second-hook { use types.{mode}; ask: func(mode: mode); } interface hook",
        ),
        ("import offered; }", "import offered; import types; }"),
        ("@0.1.0", "@0.1.1"),
    ];
    for (replaced, by) in changes {
        assert_eq!(broken(replaced, by), [""; 0], "{by}");
    }
}
