//! Between the generated types and plain data. What a guest says is checked here.

use howdah_decision::{
    Admission, Again, Client, Decision, Demands, Facts, Failure, Kind, Node, Observation,
    Otherwise, Outcome, PoolMode, Refusal, Remember, Retry, Rewrite, RewriteVerdict, Role, Safety,
    Source, Table, Target, Verdict,
};

use crate::beside::FailedAt;
use crate::bindings::exports::howdah::policy::{observe, retry, rewrite, route, session};
use crate::bindings::howdah::policy::types;
use crate::spec::Limits;

pub(crate) fn kind(kind: Kind) -> types::Kind {
    match kind {
        Kind::Empty => types::Kind::Empty,
        Kind::Read => types::Kind::Read,
        Kind::Write => types::Kind::Write,
        Kind::Ddl => types::Kind::Ddl,
        Kind::Begin => types::Kind::Begin,
        Kind::End => types::Kind::End,
        Kind::Session => types::Kind::Session,
        Kind::Utility => types::Kind::Utility,
        Kind::Unknown => types::Kind::Unknown,
    }
}

pub(crate) fn facts(facts: Facts) -> types::Facts {
    const PAIRS: [(Facts, types::Facts); 11] = [
        (Facts::IN_TRANSACTION, types::Facts::IN_TRANSACTION),
        (Facts::READ_ONLY, types::Facts::READ_ONLY),
        (Facts::LOCKS_ROWS, types::Facts::LOCKS_ROWS),
        (Facts::VOLATILE, types::Facts::VOLATILE),
        (Facts::SEVERAL, types::Facts::SEVERAL),
        (Facts::EXTENDED, types::Facts::EXTENDED),
        (Facts::COPY, types::Facts::COPY),
        (Facts::STICKY, types::Facts::STICKY),
        (Facts::HINT_PRIMARY, types::Facts::HINT_PRIMARY),
        (Facts::HINT_REPLICA, types::Facts::HINT_REPLICA),
        (Facts::UNBOUNDED, types::Facts::UNBOUNDED),
    ];
    let mut out = types::Facts::empty();
    for (ours, theirs) in PAIRS {
        if facts.has(ours) {
            out |= theirs;
        }
    }
    out
}

/// Longest reason of a pin that is kept, in bytes.
const MAX_REASON: usize = 128;
/// Longest name of a user or database: NAMEDATALEN - 1 (pg_config_manual.h).
const MAX_NAME: usize = 63;
/// Most settings, and the longest of them in bytes, that a policy may give a session.
const MAX_SETTINGS: (usize, usize) = (64, 4_096);

fn remember(remember: types::Remember) -> Remember {
    match remember {
        types::Remember::Never => Remember::Never,
        types::Remember::Text => Remember::Text,
        types::Remember::TextAndClass => Remember::TextAndClass,
        types::Remember::Digest => Remember::Digest,
        types::Remember::DigestAndClass => Remember::DigestAndClass,
    }
}

fn refusal(refusal: &types::Refusal) -> Refusal {
    Refusal::new(&refusal.sqlstate, &refusal.message)
}

/// A routing verdict, or why it cannot be one.
pub(crate) fn verdict(verdict: route::Verdict) -> Result<Verdict, String> {
    let decision = match verdict.decision {
        route::Decision::NoOpinion => Decision::NoOpinion,
        route::Decision::Primary => Decision::Primary,
        route::Decision::Replica(d) => Decision::Replica(Demands {
            max_lag_ms: d.max_lag_ms,
            max_lag_bytes: d.max_lag_bytes,
            label: d.label.map(|(key, value)| (key.into(), value.into())),
            otherwise: match d.otherwise {
                route::Otherwise::Primary => Otherwise::Primary,
                route::Otherwise::Wait => Otherwise::Wait,
                route::Otherwise::Refuse => Otherwise::Refuse,
            },
        }),
        route::Decision::Node(name) => Decision::Node(name.into()),
        route::Decision::Cluster(name) => Decision::Cluster(name.into()),
        route::Decision::Refuse(r) => Decision::Refuse(refusal(&r)),
        route::Decision::Answer(table) => Decision::Answer(checked(table)?),
        route::Decision::Pin(reason) => {
            Decision::Pin(reason[..reason.floor_char_boundary(MAX_REASON)].into())
        }
    };
    Ok(Verdict { decision, remember: remember(verdict.remember) })
}

