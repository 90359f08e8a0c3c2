/// What may have happened to a statement that failed: how safe it is to run it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Safety {
    /// Nothing of it has reached a server.
    Unsent,
    /// The server refused it before it had an effect.
    Refused,
    /// It ran on a standby, and nothing of its result was delivered.
    OnStandby,
    /// It only reads, and nothing of its result was delivered.
    Read,
    /// It is part of a transaction that is lost as a whole.
    InTransaction,
    /// A commit was on its way.
    Commit,
    /// It may have had an effect, or part of its result was delivered.
    Unknown,
}

impl Safety {
    /// The class of this name.
    pub fn named(name: &str) -> Option<Safety> {
        use Safety::{Commit, InTransaction, OnStandby, Read, Refused, Unknown, Unsent};
        let all = [Unsent, Refused, OnStandby, Read, InTransaction, Commit, Unknown];
        all.into_iter().find(|safety| safety.name() == name)
    }

    /// The word that policies and recordings use.
    pub fn name(self) -> &'static str {
        match self {
            Safety::Unsent => "unsent",
            Safety::Refused => "refused",
            Safety::OnStandby => "on-standby",
            Safety::Read => "read",
            Safety::InTransaction => "in-transaction",
            Safety::Commit => "commit",
            Safety::Unknown => "unknown",
        }
    }

    /// Whether the statement may be sent again.
    pub fn allows_again(self) -> bool {
        matches!(self, Safety::Unsent | Safety::Refused | Safety::OnStandby | Safety::Read)
    }
}

/// What is proven of a commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing.
    #[default]
    Unknown,
    /// It took effect.
    Committed,
    /// It did not.
    NotCommitted,
}

impl Outcome {
    /// The outcome of this name.
    pub fn named(name: &str) -> Option<Outcome> {
        let all = [Outcome::Unknown, Outcome::Committed, Outcome::NotCommitted];
        all.into_iter().find(|outcome| outcome.name() == name)
    }

    /// The word that policies and recordings use.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Unknown => "unknown",
            Outcome::Committed => "committed",
            Outcome::NotCommitted => "not-committed",
        }
    }
}

/// A statement that failed, or lost its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What the server said; none when it went away.
    pub sqlstate: Option<[u8; 5]>,
    /// How safe it is to run it again.
    pub safety: Safety,
    /// What is proven of a commit.
    pub outcome: Outcome,
    /// The transaction could be replayed.
    pub replayable: bool,
    /// How often it has been sent, from 1.
    pub attempt: u32,
}

/// Where a statement goes that is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The node that it failed on.
    Same,
    /// Any other node that the routing decision allows.
    Another,
    /// The primary.
    Primary,
}

/// A statement is to be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Again {
    /// Where to.
    pub target: Target,
    /// How long to wait first, in milliseconds.
    pub delay_ms: u32,
}

/// What becomes of a statement that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retry {
    /// The host's own rule.
    #[default]
    NoOpinion,
    /// The client gets the error.
    GiveUp,
    /// It is sent again.
    Again(Again),
    /// The whole transaction is run again.
    Replay,
}
