//! What policies are asked is recorded, and asked again.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use howdah::cli::{Actions, execute_from};
use howdah::policies::record::{Recordings, Wanted};
use howdah_decision::Safety;
use howdah_e2e::house::{House, misbehaving};
use howdah_e2e::{Running, connect, policy, shared, try_value, wait};
use serde_json::Value;

const ACTIONS: Actions =
    Actions { run: |_, _| anyhow::bail!("run"), demo: |_| anyhow::bail!("demo") };

/// What `howdah policy …` prints, and whether it succeeds.
fn howdah(arguments: &[&str]) -> (String, Result<ExitCode, String>) {
    let mut out = Vec::new();
    let typed = ["howdah", "policy"].iter().chain(arguments);
    let result = execute_from(typed, &ACTIONS, &mut out).map_err(|error| format!("{error:#}"));
    (String::from_utf8(out).unwrap(), result)
}

fn json(arguments: &[&str]) -> Value {
    let (out, result) = howdah(&[arguments, &["--json"]].concat());
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out} {result:?}"))
}

/// The calls of a recording, by the number of their line.
fn calls(recording: &Path) -> Vec<(usize, Value)> {
    let text = std::fs::read_to_string(recording).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let calls = (1..).zip(lines).filter(|(_, line)| line["call"].is_object());
    calls.map(|(number, line)| (number, line["call"].clone())).collect()
}

fn wanted(file: &Path, literals: bool) -> Wanted {
    Wanted { file: file.to_owned(), append: false, size: 1 << 20, time: None, literals }
}

/// Has a policy asked everything, and recorded, with each of these settings in turn.
fn recorded(file: &Path, modes: &[(&str, &str)], literals: bool) {
    let house = House::empty().with_nodes(&[("a", true), ("b", false)]);
    let recordings = Recordings::new(Arc::clone(&house.registry));
    recordings.start(wanted(file, literals)).unwrap();
    for (hook, mode) in modes {
        house.registry.apply(vec![misbehaving(hook, mode)]).unwrap();
        for sql in ["SELECT 'secret', f() FROM t WHERE a = $1", "DELETE FROM t"] {
            house.open();
            house.rewrite(sql);
            house.route(sql);
            house.retry(Safety::Read);
        }
    }
    recordings.stop().unwrap();
}

/// The same version answers the same, though it asks for what is never the same again.
#[test]
fn every_verdict_is_the_same_when_it_is_asked_again() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("recording");
    let modes = [
        ("route", "random"),
        ("route", "clock"),
        ("route", "shared"),
        ("route", "parameter"),
        ("route", "catalog"),
        ("route", "nodes"),
        ("route", "panic"),
        ("rewrite", ""),
        ("retry", "again"),
        ("session", "no user"),
    ];
    recorded(&file, &modes, true);
    let calls = calls(&file);
    let hook = |call: &Value| call["asked"].as_object().unwrap().keys().next().unwrap().clone();
    let hooks: BTreeSet<String> = calls.iter().map(|(_, call)| hook(call)).collect();
    assert_eq!(hooks, ["retry", "rewrite", "route", "session"].map(String::from).into());
    let component = policy("hostile");
    let (component, file) = (component.to_str().unwrap(), file.to_str().unwrap());
    let report = json(&["replay", component, file]);
    assert_eq!(report["differ"], 0, "{report:#}");
    assert_eq!(report["calls"], calls.len());
    // Another version, which is the same component with another setting: it behaves.
    let report = json(&["replay", component, file, "--set", "hook=none"]);
    for hook in hooks {
        let differs = |one: &Value| one["hook"] == hook.as_str();
        let differ = report["differences"].as_array().unwrap().iter().filter(|one| differs(one));
        // All seven modes of `route`, and the only one of the others, were asked about two statements.
        assert_eq!(differ.count(), if hook == "route" { 14 } else { 2 }, "{hook}: {report:#}");
    }
    let (out, result) = howdah(&["replay", component, file, "--set", "hook=none"]);
    assert_eq!(result, Ok(ExitCode::FAILURE));
    assert!(
        out.contains(": rewrite: DELETE FROM t\n    - DELETE FROM t /* seen */\n    + unchanged\n"),
        "{out}"
    );
}

#[test]
fn secrets_are_left_out_when_that_is_wanted() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("recording");
    recorded(&file, &[("rewrite", ""), ("route", "parameter")], false);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(!text.contains("secret") && text.contains("SELECT ''"), "{text}");
    assert!(!text.contains("question.parameter"), "{text}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let component = policy("hostile");
    let report = json(&["replay", component.to_str().unwrap(), file.to_str().unwrap()]);
    assert_eq!(report["differ"], 0, "{report:#}");
}

#[test]
fn a_recording_ends_by_size_and_by_time() {
    let directory = tempfile::tempdir().unwrap();
    let house = House::of(vec![misbehaving("route", "random")]);
    let recordings = Recordings::new(Arc::clone(&house.registry));
    assert_eq!(recordings.status()["recording"], Value::Null);
    assert_eq!(recordings.stop(), Err("nothing is being recorded".into()));
    let ended = |why: &str| {
        wait(why, || {
            house.route("SELECT 1");
            recordings.status()["recording"]["ended"].as_str() == Some(why)
        });
    };
    let small = directory.path().join("small");
    recordings.start(Wanted { size: 2_000, ..wanted(&small, true) }).unwrap();
    ended("the file has reached its size");
    let size = std::fs::metadata(&small).unwrap().len();
    assert!((1..=2_000).contains(&size), "{size}");
    assert!(recordings.start(wanted(&small, true)).unwrap_err().contains("is there already"));
    let short = directory.path().join("short");
    let time = Some(Duration::from_millis(50));
    recordings.start(Wanted { time, size: 1 << 30, ..wanted(&short, true) }).unwrap();
    ended("its time is over");
    assert!(!calls(&short).is_empty());
}

