use crate::Refusal;

/// When a server goes back to its pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PoolMode {
    /// When the client leaves.
    Session,
    /// When the transaction ends.
    #[default]
    Transaction,
}

impl PoolMode {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            PoolMode::Session => "session",
            PoolMode::Transaction => "transaction",
        }
    }
}

/// A client that has authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Unique in this process.
    pub id: u64,
    /// The user that it authenticated as.
    pub user: String,
    /// The database that it asked for.
    pub database: String,
    /// `application_name`, or empty.
    pub application_name: String,
    /// IP address without the port.
    pub address: String,
    /// The remaining start-up parameters, as sent.
    pub parameters: Vec<(String, String)>,
}

/// How a client is let in. `None` leaves a choice to the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admission {
    /// Connect to servers as this user.
    pub user: Option<String>,
    /// Connect to this database.
    pub database: Option<String>,
    /// Use this cluster.
    pub cluster: Option<String>,
    /// Pool in this mode.
    pub pool_mode: Option<PoolMode>,
    /// Settings as if sent at start-up.
    pub settings: Vec<(String, String)>,
    /// Of the clients that wait for a server, those with a higher one go first.
    pub priority: i8,
    /// Longest wait for a server.
    pub max_wait_ms: Option<u32>,
    /// The session class.
    pub class: u32,
}

/// What the chain says to a new client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionDecision {
    /// Let it in.
    Accept(Admission),
    /// Send it away.
    Refuse(Refusal),
}
