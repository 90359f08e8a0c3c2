//! Whom the statements of a batch are for: each is asked about once, with what is bound to it, and the strictest answer
//! counts.

use std::rc::Rc;

use howdah_decision::{Decision, Facts, Kind};
use howdah_sql::Statement;
use howdah_wire::frontend::Bind;

use crate::batch::{is_replayable, may_read_sequences};
use crate::session::Session;
use crate::{Guide, Prepared};

/// How strict a decision is; the strictest of a batch counts.
fn rank(decision: &Decision) -> u8 {
    match decision {
        Decision::Replica(_) => 0,
        Decision::Answer(_) => 1,
        Decision::Node(_) => 2,
        Decision::NoOpinion | Decision::Primary => 3,
        Decision::Cluster(_) => 4,
        Decision::Pin(_) => 5,
        Decision::Refuse(_) => 6,
    }
}

impl<A: AsRef<Decision>> Session<A> {
    /// The batch binds a prepared statement: one of its own, or an earlier one.
    pub(crate) fn gather_bind<G: Guide<Answer = A>>(&mut self, bind: &Bind<'_>, guide: &mut G) {
        let prepared = match self.batch.find(bind.statement) {
            Some(prepared) => prepared,
            None => match self.use_earlier(bind.statement, guide) {
                Some(prepared) => prepared,
                None => return,
            },
        };
        if self.is_own(&prepared) {
            return;
        }
        self.batch.unasked.retain(|waiting| !Rc::ptr_eq(waiting, &prepared));
        self.note(&prepared.statement);
        let (text, facts) = (&prepared.query, Facts::EXTENDED);
        self.note_answer(guide.route(text, &prepared.statement, facts, Some(bind)));
    }

    /// The batch describes a prepared statement.
    pub(crate) fn gather_describe<G: Guide<Answer = A>>(&mut self, name: &[u8], guide: &mut G) {
        // One of its own waits to be asked about already, or has been bound.
        if self.batch.find(name).is_none()
            && let Some(prepared) = self.use_earlier(name, guide)
            && !self.is_own(&prepared)
        {
            self.note(&prepared.statement);
            self.batch.unasked.push(prepared);
        }
    }

    /// Whether this is about a setting of the proxy itself, which is then noted.
    pub(crate) fn is_own(&mut self, prepared: &Prepared) -> bool {
        let Some(own) = prepared.statement.own() else { return false };
        self.batch.own.add(own, &prepared.statement);
        true
    }

    /// The batch uses a statement that was prepared before.
    fn use_earlier<G: Guide<Answer = A>>(
        &mut self,
        name: &[u8],
        guide: &mut G,
    ) -> Option<Rc<Prepared>> {
        let named = self.look_again(name, guide)?;
        let prepared = Rc::clone(&named.prepared);
        self.batch.told |= named.told.get().is_some();
        self.batch.bound.push(named);
        Some(prepared)
    }

    /// Asks about the statements that are not bound in this batch.
    pub(crate) fn ask_rest<G: Guide<Answer = A>>(&mut self, guide: &mut G) {
        while let Some(prepared) = self.batch.unasked.pop() {
            let (text, facts) = (&prepared.query, Facts::EXTENDED);
            self.note_answer(guide.route(text, &prepared.statement, facts, None));
        }
    }

    /// Takes a statement of the batch into account.
    pub(crate) fn note(&mut self, statement: &Statement) {
        self.batch.needs_server = true;
        self.batch.replayable &= is_replayable(statement);
        self.batch.reads &= matches!(statement.kind, Kind::Read | Kind::Empty);
        self.batch.reads_sequences |= may_read_sequences(statement);
    }

    /// Takes a routing answer into account.
    pub(crate) fn note_answer(&mut self, answer: Rc<A>) {
        let stricter = match &self.batch.answer {
            None => true,
            Some(held) => rank((*answer).as_ref()) > rank((**held).as_ref()),
        };
        if stricter {
            self.batch.answer = Some(answer);
        }
    }
}
