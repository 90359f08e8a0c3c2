//! What the configuration says.

use std::collections::HashMap;

use howdah_decision::PoolMode;

use super::super::table::{Row, int, row, text};
use super::clients::sights;
use super::{Operated, Show};
use crate::admin;

pub(super) const CONFIG: Show = Show {
    name: "CONFIG",
    about: "The configuration in force; SET changes it.",
    columns: &[
        text("key", "Its name, with those of its tables."),
        text("value", "What it has; secrets are not shown."),
        text("default", "What it has unless something else is written."),
        text("changeable", "yes: by SET, or in the file; no: only with a restart."),
    ],
    rows: |operated| Box::pin(async { config(operated) }),
};

pub(super) const RULES: Show = Show {
    name: "RULES",
    about: "Who may come in, in the order in which it is looked; the first that fits counts.",
    columns: &[
        int("number", "Its place."),
        text("rule", "Whom it is for."),
        text("method", "How they prove who they are."),
    ],
    rows: |operated| Box::pin(async { rules(operated) }),
};

pub(super) const USERS: Show = Show {
    name: "USERS",
    about: "Users that are listed, and their sessions.",
    columns: &[
        text("name", "The user."),
        text("server_user", "The role at servers."),
        text("pool_mode", "Its own pool mode."),
        int("pool_size", "Its own size of pools."),
        int("max_user_connections", "Most sessions; 0 for no limit."),
        int("current_connections", "Its sessions."),
        text("role", "What it may do at this console: view or operate."),
    ],
    rows: |operated| Box::pin(users(operated)),
};

pub(super) const LIMITS: Show = Show {
    name: "LIMITS",
    about: "What there may be most of, and how much there is.",
    columns: &[
        text("limit", "The key of the configuration."),
        int("most", "What it says."),
        int("now", "What there is."),
        text("unit", "Of what."),
    ],
    rows: |operated| Box::pin(limits(operated)),
};

fn config(operated: &Operated) -> Vec<Row> {
    let config = operated.shared.config.load();
    let row = |one: &crate::config::Shown| {
        let changeable = if one.needs_restart() { "no" } else { "yes" };
        row![one.key.as_str(), one.value.as_str(), one.default.as_str(), changeable]
    };
    config.shown.iter().map(row).collect()
}

fn rules(operated: &Operated) -> Vec<Row> {
    let config = operated.shared.config.load();
    if config.rules.is_empty() {
        return vec![row![1_u64, "all clients (auth.method)", config.auth.method.to_string()]];
    }
    let row = |(at, rule): (usize, &crate::config::Rule)| {
        row![at + 1, rule.to_string(), rule.method.to_string()]
    };
    config.rules.iter().enumerate().map(row).collect()
}

async fn users(operated: &Operated) -> Vec<Row> {
    let config = operated.shared.config.load_full();
    let mut sessions = HashMap::<String, u64>::new();
    for sight in sights(operated).await {
        *sessions.entry(sight.who.user.clone()).or_default() += 1;
    }
    let row = |(name, user): (&String, &crate::config::User)| {
        let role = config.admin.role(name).map(|role| match role {
            admin::Role::View => "view",
            admin::Role::Operate => "operate",
        });
        row![
            name.as_str(),
            user.server_user.as_str(),
            user.pool.mode.map(PoolMode::name),
            user.pool.size,
            user.max_clients.unwrap_or_default(),
            sessions.get(name).copied().unwrap_or_default(),
            role,
        ]
    };
    config.users.iter().map(row).collect()
}

async fn limits(operated: &Operated) -> Vec<Row> {
    let shared = &operated.shared;
    let config = shared.config.load_full();
    let limits = &config.limits;
    let held: usize = (0..config.clusters.len())
        .map(|at| shared.held(howdah_cluster::ClusterId(at as u16)).bytes())
        .sum();
    let (mut largest, mut waiting) = (0, 0);
    for (_, pool) in shared.keyed_pools() {
        let stats = pool.stats();
        largest = largest.max(stats.open);
        waiting = waiting.max(stats.waiting);
    }
    vec![
        row!["limits.max_clients", limits.max_clients, shared.clients(), "clients"],
        row![
            "limits.held_bytes",
            limits.held_bytes.0,
            held,
            "bytes of statements that wait for a node"
        ],
        row!["pool.size", config.pool.size, largest, "connections of the fullest pool"],
        row![
            "pool.max_waiting",
            config.pool.max_waiting,
            waiting,
            "sessions that wait for the most wanted pool"
        ],
    ]
}
