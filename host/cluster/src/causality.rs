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

impl std::fmt::Display for Token {
    /// As in the name of a WAL file and in `pg_lsn`: `00000001:0/3000090`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (high, low) = (self.lsn >> 32, self.lsn & u64::from(u32::MAX));
        write!(f, "{:08X}:{high:X}/{low:X}", self.timeline)
    }
}

impl std::str::FromStr for Token {
    type Err = ();

    fn from_str(text: &str) -> Result<Token, ()> {
        let (timeline, lsn) = text.split_once(':').ok_or(())?;
        let (high, low) = lsn.split_once('/').ok_or(())?;
        let number = |digits: &str| match digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            true => u32::from_str_radix(digits, 16).map_err(|_| ()),
            false => Err(()),
        };
        let lsn = u64::from(number(high)?) << 32 | u64::from(number(low)?);
        Ok(Token { timeline: number(timeline)?, lsn })
    }
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

/// What a session's reads must see: its own writes, and what it was told to follow.
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

    /// Whether anything must be seen, and from which point on it certainly is, if that is known.
    pub fn written(&self) -> Option<Option<Token>> {
        self.written.as_ref().map(|written| written.token)
    }

    /// Another session has come to this point, and what it saw shall be seen here too.
    pub fn follow(&mut self, token: Token, at: Instant) {
        let token = match self.written.as_ref().map(|written| written.token) {
            None => Some(token),
            Some(Some(own)) if own.timeline == token.timeline => {
                Some(Token { lsn: own.lsn.max(token.lsn), ..token })
            }
            // Only a sample that is still to come is behind both.
            Some(_) => None,
        };
        self.written = Some(Written { at, token });
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
