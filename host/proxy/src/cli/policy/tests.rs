#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::ExitCode;

use serde_json::Value;

use super::hooks_reference;
use crate::cli::{Actions, execute_from};
use crate::policies::READ_WRITE_SPLIT;

const ACTIONS: Actions =
    Actions { run: |_, _| anyhow::bail!("run"), demo: |_| anyhow::bail!("demo") };

/// What is printed, and whether it succeeds.
fn policy(arguments: &[&str]) -> (String, Result<ExitCode, String>) {
    let mut out = Vec::new();
    let arguments = ["howdah", "policy"].iter().chain(arguments);
    let result = execute_from(arguments, &ACTIONS, &mut out).map_err(|error| format!("{error:#}"));
    (String::from_utf8(out).unwrap(), result)
}

fn json(arguments: &[&str]) -> Value {
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
    serde_json::from_str(&policy(&arguments).0).unwrap()
}

fn repository(path: &str) -> String {
    format!("{}/../../{path}", env!("CARGO_MANIFEST_DIR"))
}

/// A folder with the default policy in a file.
fn folder() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("split.wasm");
    std::fs::write(&file, READ_WRITE_SPLIT).unwrap();
    let file = file.to_str().unwrap().to_owned();
    (folder, file)
}

#[test]
fn check_says_what_a_policy_is() {
    let (folder, file) = folder();
    let (out, result) = policy(&["check", &file]);
    assert_eq!(result, Ok(ExitCode::SUCCESS), "{out}");
    assert!(
        out.contains("split.wasm): can be used") && out.contains("configure, route, session"),
        "{out}"
    );
    let value = &json(&["check", &file])["policies"][0];
    assert_eq!(value["usable"], true);
    assert_eq!(value["versions"][0], "0.1.0");
    assert_eq!(value["size"], READ_WRITE_SPLIT.len());
    assert_eq!(value["sha256"].as_str().unwrap().len(), 64);
    assert!(value["core_instances"].as_u64().unwrap() > 0);
    // What is none of its business.
    let broken = folder.path().join("broken.wasm");
    for (bytes, says) in [
        (&READ_WRITE_SPLIT[..1_000], "it is not WebAssembly"),
        (b"\0asm\x01\0\0\0", "it is a core module"),
        (b"\0asm\x0d\0\x01\0", "it exports no hook"),
        (b"", "it is"),
    ] {
        std::fs::write(&broken, bytes).unwrap();
        let (out, result) = policy(&["check", &file, broken.to_str().unwrap()]);
        assert_eq!(result, Ok(ExitCode::FAILURE));
        assert!(out.contains(&format!("broken.wasm): cannot be used: {says}")), "{out}");
        assert!(out.contains("split.wasm): can be used"), "the other is told of too: {out}");
    }
    let (out, _) = policy(&["check", "/nowhere.wasm"]);
    assert!(out.contains("cannot be read"), "{out}");
    assert!(policy(&["check"]).1.unwrap_err().contains("<FILE>"));
}

#[test]
fn check_loads_policies_as_a_configuration_has_them() {
    let (folder, _) = folder();
    let config = folder.path().join("howdah.toml");
    let check = |more: &str| {
        let text = format!(
            "[cluster.main]\nnodes = [\"a\"]\n[[policy]]\nname = \"split\"\npath = \"split.wasm\"\n{more}"
        );
        std::fs::write(&config, text).unwrap();
        policy(&["check", "--config", config.to_str().unwrap()])
    };
    assert_eq!(check("").1, Ok(ExitCode::SUCCESS));
    let (out, result) = check("[policy.settings]\nmax-lag = 1\n");
    assert_eq!(result, Ok(ExitCode::FAILURE));
    assert!(out.contains("it does not accept its settings: unknown setting max-lag"), "{out}");
    std::fs::write(
        folder.path().join("cases.toml"),
        "[[case]]\nsql = \"SELECT 1\"\nexpect = \"primary\"\n",
    )
    .unwrap();
    let (out, result) = check("cases = \"cases.toml\"\n");
    assert_eq!(result, Ok(ExitCode::FAILURE));
    assert!(out.contains("it fails 1 of 1 cases of"), "{out}");
    assert!(out.contains("line 1, \"SELECT 1\": expected primary, got replica"), "{out}");
    assert!(check("grnats = []\n").1.unwrap_err().contains("howdah.toml:6:1"));
    assert!(check("cases = \"none.toml\"\n").1.unwrap_err().contains("none.toml"));
}

