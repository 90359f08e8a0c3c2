#![allow(clippy::unwrap_used)]

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use bytes::BytesMut;
use howdah_decision::{
    Decision, Demands, Facts, Failure, Kind, PoolMode, Refusal, Retry, Rewrite, Table,
};
use howdah_sql::{NoCatalog, Own, OwnVerb, ScanOptions, Statement};
use howdah_wire::backend::{
    BindComplete, CommandComplete, ErrorReport, ErrorResponse, ParseComplete, ReadyForQuery,
    TransactionStatus,
};
use howdah_wire::frontend::{Bind, Execute, Parse, Query, Sync};
use howdah_wire::{backend, frame};

use crate::{
    Buffers, Disposition, Explained, Guide, Parameters, Prepared, Seen, ServerState, Session,
    Settings, StatementId, Step, Told, Value, unknown,
};

mod again;
mod autocommit;
mod moved;
mod proof;
mod replay;
mod seen;

struct Answer(Decision);

impl AsRef<Decision> for Answer {
    fn as_ref(&self) -> &Decision {
        &self.0
    }
}

/// Reads to a replica, `forbidden` to nowhere, everything else to the primary.
#[derive(Default)]
struct Policy {
    learned: usize,
    edition: u64,
    /// How many values were bound, for each question.
    bound: Vec<Option<usize>>,
    /// What it says to failures, if it has a say in them, and what it was told of them.
    retry: Option<Retry>,
    failures: Vec<(String, Failure)>,
    /// How many batches have begun, what they count as, and what became of them.
    begun: usize,
    runs: Vec<String>,
    seen: Vec<String>,
    /// Nothing may be sent again.
    poor: bool,
    /// Servers may be asked in front of COMMIT.
    proves: bool,
    /// Writes by themselves may be put into transactions.
    wraps: bool,
    /// Transactions are kept.
    replays: bool,
    /// `howdah.explain` is on.
    explains: bool,
}

impl Guide for Policy {
    type Answer = Answer;

    fn refresh(&mut self, _: &Parameters) {}

    fn scan(&mut self, text: &[u8]) -> Rc<Statement> {
        Rc::new(howdah_sql::scan(text, ScanOptions::default(), &NoCatalog))
    }

    fn prepare(&mut self, query: &[u8], types: &[u8]) -> Rc<Prepared> {
        Rc::new(Prepared {
            id: StatementId::of(query, types),
            query: query.into(),
            types: types.into(),
            statement: self.scan(query),
            scanned: 0,
            proven: Cell::new(None),
        })
    }

    fn route(
        &mut self,
        text: &[u8],
        statement: &Statement,
        _: Facts,
        bind: Option<&Bind<'_>>,
    ) -> Rc<Answer> {
        self.bound.push(bind.map(|bind| bind.values().unwrap().len()));
        Rc::new(Answer(match statement.kind {
            _ if text.ends_with(b"forbidden") => Decision::Refuse(Refusal::new("42501", "no")),
            Kind::Read => Decision::Replica(Demands::default()),
            _ => Decision::Primary,
        }))
    }

    fn rewrite(&mut self, _: &[u8], _: &Statement, _: Facts) -> Rewrite {
        Rewrite::Unchanged
    }

    fn edition(&self) -> u64 {
        self.edition + 1
    }

    fn schema_changed(&mut self) {
        self.edition += 1;
    }

    fn settled(&self) -> Option<u64> {
        Some(0)
    }

    fn arm(&mut self, _: bool) {}

    fn catalog(&self) -> u64 {
        0
    }

    fn learn_write(&mut self, _: &Statement) {
        self.learned += 1;
    }

    fn retries(&self) -> bool {
        self.retry.is_some()
    }

    fn retry(&mut self, text: &[u8], _: &Statement, _: Facts, failure: &Failure) -> Retry {
        self.failures.push((String::from_utf8_lossy(text).into_owned(), *failure));
        self.retry.unwrap_or_default()
    }

    fn proves(&self) -> bool {
        self.proves
    }

    fn wraps(&self) -> bool {
        self.wraps
    }

    fn replays(&self) -> bool {
        self.replays
    }

    fn begun(&mut self) {
        self.begun += 1;
    }

