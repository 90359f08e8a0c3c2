//! Sessions that go on in another process.

use super::*;
use crate::Moved;

/// What arrives of a session.
fn sent(session: &Session<Answer>) -> Option<Moved> {
    let text = serde_json::to_string(&session.moved()?).unwrap();
    Some(serde_json::from_str(&text).unwrap())
}

/// A statement under this name has been prepared, and described.
fn prepare(bench: &mut Bench, server: &mut ServerState, name: &[u8], query: &[u8]) {
    let input = &mut bench.io.client_in;
    Parse { name, query, types: b"\0\0" }.write(input);
    howdah_wire::frontend::Describe { target: howdah_wire::frontend::Target::Statement, name }
        .write(input);
    Sync.write(input);
    bench.step(None);
    bench.step(Some(server));
    assert_eq!(bench.sent_up(), b"PDS");
    described(bench, b'x');
    assert_eq!(bench.step(Some(server)), Step::Release(Disposition::Reuse));
    assert_eq!(bench.sent_down(), b"1tTZ");
}

/// The server has prepared it, and it has one column of this name.
fn described(bench: &mut Bench, column: u8) {
    let answers = &mut bench.io.server_in;
    ParseComplete.write(answers);
    answers.extend_from_slice(b"t\0\0\0\x06\0\0");
    answers.extend_from_slice(b"T\0\0\0\x1a\0\x01");
    answers.extend_from_slice(&[column, 0]);
    answers.extend_from_slice(b"\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0");
    ReadyForQuery { status: TransactionStatus::Idle }.write(answers);
}

fn execute(bench: &mut Bench, name: &[u8]) {
    let input = &mut bench.io.client_in;
    Bind { portal: b"", statement: name, rest: b"\0\0\0\0\0\0" }.write(input);
    Execute { portal: b"", max_rows: 0 }.write(input);
    Sync.write(input);
}

#[test]
fn a_session_goes_on_as_it_was() {
    let mut startup = Settings::default();
    startup.set("app.user", Value::Plain("alice".into())).unwrap();
    let told: Parameters = [("TimeZone".into(), "UTC".into())].into_iter().collect();
    let mut bench = Bench::new();
    bench.session = Session::new(7, PoolMode::Transaction, Arc::new(startup), told.clone());
    let reported = vec![("TimeZone".into(), "UTC".into())];
    let mut primary = ServerState::new(reported.clone());
    primary.now_has(Arc::clone(bench.session.settings()));
    bench.query("SET search_path TO a");
    bench.step(None);
    bench.step(Some(&mut primary));
    bench.sent_up();
    CommandComplete { tag: b"SET" }.write(&mut bench.io.server_in);
    ReadyForQuery { status: TransactionStatus::Idle }.write(&mut bench.io.server_in);
    assert_eq!(bench.step(Some(&mut primary)), Step::Release(Disposition::Reuse));
    bench.sent_down();
    let query = b"SELECT 1 AS x, '\xff'";
    prepare(&mut bench, &mut primary, b"s", query);
    let moved = sent(&bench.session).unwrap();

    let mut there = Bench::new();
    there.session = Session::resume(7, PoolMode::Transaction, moved, &mut there.guide);
    assert_eq!(there.session.settings(), bench.session.settings());
    assert_eq!(there.session.told, told);
    // Columns that the client knows are looked at before they are relied on; what a server of the new process has prepared
    // is used.
    let mut other = ServerState::new(reported);
    other.now_has(Arc::clone(there.session.settings()));
    execute(&mut there, b"s");
    assert_eq!(there.step(None), Step::Lease);
    there.step(Some(&mut other));
    let sent_up = there.io.server_out.clone();
    assert!(sent_up.windows(query.len()).any(|bytes| bytes == query));
    assert_eq!(there.sent_up(), b"PDS");
    described(&mut there, b'x');
    there.step(Some(&mut other));
    assert_eq!((there.sent_up(), there.sent_down()), (b"BES".to_vec(), Vec::new()));
    BindComplete.write(&mut there.io.server_in);
    there.completed(TransactionStatus::Idle);
    assert_eq!(there.step(Some(&mut other)), Step::Release(Disposition::Reuse));
    assert_eq!(there.sent_down(), b"2CZ");
    // RESET goes back to what the client asked for at first.
    there.query("RESET ALL");
    there.step(None);
    there.step(Some(&mut other));
    CommandComplete { tag: b"RESET" }.write(&mut there.io.server_in);
    ReadyForQuery { status: TransactionStatus::Idle }.write(&mut there.io.server_in);
    there.step(Some(&mut other));
    let names: Vec<_> = there.session.settings().iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["app.user"]);
}

/// The other server's columns are not those that the client was told.
#[test]
fn columns_that_have_changed_on_the_way_are_noticed() {
    let (mut bench, mut primary) = (Bench::new(), server(false));
    prepare(&mut bench, &mut primary, b"", b"SELECT 1 AS x");
    let mut there = Bench::new();
    let moved = sent(&bench.session).unwrap();
    there.session = Session::resume(1, PoolMode::Transaction, moved, &mut there.guide);
    let mut other = server(false);
    execute(&mut there, b"");
    there.step(None);
    there.step(Some(&mut other));
    assert_eq!(there.sent_up(), b"PDS");
    described(&mut there, b'y');
    there.step(Some(&mut other));
    ErrorReport::error(b"26000", "no such statement").write(&mut there.io.server_in);
    ReadyForQuery { status: TransactionStatus::Idle }.write(&mut there.io.server_in);
    there.step(Some(&mut other));
    assert_eq!(sqlstate(&there.io.client_out), *b"0A000");
}

#[test]
fn what_is_under_way_or_on_a_server_does_not_go() {
    let (mut bench, mut primary) = (Bench::new(), server(false));
    assert!(bench.session.moved().is_some());
    bench.query("BEGIN");
    bench.step(None);
    assert!(bench.session.moved().is_none(), "it waits for a server");
    bench.step(Some(&mut primary));
    bench.completed(TransactionStatus::InTransaction);
    bench.step(Some(&mut primary));
    assert!(bench.session.moved().is_none(), "a transaction is open");
    let (mut bench, mut primary) = (Bench::new(), server(false));
    bench.query("LISTEN news");
    bench.step(None);
    bench.step(Some(&mut primary));
    bench.completed(TransactionStatus::Idle);
    bench.step(Some(&mut primary));
    assert!(bench.session.pin().is_some() && bench.session.moved().is_none());
    // More than fits.
    let (mut bench, mut primary) = (Bench::new(), server(false));
    let long = "x".repeat(crate::limits::MAX_STATEMENT / 2 - 100);
    for number in 0..9_u8 {
        assert!(bench.session.moved().is_some(), "{number}");
        let query = format!("SELECT {number} -- {long}");
        prepare(&mut bench, &mut primary, &[b'a' + number], query.as_bytes());
    }
    assert!(bench.session.moved().is_none());
}
