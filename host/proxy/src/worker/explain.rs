//! `SET howdah.explain = on`: before each result the client is told, by a NOTICE, where its statement went and why.

use std::rc::Rc;
use std::sync::Arc;

use howdah_cluster::{ClusterId, NodeId};
use howdah_decision::{Decision, Facts, Refusal, Rewrite, Table};
use howdah_policy::{Answer, Heard, Question, Source, Who};
use howdah_session::{Explained, Told, unknown};
use howdah_sql::{Own, OwnVerb, ScanOptions};
use howdah_wire::backend::ErrorReport;

use super::Ctx;
use super::admission::database_of;
use super::guide::Asked;
use super::lease::Lessee;
use crate::policies::show;
use crate::policies::visible::Visible;

/// Most notes of a batch: it may have thousands of statements.
const MAX_NOTES: usize = 8;
/// The setting of the proxy itself that a client can change.
const EXPLAIN: &str = "explain";

/// What a session needs to be explained. Off, it costs a look at a flag.
#[derive(Default)]
pub(crate) struct Explaining {
    on: bool,
    /// Answers of this batch for which policies were asked, rather than memory.
    asked: Vec<Rc<Answer>>,
    /// What else there is to tell of this batch: what policies could see of it, and what became of its text.
    notes: Vec<String>,
}

impl Explaining {
    pub(crate) fn on(&self) -> bool {
        self.on
    }

    /// As it was in another process.
    pub(crate) fn set(&mut self, on: bool) {
        self.on = on;
    }

    /// A routing question of this batch has been answered.
    pub(crate) fn answered(&mut self, answer: &Rc<Answer>, from_memory: bool) {
        if !from_memory {
            self.asked.push(Rc::clone(answer));
        }
    }

    /// Policies could see this of a statement.
    pub(crate) fn saw(&mut self, text: &str) {
        let lines = Visible::of(text).lines();
        let lines: Vec<String> =
            lines.into_iter().map(|(word, them)| format!("{word} {them}")).collect();
        if !lines.is_empty() {
            self.note(format!("Policies could see {}.", lines.join("; ")));
        }
    }

    /// This has become of a statement's text, by the word of these policies, or from memory.
    pub(crate) fn rewritten(&mut self, rewrite: &Rewrite, heard: &[Heard]) {
        let said = heard.iter().map(|one| format!("{}: {}", one.policy, show::said(&one.said)));
        let said = said.collect::<Vec<_>>().join("; ");
        self.note(match (rewrite, said.as_str()) {
            (rewrite, "") => format!("Rewritten from memory: {}.", show::rewrite(rewrite)),
            (_, said) => format!("Rewrite asked {said}."),
        });
    }

    fn note(&mut self, note: String) {
        if self.notes.len() < MAX_NOTES {
            self.notes.push(note);
        }
    }

    /// Another batch begins.
    pub(crate) fn forget(&mut self) {
        self.asked.clear();
        self.notes.clear();
    }

    /// Sets, resets or shows a setting.
    pub(crate) fn setting(&mut self, own: &Own) -> Result<Told, Refusal> {
        if &*own.name != EXPLAIN {
            return Err(unknown(own));
        }
        match &own.verb {
            OwnVerb::Set(value) => self.on = boolean(value)?,
            OwnVerb::Reset => {
                self.on = false;
                return Ok(Told::Done("RESET"));
            }
            OwnVerb::SetLocal => {
                let message = "parameter \"howdah.explain\" cannot be set for a transaction alone";
                return Err(Refusal::new("0A000", message));
            }
            OwnVerb::Show => {
                let value = if self.on { "on" } else { "off" };
                let columns = vec!["howdah.explain".to_owned()];
                return Ok(Told::Table(Table { columns, rows: vec![vec![Some(value.into())]] }));
            }
        }
        Ok(Told::Done("SET"))
    }

