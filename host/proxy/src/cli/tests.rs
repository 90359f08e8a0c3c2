#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use super::{Actions, Arguments, Command, execute_from};
use crate::config;

/// Actions whose results tell what was asked for.
const ACTIONS: Actions =
    Actions { run: |_, _| anyhow::bail!("run"), demo: |check| anyhow::bail!("demo {check}") };

/// What is printed, and whether it succeeds.
fn howdah(arguments: &[&str]) -> (String, Result<ExitCode, String>) {
    let mut out = Vec::new();
    let arguments = ["howdah"].iter().chain(arguments);
    let result = execute_from(arguments, &ACTIONS, &mut out).map_err(|error| format!("{error:#}"));
    (String::from_utf8(out).unwrap(), result)
}

fn check(text: &str) -> (String, Result<ExitCode, String>) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("howdah.toml");
    std::fs::write(&file, text).unwrap();
    let (out, result) = howdah(&["check", "--config", file.to_str().unwrap()]);
    (out.replace(&format!("{}/", directory.path().display()), ""), result)
}

#[test]
fn check_says_what_a_file_means() {
    let (out, result) = check(
        "workers = 1\n[user.app]\npassword = \"x\"\n[cluster.main]\nnodes = [\"a\", \"b:6000\"]\n\
         [cluster.old]\nnodes = [\"c\"]\ndatabases = [\"x\", \"y\"]\n",
    );
    assert_eq!(result, Ok(ExitCode::SUCCESS));
    assert_eq!(
        out,
        "listens at 127.0.0.1:6432 with 1 worker\n\
         lets in 1 user, with a password (scram-sha-256)\n\
         cluster main: a:5432, b:6000; all databases\n\
         cluster old: c:5432; databases x, y\n\
         asks read-write-split (built-in)\n\
         no mistakes\n"
    );
}

#[test]
fn check_prints_every_mistake() {
    let (out, result) = check("wrokers = 2\n[cluster.main]\n");
    assert_eq!(result, Ok(ExitCode::FAILURE));
    assert_eq!(
        out,
        "howdah.toml:1:1: unknown key \"wrokers\" at the top of the file; did you mean \"workers\"?\n\
         howdah.toml:2:10: cluster main: nodes are missing, as in nodes = [\"HOST:PORT\"]\n\
         2 mistakes\n"
    );
}

#[test]
fn check_of_a_file_that_is_not_there() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("none.toml");
    let (out, result) = howdah(&["check", "--config", file.to_str().unwrap()]);
    assert_eq!(result, Ok(ExitCode::FAILURE));
    assert!(out.contains("none.toml: cannot read ") && out.ends_with("\n1 mistake\n"), "{out}");
}

#[test]
fn check_of_a_file_that_is_no_text() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("howdah.toml");
    std::fs::write(&file, b"a = \"\xff\"\n").unwrap();
    let (out, _) = howdah(&["check", "--config", file.to_str().unwrap()]);
    assert!(out.contains("it is not UTF-8"), "{out}");
    // A file that has no end.
    let (out, _) = howdah(&["check", "--config", "/dev/zero"]);
    assert!(out.contains("it is larger than"), "{out}");
}

#[test]
fn run_needs_a_file_or_nodes() {
    let (_, result) = howdah(&["run"]);
    assert!(result.unwrap_err().contains("--config"));
    let (_, result) = howdah(&["run", "--config", "x", "--node", "y"]);
    assert!(result.unwrap_err().contains("cannot be used with"));
    let (_, result) = howdah(&["run", "--node", "a", "--listen", "x:y"]);
    assert!(result.unwrap_err().contains("the port must be 0 to 65535"));
}

#[test]
fn run_does_not_start_with_mistakes() {
    let (_, result) = howdah(&["run", "--node", "a:b", "--node", "c:d"]);
    assert_eq!(result.unwrap_err().lines().count(), 2);
}

#[test]
fn run_listens_where_the_command_line_says() {
    let typed = ["howdah", "run", "--node", "a", "--listen", "127.0.0.1:0"];
    let Command::Run(run) = Arguments::try_parse_from(typed).unwrap().command else {
        panic!("the command was run");
    };
    let source = run.source();
    assert_eq!(source.file(), None);
    // At every load, and so at every reload.
    assert_eq!(source.load().unwrap().listen[0].to_string(), "127.0.0.1:0");
}

#[test]
fn the_other_commands() {
    assert_eq!(howdah(&["demo"]).1.unwrap_err(), "demo false");
    assert_eq!(howdah(&["demo", "--check"]).1.unwrap_err(), "demo true");
    assert_eq!(howdah(&["version"]).0, format!("howdah {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(howdah(&["config-reference"]).0, config::reference());
    assert_eq!(howdah(&["metrics-reference"]).0, crate::metrics::reference());
}

#[test]
fn help_fits_on_a_screen() {
    let (_, result) = howdah(&["--help"]);
    let help = result.unwrap_err();
    assert!(help.lines().count() <= 40, "{help}");
    assert!(!help.contains("config-reference"));
    assert!(help.contains("howdah demo"));
    let documents = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    assert!(help.contains("docs/config.md") && documents.join("config.md").exists());
}
