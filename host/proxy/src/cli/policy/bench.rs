use std::io::Write;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail};
use howdah_decision::{Client, Facts};
use howdah_policy::{Question, Who};
use howdah_sql::{NoCatalog, ScanOptions, Statement};
use serde_json::{Value, json};

use super::arguments::BenchArguments;
use super::{all, alone, inspect::grouped, print_json};
use crate::policies::trial::Trial;

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

/// Nanoseconds of one call.
struct Figures {
    what: &'static str,
    minimum: u64,
    median: u64,
    p99: u64,
}

/// Measures what a policy costs.
pub(super) fn bench(arguments: &BenchArguments, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let (spec, description) = alone(&arguments.file, &arguments.set)?;
    let trial = Trial::new(vec![spec]).map_err(|errors| all(&errors))?;
    let statements = statements(arguments)?;
    let has = |hook: &str| description.hooks.iter().any(|one| one == hook);
    let calls = arguments.calls;
    let mut figures = Vec::new();
    if has("session") {
        figures.push(sessions(&trial, calls));
    }
    if has("rewrite") {
        let ask = |q: &Question<'_>, scan: &dyn Fn(&str) -> Rc<Statement>| {
            trial.worker().ask_rewrite(trial.chain(), q, scan);
        };
        figures.push(questions("rewrite", &trial, &statements, calls, 1, ask));
    }
    if has("route") {
        let ask = |q: &Question<'_>, _: &dyn Fn(&str) -> Rc<Statement>| {
            trial.worker().ask_route(trial.chain(), q);
        };
        figures.push(questions("route", &trial, &statements, calls, 1, ask));
        let ask = |q: &Question<'_>, _: &dyn Fn(&str) -> Rc<Statement>| {
            trial.worker().route(trial.chain(), q);
        };
        let what = "route, from memory where allowed";
        figures.push(questions(what, &trial, &statements, calls, TOGETHER, ask));
    }
    if figures.is_empty() {
        bail!("it has no hook that is called for questions: {}", description.hooks.join(", "));
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

/// Times questions one by one, or so many together.
fn questions(
    what: &'static str,
    trial: &Trial,
    statements: &[String],
    calls: u32,
    together: u32,
    ask: impl Fn(&Question<'_>, &dyn Fn(&str) -> Rc<Statement>),
) -> Figures {
    let scan =
        |text: &str| Rc::new(howdah_sql::scan(text.as_bytes(), ScanOptions::default(), &NoCatalog));
    let scanned: Vec<(&str, Rc<Statement>)> =
        statements.iter().map(|sql| (sql.as_str(), scan(sql))).collect();
    let who = Arc::new(Who {
        user: "postgres".into(),
        database: "postgres".into(),
        cluster: "main".into(),
        application_name: "bench".into(),
    });
    let interest = trial.chain().interest(&who.user, &who.database, &who.cluster);
    let mut next = scanned.iter().cycle();
    let mut once = |times: u32| {
        let Some((sql, statement)) = next.next() else { return 0 };
        let question = Question {
            sql,
            statement,
            extra: Facts::NONE,
            class: 0,
            who: &who,
            interest,
            background: &(),
        };
        let began = Instant::now();
        (0..times).for_each(|_| ask(&question, &scan));
        nanoseconds(began) / u64::from(times)
    };
    (0..WARM).for_each(|_| {
        once(1);
    });
    let times = (0..(calls / together).max(TOGETHER)).map(|_| once(together)).collect();
    Figures::of(what, times)
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
    let once = || {
        let began = Instant::now();
        trial.worker().open(trial.chain(), &client, "main");
        let took = nanoseconds(began);
        trial.worker().closed(trial.chain(), client.id);
        took
    };
    (0..WARM).for_each(|_| {
        once();
    });
    Figures::of("session", (0..calls).map(|_| once()).collect())
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