    /// What the client is told; `node` is where its server is.
    pub(crate) fn notice(
        &self,
        what: &Explained<'_, Answer>,
        node: Option<NodeId>,
        ctx: &Ctx,
    ) -> ErrorReport {
        let place = || match node {
            None => "its server".to_owned(),
            Some(node) => {
                let snapshot = ctx.shared.monitor.snapshot();
                let name = snapshot.spec(node).map_or("a server", |spec| spec.name.as_str());
                let role = snapshot.state(node).map_or("unknown", |state| state.role.name());
                format!("{name} ({role})")
            }
        };
        let notice = |message: String| ErrorReport::notice(b"00000", &message);
        let noted = |why: &str| [&[why.to_owned()], self.notes.as_slice()].concat().join(" ");
        match what {
            Explained::Bound => notice(format!("goes to {}, where its transaction is", place()))
                .detail(&noted("Inside a transaction no policy is asked where to go.")),
            Explained::Stays(pin) => {
                notice(format!("goes to {}, where the session stays", place()))
                    .detail(&noted(&format!("Why it stays: {}.", pin.reason())))
            }
            Explained::Local(answer) => {
                notice("goes to no server".to_owned()).detail(&noted(&self.why(answer)))
            }
            Explained::Sent { answer: None, .. } => notice(format!("goes to {}", place()))
                .detail("No policy was asked: it is no statement, or too large to be looked at."),
            Explained::Sent { answer: Some(answer), to_primary } => {
                let why = self.why(answer);
                let why = match to_primary {
                    true => format!(
                        "{why} It goes to the primary nevertheless: a standby refused it, or more may follow."
                    ),
                    false => why,
                };
                notice(format!("goes to {}", place())).detail(&noted(&why))
            }
        }
    }

    /// Which policy decided what, from where that is known, and for how long.
    fn why(&self, answer: &Rc<Answer>) -> String {
        let decision = show::decision(&answer.verdict.decision);
        let kept = show::remembered(answer.verdict.remember);
        let asked = self.asked.iter().any(|one| Rc::ptr_eq(one, answer));
        let source = match answer.source {
            Source::Asked | Source::Nobody if !asked => "answered from memory",
            Source::Asked => "asked now",
            Source::Nobody => "asked now",
            other => show::source(other),
        };
        match (&answer.policy, &answer.verdict.decision) {
            (Some(policy), _) => format!("Policy {policy}: {decision}; {source}; {kept}."),
            (None, Decision::NoOpinion) => {
                format!("No policy has an opinion: the primary; {source}; {kept}.")
            }
            (None, _) => format!("{decision}; {source}; {kept}."),
        }
    }
}

/// Where a statement of this client would go now, and why: each step, and what was found. Policies are asked anew.
pub(crate) fn explain(
    ctx: &Rc<Ctx>,
    cluster: ClusterId,
    text: &str,
    who: &Arc<Who>,
) -> Vec<(String, String)> {
    let database = database_of(ctx, cluster, &who.database);
    let schema = database.catalog();
    let catalog = schema.catalog.load();
    let statement = howdah_sql::scan(text.as_bytes(), ScanOptions::default(), &**catalog);
    let chain = ctx.policies.chain(0);
    let question = Question {
        sql: text,
        statement: &statement,
        extra: Facts::NONE,
        class: 0,
        who,
        interest: chain.interest(&who.user, &who.database, &who.cluster),
        background: &Asked { database: &database, bind: None },
    };
    let known = ctx.policies.remembers(&chain, &question);
    let (answer, heard) = ctx.policies.listen(|| ctx.policies.ask_route(&chain, &question));
    let mut steps = vec![("cluster".to_owned(), who.cluster.clone())];
    let mut step = |name: &str, what: String| steps.push((name.to_owned(), what));
    step("kind", statement.kind.name().to_owned());
    let facts: Vec<_> = statement.facts.names().collect();
    step("facts", if facts.is_empty() { "none".to_owned() } else { facts.join(", ") });
    step("digest", format!("{:016x}", statement.digest));
    for (name, what) in Visible::of(text).lines() {
        step(name, what);
    }
    if let Some(pin) = statement.pin() {
        step("pin", format!("the session stays on its server afterwards: {}", pin.name()));
    }
    for one in heard {
        step(&format!("policy {}", one.policy), show::said(&one.said));
    }
    let who_says = answer.policy.as_deref().map(|policy| format!(", says {policy}"));
    let decision = show::decision(&answer.verdict.decision);
    step("decision", decision + &who_says.unwrap_or_default());
    let kept = show::remembered(answer.verdict.remember);
    step("memory", if known { format!("{kept}; it is remembered now") } else { kept.to_owned() });
    let mut lessee = Lessee::new(ctx, 0, cluster, who.user.clone(), who.database.clone());
    step("node", lessee.prospect(&answer.verdict.decision));
    steps
}

/// A value as PostgreSQL reads booleans (bool.c, `parse_bool_with_len`), but for abbreviations of true and false.
fn boolean(value: &str) -> Result<bool, Refusal> {
    let word = value.trim().trim_matches('\'').to_ascii_lowercase();
    match word.as_str() {
        "on" | "true" | "yes" | "1" => Ok(true),
        "off" | "false" | "no" | "0" => Ok(false),
        _ => Err(Refusal::new("22023", "parameter \"howdah.explain\" requires a Boolean value")),
    }
}
