//! What the rooms may know of each other and of the world; ARCHITECTURE.md says why.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use howdah_e2e::secrets::MARK;

/// Names of the packages that each package of the workspace depends on, tests left out.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--no-deps", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .map(|package| {
            let needed = package["dependencies"].as_array().unwrap().iter();
            let needed = needed.filter(|d| d["kind"].is_null()).map(|d| text(&d["name"]));
            (text(&package["name"]), needed.collect())
        })
        .collect()
}

/// Every test that the threat model names is there.
#[test]
fn the_threat_model_points_to_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let model = std::fs::read_to_string(root.join("docs/security.md")).unwrap();
    let named: Vec<_> = model.split('`').filter_map(|code| code.split_once(".rs::")).collect();
    assert!(named.len() > 30, "{} tests", named.len());
    for (file, test) in named {
        let text = std::fs::read_to_string(root.join(format!("{file}.rs"))).unwrap_or_default();
        assert!(text.contains(&format!("fn {test}(")), "there is no {file}.rs::{test}");
    }
}

/// Without the word that the harness looks for, nobody would notice that a proxy prints them.
#[test]
fn every_password_of_the_tests_is_recognised() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = ["src", "tests"].map(|folder| std::fs::read_dir(root.join(folder)).unwrap());
    let files = files.into_iter().flatten().map(|file| file.unwrap().path());
    let mut passwords = 0;
    for path in files.filter(|path| path.extension().is_some_and(|end| end == "rs")) {
        let text = std::fs::read_to_string(&path).unwrap();
        for begin in ["PASSWORD '", "password = \\\"", "password=", "password(\""] {
            for (at, _) in text.match_indices(begin) {
                let rest = &text[at + begin.len()..];
                let end = rest.find(['\'', '"', '\\']).unwrap_or(rest.len());
                let literal = rest[..end].split_inclusive('{').next().unwrap_or_default();
                let known = literal.contains(MARK) || literal.ends_with('{') || end == 0;
                assert!(known, "{}: the password {literal:?} is without {MARK:?}", path.display());
                passwords += 1;
            }
        }
    }
    assert!(passwords > 30, "{passwords} passwords");
}

#[test]
fn arrows_point_where_they_should() {
    let dependencies = dependencies();
    let rooms = [
        ("howdah-wire", &[][..]),
        ("howdah-decision", &[]),
        ("howdah-sql", &["decision"]),
        ("howdah-session", &["wire", "sql", "decision"]),
        ("howdah-cluster", &["sql", "decision"]),
        ("howdah-pool", &["decision"]),
        ("howdah-policy", &["sql", "decision"]),
        ("howdah-pgcluster", &["wire"]),
    ];
    for (room, allowed) in rooms {
        for needed in &dependencies[room] {
            let Some(other) = needed.strip_prefix("howdah-") else { continue };
            assert!(allowed.contains(&other), "{room} must not know {needed}");
        }
    }
    let world = ["tokio", "wasmtime", "rustix", "socket2", "notify", "tempfile"];
    for room in ["wire", "sql", "decision", "session", "cluster"] {
        for needed in &dependencies[&format!("howdah-{room}")] {
            assert!(!world.contains(&needed.as_str()), "{room} must not know {needed}");
        }
    }
    for (package, needed) in &dependencies {
        if package != "howdah-policy" {
            assert!(!needed.contains("wasmtime"), "{package} must not know wasmtime");
        }
    }
    for outside in [
        "howdah-sdk",
        "comment-tagger",
        "query-guard",
        "rate-limit",
        "read-write-split",
        "retry",
        "shard-by-key",
        "first-router",
        "user-to-replica",
        "rewrite-tag",
        "hostile",
        "oldest",
    ] {
        for needed in &dependencies[outside] {
            let door = needed == "howdah-sdk" || !needed.starts_with("howdah");
            assert!(door, "{outside} must use the public door, not {needed}");
        }
    }
}