#[test]
fn the_default_policy_passes_its_cases() {
    let cases = repository("plugins/read-write-split/cases.toml");
    let (out, result) = policy(&["test", "built-in", "--cases", &cases]);
    assert_eq!(result, Ok(ExitCode::SUCCESS), "{out}");
    let value = json(&["test", "built-in", "--cases", &cases]);
    assert_eq!(value["failed"], 0);
    assert!(value["passed"].as_u64().unwrap() > 20);
}

#[test]
fn test_shows_what_is_not_as_expected() {
    let (folder, file) = folder();
    let (_, result) = policy(&["test", &file]);
    assert!(result.unwrap_err().contains("split.cases.toml"));
    let cases = folder.path().join("split.cases.toml");
    std::fs::write(
        &cases,
        "[settings]\nmax-lag-ms = 5\n[[case]]\nname = \"no\"\nsql = \"SELECT f()\"\nexpect = \"replica\"\n\
         remember = \"never\"\n[[case]]\nsql = \"SELECT 1\"\nexpect = { replica = { max_lag_ms = 5 } }\n",
    )
    .unwrap();
    let (out, result) = policy(&["test", &file]);
    assert_eq!(result, Ok(ExitCode::FAILURE));
    let shown = out.replace(&format!("{}/", folder.path().display()), "");
    assert_eq!(
        shown,
        "split.cases.toml:3: no\n    SELECT f()\n    expected  replica\n    \
         got       primary  [kind read; volatile]\n    expected  never\n    got       digest\n\
         1 cases passed, 1 failed\n"
    );
    let value = json(&["test", &file]);
    assert_eq!((&value["failed"], &value["cases"][0]["passed"]), (&1.into(), &false.into()));
    // The default policy has other demands than these cases expect.
    assert_eq!(
        policy(&["test", "built-in", "--cases", cases.to_str().unwrap()]).1,
        Ok(ExitCode::FAILURE)
    );
}

#[test]
fn mistakes_in_cases_have_a_line() {
    let (folder, file) = folder();
    let cases = folder.path().join("cases.toml");
    for (text, says) in [
        ("", "cases.toml:1: there is no case"),
        ("\n[[case]]\nsql = 1\n", "cases.toml:3: invalid type"),
        ("[[case]]\nsql = \"x\"\nexpcet = \"primary\"\n", "cases.toml:3: unknown field `expcet`"),
        (
            "\n[[case]]\nsql = \"x\"\nexpect = \"replcia\"\n",
            "cases.toml:2: case \"x\": expect: there is no \"replcia\"; did you mean \"replica\"?",
        ),
        ("[[case]]\nsql = \"x\"\n", "nothing is expected"),
        ("[[case]]\nsql = \"x\"\nexpect = { replica = { lag = 1 } }\n", "unknown key \"lag\""),
        (
            "[[session]]\nexpect = \"maybe\"\n",
            "cases.toml:1: session \"session\": expect: there is no \"maybe\"",
        ),
        ("[[case]]\nsql = \"x\"\nremember = \"always\"\n", "there is no \"always\""),
        ("[[case]]\nsql = \"x\"\nexpect = \"primary\"\ntimes = 0\n", "times must be from 1"),
        (
            "[[case]]\nsql = \"x\"\nexpect = \"primary\"\nparameters = [7]\n",
            "expected a text, { binary",
        ),
        (
            "[[case]]\nsql = \"x\"\nexpect = \"primary\"\nparameters = [{ binary = \"0g\" }]\n",
            "not hexadecimal",
        ),
        (
            "[[case]]\nsql = \"x\"\nexpect = \"primary\"\nparameters = [{ null = false }]\n",
            "only be true",
        ),
        ("[[retry]]\nsql = \"x\"\nsafety = \"read\"\nexpect = \"perhaps\"\n", "\"give-up\""),
        (
            "[[retry]]\nsql = \"x\"\nsafety = \"read\"\nsqlstate = \"0\"\nexpect = \"replay\"\n",
            "five characters",
        ),
    ] {
        std::fs::write(&cases, text).unwrap();
        let error = policy(&["test", &file]).1.unwrap_err();
        assert!(error.contains(says), "{text:?}: {error}");
    }
}

