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
