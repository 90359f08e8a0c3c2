use howdah_decision::Kind;

use super::level::Level;
use crate::effect::PinReason;
use crate::lex::{Lexer, Token, What};
use crate::words::Word;
use crate::{COMMIT, ROLLBACK};

/// A statement while it is being scanned: what its keywords have said so far.
pub(super) struct Current {
    /// Where its first token begins.
    pub(super) start: usize,
    /// It has a token.
    pub(super) begun: bool,
    /// The first word, or the first word of what EXPLAIN explains. [`Word::Plain`] before it, [`Word::Fixed`] for
    /// what begins no statement.
    pub(super) verb: Word,
    pub(super) kind: Kind,
    pub(super) pin: Option<PinReason>,
    pub(super) read_only: bool,
    pub(super) locks_rows: bool,
    pub(super) volatile: bool,
    pub(super) copy: bool,
    /// It defines what may leave something behind later.
    pub(super) arms: bool,
    /// An UPDATE or DELETE in it has no WHERE.
    pub(super) unbounded: bool,
    /// It may give advisory locks back.
    pub(super) unlocks: bool,
    /// Where EXECUTE of a prepared statement begins in it.
    pub(super) executes: Option<usize>,
    /// `BEGIN ATOMIC` of a function's body, and the CASEs in it, that have not ended.
    pub(super) atomic: u32,
    two_phase: bool,
    savepoint: bool,
    /// COMMIT or ROLLBACK says more than that.
    chains: bool,
    explained: Explained,
    copy_out: bool,
    /// A data-modifying query is part of it.
    writes: bool,
}

/// What EXPLAIN makes of a statement.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Explained {
    No,
    /// It is planned.
    Planned,
    /// It is run: ANALYZE.
    Run,
}

impl Current {
    pub(super) fn new() -> Current {
        Current {
            start: 0,
            begun: false,
            verb: Word::Plain,
            kind: Kind::Unknown,
            pin: None,
            read_only: false,
            locks_rows: false,
            volatile: false,
            copy: false,
            arms: false,
            unbounded: false,
            unlocks: false,
            executes: None,
            atomic: 0,
            two_phase: false,
            savepoint: false,
            chains: false,
            explained: Explained::No,
            copy_out: false,
            writes: false,
        }
    }

    /// Whether the verb has not come yet: at the beginning, and between EXPLAIN and what it explains.
    pub(super) fn awaits_verb(&self) -> bool {
        matches!(self.verb, Word::Plain | Word::Explain)
    }

    /// Whether it is a query, or changes rows: after AS stands a label, or a common table expression.
    pub(super) fn is_query(&self) -> bool {
        matches!(self.verb, Word::Select | Word::With | Word::Values | Word::Table)
            || matches!(self.verb, Word::Insert | Word::Update | Word::Delete | Word::Merge)
    }

    /// See [`crate::Statement::query`].
    pub(super) fn only_queries(&self) -> bool {
        self.is_query() && self.explained == Explained::No
    }

    /// Whether functions in it are called when it runs, rather than stored or not meant at all.
    pub(super) fn runs_functions(&self) -> bool {
        !matches!(self.kind, Kind::Ddl | Kind::Utility)
    }

    /// A token where the verb is due; `nested` in parentheses.
    pub(super) fn verb(&mut self, token: Token, next: Token, nested: bool, fresh: bool) {
        if self.verb == Word::Explain {
            match token.word {
                Word::Analyze | Word::Analyse => return self.explained = Explained::Run,
                Word::Verbose => return,
                Word::Select | Word::Values | Word::Table | Word::With if fresh => {}
                // An option.
                _ if nested => return,
                _ => {}
            }
        }
        self.verb = match token.word {
            Word::Plain => Word::Fixed,
            word => word,
        };
        self.kind = token.word.kind();
        match token.word {
            Word::Explain => self.explained = Explained::Planned,
            Word::Listen => self.stay(PinReason::Listen),
            Word::Load => self.stay(PinReason::Load),
            Word::Copy => self.copy = true,
            Word::Execute => self.executes = Some(token.start),
            Word::Prepare if next.word == Word::Transaction => {}
            Word::Prepare => self.stay(PinReason::SqlPrepare),
            Word::Savepoint | Word::Release => self.savepoint = true,
            Word::Start if next.word != Word::Transaction => self.kind = Kind::Unknown,
            _ => {}
        }
    }

    /// Any other keyword. `level` is what it stands in, and still as it was before the keyword.
    pub(super) fn keyword(
        &mut self,
        token: Token,
        previous: Token,
        next: Token,
        level: &mut Level,
    ) {
        match token.word {
            Word::Insert | Word::Delete | Word::Merge | Word::Update => {
                self.modify(token, previous, next, level);
            }
            Word::Share if matches!(previous.word, Word::For | Word::Key) => self.locks_rows = true,
            Word::Select | Word::Values | Word::Table if !in_with_list(previous) => {
                level.with = false;
            }
            Word::Into if self.makes_table() => self.writes = true,
            Word::Temp | Word::Temporary => self.temporary(previous),
            Word::Schema if next.word == Word::PgTemp => self.stay(PinReason::TemporaryTable),
            _ => self.keyword_of_verb(token, previous, next),
        }
    }

    /// INSERT INTO, DELETE FROM, MERGE INTO or UPDATE at the beginning of a query, or FOR UPDATE.
    fn modify(&mut self, token: Token, previous: Token, next: Token, level: &mut Level) {
        if token.word == Word::Update && matches!(previous.word, Word::For | Word::Key) {
            self.locks_rows = true;
            return;
        }
        let begins = level.fresh || (level.with && !in_with_list(previous));
        let goes_on = match token.word {
            Word::Insert | Word::Merge => next.word == Word::Into,
            Word::Delete => next.word == Word::From,
            _ => next.is_name() && (next.word == Word::Only || !next.word.is_reserved()),
        };
        let changes = matches!(token.word, Word::Update | Word::Delete);
        if changes && self.verb == Word::Prepare && previous.word == Word::As {
            level.unbounded = true;
        }
        if begins && goes_on {
            self.writes = true;
            level.unbounded = changes;
            level.with = false;
            level.query = true;
        }
    }

