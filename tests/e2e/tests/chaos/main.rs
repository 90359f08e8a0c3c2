//! Real faults of real clusters under load, at random moments: nothing is lost, doubled or misreported, and nobody is
//! dropped.
//!
//! `CHAOS_FAULTS` says how many (8), `CHAOS_SEED` which (random; it is printed), `CHAOS_FAULT` of which kind (a part of its
//! name), `CHAOS_IDLE` how many idle clients there are besides (50). A table is printed: `make chaos`. `CHAOS_PROXY` puts
//! another proxy in the place of howdah (`haproxy`, `pgbouncer`); then the table is all there is, and nothing must hold.
#![allow(clippy::unwrap_used)]

mod faults;
mod front;
mod ledger;
mod link;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use howdah_decision::Outcome;
use howdah_pgcluster::{Cluster, Options};

use faults::{Fault, Stage};
use front::Front;
use ledger::{Client, Clients, Seen, Told};

const WRITERS: usize = 8;
const READERS: usize = 2;

/// The replica that the primary waits for before it acknowledges is whichever answers first.
const SYNCHRONOUS: &str = "synchronous_standby_names = 'ANY 1 (*)'";

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
    let front = Front::start(&stage, synchronous);
    let kinds = Fault::named(&std::env::var("CHAOS_FAULT").unwrap_or_default());
    let idle = number("CHAOS_IDLE").unwrap_or(50);
    let mut idle: Vec<Client> = (0..idle).map(|_| Client::login(front.port).unwrap()).collect();
    let clients = Clients::start(front.port, WRITERS, READERS);
    let seen = std::sync::Arc::clone(&clients.seen);
    seen.commits.wait_for(20 * WRITERS as u64);
    let mut table: BTreeMap<Fault, Row> = BTreeMap::new();
    for number in 0..faults {
        let fault = stage.next(&kinds, number);
        let before = (seen.dropped.load(Ordering::SeqCst), seen.errors.lock().unwrap().clone());
        seen.commits.longest();
        seen.reads.longest();
        let promoted = stage.happens(fault, &seen, front.howdah.as_ref());
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
    eprintln!("{}", report(&table, &seen, &front));
    let dropped = seen.dropped.load(Ordering::SeqCst);
    let unseen = seen.unseen.lock().unwrap();
    eprintln!("{lost_idle} idle clients dropped; {} rows unseen by who wrote them", unseen.len());
    let wrong = wrong(&mut stage, &seen, synchronous);
    if front.howdah.is_some() {
        assert_eq!(lost_idle, 0, "idle clients");
        assert_eq!(dropped, 0, "clients were dropped");
        assert!(unseen.is_empty(), "sessions did not see what they had written: {unseen:#?}");
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

/// Compares what is there with what clients were told, and says where that differs.
fn wrong(stage: &mut Stage, seen: &Seen, synchronous: bool) -> Vec<String> {
    let sql = "SELECT key, count(*) FROM ledger GROUP BY key";
    let there = ledger::rows(stage.primary().query("postgres", sql).unwrap());
    let mut wrong = Vec::new();
    let (mut lost, mut unknown, mut untold) = (0, 0, 0);
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
            Told::Dropped => {
                untold += 1;
                count <= 1
            }
        };
        if !right {
            wrong.push(format!("{}: told {:?}, there {count} times", entry.key, entry.told));
        }
    }
    let all = seen.entries.lock().unwrap().len();
    eprintln!(
        "{all} rows; {unknown} told to be unknown, {untold} not told of at all; {lost} acknowledged by a primary that was \
         replaced; {} wrong",
        wrong.len()
    );
    wrong
}

fn report(table: &BTreeMap<Fault, Row>, seen: &Seen, front: &Front) -> String {
    let mut text = String::from(
        "| fault | n | dropped | errors | longest pause of commits, ms | of reads, ms | after the promotion, ms |\n\
         |---|---|---|---|---|---|---|\n",
    );
    // Others have no policies: nothing has happened to them.
    let happened = |fault: Fault| fault != Fault::PolicySwapped || front.howdah.is_some();
    for (fault, row) in table.iter().filter(|(fault, _)| happened(**fault)) {
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
    let commits = seen.commits.count.load(Ordering::SeqCst);
    write!(text, "\n{commits} commits").unwrap();
    if let Some(howdah) = &front.howdah {
        let proven = [Outcome::Committed, Outcome::NotCommitted, Outcome::Unknown]
            .map(|outcome| howdah.proxy().shared.proven(outcome));
        write!(text, "; proven committed, not committed, unknown: {proven:?}").unwrap();
    }
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