    fn runs(&mut self, statement: &Statement, text: &[u8]) {
        assert_eq!(*statement, *self.scan(text));
        self.runs.push(String::from_utf8_lossy(text).into_owned());
    }

    fn ended(&mut self, seen: &Seen<Answer>) {
        let Seen { kind, rows, bytes, sqlstate, .. } = seen;
        let state = sqlstate.map(|state| String::from_utf8_lossy(&state).into_owned());
        let answered = seen.answer.is_some();
        self.seen.push(format!("{kind:?} {rows} {bytes} {state:?} {answered}"));
    }

    fn own_setting(&mut self, own: &Own) -> Result<Told, Refusal> {
        if &*own.name != "explain" {
            return Err(unknown(own));
        }
        match own.verb {
            OwnVerb::Show => {
                let columns = vec!["howdah.explain".to_owned()];
                return Ok(Told::Table(Table { columns, rows: vec![vec![None]] }));
            }
            _ => self.explains = matches!(own.verb, OwnVerb::Set(_)),
        }
        Ok(Told::Done("SET"))
    }

    fn affords_another(&mut self) -> bool {
        !self.poor
    }

    fn explain(&mut self, _: &Explained<'_, Answer>) -> Option<ErrorReport> {
        self.explains.then(|| ErrorReport::notice(b"00000", "why"))
    }
}

/// A session with the bytes of its peers.
struct Bench {
    session: Session<Answer>,
    io: Buffers,
    guide: Policy,
}

impl Bench {
    fn new() -> Bench {
        let session = Session::new(1, PoolMode::Transaction, Arc::default(), Parameters::default());
        Bench { session, io: Buffers::default(), guide: Policy::default() }
    }

    fn step(&mut self, server: Option<&mut ServerState>) -> Step {
        self.session.advance(&mut self.io, server, &mut self.guide)
    }

    fn query(&mut self, sql: &str) {
        Query { text: sql.as_bytes() }.write(&mut self.io.client_in);
    }

    fn sent_up(&mut self) -> Vec<u8> {
        tags(&std::mem::take(&mut self.io.server_out))
    }

    fn sent_down(&mut self) -> Vec<u8> {
        tags(&std::mem::take(&mut self.io.client_out))
    }

    fn completed(&mut self, status: TransactionStatus) {
        CommandComplete { tag: b"DONE" }.write(&mut self.io.server_in);
        ReadyForQuery { status }.write(&mut self.io.server_in);
    }
}

fn tags(mut bytes: &[u8]) -> Vec<u8> {
    let mut tags = Vec::new();
    while let Some(head) = frame::peek(bytes, usize::MAX).unwrap() {
        tags.push(head.tag);
        bytes = &bytes[head.len..];
    }
    tags
}

fn server(standby: bool) -> ServerState {
    ServerState { standby, ..ServerState::new(Vec::new()) }
}

fn sqlstate(bytes: &BytesMut) -> [u8; 5] {
    let head = frame::peek(bytes, usize::MAX).unwrap().unwrap();
    assert_eq!(head.tag, backend::tag::ERROR_RESPONSE);
    ErrorResponse::read(&bytes[frame::HEADER_LEN..head.len]).unwrap().sqlstate().unwrap()
}

#[test]
fn a_query_leases_a_server_and_gives_it_back() {
    let (mut bench, mut replica) = (Bench::new(), server(true));
    bench.query("SELECT 1");
    assert_eq!(bench.step(None), Step::Lease);
    assert!(matches!(bench.session.decision(), Decision::Replica(_)));
    assert_eq!(bench.step(Some(&mut replica)), Step::Wait);
    assert_eq!(bench.sent_up(), b"Q");
    bench.completed(TransactionStatus::Idle);
    assert_eq!(bench.step(Some(&mut replica)), Step::Release(Disposition::Reuse));
    assert_eq!(bench.sent_down(), b"CZ");
    assert_eq!(bench.step(None), Step::Wait);
    assert!(bench.session.is_idle());
}

