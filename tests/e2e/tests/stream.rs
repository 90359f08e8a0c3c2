//! What is sent to a server and to the proxy gets the same answers, whatever its size and in whatever pieces.
#![allow(clippy::unwrap_used)]

use howdah_e2e::{RawClient, Running, connect, shared, value, wait};
use howdah_wire::frontend::tag;
use howdah_wire::{frame, frontend};

/// The same bytes sent to the server itself and to the proxy, whole and in pieces, get the same answers.
#[tokio::test]
async fn answers_are_those_of_the_server() {
    let cluster = shared();
    let proxy = Running::start(&cluster.nodes(), "");
    proxy.wait_split().await;
    let (direct, through) = (cluster.primary().port, proxy.port);
    tokio::task::spawn_blocking(move || {
        for script in scripts() {
            let expected = run(direct, &script, usize::MAX);
            for size in [usize::MAX, 1, 7] {
                eprintln!("pieces of {size}: {}", String::from_utf8_lossy(&script.concat()));
                assert_eq!(run(through, &script, size), expected);
            }
        }
    })
    .await
    .unwrap();
}

fn run(port: u16, script: &[Vec<u8>], size: usize) -> Vec<(u8, Vec<u8>)> {
    let mut client = RawClient::login(port);
    let mut seen = Vec::new();
    for step in script {
        // Not more than some thousand pieces.
        client.send_in_pieces(step, size.min(step.len()).max(step.len() / 2000));
        for _ in 0..answers(step) {
            seen.extend(client.until_ready());
        }
    }
    seen
}

/// How many times the server says that it is ready for more, be it a query or copied data.
fn answers(mut step: &[u8]) -> usize {
    let mut answers = 0;
    while let Some(head) = frame::peek(step, usize::MAX).unwrap() {
        let copy = matches!(head.tag, tag::COPY_DONE | tag::COPY_FAIL);
        answers += usize::from(copy || matches!(head.tag, tag::QUERY | tag::SYNC));
        step = &step[head.len..];
        // The Sync behind an extended-protocol COPY belongs to the same answer.
        answers -= usize::from(copy && step.first() == Some(&tag::SYNC));
    }
    answers
}

