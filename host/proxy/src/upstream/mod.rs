//! Connections to PostgreSQL servers.

mod cancel;
mod client;
mod connect;
mod secret;
mod stream;

use std::fmt;
use std::path::PathBuf;

pub use cancel::cancel;
pub use client::{Client, QueryError, Rows};
pub(crate) use connect::{nonce, random};
pub use connect::{ConnectError, Connected, KeyCache, connect};
pub use secret::Secret;
pub use stream::{Detached, Stream};

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// A name, an address, or the absolute path of the directory of a Unix socket.
    pub host: String,
    /// Port, also part of a Unix socket's name.
    pub port: u16,
}

impl Target {
    /// The path of the Unix socket, when it is one.
    pub(crate) fn socket(&self) -> Option<PathBuf> {
        self.host.starts_with('/').then(|| format!("{}/.s.PGSQL.{}", self.host, self.port).into())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Who we are to a server.
#[derive(Clone, Debug)]
pub struct Login {
    /// Role.
    pub user: String,
    /// Database.
    pub database: String,
    /// Password, when the server may ask for one.
    pub password: Option<Secret>,
    /// Further start-up parameters.
    pub parameters: Vec<(String, String)>,
}
