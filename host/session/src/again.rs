//! Sending a batch again that has failed, as far as its safety allows, and as policies wish.

use bytes::BytesMut;
use howdah_decision::{Decision, Facts, Failure, Outcome, Retry, Safety, Target};
use howdah_wire::frame;
use howdah_wire::frontend::{Query, tag};

use crate::batch::Entry;
use crate::limits::{MAX_REROUTES, MAX_RETRIES, MAX_RETRY_DELAY_MS};
use crate::session::{Phase, Session};
use crate::{Buffers, Guide};

/// A server says this before it has done anything: the transaction is read only, it does not take connections now, or
/// has too many of them.
const REFUSED: [[u8; 5]; 3] = [*b"25006", *b"57P03", *b"53300"];

impl<A: AsRef<Decision>> Session<A> {
    /// How safe it is to send the batch again of which nothing has been delivered. `sqlstate` is its first error; none
    /// when the server has gone.
    pub(crate) fn safety(&self, sqlstate: Option<[u8; 5]>) -> Safety {
        if self.on_standby {
            Safety::OnStandby
        } else if self.batch.repeats() {
            Safety::Read
        } else if sqlstate.is_some_and(|state| REFUSED.contains(&state)) {
            Safety::Refused
        } else {
            Safety::Unknown
        }
    }

    /// Whether the batch is to be sent again: as the policies say, else as is usual, a few times. Of a commit
    /// ([`Safety::Commit`]) only when it is proven that there was none. What a session keeps
    /// on a server that still lives is not given up for that.
    pub(crate) fn shall_go_again<G: Guide<Answer = A>>(
        &mut self,
        io: &Buffers,
        guide: &mut G,
        sqlstate: Option<[u8; 5]>,
        safety: Safety,
        usual: bool,
    ) -> bool {
        (self.target, self.pause_ms) = (None, 0);
        let usual = usual && self.reroutes < MAX_REROUTES;
        let allowed = safety.allows_again() || safety == Safety::Commit;
        let wish = match self.retries && self.pin.is_none() && allowed {
            true => self.ask(io, guide, sqlstate, safety),
            false => Retry::NoOpinion,
        };
        let again = match wish {
            Retry::NoOpinion => usual,
            Retry::GiveUp | Retry::Replay => false,
            Retry::Again(_) if self.reroutes >= MAX_RETRIES => false,
            Retry::Again(again) => {
                self.pause_ms = again.delay_ms.min(MAX_RETRY_DELAY_MS);
                match again.target {
                    Target::Primary => self.to_primary = true,
                    other => self.target = Some(other),
                }
                true
            }
        };
        // What has never been sent is no repetition.
        again && (safety == Safety::Unsent || guide.affords_another())
    }

    /// The batch, of which the server that has gone has delivered nothing, is sent once more.
    pub(crate) fn go_again(&mut self, io: &mut Buffers) {
        self.reroutes += 1;
        self.restore_batch(io);
        self.phase = Phase::Server;
    }

    fn ask<G: Guide<Answer = A>>(
        &self,
        io: &Buffers,
        guide: &mut G,
        sqlstate: Option<[u8; 5]>,
        safety: Safety,
    ) -> Retry {
        let proven = safety == Safety::Commit;
        let outcome = if proven { Outcome::NotCommitted } else { Outcome::Unknown };
        let replayable = false;
        let attempt = u32::from(self.reroutes) + 1;
        let failure = Failure { sqlstate, safety, outcome, replayable, attempt };
        if let Some(Entry::Query(statement, text)) = self.batch.first_entry() {
            let sent = self.retained.as_ref().unwrap_or(&io.client_in);
            let text = text.as_deref().map_or_else(|| query(sent), str::as_bytes);
            return guide.retry(text, statement, Facts::NONE, &failure);
        }
        match self.batch.prepared() {
            Some(prepared) => {
                guide.retry(&prepared.query, &prepared.statement, Facts::EXTENDED, &failure)
            }
            None => Retry::NoOpinion,
        }
    }

    /// How often the current batch has been sent already.
    pub fn attempts(&self) -> u8 {
        self.reroutes
    }

    /// Where a batch goes that is sent again, if not as [`Session::decision`] says. For whoever leases.
    pub fn target(&self) -> Option<Target> {
        self.target
    }
}

/// The text of the simple query that a batch begins with.
pub(crate) fn query(batch: &BytesMut) -> &[u8] {
    match frame::peek(batch, usize::MAX) {
        Ok(Some(head)) if head.tag == tag::QUERY => {
            let body = batch.get(frame::HEADER_LEN..head.len).unwrap_or_default();
            Query::read(body).map_or(&[], |query| query.text)
        }
        _ => &[],
    }
}
