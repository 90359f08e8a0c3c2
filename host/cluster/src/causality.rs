use std::time::Instant;

use crate::{ClusterId, NodeState, Snapshot};

/// A point in the history of a cluster: a position in its WAL. Points compare on one timeline only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// The timeline.
    pub timeline: u32,
    /// The position.
    pub lsn: u64,
}

/// What a node must have seen for a session to read from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MustHaveSeen {
    /// Nothing in particular.
    Anything,
    /// All up to this point.
    All(Token),
    /// All that there is: only the primary has.
    Everything,
}

impl MustHaveSeen {
    /// Whether a standby has, as far as its last sample tells. Replay only goes on, so an old sample errs on the safe side.
    pub fn by(self, standby: &NodeState) -> bool {
        match self {
            MustHaveSeen::Anything => true,
            MustHaveSeen::All(token) => {
                standby.timeline == token.timeline && standby.lsn >= token.lsn
            }
            MustHaveSeen::Everything => false,
        }
    }
}

/// What a session's reads must see of its own writes.
#[derive(Debug, Default)]
pub struct Causality {
    written: Option<Written>,
}

#[derive(Debug)]
struct Written {
    /// When the last write had been answered.
    at: Instant,
    /// A point that is certainly not before it.
    token: Option<Token>,
}

impl Causality {
    /// A write has been answered, or may have taken effect.
    pub fn wrote(&mut self, at: Instant) {
        self.written = Some(Written { at, token: None });
    }

    /// What a node must have seen. A sample of the primary that was asked for after the write is not before it; until there
    /// is one, and again when the primary is on another timeline, only the primary will do. Without a primary the point that
    /// is known still counts.
    pub fn demand(&mut self, snapshot: &Snapshot, cluster: ClusterId) -> MustHaveSeen {
        let Some(written) = &mut self.written else { return MustHaveSeen::Anything };
        let primary = snapshot.primary(cluster).and_then(|node| snapshot.state(node));
        if let Some(primary) = primary
            && written.token.is_none_or(|token| token.timeline != primary.timeline)
        {
            let later = primary.sampled.is_some_and(|asked| asked > written.at);
            written.token = later.then_some(Token { timeline: primary.timeline, lsn: primary.lsn });
        }
        written.token.map_or(MustHaveSeen::Everything, MustHaveSeen::All)
    }
}
