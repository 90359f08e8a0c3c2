//! Refuses statements that hardly anybody means, inside of transactions too; or tells of them only.
//!
//! Settings, all optional; without any of the rules everything passes:
//! - `mode`: `enforce` (the default): the client gets SQLSTATE 42501 with a message that names the rule; or `warn`: the
//!   statement runs.
//! - `unbounded = true`: UPDATE and DELETE need a WHERE.
//! - `several = true`: a text must not hold more than one statement.
//! - `ddl-users`, `ddl-applications`: only these change the schema. With either list a text that the proxy does not
//!   understand (longer than 1 MiB, an unknown word) is held to change it. `ddl-users = []` lets nobody.
//! - `deny`: digests as `howdah policy explain` prints them: statements that must not run, whatever their literals. A
//!   text of several statements has one digest of its own.
//! - `deny-message`: what the client is told then.
//!
//! Each find is a line in the log and adds to the counters `refused` or `warned`, and to `rule_unbounded`,
//! `rule_several`, `rule_ddl` or `rule_deny`. Needs `grants = ["metrics"]`.
//!
//! It reads the statement's text, as far as a lexical scan can tell. What a function, DO or a SQL-level EXECUTE does is
//! not seen, and application names are whatever clients say: this keeps accidents away, privileges keep people away.

use howdah_sdk::{
    Configure, Facts, Kind, Outcome, Refusal, Remember, Rewrite, Rewritten, Settings, Statement,
    export, log, metrics, question,
};

/// The policy with its settings.
#[derive(Debug, Default)]
pub struct QueryGuard {
    warn: bool,
    unbounded: bool,
    several: bool,
    /// Who changes the schema; none: everybody.
    ddl: Option<Allowed>,
    /// In order, for a binary search.
    deny: Vec<u64>,
    deny_message: Option<String>,
}

/// Who may do something.
#[derive(Debug)]
struct Allowed {
    users: Vec<String>,
    applications: Vec<String>,
}

/// What was found.
struct Find {
    rule: &'static str,
    message: String,
}

impl Configure for QueryGuard {
    fn configure(&mut self, settings: &Settings) -> Result<(), String> {
        settings.only(&[
            "ddl-applications",
            "ddl-users",
            "deny",
            "deny-message",
            "mode",
            "several",
            "unbounded",
        ])?;
        let warn = match settings.text("mode")? {
            None | Some("enforce") => false,
            Some("warn") => true,
            Some(other) => return Err(format!("mode must be enforce or warn, not {other}")),
        };
        let lists = ["ddl-users", "ddl-applications"];
        let ddl = match lists.iter().any(|name| settings.get(name).is_some()) {
            true => Some(Allowed {
                users: settings.texts("ddl-users")?.to_vec(),
                applications: settings.texts("ddl-applications")?.to_vec(),
            }),
            false => None,
        };
        let mut deny = settings
            .texts("deny")?
            .iter()
            .map(|text| digest(text))
            .collect::<Result<Vec<u64>, String>>()?;
        deny.sort_unstable();
        *self = QueryGuard {
            warn,
            unbounded: settings.boolean("unbounded")?.unwrap_or(false),
            several: settings.boolean("several")?.unwrap_or(false),
            ddl,
            deny,
            deny_message: settings.text("deny-message")?.map(str::to_owned),
        };
        Ok(())
    }
}

/// Sixteen hexadecimal digits.
fn digest(text: &str) -> Result<u64, String> {
    let wrong = || format!("deny: {text} is no digest of 16 hexadecimal digits");
    let hexadecimal = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
    hexadecimal.then(|| u64::from_str_radix(text, 16).ok()).flatten().ok_or_else(wrong)
}

impl Rewrite for QueryGuard {
    fn rewrite(&mut self, statement: &Statement<'_>) -> Rewritten {
        let Some(Find { rule, message }) = self.find(statement) else {
            // Who changes the schema is looked at, and so the host does not remember it for others.
            return Outcome::Unchanged.remembered(Remember::Digest);
        };
        let what = if self.warn { "warned" } else { "refused" };
        metrics::count(what, 1);
        metrics::count(&format!("rule_{rule}"), 1);
        let (user, digest) = (question::user(), statement.digest);
        log::warn(&format!("{what}: rule {rule}, user {user}, digest {digest:016x}: {message}"));
        let outcome = match self.warn {
            true => Outcome::Unchanged,
            false => Outcome::Refuse(Refusal { sqlstate: "42501".into(), message }),
        };
        // Asked each time, so that each is counted.
        outcome.remembered(Remember::Never)
    }
}

impl QueryGuard {
    /// The first rule that the statement breaks.
    fn find(&self, statement: &Statement<'_>) -> Option<Find> {
        let facts = statement.facts;
        if self.deny.binary_search(&statement.digest).is_ok() {
            let message =
                self.deny_message.as_deref().unwrap_or("this statement is on the deny list");
            return Some(found("deny", message));
        }
        if self.unbounded && facts.contains(Facts::UNBOUNDED) {
            return Some(found("unbounded", "UPDATE and DELETE need a WHERE"));
        }
        if self.several && facts.contains(Facts::SEVERAL) {
            return Some(found("several", "one statement at a time"));
        }
        let allowed = self.ddl.as_ref()?;
        let changes = matches!(statement.kind, Kind::Ddl | Kind::Unknown);
        (changes && !allowed.asks()).then(|| found("ddl", "you may not change the schema here"))
    }
}

fn found(rule: &'static str, message: &str) -> Find {
    Find { rule, message: format!("query-guard, rule {rule}: {message}") }
}

impl Allowed {
    /// Whether one of them asks.
    fn asks(&self) -> bool {
        self.users.contains(&question::user())
            || self.applications.contains(&question::application_name())
    }
}

export!(QueryGuard: configure, rewrite);

#[cfg(test)]
mod tests;
