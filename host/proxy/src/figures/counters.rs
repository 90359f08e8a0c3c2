use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use howdah_cluster::{ClusterId, NodeId};
use howdah_decision::{Kind, Outcome};

use super::histogram::Histogram;
use super::words::{Count, Counts, words};
use super::{ClientEnd, Words};
use crate::frontend::{LoginFailure, LoginMethod, TlsSpoken};

words! {
    /// What statements are, for those who look at graphs.
    pub(crate) enum Sort {
        /// They only read.
        Read = "read",
        /// They change rows or the schema.
        Write = "write",
        /// The boundaries of transactions, settings, maintenance, and what is not understood.
        Other = "other",
    }
}

impl From<Kind> for Sort {
    fn from(kind: Kind) -> Sort {
        match kind {
            Kind::Read => Sort::Read,
            Kind::Write | Kind::Ddl => Sort::Write,
            _ => Sort::Other,
        }
    }
}

words! {
    /// Whose word a batch followed.
    pub(crate) enum Source {
        /// A policy's, given now or remembered.
        Policy = "policy",
        /// No policy had an opinion.
        Nobody = "nobody",
        /// A policy failed, and its `on_failure` decided.
        Failure = "failure",
        /// A standby had refused the like of it before.
        Learned = "learned",
        /// It was part of a transaction, or of a session that stays on its server.
        Bound = "bound",
    }
}

impl From<howdah_decision::Source> for Source {
    fn from(source: howdah_decision::Source) -> Source {
        match source {
            howdah_decision::Source::Policy => Source::Policy,
            howdah_decision::Source::Nobody => Source::Nobody,
            howdah_decision::Source::Failure => Source::Failure,
            howdah_decision::Source::Learned => Source::Learned,
            howdah_decision::Source::Bound => Source::Bound,
        }
    }
}

/// Where something happened: on a node, or nowhere, for a session of this cluster.
pub(crate) type Whereabouts = Result<NodeId, ClusterId>;

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ran {
    /// Microseconds from when it was complete to when its answer was.
    pub(crate) latency: u64,
    /// Of these, waiting for a server.
    pub(crate) waited: u64,
    /// Rows and bytes that the client got.
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    /// Of its first error.
    pub(crate) sqlstate: Option<[u8; 5]>,
    /// The server was a standby; none when there was no server.
    pub(crate) on_standby: Option<bool>,
}

/// What one worker has counted. On cache lines of its own.
#[repr(align(128))]
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Connections of clients, those that are still to log in included. The only number that two threads change.
    pub(crate) clients: AtomicUsize,
    /// Connections of clients so far.
    pub(crate) connections: Count,
    /// Requests to cancel.
    pub(crate) cancels: Count,
    /// Errors of the proxy's own.
    pub(crate) refused: Count,
    /// Batches that were sent again.
    pub(crate) retried: Count,
    pub(crate) logins: Counts<LoginMethod>,
    pub(crate) failures: Counts<LoginFailure>,
    pub(crate) ends: Counts<ClientEnd>,
    pub(crate) handshakes: Counts<TlsSpoken>,
    /// Commits whose answer was lost, by what is proven of them.
    proven: [AtomicU64; 3],
    /// Transactions that were run again: those that were lost all the same, and those that went on.
    replayed: [AtomicU64; 2],
    /// By node, then by cluster for what no node was asked.
    places: Vec<Place>,
    nodes: usize,
    errors: Errors,
}

/// What has happened at one node.
#[derive(Debug, Default)]
pub(crate) struct Place {
    /// Leases: for batches that only read, and for others.
    pub(crate) reads: Count,
    pub(crate) others: Count,
    /// Rows and bytes that clients got.
    pub(crate) rows: Count,
    pub(crate) bytes: Count,
    /// How long clients waited for a server, when they had to.
    pub(crate) waits: Histogram,
    latencies: [[Histogram; Source::ALL.len()]; Sort::ALL.len()],
}

impl Place {
    /// How long batches of all kinds took.
    pub(crate) fn latencies(&self) -> impl Iterator<Item = &Histogram> {
        self.latencies.iter().flatten()
    }

    /// How long batches took.
    pub(crate) fn latency(&self, sort: Sort, source: Source) -> &Histogram {
        &self.latencies[sort.index()][source.index()]
    }
}

impl Counters {
    /// Zero for so many nodes and clusters.
    pub(crate) fn new(nodes: usize, clusters: usize) -> Counters {
        let places = (0..nodes + clusters).map(|_| Place::default()).collect();
        Counters { places, nodes, ..Counters::default() }
    }

    /// Connected clients.
    pub(crate) fn clients(&self) -> usize {
        self.clients.load(Ordering::Relaxed)
    }

