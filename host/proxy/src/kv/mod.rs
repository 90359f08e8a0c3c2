//! The values that policies share with those of other proxies: exchanged by way of Redis, in the background.
//!
//! **Invariant:** what was counted is added once, whatever happens to the connection: an exchange that was not answered is
//! sent again under its number, and Redis does nothing for a number that it has seen.

mod message;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use howdah_policy::{Due, Room, Sharing};
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, IntoConnectionInfo, RedisError,
};
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::config::Kv;
use message::Sender;

/// Most keys of an exchange: Redis serves nobody else meanwhile, a millisecond or two.
const MAX_KEYS: usize = 1_000;
/// Most bytes of an exchange, but for the last value.
const MAX_BYTES: usize = 1 << 20;
/// Most exchanges in a row before others have their turn, here and at Redis.
const MAX_ROW: usize = 16;
/// Pause after the first failure; it doubles with each further one, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How the exchange goes.
#[derive(Debug)]
pub struct Status {
    exchanges: AtomicU64,
    failures: AtomicU64,
    refused: AtomicU64,
    link: Mutex<Link>,
}

/// How it is with Redis.
#[derive(Debug)]
struct Link {
    /// Since when it is away.
    away: Option<Instant>,
    exchanged: Option<Instant>,
    last_failure: Option<String>,
}

impl Default for Status {
    fn default() -> Status {
        let link = Link { away: Some(Instant::now()), exchanged: None, last_failure: None };
        let zero = AtomicU64::default;
        Status { exchanges: zero(), failures: zero(), refused: zero(), link: Mutex::new(link) }
    }
}

impl Status {
    /// Whether the last exchange went well.
    pub fn connected(&self) -> bool {
        self.away().is_none()
    }

    /// For how long Redis has been away, if it is; before the first exchange, since the start.
    pub fn away(&self) -> Option<Duration> {
        self.link.lock().away.map(|since| since.elapsed())
    }

    /// How long ago the last exchange went well.
    pub fn last_exchange(&self) -> Option<Duration> {
        self.link.lock().exchanged.map(|at| at.elapsed())
    }

    /// Exchanges so far.
    pub fn exchanges(&self) -> u64 {
        self.exchanges.load(Ordering::SeqCst)
    }

    /// Exchanges and attempts to connect that failed.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::SeqCst)
    }

    /// Values that could not be taken from Redis, and counts that could not be added there.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::SeqCst)
    }

    /// Why Redis is away, if it is.
    pub fn last_failure(&self) -> Option<String> {
        self.link.lock().last_failure.clone()
    }

    fn went_well(&self) {
        self.exchanges.fetch_add(1, Ordering::SeqCst);
        let mut link = self.link.lock();
        link.exchanged = Some(Instant::now());
        if link.away.take().is_some() {
            link.last_failure = None;
            tracing::info!("policies' shared values are exchanged with Redis");
        }
    }

    /// The log tells each reason once.
    fn failed(&self, why: String) {
        self.failures.fetch_add(1, Ordering::SeqCst);
        let mut link = self.link.lock();
        link.away.get_or_insert_with(Instant::now);
        let before = link.last_failure.replace(why.clone());
        if before.as_ref() != Some(&why) {
            tracing::warn!(
                why,
                "policies' shared values are not exchanged: this proxy goes on with its own"
            );
        }
    }
}

/// Exchanges values with Redis until it is stopped.
pub struct Exchange {
    sharing: Sharing,
    client: Client,
    settings: AsyncConnectionConfig,
    refresh: Duration,
    sender: Sender,
    /// What was fetched last and has not been answered yet.
    due: Vec<Due>,
    /// Its number.
    number: u64,
    status: Arc<Status>,
}

