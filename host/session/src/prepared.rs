use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use howdah_sql::Statement;
use howdah_wire::backend::RowDescription;
use siphasher::sip128::{Hasher128, SipHasher13};

use crate::Settings;

/// The identity of a prepared statement on any server: a keyed hash of its text and parameter types.
/// The key is chosen at start-up, so that nobody can make two statements meet on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct StatementId(u128);

impl StatementId {
    /// The identity of this text with these parameter types.
    pub fn of(query: &[u8], types: &[u8]) -> StatementId {
        let mut hasher = hasher();
        hasher.write_usize(query.len());
        hasher.write(query);
        hasher.write(types);
        StatementId(hasher.finish128().as_u128())
    }

    /// The identity of the same where something else decides what it means: settings, or a session by itself
    /// ([`crate::Settings::meaning`], [`own_meaning`]).
    pub(crate) fn where_it_means(self, meaning: u128) -> StatementId {
        StatementId(self.0 ^ meaning)
    }

    /// The name under which servers know it: 39 bytes, below PostgreSQL's NAMEDATALEN.
    pub fn server_name(self) -> [u8; 39] {
        const DIGITS: [[u8; 2]; 256] = {
            let (mut pairs, mut i) = ([[0; 2]; 256], 0);
            while i < 256 {
                pairs[i] = [b"0123456789abcdef"[i >> 4], b"0123456789abcdef"[i & 15]];
                i += 1;
            }
            pairs
        };
        let mut name = *b"howdah_00000000000000000000000000000000";
        for (digits, byte) in name[7..].chunks_exact_mut(2).zip(self.0.to_be_bytes()) {
            digits.copy_from_slice(&DIGITS[usize::from(byte)]);
        }
        name
    }
}

/// What makes this process' hashes unforeseeable.
pub type HashKey = [u8; 16];

static KEY: OnceLock<HashKey> = OnceLock::new();

/// The key of this process, for one that goes on with its sessions.
pub fn hash_key() -> HashKey {
    *KEY.get_or_init(random_key)
}

/// Takes the key of the process whose sessions go on here. False: something has been hashed already with another one.
pub fn take_hash_key(key: HashKey) -> bool {
    *KEY.get_or_init(|| key) == key
}

/// A hash that nobody outside can foresee.
pub(crate) fn hasher() -> SipHasher13 {
    SipHasher13::new_with_key(KEY.get_or_init(random_key))
}

/// What statements mean to one session alone; `occasion` tells the occasions apart on which the same text may mean
/// different things to it.
pub(crate) fn own_meaning(session: u64, occasion: u64) -> u128 {
    let mut hasher = hasher();
    hasher.write_u64(session);
    hasher.write_u64(occasion);
    hasher.finish128().as_u128()
}

/// The standard library's hasher keys are random per process; two of them make our key.
fn random_key() -> HashKey {
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
    /// According to which catalog ([`crate::Guide::catalog`]).
    pub scanned: u64,
    /// As what, and in which edition of the schema, a server has prepared it without an error: the next client that
    /// prepares the same need not wait for one.
    pub proven: Cell<Option<(StatementId, u64)>>,
}

impl Prepared {
    pub(crate) fn with_text(&self) -> (&Statement, Option<&[u8]>) {
        (&self.statement, Some(&self.query))
    }
}

/// A prepared statement of one client.
#[derive(Clone)]
pub(crate) struct Named {
    pub(crate) prepared: Rc<Prepared>,
    /// What it was when the client prepared it: the text with the settings of that moment.
    pub(crate) copy: StatementId,
    /// Servers know it by a name: the client has given it one, or has prepared it without one as others do again and again.
    pub(crate) has_name: bool,
    /// The settings of that moment, unless what it meant was for the session alone.
    pub(crate) under: Option<Arc<Settings>>,
    /// The edition of the schema in which the client prepared it ([`crate::Guide::edition`]): what a server has prepared
    /// earlier is not what the client means.
    pub(crate) since: Cell<u64>,
    /// The columns that the client has been told and relies on.
    pub(crate) told: Cell<Option<Told>>,
    /// When they were looked at last, they were other ones, so that the client cannot use it.
    pub(crate) outdated: Cell<bool>,
    /// The client has discarded its plan, and has not used it since.
    pub(crate) discarded: Cell<bool>,
}

/// Columns of a statement that a client knows, and when they were looked at last.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) columns: u128,
    /// In which edition of the schema.
    pub(crate) edition: u64,
    /// What names meant to the session ([`crate::session::Session::names`]).
    pub(crate) names: u128,
}

/// Tells columns apart as PostgreSQL does when a plan has to be made anew (tupdesc.c, `equalTupleDescs`).
pub(crate) fn columns(description: Option<RowDescription<'_>>) -> u128 {
    let mut hasher = hasher();
    for column in description.iter().flat_map(RowDescription::columns) {
        column.name.hash(&mut hasher);
        (column.type_oid, column.modifier).hash(&mut hasher);
    }
    hasher.finish128().as_u128()
}

impl Named {
    pub(crate) fn statement(&self) -> &Rc<Statement> {
        &self.prepared.statement
    }
}
