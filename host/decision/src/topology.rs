/// What a node is at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Role {
    /// It has not been asked, or does not answer.
    #[default]
    Unknown,
    /// `pg_is_in_recovery()` is false.
    Primary,
    /// `pg_is_in_recovery()` is true.
    Replica,
}

impl Role {
    /// The role of this name.
    pub fn named(name: &str) -> Option<Role> {
        [Role::Unknown, Role::Primary, Role::Replica].into_iter().find(|role| role.name() == name)
    }

    /// The word that logs and `SHOW` use.
    pub fn name(self) -> &'static str {
        match self {
            Role::Unknown => "unknown",
            Role::Primary => "primary",
            Role::Replica => "replica",
        }
    }
}

/// A node as policies see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// `host:port`, or the name given in the configuration.
    pub name: String,
    /// Its cluster.
    pub cluster: String,
    /// Its role.
    pub role: Role,
    /// It answered the last probe.
    pub up: bool,
    /// Bytes of WAL still to replay.
    pub lag_bytes: Option<u64>,
    /// Milliseconds behind.
    pub lag_ms: Option<u64>,
    /// From the configuration.
    pub labels: Vec<(String, String)>,
}