/// Each script is a list of steps: what is sent before answers are waited for.
fn scripts() -> Vec<Vec<Vec<u8>>> {
    let query = |sql: &str| encode(|out| frontend::Query { text: sql.as_bytes() }.write(out));
    let parse = |name: &str, sql: &str| {
        encode(|out| {
            frontend::Parse { name: name.as_bytes(), query: sql.as_bytes(), types: b"\0\0" }
                .write(out);
        })
    };
    let bind = |name: &str| {
        encode(|out| {
            frontend::Bind { portal: b"", statement: name.as_bytes(), rest: b"\0\0\0\0\0\0" }
                .write(out);
        })
    };
    let execute = |rows| encode(|out| frontend::Execute { portal: b"", max_rows: rows }.write(out));
    let describe = |target, name: &str| {
        encode(|out| frontend::Describe { target, name: name.as_bytes() }.write(out))
    };
    let close = |name: &str| {
        encode(|out| {
            frontend::Close { target: frontend::Target::Statement, name: name.as_bytes() }
                .write(out);
        })
    };
    let sync = encode(|out| frontend::Sync.write(out));
    let join = |parts: &[&Vec<u8>]| {
        parts.iter().flat_map(|part| part.iter().copied()).collect::<Vec<u8>>()
    };
    let data = |rows: &str| encode(|out| frontend::CopyData { data: rows.as_bytes() }.write(out));
    let done = encode(|out| frontend::CopyDone.write(out));
    let fail = encode(|out| frontend::CopyFail { message: b"no more" }.write(out));
    vec![
        vec![
            query("CREATE TEMP TABLE c (a int)"),
            query("COPY c FROM STDIN"),
            join(&[&data("1\n2\n"), &data("3"), &data("\n"), &done]),
            query("COPY c FROM STDIN"),
            join(&[&data("4\n"), &fail]),
            query("COPY c FROM STDIN"),
            join(&[&data("five\n"), &done]),
            query("COPY c FROM STDIN"),
            join(&[&data(&"6\n".repeat(100_000)), &done]),
            query("SELECT count(*), sum(a) FROM c"),
            query("COPY c TO STDOUT"),
        ],
        vec![
            query("BEGIN"),
            query("CREATE TABLE stream_c (a int)"),
            join(&[&parse("", "COPY stream_c FROM STDIN"), &bind(""), &execute(0), &sync]),
            join(&[&data("1\n"), &done, &sync]),
            query("SELECT a + 0 FROM stream_c"),
            query("ROLLBACK"),
        ],
        // Several batches in flight, one of which fails.
        vec![join(&[
            &parse("", "SELECT 1"),
            &bind(""),
            &execute(0),
            &sync,
            &parse("", "SELECT 1/0"),
            &bind(""),
            &execute(0),
            &bind(""),
            &execute(0),
            &sync,
            &parse("", "SELECT 3"),
            &bind(""),
            &execute(0),
            &sync,
            &sync,
            &query("SELECT 4"),
            &query("BEGIN"),
            &parse("", "SELECT 5"),
            &bind(""),
            &execute(0),
            &sync,
            &query("SELECT 1/0"),
            &query("SELECT 6"),
            &query("ROLLBACK"),
            &query("SELECT 7"),
        ])],
        vec![
            query("SELECT 1; SELECT 'two', NULL"),
            query(""),
            query("SELECT 1/0"),
            query("SELECT 3"),
        ],
        vec![
            query("BEGIN"),
            query("SELECT 1/0"),
            query("SELECT 1"),
            query("ROLLBACK"),
            query("SELECT 2"),
        ],
        vec![
            query("BEGIN"),
            query("SAVEPOINT a"),
            query("SELECT nope"),
            query("ROLLBACK TO a"),
            query("COMMIT"),
        ],
        vec![join(&[&parse("", "SELECT 1"), &bind(""), &execute(0), &sync])],
        vec![
            join(&[
                &parse("s", "SELECT generate_series(1, 5)"),
                &describe(frontend::Target::Statement, "s"),
                &sync,
            ]),
            join(&[
                &bind("s"),
                &describe(frontend::Target::Portal, ""),
                &execute(2),
                &execute(2),
                &execute(2),
                &sync,
            ]),
            join(&[&close("s"), &sync]),
            join(&[&bind("s"), &execute(0), &sync]),
            join(&[&parse("s", "SELECT 'again'"), &bind("s"), &execute(0), &sync]),
            join(&[&parse("s", "SELECT 'twice'"), &sync]),
            join(&[&bind("s"), &execute(0), &sync]),
        ],
        vec![
            join(&[
                &parse("", "SELECT 1/0"),
                &bind(""),
                &execute(0),
                &bind(""),
                &execute(0),
                &sync,
            ]),
            join(&[&parse("bad", "SELEC"), &bind("bad"), &sync]),
            join(&[&bind("never"), &sync]),
            join(&[&sync]),
            query("SELECT 'still here'"),
        ],
        vec![
            query("BEGIN"),
            join(&[
                &parse("t", "SELECT 1"),
                &bind("t"),
                &execute(0),
                &bind("t"),
                &execute(0),
                &sync,
            ]),
            query("DEALLOCATE t"),
            join(&[&bind("t"), &sync]),
            query("ROLLBACK"),
        ],
        vec![query("COPY (SELECT generate_series(1, 3)) TO STDOUT"), query("SELECT 1")],
        vec![query(&format!("SELECT length('{}')", "x".repeat(300_000)))],
        vec![query(&format!("SELECT length('{}')", "x".repeat(3_000_000))), query("SELECT 1")],
        vec![query("SELECT repeat('x', 3000000), generate_series(1, 5)"), query("SELECT 1")],
        vec![join(&[
            &parse("", &format!("SELECT '{}'", "x".repeat(300_000))),
            &bind(""),
            &execute(0),
            &sync,
        ])],
    ]
}

