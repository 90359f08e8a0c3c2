//! Asking a policy the questions of its cases.

use std::collections::BTreeMap;
use std::time::Duration;

use howdah_decision::{Decision, Remember, Rewrite, SessionDecision};
use howdah_policy::{Heard, Limits, PolicyError, PolicySpec, Said, SettingValue};

use super::written::{Case, Configured, Opening};
use super::{Cases, Expected, Place, remember_name};
use crate::policies::show;
use crate::policies::trial::{Asked, Outcome, Trial};

/// A policy has at least so long for a question of a case: what it answers is tested, not how busy the machine is.
const PATIENCE: Duration = Duration::from_secs(1);

/// What running a file of cases came to.
#[derive(Debug)]
pub struct Report {
    /// One for each case, in the order of the file within its kind.
    pub tested: Vec<Tested>,
}

/// What a case came to.
#[derive(Debug)]
pub struct Tested {
    /// Where it is.
    pub place: Place,
    /// What it asked, in a line.
    pub asked: String,
    /// What is not as expected; empty when it passed.
    pub unlike: Vec<Unlike>,
}

/// An answer that is not the expected one.
#[derive(Debug, PartialEq, Eq)]
pub struct Unlike {
    /// What the case says.
    pub expected: String,
    /// What the policy said.
    pub got: String,
}

impl Report {
    /// How many failed.
    pub fn failed(&self) -> usize {
        self.tested.iter().filter(|tested| !tested.unlike.is_empty()).count()
    }

    /// The first failure in a line, for logs.
    pub fn first_failure(&self) -> Option<String> {
        let tested = self.tested.iter().find(|tested| !tested.unlike.is_empty())?;
        let unlike = tested.unlike.first()?;
        let Place { line, name } = &tested.place;
        Some(format!("line {line}, \"{name}\": expected {}, got {}", unlike.expected, unlike.got))
    }
}

impl Cases {
    /// Asks the policy everything, in a chain of its own.
    ///
    /// # Errors
    /// It cannot be loaded with these settings.
    pub fn run(&self, spec: &PolicySpec) -> Result<Report, Vec<PolicyError>> {
        let settings = self.settings.clone().unwrap_or_else(|| spec.settings.clone());
        let limits = Limits { time: spec.limits.time.max(PATIENCE), ..spec.limits };
        let with = |settings: BTreeMap<String, SettingValue>| {
            let scope = Default::default();
            Trial::new(vec![PolicySpec { settings, scope, limits, ..spec.clone() }])
        };
        let trial = with(settings)?;
        if !self.surrounding.nodes.is_empty() {
            trial.nodes(self.surrounding.nodes.clone());
        }
        let mut tested = Vec::new();
        for (place, configured) in &self.configured {
            let outcome = with(configured.settings.clone()).map(|_| ()).map_err(|errors| {
                errors.into_iter().map(|e| e.message).collect::<Vec<_>>().join("; ")
            });
            let asked = "configure".to_owned();
            tested.push(Tested {
                place: place.clone(),
                asked,
                unlike: taken(configured, &outcome),
            });
        }
        for (place, opening) in &self.sessions {
            let (decision, heard) = trial.open(&opening.client, &opening.cluster);
            let (user, database) = (&opening.client.user, &opening.client.database);
            let asked = format!("session of {user} in {database}");
            let unlike = opened(opening, &decision, &heard);
            tested.push(Tested { place: place.clone(), asked, unlike });
        }
        for (place, case) in &self.cases {
            let unlike = self.asked(&trial, case);
            tested.push(Tested { place: place.clone(), asked: case.sql.clone(), unlike });
        }
        for (place, retried) in &self.retries {
            let unlike = retried.ask(&trial, &self.surrounding.functions);
            tested.push(Tested { place: place.clone(), asked: retried.asked(), unlike });
        }
        for (place, telling) in &self.told {
            let unlike = telling.tell(&trial, spec, &self.surrounding.functions);
            tested.push(Tested { place: place.clone(), asked: telling.asked(), unlike });
        }
        Ok(Report { tested })
    }

    fn asked(&self, trial: &Trial, case: &Case) -> Vec<Unlike> {
        let asked = Asked {
            sql: &case.sql,
            who: case.who.clone(),
            class: case.class,
            extra: case.extra,
            catalog: &self.surrounding.functions,
            parameters: case.parameters.as_deref(),
        };
        for _ in 1..case.times {
            trial.ask(&asked);
        }
        let outcome = trial.ask(&asked);
        let failure = failure(&outcome);
        let wanted = case.expected.contains(&Expected::Failure);
        match failure {
            Some(why) if !wanted => {
                let expected = case.expected.iter().map(in_words).collect::<Vec<_>>().join(", ");
                vec![Unlike { expected, got: format!("the policy failed: {why}") }]
            }
            _ => case.expected.iter().filter_map(|one| differs(one, &outcome)).collect(),
        }
    }
}

fn failure(outcome: &Outcome) -> Option<&str> {
    outcome.rewriting.iter().chain(&outcome.routing).find_map(failed)
}

