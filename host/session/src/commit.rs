//! The end of a transaction: what is asked before its COMMIT, and what the client is told when the server goes away
//! before it answers.

use howdah_decision::{Decision, Kind, Outcome};
use howdah_sql::Statement;
use howdah_wire::backend::{CommandComplete, ErrorReport, TransactionStatus, tag};
use howdah_wire::frontend::FunctionCall;

use crate::autocommit::Held;
use crate::batch::may_draw;
use crate::expect::{Expect, Reply};
use crate::local::{
    BIND_COMPLETE, CLOSE_COMPLETE, NO_DATA, NO_PARAMETERS, PARSE_COMPLETE, next_frame,
};
use crate::proof::{Asks, CALLS, Life, QUERY};
use crate::session::{Phase, Session};
use crate::{Buffers, Guide, Proof, ServerState};

/// No formats, no arguments, and the result as text: the rest of a FunctionCall.
const NO_ARGUMENTS: &[u8] = b"\0\0\0\0\0\0";

/// What is known of the open transaction, for its end.
#[derive(Default)]
pub(crate) struct Ending {
    /// A statement of it may have written.
    writes: bool,
    /// Its end may have an effect even if nothing is written.
    pub(crate) defers: bool,
    /// The answer to what was asked in front of its COMMIT.
    pub(crate) proof: Asked,
    /// As far as that is known while it comes.
    draft: Option<Box<Proof>>,
    /// Of a write by itself.
    pub(crate) held: Held,
    /// COMMIT or ROLLBACK has been answered.
    told: bool,
    /// Something that may have ended it has been answered.
    over: bool,
}

/// What has become of the question.
#[derive(Default)]
pub(crate) enum Asked {
    /// It has not been asked, or something has run since.
    #[default]
    No,
    Answered(Box<Proof>),
    /// The server refused it, which has aborted the transaction.
    Refused(ErrorReport),
    /// The server has ended the session before it got to it, and so before COMMIT.
    Never,
}

/// What ends a transaction.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Commit,
    Rollback,
    /// The client has been told already; only ReadyForQuery is missing.
    Told,
}

impl Ending {
    /// A statement is sent.
    pub(crate) fn runs(&mut self, statement: &Statement) {
        if !statement.ends() {
            self.writes |= may_draw(statement);
            self.defers |= statement.defers || statement.kind == Kind::Unknown;
            self.proof = Asked::No;
        }
    }

    /// Something is sent of which nothing is known.
    pub(crate) fn runs_unseen(&mut self) {
        *self = Ending { writes: true, defers: true, ..Ending::default() };
    }

    /// A statement has been completed that ends a transaction.
    pub(crate) fn completed(&mut self, statement: &Statement) {
        self.told = statement.ends();
        self.over = true;
    }

    /// Whether something that may have ended it has been answered, and ReadyForQuery has not come.
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    /// ReadyForQuery has come.
    pub(crate) fn ready(&mut self, status: TransactionStatus) {
        match status {
            TransactionStatus::Idle => *self = Ending::default(),
            _ => (self.told, self.over) = (false, false),
        }
    }

    /// A question has been answered with this row, or value.
    pub(crate) fn answered(&mut self, asked: Asks, body: &[u8]) {
        let proof = match (asked, self.draft.take()) {
            (Asks::All, _) => Proof::read(body).map(Box::new),
            (_, Some(mut draft)) => draft.told(asked, body).map(|()| draft),
            (_, None) => None,
        };
        match asked {
            Asks::Xid => self.draft = proof,
            Asks::All | Asks::Lsn => self.proof = proof.map_or(Asked::No, Asked::Answered),
        }
    }

    /// The life of the server, as the answer tells.
    pub(crate) fn life(&self) -> Option<&Life> {
        match &self.proof {
            Asked::Answered(proof) => Some(&proof.life),
            _ => None,
        }
    }

    /// A question has been refused. What was asked behind it is refused because of that.
    pub(crate) fn refused(&mut self, report: ErrorReport) {
        if !matches!(self.proof, Asked::Refused(_)) {
            self.proof = Asked::Refused(report);
        }
    }

