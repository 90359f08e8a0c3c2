use crate::types::{
    Client, Failure, Node, Observation, RetryDecision, Rewritten, SessionDecision, Settings,
    Statement, Verdict,
};

/// Checks and takes in the policy's settings. Asked first, and again when only the settings have changed.
pub trait Configure: Default + 'static {
    /// # Errors
    /// The text tells the operator what is wrong; the previous version of the policy stays.
    fn configure(&mut self, settings: &Settings) -> Result<(), String>;
}

/// Asked once per client, after it has authenticated.
pub trait Session: Default + 'static {
    /// Whether, and how, the client is let in.
    fn open(&mut self, client: &Client) -> SessionDecision;

    /// The client has gone.
    fn closed(&mut self, _id: u64) {}
}

/// Asked once per statement batch outside of a transaction.
pub trait Route: Default + 'static {
    /// Where the statement goes.
    fn route(&mut self, statement: &Statement<'_>) -> Verdict;
}

/// Asked for each statement before it is routed.
pub trait Rewrite: Default + 'static {
    /// What becomes of its text.
    fn rewrite(&mut self, statement: &Statement<'_>) -> Rewritten;
}

/// Told when nodes have changed.
pub trait Topology: Default + 'static {
    /// All nodes of all clusters.
    fn changed(&mut self, epoch: u64, nodes: &[Node]);
}

/// Asked when a statement has failed, or has lost its server, and could be sent again.
pub trait Retry: Default + 'static {
    /// What becomes of it.
    fn failed(&mut self, failure: &Failure, statement: &Statement<'_>) -> RetryDecision;
}

/// Told afterwards what has become of statements.
pub trait Observe: Default + 'static {
    /// At most 256 of them, at least once a second when there were any.
    fn statements(&mut self, batch: &[Observation]);
}

/// Told when time has passed.
pub trait Tick: Default + 'static {
    /// In how many milliseconds it wants to be told again; 0: never.
    fn tick(&mut self) -> u32;
}

/// Hands what it knows to the next version of the policy.
pub trait State: Default + 'static {
    /// At most 1 MiB.
    fn snapshot(&mut self) -> Vec<u8>;

    /// What the previous version had to say.
    ///
    /// # Errors
    /// It is of no use: the policy begins without it, as a fresh instance. The text is logged.
    fn restore(&mut self, state: &[u8]) -> Result<(), String>;
}
