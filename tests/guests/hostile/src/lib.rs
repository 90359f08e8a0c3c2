//! A policy that misbehaves: the setting `hook` says where, `mode` says how.
//!
//! Where it does not misbehave, it tells what it sees: `SELECT 'calls'` is answered with the number of
//! questions that this instance, or the version before it, was asked; `SELECT 'nodes'` with the nodes that it was told
//! of, `SELECT 'ticks'` with how often it was told that time has passed, `SELECT 'closed'` with how many clients have
//! gone, `SELECT 'observed'` with what became of statements.

use std::collections::HashMap;

use howdah_sdk::{
    Admission, Client, Configure, Decision, Failure, Node, Observation, Observe, Outcome, Remember,
    Retry, RetryDecision, Rewrite, Rewritten, Route, Session, SessionDecision, Settings, State,
    Statement, Table, Target, Tick, Topology, Verdict, catalog, clock, kv, log, metrics, nodes,
    question, random,
};

/// What it was told to do, and what it has seen.
#[derive(Default)]
pub struct Hostile {
    hook: String,
    mode: String,
    calls: HashMap<&'static str, u64>,
    nodes: Vec<String>,
    observed: Vec<String>,
    /// Observations in the largest batch.
    largest: usize,
}

/// More than any memory limit of the tests.
const MUCH: usize = 1 << 30;

impl Hostile {
    /// Counts the call. True: this hook is to answer something bad, as `mode` says.
    fn called(&mut self, hook: &'static str) -> bool {
        *self.calls.entry(hook).or_default() += 1;
        if self.hook != hook {
            return false;
        }
        match self.mode.as_str() {
            "loop" => loop {
                std::hint::black_box(());
            },
            "memory" => {
                let mut blocks: Vec<Vec<u8>> = Vec::new();
                while blocks.len() * (1 << 20) < MUCH {
                    blocks.push(std::hint::black_box(vec![1; 1 << 20]));
                }
            }
            "recursion" => {
                std::hint::black_box(deep(0));
            }
            "panic" => panic!("on purpose"),
            "log" => {
                for i in 0..500 {
                    log::info(&format!("line {i}"));
                }
            }
            "file" => assert!(std::fs::read("/etc/passwd").is_err()),
            "network" => assert!(std::net::TcpStream::connect("127.0.0.1:5432").is_err()),
            "environment" => assert!(std::env::vars().next().is_none()),
            "metrics" => {
                for i in 0..200 {
                    metrics::count(&format!("m{i}"), 1);
                }
                metrics::gauge("not a name", 1.0);
            }
            _ => {}
        }
        true
    }
}

#[allow(unconditional_recursion)]
fn deep(n: u64) -> u64 {
    let block = std::hint::black_box([n; 32]);
    deep(n + 1) + block.iter().sum::<u64>()
}

/// A table of one column of one row per value.
fn table(rows: impl IntoIterator<Item = String>) -> Decision {
    let rows = rows.into_iter().map(|value| vec![Some(value)]).collect();
    Decision::Answer(Table { columns: vec!["value".into()], rows })
}

fn sized(columns: usize, rows: usize, width: usize, bytes: usize) -> Decision {
    let row = vec![Some("x".repeat(bytes)); width];
    Decision::Answer(Table { columns: vec!["c".into(); columns], rows: vec![row; rows] })
}

impl Configure for Hostile {
    fn configure(&mut self, settings: &Settings) -> Result<(), String> {
        settings.only(&["hook", "mode"])?;
        self.hook = settings.text("hook")?.unwrap_or_default().to_owned();
        self.mode = settings.text("mode")?.unwrap_or_default().to_owned();
        if self.called("configure") {
            return Err("on purpose".into());
        }
        Ok(())
    }
}

impl Session for Hostile {
    fn open(&mut self, client: &Client) -> SessionDecision {
        let mut admission = Admission { class: 7, ..Admission::default() };
        if self.called("session") {
            match self.mode.as_str() {
                "unknown cluster" => admission.cluster = Some("nowhere".into()),
                "no user" => admission.user = Some(String::new()),
                "setting" => admission.settings.push(("x; DROP TABLE t".into(), "1".into())),
                "patience" => patience(&mut admission, &client.application_name),
                _ => {}
            }
        }
        SessionDecision::Accept(admission)
    }

    fn closed(&mut self, _id: u64) {
        self.called("closed");
    }
}

/// The client says itself how it waits for a server: `5/300` is priority 5, and at most 300 ms.
fn patience(admission: &mut Admission, said: &str) {
    let (priority, wait) = said.split_once('/').unwrap_or_default();
    admission.priority = priority.parse().unwrap_or_default();
    admission.max_wait_ms = wait.parse().ok();
}