#[test]
fn a_transaction_keeps_its_server_without_asking_again() {
    let (mut bench, mut primary) = (Bench::new(), server(false));
    bench.query("BEGIN");
    assert_eq!(bench.step(None), Step::Lease);
    bench.step(Some(&mut primary));
    bench.completed(TransactionStatus::InTransaction);
    assert_eq!(bench.step(Some(&mut primary)), Step::Wait);
    bench.query("SELECT 1");
    assert_eq!(bench.step(Some(&mut primary)), Step::Wait);
    assert_eq!(bench.sent_up(), b"QQ");
    assert_eq!(
        bench.session.disposition(&bench.guide),
        Disposition::Close,
        "an answer is outstanding"
    );
    bench.completed(TransactionStatus::InTransaction);
    bench.step(Some(&mut primary));
    assert_eq!(bench.session.disposition(&bench.guide), Disposition::Rollback);
}

#[test]
fn a_standby_that_refuses_a_write_is_left_for_the_primary() {
    let (mut bench, mut replica, mut primary) = (Bench::new(), server(true), server(false));
    bench.query("SELECT sneaky()");
    bench.step(None);
    bench.step(Some(&mut replica));
    ErrorReport::error(b"25006", "cannot execute INSERT in a read-only transaction")
        .write(&mut bench.io.server_in);
    assert_eq!(bench.step(Some(&mut replica)), Step::Release(Disposition::Close));
    assert_eq!(bench.step(None), Step::Lease);
    assert_eq!(*bench.session.decision(), Decision::Primary);
    bench.sent_up();
    bench.step(Some(&mut primary));
    assert_eq!(bench.sent_up(), b"Q");
    bench.completed(TransactionStatus::Idle);
    bench.step(Some(&mut primary));
    assert_eq!(bench.sent_down(), b"CZ");
    assert_eq!(bench.guide.learned, 1);
}

#[test]
fn a_prepared_statement_is_prepared_again_where_it_is_not_known() {
    let mut bench = Bench::new();
    let (mut first, mut second) = (server(true), server(true));
    Parse { name: b"s", query: b"SELECT 1", types: b"\0\0" }.write(&mut bench.io.client_in);
    Sync.write(&mut bench.io.client_in);
    assert_eq!(bench.step(None), Step::Lease);
    bench.step(Some(&mut first));
    assert_eq!(bench.sent_up(), b"PS");
    ParseComplete.write(&mut bench.io.server_in);
    ReadyForQuery { status: TransactionStatus::Idle }.write(&mut bench.io.server_in);
    assert_eq!(bench.step(Some(&mut first)), Step::Release(Disposition::Reuse));
    assert_eq!(bench.sent_down(), b"1Z");
    Bind { portal: b"", statement: b"s", rest: b"\0\0\0\0\0\0" }.write(&mut bench.io.client_in);
    Execute { portal: b"", max_rows: 0 }.write(&mut bench.io.client_in);
    Sync.write(&mut bench.io.client_in);
    assert_eq!(bench.step(None), Step::Lease);
    bench.step(Some(&mut second));
    assert_eq!(bench.sent_up(), b"PBES");
    ParseComplete.write(&mut bench.io.server_in);
    BindComplete.write(&mut bench.io.server_in);
    bench.completed(TransactionStatus::Idle);
    bench.step(Some(&mut second));
    assert_eq!(bench.sent_down(), b"2CZ", "the injected Parse is not the client's business");
}

#[test]
fn settings_are_made_before_the_batch_goes() {
    let mut settings = Settings::default();
    settings.set("App.User", Value::Plain("alice".into())).unwrap();
    let mut bench = Bench::new();
    bench.session =
        Session::new(1, PoolMode::Transaction, Arc::new(settings), Parameters::default());
    let mut replica = server(true);
    bench.query("SELECT 1");
    bench.step(None);
    assert_eq!(bench.step(Some(&mut replica)), Step::Wait);
    let sent = bench.io.server_out.clone();
    assert!(sent.windows(8).any(|w| w == b"app.user"));
    assert_eq!(bench.sent_up(), b"Q", "the query waits");
    bench.completed(TransactionStatus::Idle);
    assert_eq!(bench.step(Some(&mut replica)), Step::Wait);
    assert_eq!((bench.sent_up(), bench.sent_down()), (b"Q".to_vec(), Vec::new()));
}

