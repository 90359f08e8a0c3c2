//! `EXPLAIN ROUTE`: where a statement would go, and why. The policies are asked as they are now; nothing runs, and nothing is
//! remembered.

use std::sync::Arc;

use howdah_cluster::ClusterId;
use howdah_policy::Who;
use howdah_wire::backend::ErrorReport;

use super::Operated;
use super::table::{Column, Table, row, text};
use crate::worker::explain;

/// A line of the explanation.
pub(super) const COLUMNS: &[Column] =
    &[text("step", "What is looked at."), text("what", "What was found.")];

/// Explains a statement of a user in a database; by default `postgres` in the first cluster.
pub(crate) async fn route(
    operated: &Operated,
    sql: &str,
    user: Option<String>,
    database: Option<String>,
) -> Result<Table, ErrorReport> {
    let shared = &operated.shared;
    let user = user.unwrap_or_else(|| "postgres".to_owned());
    let database = database.unwrap_or_else(|| user.clone());
    let config = shared.config.load_full();
    let home = config.cluster_of(&database).ok_or_else(|| {
        let message = format!("database \"{database}\" does not exist");
        ErrorReport::error(b"3D000", &message).detail("No cluster of the configuration has it.")
    })?;
    let cluster = ClusterId(home as u16);
    shared.monitor.catalogs.ready(cluster, &database).await;
    let name = config.clusters.get(home).map(|cluster| cluster.name.clone()).unwrap_or_default();
    let who = Who { user, database, cluster: name, application_name: String::new() };
    let (sql, who) = (sql.to_owned(), Arc::new(who));
    // One worker is as good as another.
    let told = shared.ask(move |ctx| (ctx.index == 0).then(|| explain(ctx, cluster, &sql, &who)));
    let told = told.await.into_iter().flatten().next().ok_or_else(|| {
        ErrorReport::error(b"57014", "no worker had time to answer").hint("Try again.")
    })?;
    let rows = told.into_iter().map(|(step, what)| row![step, what]).collect();
    Ok(Table { columns: COLUMNS, rows })
}