#[test]
fn explain_tells_who_decided_and_why() {
    let (_folder, file) = folder();
    let sql = "SELECT * FROM t WHERE a = $1::int8 AND b = 'x' /* app='web' */";
    let seen = &json(&["explain", sql])["statement"];
    assert_eq!(seen["literals"], serde_json::json!(["x"]));
    assert_eq!(seen["relations"], serde_json::json!(["t"]));
    assert_eq!(seen["types"], serde_json::json!({ "1": "int8" }));
    let (out, result) = policy(&["explain", sql]);
    assert_eq!(result, Ok(ExitCode::SUCCESS));
    for line in [
        "kind      read",
        "tag       app = web",
        "literals  'x'",
        "parameters $1 int8",
        "relations t",
        "route     replica",
        "kept      remembered for this digest",
        "because   read-write-split has the first opinion",
    ] {
        assert!(out.contains(line), "{line}: {out}");
    }
    let value = json(&[
        "explain",
        "SELECT now()",
        &file,
        "--user",
        "batch",
        "--set",
        "users-to-primary=[\"batch\"]",
    ]);
    assert_eq!(value["route"]["decision"], "primary");
    assert_eq!(value["statement"]["facts"][0], "volatile", "no catalog");
    let value = json(&[
        "explain",
        "SELECT 1",
        &file,
        "--user",
        "batch",
        "--set",
        "users-to-primary=[\"batch\"]",
    ]);
    assert_eq!(
        (&value["route"]["decision"], &value["route"]["remember"]),
        (&"primary".into(), &"digest-and-class".into())
    );
    let value = json(&["explain", "SELECT 1", "--in-transaction"]);
    assert_eq!(value["route"], Value::Null);
    assert!(value["reason"].as_str().unwrap().contains("inside a transaction"));
    let error = policy(&["explain", "SELECT 1", "--catalog", "mysql://x"]).1.unwrap_err();
    assert!(error.contains("postgres://USER@HOST"), "{error}");
}

#[test]
fn explain_names_those_that_were_not_asked() {
    let (folder, _) = folder();
    let config = folder.path().join("howdah.toml");
    let policies = "[[policy]]\nname = \"others\"\npath = \"split.wasm\"\ndatabases = [\"x\"]\n\
                    [[policy]]\nname = \"first\"\npath = \"split.wasm\"\n\
                    [[policy]]\nname = \"second\"\n";
    std::fs::write(&config, format!("[cluster.main]\nnodes = [\"a\"]\n{policies}")).unwrap();
    let value = json(&["explain", "SELECT 1", "--config", config.to_str().unwrap()]);
    assert_eq!(value["route"]["policy"], "first");
    assert_eq!(
        value["reason"],
        "first has the first opinion; others is not for this user, database or cluster; \
         second comes later and is not asked"
    );
}

