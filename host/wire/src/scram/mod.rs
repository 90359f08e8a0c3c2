//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677) as PostgreSQL does it (auth-scram.c, fe-auth-scram.c): the user name
//! in the messages is ignored, and passwords that SASLprep refuses are used as they are.
//! Nonces come from the caller.

mod client;
mod keys;
mod server;

pub use client::{Challenge, Client, ClientError};
pub use keys::{ClientKeys, Verifier, VerifierError, fits};
pub use server::{Server, ServerError};

/// The mechanism's name.
pub const MECHANISM: &str = "SCRAM-SHA-256";

/// Its name with channel binding.
pub const MECHANISM_PLUS: &str = "SCRAM-SHA-256-PLUS";

/// How a login is bound to the TLS connection that it is made over, so that nobody can pass it on over another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding<'a> {
    /// Not: this side cannot.
    Impossible,
    /// Not, although this side could.
    Unused,
    /// By this hash of the server's certificate: `tls-server-end-point` of RFC 5929.
    EndPoint(&'a [u8]),
}

impl Binding<'_> {
    /// The mechanism that it takes.
    pub fn mechanism(&self) -> &'static str {
        match self {
            Binding::Impossible | Binding::Unused => MECHANISM,
            Binding::EndPoint(_) => MECHANISM_PLUS,
        }
    }

    /// The gs2-header, as a client says it: without an authorisation identity, which PostgreSQL refuses.
    fn header(&self) -> &'static str {
        match self {
            Binding::Impossible => "n,,",
            Binding::Unused => "y,,",
            Binding::EndPoint(_) => "p=tls-server-end-point,,",
        }
    }

    /// What a client repeats under the protection of its proof: the header, and what binds.
    fn input(&self) -> Vec<u8> {
        let data = if let Binding::EndPoint(hash) = self { hash } else { &[][..] };
        [self.header().as_bytes(), data].concat()
    }
}

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

fn decode(text: &str) -> Option<Vec<u8>> {
    if text.len() > crate::limits::MAX_SCRAM_FIELD * 2 {
        return None;
    }
    STANDARD.decode(text).ok()
}

/// The value of an attribute `x=value`, when the field is one.
fn attribute(field: Option<&str>, name: char) -> Option<&str> {
    field?.strip_prefix(name)?.strip_prefix('=')
}
