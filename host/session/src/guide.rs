use std::rc::Rc;

use howdah_decision::{Decision, Facts, Rewrite};
use howdah_sql::Statement;

use crate::Prepared;

/// What a session asks about statements. Implemented by whoever knows the policies and the catalog;
/// every question is answered at once, from memory or by a policy within its time limit.
pub trait Guide {
    /// A routing answer, shared because it is often remembered.
    type Answer: AsRef<Decision>;

    /// Called when a new batch begins outside a transaction: the newest policies may be used from here on.
    /// Until the next call the same generation answers.
    fn refresh(&mut self);

    /// What a simple query is.
    fn scan(&mut self, text: &[u8]) -> Rc<Statement>;

    /// What a Parse prepares. `types` is the raw list of parameter types of the message.
    fn prepare(&mut self, query: &[u8], types: &[u8]) -> Rc<Prepared>;

    /// Where a statement goes. `extra` holds facts that the text does not tell (`EXTENDED`).
    fn route(&mut self, text: &[u8], statement: &Statement, extra: Facts) -> Rc<Self::Answer>;

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

    /// Such a definition is about to come true, or (false) has been answered for.
    fn arm(&mut self, armed: bool);

    /// Which catalog statements are scanned with ([`Prepared::scanned`]).
    fn catalog(&self) -> u64;

    /// A standby refused this statement because it writes: it, and all with its digest, are to be sent to the primary
    /// from now on.
    fn learn_write(&mut self, statement: &Statement);
}