/// What a server cannot refuse goes in the same packet.
#[test]
fn sure_settings_do_not_wait() {
    let mut settings = Settings::default();
    settings.set("search_path", Value::Plain("a, b".into())).unwrap();
    let mut bench = Bench::new();
    bench.session =
        Session::new(1, PoolMode::Transaction, Arc::new(settings), Parameters::default());
    let mut replica = server(true);
    bench.query("SELECT 1");
    bench.step(None);
    assert_eq!(bench.step(Some(&mut replica)), Step::Wait);
    assert_eq!(bench.sent_up(), b"QQ");
    bench.completed(TransactionStatus::Idle);
    bench.completed(TransactionStatus::Idle);
    assert_eq!(bench.step(Some(&mut replica)), Step::Release(Disposition::Reuse));
    assert_eq!(bench.sent_down(), b"CZ");
}

/// A server that another session has used is reset in the same packet, one that only this session has used is not.
#[test]
fn what_others_have_left_is_discarded() {
    let always = |id| {
        let session =
            Session::new(id, PoolMode::Transaction, Arc::default(), Parameters::default());
        Bench { session: session.discarding(true), ..Bench::new() }
    };
    let (mut first, mut second, mut replica) = (always(1), always(2), server(true));
    for (to_first, sent) in [(true, "Q"), (false, "QQ"), (false, "Q"), (true, "QQ")] {
        let bench = if to_first { &mut first } else { &mut second };
        bench.query("SELECT 1");
        bench.step(None);
        assert_eq!(bench.step(Some(&mut replica)), Step::Wait);
        assert_eq!(bench.sent_up(), sent.as_bytes());
        for _ in 0..sent.len() {
            bench.completed(TransactionStatus::Idle);
        }
        assert_eq!(bench.step(Some(&mut replica)), Step::Release(Disposition::Reuse));
        assert_eq!(bench.sent_down(), b"CZ");
    }
}

/// Whoever is told of writes when a server goes is told of those that follow on the next one too.
#[test]
fn writes_after_a_lost_begin_are_told_of() {
    let (mut bench, mut primary) = (Bench::new(), server(false));
    bench.query("BEGIN");
    bench.step(None);
    assert_eq!(bench.step(Some(&mut primary)), Step::Wait);
    bench.session.take_writes();
    bench.session.server_lost(&mut bench.io, &mut bench.guide);
    assert_eq!(bench.step(None), Step::Lease);
    let mut primary = server(false);
    assert_eq!(bench.step(Some(&mut primary)), Step::Wait);
    bench.completed(TransactionStatus::InTransaction);
    assert_eq!(bench.step(Some(&mut primary)), Step::Wait);
    bench.session.take_writes();
    bench.query("INSERT INTO t VALUES (1)");
    assert_eq!(bench.step(Some(&mut primary)), Step::Wait);
    assert!(bench.session.take_writes());
}

#[test]
fn a_lost_transaction_is_over_until_it_is_rolled_back() {
    let (mut bench, mut primary) = (Bench::new(), server(false));
    bench.query("BEGIN");
    bench.step(None);
    bench.step(Some(&mut primary));
    bench.completed(TransactionStatus::InTransaction);
    bench.step(Some(&mut primary));
    bench.sent_down();
    bench.query("UPDATE t SET a = 1");
    bench.step(Some(&mut primary));
    bench.session.server_lost(&mut bench.io, &mut bench.guide);
    assert_eq!(sqlstate(&bench.io.client_out), *b"40001");
    assert_eq!(bench.sent_down(), b"EZ");
    bench.query("SELECT 1");
    assert_eq!(bench.step(None), Step::Wait);
    assert_eq!(sqlstate(&bench.io.client_out), *b"25P02");
    bench.sent_down();
    bench.query("ROLLBACK");
    assert_eq!(bench.step(None), Step::Wait);
    assert_eq!(bench.sent_down(), b"CZ");
    assert!(bench.session.is_idle());
}

/// COMMIT is not answered as if nothing had happened, when nothing has been said before; ROLLBACK is what it is.
#[test]
fn a_client_learns_of_a_lost_transaction_when_it_commits() {
    for (end, answer) in [("COMMIT", &b"EZ"[..]), ("ROLLBACK", b"CZ")] {
        let (mut bench, mut primary) = (Bench::new(), server(false));
        bench.query("BEGIN");
        bench.step(None);
        bench.step(Some(&mut primary));
        bench.completed(TransactionStatus::InTransaction);
        bench.step(Some(&mut primary));
        bench.sent_down();
        bench.session.server_lost(&mut bench.io, &mut bench.guide);
        assert_eq!(bench.sent_down(), b"", "it has asked nothing");
        bench.query(end);
        assert_eq!(bench.step(None), Step::Wait);
        if end == "COMMIT" {
            assert_eq!(sqlstate(&bench.io.client_out), *b"40001");
        }
        assert_eq!(bench.sent_down(), answer, "{end}");
        assert!(bench.session.is_idle());
    }
}

