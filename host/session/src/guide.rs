use std::rc::Rc;

use howdah_decision::{Decision, Facts, Failure, Refusal, Retry, Rewrite, Table};
use howdah_sql::{Own, Statement};
use howdah_wire::backend::ErrorReport;
use howdah_wire::frontend::Bind;

use crate::{Parameters, Pin, Prepared, Seen};

/// What a session asks about statements. Implemented by whoever knows the policies and the catalog;
/// every question is answered at once, from memory or by a policy within its time limit.
pub trait Guide {
    /// A routing answer, shared because it is often remembered.
    type Answer: AsRef<Decision>;

    /// Called when a new batch begins outside a transaction: the newest policies may be used from here on.
    /// Until the next call the same generation answers. `told` is what the client knows of its settings by now.
    fn refresh(&mut self, told: &Parameters);

    /// What a simple query is.
    fn scan(&mut self, text: &[u8]) -> Rc<Statement>;

    /// What a Parse prepares. `types` is the raw list of parameter types of the message.
    fn prepare(&mut self, query: &[u8], types: &[u8]) -> Rc<Prepared>;

    /// Where a statement goes. `extra` holds facts that the text does not tell (`EXTENDED`); `bind` is what gives
    /// values to its parameters, when it is part of the same batch.
    fn route(
        &mut self,
        text: &[u8],
        statement: &Statement,
        extra: Facts,
        bind: Option<&Bind<'_>>,
    ) -> Rc<Self::Answer>;

    /// What becomes of a statement's text.
    fn rewrite(&mut self, text: &[u8], statement: &Statement, extra: Facts) -> Rewrite;

    /// Which edition of the database's schema is in force, from 1: what servers have prepared in an earlier one may be
    /// out of date.
    fn edition(&self) -> u64;

    /// The schema has changed, or may have: another edition is in force from now on.
    fn schema_changed(&mut self);

    /// A number that changes whenever a definition changes by which calls may leave something behind in a session; none
    /// while it is not known what such definitions say. What has been scanned under one number is known under the same.
    fn settled(&self) -> Option<u64>;

    /// A hash of what the catalog says that is in force: of what changes settings, takes locks or makes something temporary.
    fn content(&self) -> u64 {
        0
    }

    /// Such a definition is about to come true, or (false) has been answered for.
    fn arm(&mut self, armed: bool);

    /// Which catalog statements are scanned with ([`Prepared::scanned`]).
    fn catalog(&self) -> u64;

    /// A standby refused this statement because it writes: it, and all with its digest, are to be sent to the primary
    /// from now on.
    fn learn_write(&mut self, statement: &Statement);

    /// Whether anybody has a say in what becomes of statements that fail. Asked when a batch begins.
    fn retries(&self) -> bool {
        false
    }

    /// What becomes of a statement that has failed, and could be sent again.
    fn retry(&mut self, _: &[u8], _: &Statement, _: Facts, _: &Failure) -> Retry {
        Retry::NoOpinion
    }

    /// Whether a batch that has been sent already may be sent once more: too much of that would multiply the load when
    /// servers fail.
    fn affords_another(&mut self) -> bool {
        true
    }

    /// Whether the session's server may be asked before COMMIT what identifies the transaction ([`crate::proof`]).
    fn proves(&self) -> bool {
        false
    }

    /// Whether a write by itself is put into a transaction there, so that what became of it can be found out too.
    fn wraps(&self) -> bool {
        false
    }

    /// Whether transactions that begin on the session's server are kept, to be run again when that is lost.
    fn replays(&self) -> bool {
        false
    }

    /// A batch has wholly arrived.
    fn begun(&mut self) {}

    /// This is the most demanding of its statements so far, and its text. What is told of the batch counts as this one's.
    fn runs(&mut self, _: &Statement, _text: &[u8]) {}

    /// Its answer is complete.
    fn ended(&mut self, _: &Seen<Self::Answer>) {}

    /// The client sets, resets or shows a setting of the proxy itself: what it is told.
    ///
    /// # Errors
    /// There is no such setting, or no such value.
    fn own_setting(&mut self, own: &Own) -> Result<Told, Refusal> {
        Err(unknown(own))
    }

    /// What the client is told before the result of what it has sent, if it wants to know why it goes where it goes.
    fn explain(&mut self, _what: &Explained<'_, Self::Answer>) -> Option<ErrorReport> {
        None
    }
}

/// What the proxy itself answers to a statement.
#[derive(Debug, PartialEq, Eq)]
pub enum Told {
    /// It is done: the command tag.
    Done(&'static str),
    /// A result.
    Table(Table),
}

/// What is to be explained.
pub enum Explained<'a, A> {
    /// A batch that no server gets.
    Local(&'a Rc<A>),
    /// A batch that goes to the leased server.
    Sent {
        /// What was said of it, unless it is sent without asking.
        answer: Option<&'a Rc<A>>,
        /// It goes to the primary whatever was said.
        to_primary: bool,
    },
    /// A batch that goes to the server that the session stays on.
    Stays(&'a Pin),
    /// A statement that goes where its transaction is.
    Bound,
}

/// What a client is told of a setting that the proxy does not have.
pub fn unknown(own: &Own) -> Refusal {
    let message = format!("unrecognized configuration parameter \"howdah.{}\"", own.name);
    Refusal::new("42704", &message)
}
