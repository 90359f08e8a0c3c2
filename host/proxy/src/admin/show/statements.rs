//! Statements, by database and by digest.

use std::collections::BTreeMap;

use super::super::table::{Row, float, int, row, text};
use super::{Operated, Show};
use crate::figures::{Figures, Statement};

/// Of whatever took time, this share took no longer than a column says.
const MOSTLY: f64 = 0.95;

pub(super) const STATS: Show = Show {
    name: "STATS",
    about: "What became of the statements of each database since the proxy was started. A batch of the extended protocol counts as one.",
    columns: &[
        text("database", "What clients have connected to."),
        text("cluster", "Where that is."),
        int("total_query_count", "Statements that were answered."),
        int("total_query_time", "Microseconds that they took, waits included."),
        int("total_wait_time", "Microseconds that they waited for servers."),
        int("total_sent", "Bytes that clients got."),
        int("rows", "Rows that they got."),
        int("errors", "Statements that ended in an error."),
        int("on_primary", "Those that ran on a primary."),
        int("on_replica", "Those that ran on a replica."),
        int("avg_query_time", "Microseconds that one took, on average."),
        int("p95_query_time", "Microseconds that 95 of 100 did not exceed, about."),
        int("max_query_time", "Microseconds that one took at most."),
    ],
    rows: |operated| Box::pin(stats(operated)),
};

pub(super) const STATEMENTS: Show = Show {
    name: "STATEMENTS",
    about: "Statements with the same digest, those first that have taken most time since FORGET STATEMENTS. A batch counts as its most demanding one; see statements.keep.",
    columns: &[
        text("digest", "As policies know it."),
        text("text", "One of the texts that have it, without its literals."),
        text("kind", "As policies know it."),
        text("database", "What its clients have connected to."),
        text("cluster", "Where that is."),
        int("calls", "How often it was answered."),
        int("errors", "How often with an error."),
        int("rows", "Rows that clients got."),
        int("bytes", "Bytes that they got."),
        int("on_primary", "How often it ran on a primary."),
        int("on_replica", "How often it ran on a replica."),
        float("total_ms", "Milliseconds that it took, waits included."),
        float("wait_ms", "Of these, waiting for servers."),
        float("mean_ms", "Of one call."),
        float("p95_ms", "What 95 of 100 calls did not exceed, about."),
        float("max_ms", "Of the longest call."),
    ],
    rows: |operated| Box::pin(statements(operated)),
};

async fn stats(operated: &Operated) -> Vec<Row> {
    let mut all = BTreeMap::<(u16, String), Figures>::new();
    for (cluster, database, figures) in
        operated.shared.ask(|ctx| ctx.traffic()).await.into_iter().flatten()
    {
        *all.entry((cluster.0, database)).or_default() += &figures;
    }
    let snapshot = operated.shared.monitor.snapshot();
    let row = |((cluster, database), figures): ((u16, String), Figures)| {
        let (calls, took) = (figures.calls(), figures.latencies.sum);
        row![
            database,
            snapshot.clusters.get(usize::from(cluster)).cloned(),
            calls,
            took,
            figures.waited,
            figures.bytes,
            figures.rows,
            figures.errors,
            figures.on_primary,
            figures.on_standby,
            took / calls.max(1),
            figures.latencies.quantile(MOSTLY, figures.longest),
            figures.longest,
        ]
    };
    all.into_iter().map(row).collect()
}

async fn statements(operated: &Operated) -> Vec<Row> {
    let snapshot = operated.shared.monitor.snapshot();
    let row = |statement: Statement| {
        let Statement { cluster, database, digest, row } = statement;
        let figures = &row.figures;
        let (calls, took) = (figures.calls(), figures.latencies.sum);
        row![
            format!("{digest:016x}"),
            row.text(),
            row.kind.name(),
            database,
            snapshot.clusters.get(usize::from(cluster.0)).cloned(),
            calls,
            figures.errors,
            figures.rows,
            figures.bytes,
            figures.on_primary,
            figures.on_standby,
            milliseconds(took),
            milliseconds(figures.waited),
            milliseconds(took) / calls.max(1) as f64,
            milliseconds(figures.latencies.quantile(MOSTLY, figures.longest)),
            milliseconds(figures.longest),
        ]
    };
    operated.shared.statements().await.into_iter().map(row).collect()
}

fn milliseconds(us: u64) -> f64 {
    us as f64 / 1e3
}
