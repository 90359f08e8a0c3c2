//! The operators' socket: a line comes in, a line of JSON goes out.
//!
//! The lines are `status`, `promote NAME`, `rollback NAME` and `release NAME`, answered by `{"policies": […], "kv": {…}}`
//! and `{"done": true}`; `failovers`, answered by `{"failovers": […]}`; `nodes`, `pause`, `pause CLUSTER`, `resume`,
//! `resume CLUSTER`, `drain NODE` and `undrain NODE`, answered by `{"clusters": […]}`; and `record status`, `record stop`
//! and `record start {"file": "…", "size": …, "seconds": …, "literals": …}`, answered by `{"recording": …}`; and `upgrade`
//! or `upgrade PROGRAM`, answered by `{"pid": …}` when that process has taken over. Or the answer is `{"error": "…"}`.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use howdah_cluster::{ClusterId, Failover};
use howdah_policy::{Metric, PolicyError, PolicyStatus, Registry, SpaceStatus, TrialStatus};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::{spawn_blocking, spawn_local};
use tokio::time::timeout;

use crate::kv;

use crate::policies::record::{Recordings, Wanted};
use crate::sockets::{PassedOn, SocketFile};
use crate::upgrade::Order;
use crate::worker::Shared;

mod nodes;
pub(crate) use nodes::{drain, pause};
#[cfg(test)]
mod tests;

/// Longest line that is read: a word and the name of a policy, or of a file (PATH_MAX is 4,096).
const MAX_LINE: u64 = 8 << 10;
/// Longest time that one who asks may take to ask, and to take the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most who are answered at once; the others wait.
const MOST: usize = 8;
/// Longest recording by an operator's order: what is forgotten ends some day.
pub(crate) const LONGEST: Duration = Duration::from_secs(7 * 86_400);
/// A pause when the system has no descriptors left.
const PAUSE: Duration = Duration::from_millis(50);

/// A socket that only the user of this process may use. It goes when it is dropped.
pub(crate) struct Control {
    listener: UnixListener,
    _file: SocketFile,
    places: Arc<Semaphore>,
}

/// What operators are told of, and give orders to.
#[derive(Clone)]
pub(crate) struct Operated {
    pub(crate) registry: Arc<Registry>,
    /// How shared values are exchanged, if they are.
    pub(crate) kv: Option<Arc<kv::Status>>,
    pub(crate) recordings: Arc<Recordings>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) upgrades: mpsc::UnboundedSender<Order>,
}

/// A recording that an operator wants.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    file: PathBuf,
    size: u64,
    seconds: u64,
    literals: bool,
}

/// Binds the socket. One that a killed process left behind is replaced; anything else is left alone.
pub(crate) fn bind(
    path: &Path,
    passed_on: &PassedOn,
) -> anyhow::Result<(UnixListener, SocketFile)> {
    let what = || format!("control: cannot listen on {}", path.display());
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            bail!("{}: there is something else than a socket", what());
        }
        Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
            bail!("{}: another process does", what());
        }
        Ok(_) => std::fs::remove_file(path).with_context(what)?,
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(what),
    }
    let listener = UnixListener::bind(path).with_context(what)?;
    let file = SocketFile::new(path, passed_on);
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).with_context(what)?;
    Ok((listener, file))
}

/// Operators who are being answered.
pub(crate) struct Answering(Arc<Semaphore>);

impl Answering {
    /// Returns when all have been answered, or have not asked for long enough.
    pub(crate) async fn done(self) {
        // It is never closed.
        let _ = self.0.acquire_many(MOST as u32).await;
    }
}

impl Control {
    pub(crate) fn new(listener: UnixListener, file: SocketFile) -> Control {
        Control { listener, _file: file, places: Arc::new(Semaphore::new(MOST)) }
    }

    /// Who is being answered, to be waited for when nobody is any more.
    pub(crate) fn answering(&self) -> Answering {
        Answering(Arc::clone(&self.places))
    }

