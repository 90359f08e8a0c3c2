//! What is counted. Each worker counts what its sessions do in memory that only it writes and others read, so that
//! counting takes no lock, no allocation and no instruction that other cores must agree on. What comes and goes rarely,
//! such as connections, is counted together.

mod counters;
mod histogram;
mod servers;
mod statements;
mod words;

pub(crate) use counters::{Counters, Place, Ran, Sort, Source, Whereabouts};
pub(crate) use histogram::{BUCKETS, Distribution, Histogram, bound, micros};
pub(crate) use servers::{Life, ServerEnd, Servers};
pub(crate) use statements::{Figures, Row, Statement, Statements, kept, merged};
pub(crate) use words::{Count, Words, words};

words! {
    /// Why the connection of a client that had been let in has ended.
    pub(crate) enum ClientEnd {
        /// The client said good-bye.
        Terminated = "terminated",
        /// Its connection was closed without a word.
        Closed = "connection closed",
        /// It was closed while the client waited for a server, for another attempt, or for the proof of a commit.
        ClosedWaiting = "connection closed while waiting",
        /// It took longer than `limits` allow.
        TimedOut = "timed out",
        /// An operator ended it.
        Ordered = "ended by an operator",
        /// The proxy was shut down.
        Drained = "drained",
        /// It goes on in the process that has taken over (`howdah upgrade`).
        Moved = "moved",
        /// It broke the protocol, or its server was lost in the middle of a row.
        Broken = "protocol",
        /// It replicated, and its server has gone.
        ServerGone = "server gone",
    }
}
