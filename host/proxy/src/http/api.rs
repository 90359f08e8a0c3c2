//! What the page asks for, as JSON: the tables of the console, explanations, and orders.

use std::collections::BTreeMap;

use howdah_wire::backend::ErrorReport;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::{Request, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::timeout;

use super::login::Visitor;
use super::{PATIENCE, Response, origin, typed};
use crate::admin;
use crate::admin::show;
use crate::admin::table::{Row, Table};
use crate::config::{Role, suggestion};
use crate::control::Operated;

const JSON: &str = "application/json";
/// Most rows of a table that are told: no browser shows more, and the control thread has other things to do. The console
/// tells all.
const MOST_ROWS: usize = 2_000;
/// Longest body of a request: one order.
const MAX_BODY: usize = 64 << 10;

/// A table as it is told.
#[derive(Serialize)]
struct Told {
    columns: Vec<&'static str>,
    rows: Vec<Row>,
    /// How many rows there are, whether they are told or not.
    total: usize,
}

impl From<Table> for Told {
    fn from(mut table: Table) -> Told {
        let total = table.rows.len();
        table.rows.truncate(MOST_ROWS);
        let columns = table.columns.iter().map(|column| column.name).collect();
        Told { columns, rows: table.rows, total }
    }
}

/// An order as it is given.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    order: String,
}

/// Tables by their names, parted by commas; each is told once.
pub(super) async fn tables(operated: &Operated, names: &str) -> Result<Response, Response> {
    let mut told = BTreeMap::new();
    for name in names.split(',') {
        let Some(show) = show::ALL.iter().find(|show| show.name.eq_ignore_ascii_case(name)) else {
            let known: Vec<String> =
                show::ALL.iter().map(|show| show.name.to_ascii_lowercase()).collect();
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            let message = format!("there is no table \"{name}\"{}", suggestion(name, &known));
            return Err(failed(StatusCode::NOT_FOUND, &ErrorReport::error(b"42P01", &message)));
        };
        if !told.contains_key(show.name) {
            told.insert(show.name, Told::from(show.table(operated).await));
        }
    }
    let told = told.into_iter().map(|(name, table)| (name.to_ascii_lowercase(), table));
    Ok(answer(StatusCode::OK, &told.collect::<BTreeMap<String, Told>>()))
}

/// Where a statement would go: `sql=…&user=…&database=…`.
pub(super) async fn explain(
    operated: &Operated,
    query: Option<&str>,
) -> Result<Response, Response> {
    let mut said = BTreeMap::<String, String>::new();
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        if !value.is_empty() {
            said.insert(name.into_owned(), value.into_owned());
        }
    }
    let (user, database) = (said.remove("user"), said.remove("database"));
    let (Some(sql), None) = (said.remove("sql"), said.keys().next()) else {
        let message = "expected sql, and perhaps user and database";
        return Err(failed(StatusCode::BAD_REQUEST, &ErrorReport::error(b"42601", message)));
    };
    match admin::route(operated, &sql, user, database).await {
        Ok(table) => Ok(answer(StatusCode::OK, &json!({ "explain": Told::from(table) }))),
        Err(report) => Err(failed(StatusCode::BAD_REQUEST, &report)),
    }
}

/// Who asks, for the page.
pub(super) fn visitor(visitor: &Visitor) -> Response {
    let user = match visitor {
        Visitor::Nobody => None,
        Visitor::User(user, _) => Some(user),
    };
    answer(StatusCode::OK, &json!({ "user": user, "orders": visitor.role() == Role::Operate }))
}

/// Carries out an order of one who may give any.
pub(super) async fn order(
    operated: &Operated,
    visitor: &Visitor,
    request: Request<Incoming>,
) -> Result<Response, Response> {
    let refused = |status, message: &str| failed(status, &ErrorReport::error(b"42501", message));
    if !origin::is_own(request.headers()) {
        return Err(refused(StatusCode::FORBIDDEN, "orders of other sites' pages are not heard"));
    }
    // Another site's page may send forms without asking, but no JSON.
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if kind.and_then(|kind| kind.split(';').next()).map(str::trim) != Some(JSON) {
        return Err(refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "expected application/json"));
    }
    admin::may_order(visitor.role()).map_err(|report| failed(StatusCode::FORBIDDEN, &report))?;
    let text = body(request.into_body()).await?;
    let Order { order } = serde_json::from_slice(&text)
        .map_err(|error| malformed(StatusCode::BAD_REQUEST, &error.to_string()))?;
    match admin::order(&order, operated).await {
        Ok(done) => {
            tracing::info!(?visitor, order = done, "an order that came by HTTP was carried out");
            Ok(answer(StatusCode::OK, &json!({ "done": done })))
        }
        Err(report) => Err(failed(StatusCode::BAD_REQUEST, &report)),
    }
}

async fn body(body: Incoming) -> Result<Vec<u8>, Response> {
    match timeout(PATIENCE, Limited::new(body, MAX_BODY).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes().to_vec()),
        Ok(Err(error)) => Err(malformed(StatusCode::PAYLOAD_TOO_LARGE, &error.to_string())),
        Err(_) => Err(malformed(StatusCode::REQUEST_TIMEOUT, "the order did not come")),
    }
}

fn malformed(status: StatusCode, message: &str) -> Response {
    failed(status, &ErrorReport::error(b"08P01", message))
}

fn failed(status: StatusCode, report: &ErrorReport) -> Response {
    let sqlstate = String::from_utf8_lossy(report.sqlstate());
    let more: Vec<&str> = report.more().collect();
    answer(status, &json!({ "error": report.message(), "sqlstate": sqlstate, "more": more }))
}

fn answer(status: StatusCode, what: &impl Serialize) -> Response {
    // All that is told has texts for keys, and no other way to fail.
    let text = serde_json::to_vec(what).unwrap_or_default();
    let mut response = typed(JSON, text);
    *response.status_mut() = status;
    response
}
