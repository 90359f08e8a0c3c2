//! What it takes to find, read and write messages.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use bytes::BytesMut;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use howdah_wire::backend::{DataRow, ErrorReport, ErrorResponse};
use howdah_wire::frame::{HEADER_LEN, peek};
use howdah_wire::frontend::{Bind, Query};
use howdah_wire::limits::MAX_FRAME_LEN;

const SQL: &[u8] = b"SELECT abalance FROM pgbench_accounts WHERE aid = 1234567;";
/// Rows of a result.
const ROWS: usize = 100;

fn query(out: &mut BytesMut) {
    Query { text: SQL }.write(out);
}

/// With one parameter, as text.
fn bind(out: &mut BytesMut) {
    let rest = b"\0\0\0\x01\0\0\0\x071234567\0\0";
    Bind { portal: b"", statement: b"P_0", rest }.write(out);
}

fn rows(out: &mut BytesMut) {
    for _ in 0..ROWS {
        DataRow::write(
            [Some(&b"1234567"[..]), None, Some(b"some text in a column")].into_iter(),
            out,
        );
    }
}

fn error(out: &mut BytesMut) {
    ErrorReport::error(b"42P01", "relation \"nowhere\" does not exist")
        .hint("Look elsewhere.")
        .write(out);
}

/// Appends one message or more.
type Write = fn(&mut BytesMut);

fn written(write: Write) -> BytesMut {
    let mut out = BytesMut::new();
    write(&mut out);
    out
}

/// How many frames there are.
fn frames(mut buf: &[u8]) -> usize {
    let mut count = 0;
    while let Some(head) = peek(buf, MAX_FRAME_LEN).unwrap() {
        buf = &buf[head.len..];
        count += 1;
    }
    count
}

fn reading(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read");
    let (one, bound, result, failure) =
        (written(query), written(bind), written(rows), written(error));
    group.bench_function("Query", |b| {
        b.iter(|| Query::read(black_box(&one[HEADER_LEN..])).unwrap())
    });
    group.bench_function("Bind", |b| {
        b.iter(|| Bind::read(black_box(&bound[HEADER_LEN..])).unwrap())
    });
    group.bench_function("the values of a Bind", |b| {
        b.iter(|| Bind::read(black_box(&bound[HEADER_LEN..])).unwrap().values().unwrap());
    });
    group.bench_function("ErrorResponse", |b| {
        b.iter(|| ErrorResponse::read(black_box(&failure[HEADER_LEN..])).unwrap().sqlstate());
    });
    group.throughput(Throughput::Bytes(result.len() as u64));
    group.bench_function("the frames of 100 rows", |b| b.iter(|| frames(black_box(&result))));
    group.finish();
}

fn writing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("write");
    let messages: [(&str, Write); 4] =
        [("Query", query), ("Bind", bind), ("100 rows", rows), ("ErrorResponse", error)];
    for (name, write) in messages {
        let mut out = BytesMut::new();
        group.bench_function(name, |b| {
            b.iter(|| {
                out.clear();
                write(black_box(&mut out));
            });
        });
    }
    group.finish();
}

criterion_group!(benches, reading, writing);
criterion_main!(benches);
