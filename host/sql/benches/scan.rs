//! What it takes to know a statement: a short one, a long one that a program has made, an INSERT of many rows.
#![allow(missing_docs)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use howdah_sql::{NoCatalog, ScanOptions, Shapes, scan, without_literals};

const SHORT: &str = "SELECT abalance FROM pgbench_accounts WHERE aid = 1234567;";

/// Joins and conditions as an object-relational mapper writes them.
fn long() -> String {
    let columns: Vec<_> =
        (0..60).map(|n| format!("\"t{}\".\"column_{n}\" AS \"t{}_c{n}\"", n % 8, n % 8)).collect();
    let mut text = format!("SELECT {} FROM \"orders\" AS \"t0\"", columns.join(", "));
    for n in 1..8 {
        let _ = write!(
            text,
            " LEFT JOIN \"lines_{n}\" AS \"t{n}\" ON (\"t0\".\"id\" = \"t{n}\".\"order_id\")"
        );
    }
    text.push_str(
        " WHERE \"t0\".\"state\" IN ('new', 'paid') AND \"t1\".\"price\" > 10.50 LIMIT 21",
    );
    text
}

fn rows() -> String {
    let rows: Vec<_> = (0..100).map(|n| format!("({n}, 'name {n}', now(), {n}.25)")).collect();
    format!("INSERT INTO items (id, name, made, price) VALUES {}", rows.join(", "))
}

fn texts(criterion: &mut Criterion) {
    let texts = [
        ("a short SELECT", SHORT.to_owned()),
        ("a long SELECT", long()),
        ("an INSERT of 100 rows", rows()),
    ];
    let mut group = criterion.benchmark_group("scan");
    for (name, text) in &texts {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(*name, |bencher| {
            bencher.iter(|| scan(black_box(text.as_bytes()), ScanOptions::default(), &NoCatalog));
        });
    }
    group.finish();
    let mut group = criterion.benchmark_group("known shape");
    for (name, text) in &texts {
        group.throughput(Throughput::Bytes(text.len() as u64));
        let (mut shapes, catalog) = (Shapes::default(), Arc::new(NoCatalog));
        group.bench_function(*name, |bencher| {
            bencher.iter(|| shapes.scan(black_box(text.as_bytes()), || Arc::clone(&catalog)));
        });
    }
    group.finish();
    let mut group = criterion.benchmark_group("without literals");
    for (name, text) in &texts {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(*name, |bencher| {
            bencher.iter(|| without_literals(black_box(text), ScanOptions::default()));
        });
    }
    group.finish();
}

criterion_group!(benches, texts);
criterion_main!(benches);