    /// What has happened there.
    pub(crate) fn place(&self, at: Whereabouts) -> Option<&Place> {
        let index = match at {
            Ok(node) => usize::from(node.0),
            Err(cluster) => self.nodes + usize::from(cluster.0),
        };
        self.places.get(index)
    }

    /// A server was leased for a batch, or for what begins with one.
    pub(crate) fn leased(&self, node: NodeId, reads: bool) {
        if let Some(place) = self.place(Ok(node)) {
            let count = if reads { &place.reads } else { &place.others };
            count.add(1);
        }
    }

    /// A client has waited so many microseconds for a server, of a node or in vain.
    pub(crate) fn waited(&self, at: Whereabouts, us: u64) {
        if let Some(place) = self.place(at) {
            place.waits.add(us);
        }
    }

    /// A batch has been answered.
    pub(crate) fn ran(&self, at: Whereabouts, sort: Sort, source: Source, ran: &Ran) {
        if let Some(place) = self.place(at) {
            place.latency(sort, source).add(ran.latency);
            place.rows.add(ran.rows);
            place.bytes.add(ran.bytes);
        }
        if let Some(sqlstate) = ran.sqlstate {
            self.errors.add(sqlstate);
        }
    }

    /// Errors that clients got, by the class of their SQLSTATE, of which there are some.
    pub(crate) fn errors(&self) -> impl Iterator<Item = (String, u64)> {
        self.errors.read()
    }

    pub(crate) fn prove(&self, outcome: Outcome) {
        self.proven[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Commits whose answer was lost, and of which this was proven.
    pub(crate) fn proven(&self, outcome: Outcome) -> u64 {
        self.proven[outcome as usize].load(Ordering::Relaxed)
    }

    pub(crate) fn replay(&self, same: bool) {
        self.replayed[usize::from(same)].fetch_add(1, Ordering::Relaxed);
    }

    /// Transactions that were run again, and (`same`) went on, or were lost all the same.
    pub(crate) fn replayed(&self, same: bool) -> u64 {
        self.replayed[usize::from(same)].load(Ordering::Relaxed)
    }
}

/// The characters of an SQLSTATE.
const DIGITS: &[u8; 36] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// Errors by the class of their SQLSTATE, which is its first two characters. Functions may raise whatever they like, so
/// there is room for all classes that there can be.
#[derive(Debug)]
struct Errors(Box<[Count]>);

impl Default for Errors {
    fn default() -> Errors {
        Errors((0..DIGITS.len() * DIGITS.len()).map(|_| Count::default()).collect())
    }
}

impl Errors {
    fn add(&self, sqlstate: [u8; 5]) {
        let digit = |byte: u8| DIGITS.iter().position(|digit| *digit == byte);
        // A server that sends another character is none of PostgreSQL's kind: an internal error.
        let class = digit(sqlstate[0]).zip(digit(sqlstate[1])).unwrap_or((33, 33));
        if let Some(count) = self.0.get(class.0 * DIGITS.len() + class.1) {
            count.add(1);
        }
    }

    fn read(&self) -> impl Iterator<Item = (String, u64)> {
        let name = |class: usize| {
            [DIGITS[class / DIGITS.len()], DIGITS[class % DIGITS.len()]].map(char::from)
        };
        let some = self.0.iter().map(Count::get).enumerate().filter(|(_, count)| *count > 0);
        some.map(move |(class, count)| (name(class).iter().collect(), count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_node_was_asked_is_counted_by_cluster() {
        let counters = Counters::new(3, 2);
        let ran = Ran { latency: 70, rows: 2, bytes: 30, ..Ran::default() };
        counters.ran(Ok(NodeId(2)), Sort::Read, Source::Policy, &ran);
        counters.ran(Err(ClusterId(1)), Sort::Read, Source::Policy, &ran);
        counters.ran(Err(ClusterId(2)), Sort::Read, Source::Policy, &ran);
        let read = |at| {
            let place = counters.place(at)?;
            Some((place.rows.get(), place.latency(Sort::Read, Source::Policy).read().sum))
        };
        assert_eq!([read(Ok(NodeId(2))), read(Err(ClusterId(1)))], [Some((2, 70)); 2]);
        assert_eq!(read(Err(ClusterId(0))), Some((0, 0)));
        assert_eq!(read(Err(ClusterId(2))), None);
    }

    #[test]
    fn errors_are_counted_by_their_class() {
        let counters = Counters::new(0, 1);
        for sqlstate in [b"42P01", b"42601", b"ZZ999", b"00000", b"p0001"] {
            let ran = Ran { sqlstate: Some(*sqlstate), ..Ran::default() };
            counters.ran(Err(ClusterId(0)), Sort::Write, Source::Bound, &ran);
        }
        let errors: Vec<_> = counters.errors().collect();
        let some = [("00", 1), ("42", 2), ("XX", 1), ("ZZ", 1)];
        assert_eq!(errors, some.map(|(class, count)| (class.to_owned(), count)));
    }
}
