use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;

use crate::limits::MAX_SERVER_STATEMENTS;
use crate::{Parameters, Settings, StatementId};

/// What is known of the state of one server connection. It travels with the connection.
pub struct ServerState {
    /// Prepared statements that exist there, by the names of [`StatementId::server_name`].
    pub(crate) prepared: LruCache<StatementId, ()>,
    /// What the unnamed statement is.
    pub(crate) unnamed: Option<StatementId>,
    /// Statements that exist there by a client's own names, and should not.
    pub(crate) strays: Vec<Box<[u8]>>,
    /// Settings made there beyond the server's own.
    pub(crate) settings: Arc<Settings>,
    /// Something was left behind that is not tracked: it must not be reused.
    pub(crate) tainted: bool,
    /// The last reported parameters.
    pub parameters: Parameters,
    /// The node was a standby when the connection was lent.
    pub standby: bool,
}

impl ServerState {
    /// A connection that has just been opened and reported these parameters.
    pub fn new(parameters: Vec<(Box<str>, Box<str>)>) -> ServerState {
        let most = NonZeroUsize::new(MAX_SERVER_STATEMENTS).unwrap_or(NonZeroUsize::MIN);
        ServerState {
            prepared: LruCache::new(most),
            unnamed: None,
            strays: Vec::new(),
            settings: Arc::default(),
            tainted: false,
            parameters: parameters.into_iter().collect(),
            standby: false,
        }
    }

    /// `DISCARD ALL` has been done there.
    pub fn discarded(&mut self) {
        self.prepared.clear();
        self.unnamed = None;
        self.strays.clear();
        self.settings = Arc::default();
    }

    /// Whether the settings are these.
    pub fn has_settings(&self, wanted: &Arc<Settings>) -> bool {
        Arc::ptr_eq(&self.settings, wanted) || self.settings == *wanted
    }

    /// Settings made there beyond the server's own.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The settings have been made what they are here.
    pub fn now_has(&mut self, settings: Arc<Settings>) {
        self.settings = settings;
    }
}