impl Route for Hostile {
    fn route(&mut self, statement: &Statement<'_>) -> Verdict {
        let bad = self.called("route");
        let decision = match self.mode.as_str() {
            "unknown node" if bad => Decision::Node("nowhere".into()),
            "unknown cluster" if bad => Decision::Cluster("nowhere".into()),
            "sqlstate" if bad => Decision::refuse("\u{fc}x", "garbage"),
            "no columns" if bad => sized(0, 1, 0, 1),
            "wide" if bad => sized(65, 1, 65, 1),
            "long" if bad => sized(1, 1_001, 1, 1),
            "large" if bad => sized(1, 1, 1, 70_000),
            "ragged" if bad => sized(2, 2, 3, 1),
            "tag" if bad => table([question::tag("app").unwrap_or_default()]),
            "who" if bad => table([question::user(), question::database()]),
            "clock" if bad => table([clock::monotonic().as_nanos().to_string()]),
            "random" if bad => table([random::next().to_string()]),
            "shared" if bad => table([count(kv::increment("shared", 1, None))]),
            "nodes" if bad => table(nodes::all().into_iter().map(|node| node.name)),
            "catalog" if bad => table([format!("{:?}", catalog::function(None, "f"))]),
            "literal" if bad => table([question::literal(0).unwrap_or_default()]),
            "relations" if bad => table(question::relations()),
            "parameter" if bad => table([format!("{:?}", question::parameter(1))]),
            "flood" if bad => {
                let full = (0..).find(|i| kv::set(&format!("k{i}"), b"v", None).is_err());
                table([format!("{full:?}")])
            }
            "class" if bad => {
                let class = table([statement.class.to_string()]);
                return class.remembered(Remember::DigestAndClass);
            }
            _ if statement.sql == "SELECT 'calls'" => {
                let calls = self.calls.get("route").copied().unwrap_or_default();
                return table([calls.to_string()]).always_ask();
            }
            _ if statement.sql == "SELECT 'nodes'" => table(self.nodes.clone()),
            _ if statement.sql == "SELECT 'ticks'" => {
                let ticks = self.calls.get("tick").copied().unwrap_or_default();
                return table([ticks.to_string()]).always_ask();
            }
            _ if statement.sql == "SELECT 'closed'" => {
                let gone = self.calls.get("closed").copied().unwrap_or_default();
                return table([gone.to_string()]).always_ask();
            }
            _ if statement.sql == "SELECT 'observed'" => {
                return table(self.observed.clone()).always_ask();
            }
            _ if statement.sql == "SELECT 'largest'" => {
                return table([self.largest.to_string()]).always_ask();
            }
            _ => Decision::NoOpinion,
        };
        decision.by_digest()
    }
}

impl Rewrite for Hostile {
    fn rewrite(&mut self, statement: &Statement<'_>) -> Rewritten {
        let sql = statement.sql;
        if !self.called("rewrite") {
            return Outcome::Unchanged.remembered(Remember::Digest);
        }
        let text = match self.mode.as_str() {
            "giant" => format!("{sql} -- {}", "x".repeat(2 << 20)),
            "zero" => format!("{sql}\0"),
            "parameters" => format!("{sql} -- \n, $9"),
            "boundary" => format!("{sql}; COMMIT"),
            _ => format!("{sql} /* seen */"),
        };
        Outcome::Text(text).remembered(Remember::Digest)
    }
}

impl Topology for Hostile {
    fn changed(&mut self, _epoch: u64, nodes: &[Node]) {
        self.called("topology");
        self.nodes = nodes.iter().map(|node| node.name.clone()).collect();
    }
}

impl Retry for Hostile {
    fn failed(&mut self, _failure: &Failure, _statement: &Statement<'_>) -> RetryDecision {
        let bad = self.called("retry");
        match self.mode.as_str() {
            "again" if bad => RetryDecision::again(Target::Another, 5),
            "primary" if bad => RetryDecision::again(Target::Primary, 0),
            "give up" if bad => RetryDecision::GiveUp,
            "replay" if bad => RetryDecision::Replay,
            _ => RetryDecision::NoOpinion,
        }
    }
}

impl Observe for Hostile {
    fn statements(&mut self, batch: &[Observation]) {
        self.called("observe");
        self.largest = self.largest.max(batch.len());
        let text = |seen: &Observation| {
            let Observation { kind, node, source, rows, sqlstate, .. } = seen;
            let waited = seen.waited_us <= seen.latency_us;
            let sized = seen.bytes > 0;
            format!("{kind:?} {node:?} {source:?} {rows} {sqlstate:?} {waited} {sized}")
        };
        for seen in batch.iter().map(text) {
            if !self.observed.contains(&seen) && self.observed.len() < 500 {
                self.observed.push(seen);
            }
        }
    }
}

impl Tick for Hostile {
    fn tick(&mut self) -> u32 {
        self.called("tick");
        if self.mode == "once" { 0 } else { 10 }
    }
}

impl State for Hostile {
    fn snapshot(&mut self) -> Vec<u8> {
        if self.called("snapshot") && self.mode == "giant" {
            return vec![0; (1 << 20) + 1];
        }
        self.calls.get("route").copied().unwrap_or_default().to_string().into_bytes()
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        let bad = self.called("restore");
        let calls = std::str::from_utf8(state).ok().and_then(|text| text.parse().ok());
        self.calls.insert("route", calls.ok_or("it is no number")?);
        if bad { Err("on purpose".into()) } else { Ok(()) }
    }
}

/// What a counter says.
fn count(sum: Result<i64, kv::Error>) -> String {
    sum.map_or_else(|error| format!("{error:?}"), |sum| sum.to_string())
}

howdah_sdk::export!(
    Hostile: configure, session, route, rewrite, topology, retry, observe, tick, state
);
