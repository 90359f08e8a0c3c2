use howdah_sql::PinReason;

/// Why a session stays on its server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pin {
    /// The pool mode is `session`.
    Mode,
    /// State that cannot follow it.
    State(PinReason),
    /// A policy wants it, for this reason.
    Policy(Box<str>),
}

/// Whether the server still holds anything that cannot follow a client, except for what no query can tell. One row of
/// one column, `t` or `f`. All that is temporary depends on the session's own schema. Outside of a transaction all advisory locks are those of the session, and all cursors are
/// `WITH HOLD`.
pub(crate) const CHECK: &str = "SELECT \
    EXISTS (SELECT FROM pg_catalog.pg_depend \
        WHERE refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_namespace'::pg_catalog.regclass \
        AND refobjid OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()) \
    OR EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype OPERATOR(pg_catalog.=) 'advisory' \
        AND pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()) \
    OR EXISTS (SELECT FROM pg_catalog.pg_cursors) \
    OR EXISTS (SELECT FROM pg_catalog.pg_prepared_statements WHERE from_sql) \
    OR EXISTS (SELECT FROM pg_catalog.pg_listening_channels())";

impl Pin {
    /// The words that clients and operators see.
    pub fn reason(&self) -> &str {
        match self {
            Pin::Policy(reason) => reason,
            Pin::Mode | Pin::State(_) => self.word(),
        }
    }

    /// The same where few words must do, whatever policies say.
    pub fn word(&self) -> &'static str {
        match self {
            Pin::Mode => "session pooling",
            Pin::State(reason) => reason.name(),
            Pin::Policy(_) => "policy",
        }
    }

    /// Whether [`CHECK`] can tell that the cause is gone.
    pub(crate) fn can_be_checked(&self) -> bool {
        match self {
            Pin::State(reason) => reason.can_be_checked(),
            Pin::Mode | Pin::Policy(_) => false,
        }
    }

    /// Whether settings and names still mean what they are known to mean.
    pub(crate) fn leaves_meaning(&self) -> bool {
        use PinReason::{AdvisoryLock, HoldCursor, Listen, Sequence, SqlPrepare};
        match self {
            Pin::State(reason) => {
                matches!(reason, Listen | AdvisoryLock | HoldCursor | SqlPrepare | Sequence)
            }
            Pin::Mode | Pin::Policy(_) => true,
        }
    }

    /// Whether DISCARD ALL takes the cause away. A library stays loaded, and so may what a function keeps; what was not seen is not known.
    pub(crate) fn is_discarded(&self) -> bool {
        match self {
            Pin::State(reason) => !matches!(
                reason,
                PinReason::Load
                    | PinReason::Function
                    | PinReason::UnknownFunction
                    | PinReason::Unseen
            ),
            Pin::Mode | Pin::Policy(_) => false,
        }
    }
}
