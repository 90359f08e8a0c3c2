use std::io;

use howdah_wire::backend::ErrorReport;
use howdah_wire::scram::ClientError;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The network, or nobody listens.
    #[error("{0}")]
    Io(io::Error),
    /// There is no encryption that both sides want, or a certificate is not what it must be.
    #[error("{0}")]
    Tls(String),
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// The server says no.
    #[error("the server says: {0}")]
    Refused(ErrorReport),
    /// The server wants what we do not have.
    #[error("{0}")]
    Login(&'static str),
    /// The server does not speak PostgreSQL's protocol as we know it.
    #[error("the server broke the protocol: {0}")]
    Protocol(&'static str),
    /// The server does not speak SCRAM as we know it, or is not who it says.
    #[error("{0}")]
    Scram(#[from] ClientError),
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> ConnectError {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match inner {
            Some(tls) => ConnectError::Tls(format!("TLS: {tls}")),
            None => ConnectError::Io(error),
        }
    }
}

/// What a failed login tells about whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The node is not there, or is shutting down, or is no PostgreSQL: another may do better.
    Node,
    /// The node is there and will be ready soon, or is a standby that does not take connections (57P03).
    StartingUp,
    /// The node is well and has no room (53300): there may be some when a connection ends.
    TooManyClients,
    /// Role, password, certificate, database or a start-up parameter is wrong: no node will do better.
    Login,
}

impl ConnectError {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            ConnectError::Io(_)
            | ConnectError::Timeout
            | ConnectError::Protocol(_)
            | ConnectError::Scram(_) => Fault::Node,
            ConnectError::Login(_) | ConnectError::Tls(_) => Fault::Login,
            ConnectError::Refused(report) => match report.sqlstate() {
                b"57P03" => Fault::StartingUp,
                b"53300" => Fault::TooManyClients,
                // Class 57: operator intervention. 53: no memory, disk or files. 58: system error. XX: internal.
                [b'5', b'7' | b'3' | b'8', ..] | [b'X', b'X', ..] => Fault::Node,
                _ => Fault::Login,
            },
        }
    }

    /// Whether another node may do better.
    pub fn blames_node(&self) -> bool {
        self.fault() != Fault::Login
    }
}
