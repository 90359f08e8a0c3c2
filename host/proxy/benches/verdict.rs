//! What the default policy costs a statement: asked, and answered from memory.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use howdah::policies::PolicyFile;
use howdah_decision::Facts;
use howdah_policy::{Options, Question, Registry, Who};
use howdah_sql::{NoCatalog, ScanOptions, scan};

const SQL: &str = "SELECT abalance FROM pgbench_accounts WHERE aid = 1234567;";

fn routes(criterion: &mut Criterion) {
    let registry = Registry::new(Options { workers: 1 }).unwrap();
    registry.apply(vec![PolicyFile::built_in().read().unwrap()]).unwrap();
    let worker = registry.worker(0);
    let chain = worker.chain(0);
    let who = Arc::new(Who { user: "app".into(), database: "app".into(), ..Who::default() });
    let interest = chain.interest("app", "app", "main");
    let statement = scan(SQL.as_bytes(), ScanOptions::default(), &NoCatalog);
    let (extra, class, background) = (Facts::default(), 0, &());
    let statement = &statement;
    let question = Question { sql: SQL, statement, extra, class, who: &who, interest, background };
    worker.route(&chain, &question);
    assert!(worker.remembers(&chain, &question), "nothing would be answered from memory");
    let mut group = criterion.benchmark_group("route");
    group.bench_function("asked", |b| b.iter(|| worker.ask_route(&chain, black_box(&question))));
    group.bench_function("from memory", |b| b.iter(|| worker.route(&chain, black_box(&question))));
    group.finish();
}

criterion_group!(benches, routes);
criterion_main!(benches);
