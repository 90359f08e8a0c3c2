use crate::types::{Client, Node, Rewritten, SessionDecision, Settings, Statement, Verdict};

/// Checks and takes in the policy's settings. Asked first, once per instance.
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
