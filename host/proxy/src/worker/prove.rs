//! Finding out what became of a transaction whose COMMIT was not answered: see [`howdah_session::proof`].

use std::time::Duration;

use howdah_cluster::{ClusterId, Evidence, NodeId};
use howdah_decision::Outcome;
use howdah_session::Proof;
use howdah_session::proof::{Judgement, QUERY, Status, Survivor};
use tokio::time::{Instant, sleep, timeout_at};

use super::lease::Lessee;
use crate::upstream::{Client, QueryError, Rows};

/// Sessions of one worker that ask at the same time. Each has a connection of its own, and a primary that has just come up
/// shall have others to spare.
pub(super) const MAX_AT_ONCE: usize = 4;

/// Before it is asked again: at first, and at most.
const AGAIN: Duration = Duration::from_millis(20);
const AGAIN_AT_MOST: Duration = Duration::from_secs(1);

/// What a server says of itself beyond [`QUERY`]. The last column is how many microseconds ago the last transaction was
/// committed that it has replayed.
const SURVIVOR: &str = "SELECT (SELECT system_identifier FROM pg_catalog.pg_control_system()), \
    EXISTS (SELECT FROM pg_catalog.pg_class WHERE relpersistence = 'u'), \
    (extract(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.pg_last_xact_replay_timestamp()) * 1000000)::bigint";

/// A server has gone.
pub(super) struct Loss {
    node: NodeId,
    at: Instant,
}

impl Loss {
    /// It has gone just now.
    pub(super) fn of(node: NodeId) -> Loss {
        Loss { node, at: Instant::now() }
    }
}

/// What became of the transaction. Waits for a primary as long as the client would wait for a server. Cancel safe.
pub(super) async fn prove(lessee: &Lessee, proof: &Proof, lost: &Loss) -> Outcome {
    let deadline = lost.at + lessee.longest_wait(&lessee.pool_settings());
    let monitor = &lessee.ctx.shared.monitor;
    let node = |node| monitor.snapshot().spec(node).map(|spec| (spec.cluster, spec.name.clone()));
    let Some((cluster, name)) = node(lost.node) else { return Outcome::Unknown };
    let asked = timeout_at(deadline, until_told(lessee, proof, lost, cluster)).await;
    let outcome = asked.unwrap_or(Outcome::Unknown);
    let (outcome_is, waited_ms) = (outcome.name(), lost.at.elapsed().as_millis() as u64);
    tracing::info!(
        node = name,
        xid = proof.xid,
        outcome = outcome_is,
        waited_ms,
        "commit in doubt"
    );
    outcome
}

async fn until_told(lessee: &Lessee, proof: &Proof, lost: &Loss, cluster: ClusterId) -> Outcome {
    let monitor = &lessee.ctx.shared.monitor;
    let (mut epochs, mut pause) = (monitor.epochs(), AGAIN);
    loop {
        epochs.mark_unchanged();
        if let Some(primary) = monitor.snapshot().primary(cluster) {
            match ask(lessee, proof, lost, primary).await {
                Ok(outcome) => return outcome,
                Err(why) => tracing::debug!(why, "what became of a commit is not known yet"),
            }
        }
        tokio::select! {
            _ = epochs.changed() => {}
            () = sleep(pause) => pause = AGAIN_AT_MOST.min(pause * 2),
        }
    }
}

/// Asks the primary. An error says why it is to be asked again.
async fn ask(
    lessee: &Lessee,
    proof: &Proof,
    lost: &Loss,
    primary: NodeId,
) -> Result<Outcome, String> {
    let shared = &lessee.ctx.shared;
    let _turn = lessee.ctx.proving.acquire().await.map_err(|error| error.to_string())?;
    let Some((endpoint, login)) = shared.monitor.login_to(primary, &lessee.database) else {
        return Ok(Outcome::Unknown);
    };
    let deadline = Instant::now() + lessee.pool_settings().connect_timeout;
    let mut client = match Client::connect(&endpoint, &login, deadline, &shared.memory.keys).await {
        Ok(client) => client,
        Err(error) if error.blames_node() => {
            shared.monitor.hint(primary, Evidence::Connect);
            return Err(error.to_string());
        }
        Err(error) => {
            tracing::warn!(node = %endpoint, %error, "commits cannot be proven");
            return Ok(Outcome::Unknown);
        }
    };
    // All of it over one connection, so that it is about one life of the server.
    let since = lost.at.elapsed();
    let own = client.query(QUERY, deadline).await;
    let more = client.query(SURVIVOR, deadline).await;
    let (own, more) = match (own, more) {
        (Ok(own), Ok(more)) => (own, more),
        (Err(QueryError::Refused(report)), _) | (_, Err(QueryError::Refused(report))) => {
            tracing::warn!(node = %endpoint, reason = %report, "commits cannot be proven");
            return Ok(Outcome::Unknown);
        }
        (Err(error), _) | (_, Err(error)) => return Err(error.to_string()),
    };
    let judgement = match survivor(lessee, primary, &own, &more, since) {
        Some(survivor) => proof.judge(&survivor),
        None => return Err("it is not a primary".into()),
    };
    let status = match judgement {
        Judgement::Decided(outcome) => return Ok(outcome),
        Judgement::Alive | Judgement::Recovered => status(&mut client, proof, deadline).await?,
    };
    judgement.with(status).ok_or_else(|| "the transaction is still in progress".into())
}

fn survivor(
    lessee: &Lessee,
    node: NodeId,
    own: &Rows,
    more: &Rows,
    since: Duration,
) -> Option<Survivor> {
    let snapshot = lessee.ctx.shared.monitor.snapshot();
    let state = snapshot.state(node)?;
    let life = Proof::of(own.first()?.iter().map(Option::as_deref))?.life;
    let [identifier, unlogged, replayed] = more.first()?.as_slice() else { return None };
    let replayed = replayed.as_deref().and_then(|us| us.parse::<i128>().ok());
    Some(Survivor {
        same_system: identifier.as_deref()?.parse() == Ok(state.system_identifier),
        life,
        forked: state.forked,
        recovered_again: replayed.is_some_and(|age| age < since.as_micros() as i128),
        unlogged: unlogged.as_deref()? == "t",
    })
}

async fn status(client: &mut Client, proof: &Proof, deadline: Instant) -> Result<Status, String> {
    let xid = proof.xid.unwrap_or_default();
    let sql = format!("SELECT pg_catalog.pg_xact_status('{xid}'::pg_catalog.xid8)");
    let rows = match client.query(&sql, deadline).await {
        Ok(rows) => rows,
        // It is in the future (xid8funcs.c, `TransactionIdInRecentPast`).
        Err(QueryError::Refused(_)) => return Ok(Status::Unknown),
        Err(error) => return Err(error.to_string()),
    };
    Ok(match rows.first().and_then(|row| row.first()?.as_deref()) {
        Some("committed") => Status::Committed,
        Some("aborted") => Status::Aborted,
        Some("in progress") => Status::InProgress,
        _ => Status::Unknown,
    })
}
