//! Users that the configuration does not list, as their cluster knows them (`[auth.query]`).
//!
//! One connection for each cluster, on the control thread; what is found is kept for all workers. Those who ask for the same
//! user at once wait for the same answer.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use howdah_cluster::ClusterId;
use howdah_wire::backend::ErrorReport;
use lru::LruCache;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_local;
use tokio::time::Instant;

use crate::config::{AuthQuery, Secret};
use crate::frontend::Stored;
use crate::upstream::{Client, Login, QueryError, Rows};
use crate::worker::{Shared, configured};

/// Users that are kept, those who do not exist included: a few hundred bytes each.
const MAX_KEPT: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();
/// Longest time for an answer, connecting included.
const PATIENCE: Duration = Duration::from_secs(5);
/// What was found a shorter time ago is not doubted: wrong passwords cannot make the database be asked at every attempt.
const FRESH: Duration = Duration::from_secs(1);
/// The schemas that a query finds things in, lest somebody else's function be called. What is temporary comes last.
const SEARCH_PATH: &str = "pg_catalog, pg_temp";

/// A cluster, by its number, and a user.
type Key = (usize, String);

/// What is known of a user.
type Answer = Result<Option<Arc<Stored>>, ErrorReport>;

struct Kept {
    at: Instant,
    keep: Duration,
    found: Found,
}

/// What a database says of a user.
#[derive(Default)]
struct Found {
    /// Of those who may log in with a password.
    stored: Option<Arc<Stored>>,
    /// Until when the password is valid.
    until: Option<SystemTime>,
}

impl Found {
    fn valid(&self) -> Option<Arc<Stored>> {
        let expired = self.until.is_some_and(|until| until <= SystemTime::now());
        self.stored.clone().filter(|_| !expired)
    }
}

/// Looks users up.
pub(crate) struct Lookup {
    kept: Mutex<LruCache<Key, Kept>>,
    /// Each is a client that waits, of which there are as many as `limits.max_clients` allows.
    questions: mpsc::UnboundedSender<Question>,
}

struct Question {
    key: Key,
    answer: oneshot::Sender<Answer>,
}

/// Where questions arrive.
pub(crate) struct Questions(mpsc::UnboundedReceiver<Question>);

impl Lookup {
    /// Nothing is known yet.
    pub(crate) fn new() -> (Arc<Lookup>, Questions) {
        let (questions, receiver) = mpsc::unbounded_channel();
        let kept = Mutex::new(LruCache::new(MAX_KEPT));
        (Arc::new(Lookup { kept, questions }), Questions(receiver))
    }

    /// What is known of a user's password. None: there is no such user, or the password is not valid any more.
    ///
    /// # Errors
    /// Nobody could be asked.
    pub(super) async fn find(&self, cluster: usize, user: &str) -> Answer {
        let key = (cluster, user.to_owned());
        if let Some(known) = self.kept(&key) {
            return Ok(known);
        }
        let (answer, answered) = oneshot::channel();
        // Nobody listens any more, or will answer, when the proxy ends.
        let _ = self.questions.send(Question { key, answer });
        answered.await.unwrap_or_else(|_| Err(unanswered()))
    }

    /// What is kept may not be true any more.
    pub(super) fn doubt(&self, cluster: usize, user: &str) {
        let key = (cluster, user.to_owned());
        let mut kept = self.kept.lock();
        if kept.peek(&key).is_some_and(|kept| kept.at.elapsed() >= FRESH) {
            kept.pop(&key);
        }
    }

    /// Nothing is known any more.
    pub(crate) fn forget(&self) {
        self.kept.lock().clear();
    }

    fn kept(&self, key: &Key) -> Option<Option<Arc<Stored>>> {
        let mut kept = self.kept.lock();
        let known = kept.get(key).filter(|kept| kept.at.elapsed() < kept.keep)?;
        Some(known.found.valid())
    }
}

/// The connection to a cluster, and what it was made for.
type Connection = tokio::sync::Mutex<Option<(AuthQuery, Client)>>;

/// Answers questions, for ever.
pub(crate) async fn answer(shared: Arc<Shared>, mut questions: Questions) {
    let mut connections = HashMap::<usize, Rc<Connection>>::new();
    while let Some(Question { key, answer }) = questions.0.recv().await {
        let connection = Rc::clone(connections.entry(key.0).or_default());
        let shared = Arc::clone(&shared);
        spawn_local(async move {
            let mut connection = connection.lock().await;
            if answer.is_closed() {
                return;
            }
            // Somebody may have asked the same meanwhile.
            let known = match shared.memory.lookup.kept(&key) {
                Some(known) => Ok(known),
                None => ask(&shared, &mut connection, key).await,
            };
            // The client may have gone.
            let _ = answer.send(known);
        });
    }
}

async fn ask(shared: &Shared, connection: &mut Option<(AuthQuery, Client)>, key: Key) -> Answer {
    let config = shared.config.load_full();
    let Some(query) = &config.auth.query else { return Ok(None) };
    let deadline = Instant::now() + PATIENCE;
    let found = match rows(shared, connection, query, &key, deadline).await {
        Ok(rows) => found(rows, &key.1),
        Err(why) => Err(why),
    };
    let found = found.map_err(|why| {
        tracing::warn!(user = key.1, why, "a user cannot be looked up");
        unanswered()
    })?;
    let known = found.valid();
    shared.memory.lookup.kept.lock().put(key, Kept { at: Instant::now(), keep: query.keep, found });
    Ok(known)
}

