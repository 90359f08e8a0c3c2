//! How long a scan takes: `cargo run --release -p howdah-sql --example scan_speed`.

#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::time::Instant;

use howdah_sql::{Catalog, ScanOptions, Volatility, scan};

/// A catalog as cheap as one can be.
struct Calm;

impl Catalog for Calm {
    fn function(&self, _: Option<&str>, _: &str) -> Volatility {
        Volatility::Stable
    }

    fn relation_is_volatile(&self, _: Option<&str>, _: &str) -> bool {
        false
    }

    fn operator_is_volatile(&self, _: &str) -> bool {
        false
    }
}

fn main() {
    let wide = format!("SELECT * FROM t WHERE id IN ({}1)", "12345, ".repeat(1000));
    let cases = [
        ("empty", ""),
        ("begin", "BEGIN"),
        ("60 bytes", "SELECT abalance FROM pgbench_accounts WHERE aid = 123456789;"),
        (
            "400 bytes",
            "SELECT u.id, u.name, count(*) AS orders, sum(o.total) FILTER (WHERE o.paid) AS paid FROM users u \
             JOIN orders o ON o.user_id = u.id LEFT JOIN regions r ON r.id = u.region_id WHERE u.active AND \
             o.created_at > now() - interval '30 days' AND r.code IN ('de', 'fr', 'it') GROUP BY u.id, u.name \
             HAVING count(*) > 3 ORDER BY paid DESC NULLS LAST LIMIT 50 /* controller='users',action='top' */",
        ),
        ("7 kB IN list", &wide),
    ];
    for (name, sql) in cases {
        let rounds = 20_000_000 / (sql.len() as u32 + 50);
        let start = Instant::now();
        for _ in 0..rounds {
            black_box(scan(black_box(sql.as_bytes()), ScanOptions::default(), &Calm));
        }
        println!("{name:>14}: {:>6} ns", start.elapsed().as_nanos() / u128::from(rounds));
    }
}
