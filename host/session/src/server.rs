use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;

use crate::limits::MAX_SERVER_STATEMENTS;
use crate::prepared::Named;
use crate::proof::Life;
use crate::{Parameters, Settings, StatementId};

/// Whose values a server's sequences have given since they were last forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sequences {
    Nobodys,
    /// Those of one session.
    Of(u64),
    Several,
}

impl Sequences {
    /// This session runs something that may draw a value.
    pub(crate) fn drawn_by(&mut self, session: u64) {
        *self = match *self {
            Sequences::Nobodys => Sequences::Of(session),
            Sequences::Of(other) if other != session => Sequences::Several,
            same => same,
        };
    }

    /// Whether another session than this one may have drawn.
    pub(crate) fn are_strange_to(self, session: u64) -> bool {
        self != Sequences::Nobodys && self != Sequences::Of(session)
    }
}

/// What is known of the state of one server connection. It travels with the connection.
pub struct ServerState {
    /// Prepared statements that exist there, by the names of [`StatementId::server_name`], with the edition of the
    /// schema in which they were prepared; 0 when that cannot be trusted.
    pub(crate) prepared: LruCache<StatementId, u64>,
    /// What the unnamed statement is, and since which edition.
    pub(crate) unnamed: Option<(StatementId, u64)>,
    /// Statements that exist there by a client's own names, and should not.
    pub(crate) strays: Vec<Box<[u8]>>,
    /// Settings made there beyond the server's own.
    pub(crate) settings: Arc<Settings>,
    /// The session that it has been lent to last.
    pub(crate) user: Option<u64>,
    /// Whose values of sequences `lastval()` and `currval()` would give there.
    pub(crate) sequences: Sequences,
    /// Something was left behind that is not tracked: it must not be reused.
    pub(crate) tainted: bool,
    /// The last reported parameters.
    pub parameters: Parameters,
    /// The server's life, once a proof has asked for it; a primary has no other one over the same connection.
    pub(crate) life: Option<Life>,
    /// It is known what the session has left there that it has been lent to last.
    pub known: bool,
    /// The node was a standby when the connection was lent.
    pub standby: bool,
    /// It has refused to write, although it was no standby.
    pub(crate) refused_write: bool,
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
            user: None,
            sequences: Sequences::Nobodys,
            tainted: false,
            parameters: parameters.into_iter().collect(),
            life: None,
            known: true,
            standby: false,
            refused_write: false,
        }
    }

    /// This session uses it now. Whether another one has done so before.
    pub(crate) fn lent_to(&mut self, session: u64) -> bool {
        self.user.replace(session).is_some_and(|last| last != session)
    }

    /// Whether another session has left there what is not known.
    pub fn is_unknown_to(&self, session: u64) -> bool {
        !self.known && self.user.is_some_and(|last| last != session)
    }

    /// Nobody has left anything there.
    pub fn is_nobodys(&mut self) {
        self.user = None;
    }

    /// Whether it has refused to write (25006) since the last call, although it was no standby.
    pub fn take_refused_write(&mut self) -> bool {
        std::mem::take(&mut self.refused_write)
    }

    /// Whether it has a prepared statement, and in no older edition of the schema than this.
    pub(crate) fn has_prepared(&mut self, id: StatementId, since: u64) -> bool {
        self.prepared.get(&id).is_some_and(|edition| *edition >= since)
    }

    /// Whether this is its unnamed statement, and in no older edition of the schema than that.
    pub(crate) fn has_unnamed(&self, id: StatementId, since: u64) -> bool {
        self.unnamed.is_some_and(|(there, edition)| there == id && edition >= since)
    }

    /// Whether it has prepared this no later than in that edition, so that it notices by itself that the columns are
    /// other ones.
    pub(crate) fn would_notice(&self, named: &Named, unnamed: bool, edition: u64) -> bool {
        let there = match unnamed {
            true => self.unnamed.filter(|(id, _)| *id == named.copy).map(|(_, edition)| edition),
            false => self.prepared.peek(&named.copy).copied(),
        };
        there.is_some_and(|there| there >= named.since.get() && there <= edition)
    }

    /// Whatever it has prepared of this is not to be used any more.
    pub(crate) fn distrust(&mut self, id: StatementId) {
        if let Some(edition) = self.prepared.peek_mut(&id) {
            *edition = 0;
        }
        if self.unnamed.is_some_and(|(there, _)| there == id) {
            self.unnamed = None;
        }
    }

    /// `DISCARD ALL` has been done there.
    pub fn discarded(&mut self) {
        self.prepared.clear();
        self.unnamed = None;
        self.strays.clear();
        self.sequences = Sequences::Nobodys;
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
