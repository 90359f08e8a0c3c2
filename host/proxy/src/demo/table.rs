use std::fmt::Write as _;
use std::io::{Write, stdout};

use howdah_cluster::NodeId;

use super::load::Tally;
use crate::worker::Shared;

/// The live table: drawn over itself on a terminal, once after the other elsewhere.
pub(super) struct Screen {
    head: String,
    terminal: bool,
    drawn: usize,
    before: Vec<(u64, u64)>,
}

impl Screen {
    pub(super) fn new(head: String, terminal: bool) -> Screen {
        Screen { head, terminal, drawn: 0, before: Vec::new() }
    }

    pub(super) fn draw(&mut self, shared: &Shared, nodes: &[String], tally: &Tally) {
        let snapshot = shared.monitor.snapshot();
        let mut text = String::new();
        if self.terminal && self.drawn > 0 {
            // Up, and clear to the end.
            let _ = write!(text, "\x1b[{}A\x1b[J", self.drawn);
        }
        let start = text.len();
        if !self.head.is_empty() && (self.terminal || self.drawn == 0) {
            let _ = writeln!(text, "\n{}\n", self.head);
        }
        let _ = writeln!(
            text,
            "{:<22} {:<8} {:>10} {:>8} {:>10} {:>8} {:>10}",
            "node", "role", "reads", "/s", "writes", "/s", "lag bytes"
        );
        let mut now = Vec::new();
        for (i, name) in nodes.iter().enumerate() {
            let counted = shared.batches(NodeId(i as u16));
            let before = self.before.get(i).copied().unwrap_or(counted);
            let Some(state) = snapshot.states.get(i) else { continue };
            let role = if state.up { state.role.name() } else { "down" };
            let lag = state.lag_bytes.map_or("-".to_owned(), |lag| lag.to_string());
            let _ = writeln!(
                text,
                "{name:<22} {role:<8} {:>10} {:>8} {:>10} {:>8} {lag:>10}",
                counted.0,
                counted.0 - before.0,
                counted.1,
                counted.1 - before.1
            );
            now.push(counted);
        }
        self.before = now;
        for policy in shared.registry.status() {
            let _ = writeln!(
                text,
                "policy {} generation {}: {} calls, {} answers remembered, {} failures",
                policy.name,
                shared.registry.generation(),
                policy.calls,
                policy.remembered,
                policy.failures
            );
        }
        let _ = writeln!(
            text,
            "clients {}   failed statements {}",
            shared.clients(),
            tally.failures.len()
        );
        self.drawn = text[start..].lines().count();
        let mut out = stdout();
        // Whoever read our output may have gone.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}
