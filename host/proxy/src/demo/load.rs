use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::upstream::{Client, KeyCache, Login, Rows, Target};

/// Longest wait for an answer.
const DEADLINE: Duration = Duration::from_secs(10);
/// Failures that are kept in words.
const MAX_FAILURES: usize = 10;
/// One statement in so many is a write.
const WRITE_EVERY: u64 = 5;

const READ: &str = "SELECT inet_server_port(), current_setting('transaction_read_only'), count(*) FROM demo WHERE id > 0";
const WRITE: &str = "INSERT INTO demo DEFAULT VALUES RETURNING inet_server_port()";

/// What the load has seen, by the port of the server that answered.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) reads: BTreeMap<u16, u64>,
    pub(super) writes: BTreeMap<u16, u64>,
    pub(super) failures: Vec<String>,
}

impl Tally {
    fn count(&mut self, port: u16, write: bool) {
        let seen = if write { &mut self.writes } else { &mut self.reads };
        *seen.entry(port).or_default() += 1;
    }

    pub(super) fn reads(&self) -> u64 {
        self.reads.values().sum()
    }
}

/// Clients that read in one session, and now and then write in another.
pub(super) struct Load {
    tally: Arc<Mutex<Tally>>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts the clients, with a pause between two statements of one, or none.
    pub(super) fn start(
        target: &Target,
        clients: usize,
        stop: Arc<AtomicBool>,
        pause: Option<Duration>,
    ) -> Load {
        let tally = Arc::<Mutex<Tally>>::default();
        let start = |_| {
            let (target, stop, tally) = (target.clone(), Arc::clone(&stop), Arc::clone(&tally));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    if let Err(failure) = client(&target, &stop, &tally, pause).await {
                        let mut tally = tally.lock();
                        if tally.failures.len() < MAX_FAILURES {
                            tally.failures.push(failure);
                        }
                    }
                }
            })
        };
        let clients = (0..clients).map(start).collect();
        Load { tally, clients }
    }

    pub(super) fn tally(&self) -> Tally {
        self.tally.lock().clone()
    }

    /// Waits for the clients, which have been told to stop.
    pub(super) async fn finish(self) -> Tally {
        for client in self.clients {
            // A client that has panicked has counted nothing.
            let _ = client.await;
        }
        self.tally.lock().clone()
    }
}

async fn connect(target: &Target) -> Result<Client, String> {
    let login = Login {
        user: "postgres".into(),
        database: "postgres".into(),
        password: None,
        parameters: vec![("application_name".into(), "howdah demo".into())],
    };
    let deadline = Instant::now() + DEADLINE;
    Client::connect(&target.clone().into(), &login, deadline, &KeyCache::default())
        .await
        .map_err(|e| e.to_string())
}

async fn client(
    target: &Target,
    stop: &AtomicBool,
    tally: &Mutex<Tally>,
    pause: Option<Duration>,
) -> Result<(), String> {
    // A session that has written reads from the primary until its write has arrived, so readers and writers are apart.
    let (mut reader, mut writer) = (connect(target).await?, connect(target).await?);
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let write = number % WRITE_EVERY == 0;
        let rows = match write {
            true => ask(&mut writer, WRITE).await?,
            false => ask(&mut reader, READ).await?,
        };
        tally.lock().count(port(&rows)?, write);
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
        }
    }
    Ok(())
}

async fn ask(client: &mut Client, sql: &str) -> Result<Rows, String> {
    client.query(sql, Instant::now() + DEADLINE).await.map_err(|error| error.to_string())
}

fn port(rows: &Rows) -> Result<u16, String> {
    let first = rows.first().and_then(|row| row.first()).and_then(Option::as_deref);
    first.and_then(|port| port.parse().ok()).ok_or_else(|| "an answer without a port".to_owned())
}

/// What one read has seen.
pub(super) struct Read {
    pub(super) on_replica: bool,
}

/// Reads once, over a connection of its own.
pub(super) async fn read_once(target: &Target) -> Result<Read, String> {
    let rows = ask(&mut connect(target).await?, READ).await?;
    let read_only = rows.first().and_then(|row| row.get(1)).and_then(Option::as_deref);
    Ok(Read { on_replica: read_only == Some("on") })
}