/// Why the policy failed, if it did.
pub(super) fn failed(heard: &Heard) -> Option<&str> {
    match &heard.said {
        Said::Failed(why) => Some(why),
        _ => None,
    }
}

/// How the policy took settings that it is to accept, or to refuse.
fn taken(configured: &Configured, outcome: &Result<(), String>) -> Vec<Unlike> {
    let expected = match &configured.error {
        None => "the settings are accepted".to_owned(),
        Some(part) => format!("an error with \"{part}\""),
    };
    let fits = match (&configured.error, outcome) {
        (None, Ok(())) => true,
        (Some(part), Err(error)) => error.contains(part),
        _ => false,
    };
    let got = match outcome {
        Ok(()) => "the settings are accepted".to_owned(),
        Err(error) => error.clone(),
    };
    if fits { Vec::new() } else { vec![Unlike { expected, got }] }
}

fn opened(opening: &Opening, decision: &SessionDecision, heard: &[Heard]) -> Vec<Unlike> {
    let got = match heard.iter().find_map(failed) {
        Some(why) => format!("the policy failed: {why}"),
        None => show::session(decision),
    };
    let failed = heard.iter().any(|heard| failed(heard).is_some());
    let fits = match (&opening.expected, decision) {
        (Expected::Failure, _) => failed,
        _ if failed => false,
        (Expected::Kind("refuse"), SessionDecision::Refuse(_)) => true,
        (Expected::Refusal(state, message), SessionDecision::Refuse(refusal)) => {
            refusal_fits(state, message.as_deref(), refusal)
        }
        (Expected::Admitted(None), SessionDecision::Accept(_)) => true,
        (Expected::Admitted(Some(admission)), SessionDecision::Accept(given)) => {
            **admission == *given
        }
        _ => false,
    };
    let expected = in_words(&opening.expected);
    if fits { Vec::new() } else { vec![Unlike { expected, got }] }
}

fn refusal_fits(state: &str, message: Option<&str>, refusal: &howdah_decision::Refusal) -> bool {
    refusal.sqlstate == state.as_bytes() && message.is_none_or(|m| *m == *refusal.message)
}

/// What is not as expected, if anything.
fn differs(expected: &Expected, outcome: &Outcome) -> Option<Unlike> {
    let verdict = outcome.answer.as_ref().map(|answer| &answer.verdict);
    let decision = verdict.map(|verdict| &verdict.decision);
    let fits = match expected {
        Expected::Kind("refuse") => outcome.refusal().is_some(),
        Expected::Kind(name) => decision.is_some_and(|decision| decision.name() == *name),
        Expected::Decision(one) => decision == Some(one),
        Expected::Refusal(state, message) => outcome
            .refusal()
            .is_some_and(|refusal| refusal_fits(state, message.as_deref(), refusal)),
        Expected::Failure => failure(outcome).is_some(),
        Expected::Rewrite(rewrite) => *rewrite == outcome.rewrite,
        Expected::Remember(remember) => remembered(outcome) == *remember,
        Expected::Admitted(_) => false,
    };
    let got = || match expected {
        Expected::Rewrite(_) => show::rewrite(&outcome.rewrite),
        Expected::Remember(_) => remember_name(remembered(outcome)).to_owned(),
        _ => got(outcome),
    };
    (!fits).then(|| Unlike { expected: in_words(expected), got: got() })
}

/// How long the routing answer is kept; of a statement that is not routed, the rewrite's.
fn remembered(outcome: &Outcome) -> Remember {
    let rewrite = || match outcome.rewriting.last().map(|heard| &heard.said) {
        Some(Said::Rewrite(verdict)) => verdict.remember,
        _ => Remember::Never,
    };
    outcome.answer.as_ref().map_or_else(rewrite, |answer| answer.verdict.remember)
}

/// Where the statement goes, and by which facts.
fn got(outcome: &Outcome) -> String {
    let statement = outcome.rewritten.as_deref().unwrap_or(&outcome.statement);
    let facts: Vec<&str> = statement.facts.names().collect();
    let facts = match facts.as_slice() {
        [] => String::new(),
        some => format!("; {}", some.join(", ")),
    };
    let decision = match (&outcome.rewrite, &outcome.answer) {
        (Rewrite::Refuse(refusal), _) => show::refused(refusal),
        (_, Some(answer)) => show::decision(&answer.verdict.decision),
        (_, None) => show::decision(&Decision::NoOpinion),
    };
    format!("{decision}  [kind {}{facts}]", statement.kind.name())
}

fn in_words(expected: &Expected) -> String {
    match expected {
        Expected::Kind(name) => (*name).to_owned(),
        Expected::Decision(decision) => show::decision(decision),
        Expected::Refusal(state, None) => format!("refuse with {state}"),
        Expected::Refusal(state, Some(message)) => format!("refuse with {state}: {message}"),
        Expected::Failure => "a failure of the policy".to_owned(),
        Expected::Rewrite(rewrite) => show::rewrite(rewrite),
        Expected::Remember(remember) => remember_name(*remember).to_owned(),
        Expected::Admitted(None) => "accept".to_owned(),
        Expected::Admitted(Some(admission)) => show::admitted(admission),
    }
}
