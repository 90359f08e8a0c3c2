//! The process itself.

use super::super::table::{Row, int, row, text};
use super::clients::sights;
use super::{Operated, Show};
use crate::config::show_address;
use crate::metrics::resident_memory;

pub(super) const LISTENERS: Show = Show {
    name: "LISTENERS",
    about: "Where the proxy listens.",
    columns: &[
        text("what", "clients, http, or control."),
        text("address", "As the configuration has it."),
        text("tls", "Whether clients are offered encryption, or must use it."),
    ],
    rows: |operated| Box::pin(async { listeners(operated) }),
};

pub(super) const LISTS: Show = Show {
    name: "LISTS",
    about: "How many there are of each thing.",
    columns: &[text("list", "What."), int("items", "How many.")],
    rows: |operated| Box::pin(lists(operated)),
};

pub(super) const MEMORY: Show = Show {
    name: "MEMORY",
    about: "What the process holds.",
    columns: &[
        text("name", "What."),
        int("count", "How many."),
        int("bytes", "Bytes, where they are known."),
    ],
    rows: |operated| Box::pin(memory(operated)),
};

pub(super) const VERSION: Show = Show {
    name: "VERSION",
    about: "Which howdah this is.",
    columns: &[text("version", "Name and version.")],
    rows: |_| Box::pin(async { vec![row![concat!("howdah ", env!("CARGO_PKG_VERSION"))]] }),
};

fn listeners(operated: &Operated) -> Vec<Row> {
    let config = operated.shared.config.load();
    let tls = match config.tls.as_ref().map(|tls| tls.mode) {
        None => "no",
        Some(crate::config::TlsMode::Allow) => "offered",
        Some(crate::config::TlsMode::Require) => "required",
    };
    let mut rows: Vec<Row> =
        config.listen.iter().map(|target| row!["clients", show_address(target), tls]).collect();
    rows.extend(config.http.iter().map(|http| row!["http", show_address(&http.listen), "no"]));
    let control = config.control.iter().map(|path| path.display().to_string());
    rows.extend(control.map(|path| row!["control", path, "no"]));
    rows
}

async fn lists(operated: &Operated) -> Vec<Row> {
    let shared = &operated.shared;
    let pools = shared.keyed_pools();
    let stats: Vec<_> = pools.iter().map(|(_, pool)| pool.stats()).collect();
    let free: usize = stats.iter().map(|stats| stats.idle).sum();
    let open: usize = stats.iter().map(|stats| stats.open).sum();
    let sights = sights(operated).await;
    let config = shared.config.load();
    let databases: std::collections::BTreeSet<_> =
        pools.iter().map(|(key, _)| &key.database).collect();
    vec![
        row!["databases", databases.len()],
        row!["users", config.users.len()],
        row!["pools", pools.len()],
        row!["clusters", config.clusters.len()],
        row!["nodes", shared.monitor.snapshot().specs.len()],
        row!["policies", config.policies.len()],
        row!["used_clients", sights.iter().filter(|sight| sight.link.is_some()).count()],
        row!["free_clients", sights.iter().filter(|sight| sight.link.is_none()).count()],
        row!["login_clients", shared.clients().saturating_sub(sights.len())],
        row!["free_servers", free],
        row!["used_servers", open.saturating_sub(free)],
    ]
}

async fn memory(operated: &Operated) -> Vec<Row> {
    let told = operated.shared.ask(|ctx| ctx.holds()).await;
    let sum = |pick: fn(&crate::worker::Holds) -> usize| told.iter().map(pick).sum::<usize>();
    let kv: usize = operated.registry.spaces().iter().map(|space| space.bytes).sum();
    vec![
        row!["process (resident)", 1_u64, resident_memory()],
        row!["sessions", sum(|holds| holds.sessions), None::<u64>],
        row![
            "statements that were scanned",
            sum(|holds| holds.statements),
            sum(|holds| holds.statement_bytes)
        ],
        row!["greetings", sum(|holds| holds.greetings), None::<u64>],
        row!["spare buffers", sum(|holds| holds.buffers), sum(|holds| holds.buffer_bytes)],
        row!["values that policies share", operated.registry.spaces().len(), kv],
    ]
}
