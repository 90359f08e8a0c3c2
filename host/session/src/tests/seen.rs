//! What policies get to know of statements: what is bound to them, and what has become of them.

use super::*;

fn bound(values: &[&[u8]]) -> Vec<u8> {
    let mut rest = vec![0, 0];
    rest.extend((values.len() as u16).to_be_bytes());
    for value in values {
        rest.extend((value.len() as u32).to_be_bytes());
        rest.extend(*value);
    }
    rest.extend([0, 0]);
    rest
}

#[test]
fn a_statement_is_asked_about_once_with_what_is_bound_to_it() {
    let mut bench = Bench::new();
    let rest = bound(&[b"x", b"y"]);
    Parse { name: b"", query: b"SELECT $1, $2", types: b"\0\0" }.write(&mut bench.io.client_in);
    Bind { portal: b"", statement: b"", rest: &rest }.write(&mut bench.io.client_in);
    Execute { portal: b"", max_rows: 0 }.write(&mut bench.io.client_in);
    Sync.write(&mut bench.io.client_in);
    assert_eq!(bench.step(None), Step::Lease);
    assert_eq!(bench.guide.bound, [Some(2)]);
    assert!(matches!(bench.session.decision(), Decision::Replica(_)));
    // What is only prepared is asked about without.
    let mut bench = Bench::new();
    Parse { name: b"s", query: b"SELECT $1", types: b"\0\0" }.write(&mut bench.io.client_in);
    Sync.write(&mut bench.io.client_in);
    assert_eq!(bench.step(None), Step::Lease);
    assert_eq!(bench.guide.bound, [None]);
}

#[test]
fn batches_are_counted() {
    let (mut bench, mut primary) = (Bench::new(), server(false));
    bench.query("SELECT 1");
    bench.step(None);
    bench.step(Some(&mut primary));
    let mut reply = BytesMut::new();
    for _ in 0..3 {
        backend::DataRow::write([Some(&b"1"[..])].into_iter(), &mut reply);
    }
    // In pieces, the first of which is delivered before the rest comes, and one row comes in two.
    let mut first = 0;
    for piece in reply.chunks(reply.len() - 4) {
        bench.io.server_in.extend_from_slice(piece);
        bench.step(Some(&mut primary));
        first += std::mem::take(&mut bench.io.client_out).len();
    }
    bench.completed(TransactionStatus::Idle);
    bench.step(Some(&mut primary));
    let all = first + bench.io.client_out.len();
    assert_eq!(bench.guide.seen, [format!("Read 3 {all} None true")]);
    bench.sent_down();
    // In a transaction each by itself, bound to its server.
    for (sql, status) in [
        ("BEGIN", TransactionStatus::InTransaction),
        ("UPDATE t SET a = 1", TransactionStatus::InTransaction),
        ("COMMIT", TransactionStatus::Idle),
    ] {
        bench.query(sql);
        if bench.session.is_idle() {
            bench.step(None);
        }
        bench.step(Some(&mut primary));
        bench.completed(status);
        bench.step(Some(&mut primary));
        bench.sent_down();
    }
    let told: Vec<_> = bench.guide.seen[1..].iter().map(|seen| seen.replace(" 16 ", " ")).collect();
    assert_eq!(told, ["Begin 0 None true", "Write 0 None false", "End 0 None false"]);
    // Refused by a policy, without any server.
    bench.query("SELECT 1 AS forbidden");
    bench.step(None);
    let seen = bench.guide.seen.last().unwrap();
    assert!(seen.starts_with("Read 0 ") && seen.ends_with("Some(\"42501\") true"), "{seen}");
    assert_eq!(bench.guide.begun, 5);
    // The server is lost.
    bench.sent_down();
    bench.query("INSERT INTO t VALUES (1)");
    bench.step(None);
    bench.step(Some(&mut primary));
    bench.session.server_lost(&mut bench.io, &mut bench.guide);
    bench.step(None);
    let seen = bench.guide.seen.last().unwrap();
    assert!(seen.starts_with("Write 0 ") && seen.ends_with("Some(\"08007\") true"), "{seen}");
}

/// The first of its most demanding statements, with the text that is known of it.
#[test]
fn a_batch_counts_as_its_most_demanding_statement() {
    let mut bench = Bench::new();
    for query in ["SELECT 1", "INSERT INTO t VALUES (1)", "SELECT 2", "DELETE FROM t"] {
        Parse { name: b"", query: query.as_bytes(), types: b"\0\0" }.write(&mut bench.io.client_in);
        Bind { portal: b"", statement: b"", rest: &bound(&[]) }.write(&mut bench.io.client_in);
        Execute { portal: b"", max_rows: 0 }.write(&mut bench.io.client_in);
    }
    Sync.write(&mut bench.io.client_in);
    // What has come behind it does not belong to it.
    bench.query("SELECT 3");
    assert_eq!(bench.step(None), Step::Lease);
    assert_eq!(bench.guide.runs, ["SELECT 1", "INSERT INTO t VALUES (1)"]);
    let (mut bench, mut primary) = (Bench::new(), server(false));
    bench.query("SELECT 4; DELETE FROM t");
    bench.query("SELECT 5");
    bench.step(None);
    bench.step(Some(&mut primary));
    assert_eq!(bench.guide.runs, ["SELECT 4; DELETE FROM t"]);
    // What was prepared earlier, within a transaction.
    let (mut bench, mut primary) = (Bench::new(), server(false));
    Parse { name: b"s", query: b"SELECT 6", types: b"\0\0" }.write(&mut bench.io.client_in);
    bench.query("BEGIN");
    bench.step(None);
    bench.step(Some(&mut primary));
    ParseComplete.write(&mut bench.io.server_in);
    bench.completed(TransactionStatus::InTransaction);
    bench.step(Some(&mut primary));
    bench.guide.runs.clear();
    Bind { portal: b"", statement: b"s", rest: &bound(&[]) }.write(&mut bench.io.client_in);
    Execute { portal: b"", max_rows: 0 }.write(&mut bench.io.client_in);
    Sync.write(&mut bench.io.client_in);
    bench.step(Some(&mut primary));
    assert_eq!(bench.guide.runs, ["SELECT 6"]);
}
