//! Orders of operators: a cluster is paused, a node is drained, and clients notice no more than a longer wait.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use howdah_e2e::{
    RawClient, Running, cluster, connect, on_replica, shared, try_value, value, wait,
};
use howdah_pgcluster::{Auth, Cluster, Server};
use howdah_wire::backend::tag;

const CONTROL: &str = "control = \"control\"\n";

/// Clients that write and read without a pause.
struct Load {
    over: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Duration>>,
}

const WRITERS: usize = 6;

/// The messages of an answer that is no error.
fn run(client: &mut RawClient, sql: &str) -> Vec<(u8, Vec<u8>)> {
    client.query(sql);
    let messages = client.until_ready();
    assert_eq!(messages.iter().find_map(RawClient::error), None, "{sql}");
    messages
}

impl Load {
    /// Some write by themselves, some in transactions; each reads what it has written.
    fn begin(cluster: &Cluster, proxy: &Running) -> Load {
        cluster.primary().query("postgres", "CREATE TABLE kept (n bigint PRIMARY KEY)").unwrap();
        let (over, written) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let mut clients = Vec::new();
        for number in 0..WRITERS {
            let mut client = RawClient::login(proxy.port);
            let (over, written) = (Arc::clone(&over), Arc::clone(&written));
            clients.push(std::thread::spawn(move || {
                let mut longest = Duration::ZERO;
                while !over.load(Ordering::Relaxed) {
                    let key = written.fetch_add(1, Ordering::Relaxed);
                    let began = Instant::now();
                    let insert = format!("INSERT INTO kept VALUES ({key})");
                    let alone = number % 2 == 0;
                    for sql in if alone { vec![&*insert] } else { vec!["BEGIN", &insert, "COMMIT"] }
                    {
                        run(&mut client, sql);
                    }
                    let seen = run(&mut client, &format!("SELECT n FROM kept WHERE n = {key}"));
                    assert!(
                        seen.iter().any(|(kind, _)| *kind == tag::DATA_ROW),
                        "{key} is not seen"
                    );
                    longest = longest.max(began.elapsed());
                }
                longest
            }));
        }
        let load = Load { over, written, clients };
        load.goes_on();
        load
    }

    /// Waits until the clients have got further.
    fn goes_on(&self) {
        let before = self.written.load(Ordering::Relaxed);
        wait("clients to go on", || {
            self.written.load(Ordering::Relaxed) > before + 10 * WRITERS as u64
        });
    }

    /// All is there once, and nobody got an error. The longest wait.
    fn end(self, server: &Server) -> Duration {
        self.over.store(true, Ordering::Relaxed);
        let longest = self.clients.into_iter().map(|client| client.join().unwrap()).max();
        let written = self.written.load(Ordering::Relaxed).to_string();
        assert_eq!(server.value("postgres", "SELECT count(*) FROM kept").unwrap(), written);
        longest.unwrap()
    }
}

#[test]
fn a_planned_switchover_under_load_costs_nobody_more_than_a_wait() {
    let mut cluster = cluster(1, Auth::Trust);
    let proxy = Running::start(&cluster.nodes(), CONTROL);
    proxy.wait_up(2);
    let load = Load::begin(&cluster, &proxy);
    let began = Instant::now();
    let primary = &cluster.nodes()[0];
    let (told, done) = proxy.howdah(&["drain", primary]);
    assert!(done && told.contains("is drained after"), "{told}");
    // It sends all that it has to the replica before it ends.
    cluster.primary_mut().stop().unwrap();
    cluster.replicas()[0].promote().unwrap();
    load.goes_on();
    eprintln!("switched over in {} ms", began.elapsed().as_millis());
    let longest = load.end(&cluster.replicas()[0]);
    eprintln!("the longest wait of a client: {} ms", longest.as_millis());
    let (table, _) = proxy.howdah(&["nodes"]);
    assert!(table.contains("down, drained"), "{table}");
    assert_eq!(proxy.proxy().shared.waiting(), 0);
}

#[test]
fn a_server_is_restarted_behind_a_pause() {
    let mut cluster = cluster(0, Auth::Trust);
    let proxy = Running::start(&cluster.nodes(), CONTROL);
    proxy.wait_up(1);
    let load = Load::begin(&cluster, &proxy);
    let (told, done) = proxy.howdah(&["pause"]);
    assert!(done && told.starts_with("everything is paused after"), "{told}");
    let held = || proxy.howdah(&["nodes"]).0;
    wait("all to wait", || held().contains(&format!("main: {WRITERS} statements wait")));
    cluster.primary_mut().stop().unwrap();
    cluster.primary_mut().start().unwrap();
    assert_eq!(proxy.howdah(&["resume", "main"]).0, "main goes on; 6 statements waited\n");
    load.goes_on();
    load.end(cluster.primary());
}

#[tokio::test]
async fn a_pause_waits_for_transactions_and_says_when_it_has_waited_in_vain() {
    let proxy = Running::start(&shared().nodes(), CONTROL);
    proxy.wait_up(3);
    let open = connect(proxy.port, "postgres").await;
    open.batch_execute("BEGIN").await.unwrap();
    let (told, done) = proxy.howdah(&["pause", "main", "--timeout", "50ms"]);
    assert!(!done && told.contains("main is paused, but 1 connections are in use"), "{told}");
    assert_eq!(value(&open, "SELECT 1").await, "1", "it goes on");
    open.batch_execute("COMMIT").await.unwrap();
    let (told, done) = proxy.howdah(&["pause", "main"]);
    assert!(done, "{told}");
    proxy.howdah(&["resume"]);
    assert_eq!(value(&open, "SELECT 2").await, "2");
}

#[tokio::test]
async fn a_drained_replica_is_read_from_no_more() {
    let proxy = Running::start_with(&shared().nodes(), CONTROL, "causal_reads = false");
    proxy.wait_up(3);
    proxy.wait_split().await;
    let client = connect(proxy.port, "postgres").await;
    for node in &shared().nodes()[1..] {
        assert!(proxy.howdah(&["drain", node]).1);
    }
    assert!(!on_replica(&client).await, "the primary reads when no replica may");
    let last = &shared().nodes()[2];
    assert_eq!(
        proxy.howdah(&["undrain", last]).0,
        format!("{last} goes on; 0 statements waited\n")
    );
    for _ in 0..5 {
        let port = value(&client, "SELECT current_setting('port')").await;
        assert!(last.ends_with(&port), "{port}");
    }
}

#[tokio::test]
async fn what_waits_is_limited_and_the_rest_is_told_so() {
    let more = format!("{CONTROL}[pool]\nmax_waiting = 1\nwait_timeout = \"300ms\"\n");
    let proxy = Running::start(&shared().nodes(), &more);
    proxy.wait_up(3);
    let mut first = RawClient::login(proxy.port);
    let second = connect(proxy.port, "postgres").await;
    assert!(proxy.howdah(&["pause"]).1);
    first.query("SELECT 1");
    wait("the first one to wait", || {
        proxy.howdah(&["nodes"]).0.contains("main: 1 statements wait")
    });
    let error = try_value(&second, "SELECT 2").await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "57P03");
    // Time is a limit too.
    let messages = first.until_ready();
    assert_eq!(messages.iter().find_map(RawClient::error).unwrap().0, "57P03");
    proxy.howdah(&["resume"]);
    assert_eq!(value(&second, "SELECT 3").await, "3");
}
