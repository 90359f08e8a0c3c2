//! What is in a recording: one JSON object per line.
//!
//! The first line says how it was made. A line about the nodes, or about a version of a policy, precedes the calls that
//! it holds for.

use std::collections::BTreeMap;
use std::time::Duration;

use howdah_decision::{Client, Facts, Failure, Kind, Node, Outcome, Role, Safety};
use howdah_policy::{FailedAt, Question, SettingValue, Subject, Supplied, Who};
use howdah_sql::{NoCatalog, ScanOptions, Statement};
use serde::{Deserialize, Serialize};

use crate::policies::cases::sqlstate;

/// The number of this format. Another one is not read.
pub const FORMAT: u32 = 1;

/// A line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Line {
    /// A recording begins.
    Recording {
        /// See [`FORMAT`].
        format: u32,
        /// False: statements and answers are without literals, and values of parameters are left out.
        literals: bool,
    },
    /// These are the nodes from now on.
    Nodes(Vec<RecordedNode>),
    /// A version of a policy has these settings from now on.
    Version(Version),
    /// A policy was asked something.
    Call(Box<RecordedCall>),
}

/// A version of a policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// Name of the policy.
    pub policy: String,
    /// SHA-256 of its component.
    pub sha256: String,
    /// Its settings.
    pub settings: BTreeMap<String, SettingValue>,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedNode {
    name: String,
    cluster: String,
    role: String,
    up: bool,
    lag_bytes: Option<u64>,
    lag_ms: Option<u64>,
    labels: Vec<(String, String)>,
}

/// A call of one policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedCall {
    /// Milliseconds since 1970.
    pub at: u64,
    /// The worker whose instance was asked.
    pub worker: usize,
    /// Name of the policy.
    pub policy: String,
    /// SHA-256 of its component.
    pub sha256: String,
    /// Who asked, and where.
    pub who: RecordedWho,
    /// What was asked.
    pub asked: Asked,
    /// What the host told the policy meanwhile.
    pub supplied: Vec<Supplied>,
    /// The answer in words.
    pub answer: String,
}

/// Who asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedWho {
    user: String,
    database: String,
    cluster: String,
    application: String,
}

/// What a policy was asked, by hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Asked {
    /// About a new client.
    Session(RecordedClient),
    /// What becomes of a text.
    Rewrite(RecordedStatement),
    /// Where a statement goes.
    Route(RecordedStatement),
    /// What becomes of a statement that has failed.
    Retry(RecordedStatement, RecordedFailure),
}

/// A client, besides who it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedClient {
    id: u64,
    address: String,
    parameters: Vec<(String, String)>,
}

/// A statement as the host knew it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedStatement {
    /// Its text.
    pub sql: String,
    /// The session's class.
    pub class: u32,
    kind: String,
    facts: Vec<String>,
    digest: String,
}

/// How a statement has failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedFailure {
    sqlstate: Option<String>,
    node: String,
    role: String,
    safety: String,
    outcome: String,
    replayable: bool,
    attempt: u32,
    elapsed_ms: u64,
}

/// A text as it is recorded.
pub fn text(sql: &str, literals: bool) -> String {
    match literals {
        true => sql.to_owned(),
        false => howdah_sql::without_literals(sql, ScanOptions::default()),
    }
}

impl Asked {
    /// What was asked, and by whom.
    pub(super) fn of(subject: Subject<'_>, literals: bool) -> (RecordedWho, Asked) {
        let statement = |q: &Question<'_>| RecordedStatement::of(q, literals);
        match subject {
            Subject::Session(client, cluster) => {
                let Client { id, user, database, application_name, address, parameters } = client;
                let who = RecordedWho {
                    user: user.clone(),
                    database: database.clone(),
                    cluster: cluster.to_owned(),
                    application: application_name.clone(),
                };
                let (address, parameters) = (address.clone(), parameters.clone());
                (who, Asked::Session(RecordedClient { id: *id, address, parameters }))
            }
            Subject::Rewrite(q) => (RecordedWho::of(q.who), Asked::Rewrite(statement(q))),
            Subject::Route(q) => (RecordedWho::of(q.who), Asked::Route(statement(q))),
            Subject::Retry(q, failure, at) => {
                let failure = RecordedFailure::of(failure, at);
                (RecordedWho::of(q.who), Asked::Retry(statement(q), failure))
            }
        }
    }

