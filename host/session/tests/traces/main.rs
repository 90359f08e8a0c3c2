//! Golden traces: what a session does with what its client and its servers say.
//!
//! A line of a trace: `F` what the client sends, `f` what goes to the server, `b` what the server sends, `B` what
//! goes to the client, as in libpq's traces. Between them: `?` a question to the policies and its answer,
//! `+` a server is lent, `-` it is given back, `!` something that happens (`lost`: the server goes away).
//! The server may be asked in front of COMMIT where a comment says `# proof`, and be sent writes by themselves in
//! transactions where one says `# proof of writes by themselves`; `! committed`, `! not committed` and `! unknown`
//! say then what has become of it. Transactions are run again where one says `# replay`. `F`, `b` and `!` are what the
//! test does, the others are what must follow.
//!
//! `HOWDAH_BLESS=1` writes what follows into the files, to be read before it is committed.
#![allow(clippy::unwrap_used)]

mod text;

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use bytes::BytesMut;
use howdah_decision::{Decision, Demands, Facts, Kind, Outcome, PoolMode, Refusal, Rewrite, Table};
use howdah_session::{
    Buffers, Disposition, Guide, Parameters, Prepared, ServerState, Session, Settings, StatementId,
    Step,
};
use howdah_sql::{NoCatalog, ScanOptions, Statement};
use howdah_wire::frame;
use howdah_wire::frontend::Bind;

struct Answer(Decision);

impl AsRef<Decision> for Answer {
    fn as_ref(&self) -> &Decision {
        &self.0
    }
}

/// Reads go to a replica. Words in a text ask for more: `forbidden`, `answered`, `renamed`.
#[derive(Default)]
struct Policies {
    asked: Vec<String>,
    prepared: Vec<Rc<Prepared>>,
    edition: u64,
    proves: bool,
    wraps: bool,
    replays: bool,
}

impl Guide for Policies {
    type Answer = Answer;

    fn refresh(&mut self, _: &Parameters) {}

    fn scan(&mut self, text: &[u8]) -> Rc<Statement> {
        Rc::new(howdah_sql::scan(text, ScanOptions::default(), &NoCatalog))
    }

    fn prepare(&mut self, query: &[u8], types: &[u8]) -> Rc<Prepared> {
        let same = |known: &&Rc<Prepared>| *known.query == *query && *known.types == *types;
        if let Some(known) = self.prepared.iter().find(same) {
            return Rc::clone(known);
        }
        let prepared = Rc::new(Prepared {
            id: StatementId::of(query, types),
            query: query.into(),
            types: types.into(),
            statement: self.scan(query),
            scanned: 0,
            proven: Cell::new(None),
        });
        self.prepared.push(Rc::clone(&prepared));
        prepared
    }

    fn route(
        &mut self,
        sql: &[u8],
        statement: &Statement,
        _: Facts,
        _: Option<&Bind<'_>>,
    ) -> Rc<Answer> {
        let sql = String::from_utf8_lossy(sql);
        let (decision, name) = if sql.contains("forbidden") {
            (Decision::Refuse(Refusal::new("42501", "not you")), "refuse")
        } else if sql.contains("answered") {
            let rows = vec![vec![Some("by a policy".into()), None]];
            (Decision::Answer(Table { columns: vec!["who".into(), "why".into()], rows }), "answer")
        } else if statement.kind == Kind::Read {
            (Decision::Replica(Demands::default()), "replica")
        } else {
            (Decision::Primary, "primary")
        };
        let sql = if sql.len() > 80 { format!("{}…", &sql[..20]) } else { sql.into_owned() };
        self.asked.push(format!("? {sql} = {name}"));
        Rc::new(Answer(decision))
    }

    fn rewrite(&mut self, sql: &[u8], _: &Statement, _: Facts) -> Rewrite {
        let sql = String::from_utf8_lossy(sql);
        if sql.contains("renamed") {
            Rewrite::Text(sql.replace("renamed", "new_name").into())
        } else {
            Rewrite::Unchanged
        }
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

    fn proves(&self) -> bool {
        self.proves
    }

    fn wraps(&self) -> bool {
        self.wraps
    }

    fn replays(&self) -> bool {
        self.replays
    }

    fn learn_write(&mut self, statement: &Statement) {
        self.asked.push(format!("? learn that a {:?} writes", statement.kind).to_lowercase());
    }
}

/// A session between its client and its servers.
struct Stage {
    session: Session<Answer>,
    io: Buffers,
    policies: Policies,
    servers: [ServerState; 2],
    lent: Option<usize>,
    /// What has not come to a whole message yet.
    partial: [BytesMut; 2],
    log: Vec<String>,
    /// Names of prepared statements on servers, in the order of their appearance.
    names: Vec<String>,
}

fn fresh(lent: usize) -> ServerState {
    let mut state = ServerState::new(Vec::new());
    state.standby = lent == 1;
    state
}

const NAMES: [&str; 2] = ["primary", "replica"];

impl Stage {
    fn new(mode: PoolMode) -> Stage {
        Stage {
            session: Session::new(1, mode, Arc::new(Settings::default()), Parameters::default()),
            io: Buffers::default(),
            policies: Policies::default(),
            servers: [fresh(0), fresh(1)],
            lent: None,
            partial: Default::default(),
            log: Vec::new(),
            names: Vec::new(),
        }
    }