/// What the database says. A connection that was kept may have ended meanwhile; a new one is tried then.
async fn rows(
    shared: &Shared,
    connection: &mut Option<(AuthQuery, Client)>,
    query: &AuthQuery,
    (cluster, user): &Key,
    deadline: Instant,
) -> Result<Rows, String> {
    let old = connection.take().filter(|(of, _)| of == query);
    if let Some((of, mut client)) = old {
        match client.query_with(&query.sql, user, deadline).await {
            Ok(rows) => {
                *connection = Some((of, client));
                return Ok(rows);
            }
            Err(QueryError::Refused(report)) => return Err(report.to_string()),
            Err(QueryError::Lost(_) | QueryError::Timeout) => {}
        }
    }
    let mut client = connect(shared, *cluster, query, deadline).await?;
    let rows = client.query_with(&query.sql, user, deadline).await;
    let rows = rows.map_err(|error| error.to_string())?;
    *connection = Some((query.clone(), client));
    Ok(rows)
}

async fn connect(
    shared: &Shared,
    cluster: usize,
    query: &AuthQuery,
    deadline: Instant,
) -> Result<Client, String> {
    let config = shared.config.load_full();
    let snapshot = shared.monitor.snapshot();
    let cluster = u16::try_from(cluster).map(ClusterId).map_err(|error| error.to_string())?;
    let node = snapshot.readable(cluster).and_then(|node| configured(&config, node));
    let (cluster, node) = node.ok_or("no node of the cluster is up")?;
    let mut login: Login = config.auth_login(query, node);
    login.parameters.push(("search_path".into(), SEARCH_PATH.into()));
    login.parameters.push(("application_name".into(), "howdah auth".into()));
    let client =
        Client::connect(&cluster.endpoint(node), &login, deadline, &shared.memory.keys).await;
    client.map_err(|error| format!("{}: {error}", node.name))
}

/// What an answer means.
fn found(rows: Rows, user: &str) -> Result<Found, String> {
    let row = match rows.as_slice() {
        [] => return Ok(Found::default()),
        [row] => row,
        _ => return Err("auth.query answers with more than one row".to_owned()),
    };
    let (name, password) = match row.as_slice() {
        [Some(name), password] | [Some(name), password, _] => (name, password),
        // What a function that returns one record says of a user that it does not find.
        [None, None] | [None, None, None] => return Ok(Found::default()),
        _ => return Err("auth.query must answer with two or three columns".to_owned()),
    };
    if name != user {
        return Err("auth.query answers with another user".to_owned());
    }
    let stored = password.clone().map(Secret::new).filter(|password| !password.reveal().is_empty());
    let stored = stored.map(|password| {
        Stored::hashed(&password)
            .ok_or("what auth.query says of the password is none of PostgreSQL's forms")
    });
    let until = row.get(2).and_then(Option::as_deref).map(seconds).transpose()?;
    Ok(Found { stored: stored.transpose()?.map(Arc::new), until: until.flatten() })
}

/// A time in seconds since 1970; none for one that never comes.
fn seconds(text: &str) -> Result<Option<SystemTime>, String> {
    let seconds: f64 =
        text.parse().map_err(|_| "the third column of auth.query is no number of seconds")?;
    let since = Duration::try_from_secs_f64(seconds.max(0.0));
    Ok(since.ok().and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since)))
}

/// The client hears no more than that; the log says why.
fn unanswered() -> ErrorReport {
    ErrorReport::fatal(b"57P03", "users cannot be looked up at the moment")
        .hint("The log of the proxy says why.")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const HASH: &str = "md53175bce1d3201d16594cebf9d7eb3f9d";

    fn row(columns: &[Option<&str>]) -> Vec<Option<String>> {
        columns.iter().map(|column| column.map(str::to_owned)).collect()
    }

    fn valid(columns: &[Option<&str>]) -> Result<bool, String> {
        found(vec![row(columns)], "me").map(|found| found.valid().is_some())
    }

    #[test]
    fn an_answer_is_a_user_and_a_password_and_until_when_it_is_valid() {
        assert_eq!(valid(&[Some("me"), Some(HASH)]), Ok(true));
        assert_eq!(valid(&[Some("me"), Some(HASH), None]), Ok(true));
        assert_eq!(valid(&[Some("me"), Some(HASH), Some("Infinity")]), Ok(true));
        assert_eq!(valid(&[Some("me"), Some(HASH), Some("99999999999")]), Ok(true));
        assert_eq!(valid(&[Some("me"), Some(HASH), Some("1000.5")]), Ok(false));
        assert_eq!(valid(&[Some("me"), Some(HASH), Some("-Infinity")]), Ok(false));
        assert_eq!(valid(&[Some("me"), None]), Ok(false));
        assert_eq!(valid(&[Some("me"), Some("")]), Ok(false));
        assert_eq!(valid(&[None, None]), Ok(false));
        assert!(found(Vec::new(), "me").unwrap().valid().is_none());
    }

    #[test]
    fn another_answer_is_none() {
        for columns in [
            &[Some("you"), Some(HASH)][..],
            &[Some("me"), Some("plain")],
            &[Some("me"), Some("SCRAM-SHA-256$4096:")],
            &[Some("me"), Some(HASH), Some("tomorrow")],
            &[Some("me")],
            &[None, Some(HASH)],
            &[Some("me"), Some(HASH), None, None],
        ] {
            assert!(valid(columns).is_err(), "{columns:?}");
        }
        let twice = vec![row(&[Some("me"), Some(HASH)]), row(&[Some("me"), Some(HASH)])];
        assert!(found(twice, "me").is_err());
    }
}
