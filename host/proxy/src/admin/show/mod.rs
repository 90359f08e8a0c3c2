//! The tables that operators look at. The console shows them, and so does the page.

mod clients;
mod configuration;
mod nodes;
mod policies;
mod pools;
mod process;
mod statements;

use std::pin::Pin;

use super::table::{Column, Row, Table, row, text};
use super::{Operated, order};

/// Rows that take a while.
type Rows<'o> = Pin<Box<dyn Future<Output = Vec<Row>> + 'o>>;

/// A table by its name.
pub(crate) struct Show {
    /// In capitals.
    pub(crate) name: &'static str,
    /// What it shows.
    pub(crate) about: &'static str,
    pub(crate) columns: &'static [Column],
    rows: fn(&Operated) -> Rows<'_>,
}

impl std::fmt::Debug for Show {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Show {
    /// The table as it is now.
    pub(crate) async fn table(&self, operated: &Operated) -> Table {
        Table { columns: self.columns, rows: (self.rows)(operated).await }
    }
}

/// All tables, in the order of HELP.
pub(crate) const ALL: &[Show] = &[
    clients::CLIENTS,
    clients::PINS,
    pools::SERVERS,
    pools::POOLS,
    pools::DATABASES,
    nodes::CLUSTERS,
    nodes::NODES,
    nodes::LATENCIES,
    nodes::FAILOVERS,
    statements::STATS,
    statements::STATEMENTS,
    policies::POLICIES,
    policies::DISAGREEMENTS,
    policies::VERDICTS,
    policies::KV,
    configuration::CONFIG,
    configuration::RULES,
    configuration::USERS,
    configuration::LIMITS,
    process::LISTENERS,
    process::LISTS,
    process::MEMORY,
    process::VERSION,
    HELP,
];

const HELP: Show = Show {
    name: "HELP",
    about: "All commands.",
    columns: &[text("command", "How it is written."), text("about", "What it does.")],
    rows: |_| Box::pin(async { help() }),
};

fn help() -> Vec<Row> {
    let shows = ALL.iter().map(|show| row![format!("SHOW {}", show.name), show.about]);
    let filter = row![
        "SHOW … WHERE COLUMN = 'VALUE' AND … ORDER BY COLUMN DESC LIMIT 10",
        "Some rows of any table; = <> < > <= >= LIKE, IS NULL."
    ];
    let explain = row![
        "EXPLAIN ROUTE 'SQL' [USER NAME] [DATABASE NAME]",
        "Where a statement would go, and which policy says so."
    ];
    let orders = order::ALL.iter().map(|(usage, about)| row![*usage, *about]);
    shows.chain([filter, explain]).chain(orders).collect()
}
