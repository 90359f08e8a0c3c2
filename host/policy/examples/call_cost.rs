//! What a policy costs: `cargo run --release -p howdah-policy --example call_cost -- POLICY.wasm…`.
//!
//! The policies need the hook `route`. Each is loaded, asked as the proxy asks, without any answer being remembered,
//! and loaded once more with other settings, as at a reload.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use howdah_decision::Facts;
use howdah_policy::{
    Grants, Limits, OnFailure, Options, PolicySpec, Question, Registry, Rollout, Scope,
    SettingValue, Source, Who,
};
use howdah_sql::{NoCatalog, ScanOptions, scan};

const SQL: &str = "SELECT abalance FROM pgbench_accounts WHERE aid = 1234567;";

/// Calls before the clock runs, and while it does, unless [`PATIENCE`] ends them.
const CALLS: u32 = 200_000;
/// Longest time that one policy is asked.
const PATIENCE: Duration = Duration::from_secs(5);

fn spec(path: &str, version: i64) -> PolicySpec {
    let name = path.rsplit('/').next().unwrap().trim_end_matches(".wasm");
    PolicySpec {
        name: name.to_owned(),
        bytes: std::fs::read(path).unwrap().into(),
        origin: path.to_owned(),
        settings: BTreeMap::from([("version".to_owned(), SettingValue::Integer(version))]),
        // Only what a call takes is of interest here, and interpreters need more than the default.
        limits: Limits { memory: 1 << 30, time: Duration::from_secs(1), ..Limits::default() },
        on_failure: OnFailure::Closed,
        grants: Grants::ALL,
        kv_space: None,
        scope: Scope::default(),
        sha256: None,
        rollout: Rollout::Live,
    }
}

/// Bytes of this process that are in memory.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4_096
}

fn load(registry: &Registry, path: &str, version: i64) -> Duration {
    let began = Instant::now();
    registry.apply(vec![spec(path, version)]).unwrap();
    began.elapsed()
}

/// Nanoseconds of each call, in ascending order.
fn calls(registry: &Arc<Registry>) -> Vec<u64> {
    let worker = registry.worker(0);
    let chain = worker.chain(0);
    let who = Arc::new(Who { user: "app".into(), database: "app".into(), ..Who::default() });
    let interest = chain.interest("app", "app", "main");
    let mut statement = scan(SQL.as_bytes(), ScanOptions::default(), &NoCatalog);
    let mut ask = |number: u32| {
        // A digest of its own: what was answered before is not remembered.
        statement.digest = u64::from(number);
        let (extra, class) = (Facts::default(), 0);
        let statement = &statement;
        let background = &();
        let question =
            Question { sql: SQL, statement, extra, class, who: &who, interest, background };
        let began = Instant::now();
        let answer = black_box(worker.route(&chain, &question));
        let elapsed = began.elapsed();
        assert!(answer.source != Source::Failed, "{:?}", registry.status());
        u64::try_from(elapsed.as_nanos()).unwrap()
    };
    let (began, half) = (Instant::now(), PATIENCE / 2);
    (0..CALLS).take_while(|number| *number == 0 || began.elapsed() < half).for_each(|number| {
        ask(number);
    });
    let began = Instant::now();
    let numbers = (CALLS..2 * CALLS).take_while(|n| *n == CALLS || began.elapsed() < half);
    let mut times: Vec<u64> = numbers.map(ask).collect();
    times.sort_unstable();
    times
}

fn main() {
    println!(
        "{:<24}{:>10}{:>10}{:>12}{:>10}{:>10}{:>10}",
        "policy", "kB", "load ms", "reload ms", "min ns", "median", "RSS MB"
    );
    for path in std::env::args().skip(1) {
        let before = resident();
        let registry = Registry::new(Options { workers: 1 }).unwrap();
        let first = load(&registry, &path, 1);
        let times = calls(&registry);
        let grown = resident().saturating_sub(before);
        let again = load(&registry, &path, 2);
        let status = registry.status().remove(0);
        println!(
            "{:<24}{:>10}{:>10}{:>12}{:>10}{:>10}{:>10}",
            status.name,
            status.size / 1_000,
            first.as_millis(),
            again.as_millis(),
            times[0],
            times[times.len() / 2],
            grown / 1_000_000
        );
    }
}
