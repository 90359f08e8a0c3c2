use std::sync::Arc;

use crate::Kind;

/// Whose word a statement followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A policy's, given now or remembered.
    Policy,
    /// No policy had an opinion.
    Nobody,
    /// A policy failed, and its `on_failure` decided.
    Failure,
    /// A standby had refused the like of it before.
    Learned,
    /// It was part of a transaction, or of a session that stays on its server.
    Bound,
}

/// What became of a statement, or of a batch of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// As in [`crate::Client`].
    pub session: u64,
    /// The session class.
    pub class: u32,
    /// The most demanding kind of the batch.
    pub kind: Kind,
    /// Of the statement with that kind.
    pub digest: u64,
    /// The node; none when no server was asked.
    pub node: Option<Arc<str>>,
    /// Whose word it followed.
    pub source: Source,
    /// Microseconds from when it was complete to when its answer was.
    pub latency_us: u64,
    /// Of these, waiting for a server.
    pub waited_us: u64,
    /// Rows that the client got.
    pub rows: u64,
    /// Bytes that the client got.
    pub bytes: u64,
    /// Of its first error.
    pub sqlstate: Option<[u8; 5]>,
}
