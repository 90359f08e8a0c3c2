//! A policy that misbehaves: the setting `hook` says where, `mode` says how.
//!
//! Where it does not misbehave, it tells what it sees: `SELECT 'calls'` is answered with the number of
//! questions that this instance was asked, `SELECT 'nodes'` with the nodes that it was told of.

use std::collections::HashMap;

use howdah_sdk::{
    Admission, Client, Configure, Decision, Node, Outcome, Remember, Rewrite, Rewritten, Route,
    Session, SessionDecision, Settings, Statement, Table, Topology, Verdict, log, metrics,
    question,
};

/// What it was told to do, and what it has seen.
#[derive(Default)]
pub struct Hostile {
    hook: String,
    mode: String,
    calls: HashMap<&'static str, u64>,
    nodes: Vec<String>,
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
    fn open(&mut self, _client: &Client) -> SessionDecision {
        let mut admission = Admission {
            user: None,
            database: None,
            cluster: None,
            pool_mode: None,
            settings: Vec::new(),
            class: 7,
        };
        if self.called("session") {
            match self.mode.as_str() {
                "unknown cluster" => admission.cluster = Some("nowhere".into()),
                "no user" => admission.user = Some(String::new()),
                "setting" => admission.settings.push(("x; DROP TABLE t".into(), "1".into())),
                _ => {}
            }
        }
        SessionDecision::Accept(admission)
    }
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
            "class" if bad => {
                let class = table([statement.class.to_string()]);
                return class.remembered(Remember::DigestAndClass);
            }
            _ if statement.sql == "SELECT 'calls'" => {
                let calls = self.calls.get("route").copied().unwrap_or_default();
                return table([calls.to_string()]).always_ask();
            }
            _ if statement.sql == "SELECT 'nodes'" => table(self.nodes.clone()),
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

howdah_sdk::export!(Hostile: configure, session, route, rewrite, topology);
