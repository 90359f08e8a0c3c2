use super::keys::{hash, hmac, xor};
use super::{Binding, ClientKeys, Verifier, attribute, decode, encode};
use crate::limits::MAX_SCRAM_FIELD;
use crate::same;

/// Why a client is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServerError {
    /// The message is not of the form that RFC 5802 gives it: 08P01.
    #[error("malformed SCRAM message")]
    Malformed,
    /// The client's mechanism, or its last message, does not go with what its first one says of channel binding: 08P01.
    #[error("the client contradicts itself about channel binding")]
    Contradiction,
    /// Another kind of channel binding than `tls-server-end-point`: 08P01.
    #[error("unsupported SCRAM channel-binding type")]
    BindingType,
    /// The client does not know that channel binding was offered: somebody may have hidden that from it. 28000.
    #[error("SCRAM channel binding negotiation error")]
    Negotiation,
    /// What it is bound to is another connection: somebody is between. 28000.
    #[error("SCRAM channel binding check failed")]
    Binding,
    /// The proof is wrong: 28P01.
    #[error("the proof is wrong")]
    Proof,
}

/// Our side when a client logs in to us.
pub struct Server<'a> {
    verifier: &'a Verifier,
    nonce: String,
    binding: Binding<'a>,
    /// What the client must repeat of it.
    input: Vec<u8>,
    auth_message: String,
}

impl<'a> Server<'a> {
    /// A server with a nonce of printable characters without commas. [`Binding::Unused`] when it was offered, and the
    /// client has chosen the mechanism without it.
    pub fn new(verifier: &'a Verifier, nonce: &str, binding: Binding<'a>) -> Server<'a> {
        let (nonce, auth_message) = (nonce.to_owned(), String::new());
        Server { verifier, nonce, binding, input: Vec::new(), auth_message }
    }

    /// Reads the client-first-message and makes the server-first-message.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub fn first(&mut self, client_first: &[u8]) -> Result<String, ServerError> {
        let text = std::str::from_utf8(client_first).map_err(|_| ServerError::Malformed)?;
        // gs2-header: binding flag, authorisation identity (which PostgreSQL refuses), then the bare message.
        let (flag, rest) = text.split_once(',').ok_or(ServerError::Malformed)?;
        let theirs = self.theirs(flag)?;
        self.input = theirs.input();
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

    /// What the client says of channel binding, where that goes with what it was offered and has chosen.
    fn theirs(&self, flag: &str) -> Result<Binding<'a>, ServerError> {
        match (flag, self.binding) {
            ("n" | "y", Binding::EndPoint(_)) => Err(ServerError::Contradiction),
            ("n", _) => Ok(Binding::Impossible),
            ("y", Binding::Impossible) => Ok(Binding::Unused),
            ("y", Binding::Unused) => Err(ServerError::Negotiation),
            (_, binding) => match (flag.strip_prefix("p="), binding) {
                (None, _) => Err(ServerError::Malformed),
                (Some("tls-server-end-point"), Binding::EndPoint(_)) => Ok(binding),
                (Some(_), Binding::EndPoint(_)) => Err(ServerError::BindingType),
                (Some(_), _) => Err(ServerError::Contradiction),
            },
        }
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
        if self.auth_message.is_empty() {
            return Err(ServerError::Malformed);
        }
        let mut fields = without_proof.split(',');
        let input = attribute(fields.next(), 'c').and_then(decode);
        if input.as_ref() != Some(&self.input) {
            return Err(match self.binding {
                Binding::EndPoint(_) => ServerError::Binding,
                Binding::Impossible | Binding::Unused => ServerError::Contradiction,
            });
        }
        let nonce = attribute(fields.next(), 'r').ok_or(ServerError::Malformed)?;
        if !same(nonce.as_bytes(), self.nonce.as_bytes()) {
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
