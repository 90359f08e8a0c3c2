//! What is counted of clients that come.

use howdah_wire::backend::ErrorReport;

use crate::figures::words;

words! {
    /// How a client that was let in has proven who it is.
    pub enum LoginMethod {
        /// It need not.
        Trust = "trust",
        /// With a password, by SCRAM-SHA-256.
        Scram = "scram-sha-256",
        /// With a password, by MD5.
        Md5 = "md5",
        /// With a password in clear.
        Password = "password",
        /// By the certificate of its TLS connection.
        Certificate = "cert",
    }
}

words! {
    /// Why a connection did not become a client.
    pub enum LoginFailure {
        /// The password was wrong, or there is no such user.
        WrongPassword = "wrong password",
        /// No rule lets it in, or not in this way (SQLSTATE 28000).
        NotAllowed = "not allowed",
        /// There is no such database.
        NoDatabase = "no database",
        /// There were too many clients, or they came too fast.
        Limit = "limit",
        /// It took longer than `limits.login_timeout`.
        Timeout = "timeout",
        /// What it sent is malformed, or not supported.
        Protocol = "protocol",
        /// The TLS handshake failed.
        Handshake = "tls handshake",
        /// It left before it had said who it is, as load balancers do that look whether somebody listens.
        Left = "connection closed",
        /// A policy refused it.
        Policy = "policy",
        /// No server could be had to greet it, or a server refused its login; or the proxy was being shut down.
        Server = "server",
    }
}

impl LoginFailure {
    /// By what the client was told.
    pub(crate) fn of(report: &ErrorReport) -> LoginFailure {
        match report.sqlstate() {
            b"28P01" => LoginFailure::WrongPassword,
            b"28000" => LoginFailure::NotAllowed,
            b"3D000" => LoginFailure::NoDatabase,
            b"53300" => LoginFailure::Limit,
            b"57014" => LoginFailure::Timeout,
            b"08P01" | b"0A000" | b"22021" | b"22023" | b"42622" => LoginFailure::Protocol,
            b"08006" => LoginFailure::Left,
            _ => LoginFailure::Server,
        }
    }
}

words! {
    /// The version of TLS that a client speaks.
    pub enum TlsSpoken {
        /// TLS 1.2.
        V1_2 = "1.2",
        /// TLS 1.3.
        V1_3 = "1.3",
    }
}
