//! SCRAM-SHA-256 (RFC 5802, RFC 7677) as PostgreSQL does it (auth-scram.c, fe-auth-scram.c): the user name
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
