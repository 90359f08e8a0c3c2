use std::cell::Cell;
use std::hash::Hasher;
use std::rc::Rc;
use std::sync::OnceLock;

use howdah_sql::Statement;
use siphasher::sip128::{Hasher128, SipHasher13};

/// The identity of a prepared statement on any server: a keyed hash of its text and parameter types.
/// The key is chosen at start-up, so that nobody can make two statements meet on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct StatementId(u128);

impl StatementId {
    /// The identity of this text with these parameter types.
    pub fn of(query: &[u8], types: &[u8]) -> StatementId {
        static KEY: OnceLock<[u8; 16]> = OnceLock::new();
        let key = KEY.get_or_init(random_key);
        let mut hasher = SipHasher13::new_with_key(key);
        hasher.write_usize(query.len());
        hasher.write(query);
        hasher.write(types);
        StatementId(hasher.finish128().as_u128())
    }

    /// The name under which servers know it: 39 bytes, below PostgreSQL's NAMEDATALEN.
    pub fn server_name(self) -> [u8; 39] {
        let mut name = *b"howdah_00000000000000000000000000000000";
        for (i, byte) in name[7..].iter_mut().enumerate() {
            *byte = b"0123456789abcdef"[(self.0 >> (124 - 4 * i)) as usize & 15];
        }
        name
    }
}

/// The standard library's hasher keys are random per process; two of them make our key.
fn random_key() -> [u8; 16] {
    use std::hash::{BuildHasher, RandomState};
    let mut key = [0; 16];
    key[..8].copy_from_slice(&RandomState::new().hash_one(0_u8).to_le_bytes());
    key[8..].copy_from_slice(&RandomState::new().hash_one(1_u8).to_le_bytes());
    key
}

impl std::fmt::Debug for StatementId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.server_name()))
    }
}

/// What a Parse prepares: enough to prepare it again on any server.
#[derive(Debug)]
pub struct Prepared {
    /// Who it is.
    pub id: StatementId,
    /// Its text, as the server shall see it.
    pub query: Box<[u8]>,
    /// The raw list of parameter types of the Parse message.
    pub types: Box<[u8]>,
    /// What it is.
    pub statement: Rc<Statement>,
    /// A server has prepared it without an error: the next client that prepares the same need not wait for one.
    /// Should it fail elsewhere, the error comes with Bind.
    pub proven: Cell<bool>,
}