#[test]
fn a_lost_write_is_of_unknown_outcome_and_a_lost_read_runs_again() {
    // Outside of a transaction COMMIT does nothing, but nobody can be sure that it was outside.
    for (sql, state) in [
        ("INSERT INTO t VALUES (1)", Some(*b"08007")),
        ("COMMIT", Some(*b"08007")),
        ("SELECT 1", None),
    ] {
        let (mut bench, mut primary) = (Bench::new(), server(false));
        bench.query(sql);
        bench.step(None);
        bench.step(Some(&mut primary));
        bench.session.server_lost(&mut bench.io, &mut bench.guide);
        match state {
            Some(state) => assert_eq!(sqlstate(&bench.io.client_out), state),
            None => assert_eq!((bench.sent_down(), bench.step(None)), (Vec::new(), Step::Lease)),
        }
    }
}

/// To prepare a write is not to write.
#[test]
fn what_is_lost_while_it_is_prepared_is_prepared_elsewhere() {
    let (mut bench, mut primary) = (Bench::new(), server(false));
    Parse { name: b"", query: b"INSERT INTO t VALUES (1)", types: b"\0\0" }
        .write(&mut bench.io.client_in);
    Sync.write(&mut bench.io.client_in);
    bench.step(None);
    bench.step(Some(&mut primary));
    bench.session.server_lost(&mut bench.io, &mut bench.guide);
    assert_eq!((bench.sent_down(), bench.step(None)), (Vec::new(), Step::Lease));
}

#[test]
fn a_refused_statement_never_gets_a_server() {
    let mut bench = Bench::new();
    bench.query("SELECT 1 AS forbidden");
    assert_eq!(bench.step(None), Step::Wait);
    assert_eq!(bench.sent_down(), b"EZ");
    Parse { name: b"", query: b"SELECT 1 AS forbidden", types: b"\0\0" }
        .write(&mut bench.io.client_in);
    Sync.write(&mut bench.io.client_in);
    assert_eq!(bench.step(None), Step::Wait);
    assert_eq!(bench.sent_down(), b"EZ");
    assert!(bench.session.is_idle());
}

/// Whatever the pieces in which bytes come, the same bytes go out.
#[test]
fn pieces_make_no_difference() {
    let script = |out: &mut BytesMut| {
        Query { text: b"BEGIN" }.write(out);
        Parse { name: b"", query: b"SELECT 1", types: b"\0\0" }.write(out);
        Bind { portal: b"", statement: b"", rest: b"\0\0\0\0\0\0" }.write(out);
        Execute { portal: b"", max_rows: 0 }.write(out);
        Sync.write(out);
    };
    let mut whole = BytesMut::new();
    script(&mut whole);
    let run = |size: usize| {
        let (mut bench, mut primary) = (Bench::new(), server(false));
        let (mut sent, mut leased) = (Vec::new(), false);
        for piece in whole.chunks(size) {
            bench.io.client_in.extend_from_slice(piece);
            if bench.step(leased.then_some(&mut primary)) == Step::Lease {
                leased = true;
                bench.step(Some(&mut primary));
                bench.completed(TransactionStatus::InTransaction);
                bench.step(Some(&mut primary));
            }
            sent.extend_from_slice(&std::mem::take(&mut bench.io.server_out));
        }
        (sent, bench.sent_down())
    };
    let expected = run(usize::MAX);
    assert_eq!(expected.0, whole);
    for size in 1..20 {
        assert_eq!(run(size), expected, "pieces of {size}");
    }
}