#[test]
fn what_is_no_recording_is_told_of_with_its_line() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("recording");
    let version = r#"{"recording":{"format":1,"literals":true}}"#;
    for (text, says) in [
        ("nonsense", "recording:1"),
        (r#"{"recording":{"format":9,"literals":true}}"#, "reads format 1, not 9"),
        (&format!("{version}\n{{\"call\":{{}}}}"), "recording:2"),
        (version, "no policy was asked anything"),
    ] {
        std::fs::write(&file, text).unwrap();
        let error = howdah(&["replay", "built-in", file.to_str().unwrap()]).1.unwrap_err();
        assert!(error.contains(says), "{text}: {error}");
    }
}

/// An operator records what clients do, and asks other versions.
#[tokio::test]
async fn an_operator_records_real_traffic_and_replays_it() {
    let plugin = |name: &str| policy(name).display().to_string();
    let (tagger, limiter) = (plugin("comment-tagger"), plugin("rate-limit"));
    let proxy = Running::start(
        &shared().nodes(),
        &format!(
            "control = \"@DIR@/control\"\n\
             [[policy]]\nname = \"comment-tagger\"\npath = {tagger:?}\nlimits.time = \"1s\"\n\
             [[policy]]\nname = \"rate-limit\"\npath = {limiter:?}\nlimits.time = \"1s\"\n\
             grants = [\"kv\", \"clock\", \"metrics\"]\nsettings = {{ per-second = 1, burst = 30 }}\n\
             [[policy]]\nname = \"split\"\npath = \"built-in\"\nlimits.time = \"1s\"\n"
        ),
    );
    proxy.wait_up(3);
    let place = |name: &str| proxy.directory.path().join(name).display().to_string();
    let (socket, file) = (place("control"), place("recording"));
    let record = |order: &[&str]| howdah(&[&["record"], order, &["--socket", &socket]].concat());
    assert_eq!(record(&["status"]).0, "nothing is being recorded\n");
    let (out, result) = record(&["start", &file, "--time", "1h", "--size", "16MiB"]);
    assert_eq!(result, Ok(ExitCode::SUCCESS));
    assert!(out.contains(&format!("recording to {file}: 0 calls")), "{out}");
    let again = record(&["start", &place("other")]).1.unwrap_err();
    assert!(again.contains("is under way: stop it first"), "{again}");

    let client = connect(proxy.port, "postgres").await;
    let mut refused = 0;
    for number in 0..40 {
        let sql = format!("SELECT {number}::text");
        refused += usize::from(try_value(&client, &sql).await.is_err());
    }
    assert!(refused > 0, "the limit was reached");

    let (out, result) = record(&["stop", "--json"]);
    assert_eq!(result, Ok(ExitCode::SUCCESS));
    let status: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(status["recording"]["ended"], "it was stopped");
    let calls = calls(Path::new(&file));
    assert_eq!(status["recording"]["calls"], calls.len());
    assert_eq!(status["recording"]["bytes"], std::fs::metadata(&file).unwrap().len());
    let there = record(&["start", &file]).1.unwrap_err();
    assert!(there.contains("is there already"), "{there}");
    let nowhere = record(&["start", &place("no/such/folder")]).1.unwrap_err();
    assert!(nowhere.contains("cannot be written: No such file"), "{nowhere}");
    assert!(record(&["stop"]).1.unwrap_err().contains("nothing is being recorded"));
    let nobody = howdah(&["record", "status", "--socket", &place("none")]).1.unwrap_err();
    assert!(nobody.contains("no proxy answers at"), "{nobody}");
    assert!(!client.is_closed());

    for (component, name) in
        [(&tagger, "comment-tagger"), (&limiter, "rate-limit"), (&"built-in".to_owned(), "split")]
    {
        let report = json(&["replay", component, &file, "--policy", name]);
        assert_eq!(report["differ"], 0, "{report:#}");
        let asked = calls.iter().filter(|(_, call)| call["policy"] == name).count();
        assert!(asked > 0 && report["calls"] == asked, "{name}: {report}");
    }
    let error = howdah(&["replay", &plugin("user-to-replica"), &file]).1.unwrap_err();
    assert!(error.contains("choose with --policy"), "{error}");
    // What is not refused goes to the primary now.
    let changed = json(&["replay", &plugin("user-to-replica"), &file, "--policy", "split"]);
    let differences = changed["differences"].as_array().unwrap();
    assert!(!differences.is_empty(), "{changed:#}");
    for one in differences {
        let (_, call) = calls.iter().find(|(line, _)| one["line"] == *line).unwrap();
        assert_eq!(call["policy"], "split");
        assert_eq!(one["before"], call["answer"]);
        assert_ne!(one["before"], one["now"]);
    }
}
