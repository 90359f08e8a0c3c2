//! The program itself, as operators run it: signals, logs, exit codes.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use howdah::policies::READ_WRITE_SPLIT;
use howdah_pgcluster::{Auth, Cluster, Installation, Options};
use howdah_wire::frontend::{CopyData, Query};
use howdah_wire::{Version, startup};

/// Longest wait for anything that must come true.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running howdah with the lines of its log.
struct Howdah {
    child: Child,
    lines: Receiver<String>,
    port: u16,
}

impl Howdah {
    fn start(arguments: &[&str]) -> Howdah {
        Howdah::spawned(howdah().arg("run").args(arguments))
    }

    fn spawned(command: &mut Command) -> Howdah {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        let mut howdah = Howdah { child, lines, port: 0 };
        let line = howdah.says("listening");
        let port = line.split("127.0.0.1:").nth(1).unwrap();
        howdah.port = port.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap();
        howdah
    }

    /// Waits for a line of the log.
    fn says(&mut self, words: &str) -> String {
        let mut before = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(words) => return line,
                Ok(line) => before.push(line),
                Err(_) => panic!("it does not say {words:?}, but {before:#?}"),
            }
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// psql with this input.
    fn psql(&self, input: &str) -> Output {
        let mut child = self.psql_started(&[]);
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    fn psql_started(&self, more: &[&str]) -> Child {
        let port = self.port.to_string();
        Command::new(Installation::find().unwrap().bin.join("psql"))
            .args(["-X", "-A", "-t", "-q", "-h", "127.0.0.1", "-p", &port, "-U", "postgres"])
            .args(more)
            .env("PGCONNECT_TIMEOUT", "20")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

impl Drop for Howdah {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn howdah() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_howdah"));
    command.env("HOWDAH_LOG", "info").env_remove("PGUSER").env_remove("PGDATABASE");
    command
}

fn cluster() -> Cluster {
    let exe = std::env::current_exe().unwrap();
    let template = exe.ancestors().nth(3).map(|target| target.join("howdah-tests"));
    let options = Options { replicas: 1, auth: Auth::Trust, template, ..Options::default() };
    Cluster::start(&options).unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn psql_works_without_a_file_and_sigterm_lets_transactions_end() {
    let cluster = cluster();
    let nodes = cluster.nodes();
    let mut howdah = Howdah::start(&[
        "--node",
        &nodes[0],
        "--node",
        &nodes[1],
        "--node",
        "127.0.0.1:1",
        "--listen",
        "127.0.0.1:0",
    ]);
    let answer = howdah.psql(
        "CREATE TABLE t (a int);\n\
         COPY t FROM STDIN;\n1\n2\n\\.\n\
         BEGIN; INSERT INTO t VALUES (3); COMMIT;\n\
         PREPARE p AS SELECT sum(a) FROM t; EXECUTE p;\n\
         /* howdah: primary */ COPY t TO STDOUT;\n\
         SELECT nonsense;\n\\d t\n",
    );
    assert_eq!(text(&answer.stdout), "6\n1\n2\n3\na|integer|||\n");
    assert!(text(&answer.stderr).contains("column \"nonsense\" does not exist"));
    // A transaction is open when the signal comes; an idle client is sent away.
    let mut open = howdah.psql_started(&[]);
    let mut input = open.stdin.take().unwrap();
    let mut output = BufReader::new(open.stdout.take().unwrap());
    let mut line = String::new();
    input.write_all(b"BEGIN;\nINSERT INTO t VALUES (4) RETURNING a;\n").unwrap();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "4\n");
    howdah.signal("TERM");
    howdah.says("draining");
    let refused = howdah.psql("SELECT 1");
    assert!(!refused.status.success(), "nobody comes in any more");
    input.write_all(b"COMMIT;\nSELECT 'gone';\n").unwrap();
    drop(input);
    howdah.says("drained");
    assert!(howdah.child.wait().unwrap().success());
    let last = open.wait_with_output().unwrap();
    assert!(text(&last.stderr).contains("terminating connection"), "{}", text(&last.stderr));
    let rows = cluster.primary().value("postgres", "SELECT count(*) FROM t").unwrap();
    assert_eq!(rows, "4", "the transaction has been committed");
}

/// Out of descriptors, it serves those whom it has, and takes others as soon as it can.
#[test]
fn it_survives_having_no_descriptors_left() {
    let cluster = cluster();
    let mut howdah = Howdah::spawned(
        Command::new("sh")
            .args(["-c", "ulimit -n 100; exec \"$0\" run --listen 127.0.0.1:0 --node \"$1\""])
            .args([env!("CARGO_BIN_EXE_howdah"), &cluster.nodes()[0]])
            .env("HOWDAH_LOG", "info"),
    );
    let mut old = howdah.psql_started(&[]);
    let (mut input, output) = (old.stdin.take().unwrap(), old.stdout.take().unwrap());
    let mut answers = BufReader::new(output).lines().map(Result::unwrap);
    input.write_all(b"SELECT 1;\n").unwrap();
    assert_eq!(answers.next().unwrap(), "1");
    let silent: Vec<TcpStream> =
        (0..200).map(|_| TcpStream::connect(("127.0.0.1", howdah.port)).unwrap()).collect();
    howdah.says("a connection was not accepted");
    input.write_all(b"SELECT 2;\n").unwrap();
    assert_eq!(answers.next().unwrap(), "2");
    drop(silent);
    assert_eq!(text(&howdah.psql("SELECT 3").stdout), "3\n");
    drop(input);
    old.wait().unwrap();
}

/// `SET howdah.explain = on` says where each statement goes, and why.
#[test]
fn a_session_is_told_where_its_statements_go_and_why() {
    let cluster = cluster();
    cluster.wait_replayed().unwrap();
    let nodes = cluster.nodes();
    let howdah =
        Howdah::start(&["--node", &nodes[0], "--node", &nodes[1], "--listen", "127.0.0.1:0"]);
    // Until the nodes are known, everything may go to the primary.
    let deadline = std::time::Instant::now() + PATIENCE;
    while text(&howdah.psql("SHOW transaction_read_only").stdout) != "on\n" {
        assert!(std::time::Instant::now() < deadline, "the replica is not used");
    }
    let answer = howdah.psql(
        "SET howdah.explain = on;\nSHOW howdah.explain;\nSELECT 'a' /* new */;\nSELECT 'b';\n\
         BEGIN;\nSELECT 'c';\nCOMMIT;\nRESET howdah.explain;\nSELECT 'd';\nSET howdah.nonsense = 1;\n",
    );
    assert_eq!(text(&answer.stdout), "on\na\nb\nc\nd\n");
    let (replica, primary) = (&nodes[1], &nodes[0]);
    let kept = "remembered for this digest";
    let expected = format!(
        "NOTICE:  goes to {replica} (replica)\n\
         DETAIL:  Policy read-write-split: replica; asked now; {kept}. Policies could see literals 'a'.\n\
         NOTICE:  goes to {replica} (replica)\n\
         DETAIL:  Policy read-write-split: replica; answered from memory; {kept}. Policies could see literals 'b'.\n\
         NOTICE:  goes to {primary} (primary)\n\
         DETAIL:  Policy read-write-split: primary; asked now; {kept}.\n\
         NOTICE:  goes to {primary} (primary), where its transaction is\n\
         DETAIL:  Inside a transaction no policy is asked where to go.\n\
         NOTICE:  goes to {primary} (primary), where its transaction is\n\
         DETAIL:  Inside a transaction no policy is asked where to go.\n\
         ERROR:  unrecognized configuration parameter \"howdah.nonsense\"\n"
    );
    assert_eq!(text(&answer.stderr), expected);
    // The same without a proxy, by the catalog of the database: it knows that now() does not write.
    let catalog = format!("postgres://postgres@{primary}/postgres");
    for (arguments, decision) in [(vec!["--catalog", &catalog], "replica"), (vec![], "primary")] {
        let command = ["policy", "explain", "SELECT now()", "--json"];
        let output = self::howdah().args(command).args(arguments).output().unwrap();
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(value["route"]["decision"], decision, "{value}");
    }
}

/// A new version that fails its cases changes nothing but the log.
#[test]
fn a_version_that_fails_its_cases_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| directory.path().join(name);
    let cases = |expect: &str| {
        let text = format!("[[case]]\nsql = \"SELECT 1\"\nexpect = \"{expect}\"\n");
        std::fs::write(place("cases.toml"), text).unwrap();
    };
    // The same policy with a custom section behind it is another version.
    let version = |more: &[u8]| {
        std::fs::write(place("next"), [READ_WRITE_SPLIT, more].concat()).unwrap();
        std::fs::rename(place("next"), place("split.wasm")).unwrap();
    };
    version(b"");
    let text = "listen = [\"127.0.0.1:0\"]\n[cluster.main]\nnodes = [\"127.0.0.1:1\"]\n[[policy]]\n\
                name = \"split\"\npath = \"split.wasm\"\ncases = \"cases.toml\"\n";
    std::fs::write(place("howdah.toml"), text).unwrap();
    let arguments = ["run", "--config", &place("howdah.toml").display().to_string()];
    cases("primary");
    let output = howdah().args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "not even at the start");
    assert!(self::text(&output.stderr).contains("it fails 1 of 1 cases"));
    cases("replica");
    let mut proxy = Howdah::start(&arguments[1..]);
    cases("primary");
    version(b"\0\x02\x01a");
    let line = proxy.says("it fails 1 of 1 cases");
    assert!(line.contains("expected primary, got replica"), "{line}");
    assert!(line.contains("the version in force stays"), "{line}");
    cases("replica");
    version(b"\0\x02\x01b");
    proxy.says("policies swapped");
}

/// What policies are asked is recorded, and another version can be asked the same.
#[test]
fn questions_are_recorded_and_replayed() {
    let cluster = cluster();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("howdah.toml");
    let recording = directory.path().join("questions.jsonl");
    let nodes = cluster.nodes();
    let write = |more: &str| {
        let start = "workers = 1\nlisten = [\"127.0.0.1:0\"]\n";
        let text = format!(
            "{start}[policies]\nrecord = \"questions.jsonl\"\n{more}[cluster.main]\nnodes = {nodes:?}\n"
        );
        std::fs::write(&file, text).unwrap();
        Howdah::start(&["--config", file.to_str().unwrap()])
    };
    // The proxy writes what it has when it ends.
    let routed = |proxy: Howdah, number: usize| {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let text = std::fs::read_to_string(&recording).unwrap();
            let calls = text.lines().filter(|line| line.contains("\"route\":")).count();
            if calls >= number && text.ends_with('\n') {
                drop(proxy);
                assert_eq!(calls, number, "what is answered from memory is no call: {text}");
                return text;
            }
            assert!(std::time::Instant::now() < deadline, "recorded: {text}");
            std::thread::yield_now();
        }
    };
    let proxy = write("");
    proxy.psql("SELECT 'secret';\nSELECT 'secret' /* again */;\nCREATE TABLE t (a int);\n");
    let recorded = routed(proxy, 2);
    assert!(recorded.contains("SELECT 'secret'") && recorded.contains("\"kind\":\"ddl\""));
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&recording).unwrap());
    assert_eq!(mode & 0o777, 0o600);
    let replay = |more: &[&str]| {
        let mut command = howdah();
        command.args(["policy", "replay", "built-in"]).arg(&recording).args(more).output().unwrap()
    };
    let same = replay(&[]);
    assert!(same.status.success(), "{same:?}");
    assert!(text(&same.stdout).ends_with(", 0 answered otherwise\n"), "{same:?}");
    let other = replay(&["--set", "max-lag-ms=5"]);
    assert_eq!(other.status.code(), Some(1));
    let differs = "route: SELECT 'secret';\n    - replica\n    + replica (at most 5 ms behind)\n";
    assert!(text(&other.stdout).contains(differs), "{other:?}");
    assert!(text(&other.stdout).ends_with(", 1 answered otherwise\n"), "{other:?}");
    std::fs::remove_file(&recording).unwrap();
    let proxy = write("record_literals = false\n");
    proxy.psql("SELECT 'secret' /* secret */;\n");
    let recorded = routed(proxy, 1);
    assert!(recorded.contains("SELECT ''") && !recorded.contains("secret"), "{recorded}");
    // The size is that of the file, whoever wrote it: there is no room any more.
    std::fs::write(&recording, vec![b'\n'; 2_000]).unwrap();
    let proxy = write("record_size = \"1kB\"\n");
    proxy.psql("SELECT 1;\n");
    drop(proxy);
    assert_eq!(std::fs::metadata(&recording).unwrap().len(), 2_000);
}