    /// What the client gets in the place of the ROLLBACK that its COMMIT has become, when that was not its own fault.
    pub(crate) fn instead(&mut self) -> Option<ErrorReport> {
        match std::mem::take(&mut self.proof) {
            Asked::Refused(report) => Some(report),
            other => {
                self.proof = other;
                None
            }
        }
    }
}

impl<A: AsRef<Decision>> Session<A> {
    /// In front of the COMMIT of a transaction that may have written goes a question that identifies it. A simple query
    /// drops the unnamed statement (postgres.c, `exec_simple_query`), so this must come before the server is made to
    /// have it.
    pub(crate) fn ask_before<G: Guide<Answer = A>>(
        &mut self,
        io: &mut Buffers,
        server: &mut ServerState,
        guide: &G,
        statement: &Statement,
    ) {
        let due = statement.commits()
            && self.ending.writes
            && self.status == TransactionStatus::InTransaction;
        let first = !self.unsynced
            && !self.skipping
            && self.pending.iter().all(|expect| expect.is_own() || expect.local().is_some());
        if due && first && self.can_ask_proof(server, guide) {
            self.ask_proof(io, server);
        }
    }

    /// Whether what a transaction does on this server can be proven. What is only in temporary tables is not in the WAL.
    pub(crate) fn can_ask_proof<G: Guide<Answer = A>>(
        &self,
        server: &ServerState,
        guide: &G,
    ) -> bool {
        let temporary = self.temporary && self.pin.is_some();
        !server.standby && !temporary && guide.proves()
    }

    /// Asks what identifies the transaction.
    pub(crate) fn ask_proof(&mut self, io: &mut Buffers, server: &mut ServerState) {
        self.ending.proof = Asked::No;
        self.ending.draft = server.life.clone().map(|life| Box::new(Proof::begun(life)));
        if self.ending.draft.is_none() {
            server.unnamed = None;
            return self.sends(io, QUERY.as_bytes(), Expect::Proof(Asks::All));
        }
        for (asks, function) in CALLS {
            FunctionCall { function, rest: NO_ARGUMENTS }.write(&mut io.server_out);
            self.pending.push_back(Expect::Proof(asks));
        }
    }

    /// The answer to the question may have come before the server had gone.
    pub(crate) fn hear_proof(&mut self, io: &Buffers) {
        let mut rest = &io.server_in[..];
        for expect in self.pending.iter().filter(|expect| expect.local().is_none()) {
            let Expect::Proof(asked) = *expect else { return };
            loop {
                match next_frame(&mut rest) {
                    Some((tag::DATA_ROW | tag::FUNCTION_CALL_RESPONSE, body)) => {
                        self.ending.answered(asked, body);
                    }
                    Some((tag::READY_FOR_QUERY, _)) => break,
                    Some(_) => {}
                    None => return,
                }
            }
        }
    }

    /// The server has gone: true when what became of the transaction is known, or will be ([`Session::proven`]).
    pub(crate) fn ends_without_server<G: Guide<Answer = A>>(
        &mut self,
        io: &mut Buffers,
        guide: &mut G,
    ) -> bool {
        if self.is_wrapped() {
            return self.wrapped_without_server(io, guide);
        }
        let open = self.status == TransactionStatus::InTransaction;
        match self.owed_end() {
            _ if self.status == TransactionStatus::Idle => return false,
            None => return false,
            Some(End::Commit) if open => match &self.ending.proof {
                Asked::Refused(_) => self.not_committed(io),
                Asked::Answered(proof) if proof.xid.is_some() => {
                    self.phase = Phase::Proof(proof.clone());
                }
                Asked::No | Asked::Never if self.ending.writes => return false,
                _ if self.ending.defers => return false,
                // There was nothing to commit.
                _ => self.ended(io, guide, b"COMMIT"),
            },
            // COMMIT of a failed transaction is a ROLLBACK too.
            Some(_) => self.ended(io, guide, b"ROLLBACK"),
        }
        true
    }

