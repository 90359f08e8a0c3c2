//! The page in a real browser, under load: what it shows, what its buttons do, what it says when something is lost.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use howdah_e2e::http::free_port;
use howdah_e2e::{RawClient, Running, cluster, policy, try_connect, wait};
use howdah_pgcluster::{Auth, Cluster};

/// Where Chromium's driver is. Installs what is missing.
fn browsers() -> PathBuf {
    let setup = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.ci/setup");
    let output = Command::new(setup).arg("browsers").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().into()
}

/// The script, on a loaded machine, and with screenshots.
const LONGEST: Duration = Duration::from_secs(300);

/// A proxy with a page, and a policy whose file may be replaced by a version on trial.
fn proxy(nodes: &[String], page: u16) -> Running {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("router.wasm"), howdah::policies::READ_WRITE_SPLIT)
        .unwrap();
    let text = format!(
        "listen = [\"127.0.0.1:0\"]\nworkers = 2\ncontrol = \"control\"\n\
         [auth]\nmethod = \"trust\"\n[user.postgres]\n\
         [user.dba]\npassword = \"sesame of dba\"\n[user.viewer]\npassword = \"sesame of viewer\"\n\
         [admin]\noperators = [\"dba\"]\nviewers = [\"viewer\"]\n\
         [http]\nlisten = \"127.0.0.1:{page}\"\nlogin = true\n\
         [pool]\nsize = 4\nwait_timeout = \"5min\"\n[database.template1]\npool_size = 1\n\
         [cluster.main]\nnodes = {nodes:?}\n\
         [[policy]]\nname = \"router\"\npath = \"router.wasm\"\nmode = \"shadow\"\n"
    );
    Running::with_file(directory, &text)
}

/// Reads and writes of some clients, until it is dropped.
struct Load {
    ends: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Load {
    fn start(port: u16) -> Load {
        let ends = Arc::<AtomicBool>::default();
        let until = Arc::clone(&ends);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let clients = ["web", "web", "worker", "report"].into_iter().enumerate();
                let clients = clients.map(|(at, name)| tokio::spawn(client(port, at, name)));
                let clients: Vec<_> = clients.collect();
                while !until.load(Ordering::Relaxed) {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                clients.iter().for_each(tokio::task::JoinHandle::abort);
            });
        });
        Load { ends, thread: Some(thread) }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// One that comes again whenever it is sent away.
async fn client(port: u16, at: usize, name: &str) {
    let dsn =
        format!("host=127.0.0.1 port={port} user=postgres dbname=postgres application_name={name}");
    loop {
        if let Ok(client) = try_connect(&dsn).await {
            for turn in 0_usize.. {
                let sql = match turn % 6 {
                    0 => format!("INSERT INTO seen VALUES ({at})"),
                    1 => "SELECT count(*) FROM pg_class".to_owned(),
                    _ => "SELECT max(n) FROM seen".to_owned(),
                };
                if client.simple_query(&sql).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(12)).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A session that stays on its server, one that holds the only server of a pool, and one that waits for it.
fn crowd(port: u16) -> Vec<RawClient> {
    let hostile = "<img src=x onerror=alert(1)>";
    let mut pinned = RawClient::login(port);
    pinned.query(&format!("SET application_name = '{hostile}'"));
    pinned.until_ready();
    pinned.query("CREATE TEMP TABLE mine (n int)");
    pinned.until_ready();
    let (mut holds, mut waits) =
        (RawClient::login_to(port, "template1"), RawClient::login_to(port, "template1"));
    holds.query("BEGIN; LOCK TABLE pg_class IN ACCESS SHARE MODE");
    holds.until_ready();
    waits.query("CREATE TEMP TABLE never (n int)");
    vec![pinned, holds, waits]
}

/// The script's lines, until it ends.
fn lines(output: ChildStdout) -> Receiver<String> {
    let (said, heard) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            // Nobody may listen any more.
            let _ = said.send(line);
        }
    });
    heard
}

/// Does what the browser's script asks for.
fn oblige(what: &str, cluster: &mut Cluster, proxy: &Running) {
    match what {
        "lose a replica" => cluster.replicas_mut()[1].kill(),
        "bring the replica back" => cluster.replicas_mut()[1].start().unwrap(),
        "lose the primary" => {
            cluster.wait_replayed().unwrap();
            cluster.primary_mut().kill();
            // A failover can be over before anybody has come back with a write.
            wait("a write to wait", || proxy.held() > 0);
            cluster.replicas()[0].promote().unwrap();
        }
        _ => unreachable!("{what}"),
    }
}

#[test]
fn the_page_shows_what_happens_and_its_buttons_work() {
    let modules = browsers();
    let mut cluster = cluster(2, Auth::Trust);
    cluster.primary().query("postgres", "CREATE TABLE seen (n int)").unwrap();
    let page = free_port();
    let proxy = proxy(&cluster.nodes(), page);
    proxy.wait_up(3);
    let _load = Load::start(proxy.port);
    let _crowd = crowd(proxy.port);
    // Another version, which sends everything to the primary.
    let next = proxy.directory.path().join("next");
    std::fs::copy(policy("user-to-replica"), &next).unwrap();
    std::fs::rename(&next, proxy.directory.path().join("router.wasm")).unwrap();
    wait("the trial", || proxy.proxy().shared.registry.status()[0].trial.is_some());

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../page/check.mjs");
    let mut node = Command::new("node");
    node.arg(script).arg(modules).arg(format!("http://127.0.0.1:{page}"));
    node.args(std::env::var_os("SCREENSHOTS"));
    let mut child = node.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut answers = child.stdin.take().unwrap();
    let wishes = lines(child.stdout.take().unwrap());
    let deadline = Instant::now() + LONGEST;
    loop {
        match wishes.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(wish) => {
                oblige(wish.strip_prefix("please ").unwrap(), &mut cluster, &proxy);
                writeln!(answers, "done").unwrap();
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                child.kill().unwrap();
                panic!("the browser is not done after {LONGEST:?}");
            }
        }
    }
    assert!(child.wait().unwrap().success());
}
