use crate::bindings::imports::howdah::policy::types as wit;
use crate::bindings::observe::exports::howdah::policy::observe as wit_observe;
use crate::bindings::retry::exports::howdah::policy::retry as wit_retry;
use crate::bindings::rewrite::exports::howdah::policy::rewrite as wit_rewrite;
use crate::bindings::route::exports::howdah::policy::route as wit_route;
use crate::bindings::session::exports::howdah::policy::session as wit_session;

pub use wit::{Facts, Kind, Node, PoolMode, Refusal, Remember, Role, Value};
pub use wit_observe::{Observation, Source};
pub use wit_retry::{Again, Decision as RetryDecision, Failure, Outcome as Proven, Safety, Target};
pub use wit_rewrite::{Outcome, Verdict as Rewritten};
pub use wit_route::{Decision, Demands, Otherwise, Table, Verdict};
pub use wit_session::{Admission, Client, Decision as SessionDecision};

/// A statement, or a batch of them.
#[derive(Clone, Copy, Debug)]
pub struct Statement<'a> {
    /// Its text.
    pub sql: &'a str,
    /// What it is: the most demanding of a batch.
    pub kind: Kind,
    /// The same for texts that differ only in literals, comments and white space.
    pub digest: u64,
    /// What else is known.
    pub facts: Facts,
    /// What the `session` hook said, else 0.
    pub class: u32,
}

/// The policy's settings, by name. Nested tables have dotted names.
#[derive(Clone, Debug, Default)]
pub struct Settings(pub Vec<(String, Value)>);

impl Settings {
    /// A setting.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value)
    }

    /// An error that names the first setting that is none of these.
    ///
    /// # Errors
    /// There is such a setting.
    pub fn only(&self, known: &[&str]) -> Result<(), String> {
        match self.0.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some((name, _)) => {
                Err(format!("unknown setting {name}; the settings are {}", known.join(", ")))
            }
        }
    }

    /// A whole number that is not negative.
    ///
    /// # Errors
    /// The setting is something else.
    pub fn number(&self, name: &str) -> Result<Option<u64>, String> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Integer(i)) if *i >= 0 => Ok(Some(*i as u64)),
            Some(_) => Err(format!("{name} must be a whole number that is not negative")),
        }
    }

    /// True or false.
    ///
    /// # Errors
    /// The setting is something else.
    pub fn boolean(&self, name: &str) -> Result<Option<bool>, String> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Boolean(yes)) => Ok(Some(*yes)),
            Some(_) => Err(format!("{name} must be true or false")),
        }
    }

    /// A text.
    ///
    /// # Errors
    /// The setting is something else.
    pub fn text(&self, name: &str) -> Result<Option<&str>, String> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(_) => Err(format!("{name} must be a text")),
        }
    }

    /// A list of texts, empty when it is not set.
    ///
    /// # Errors
    /// The setting is something else.
    pub fn texts(&self, name: &str) -> Result<&[String], String> {
        match self.get(name) {
            None => Ok(&[]),
            Some(Value::Texts(texts)) => Ok(texts),
            Some(_) => Err(format!("{name} must be a list of texts")),
        }
    }
}

impl Decision {
    /// Any replica that is up, else the primary.
    pub fn replica() -> Decision {
        Decision::Replica(Demands {
            max_lag_ms: None,
            max_lag_bytes: None,
            label: None,
            otherwise: Otherwise::Primary,
        })
    }

    /// An error for the client.
    pub fn refuse(sqlstate: &str, message: &str) -> Decision {
        Decision::Refuse(Refusal { sqlstate: sqlstate.into(), message: message.into() })
    }

    /// This decision, to be asked for again each time.
    pub fn always_ask(self) -> Verdict {
        self.remembered(Remember::Never)
    }

    /// This decision, for this exact text.
    pub fn by_text(self) -> Verdict {
        self.remembered(Remember::Text)
    }

    /// This decision, for every text that differs only in literals, comments and white space: right when nothing
    /// but kind, facts and digest was looked at.
    pub fn by_digest(self) -> Verdict {
        self.remembered(Remember::Digest)
    }

    /// This decision, remembered as said.
    pub fn remembered(self, remember: Remember) -> Verdict {
        Verdict { decision: self, remember }
    }
}

impl Outcome {
    /// This outcome, remembered as said.
    pub fn remembered(self, remember: Remember) -> Rewritten {
        Rewritten { outcome: self, remember }
    }
}

impl Default for Admission {
    /// Everything as the configuration says.
    fn default() -> Admission {
        Admission {
            user: None,
            database: None,
            cluster: None,
            pool_mode: None,
            settings: Vec::new(),
            priority: 0,
            max_wait_ms: None,
            class: 0,
        }
    }
}

impl RetryDecision {
    /// Once more, there, after so many milliseconds.
    pub fn again(target: Target, delay_ms: u32) -> RetryDecision {
        RetryDecision::Again(Again { target, delay_ms })
    }
}

impl Safety {
    /// Whether the host sends a statement of this class again.
    pub fn allows_again(self) -> bool {
        matches!(self, Safety::Unsent | Safety::Refused | Safety::OnStandby | Safety::Read)
    }
}