#[test]
fn settings_of_the_proxy_never_reach_a_server() {
    let mut bench = Bench::new();
    bench.query("SET howdah.explain = on");
    assert_eq!(bench.step(None), Step::Wait);
    assert_eq!(bench.sent_down(), b"CZ");
    assert!(bench.guide.explains);
    bench.query("SHOW howdah.explain");
    assert_eq!(bench.step(None), Step::Wait);
    assert_eq!(bench.sent_down(), b"TDCZ");
    bench.query("SET howdah.nonsense TO 1");
    bench.step(None);
    assert_eq!(sqlstate(&bench.io.client_out), *b"42704");
    bench.io.client_out.clear();
    for mixed in ["SET howdah.explain = off; SELECT 1", "RESET howdah.explain; SHOW howdah.explain"]
    {
        bench.query(mixed);
        assert_eq!(bench.step(None), Step::Wait);
        assert_eq!(sqlstate(&bench.io.client_out), *b"0A000", "{mixed}");
        bench.io.client_out.clear();
    }
    // As drivers do it: prepared first, executed later.
    let input = &mut bench.io.client_in;
    Parse { name: b"s", query: b"RESET howdah.explain", types: b"\0\0" }.write(input);
    Sync.write(input);
    assert_eq!(bench.step(None), Step::Wait);
    assert_eq!(bench.sent_down(), b"1Z");
    assert!(bench.guide.explains, "nothing was executed");
    let input = &mut bench.io.client_in;
    Bind { portal: b"", statement: b"s", rest: b"\0\0\0\0\0\0" }.write(input);
    Execute { portal: b"", max_rows: 0 }.write(input);
    Sync.write(input);
    assert_eq!(bench.step(None), Step::Wait);
    assert_eq!(bench.sent_down(), b"2CZ");
    assert!(!bench.guide.explains);
    assert_eq!(bench.sent_up(), b"");
}

#[test]
fn settings_of_the_proxy_inside_a_transaction() {
    let (mut bench, mut primary) = (Bench::new(), server(false));
    bench.query("BEGIN");
    bench.step(None);
    bench.step(Some(&mut primary));
    bench.completed(TransactionStatus::InTransaction);
    bench.step(Some(&mut primary));
    assert_eq!((bench.sent_up(), bench.sent_down()), (b"Q".to_vec(), b"CZ".to_vec()));
    // Answered at once, though the server has nothing to say.
    bench.query("SET howdah.explain = on");
    assert_eq!(bench.step(Some(&mut primary)), Step::Wait);
    assert_eq!((bench.sent_up(), bench.sent_down()), (Vec::new(), b"CZ".to_vec()));
    bench.query("SELECT 1");
    bench.step(Some(&mut primary));
    bench.completed(TransactionStatus::InTransaction);
    bench.step(Some(&mut primary));
    assert_eq!((bench.sent_up(), bench.sent_down()), (b"Q".to_vec(), b"NCZ".to_vec()));
    let input = &mut bench.io.client_in;
    Parse { name: b"", query: b"SHOW howdah.explain", types: b"\0\0" }.write(input);
    Sync.write(input);
    bench.step(Some(&mut primary));
    assert_eq!(bench.sent_up(), b"S", "the statement is not sent");
    ReadyForQuery { status: TransactionStatus::InTransaction }.write(&mut bench.io.server_in);
    bench.step(Some(&mut primary));
    assert_eq!(bench.sent_down(), b"EZ");
}

#[test]
fn explanations_stand_before_results() {
    let (mut bench, mut replica) = (Bench::new(), server(true));
    bench.guide.explains = true;
    bench.query("SELECT 1");
    bench.step(None);
    bench.step(Some(&mut replica));
    bench.completed(TransactionStatus::Idle);
    bench.step(Some(&mut replica));
    assert_eq!(bench.sent_down(), b"NCZ");
    bench.query("forbidden");
    bench.step(None);
    assert_eq!(bench.sent_down(), b"NEZ");
}

#[test]
fn nothing_is_sent_again_beyond_the_budget() {
    for (poor, step) in [(false, Step::Lease), (true, Step::Wait)] {
        let (mut bench, mut replica) = (Bench::new(), server(true));
        bench.guide.poor = poor;
        bench.query("SELECT 1");
        bench.step(None);
        bench.step(Some(&mut replica));
        bench.session.server_lost(&mut bench.io, &mut bench.guide);
        assert_eq!(bench.step(None), step);
        assert_eq!(bench.sent_down(), if poor { b"EZ".to_vec() } else { Vec::new() });
    }
}