#[test]
fn bench_measures_and_says_what_debug_builds_are_worth() {
    let (out, result) = policy(&["bench", "built-in", "--calls", "200"]);
    assert_eq!(result, Ok(ExitCode::SUCCESS));
    assert_eq!(out.contains("debug build"), cfg!(debug_assertions), "{out}");
    let value = json(&["bench", "built-in", "--calls", "200"]);
    let figures = value["figures"].as_array().unwrap();
    let [_session, asked, remembered] = figures.as_slice() else { panic!("{figures:?}") };
    for figure in figures {
        let at = |key: &str| figure[key].as_u64().unwrap();
        assert!(
            0 < at("minimum_ns")
                && at("minimum_ns") <= at("median_ns")
                && at("median_ns") <= at("p99_ns")
        );
    }
    assert!(remembered["minimum_ns"].as_u64() < asked["minimum_ns"].as_u64());
    assert_eq!(value["failure"], Value::Null);
}

#[test]
fn inspect_tells_all_names() {
    let value = json(&["inspect", "built-in"]);
    let exports = value["exports"].as_array().unwrap();
    assert!(exports.contains(&"howdah:policy/route@0.1.0".into()), "{exports:?}");
    let (out, _) = policy(&["inspect", "built-in"]);
    assert!(out.contains("howdah:policy/question@0.1.0"), "{out}");
}

#[test]
fn new_refuses_what_it_cannot_write() {
    let error = policy(&["new", "--lang", "cobol", "x"]).1.unwrap_err();
    assert!(
        error.contains("there is no template for cobol; known: c, go, javascript, python, rust"),
        "{error}"
    );
    for name in ["", "../x", "X", "7", "a b"] {
        assert!(policy(&["new", name]).1.unwrap_err().contains("is no name"), "{name}");
    }
    let folder = tempfile::tempdir().unwrap();
    let error = policy(&["build", folder.path().to_str().unwrap()]).1.unwrap_err();
    assert!(error.contains("howdah policy new"), "{error}");
    std::fs::write(
        folder.path().join("howdah-policy.toml"),
        "language = \"x\"\nneeds = \"a compiler\"\nsteps = [[\"no-such-compiler\"]]\n\
         makes = \"target/x.wasm\"\ncomponent = \"x.wasm\"\n",
    )
    .unwrap();
    let error = policy(&["build", folder.path().to_str().unwrap()]).1.unwrap_err();
    assert!(error.contains("no-such-compiler cannot be started; x needs a compiler"), "{error}");
}

#[test]
fn build_tells_what_is_wrong_with_what_the_steps_make() {
    let folder = tempfile::tempdir().unwrap();
    let error = |step: &str| {
        let project = format!(
            "language = \"x\"\nneeds = \"a shell\"\nenvironment = {{ WORD = \"word\" }}\n\
             steps = [[\"sh\", \"-c\", \"{step}\"]]\nmakes = \"out/x\"\ncomponent = \"x.wasm\"\n"
        );
        std::fs::write(folder.path().join("howdah-policy.toml"), project).unwrap();
        policy(&["build", folder.path().to_str().unwrap()]).1.unwrap_err()
    };
    let told = error("exit 3");
    assert!(told.contains("sh failed (exit status: 3); x needs a shell"), "{told}");
    let told = error("true");
    assert!(told.contains("out/x: No such file"), "{told}");
    let told = error("printf $WORD > out/x");
    assert!(told.contains("out/x cannot become a component"), "{told}");
    assert!(told.contains("not a WebAssembly core module"), "{told}");
    assert!(!folder.path().join("x.wasm").exists(), "nothing is put in its place");
}

#[test]
fn the_hooks_reference_is_what_the_wit_says() {
    let document = std::fs::read_to_string(repository("docs/hooks.md")).unwrap();
    assert!(
        document == hooks_reference(Path::new(&repository("wit"))).unwrap(),
        "docs/hooks.md is out of date: howdah hooks-reference wit > docs/hooks.md"
    );
}

#[test]
fn every_command_explains_itself() {
    for command in
        ["new", "build", "check", "test", "explain", "bench", "record", "replay", "inspect"]
    {
        let help = policy(&[command, "--help"]).1.unwrap_err();
        assert!(help.contains("Usage: howdah policy"), "{help}");
        assert!(help.lines().count() <= 50, "{help}");
    }
}
