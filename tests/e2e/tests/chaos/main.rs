//! Real faults of real clusters under load, at random moments: nothing is lost, doubled or misreported, and nobody is
//! dropped.
//!
//! `CHAOS_FAULTS` says how many (8), `CHAOS_SEED` which (random; it is printed), `CHAOS_IDLE` how many idle clients there
//! are besides (50). A table is printed: `make chaos`.
#![allow(clippy::unwrap_used)]

mod faults;
mod ledger;
mod link;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use howdah_e2e::{Running, policy};
use howdah_pgcluster::{Cluster, Options};

use faults::{Fault, Stage};
use ledger::{Client, Clients, Seen, Told};

const WRITERS: usize = 8;
const READERS: usize = 2;

/// The replica that the primary waits for before it acknowledges is whichever answers first.
const SYNCHRONOUS: &str = "synchronous_standby_names = 'ANY 1 (*)'";

/// Clients wait for the next primary as long as it takes.
const PATIENT: &str = "[pool]\nsize = 12\nwait_timeout = \"60s\"\n";

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect(variable))
}

/// What came of faults of one kind.
#[derive(Default)]
struct Row {
    faults: u64,
    dropped: u64,
    errors: BTreeMap<String, u64>,
    longest: Duration,
    longest_reads: Duration,
    /// From the end of a promotion until a client is told again that something is committed.
    resumed: Option<Duration>,
}

#[test]
fn nothing_is_lost_doubled_or_misreported_with_asynchronous_replicas() {
    run(false);
}

#[test]
fn nothing_is_lost_doubled_or_misreported_with_synchronous_replicas() {
    run(true);
}

fn run(synchronous: bool) {
    let faults = number("CHAOS_FAULTS").unwrap_or(8);
    let seed = number("CHAOS_SEED").unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        u64::from(now.subsec_nanos()) << 8 | u64::from(synchronous)
    });
    eprintln!("CHAOS_SEED={seed} CHAOS_FAULTS={faults}, synchronous replicas: {synchronous}");
    let settings = if synchronous { vec![SYNCHRONOUS.to_owned()] } else { Vec::new() };
    let cluster = Cluster::start(&Options { replicas: 2, settings, ..Options::default() }).unwrap();
    cluster.primary().query("postgres", "CREATE TABLE ledger (key bigint)").unwrap();
    let mut stage = Stage::new(cluster, seed);
    let proxy = proxy(&stage);
    let idle = number("CHAOS_IDLE").unwrap_or(50);
    let mut idle: Vec<Client> = (0..idle).map(|_| Client::login(proxy.port).unwrap()).collect();
    let clients = Clients::start(proxy.port, WRITERS, READERS);
    let seen = std::sync::Arc::clone(&clients.seen);
    seen.commits.wait_for(20 * WRITERS as u64);
    let mut table: BTreeMap<Fault, Row> = BTreeMap::new();
    for number in 0..faults {
        let fault = stage.next(number);
        let before = (seen.dropped.load(Ordering::SeqCst), seen.errors.lock().unwrap().clone());
        seen.commits.longest();
        seen.reads.longest();
        let promoted = stage.happens(fault, &seen, proxy.directory.path());
        seen.commits.wait_for(10 * WRITERS as u64);
        let row = table.entry(fault).or_default();
        row.faults += 1;
        row.dropped += seen.dropped.load(Ordering::SeqCst) - before.0;
        for (state, count) in &*seen.errors.lock().unwrap() {
            let new = count - before.1.get(state).unwrap_or(&0);
            *row.errors.entry(state.clone()).or_default() += new;
        }
        row.longest = row.longest.max(seen.commits.longest());
        row.longest_reads = row.longest_reads.max(seen.reads.longest());
        row.resumed = row.resumed.max(promoted);
        stage.mend();
    }
    let seen = clients.end();
    let lost_idle = idle.iter_mut().filter_map(|client| client.ask("SELECT 1").err()).count();
    eprintln!("{}", report(&table, &seen, &proxy));
    assert_eq!(lost_idle, 0, "idle clients");
    assert_eq!(seen.dropped.load(Ordering::SeqCst), 0, "clients were dropped");
    let unseen = seen.unseen.lock().unwrap();
    assert!(unseen.is_empty(), "sessions did not see what they had written: {unseen:#?}");
    drop(unseen);
    verdict(&mut stage, &seen, synchronous);
}

fn proxy(stage: &Stage) -> Running {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("policy.wasm");
    std::fs::copy(policy("read-write-split"), &path).unwrap();
    let text = format!(
        "listen = [\"127.0.0.1:0\"]\nworkers = 2\n{PATIENT}[[policy]]\nname = \"split\"\npath = {path:?}\n\
         [cluster.main]\nnodes = {:?}\nprove_autocommit = true\nmonitor = {{ interval = \"200ms\", timeout = \"1s\" }}\n",
        stage.nodes()
    );
    let proxy = Running::with_file(directory, &text);
    proxy.wait_up(3);
    proxy
}

/// Compares what is there with what clients were told.
fn verdict(stage: &mut Stage, seen: &Seen, synchronous: bool) {
    let sql = "SELECT key, count(*) FROM ledger GROUP BY key";
    let there = ledger::rows(stage.primary().query("postgres", sql).unwrap());
    let mut wrong = Vec::new();
    let (mut lost, mut unknown) = (0, 0);
    for entry in &*seen.entries.lock().unwrap() {
        let count = there.get(&entry.key).copied().unwrap_or(0);
        let right = match entry.told {
            Told::Committed if count == 0 && !synchronous => {
                // Gone with its primary: it must have been told before that one was replaced.
                lost += 1;
                stage.may_be_lost(entry.at)
            }
            Told::Committed => count == 1,
            Told::Refused => count == 0,
            Told::Unknown => {
                unknown += 1;
                count <= 1
            }
            Told::Dropped => count <= 1,
        };
        if !right {
            wrong.push(format!("{}: told {:?}, there {count} times", entry.key, entry.told));
        }
    }
    let all = seen.entries.lock().unwrap().len();
    eprintln!(
        "{all} rows; {unknown} unknown; {lost} acknowledged by a primary that was replaced; {} wrong",
        wrong.len()
    );
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn report(table: &BTreeMap<Fault, Row>, seen: &Seen, proxy: &Running) -> String {
    let mut text = String::from(
        "| fault | n | dropped | errors | longest pause of commits, ms | of reads, ms | after the promotion, ms |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for (fault, row) in table {
        let errors = row.errors.iter().filter(|(_, count)| **count > 0);
        let errors: Vec<String> =
            errors.map(|(state, count)| format!("{state}: {count}")).collect();
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} |",
            fault.name(),
            row.faults,
            row.dropped,
            errors.join(", "),
            row.longest.as_millis(),
            row.longest_reads.as_millis(),
            row.resumed.map(|time| time.as_millis().to_string()).unwrap_or_default()
        )
        .unwrap();
    }
    use howdah_decision::Outcome;
    let proven = [Outcome::Committed, Outcome::NotCommitted, Outcome::Unknown]
        .map(|outcome| proxy.proxy().shared.proven(outcome));
    let commits = seen.commits.count.load(Ordering::SeqCst);
    let [committed, not_committed, unknown] = proven;
    writeln!(
        text,
        "\n{commits} commits; {committed} were proven committed, {not_committed} not committed, {unknown} could not be proven"
    )
    .unwrap();
    text
}

/// Whether something comes true in time.
fn comes_true(what: &str, mut condition: impl FnMut() -> bool) {
    let give_up = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < give_up, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
