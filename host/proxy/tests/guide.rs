//! Follows docs/write-a-policy.md literally, from an empty folder: its files are written, its commands run.
#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use howdah_pgcluster::{Auth, Cluster, Installation, Options};

/// Seconds that the proxy has to come up, and to swap a policy in.
const PATIENCE: u32 = 60;

/// A fenced block of the document: the words behind the fence, and what is in it.
fn blocks(document: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in document.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some((_, body)), None) => {
                body.push_str(line);
                body.push('\n');
            }
            (None, Some(words)) => open = Some((words.to_owned(), String::new())),
            (None, None) => {}
        }
    }
    blocks
}

/// The document as a script: files become here-documents; what runs on is waited for until it serves.
fn script(document: &str) -> String {
    let mut script = String::from("set -eu\ntrap 'kill $! 2>/dev/null || true' EXIT\n");
    for (words, body) in blocks(document) {
        match words.split_once(' ') {
            _ if words == "sh" => {
                for line in body.lines() {
                    match line.strip_suffix(" &") {
                        None => writeln!(script, "{line}").unwrap(),
                        Some(runs) => script.push_str(&background(runs)),
                    }
                }
            }
            Some((_, file)) => {
                writeln!(script, "cat >{file} <<'END-OF-FILE'\n{body}END-OF-FILE").unwrap();
            }
            None => {}
        }
    }
    script
}

fn background(command: &str) -> String {
    format!(
        "{command} 2>proxy.log &\n\
         for attempt in $(seq {PATIENCE}); do\n\
         psql -h 127.0.0.1 -p 6432 -U postgres -c 'SELECT 1' >/dev/null 2>&1 && break\n\
         sleep 1\ndone\n"
    )
}

#[test]
fn the_guide_can_be_followed_literally() {
    let exe = std::env::current_exe().unwrap();
    let template = exe.ancestors().nth(3).map(|target| target.join("howdah-tests"));
    let options = Options { replicas: 1, auth: Auth::Trust, template, ..Options::default() };
    let cluster = Cluster::start(&options).unwrap();
    cluster.wait_replayed().unwrap();
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/write-a-policy.md");
    let document = std::fs::read_to_string(document).unwrap();
    // Its servers and its port are not ours.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let document = document
        .replace("10.0.0.1:5432", &cluster.nodes()[0])
        .replace("10.0.0.2:5432", &cluster.nodes()[1]);
    // The new version, which the guide builds last, is in force soon.
    let swapped = format!(
        "for attempt in $(seq {PATIENCE}); do grep -q 'policies swapped' proxy.log && break; sleep 1; done\n\
         grep 'policies swapped' proxy.log\n"
    );
    let script = (script(&document) + &swapped).replace("6432", &free.to_string());
    let folder = tempfile::tempdir().unwrap();
    let howdah = Path::new(env!("CARGO_BIN_EXE_howdah")).parent().unwrap();
    let tools = Installation::find().unwrap().bin;
    let path = std::env::var("PATH").unwrap();
    let output = Command::new("sh")
        .args(["-c", &script])
        .current_dir(folder.path())
        .env("PATH", format!("{}:{}:{path}", howdah.display(), tools.display()))
        .env("HOWDAH_LOG", "info")
        .env("PGCONNECT_TIMEOUT", "20")
        // As for somebody who has nothing but the program: flags and folders of this build are its own.
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("RUSTFLAGS")
        .output()
        .unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let log = std::fs::read_to_string(folder.path().join("proxy.log")).unwrap_or_default();
    assert!(output.status.success(), "{out}\n{err}\n{log}");
    for expected in [
        "wrote my-router/, a policy in rust",
        "my_router.wasm): can be used",
        "5 cases passed",
        "because   my_router has the first opinion",
        "\"kind\": \"write\"",
        "6 cases passed",
        "replica (at most 500 ms behind)",
    ] {
        assert!(out.contains(expected), "{expected}: {out}\n{err}");
    }
    assert!(err.contains("NOTICE:  goes to "), "{err}");
    assert!(err.contains("DETAIL:  Policy my-router: "), "{err}");
}
