//! The default policy: writes go to the primary, reads to replicas.
//!
//! Settings, all optional:
//! - `max-lag-ms`, `max-lag-bytes`: replicas that are further behind are not used.
//! - `label`: `key=value`; only replicas with this label are used.
//! - `otherwise`: `primary` (the default), `wait` or `refuse`, when no replica qualifies.
//! - `users-to-primary`, `applications-to-primary`: everything that these send goes to the primary.
//! - `users-to-replica`, `applications-to-replica`: what these send is treated as if it carried the hint for a replica.
//!   Who is in a list for the primary too goes to the primary.
//!
//! Applications are known by the `application_name` that they connect with. With any of these lists each session gets a
//! class, by which answers are remembered: a rule costs nothing per query. A session that another policy has given a
//! class, or that is older than the rules, is looked up at each question instead.
//!
//! A statement may carry a hint in a comment before or behind it: `/* howdah: primary */` always counts;
//! `/* howdah: replica */` lets a read that calls functions of unknown or volatile nature go to a replica.
//! Should it write there after all, the replica refuses it, and the proxy runs it on the primary.

use howdah_sdk::{
    Admission, Client, Configure, Decision, Demands, Facts, Kind, Otherwise, Remember, Route,
    Session, SessionDecision, Settings, Statement, Verdict, export, question,
};

use rules::{Rule, Rules};

mod rules;

/// The policy with its settings.
#[derive(Debug)]
pub struct ReadWriteSplit {
    demands: Demands,
    rules: Rules,
}

impl Default for ReadWriteSplit {
    fn default() -> Self {
        let demands = Demands {
            max_lag_ms: None,
            max_lag_bytes: None,
            label: None,
            otherwise: Otherwise::Primary,
        };
        ReadWriteSplit { demands, rules: Rules::default() }
    }
}

impl Configure for ReadWriteSplit {
    fn configure(&mut self, settings: &Settings) -> Result<(), String> {
        settings.only(&[
            "applications-to-primary",
            "applications-to-replica",
            "label",
            "max-lag-bytes",
            "max-lag-ms",
            "otherwise",
            "users-to-primary",
            "users-to-replica",
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
        self.rules = Rules::new(settings)?;
        Ok(())
    }
}

impl Session for ReadWriteSplit {
    fn open(&mut self, client: &Client) -> SessionDecision {
        if self.rules.is_empty() {
            return SessionDecision::NoOpinion;
        }
        let class = self.rules.class(self.rules.of(&client.user, &client.application_name));
        SessionDecision::Accept(Admission { class, ..Admission::default() })
    }
}

impl Route for ReadWriteSplit {
    fn route(&mut self, statement: &Statement<'_>) -> Verdict {
        // Most of what cannot run on a replica cannot for anybody, and is remembered for all.
        if !is_read(statement, Rule::ToReplica) {
            return Decision::Primary.by_digest();
        }
        let (rule, remember) = if self.rules.is_empty() {
            (Rule::None, Remember::Digest)
        } else if let Some(rule) = self.rules.of_class(statement.class) {
            (rule, Remember::DigestAndClass)
        } else {
            let rule = self.rules.of(&question::user(), &question::application_name());
            (rule, Remember::Never)
        };
        let decision = match is_read(statement, rule) {
            true => Decision::Replica(self.demands.clone()),
            false => Decision::Primary,
        };
        decision.remembered(remember)
    }
}

/// Whether a statement can run on a replica, by this rule about who sends it.
fn is_read(statement: &Statement<'_>, rule: Rule) -> bool {
    let facts = statement.facts;
    if rule == Rule::ToPrimary || facts.contains(Facts::HINT_PRIMARY) {
        return false;
    }
    match statement.kind {
        Kind::Read | Kind::Empty => {
            let vouched = rule == Rule::ToReplica || facts.contains(Facts::HINT_REPLICA);
            let volatile = facts.contains(Facts::VOLATILE) && !vouched;
            !volatile && !facts.intersects(Facts::LOCKS_ROWS | Facts::STICKY)
        }
        // A transaction that promises not to write. Alone: what else a batch holds is not looked at here.
        Kind::Begin => facts.contains(Facts::READ_ONLY) && !facts.contains(Facts::SEVERAL),
        _ => false,
    }
}

export!(ReadWriteSplit: configure, session, route);

#[cfg(test)]
mod tests;