impl Exchange {
    /// Prepares everything; nothing is sent before it runs.
    ///
    /// # Errors
    /// The client cannot use the address.
    pub fn new(sharing: Sharing, kv: &Kv) -> Result<Exchange, RedisError> {
        let address = ConnectionAddr::Tcp(kv.server.host.clone(), kv.server.port);
        let info = address.into_connection_info()?;
        let mut login = info.redis_settings().clone().set_db(i64::from(kv.database));
        if let Some(user) = &kv.user {
            login = login.set_username(user);
        }
        if let Some(password) = &kv.password {
            login = login.set_password(password.reveal());
        }
        Ok(Exchange {
            sharing,
            client: Client::open(info.set_redis_settings(login))?,
            settings: AsyncConnectionConfig::new()
                .set_connection_timeout(Some(kv.connect_timeout))
                .set_response_timeout(Some(kv.timeout)),
            refresh: kv.refresh,
            sender: Sender::new(&kv.prefix),
            due: Vec::new(),
            number: 0,
            status: Arc::default(),
        })
    }

    /// How it goes.
    pub fn status(&self) -> Arc<Status> {
        Arc::clone(&self.status)
    }

    /// Exchanges values until told to stop, or nobody is left who could tell; then once more, if Redis is there.
    pub async fn run(mut self, mut stop: oneshot::Receiver<()>) {
        let mut pause = FIRST_PAUSE;
        loop {
            let before = self.status.exchanges();
            let connect = self.client.get_multiplexed_async_connection_with_config(&self.settings);
            let connected = tokio::select! {
                connected = connect => connected,
                _ = &mut stop => return,
            };
            let outcome = match connected {
                Ok(mut connection) => self.serve(&mut connection, &mut stop).await,
                Err(error) => Err(error),
            };
            match outcome {
                Ok(()) => return,
                Err(error) => self.status.failed(describe(&error)),
            }
            if self.status.exchanges() > before {
                pause = FIRST_PAUSE;
            }
            tokio::select! {
                () = sleep(jitter(pause)) => {}
                _ = &mut stop => return,
            }
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    /// Exchanges over one connection, for as long as it works.
    async fn serve(
        &mut self,
        connection: &mut MultiplexedConnection,
        stop: &mut oneshot::Receiver<()>,
    ) -> Result<(), RedisError> {
        let mut rounds = interval(self.refresh);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = rounds.tick() => {
                    self.sharing.turn();
                    self.round(connection).await?;
                }
                _ = &mut *stop => return self.round(connection).await,
            }
        }
    }

    async fn round(&mut self, connection: &mut MultiplexedConnection) -> Result<(), RedisError> {
        for _ in 0..MAX_ROW {
            if self.due.is_empty() {
                self.due = self.sharing.due(Room { keys: MAX_KEYS, bytes: MAX_BYTES });
                self.number += 1;
            }
            let believable = self.sharing.believable();
            let answers =
                self.sender.exchange(connection, self.number, &self.due, believable).await?;
            self.status.went_well();
            let due = std::mem::take(&mut self.due);
            for (one, answer) in due.iter().zip(answers) {
                let kept = self.sharing.take_in(one, answer.news, answer.at);
                if !kept || answer.not_added {
                    self.status.refused.fetch_add(1, Ordering::SeqCst);
                    tracing::debug!(space = %one.space, key = %one.key, "a value of Redis was not taken");
                }
            }
            if due.len() < MAX_KEYS {
                break;
            }
        }
        Ok(())
    }
}

/// Between half of a pause and all of it, so that proxies do not come back all at once.
fn jitter(pause: Duration) -> Duration {
    let [random] = crate::upstream::random();
    pause / 2 + pause / 512 * u32::from(random)
}

/// What is wrong, and what to do about it where it is known.
fn describe(error: &RedisError) -> String {
    if error.kind() == ErrorKind::AuthenticationFailed {
        return "Redis refuses the login; see kv.user and kv.password".to_owned();
    }
    let text = error.to_string();
    let hint = match error.code() {
        // The client wraps it when it comes first.
        _ if text.contains("Authentication required") => "; kv.password is missing",
        Some("NOPERM") => "; the user of kv.user must be allowed what howdah does",
        Some("CROSSSLOT" | "MOVED") => "; a Redis Cluster cannot be used",
        _ => "",
    };
    format!("{text}{hint}")
}
