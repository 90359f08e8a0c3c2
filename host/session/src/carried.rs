use std::collections::HashSet;
use std::sync::Arc;

use howdah_sql::Effect;

use crate::{ServerState, Settings, SettingsError, Value};

/// The settings of a client through its transactions and savepoints (guc.c, `AtEOXact_GUC`).
pub(crate) struct Carried {
    /// What the client asked for at start-up: RESET goes back to it.
    startup: Arc<Settings>,
    /// As of the end of the last transaction.
    committed: State,
    /// As they are to be when the transaction commits.
    current: State,
    /// What to go back to, by the names of savepoints.
    savepoints: Vec<(Box<str>, State)>,
    /// Settings made since the last ReadyForQuery: their values are taken from what the server reports.
    made: Vec<Box<str>>,
}

/// Settings at one moment.
#[derive(Clone)]
struct State {
    /// What the client wants.
    wanted: Arc<Settings>,
    /// What the server has. It differs when RESET went back to the server's default, and the client's start-up wants
    /// something else.
    there: Arc<Settings>,
    /// Settings that SET LOCAL has made, and no SET since: what the server reports of them does not outlast the
    /// transaction.
    local: HashSet<Box<str>>,
}

impl State {
    /// The same is wanted and there.
    fn of(wanted: Arc<Settings>) -> State {
        State { there: Arc::clone(&wanted), wanted, local: HashSet::new() }
    }
}

impl Carried {
    pub(crate) fn new(startup: Arc<Settings>) -> Carried {
        let state = State::of(Arc::clone(&startup));
        Carried {
            startup,
            committed: state.clone(),
            current: state,
            savepoints: Vec::new(),
            made: Vec::new(),
        }
    }

    /// What the client wants the settings to be.
    pub(crate) fn wanted(&self) -> &Arc<Settings> {
        &self.current.wanted
    }

    /// What the client asked for at start-up.
    pub(crate) fn startup(&self) -> &Arc<Settings> {
        &self.startup
    }

    /// What the client has come to want elsewhere.
    pub(crate) fn resume(&mut self, wanted: Arc<Settings>) {
        self.current = State::of(wanted);
        self.committed = self.current.clone();
    }

    /// Whether the server that has carried them so far has them all.
    pub(crate) fn is_there(&self) -> bool {
        Arc::ptr_eq(&self.current.wanted, &self.current.there)
            || self.current.wanted == self.current.there
    }

    /// A server has been made what the client wants.
    pub(crate) fn leased(&mut self) {
        self.now_there();
        self.committed = self.current.clone();
    }

    /// The SQL that makes up for what the server lacks inside a transaction.
    pub(crate) fn difference(&self) -> String {
        self.current.wanted.difference(&self.current.there)
    }

    /// The server has them all.
    pub(crate) fn now_there(&mut self) {
        self.current.there = Arc::clone(&self.current.wanted);
    }

    /// A statement has been completed with this command tag.
    ///
    /// # Errors
    /// There are too many settings, or they are too large, to be carried to another server.
    pub(crate) fn completed(&mut self, effect: &Effect, tag: &[u8]) -> Result<(), SettingsError> {
        match effect {
            Effect::Set { name, value } => {
                self.made.push(name.clone());
                self.current.local.remove(name);
                self.change(|settings| {
                    settings.set(name, Value::Sql(value.clone()))?;
                    if &**name == "session_authorization" {
                        settings.reset("role");
                    }
                    Ok(())
                })?;
            }
            Effect::SetLocal { name } => {
                self.current.local.insert(name.clone());
            }
            Effect::Reset { name } => self.reset(name)?,
            Effect::ResetAll => self.reset_all()?,
            Effect::DiscardAll => self.discarded(),
            Effect::Savepoint(name) => self.savepoints.push((name.clone(), self.current.clone())),
            Effect::Release(name) => {
                let at = self.savepoints.iter().rposition(|(n, _)| n == name);
                self.savepoints.truncate(at.unwrap_or(self.savepoints.len()));
            }
            Effect::RollbackTo(name) => {
                if let Some(at) = self.savepoints.iter().rposition(|(n, _)| n == name) {
                    self.savepoints.truncate(at + 1);
                    self.current = self.savepoints[at].1.clone();
                }
            }
            Effect::End => self.ended(tag == b"COMMIT"),
            _ => {}
        }
        Ok(())
    }

    /// A transaction, or what was one without saying so, has ended.
    pub(crate) fn ended(&mut self, committed: bool) {
        self.current.local.clear();
        match committed {
            true => self.committed = self.current.clone(),
            false => self.current = self.committed.clone(),
        }
        self.savepoints.clear();
    }

    /// ReadyForQuery has come, and nothing has failed: values are known as the server reports them, which says more
    /// than what was asked for (`SET datestyle TO dmy` keeps the style).
    pub(crate) fn reported(&mut self, server: &ServerState) {
        for name in std::mem::take(&mut self.made) {
            if self.current.local.contains(&name) || self.current.wanted.get(&name).is_none() {
                continue;
            }
            if let Some(value) = server.parameters.get(&name) {
                let value = Value::Plain(value.into());
                // The name and the size are those of a setting that the server has.
                let _ = self.change(|settings| settings.set(&name, value.clone()));
            }
        }
    }

    /// What is known of the server at the end of a transaction.
    pub(crate) fn settle(&self, server: &mut ServerState) {
        server.settings = Arc::clone(&self.committed.there);
    }

    /// Makes the same change to what is wanted and to what is there.
    fn change(
        &mut self,
        change: impl Fn(&mut Settings) -> Result<(), SettingsError>,
    ) -> Result<(), SettingsError> {
        let same = self.is_there();
        change(Arc::make_mut(&mut self.current.wanted))?;
        match same {
            true => self.current.there = Arc::clone(&self.current.wanted),
            false => change(Arc::make_mut(&mut self.current.there))?,
        }
        Ok(())
    }

    fn reset(&mut self, name: &str) -> Result<(), SettingsError> {
        self.change(|settings| {
            settings.reset(name);
            if name == "session_authorization" {
                settings.reset("role");
            }
            Ok(())
        })?;
        if let Some(first) = self.startup.get(name).cloned() {
            Arc::make_mut(&mut self.current.wanted).set(name, first)?;
        }
        Ok(())
    }

    /// RESET ALL, which leaves alone who the session is (guc.h, `GUC_NO_RESET_ALL`).
    fn reset_all(&mut self) -> Result<(), SettingsError> {
        let (mut wanted, mut there) = (Settings::clone(&self.startup), Settings::default());
        for name in ["session_authorization", "role"] {
            if let Some(value) = self.current.wanted.get(name) {
                wanted.set(name, value.clone())?;
                there.set(name, value.clone())?;
            }
        }
        (self.current.wanted, self.current.there) = (Arc::new(wanted), Arc::new(there));
        Ok(())
    }

    fn discarded(&mut self) {
        self.current = State { there: Arc::default(), ..State::of(Arc::clone(&self.startup)) };
        self.ended(true);
    }
}
