//! Follows docs/write-a-policy.md literally, from an empty folder: its files are written, its commands run.
#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

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

/// A file of the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// The servers, for all languages. They end with the process.
fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        let exe = std::env::current_exe().unwrap();
        let template = exe.ancestors().nth(3).map(|target| target.join("howdah-tests"));
        let options = Options { replicas: 1, auth: Auth::Trust, template, ..Options::default() };
        let cluster = Cluster::start(&options).unwrap();
        cluster.wait_replayed().unwrap();
        cluster
    })
}

/// Where `.ci/setup` has put the languages' tools. Installs what is missing.
fn tools() -> &'static Path {
    static TOOLS: OnceLock<PathBuf> = OnceLock::new();
    TOOLS.get_or_init(|| {
        let output = Command::new(repository(".ci/setup")).arg("sdks").output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "the languages' tools cannot be installed: {errors}");
        String::from_utf8(output.stdout).unwrap().trim_end().into()
    })
}

/// What came of following a document.
struct Followed {
    out: String,
    err: String,
}

/// Follows a document in this language from an empty folder, and then does `more`.
fn follow(document: &str, language: &str, more: &str) -> Followed {
    let folder = tempfile::tempdir().unwrap();
    // Its servers and its port are not ours. A component is compiled once: some take long.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let kept = folder.path().join("cache/howdah/compiled");
    let script = (script(document) + more)
        .replace("10.0.0.1:5432", &cluster().nodes()[0])
        .replace("10.0.0.2:5432", &cluster().nodes()[1])
        .replace("6432", &free.to_string())
        .replace("--lang rust", &format!("--lang {language}"))
        .replace("listen =", &format!("compiled_policies = {kept:?}\nlisten ="))
        // Unoptimised, and with other tests beside it, a first call may take long.
        .replace("cases = ", "limits = { time = \"1s\" }\ncases = ");
    let howdah = Path::new(env!("CARGO_BIN_EXE_howdah")).parent().unwrap();
    let postgres = Installation::find().unwrap().bin;
    let languages = tools().join("python/bin");
    let path = std::env::var("PATH").unwrap();
    let path =
        format!("{}:{}:{}:{path}", howdah.display(), postgres.display(), languages.display());
    let output = Command::new("sh")
        .args(["-c", &script])
        .current_dir(folder.path())
        .env("PATH", path)
        .env("HOWDAH_LOG", "info")
        .env("PGCONNECT_TIMEOUT", "20")
        .env("XDG_CACHE_HOME", folder.path().join("cache"))
        // Go's standard library is compiled once for all tests.
        .env("GOCACHE", tools().join("go-cache"))
        // As for somebody who has nothing but the program: flags and folders of this build are its own.
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("RUSTFLAGS")
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    let log = std::fs::read_to_string(folder.path().join("proxy.log")).unwrap_or_default();
    assert!(output.status.success(), "{out}\n{err}\n{log}");
    let language = if language == "js" { "javascript" } else { language };
    for expected in [
        &format!("wrote my-router/, a policy in {language}"),
        "my-router.wasm): can be used",
        "5 cases passed",
        "because   my-router has the first opinion",
        "\"kind\": \"write\"",
    ] {
        assert!(out.contains(expected), "{expected}: {out}\n{err}");
    }
    assert!(err.contains("NOTICE:  goes to "), "{err}");
    assert!(err.contains("DETAIL:  Policy my-router: "), "{err}");
    Followed { out, err }
}

fn guide() -> String {
    std::fs::read_to_string(repository("docs/write-a-policy.md")).unwrap()
}

/// The first chapter, in this language.
fn first_router(language: &str) {
    let guide = guide();
    let (first, _) = guide.split_once("\n## The real read/write split").unwrap();
    follow(first, language, "");
}

#[test]
fn the_guide_can_be_followed_literally() {
    // The new version, which the guide builds last, is in force soon.
    let swapped = format!(
        "for attempt in $(seq {PATIENCE}); do grep -q 'policies swapped' proxy.log && break; sleep 1; done\n\
         grep 'policies swapped' proxy.log\n"
    );
    let Followed { out, err } = follow(&guide(), "rust", &swapped);
    for expected in ["6 cases passed", "replica (at most 500 ms behind)"] {
        assert!(out.contains(expected), "{expected}: {out}\n{err}");
    }
}

#[test]
fn its_first_router_can_be_written_in_c() {
    first_router("c");
}

#[test]
fn its_first_router_can_be_written_in_go() {
    first_router("go");
}

#[test]
fn its_first_router_can_be_written_in_javascript() {
    first_router("js");
}

#[test]
fn its_first_router_can_be_written_in_python() {
    first_router("python");
}