fn checked(table: route::Table) -> Result<Table, String> {
    let (columns, rows, bytes) = Limits::ANSWER;
    let values = table.rows.iter().flatten().flatten();
    let size: usize = table.columns.iter().chain(values).map(String::len).sum();
    if table.columns.is_empty() || table.columns.len() > columns {
        return Err(format!("an answer needs 1 to {columns} columns"));
    }
    if table.rows.len() > rows || size > bytes {
        return Err(format!("an answer has at most {rows} rows and {bytes} bytes"));
    }
    if table.rows.iter().any(|row| row.len() != table.columns.len()) {
        return Err("a row of an answer is not as wide as its columns".into());
    }
    if table.columns.iter().any(|name| name.contains('\0')) {
        return Err("a column's name contains a zero".into());
    }
    Ok(Table { columns: table.columns, rows: table.rows })
}

/// A rewrite, or why it cannot be one. Whether the new text may stand for the old one is judged by the caller.
pub(crate) fn rewrite(verdict: rewrite::Verdict, limit: usize) -> Result<RewriteVerdict, String> {
    let rewrite = match verdict.outcome {
        rewrite::Outcome::Unchanged => Rewrite::Unchanged,
        rewrite::Outcome::Text(text) if text.len() > limit => {
            return Err(format!("the new text has {} bytes, the limit is {limit}", text.len()));
        }
        rewrite::Outcome::Text(text) if text.contains('\0') => {
            return Err("the new text contains a zero".into());
        }
        rewrite::Outcome::Text(text) => Rewrite::Text(text.into()),
        rewrite::Outcome::Refuse(r) => Rewrite::Refuse(refusal(&r)),
    };
    let mut remember = remember(verdict.remember);
    if matches!(rewrite, Rewrite::Text(_)) {
        remember = match remember {
            Remember::Digest => Remember::Text,
            Remember::DigestAndClass => Remember::TextAndClass,
            other => other,
        };
    }
    Ok(RewriteVerdict { rewrite, remember })
}

pub(crate) fn client(client: &Client) -> session::Client {
    session::Client {
        id: client.id,
        user: client.user.clone(),
        database: client.database.clone(),
        application_name: client.application_name.clone(),
        address: client.address.clone(),
        parameters: client.parameters.clone(),
    }
}

/// What a policy says to a new client.
pub(crate) enum Opinion {
    None,
    Accept(Admission),
    Refuse(Refusal),
}

/// An opinion, or why it cannot be one. Whether its settings exist is told by the server.
pub(crate) fn opinion(decision: session::Decision) -> Result<Opinion, String> {
    let opinion = match decision {
        session::Decision::NoOpinion => Opinion::None,
        session::Decision::Refuse(r) => Opinion::Refuse(refusal(&r)),
        session::Decision::Accept(a) => Opinion::Accept(Admission {
            user: a.user,
            database: a.database,
            cluster: a.cluster,
            pool_mode: a.pool_mode.map(|mode| match mode {
                types::PoolMode::Session => PoolMode::Session,
                types::PoolMode::Transaction => PoolMode::Transaction,
            }),
            settings: a.settings,
            priority: a.priority,
            max_wait_ms: a.max_wait_ms,
            class: a.class,
        }),
    };
    if let Opinion::Accept(admission) = &opinion {
        for name in admission.user.iter().chain(&admission.database) {
            if name.is_empty() || name.len() > MAX_NAME || name.contains('\0') {
                return Err(format!("{name:?} is no name of a user or database"));
            }
        }
        let (most, longest) = MAX_SETTINGS;
        if admission.settings.len() > most {
            return Err(format!("it gives more than {most} settings"));
        }
        for (name, value) in &admission.settings {
            let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'.';
            let sound = !name.is_empty() && name.bytes().all(word) && !value.contains('\0');
            if !sound || name.len() + value.len() > longest {
                return Err(format!("{name:?} cannot be set"));
            }
        }
    }
    Ok(opinion)
}