    fn happens(&mut self, line: &str, sizes: &mut dyn FnMut() -> usize) {
        self.log.push(line.to_owned());
        let (who, what) = line.split_at(1);
        match (who, what.trim()) {
            ("!", "lost") => {
                let lent = self.lent.take();
                let lent = lent.unwrap_or_else(|| panic!("no server is lent: {:#?}", self.log));
                self.servers[lent] = fresh(lent);
                self.session.server_lost(&mut self.io, &mut self.policies);
                self.run();
            }
            ("!", outcome) => {
                let outcome = Outcome::named(&outcome.replace(' ', "-")).unwrap();
                self.session.proven(&mut self.io, &mut self.policies, outcome);
                self.run();
            }
            (_, message) => {
                let bytes = text::encode(who == "F", message);
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    let (piece, after) = rest.split_at(sizes().clamp(1, rest.len()));
                    let into =
                        if who == "F" { &mut self.io.client_in } else { &mut self.io.server_in };
                    into.extend_from_slice(piece);
                    rest = after;
                    self.run();
                }
            }
        }
    }

    fn run(&mut self) {
        loop {
            let server = self.lent.map(|lent| &mut self.servers[lent]);
            let step = self.session.advance(&mut self.io, server, &mut self.policies);
            self.log.append(&mut self.policies.asked);
            self.sent();
            match step {
                Step::Wait => return,
                Step::Prove(proof) => {
                    self.log.push(format!("? {:?} behind {:X}", proof.xid, proof.lsn));
                    return;
                }
                Step::Pause(ms) => self.log.push(format!("+ after {ms} ms")),
                Step::End => {
                    self.log.push("- end".into());
                    return;
                }
                Step::Lease => {
                    let replica = matches!(self.session.decision(), Decision::Replica(_));
                    self.lent = Some(usize::from(replica));
                    self.log.push(format!("+ {}", NAMES[usize::from(replica)]));
                }
                Step::Release(disposition) => {
                    let lent = self.lent.take().expect("no server is lent");
                    self.log.push(format!("- {disposition:?}").to_lowercase());
                    match disposition {
                        Disposition::Reuse | Disposition::Rollback => {}
                        Disposition::Reset => self.servers[lent].discarded(),
                        Disposition::Close => self.servers[lent] = fresh(lent),
                    }
                }
            }
        }
    }

    fn sent(&mut self) {
        for (side, out) in
            [&mut self.io.server_out, &mut self.io.client_out].into_iter().enumerate()
        {
            let partial = &mut self.partial[side];
            partial.extend_from_slice(&std::mem::take(out));
            while let Some(head) = frame::peek(partial, usize::MAX).unwrap() {
                if head.len > partial.len() {
                    break;
                }
                let message = partial.split_to(head.len);
                let frontend = side == 0;
                let line = text::decode(frontend, head.tag, &message[frame::HEADER_LEN..]);
                let line = mask(&line, &mut self.names);
                self.log.push(format!("{} {line}", if frontend { "f" } else { "B" }));
            }
        }
    }
}

/// Servers' names of prepared statements differ from run to run.
fn mask(line: &str, names: &mut Vec<String>) -> String {
    let mut out = line.to_owned();
    while let Some(at) = out.find("howdah_").filter(|at| out.len() >= at + 39) {
        let name = out[at..at + 39].to_owned();
        let known = names.iter().position(|known| *known == name).unwrap_or_else(|| {
            names.push(name.clone());
            names.len() - 1
        });
        out = out.replace(&name, &format!("statement {}", known + 1));
    }
    out
}

fn replay(trace: &str, mut sizes: impl FnMut() -> usize) -> Vec<String> {
    let session = trace.lines().any(|line| line == "# pool mode: session");
    let mode = if session { PoolMode::Session } else { PoolMode::Transaction };
    let mut stage = Stage::new(mode);
    let says = |comment| trace.lines().any(|line| line == comment);
    stage.policies.wraps = says("# proof of writes by themselves");
    stage.policies.proves = stage.policies.wraps || says("# proof");
    stage.policies.replays = says("# replay");
    for line in trace.lines() {
        if line.starts_with(['F', 'b', '!']) {
            stage.happens(line, &mut sizes);
        }
    }
    stage.log
}

fn traces() -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces/golden");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|f| (f.clone(), std::fs::read_to_string(f).unwrap())).collect()
}

#[test]
fn sessions_do_what_their_traces_say() {
    for (file, trace) in traces() {
        let comments: Vec<_> =
            trace.lines().take_while(|line| line.starts_with('#')).map(str::to_owned).collect();
        let found = [comments, replay(&trace, || usize::MAX)].concat().join("\n") + "\n";
        if std::env::var_os("HOWDAH_BLESS").is_some() {
            std::fs::write(&file, found).unwrap();
        } else {
            assert_eq!(found, trace, "{}", file.display());
        }
    }
}

/// Of each side by itself: what is sent to one may overtake what is sent to the other.
fn sides(log: &[String]) -> [Vec<&String>; 2] {
    let of = |starts: [char; 5]| log.iter().filter(|line| line.starts_with(starts)).collect();
    [of(['B', '-', '+', '-', '-']), of(['f', '?', '+', '-', '-'])]
}

#[test]
fn pieces_make_no_difference() {
    for (file, trace) in traces() {
        let whole = replay(&trace, || usize::MAX);
        for size in 1..=9 {
            let pieces = replay(&trace, || size);
            assert_eq!(sides(&pieces), sides(&whole), "{} by {size}", file.display());
        }
        for seed in 1..=50u64 {
            let mut random = seed;
            let pieces = replay(&trace, || {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                random as usize % 24 + 1
            });
            assert_eq!(sides(&pieces), sides(&whole), "{} seed {seed}", file.display());
        }
    }
}