    /// Whether INTO makes a table in it.
    fn makes_table(&self) -> bool {
        matches!(self.verb, Word::Select | Word::With | Word::Values)
    }

    fn temporary(&mut self, previous: Token) {
        let created = matches!(previous.word, Word::Create | Word::Replace | Word::Into)
            || matches!(previous.word, Word::Local | Word::Global);
        if created && (self.verb == Word::Create || self.makes_table()) {
            self.stay(PinReason::TemporaryTable);
        }
    }

    /// Keywords that mean something in one kind of statement.
    fn keyword_of_verb(&mut self, token: Token, previous: Token, next: Token) {
        match (self.verb, token.word) {
            (Word::Copy, Word::To) => {
                self.copy_out |= matches!(next.word, Word::Stdout | Word::Stdin);
            }
            (Word::Begin | Word::Start, Word::Only) => self.read_only = true,
            (Word::Begin | Word::Start, Word::Write) => self.read_only = false,
            (Word::Create, Word::Execute) if previous.word == Word::As => {
                self.executes = Some(token.start);
            }
            (Word::Create, Word::Atomic) if previous.word == Word::Begin => self.atomic += 1,
            (Word::Create, Word::Case) if self.atomic > 0 => self.atomic += 1,
            (Word::Create, Word::End) if self.atomic > 0 => self.atomic -= 1,
            (Word::Declare, Word::Hold) if previous.word == Word::With => {
                self.stay(PinReason::HoldCursor);
            }
            (Word::Prepare, Word::Transaction) if next.what == What::String => {
                self.two_phase = true;
                self.kind = Kind::End;
            }
            // A statement with this name.
            (Word::Prepare, Word::Transaction) if previous.word == Word::Prepare => {
                self.stay(PinReason::SqlPrepare);
            }
            (Word::Commit | Word::Rollback, Word::Prepared) => {
                self.two_phase = true;
                self.kind = Kind::Write;
                // Whatever another session has defined.
                self.arms = true;
            }
            (Word::Rollback | Word::Abort, Word::To) => self.savepoint = true,
            (Word::Commit | Word::End | Word::Rollback | Word::Abort, Word::And) => {
                self.chains = true;
            }
            _ => {}
        }
    }

    /// The kind, now that the statement has ended.
    pub(super) fn final_kind(&self) -> Kind {
        match self.verb {
            Word::Plain | Word::Explain => Kind::Unknown,
            _ if self.explained == Explained::Planned => Kind::Read,
            // What does not go to the client goes to a file on the server.
            Word::Copy if self.copy_out && !self.writes => Kind::Read,
            _ if self.writes => self.kind.max(Kind::Write),
            _ => self.kind,
        }
    }

    /// The session must stay where it is. A reason that no question to the server can clear outlasts the others.
    pub(super) fn stay(&mut self, reason: PinReason) {
        if self.pin.is_none_or(PinReason::can_be_checked) {
            self.pin = Some(reason);
        }
    }

    /// Whether an UPDATE or DELETE without WHERE is run, or prepared to be run.
    pub(super) fn is_unbounded(&self) -> bool {
        self.unbounded && self.kind != Kind::Ddl && self.explained != Explained::Planned
    }

    /// Why the session must stay where it is, now that the statement has ended. What is only planned makes nothing that a
    /// server can be asked for, but what it calls may be computed already.
    pub(super) fn final_pin(&self) -> Option<PinReason> {
        let planned = self.explained == Explained::Planned;
        self.pin.filter(|reason| !planned || !reason.can_be_checked())
    }

    /// See [`crate::Statement::defers`].
    pub(super) fn defers(&self) -> bool {
        self.volatile || matches!(self.verb, Word::Notify | Word::Call | Word::Do)
    }

    /// Whether it is SAVEPOINT, RELEASE or ROLLBACK TO.
    pub(super) fn is_savepoint(&self) -> bool {
        self.savepoint && !self.two_phase
    }

    /// Whether it ends the transaction block, for certain and without two phases.
    pub(super) fn ends_transaction(&self) -> bool {
        let verb = matches!(self.verb, Word::Commit | Word::End | Word::Rollback | Word::Abort);
        verb && !self.savepoint && !self.two_phase
    }

    /// A number that tells transaction boundaries apart; zero for a statement that is none.
    pub(super) fn boundary(&self) -> u64 {
        match self.verb {
            _ if self.two_phase => 6,
            _ if self.savepoint => 5,
            Word::Begin | Word::Start if self.read_only => 1,
            Word::Begin | Word::Start => 2,
            Word::Commit | Word::End if self.chains => 7,
            Word::Commit | Word::End => COMMIT,
            Word::Rollback | Word::Abort if self.chains => 8,
            Word::Rollback | Word::Abort => ROLLBACK,
            _ => 0,
        }
    }

    /// A name before a dot.
    pub(super) fn schema(&mut self, lexer: &Lexer<'_>, token: Token) {
        if token.word == Word::PgTemp
            || (token.what == What::Quoted && lexer.bytes(token) == b"\"pg_temp\"")
        {
            self.stay(PinReason::TemporaryTable);
        }
    }
}

/// Whether what follows this token in the list of WITH is the name of a common table expression.
fn in_with_list(previous: Token) -> bool {
    previous.is(b',') || matches!(previous.word, Word::With | Word::Recursive)
}
