//! Calls of policies in production, written to a file, so that another version can be asked the same.
//!
//! What was answered from memory is not recorded: nobody was asked.

pub mod line;

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use howdah_decision::Node;
use howdah_policy::{Call, PARAMETER, PolicySpec, Registry, wall_ms};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::show;
use crate::config::Policies;
use line::{Asked, FORMAT, Line, RecordedCall, Version};

/// Calls that wait to be written. When a disk is slower than what happens, further ones are counted and dropped.
const MAX_WAITING: usize = 4_096;
/// What has been recorded is in the file after this.
const FLUSH: Duration = Duration::from_secs(1);

/// A recording that somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Where to.
    pub file: PathBuf,
    /// Whether the file may be there already, and is appended to.
    pub append: bool,
    /// Largest size of the file, in bytes.
    pub size: u64,
    /// Longest time; none: until it is stopped.
    pub time: Option<Duration>,
    /// Whether literals and values of parameters are recorded.
    pub literals: bool,
}

impl Wanted {
    /// What a configuration wants from the start.
    pub fn of(policies: &Policies) -> Option<Wanted> {
        Some(Wanted {
            file: policies.record.clone()?,
            append: true,
            size: policies.record_size.0,
            time: None,
            literals: policies.record_literals,
        })
    }

    /// Opens the file, which is for its owner's eyes alone.
    fn open(&self) -> Result<File, String> {
        let mut options = OpenOptions::new();
        options.append(true).create(self.append).create_new(!self.append).mode(0o600);
        options.open(&self.file).map_err(|error| {
            let file = self.file.display();
            match error.kind() {
                std::io::ErrorKind::AlreadyExists => {
                    format!("{file} is there already: name a file that is not")
                }
                _ => format!("{file} cannot be written: {error}"),
            }
        })
    }
}

/// How far a recording has come.
#[derive(Default)]
struct Progress {
    calls: AtomicU64,
    bytes: AtomicU64,
    dropped: AtomicU64,
    /// Why it has ended.
    ended: OnceLock<String>,
}

/// A recording that is under way, or has ended last.
struct Recording {
    wanted: Wanted,
    began: Instant,
    progress: Arc<Progress>,
    /// Until it is stopped.
    writer: Option<JoinHandle<()>>,
}

/// The recordings of a process: one at a time.
pub struct Recordings {
    registry: Arc<Registry>,
    last: Mutex<Option<Recording>>,
}

/// A call on its way to the file.
struct Noted {
    call: Box<RecordedCall>,
    spec: Arc<PolicySpec>,
    topology: u64,
    nodes: Arc<[Node]>,
}

impl Recordings {
    /// None yet.
    pub fn new(registry: Arc<Registry>) -> Arc<Recordings> {
        Arc::new(Recordings { registry, last: Mutex::default() })
    }

    /// Begins to record.
    ///
    /// # Errors
    /// A recording is under way, the file is there already or cannot be written, or there is no thread.
    pub fn start(self: &Arc<Self>, wanted: Wanted) -> Result<(), String> {
        let mut last = self.last.lock();
        if let Some(under_way) = last.as_ref().filter(|last| last.progress.ended.get().is_none()) {
            let file = under_way.wanted.file.display();
            return Err(format!("a recording to {file} is under way: stop it first"));
        }
        let file = wanted.open()?;
        let held = file.metadata().map_err(|error| error.to_string())?.len();
        let progress = Arc::<Progress>::default();
        progress.bytes.store(held, Ordering::Relaxed);
        let (calls, inbox) = sync_channel(MAX_WAITING);
        let began = Instant::now();
        let writer = Writer {
            out: BufWriter::new(file),
            progress: Arc::clone(&progress),
            size: wanted.size,
            until: wanted.time.map(|time| began + time),
            versions: HashMap::new(),
            topology: None,
        };
        let (recordings, literals) = (Arc::clone(self), wanted.literals);
        let thread = std::thread::Builder::new().name("howdah-record".into());
        let writer = thread
            .spawn(move || recordings.write(writer, &inbox, literals))
            .map_err(|error| format!("there is no thread for it: {error}"))?;
        *last = Some(Recording {
            wanted,
            began,
            progress: Arc::clone(&progress),
            writer: Some(writer),
        });
        self.registry.listen(Some(Box::new(move |call| note(call, literals, &calls, &progress))));
        Ok(())
    }

    /// Ends a recording. When it returns, all is in the file.
    ///
    /// # Errors
    /// Nothing is being recorded.
    pub fn stop(&self) -> Result<(), String> {
        let writer = {
            let mut last = self.last.lock();
            let under_way = last.as_mut().filter(|last| last.progress.ended.get().is_none());
            let under_way = under_way.ok_or("nothing is being recorded")?;
            self.registry.listen(None);
            under_way.writer.take()
        };
        // The writer may have panicked: then it has nothing more to write.
        let _ = writer.map(JoinHandle::join);
        Ok(())
    }