    /// The hook.
    pub fn hook(&self) -> &'static str {
        match self {
            Asked::Session(_) => "session",
            Asked::Rewrite(_) => "rewrite",
            Asked::Route(_) => "route",
            Asked::Retry(..) => "retry",
        }
    }

    /// The statement that it is about.
    pub fn sql(&self) -> Option<&str> {
        match self {
            Asked::Session(_) => None,
            Asked::Rewrite(statement) | Asked::Route(statement) | Asked::Retry(statement, _) => {
                Some(&statement.sql)
            }
        }
    }
}

impl RecordedWho {
    fn of(who: &Who) -> RecordedWho {
        RecordedWho {
            user: who.user.clone(),
            database: who.database.clone(),
            cluster: who.cluster.clone(),
            application: who.application_name.clone(),
        }
    }

    /// The same as policies know it.
    pub fn who(&self) -> Who {
        Who {
            user: self.user.clone(),
            database: self.database.clone(),
            cluster: self.cluster.clone(),
            application_name: self.application.clone(),
        }
    }
}

impl RecordedClient {
    /// The client as policies know it.
    pub fn client(&self, who: &Who) -> Client {
        Client {
            id: self.id,
            user: who.user.clone(),
            database: who.database.clone(),
            application_name: who.application_name.clone(),
            address: self.address.clone(),
            parameters: self.parameters.clone(),
        }
    }
}

impl RecordedStatement {
    fn of(q: &Question<'_>, literals: bool) -> RecordedStatement {
        RecordedStatement {
            sql: text(q.sql, literals),
            class: q.class,
            kind: q.statement.kind.name().to_owned(),
            facts: q.statement.facts.with(q.extra).names().map(str::to_owned).collect(),
            digest: format!("{:016x}", q.statement.digest),
        }
    }

    /// The statement as the host knew it then.
    ///
    /// # Errors
    /// A word that is not known.
    pub fn statement(&self) -> Result<Statement, String> {
        let scanned = howdah_sql::scan(self.sql.as_bytes(), ScanOptions::default(), &NoCatalog);
        let kind = named("kind", &self.kind, Kind::named)?;
        let mut facts = Facts::NONE;
        for name in &self.facts {
            facts = facts.with(named("fact", name, Facts::named)?);
        }
        let digest = u64::from_str_radix(&self.digest, 16)
            .map_err(|_| format!("\"{}\" is no digest", self.digest))?;
        Ok(Statement { kind, facts, digest, ..scanned })
    }
}

impl RecordedFailure {
    fn of(failure: &Failure, at: &FailedAt<'_>) -> RecordedFailure {
        let sqlstate = failure.sqlstate.as_ref();
        RecordedFailure {
            sqlstate: sqlstate.map(|state| String::from_utf8_lossy(state).into_owned()),
            node: at.node.to_owned(),
            role: at.role.name().to_owned(),
            safety: failure.safety.name().to_owned(),
            outcome: failure.outcome.name().to_owned(),
            replayable: failure.replayable,
            attempt: failure.attempt,
            elapsed_ms: u64::try_from(at.elapsed.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// The failure as policies know it.
    ///
    /// # Errors
    /// A word that is not known.
    pub fn failure(&self) -> Result<(Failure, FailedAt<'_>), String> {
        let failure = Failure {
            sqlstate: self.sqlstate.as_deref().map(sqlstate).transpose()?,
            safety: named("safety", &self.safety, Safety::named)?,
            outcome: named("outcome", &self.outcome, Outcome::named)?,
            replayable: self.replayable,
            attempt: self.attempt,
        };
        let role = named("role", &self.role, Role::named)?;
        let elapsed = Duration::from_millis(self.elapsed_ms);
        Ok((failure, FailedAt { node: &self.node, role, elapsed }))
    }
}

impl From<&Node> for RecordedNode {
    fn from(node: &Node) -> RecordedNode {
        RecordedNode {
            name: node.name.clone(),
            cluster: node.cluster.clone(),
            role: node.role.name().to_owned(),
            up: node.up,
            lag_bytes: node.lag_bytes,
            lag_ms: node.lag_ms,
            labels: node.labels.clone(),
        }
    }
}

impl RecordedNode {
    /// The node as policies know it.
    ///
    /// # Errors
    /// A role that is not known.
    pub fn node(self) -> Result<Node, String> {
        let role = named("role", &self.role, Role::named)?;
        let RecordedNode { name, cluster, up, lag_bytes, lag_ms, labels, .. } = self;
        Ok(Node { name, cluster, role, up, lag_bytes, lag_ms, labels })
    }
}

fn named<T>(what: &str, name: &str, named: impl Fn(&str) -> Option<T>) -> Result<T, String> {
    named(name).ok_or_else(|| format!("there is no {what} \"{name}\""))
}
