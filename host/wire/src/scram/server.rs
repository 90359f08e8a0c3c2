use super::keys::{hash, hmac, xor};
use super::{ClientKeys, Verifier, attribute, decode, encode};
use crate::limits::MAX_SCRAM_FIELD;
use crate::same;

/// Why a client is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServerError {
    /// The message is not of the form that RFC 5802 gives it: 08P01.
    #[error("malformed SCRAM message")]
    Malformed,
    /// The client wants channel binding, which was not offered: 08P01.
    #[error("channel binding was not offered")]
    ChannelBinding,
    /// The proof is wrong: 28P01.
    #[error("the proof is wrong")]
    Proof,
}

/// Our side when a client logs in to us.
pub struct Server<'a> {
    verifier: &'a Verifier,
    nonce: String,
    /// As the client-first-message had it: `n` or `y`.
    binding: char,
    auth_message: String,
}

impl<'a> Server<'a> {
    /// A server with a nonce of printable characters without commas.
    pub fn new(verifier: &'a Verifier, nonce: &str) -> Server<'a> {
        Server { verifier, nonce: nonce.to_owned(), binding: 'n', auth_message: String::new() }
    }

    /// Reads the client-first-message and makes the server-first-message.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub fn first(&mut self, client_first: &[u8]) -> Result<String, ServerError> {
        let text = std::str::from_utf8(client_first).map_err(|_| ServerError::Malformed)?;
        // gs2-header: binding flag, authorisation identity (which PostgreSQL refuses), then the bare message.
        let (flag, rest) = text.split_once(',').ok_or(ServerError::Malformed)?;
        self.binding = match flag {
            "n" => 'n',
            "y" => 'y',
            _ if flag.starts_with("p=") => return Err(ServerError::ChannelBinding),
            _ => return Err(ServerError::Malformed),
        };
        let bare = rest.strip_prefix(',').ok_or(ServerError::Malformed)?;
        let mut fields = bare.split(',');
        attribute(fields.next(), 'n').ok_or(ServerError::Malformed)?;
        let theirs = attribute(fields.next(), 'r').ok_or(ServerError::Malformed)?;
        let printable = theirs.bytes().all(|b| (0x21..=0x7e).contains(&b));
        if theirs.is_empty() || theirs.len() > MAX_SCRAM_FIELD || !printable {
            return Err(ServerError::Malformed);
        }
        self.nonce.insert_str(0, theirs);
        let verifier = self.verifier;
        let first =
            format!("r={},s={},i={}", self.nonce, encode(&verifier.salt), verifier.iterations);
        self.auth_message = format!("{bare},{first},");
        Ok(first)
    }

    /// Checks the client-final-message and makes the server-final-message. The keys let us log in to a
    /// server that holds the same verifier.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub fn last(&mut self, client_final: &[u8]) -> Result<(String, ClientKeys), ServerError> {
        let text = std::str::from_utf8(client_final).map_err(|_| ServerError::Malformed)?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(ServerError::Malformed)?;
        let proof: [u8; 32] =
            decode(proof).and_then(|p| p.try_into().ok()).ok_or(ServerError::Malformed)?;
        let mut fields = without_proof.split(',');
        let binding = attribute(fields.next(), 'c').and_then(decode);
        if binding != Some(format!("{},,", self.binding).into_bytes()) {
            return Err(ServerError::ChannelBinding);
        }
        let nonce = attribute(fields.next(), 'r').ok_or(ServerError::Malformed)?;
        if self.auth_message.is_empty() || !same(nonce.as_bytes(), self.nonce.as_bytes()) {
            return Err(ServerError::Malformed);
        }
        self.auth_message.push_str(without_proof);
        let message = self.auth_message.as_bytes();
        let client_key = xor(&proof, &hmac(&self.verifier.stored_key, &[message]));
        if !same(&hash(&client_key), &self.verifier.stored_key) {
            return Err(ServerError::Proof);
        }
        let signature = hmac(&self.verifier.server_key, &[message]);
        let keys = ClientKeys { client_key, server_key: self.verifier.server_key };
        Ok((format!("v={}", encode(&signature)), keys))
    }
}
