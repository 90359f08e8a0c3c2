//! The default policy: writes go to the primary, reads to replicas.
//!
//! Settings, all optional:
//! - `max-lag-ms`, `max-lag-bytes`: replicas that are further behind are not used.
//! - `label`: `key=value`; only replicas with this label are used.
//! - `otherwise`: `primary` (the default), `wait` or `refuse`, when no replica qualifies.
//! - `users-to-primary`: everything that these users send goes to the primary.
//!
//! A statement may carry a hint in a comment before or behind it: `/* howdah: primary */` always counts;
//! `/* howdah: replica */` lets a read that calls functions of unknown or volatile nature go to a replica.
//! Should it write there after all, the replica refuses it, and the proxy runs it on the primary.

use howdah_sdk::{
    Configure, Decision, Demands, Facts, Kind, Otherwise, Route, Statement, Verdict, export,
    question,
};

/// The policy with its settings.
#[derive(Debug)]
pub struct ReadWriteSplit {
    demands: Demands,
    users_to_primary: Vec<String>,
}

impl Default for ReadWriteSplit {
    fn default() -> Self {
        let demands = Demands {
            max_lag_ms: None,
            max_lag_bytes: None,
            label: None,
            otherwise: Otherwise::Primary,
        };
        ReadWriteSplit { demands, users_to_primary: Vec::new() }
    }
}

impl Configure for ReadWriteSplit {
    fn configure(&mut self, settings: &howdah_sdk::Settings) -> Result<(), String> {
        settings.only(&[
            "label",
            "max-lag-bytes",
            "max-lag-ms",
            "otherwise",
            "users-to-primary",
        ])?;
        let label = match settings.text("label")? {
            None => None,
            Some(text) => {
                let (key, value) = text.split_once('=').ok_or("label must be key=value")?;
                Some((key.to_owned(), value.to_owned()))
            }
        };
        let otherwise = match settings.text("otherwise")? {
            None | Some("primary") => Otherwise::Primary,
            Some("wait") => Otherwise::Wait,
            Some("refuse") => Otherwise::Refuse,
            Some(other) => {
                return Err(format!("otherwise must be primary, wait or refuse, not {other}"));
            }
        };
        self.demands = Demands {
            max_lag_ms: settings.number("max-lag-ms")?,
            max_lag_bytes: settings.number("max-lag-bytes")?,
            label,
            otherwise,
        };
        self.users_to_primary = settings.texts("users-to-primary")?.to_vec();
        Ok(())
    }
}

impl Route for ReadWriteSplit {
    fn route(&mut self, statement: &Statement<'_>) -> Verdict {
        if !is_read(statement) {
            return Decision::Primary.by_digest();
        }
        let replica = Decision::Replica(self.demands.clone());
        if self.users_to_primary.is_empty() {
            return replica.by_digest();
        }
        match self.users_to_primary.contains(&question::user()) {
            true => Decision::Primary.always_ask(),
            false => replica.always_ask(),
        }
    }
}

/// Whether a statement can run on a replica.
fn is_read(statement: &Statement<'_>) -> bool {
    let facts = statement.facts;
    if facts.contains(Facts::HINT_PRIMARY) {
        return false;
    }
    match statement.kind {
        Kind::Read | Kind::Empty => {
            let volatile = facts.contains(Facts::VOLATILE) && !facts.contains(Facts::HINT_REPLICA);
            !volatile && !facts.intersects(Facts::LOCKS_ROWS | Facts::STICKY)
        }
        // A transaction that promises not to write. Alone: what else a batch holds is not looked at here.
        Kind::Begin => facts.contains(Facts::READ_ONLY) && !facts.contains(Facts::SEVERAL),
        _ => false,
    }
}

export!(ReadWriteSplit: configure, route);

#[cfg(test)]
mod tests;
