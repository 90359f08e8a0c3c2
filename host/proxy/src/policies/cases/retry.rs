//! Cases for the `retry` hook: a statement that has failed, and what the policy must say to it.

use std::time::Duration;

use howdah_decision::{Again, Facts, Failure, Outcome, Retry, Role, Safety, Target};
use howdah_policy::{FailedAt, Who};
use howdah_sql::Catalog;
use serde::Deserialize;

use super::Unlike;
use super::run::failed;
use super::written::{WrittenRole, sqlstate, times, who};
use crate::policies::show;
use crate::policies::trial::{Asked, Trial};

/// The node on which statements fail.
const NODE: &str = "failed";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenRetry {
    name: Option<String>,
    sql: String,
    user: Option<String>,
    database: Option<String>,
    cluster: Option<String>,
    application: Option<String>,
    safety: WrittenSafety,
    outcome: Option<WrittenOutcome>,
    sqlstate: Option<String>,
    role: Option<WrittenRole>,
    #[serde(default)]
    replayable: bool,
    attempt: Option<u32>,
    #[serde(default)]
    elapsed_ms: u64,
    times: Option<u32>,
    expect: WrittenExpected,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum WrittenSafety {
    Unsent,
    Refused,
    OnStandby,
    Read,
    InTransaction,
    Commit,
    Unknown,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum WrittenOutcome {
    Unknown,
    Committed,
    NotCommitted,
}

/// `"give-up"`, or `{ again = "another" }`.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expect: say \"no-opinion\", \"give-up\", \"replay\", or { again = \"same\", \"another\" or \"primary\" }"
)]
enum WrittenExpected {
    Word(WrittenDecision),
    Again(WrittenAgain),
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum WrittenDecision {
    NoOpinion,
    GiveUp,
    Replay,
    Failure,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenAgain {
    again: WrittenTarget,
    delay_ms: Option<u32>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WrittenTarget {
    Same,
    Another,
    Primary,
}

/// A statement that has failed, and what must become of it.
#[derive(Debug)]
pub(super) struct Retried {
    sql: String,
    who: Who,
    failure: Failure,
    role: Role,
    elapsed: Duration,
    times: u32,
    expected: Expected,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// Exactly this.
    Decision(Retry),
    /// Again, there, whenever.
    Again(Target),
    /// The policy fails.
    Failure,
}

impl WrittenRetry {
    /// What the case is called.
    pub(super) fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.sql.clone())
    }
}

/// The case as meant.
pub(super) fn retried(written: WrittenRetry) -> Result<Retried, String> {
    let sqlstate = written.sqlstate.as_deref().map(sqlstate);
    Ok(Retried {
        sql: written.sql,
        who: who(written.user, written.database, written.cluster, written.application),
        failure: Failure {
            sqlstate: sqlstate.transpose()?,
            safety: safety(written.safety),
            outcome: outcome(written.outcome),
            replayable: written.replayable,
            attempt: written.attempt.unwrap_or(1),
        },
        role: written.role.map_or(Role::Primary, Role::from),
        elapsed: Duration::from_millis(written.elapsed_ms),
        times: times(written.times)?,
        expected: expected(&written.expect),
    })
}

fn safety(written: WrittenSafety) -> Safety {
    match written {
        WrittenSafety::Unsent => Safety::Unsent,
        WrittenSafety::Refused => Safety::Refused,
        WrittenSafety::OnStandby => Safety::OnStandby,
        WrittenSafety::Read => Safety::Read,
        WrittenSafety::InTransaction => Safety::InTransaction,
        WrittenSafety::Commit => Safety::Commit,
        WrittenSafety::Unknown => Safety::Unknown,
    }
}

fn outcome(written: Option<WrittenOutcome>) -> Outcome {
    match written {
        None | Some(WrittenOutcome::Unknown) => Outcome::Unknown,
        Some(WrittenOutcome::Committed) => Outcome::Committed,
        Some(WrittenOutcome::NotCommitted) => Outcome::NotCommitted,
    }
}

fn expected(written: &WrittenExpected) -> Expected {
    match written {
        WrittenExpected::Word(WrittenDecision::NoOpinion) => Expected::Decision(Retry::NoOpinion),
        WrittenExpected::Word(WrittenDecision::GiveUp) => Expected::Decision(Retry::GiveUp),
        WrittenExpected::Word(WrittenDecision::Replay) => Expected::Decision(Retry::Replay),
        WrittenExpected::Word(WrittenDecision::Failure) => Expected::Failure,
        WrittenExpected::Again(WrittenAgain { again, delay_ms }) => {
            let target = match again {
                WrittenTarget::Same => Target::Same,
                WrittenTarget::Another => Target::Another,
                WrittenTarget::Primary => Target::Primary,
            };
            match *delay_ms {
                None => Expected::Again(target),
                Some(delay_ms) => Expected::Decision(Retry::Again(Again { target, delay_ms })),
            }
        }
    }
}

impl Retried {
    /// The question in a line.
    pub(super) fn asked(&self) -> String {
        format!("retry of {}", self.sql)
    }

    /// Asks the policy. What is not as expected.
    pub(super) fn ask(&self, trial: &Trial, catalog: &dyn Catalog) -> Vec<Unlike> {
        let asked = Asked {
            sql: &self.sql,
            who: self.who.clone(),
            class: 0,
            extra: Facts::NONE,
            catalog,
            parameters: None,
        };
        let at = FailedAt { node: NODE, role: self.role, elapsed: self.elapsed };
        for _ in 1..self.times {
            trial.failed(&asked, &self.failure, &at);
        }
        let (decision, heard) = trial.failed(&asked, &self.failure, &at);
        let failure = heard.iter().find_map(failed);
        let fits = match (self.expected, decision) {
            (Expected::Failure, _) => failure.is_some(),
            _ if failure.is_some() => false,
            (Expected::Decision(one), given) => one == given,
            (Expected::Again(target), Retry::Again(again)) => again.target == target,
            (Expected::Again(_), _) => false,
        };
        let got = match failure {
            Some(why) => format!("the policy failed: {why}"),
            None => show::retry(decision),
        };
        if fits { Vec::new() } else { vec![Unlike { expected: self.expected.in_words(), got }] }
    }
}

impl Expected {
    fn in_words(self) -> String {
        match self {
            Expected::Decision(decision) => show::retry(decision),
            Expected::Again(target) => format!("again on {}", show::place(target)),
            Expected::Failure => "a failure of the policy".to_owned(),
        }
    }
}