    /// What is being recorded, or was last: `{"recording": null}` before the first.
    pub fn status(&self) -> Value {
        let last = self.last.lock();
        let count = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let shown = last.as_ref().map(|Recording { wanted, began, progress, .. }| {
            json!({
                "file": wanted.file.display().to_string(),
                "literals": wanted.literals,
                "seconds": began.elapsed().as_secs(),
                "time": wanted.time.map(|time| time.as_secs()),
                "bytes": count(&progress.bytes),
                "size": wanted.size,
                "calls": count(&progress.calls),
                "dropped": count(&progress.dropped),
                "ended": progress.ended.get(),
            })
        });
        json!({ "recording": shown })
    }

    /// Writes until it is over, and says why.
    fn write(&self, mut writer: Writer, inbox: &Receiver<Noted>, literals: bool) {
        let why = match writer.run(inbox, literals) {
            Ok(why) => why.to_owned(),
            Err(error) => format!("the file cannot be written: {error}"),
        };
        let mut last = self.last.lock();
        if let Some(last) = &mut *last {
            let file = last.wanted.file.display();
            tracing::info!(%file, why, "a recording has ended");
            if last.writer.take().is_some() {
                // Nobody has stopped it, so the calls are still listened to for this file.
                self.registry.listen(None);
            }
        }
        // Set under the lock, so that no other recording begins before.
        let _ = writer.progress.ended.set(why);
    }
}

/// Takes a call, and never waits.
fn note(call: Call<'_>, literals: bool, calls: &SyncSender<Noted>, progress: &Progress) {
    let Call { spec, sha256, worker, subject, topology: (topology, nodes), mut supplied, said } =
        call;
    if !literals {
        supplied.retain(|one| !one.asked.starts_with(PARAMETER));
    }
    let (who, asked) = Asked::of(subject, literals);
    let call = Box::new(RecordedCall {
        at: wall_ms(),
        worker,
        policy: spec.name.clone(),
        sha256: sha256.to_owned(),
        who,
        asked,
        supplied,
        answer: show::exactly(&said, literals),
    });
    let noted = Noted { call, spec: Arc::clone(spec), topology, nodes: Arc::clone(nodes) };
    if calls.try_send(noted).is_err() {
        progress.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

/// What writes a file.
struct Writer {
    out: BufWriter<File>,
    progress: Arc<Progress>,
    size: u64,
    until: Option<Instant>,
    /// Versions that are in the file, by name and hash.
    versions: HashMap<(String, String), Arc<PolicySpec>>,
    /// The topology that is in the file.
    topology: Option<u64>,
}

impl Writer {
    /// Writes lines until there is no room, no time, or nobody who sends any. Why it has ended.
    fn run(&mut self, inbox: &Receiver<Noted>, literals: bool) -> std::io::Result<&'static str> {
        let mut room = self.lines(&[Line::Recording { format: FORMAT, literals }])?;
        let why = loop {
            if !room {
                break "the file has reached its size";
            }
            let left = self.until.map(|until| until.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                break "its time is over";
            }
            match inbox.recv_timeout(left.map_or(FLUSH, |left| left.min(FLUSH))) {
                Ok(noted) => room = self.noted(noted)?,
                Err(RecvTimeoutError::Timeout) => self.out.flush()?,
                Err(RecvTimeoutError::Disconnected) => break "it was stopped",
            }
        };
        self.out.flush()?;
        Ok(why)
    }

    /// Writes a call after what it depends on. False: there is no room for it.
    fn noted(&mut self, noted: Noted) -> std::io::Result<bool> {
        let Noted { call, spec, topology, nodes } = noted;
        let mut lines = Vec::new();
        if self.topology != Some(topology) {
            self.topology = Some(topology);
            lines.push(Line::Nodes(nodes.iter().map(Into::into).collect()));
        }
        let key = (call.policy.clone(), call.sha256.clone());
        if !self.versions.get(&key).is_some_and(|known| Arc::ptr_eq(known, &spec)) {
            let (policy, sha256) = key.clone();
            let settings = spec.settings.clone();
            self.versions.insert(key, spec);
            lines.push(Line::Version(Version { policy, sha256, settings }));
        }
        lines.push(Line::Call(call));
        let room = self.lines(&lines)?;
        self.progress.calls.fetch_add(u64::from(room), Ordering::Relaxed);
        Ok(room)
    }

    /// Writes all of these lines. False: there is no room for them.
    fn lines(&mut self, lines: &[Line]) -> std::io::Result<bool> {
        let mut text = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut text, line)?;
            text.push(b'\n');
        }
        let held = self.progress.bytes.load(Ordering::Relaxed);
        if held + text.len() as u64 > self.size {
            return Ok(false);
        }
        self.out.write_all(&text)?;
        self.progress.bytes.store(held + text.len() as u64, Ordering::Relaxed);
        Ok(true)
    }
}