    /// Answers until it is dropped.
    pub(crate) async fn serve(self, operated: Operated) {
        loop {
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let operated = operated.clone();
                    spawn_local(async move {
                        // Whoever asked has gone, or never asked.
                        let _ = answer(stream, operated).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "an operator's connection was not accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

async fn answer(mut stream: UnixStream, operated: Operated) -> std::io::Result<()> {
    // The mode of the socket was that of all files for an instant.
    let uid = stream.peer_cred()?.uid();
    if uid != 0 && uid != rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    let line = timeout(PATIENCE, line(&mut stream)).await??;
    let document = match upgrade(&line) {
        Some(program) => upgraded(&operated, program).await,
        // Starting instances takes a while, and so does the disk.
        None => spawn_blocking(move || obey(&operated, &line)).await?,
    };
    timeout(PATIENCE, stream.write_all(format!("{document}\n").as_bytes())).await?
}

async fn line(stream: &mut UnixStream) -> std::io::Result<Vec<u8>> {
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        let room = MAX_LINE.saturating_sub(line.len() as u64);
        if stream.take(room).read_buf(&mut line).await? == 0 {
            break;
        }
    }
    Ok(line)
}

/// The program that a line wants to take over, none for the one that runs; unless it wants something else.
fn upgrade(line: &[u8]) -> Option<Option<PathBuf>> {
    match line.strip_suffix(b"\n")?.strip_prefix(b"upgrade")? {
        [] => Some(None),
        [b' ', program @ ..] => Some(Some(OsStr::from_bytes(program).into())),
        _ => None,
    }
}

/// Has another process take over.
async fn upgraded(operated: &Operated, program: Option<PathBuf>) -> Value {
    let (answer, answered) = oneshot::channel();
    // A process that is about to end does not answer.
    let _ = operated.upgrades.send(Order { program, answer });
    match answered.await {
        Ok(Ok(pid)) => json!({ "pid": pid }),
        Ok(Err(why)) => json!({ "error": why }),
        Err(_) => json!({ "error": "the proxy is shutting down" }),
    }
}

/// Does what a line says.
fn obey(operated: &Operated, line: &[u8]) -> Value {
    let line = std::str::from_utf8(line).ok().and_then(|line| line.strip_suffix('\n'));
    let Some(line) = line else {
        return json!({ "error": format!("expected a line of at most {MAX_LINE} bytes of UTF-8") });
    };
    let (word, policy) = line.split_once(' ').unwrap_or((line, ""));
    let order: fn(&Registry, &str) -> Result<(), PolicyError> = match word {
        "status" if policy.is_empty() => return status(operated),
        "failovers" if policy.is_empty() => return failovers(&operated.shared),
        "nodes" if policy.is_empty() => return nodes::nodes(&operated.shared),
        "pause" => return or_error(nodes::pause(&operated.shared, policy, true)),
        "resume" => return or_error(nodes::pause(&operated.shared, policy, false)),
        "drain" => return or_error(nodes::drain(&operated.shared, policy, true)),
        "undrain" => return or_error(nodes::drain(&operated.shared, policy, false)),
        "promote" => Registry::promote,
        "rollback" => Registry::rollback,
        "release" => Registry::release,
        "record" => {
            let done = record(&operated.recordings, policy);
            return or_error(done.map(|()| operated.recordings.status()));
        }
        _ => {
            let known = "status, failovers, nodes, record, pause, resume, upgrade, or drain, undrain, promote, rollback or release NAME";
            return json!({ "error": format!("expected {known}") });
        }
    };
    match order(&operated.registry, policy) {
        Ok(()) => {
            tracing::info!(policy, order = word, "an operator's order was carried out");
            json!({ "done": true })
        }
        Err(error) => json!({ "error": format!("policy {}: {}", error.policy, error.message) }),
    }
}

fn or_error(done: Result<Value, String>) -> Value {
    done.unwrap_or_else(|error| json!({ "error": error }))
}

/// Starts or stops a recording, or does nothing.
fn record(recordings: &Arc<Recordings>, order: &str) -> Result<(), String> {
    match order.split_once(' ').unwrap_or((order, "")) {
        ("status", "") => Ok(()),
        ("stop", "") => recordings.stop(),
        ("start", wanted) => {
            let Record { file, size, seconds, literals } =
                serde_json::from_str(wanted).map_err(|error| format!("record start: {error}"))?;
            let time = Some(Duration::from_secs(seconds.min(LONGEST.as_secs())));
            tracing::info!(file = %file.display(), "a recording begins by an operator's order");
            recordings.start(Wanted { file, append: false, size, time, literals })
        }
        _ => Err("expected record status, record stop, or record start with a JSON object".into()),
    }
}

/// What is known of all policies, and of the values that they share.
fn status(Operated { registry, kv, .. }: &Operated) -> Value {
    let policies: Vec<Value> = registry.status().iter().map(policy).collect();
    let space = |space: SpaceStatus| json!({ "name": space.name, "keys": space.keys, "bytes": space.bytes });
    let spaces: Vec<Value> = registry.spaces().into_iter().map(space).collect();
    let kv = json!({ "redis": kv.as_deref().map(redis), "spaces": spaces });
    json!({ "generation": registry.generation(), "policies": policies, "kv": kv })
}

/// What became of primaries, by cluster, the oldest first; one that is under way has no `to`.
fn failovers(shared: &Shared) -> Value {
    let monitor = &shared.monitor;
    let snapshot = monitor.snapshot();
    let describe = |id: ClusterId, cluster: &str, failover: Failover| {
        let name = |node| snapshot.spec(node).map(|spec| spec.name.as_str());
        let after = |at: Instant| at.saturating_duration_since(failover.doubted).as_millis() as u64;
        json!({
            "cluster": cluster,
            "seconds_ago": failover.doubted.elapsed().as_secs(),
            "from": name(failover.from.0),
            "timeline_before": failover.from.1,
            "evidence": failover.evidence.text(),
            "lost_after_ms": failover.lost.as_ref().map(|(at, _)| after(*at)),
            "reason": failover.lost.as_ref().map(|(_, how)| how),
            "to": failover.to.and_then(|(node, ..)| name(node)),
            "timeline": failover.to.map(|(_, timeline, _)| timeline),
            "found_after_ms": failover.to.map(|(.., at)| after(at)),
            "clients": shared.tolls.of(id, failover.doubted).map(|toll| toll.to_string()),
        })
    };
    let clusters = snapshot.clusters.iter().enumerate();
    let all = clusters.flat_map(|(index, cluster)| {
        let id = ClusterId(index as u16);
        monitor.failovers(id).into_iter().map(move |failover| (id, cluster, failover))
    });
    let all: Vec<Value> =
        all.map(|(id, cluster, failover)| describe(id, cluster, failover)).collect();
    json!({ "failovers": all })
}

fn redis(status: &kv::Status) -> Value {
    let seconds = |duration: Duration| duration.as_secs();
    json!({
        "connected": status.connected(),
        "away_seconds": status.away().map(seconds),
        "last_exchange_seconds": status.last_exchange().map(seconds),
        "exchanges": status.exchanges(),
        "failures": status.failures(),
        "dropped": status.refused(),
        "last_failure": status.last_failure(),
    })
}

fn policy(status: &PolicyStatus) -> Value {
    json!({
        "name": status.name,
        "origin": status.origin,
        "sha256": status.sha256,
        "bytes": status.size,
        "hooks": status.hooks,
        "mode": status.rollout.name(),
        "calls": status.calls,
        "nanoseconds": status.nanoseconds,
        "remembered": status.remembered,
        "failures": status.failures,
        "quarantined": status.quarantined,
        "last_failure": status.last_failure,
        "unobserved": status.unobserved,
        "metrics": status.metrics.iter().map(metric).collect::<serde_json::Map<_, _>>(),
        "trial": status.trial.as_ref().map(trial),
        "previous": status.previous,
        "rolled_back": status.rolled_back,
        "refused": status.refused,
    })
}

/// A counter or gauge is a number; the buckets of a histogram end at the powers of two, the first at 1.
fn metric((name, metric): &(String, Metric)) -> (String, Value) {
    let value = match metric {
        Metric::Number(number) => json!(number),
        Metric::Histogram(histogram) => json!({
            "count": histogram.count(),
            "sum": histogram.sum,
            "buckets": histogram.buckets.as_slice(),
        }),
    };
    (name.clone(), value)
}

fn trial(trial: &TrialStatus) -> Value {
    let disagreement = |one: &howdah_policy::Disagreement| {
        json!({
            "hook": one.hook,
            "digest": format!("{:016x}", one.digest),
            "live": one.live,
            "candidate": one.candidate,
        })
    };
    json!({
        "sha256": trial.sha256,
        "mode": trial.rollout.name(),
        "share": trial.rollout.share(),
        "seconds": trial.age.as_secs(),
        "calls": trial.calls,
        "nanoseconds": trial.nanoseconds,
        "failures": trial.failures,
        "quarantined": trial.quarantined,
        "last_failure": trial.last_failure,
        "agreed": trial.agreed,
        "disagreed": trial.disagreed,
        "skipped": trial.skipped,
        "disagreements": trial.disagreements.iter().map(disagreement).collect::<Vec<_>>(),
    })
}
