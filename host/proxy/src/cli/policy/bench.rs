use std::io::Write;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use howdah_decision::{Client, Facts, Failure, Kind, Observation, Outcome, Role, Safety, Source};
use howdah_policy::{FailedAt, Question, Told, Who};
use howdah_sql::{NoCatalog, ScanOptions, Statement};
use serde_json::{Value, json};

use super::arguments::BenchArguments;
use super::{all, alone, inspect::grouped, print_json};
use crate::policies::trial::{Trial, UNHURRIED};

/// What people's programs send, more or less.
const STATEMENTS: [&str; 6] = [
    "SELECT id, name, price FROM products WHERE id = 42",
    "SELECT o.id, c.name FROM orders o JOIN customers c ON c.id = o.customer WHERE o.state = 'open' ORDER BY o.id LIMIT 50",
    "INSERT INTO orders (customer, state) VALUES (7, 'open') RETURNING id",
    "UPDATE products SET price = price * 1.1 WHERE id = 42",
    "BEGIN",
    "SELECT 1 /* app='web', route='%2Forders' */",
];
/// Questions before anything is measured: by then everything is in the caches.
const WARM: u32 = 1_000;
/// Answers from memory that are timed together, for one takes about as long as looking at a clock.
const TOGETHER: u32 = 100;

/// What answers from memory are called.
const REMEMBERED: &str = "route, from memory";
/// A read whose standby went away.
const FAILURE: Failure = Failure {
    sqlstate: Some(*b"57P01"),
    safety: Safety::Read,
    outcome: Outcome::Unknown,
    replayable: false,
    attempt: 1,
};

/// Nanoseconds of one call.
struct Figures {
    what: &'static str,
    minimum: u64,
    median: u64,
    p99: u64,
}

/// Measures what a policy costs.
pub(super) fn bench(arguments: &BenchArguments, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let (mut spec, description) = alone(&arguments.file, &arguments.set)?;
    // Whether a call takes too long is for the reader of the figures to say.
    spec.limits.time = UNHURRIED;
    let trial = Trial::new(vec![spec]).map_err(|errors| all(&errors))?;
    let statements = statements(arguments)?;
    let has = |hook: &str| description.hooks.iter().any(|one| one == hook);
    let calls = arguments.calls;
    let mut figures = Vec::new();
    if has("session") {
        figures.push(sessions(&trial, calls));
    }
    let all: Vec<&str> = statements.iter().map(String::as_str).collect();
    type Scan<'a> = &'a dyn Fn(&str) -> Rc<Statement>;
    if has("rewrite") {
        let ask = |q: &Question<'_>, scan: Scan<'_>| {
            trial.worker().ask_rewrite(trial.chain(), q, scan);
        };
        figures.push(questions("rewrite", &trial, &all, calls, 1, ask));
    }
    if has("route") {
        let ask = |q: &Question<'_>, _: Scan<'_>| {
            trial.worker().ask_route(trial.chain(), q);
        };
        figures.push(questions("route", &trial, &all, calls, 1, ask));
        let ask = |q: &Question<'_>, _: Scan<'_>| {
            trial.worker().route(trial.chain(), q);
        };
        let kept = remembered(&trial, &all);
        if !kept.is_empty() {
            figures.push(questions(REMEMBERED, &trial, &kept, calls, TOGETHER, ask));
        }
    }
    if has("retry") {
        let ask = |q: &Question<'_>, _: Scan<'_>| {
            let at = FailedAt { node: "a", role: Role::Replica, elapsed: Duration::ZERO };
            trial.worker().retry(trial.chain(), q, &FAILURE, &at);
        };
        figures.push(questions("retry", &trial, &all, calls, 1, ask));
    }
    let seen = [observation()];
    for told in [Told::Observe(&seen), Told::Tick, Told::Topology, Told::State] {
        if has(told.hook()) {
            let tell = || drop(trial.worker().tell_now(&told));
            figures.push(timed(told.hook(), calls, tell));
        }
    }
    if figures.is_empty() {
        bail!("it has only hooks that are called once: {}", description.hooks.join(", "));
    }
    let failures = trial.registry().status().first().and_then(|status| status.last_failure.clone());
    let optimised = !cfg!(debug_assertions);
    if arguments.json {
        let one = |f: &Figures| json!({ "call": f.what, "minimum_ns": f.minimum, "median_ns": f.median, "p99_ns": f.p99 });
        let value = json!({
            "release_build": optimised,
            "calls": calls,
            "statements": statements.len(),
            "memory": description.memory,
            "figures": figures.iter().map(one).collect::<Vec<Value>>(),
            "failure": failures,
        });
        print_json(&value, out)?;
        return Ok(ExitCode::SUCCESS);
    }
    if !optimised {
        writeln!(out, "this is a debug build of howdah: its figures mean nothing")?;
    }
    writeln!(out, "{calls} calls about {} statements, nanoseconds each", statements.len())?;
    writeln!(out, "{:<34}{:>10}{:>10}{:>10}", "", "minimum", "median", "p99")?;
    for Figures { what, minimum, median, p99 } in &figures {
        writeln!(out, "{what:<34}{minimum:>10}{median:>10}{p99:>10}")?;
    }
    writeln!(out, "an instance begins with {} bytes of memory", grouped(description.memory))?;
    if let Some(failure) = failures {
        writeln!(out, "it failed: {failure}")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn statements(arguments: &BenchArguments) -> anyhow::Result<Vec<String>> {
    let Some(path) = &arguments.sql_file else {
        return Ok(STATEMENTS.map(str::to_owned).to_vec());
    };
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let all = text.split(";\n").map(|one| one.trim().trim_end_matches(';').trim_end());
    let all: Vec<String> = all.filter(|one| !one.is_empty()).map(str::to_owned).collect();
    if all.is_empty() {
        bail!("{}: there is no statement", path.display());
    }
    Ok(all)
}

/// Whose questions they are.
fn who() -> Arc<Who> {
    Arc::new(Who {
        user: "postgres".into(),
        database: "postgres".into(),
        cluster: "main".into(),
        application_name: "bench".into(),
    })
}

/// A question about a statement.
fn question<'a>(
    trial: &Trial,
    sql: &'a str,
    statement: &'a Statement,
    who: &'a Arc<Who>,
) -> Question<'a> {
    let interest = trial.chain().interest(&who.user, &who.database, &who.cluster);
    Question { sql, statement, extra: Facts::NONE, class: 0, who, interest, background: &() }
}