    /// What has become of the transaction that [`crate::Step::Prove`] was about. Then `advance` without a server.
    pub fn proven<G: Guide<Answer = A>>(
        &mut self,
        io: &mut Buffers,
        guide: &mut G,
        outcome: Outcome,
    ) {
        self.tally_from(io);
        match outcome {
            Outcome::Committed => self.ended(io, guide, b"COMMIT"),
            Outcome::NotCommitted if self.goes_again(io, guide) => {}
            Outcome::NotCommitted if self.replays(io, guide, outcome) => {}
            Outcome::NotCommitted => self.not_committed(io),
            Outcome::Unknown => self.lose(io),
        }
    }

    /// What ends the transaction, if that and its ReadyForQuery is all that the client waits for.
    fn owed_end(&self) -> Option<End> {
        let mut end = self.ending.told.then_some(End::Told);
        let mut ready = false;
        for expect in &self.pending {
            match expect {
                _ if expect.is_own() || expect.local().is_some() => {}
                _ if ready => return None,
                Expect::Query(Some(_)) if end == Some(End::Told) => ready = true,
                Expect::Query(Some(statement)) | Expect::Execute(Some(statement))
                    if end.is_none() =>
                {
                    end = Some(End::of(statement)?);
                    ready = matches!(expect, Expect::Query(_));
                }
                Expect::DescribeStatement(Some(named)) | Expect::DescribePortal(Some(named)) => {
                    End::of(named.statement())?;
                }
                Expect::Parse { .. } | Expect::Bind | Expect::Close(_) => {}
                Expect::Sync(Reply::Forward) => ready = true,
                _ => return None,
            }
        }
        end.filter(|_| ready && !self.is_cut())
    }

    /// The transaction has ended, and the client is told so in the server's place.
    pub(crate) fn ended<G: Guide<Answer = A>>(
        &mut self,
        io: &mut Buffers,
        guide: &mut G,
        tag: &[u8],
    ) {
        let told = self.ending.told;
        let committed = told || tag == b"COMMIT";
        self.status = TransactionStatus::Idle;
        for expect in &std::mem::take(&mut self.pending) {
            let out = &mut io.client_out;
            match expect {
                Expect::Parse { reply: Reply::Forward, .. } => {
                    out.extend_from_slice(PARSE_COMPLETE)
                }
                Expect::Bind => out.extend_from_slice(BIND_COMPLETE),
                Expect::Close(Reply::Forward) => out.extend_from_slice(CLOSE_COMPLETE),
                Expect::DescribePortal(_) => out.extend_from_slice(NO_DATA),
                Expect::DescribeStatement(_) => {
                    out.extend_from_slice(NO_PARAMETERS);
                    out.extend_from_slice(NO_DATA);
                }
                Expect::Query(_) | Expect::Execute(_) if !told => {
                    CommandComplete { tag }.write(out);
                }
                Expect::Commit { .. } => self.ending.held.write(out),
                _ => out.extend_from_slice(expect.local().unwrap_or_default()),
            }
            if !expect.is_own() && expect.ends_with_ready() {
                self.write_ready(io);
            }
        }
        // What the server told is noted already.
        if !told {
            self.carried.ended(committed);
        }
        // What it kept for the session beyond the transaction has gone with it.
        self.owed = self.pin.is_some().then(lost_with_state);
        self.last_words = None;
        self.schema_settled(guide);
        self.tally_done();
        self.forget_server();
        self.phase = Phase::Batch;
    }

    pub(crate) fn not_committed(&mut self, io: &mut Buffers) {
        let report = ErrorReport::error(b"40001", "the server was lost before it committed")
            .detail("Nothing of the transaction has been committed.")
            .hint("Run the transaction again.")
            .caused_by(self.last_words.take());
        self.tell_loss(io, report, TransactionStatus::Idle);
    }
}

impl End {
    fn of(statement: &Statement) -> Option<End> {
        match statement {
            _ if statement.commits() => Some(End::Commit),
            _ if statement.rolls_back() => Some(End::Rollback),
            _ => None,
        }
    }
}

/// A session that stays on its server has lost it between two transactions.
pub(crate) fn lost_with_state() -> ErrorReport {
    ErrorReport::error(b"08006", "the server that this session stayed on was lost")
        .detail("The last transaction has ended as it was told.")
        .hint("Make again what the session had there: temporary tables, LISTEN, advisory locks.")
}
