//! The host's stand-in in native tests: what a policy would see, and what it did.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::Settings;
use crate::log::Level;

/// What the current thread's policy sees and does.
#[derive(Default)]
pub struct Host {
    /// Lines that it has logged.
    pub lines: Vec<(Level, String)>,
    /// Settings that it can get.
    pub settings: Settings,
    /// Metrics that it has made.
    pub metrics: BTreeMap<String, f64>,
    /// Tags of the statement.
    pub tags: BTreeMap<String, String>,
    /// Who asks.
    pub user: String,
    /// Its database.
    pub database: String,
    /// Its application.
    pub application_name: String,
}

thread_local! {
    static HOST: RefCell<Host> = RefCell::default();
}

/// Looks at, or changes, the stand-in of the current thread.
pub fn with<T>(see: impl FnOnce(&mut Host) -> T) -> T {
    HOST.with_borrow_mut(see)
}
