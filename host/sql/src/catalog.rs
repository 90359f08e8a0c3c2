use crate::PinReason;

/// How much a function may do (`pg_proc.provolatile`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Volatility {
    /// The same result for the same arguments, for ever.
    Immutable,
    /// The same result within a statement; does not write.
    Stable,
    /// Anything, writing included.
    Volatile,
    /// Not in the catalog.
    Unknown,
}

/// What a scan asks about names. They arrive as PostgreSQL folds them: unquoted ones in lower case.
pub trait Catalog {
    /// The worst of all functions that a call by this name may mean.
    fn function(&self, schema: Option<&str>, name: &str) -> Volatility;

    /// Whether this is a view that calls a volatile function, at any depth.
    fn relation_is_volatile(&self, schema: Option<&str>, name: &str) -> bool;

    /// Whether an operator of this name calls a volatile function.
    fn operator_is_volatile(&self, symbol: &str) -> bool;

    /// Why a session has to stay on its server after it has used what has this name: a function, an operator, or a
    /// relation with a rule or a policy. Schemas make no difference.
    fn pins(&self, _name: &str) -> Option<PinReason> {
        None
    }

    /// The same after a call of a function that the catalog does not know: it may be a new one.
    fn unknown_pins(&self) -> Option<PinReason> {
        None
    }

    /// The same for whatever runs at all, by casts, types and domains.
    fn anything_pins(&self) -> Option<PinReason> {
        None
    }

    /// The same for whatever writes to any table, by triggers and defaults.
    fn writing_pins(&self) -> Option<PinReason> {
        None
    }

    /// Whether whatever writes may read what sequences have given to the session, by triggers and defaults.
    fn writing_reads_sequences(&self) -> bool {
        false
    }
}

/// Knows nothing: every function may write.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCatalog;

impl Catalog for NoCatalog {
    fn function(&self, _: Option<&str>, _: &str) -> Volatility {
        Volatility::Unknown
    }

    fn relation_is_volatile(&self, _: Option<&str>, _: &str) -> bool {
        false
    }

    fn operator_is_volatile(&self, _: &str) -> bool {
        false
    }
}