/// A session that speaks to the proxy itself, and keeps nothing of what it is told.
struct Drain(TcpStream);

impl Drain {
    fn login(port: u16) -> Drain {
        let mut drain = Drain(TcpStream::connect(("127.0.0.1", port)).unwrap());
        let mut out = bytes::BytesMut::new();
        startup::write_startup(&mut out, Version::V3_0, [("user", "postgres")].into_iter());
        drain.0.write_all(&out).unwrap();
        drain.until(b"Z\0\0\0\x05I");
        drain
    }

    fn query(&mut self, sql: &str) {
        let mut out = bytes::BytesMut::new();
        Query { text: sql.as_bytes() }.write(&mut out);
        self.0.write_all(&out).unwrap();
    }

    /// Reads until this is the last that has come, and tells how much it was.
    fn until(&mut self, end: &[u8]) -> usize {
        let (mut total, mut last) = (0, Vec::new());
        let mut chunk = vec![0; 1 << 18];
        while !last.ends_with(end) {
            let n = self.0.read(&mut chunk).unwrap();
            assert_ne!(n, 0, "the connection has ended");
            total += n;
            last.extend_from_slice(&chunk[n.saturating_sub(end.len())..n]);
            last.drain(..last.len().saturating_sub(end.len()));
        }
        total
    }
}

