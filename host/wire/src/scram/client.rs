use super::keys::{hash, hmac, xor};
use super::{Binding, ClientKeys, attribute, decode, encode};
use crate::limits::{MAX_SCRAM_FIELD, MAX_SCRAM_ITERATIONS};
use crate::same;

/// Why a client does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The server's message is not of the form that RFC 5802 gives it.
    #[error("malformed SCRAM message from the server")]
    Malformed,
    /// The server's nonce does not begin with ours.
    #[error("the server's SCRAM nonce is not ours")]
    Nonce,
    /// The server wants more work than [`MAX_SCRAM_ITERATIONS`].
    #[error("the server asks for too many SCRAM iterations")]
    Iterations,
    /// The server does not know the password either: it is not who it says.
    #[error("the server's SCRAM signature is wrong")]
    Signature,
}

/// Our side when we log in to a server.
pub struct Client<'a> {
    nonce: String,
    binding: Binding<'a>,
    auth_message: Vec<u8>,
    server_key: Option<[u8; 32]>,
}

/// What the server's first message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Salt of the password.
    pub salt: Vec<u8>,
    /// Rounds of PBKDF2.
    pub iterations: u32,
    nonce: String,
}

impl<'a> Client<'a> {
    /// A client with a nonce of printable characters without commas. [`Binding::Unused`] when the server does not offer
    /// it: a server that does then knows that somebody has come between.
    pub fn new(nonce: &str, binding: Binding<'a>) -> Client<'a> {
        Client { nonce: nonce.to_owned(), binding, auth_message: Vec::new(), server_key: None }
    }

    /// The client-first-message.
    pub fn first(&self) -> String {
        format!("{}n=,r={}", self.binding.header(), self.nonce)
    }

    /// Reads the server-first-message.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn challenge(&self, server_first: &[u8]) -> Result<Challenge, ClientError> {
        let text = std::str::from_utf8(server_first).map_err(|_| ClientError::Malformed)?;
        let mut fields = text.split(',');
        let nonce = attribute(fields.next(), 'r').ok_or(ClientError::Malformed)?;
        let salt = attribute(fields.next(), 's').and_then(decode).ok_or(ClientError::Malformed)?;
        let iterations: u32 = attribute(fields.next(), 'i')
            .and_then(|i| i.parse().ok())
            .ok_or(ClientError::Malformed)?;
        if !nonce.starts_with(&self.nonce) || nonce.len() <= self.nonce.len() {
            return Err(ClientError::Nonce);
        }
        if nonce.len() > MAX_SCRAM_FIELD || salt.is_empty() || salt.len() > MAX_SCRAM_FIELD {
            return Err(ClientError::Malformed);
        }
        if !(1..=MAX_SCRAM_ITERATIONS).contains(&iterations) {
            return Err(ClientError::Iterations);
        }
        Ok(Challenge { salt, iterations, nonce: nonce.to_owned() })
    }

    /// The client-final-message, from keys derived for this challenge.
    pub fn last(
        &mut self,
        server_first: &[u8],
        challenge: &Challenge,
        keys: &ClientKeys,
    ) -> String {
        let without_proof = format!("c={},r={}", encode(&self.binding.input()), challenge.nonce);
        self.auth_message = format!("n=,r={},", self.nonce).into_bytes();
        self.auth_message.extend_from_slice(server_first);
        self.auth_message.push(b',');
        self.auth_message.extend_from_slice(without_proof.as_bytes());
        self.server_key = Some(keys.server_key);
        let signature = hmac(&hash(&keys.client_key), &[&self.auth_message]);
        format!("{without_proof},p={}", encode(&xor(&keys.client_key, &signature)))
    }

    /// Checks the server-final-message.
    ///
    /// # Errors
    /// A server that does not know the password's verifier.
    pub fn verify(&self, server_final: &[u8]) -> Result<(), ClientError> {
        let text = std::str::from_utf8(server_final).map_err(|_| ClientError::Malformed)?;
        let signature = attribute(text.split(',').next(), 'v')
            .and_then(decode)
            .ok_or(ClientError::Malformed)?;
        let server_key = self.server_key.ok_or(ClientError::Malformed)?;
        match same(&hmac(&server_key, &[&self.auth_message]), &signature) {
            true => Ok(()),
            false => Err(ClientError::Signature),
        }
    }
}
