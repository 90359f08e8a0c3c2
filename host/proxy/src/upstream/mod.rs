//! Connections to PostgreSQL servers.

mod cancel;
mod client;
mod connect;
mod endpoint;
mod error;
mod keys;
mod random;
mod secret;
mod stream;
#[cfg(test)]
pub(crate) mod tests;
mod tls;
mod verify;

use std::fmt;
use std::path::PathBuf;

pub use cancel::cancel;
pub use client::{Client, QueryError, Rows};
pub use connect::{Connected, connect};
pub use endpoint::{Encryption, Endpoint};
pub use error::{ConnectError, Fault};
pub use keys::KeyCache;
pub(crate) use keys::Shown;
pub(crate) use random::nonce;
pub use random::random;
pub use secret::Secret;
pub use stream::{Detached, Stream};
pub(crate) use tls::ALPN;
pub(crate) use verify::{Authorities, Check, Verifier};

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
