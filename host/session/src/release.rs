//! Whether a session may give its server back, and in what state.

use howdah_decision::Decision;
use howdah_sql::PinReason;
use howdah_wire::backend::TransactionStatus;

use crate::expect::Expect;
use crate::session::Session;
use crate::{Buffers, Guide, Pin, ServerState, pin};

/// What must be done to a server before another client may have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Nothing.
    Reuse,
    /// `ROLLBACK`: a transaction is open.
    Rollback,
    /// `ROLLBACK`, then `DISCARD ALL`: it carries state of this client.
    Reset,
    /// Its state cannot be known: close it.
    Close,
}

impl<A: AsRef<Decision>> Session<A> {
    /// What must be done to the server when the client goes away now.
    pub fn disposition<G: Guide<Answer = A>>(&self, guide: &G) -> Disposition {
        if !self.pending.is_empty()
            || self.awaiting_ready
            || self.unsynced
            || self.server_stream.0 > 0
        {
            return Disposition::Close;
        }
        match (&self.pin, self.status) {
            (Some(Pin::State(_)), _) if !self.pin.as_ref().is_some_and(Pin::is_discarded) => {
                Disposition::Close
            }
            (Some(Pin::Mode), _) if self.temporary => Disposition::Close,
            (Some(_), _) => Disposition::Reset,
            (None, _) if !self.is_known(guide) => Disposition::Close,
            (None, TransactionStatus::Idle) => Disposition::Reuse,
            (None, _) => Disposition::Rollback,
        }
    }

    /// The session must stay where it is for this reason. One that no question to the server can clear outlasts the
    /// others.
    pub(crate) fn stay(&mut self, reason: PinReason) {
        let new = Pin::State(reason);
        self.pin_in_doubt = true;
        match &self.pin {
            Some(pin) if !pin.can_be_checked() || new.can_be_checked() => {}
            _ => self.pin = Some(new),
        }
    }

    /// Whether what the session has called does what was known of it when it was looked at.
    pub(crate) fn is_known<G: Guide<Answer = A>>(&self, guide: &G) -> bool {
        self.settled.is_some() && guide.settled() == self.settled
    }

    /// Asks the server whether there is still anything that the session must stay for.
    pub(crate) fn check_pin(&mut self, io: &mut Buffers) {
        self.pin_in_doubt = false;
        if self.pin.as_ref().is_some_and(Pin::can_be_checked) {
            self.sends(io, pin::CHECK.as_bytes(), Expect::PinCheck);
            self.awaiting_ready = true;
        }
    }

    /// Whether all that was sent is answered and no transaction is open.
    pub(crate) fn is_settled(&self) -> bool {
        self.pending.is_empty()
            && !self.awaiting_ready
            && !self.unsynced
            && self.status == TransactionStatus::Idle
            && self.server_stream.0 == 0
            && self.client_stream.0 == 0
            && !self.batch.partial
            && self.unsent == 0
    }
}

/// What becomes of a server whose work is done.
pub(crate) fn reusable(server: &ServerState) -> Disposition {
    if server.tainted { Disposition::Close } else { Disposition::Reuse }
}