/// Results, rows and copies of a gigabyte pass through a few buffers.
#[test]
fn a_gigabyte_passes_in_little_memory() {
    const GIGABYTE: usize = 1_000_000_000;
    const READY: &[u8] = b"Z\0\0\0\x05I";
    let cluster = cluster();
    let howdah = Howdah::start(&["--node", &cluster.nodes()[0], "--listen", "127.0.0.1:0"]);
    let mut session = Drain::login(howdah.port);
    for sql in [
        "SELECT repeat('x', 1000000) FROM generate_series(1, 1000)",
        "SELECT repeat('x', 1000000000)",
        "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 1000000)) TO STDOUT",
    ] {
        session.query(sql);
        let total = session.until(READY);
        assert!(total > GIGABYTE, "{sql}: {total}");
    }
    session.query("CREATE TABLE t (a text)");
    session.until(READY);
    session.query("COPY t FROM STDIN WHERE false");
    session.until(b"G\0\0\0\x09\0\0\x01\0\0");
    let row = [vec![b'x'; 9_999], vec![b'\n']].concat();
    let mut packet = bytes::BytesMut::new();
    for _ in 0..10 {
        CopyData { data: &row }.write(&mut packet);
    }
    for _ in 0..GIGABYTE / row.len() / 10 {
        session.0.write_all(&packet).unwrap();
    }
    session.0.write_all(b"c\0\0\0\x04").unwrap();
    session.until(READY);
    let status = std::fs::read_to_string(format!("/proc/{}/status", howdah.child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: usize = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 64 << 10, "{peak} kB");
}

#[test]
fn a_file_is_read_again_when_it_changes_and_on_sighup() {
    let cluster = cluster();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("howdah.toml");
    let write = |more: &str| {
        let nodes = cluster.nodes();
        let log = "[log]\nformat = \"json\"\n";
        let text =
            format!("listen = [\"127.0.0.1:0\"]\n{more}{log}[cluster.main]\nnodes = {nodes:?}\n");
        std::fs::write(&file, text).unwrap();
    };
    write("");
    let mut howdah = Howdah::start(&["--config", file.to_str().unwrap()]);
    assert_eq!(text(&howdah.psql("SELECT 1").stdout), "1\n");
    // A broken one is told of with its line, and changes nothing.
    write("wrokers = 3\n");
    let line = howdah.says("wrokers");
    assert!(line.contains("howdah.toml:2:1"), "{line}");
    let object: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(object["level"], "ERROR");
    assert_eq!(text(&howdah.psql("SELECT 2").stdout), "2\n");
    write("[limits]\nmax_clients = 0\n");
    howdah.says("max_clients");
    write("[limits]\nmax_clients = 77\n");
    howdah.says("configuration");
    howdah.signal("HUP");
    howdah.says("configuration");
    assert_eq!(text(&howdah.psql("SELECT 3").stdout), "3\n");
    howdah.signal("INT");
    assert!(howdah.child.wait().unwrap().success());
}

#[test]
fn mistakes_are_told_before_anything_starts() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("howdah.toml");
    std::fs::write(&file, "workers = 0\n[cluster.main]\nnodes = [\"a:b\"]\n").unwrap();
    for command in ["run", "check"] {
        let output = howdah().args([command, "--config"]).arg(&file).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let told = text(&output.stdout) + &text(&output.stderr);
        let path = Path::new(&file).display().to_string();
        for place in [":1:11", ":3:10"] {
            assert!(told.contains(&format!("{path}{place}")), "{told}");
        }
    }
    let output =
        howdah().args(["run", "--node", "127.0.0.1:1", "--listen", "192.0.2.1:1"]).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("cannot listen on 192.0.2.1:1"));
}
