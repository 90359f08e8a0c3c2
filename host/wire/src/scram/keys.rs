use std::borrow::Cow;
use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::{decode, encode};
use crate::limits::{MAX_SCRAM_FIELD, MAX_SCRAM_ITERATIONS};
use crate::same;

/// A SHA-256 hash.
pub(super) type Key = [u8; 32];

/// What a server keeps of a password: PostgreSQL's `pg_authid.rolpassword`. Not secret enough to log in
/// with, secret enough to hide.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    pub(super) iterations: u32,
    pub(super) salt: Vec<u8>,
    pub(super) stored_key: Key,
    pub(super) server_key: Key,
}

/// A text that is no verifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a SCRAM-SHA-256 verifier (SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey)")]
pub struct VerifierError;

/// What a client derives from a password, salt and iteration count. Costs milliseconds, so it is worth keeping.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientKeys {
    pub(super) client_key: Key,
    pub(super) server_key: Key,
}

impl ClientKeys {
    /// Derives the keys; `iterations` HMACs.
    pub fn derive(password: &[u8], salt: &[u8], iterations: u32) -> ClientKeys {
        let salted = salted_password(password, salt, iterations);
        ClientKeys {
            client_key: hmac(&salted, &[b"Client Key"]),
            server_key: hmac(&salted, &[b"Server Key"]),
        }
    }

    /// ClientKey and ServerKey, as another process can keep them.
    pub fn reveal(&self) -> ([u8; 32], [u8; 32]) {
        (self.client_key, self.server_key)
    }

    /// The same the other way.
    pub fn revealed(client_key: [u8; 32], server_key: [u8; 32]) -> ClientKeys {
        ClientKeys { client_key, server_key }
    }
}

impl Verifier {
    /// What a server keeps of this password.
    pub fn derive(password: &[u8], salt: &[u8], iterations: u32) -> Verifier {
        let keys = ClientKeys::derive(password, salt, iterations);
        Verifier {
            iterations,
            salt: salt.to_vec(),
            stored_key: hash(&keys.client_key),
            server_key: keys.server_key,
        }
    }

    /// Reads PostgreSQL's form.
    ///
    /// # Errors
    /// A text of another form, or with numbers beyond the limits.
    pub fn parse(text: &str) -> Result<Verifier, VerifierError> {
        let read = || {
            let (parameters, keys) = text.strip_prefix("SCRAM-SHA-256$")?.split_once('$')?;
            let (iterations, salt) = parameters.split_once(':')?;
            let (stored_key, server_key) = keys.split_once(':')?;
            let verifier = Verifier {
                iterations: iterations.parse().ok()?,
                salt: decode(salt)?,
                stored_key: decode(stored_key)?.try_into().ok()?,
                server_key: decode(server_key)?.try_into().ok()?,
            };
            let sound = (1..=MAX_SCRAM_ITERATIONS).contains(&verifier.iterations)
                && (1..=MAX_SCRAM_FIELD).contains(&verifier.salt.len());
            sound.then_some(verifier)
        };
        read().ok_or(VerifierError)
    }

    /// Salt and iterations: what a challenge tells of it.
    pub fn parameters(&self) -> (&[u8], u32) {
        (&self.salt, self.iterations)
    }

    /// A verifier that no password fits, so that an unknown user costs and looks the same as a known one:
    /// its salt depends on the name and a secret of the process (auth-scram.c, `mock_scram_secret`).
    pub fn mock(user: &str, secret: &[u8], iterations: u32) -> Verifier {
        let salt = hmac(secret, &[b"salt", user.as_bytes()]);
        Verifier {
            iterations,
            salt: salt[..16].to_vec(),
            stored_key: hmac(secret, &[b"stored", user.as_bytes()]),
            server_key: hmac(secret, &[b"server", user.as_bytes()]),
        }
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SCRAM-SHA-256${}:{}${}:{}",
            self.iterations,
            encode(&self.salt),
            encode(&self.stored_key),
            encode(&self.server_key)
        )
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(…)")
    }
}

impl fmt::Debug for ClientKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientKeys(…)")
    }
}

/// The PBKDF2 of RFC 5802's `Hi`.
fn salted_password(password: &[u8], salt: &[u8], iterations: u32) -> Key {
    let mut out = Key::default();
    pbkdf2::pbkdf2_hmac::<Sha256>(&prepare(password), salt, iterations, &mut out);
    out
}

/// SASLprep, or the password itself where that is not possible or would leave nothing (saslprep.c).
fn prepare(password: &[u8]) -> Cow<'_, [u8]> {
    match std::str::from_utf8(password).map(stringprep::saslprep) {
        Ok(Ok(prepared)) if !prepared.is_empty() => Cow::Owned(prepared.into_owned().into_bytes()),
        _ => Cow::Borrowed(password),
    }
}

pub(super) fn hmac(key: &[u8], parts: &[&[u8]]) -> Key {
    // HMAC takes keys of any length, so this cannot fail; an impossible failure yields a key that fits nothing.
    let Ok(mut mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(key) else { return Key::default() };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

pub(super) fn hash(bytes: &[u8]) -> Key {
    Sha256::digest(bytes).into()
}

pub(super) fn xor(a: &Key, b: &Key) -> Key {
    std::array::from_fn(|i| a[i] ^ b[i])
}

/// Whether a password is the one that a verifier was made of; milliseconds.
pub fn fits(verifier: &Verifier, password: &[u8]) -> bool {
    let Verifier { iterations, salt, stored_key, .. } = verifier;
    same(&hash(&ClientKeys::derive(password, salt, *iterations).client_key), stored_key)
}
