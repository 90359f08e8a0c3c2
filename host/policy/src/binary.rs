use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use sha2::{Digest, Sha256};

/// A component as it is in its file. It can be some MB, so it is hashed once, and compared by its SHA-256.
#[derive(Clone)]
pub struct Binary(Arc<Hashed>);

struct Hashed {
    bytes: Vec<u8>,
    sha256: String,
}

impl Binary {
    /// In lower-case hexadecimal digits.
    pub fn sha256(&self) -> &str {
        &self.0.sha256
    }

    /// Compares it with the SHA-256 that it is to have.
    ///
    /// # Errors
    /// They differ: both, and what to do, for people.
    pub fn pinned(&self, wanted: &str) -> Result<(), String> {
        let found = self.sha256();
        if wanted == found {
            return Ok(());
        }
        Err(format!(
            "its sha256 is {found}, and the configuration wants {wanted}: put the right file in its place, or change \
             sha256"
        ))
    }
}

impl<T: Into<Vec<u8>>> From<T> for Binary {
    fn from(bytes: T) -> Binary {
        let bytes = bytes.into();
        Binary(Arc::new(Hashed { sha256: sha256(&bytes), bytes }))
    }
}

impl Default for Binary {
    fn default() -> Binary {
        Binary::from(Vec::new())
    }
}

impl Deref for Binary {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0.bytes
    }
}

impl PartialEq for Binary {
    fn eq(&self, other: &Binary) -> bool {
        self.sha256() == other.sha256()
    }
}

impl fmt::Debug for Binary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Binary").field(&self.0.sha256).finish()
    }
}

/// The SHA-256 of bytes in lower-case hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_compared_by_what_is_in_it() {
        let (one, same, other) = (Binary::from(b"one"), Binary::from("one"), Binary::from("on"));
        assert_eq!(one, same);
        assert_ne!(one, other);
        assert_eq!(&*one, b"one");
        assert_eq!(one.sha256(), sha256(b"one"));
        assert_eq!(Binary::default().len(), 0);
    }
}
