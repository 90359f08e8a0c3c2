#![allow(clippy::unwrap_used)]

mod bodies;
mod digests;
mod effects;
mod kinds;
mod laws;
mod names;
mod parts;
mod shapes;

use crate::{Catalog, ScanOptions, Statement, Volatility, scan};

/// Knows a few names, as a server would.
struct Known;

impl Catalog for Known {
    fn function(&self, schema: Option<&str>, name: &str) -> Volatility {
        match (schema, name) {
            (None | Some("pg_catalog"), "now" | "generate_series" | "count" | "sum") => {
                Volatility::Stable
            }
            (None | Some("pg_catalog"), "lower" | "like" | "left" | "timestamptz" | "unnest") => {
                Volatility::Immutable
            }
            (None | Some("app"), "safe") => Volatility::Immutable,
            (_, "writes" | "random" | "pg_sleep" | "Writes" | "json_writes") => {
                Volatility::Volatile
            }
            _ => Volatility::Unknown,
        }
    }

    fn relation_is_volatile(&self, schema: Option<&str>, name: &str) -> bool {
        schema != Some("other") && matches!(name, "volatile_view" | "Volatile View")
    }

    fn operator_is_volatile(&self, symbol: &str) -> bool {
        symbol == "|+|" || symbol == "-"
    }
}

fn look(sql: &str) -> Statement {
    scan(sql.as_bytes(), ScanOptions::default(), &Known)
}