fn encode(write: impl FnOnce(&mut bytes::BytesMut)) -> Vec<u8> {
    let mut out = bytes::BytesMut::new();
    write(&mut out);
    out.to_vec()
}

/// A read and a write in one packet: each goes where it belongs, in order.
#[tokio::test]
async fn a_pipeline_is_routed_batch_by_batch() {
    // A session may read from a replica at once after it has written.
    let proxy = Running::start_with(&shared().nodes(), "", "causal_reads = false");
    proxy.wait_split().await;
    let port = proxy.port;
    let client = connect(port, "postgres").await;
    client.batch_execute("CREATE TABLE stream_p (a int)").await.unwrap();
    tokio::task::spawn_blocking(move || {
        let batch = |sql: &str| {
            encode(|out| {
                frontend::Parse { name: b"", query: sql.as_bytes(), types: b"\0\0" }.write(out);
                frontend::Bind { portal: b"", statement: b"", rest: b"\0\0\0\0\0\0" }.write(out);
                frontend::Execute { portal: b"", max_rows: 0 }.write(out);
                frontend::Sync.write(out);
            })
        };
        let read = batch("SELECT current_setting('transaction_read_only')");
        let write = batch(
            "INSERT INTO stream_p VALUES (1) RETURNING current_setting('transaction_read_only')",
        );
        let mut client = RawClient::login(port);
        client.send(&[&read[..], &write, &read, &write].concat());
        let seen: Vec<_> = (0..4).flat_map(|_| client.until_ready()).collect();
        let rows: Vec<_> =
            seen.iter().filter(|(tag, _)| *tag == b'D').map(|(_, row)| row[6..].to_vec()).collect();
        assert_eq!(rows, [b"on".to_vec(), b"off".to_vec(), b"on".to_vec(), b"off".to_vec()]);
    })
    .await
    .unwrap();
    client.batch_execute("DROP TABLE stream_p").await.unwrap();
}

/// A client that does not read holds its own result back, and nobody else's.
#[tokio::test]
async fn a_slow_reader_harms_only_itself() {
    let proxy = Running::start(&shared().nodes(), "");
    proxy.wait_split().await;
    let port = proxy.port;
    let before = resident();
    let slow: Vec<_> = (0..4)
        .map(|_| {
            let mut client = RawClient::login(port);
            client.query("SELECT repeat('x', 1000000) FROM generate_series(1, 300)");
            client
        })
        .collect();
    let other = connect(port, "postgres").await;
    for _ in 0..20 {
        assert_eq!(value(&other, "SELECT 1").await, "1");
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 << 20, "1.2 GB on their way to slow readers, and {grown} bytes are held");
    tokio::task::spawn_blocking(move || {
        for mut client in slow {
            let rows = client.until_ready().iter().filter(|(tag, _)| *tag == b'D').count();
            assert_eq!(rows, 300);
        }
    })
    .await
    .unwrap();
}

/// Bytes that this process holds in memory.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// A client that goes away in the middle of a result leaves nothing behind.
#[tokio::test]
async fn a_client_that_leaves_in_the_middle_is_forgotten() {
    let cluster = shared();
    let proxy = Running::start(&cluster.nodes(), "[pool]\nsize = 1\n");
    proxy.wait_split().await;
    let port = proxy.port;
    tokio::task::spawn_blocking(move || {
        for sql in
            ["SELECT repeat('x', 100000) FROM generate_series(1, 1000)", "COPY pg_class TO STDOUT"]
        {
            let mut client = RawClient::login(port);
            client.query(sql);
            client.message();
        }
        let mut client = RawClient::login(port);
        client.send(b"Q\0\0\0\x20SELECT half a mess");
        drop(client);
        wait("the clients to be gone", || {
            let mut client = RawClient::login(port);
            client.query("SELECT 1");
            client.until_ready().len() == 4
        });
    })
    .await
    .unwrap();
    wait("no client to be counted", || proxy.proxy().shared.clients() == 0);
}
