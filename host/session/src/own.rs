//! Settings of the proxy itself (`howdah.…`), which no server ever sees, and explanations of what goes where.

use bytes::BytesMut;
use howdah_decision::{Decision, Refusal, Table};
use howdah_sql::{Own, OwnVerb, Statement};
use howdah_wire::backend::{ErrorReport, ReadyForQuery, TransactionStatus};

use crate::batch::refusal_report;
use crate::expect::Expect;
use crate::local::Produce;
use crate::session::Session;
use crate::{Buffers, Explained, Guide, Pin, Told};

/// Shows why the session stays on its server; empty when it does not.
const PIN: &str = "pin";

/// Shows to which point in the cluster's history what the session has written and seen belongs, for another session to
/// follow it. The primary is asked: what it has inserted now is not before any of it.
const TOKEN: &str = "causal_token";
const TOKEN_SQL: &str = "SELECT pg_catalog.substr(pg_catalog.pg_walfile_name(lsn), 1, 8) \
    OPERATOR(pg_catalog.||) ':' OPERATOR(pg_catalog.||) lsn::pg_catalog.text AS \"howdah.causal_token\" \
    FROM pg_catalog.pg_current_wal_insert_lsn() AS lsn";

/// The text that a server is asked for the value of such a setting.
pub(crate) fn asked_of_servers(statement: &Statement) -> Option<&'static str> {
    let own = statement.own().filter(|_| statement.statements == 1)?;
    (&*own.name == TOKEN && own.verb == OwnVerb::Show).then_some(TOKEN_SQL)
}

/// What a batch has to do with settings of the proxy itself.
#[derive(Default, PartialEq, Eq)]
pub(crate) enum OwnBatch {
    #[default]
    Nothing,
    /// It is about this one.
    About(Own),
    /// It is about several, or about other things too.
    Mixed,
}

impl OwnBatch {
    /// One more statement of the batch is about such a setting.
    pub(crate) fn add(&mut self, own: &Own, statement: &Statement) {
        *self = match self {
            _ if statement.statements > 1 => OwnBatch::Mixed,
            OwnBatch::Nothing => OwnBatch::About(own.clone()),
            OwnBatch::About(held) if held == own => return,
            _ => OwnBatch::Mixed,
        };
    }
}

impl<A: AsRef<Decision>> Session<A> {
    /// Answers a batch about a setting of the proxy. False: it is about none.
    pub(crate) fn answer_own<G: Guide<Answer = A>>(
        &mut self,
        io: &mut Buffers,
        guide: &mut G,
    ) -> bool {
        let own = match std::mem::take(&mut self.batch.own) {
            OwnBatch::Nothing => return false,
            OwnBatch::About(own) if self.batch.answer.is_none() && !self.to_primary => own,
            OwnBatch::About(_) | OwnBatch::Mixed => {
                self.fail_batch(io, &alone());
                return true;
            }
        };
        let told = match own.verb {
            OwnVerb::Set(_) | OwnVerb::SetLocal if !self.batch.executes => Ok(Told::Done("SET")),
            OwnVerb::Reset if !self.batch.executes => Ok(Told::Done("RESET")),
            _ => self.own_setting(&own, guide),
        };
        match told {
            Err(refusal) => self.fail_batch(io, &refusal_report(&refusal)),
            Ok(told) => self.answer_batch(io, &Produce::from(&told)),
        }
        true
    }

    /// `howdah.pin`, which only shows why the session stays on its server, is the session's own; the others are the guide's.
    fn own_setting<G: Guide<Answer = A>>(&self, own: &Own, guide: &mut G) -> Result<Told, Refusal> {
        if &*own.name != PIN {
            return guide.own_setting(own);
        }
        if own.verb != OwnVerb::Show {
            let message = format!("parameter \"howdah.{PIN}\" cannot be changed");
            return Err(Refusal::new("55P02", &message));
        }
        let reason = self.pin.as_ref().map_or("", Pin::reason);
        let columns = vec![format!("howdah.{PIN}")];
        Ok(Told::Table(Table { columns, rows: vec![vec![Some(reason.into())]] }))
    }

    /// Answers a simple query about a setting of the proxy when a transaction is open.
    pub(crate) fn tell_own<G: Guide<Answer = A>>(
        &mut self,
        own: &Own,
        statement: &Statement,
        guide: &mut G,
    ) {
        let mut out = BytesMut::new();
        match self.own_setting(own, guide) {
            _ if statement.statements > 1 => alone().write(&mut out),
            Err(refusal) => refusal_report(&refusal).write(&mut out),
            Ok(told) => Produce::from(&told).write(&mut out),
        }
        ReadyForQuery { status: self.status }.write(&mut out);
        self.pending.push_back(Expect::Local(out[..].into()));
    }

    /// Tells why the batch goes to the leased server.
    pub(crate) fn explain_sent<G: Guide<Answer = A>>(&self, io: &mut Buffers, guide: &mut G) {
        let (answer, to_primary) = (self.batch.answer.as_ref(), self.to_primary);
        let what = match &self.pin {
            Some(pin) => Explained::Stays(pin),
            None => Explained::Sent { answer, to_primary },
        };
        if let Some(notice) = guide.explain(&what) {
            notice.write(&mut io.client_out);
        }
    }

    /// Tells why the batch goes nowhere.
    pub(crate) fn explain_local<G: Guide<Answer = A>>(&self, io: &mut Buffers, guide: &mut G) {
        let Some(answer) = self.batch.answer.as_ref().filter(|_| !self.to_primary) else { return };
        let local = matches!((**answer).as_ref(), Decision::Refuse(_) | Decision::Answer(_));
        if local && let Some(notice) = guide.explain(&Explained::Local(answer)) {
            notice.write(&mut io.client_out);
        }
    }

    /// Tells why a statement goes where its transaction is, before its result.
    pub(crate) fn explain_bound<G: Guide<Answer = A>>(&mut self, guide: &mut G) {
        if self.status == TransactionStatus::Idle {
            return;
        }
        if let Some(notice) = guide.explain(&Explained::Bound) {
            let mut out = BytesMut::new();
            notice.write(&mut out);
            self.pending.push_back(Expect::Local(out[..].into()));
        }
    }
}

/// A batch holds more than a statement about one setting of the proxy.
fn alone() -> ErrorReport {
    ErrorReport::error(b"0A000", "a setting of the proxy must be alone in its query")
        .hint("Send SET, RESET or SHOW of a setting whose name begins with howdah. by itself.")
}

/// What a driver is told that prepares such a statement inside a transaction.
pub(crate) fn not_here() -> ErrorReport {
    ErrorReport::error(b"0A000", "a setting of the proxy cannot be prepared inside a transaction")
        .hint("Send it before the transaction, or as a simple query.")
}