fn scan(text: &str) -> Rc<Statement> {
    Rc::new(howdah_sql::scan(text.as_bytes(), ScanOptions::default(), &NoCatalog))
}

/// Those of the statements whose answers are remembered once they were asked about.
fn remembered<'a>(trial: &Trial, statements: &[&'a str]) -> Vec<&'a str> {
    let who = who();
    let kept = |sql: &&str| {
        let statement = scan(sql);
        let question = question(trial, sql, &statement, &who);
        trial.worker().route(trial.chain(), &question);
        trial.worker().remembers(trial.chain(), &question)
    };
    statements.iter().copied().filter(kept).collect()
}

/// Times questions one by one, or so many together.
fn questions(
    what: &'static str,
    trial: &Trial,
    statements: &[&str],
    calls: u32,
    together: u32,
    ask: impl Fn(&Question<'_>, &dyn Fn(&str) -> Rc<Statement>),
) -> Figures {
    let who = who();
    let scanned: Vec<_> = statements.iter().map(|sql| (*sql, scan(sql))).collect();
    let all: Vec<_> =
        scanned.iter().map(|(sql, statement)| question(trial, sql, statement, &who)).collect();
    let mut next = all.iter().cycle();
    let mut once = |times: u32| {
        let Some(question) = next.next() else { return 0 };
        let began = Instant::now();
        (0..times).for_each(|_| ask(question, &scan));
        nanoseconds(began) / u64::from(times)
    };
    (0..WARM).for_each(|_| {
        once(1);
    });
    let times = (0..(calls / together).max(TOGETHER)).map(|_| once(together)).collect();
    Figures::of(what, times)
}

/// Times something else, one by one.
fn timed(what: &'static str, calls: u32, call: impl Fn()) -> Figures {
    (0..WARM).for_each(|_| call());
    let once = || {
        let began = Instant::now();
        call();
        nanoseconds(began)
    };
    Figures::of(what, (0..calls).map(|_| once()).collect())
}

fn sessions(trial: &Trial, calls: u32) -> Figures {
    let client = Client {
        id: 1,
        user: "postgres".into(),
        database: "postgres".into(),
        application_name: "bench".into(),
        address: "127.0.0.1".into(),
        parameters: Vec::new(),
    };
    // With the word that the client has gone, so that a policy does not keep them all.
    timed("session, opened and closed", calls, || {
        trial.worker().open(trial.chain(), &client, "main");
        trial.worker().closed(trial.chain(), client.id);
    })
}

/// What has become of a statement.
fn observation() -> Observation {
    Observation {
        session: 1,
        class: 0,
        kind: Kind::Read,
        digest: 1,
        node: Some("a".into()),
        source: Source::Policy,
        latency_us: 500,
        waited_us: 0,
        rows: 1,
        bytes: 100,
        sqlstate: None,
    }
}

fn nanoseconds(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

impl Figures {
    fn of(what: &'static str, mut times: Vec<u64>) -> Figures {
        times.sort_unstable();
        let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
        Figures { what, minimum: at(0), median: at(50), p99: at(99) }
    }
}