fn role(role: Role) -> types::Role {
    match role {
        Role::Unknown => types::Role::Unknown,
        Role::Primary => types::Role::Primary,
        Role::Replica => types::Role::Replica,
    }
}

/// A failure, with where it happened and how long after the statement was first sent.
pub(crate) fn failure(failure: &Failure, at: &FailedAt<'_>) -> retry::Failure {
    retry::Failure {
        sqlstate: failure.sqlstate.map(text),
        node: at.node.to_owned(),
        role: role(at.role),
        safety: match failure.safety {
            Safety::Unsent => retry::Safety::Unsent,
            Safety::Refused => retry::Safety::Refused,
            Safety::OnStandby => retry::Safety::OnStandby,
            Safety::Read => retry::Safety::Read,
            Safety::InTransaction => retry::Safety::InTransaction,
            Safety::Commit => retry::Safety::Commit,
            Safety::Unknown => retry::Safety::Unknown,
        },
        outcome: match failure.outcome {
            Outcome::Unknown => retry::Outcome::Unknown,
            Outcome::Committed => retry::Outcome::Committed,
            Outcome::NotCommitted => retry::Outcome::NotCommitted,
        },
        replayable: failure.replayable,
        attempt: failure.attempt,
        elapsed_ms: u64::try_from(at.elapsed.as_millis()).unwrap_or(u64::MAX),
    }
}

/// What a policy says to a failure, or why it cannot be done.
pub(crate) fn retry(decision: retry::Decision, failure: &Failure) -> Result<Retry, String> {
    match decision {
        retry::Decision::NoOpinion => Ok(Retry::NoOpinion),
        retry::Decision::GiveUp => Ok(Retry::GiveUp),
        retry::Decision::Again(_) if !failure.safety.allows_again() => {
            Err("the statement cannot be sent again".into())
        }
        retry::Decision::Again(again) => Ok(Retry::Again(Again {
            target: match again.target {
                retry::Target::Same => Target::Same,
                retry::Target::Another => Target::Another,
                retry::Target::Primary => Target::Primary,
            },
            delay_ms: again.delay_ms,
        })),
        retry::Decision::Replay if !failure.replayable => {
            Err("the transaction cannot be replayed".into())
        }
        retry::Decision::Replay => Ok(Retry::Replay),
    }
}

pub(crate) fn observation(seen: &Observation) -> observe::Observation {
    observe::Observation {
        session: seen.session,
        class: seen.class,
        kind: kind(seen.kind),
        digest: seen.digest,
        node: seen.node.as_deref().map(str::to_owned),
        source: match seen.source {
            Source::Policy => observe::Source::Policy,
            Source::Nobody => observe::Source::Nobody,
            Source::Failure => observe::Source::Failure,
            Source::Learned => observe::Source::Learned,
            Source::Bound => observe::Source::Bound,
        },
        latency_us: seen.latency_us,
        waited_us: seen.waited_us,
        rows: seen.rows,
        bytes: seen.bytes,
        sqlstate: seen.sqlstate.map(text),
    }
}

fn text(sqlstate: [u8; 5]) -> String {
    String::from_utf8_lossy(&sqlstate).into_owned()
}

pub(crate) fn node(node: &Node) -> types::Node {
    types::Node {
        name: node.name.clone(),
        cluster: node.cluster.clone(),
        role: role(node.role),
        up: node.up,
        lag_bytes: node.lag_bytes,
        lag_ms: node.lag_ms,
        labels: node.labels.clone(),
    }
}
