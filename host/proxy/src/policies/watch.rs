use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use howdah_policy::{Applied, PolicyError, PolicySpec, Registry};
use notify::{RecursiveMode, Watcher};

use super::{PolicyFile, PolicySource, SETTLED};

/// A file that never settles is tried after this.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

enum Order {
    /// Something happened in a watched directory.
    Touched,
    /// Use these policies; tell whether it worked.
    Replace(Vec<PolicyFile>, Sender<Result<Applied, Vec<PolicyError>>>),
}

/// Swaps policies in, on a thread of its own, so that nobody waits for a compiler.
pub struct Swapper {
    orders: Sender<Order>,
}

impl Swapper {
    /// Uses these policies from now on. Blocks until they are in force, or refused.
    ///
    /// # Errors
    /// What is wrong with them; the old ones stay.
    pub fn replace(&self, files: Vec<PolicyFile>) -> Result<Applied, Vec<PolicyError>> {
        let (done, outcome) = channel();
        let gone = || {
            vec![PolicyError {
                policy: String::new(),
                origin: String::new(),
                message: "the policy thread has ended".into(),
            }]
        };
        self.orders.send(Order::Replace(files, done)).map_err(|_| gone())?;
        outcome.recv().unwrap_or_else(|_| Err(gone()))
    }
}

/// Starts the thread. Policies come by [`Swapper::replace`].
///
/// # Errors
/// There is no thread to be had.
pub fn start(registry: Arc<Registry>) -> std::io::Result<Swapper> {
    let (orders, inbox) = channel();
    let touched = orders.clone();
    std::thread::Builder::new().name("howdah-policies".into()).spawn(move || {
        Thread { registry, touched, files: Vec::new(), watcher: None, passed: RefCell::default() }
            .run(&inbox);
    })?;
    Ok(Swapper { orders })
}

struct Thread {
    registry: Arc<Registry>,
    touched: Sender<Order>,
    files: Vec<PolicyFile>,
    watcher: Option<notify::RecommendedWatcher>,
    /// The versions that passed their cases last, by name.
    passed: RefCell<HashMap<String, PolicySpec>>,
}

impl Thread {
    fn run(&mut self, inbox: &Receiver<Order>) {
        while let Ok(order) = inbox.recv() {
            match order {
                Order::Replace(files, done) => {
                    let outcome = self.apply(&files);
                    if outcome.is_ok() {
                        self.files = files;
                        self.watch();
                    }
                    // Whoever asked may have gone.
                    let _ = done.send(outcome);
                }
                Order::Touched => {
                    if let Some(order) = self.settle(inbox) {
                        // An order that came meanwhile includes reading the files anew.
                        let _ = self.touched.send(order);
                    } else {
                        self.reload();
                    }
                }
            }
        }
    }

    /// Waits until the directory is quiet and the files keep their size and time.
    fn settle(&self, inbox: &Receiver<Order>) -> Option<Order> {
        let give_up = Instant::now() + LONGEST_WAIT;
        let mut before = self.stamps();
        while Instant::now() < give_up {
            match inbox.recv_timeout(SETTLED) {
                Ok(Order::Touched) => {}
                Ok(order) => return Some(order),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {
                    let now = self.stamps();
                    if now == before {
                        return None;
                    }
                    before = now;
                }
            }
        }
        None
    }

    fn stamps(&self) -> Vec<Option<(u64, std::time::SystemTime)>> {
        let stamp = |path: &Path| {
            let meta = std::fs::metadata(path).ok()?;
            Some((meta.len(), meta.modified().ok()?))
        };
        self.paths().map(|path| stamp(&path)).collect()
    }

    fn paths(&self) -> impl Iterator<Item = PathBuf> {
        self.files.iter().filter_map(|file| match &file.source {
            PolicySource::BuiltIn => None,
            PolicySource::File(path) => Some(path.clone()),
        })
    }

    fn reload(&mut self) {
        match self.apply(&self.files.clone()) {
            Ok(Applied { changed, .. }) if changed.is_empty() => {}
            Ok(Applied { changed, generation }) => {
                tracing::info!(policies = changed.join(", "), generation, "policies swapped");
            }
            Err(errors) => {
                for error in errors {
                    tracing::error!("{error}; the previous version stays");
                }
            }
        }
        // Directories may have been replaced by others of the same name.
        self.watch();
    }

    fn apply(&self, files: &[PolicyFile]) -> Result<Applied, Vec<PolicyError>> {
        let (mut specs, mut errors) = (Vec::new(), Vec::new());
        for file in files {
            match file.read().and_then(|spec| self.tested(file, &spec).map(|()| spec)) {
                Ok(spec) => specs.push(spec),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { self.registry.apply(specs) } else { Err(errors) }
    }

    /// Runs the cases of a version that has not passed them yet.
    fn tested(&self, file: &PolicyFile, spec: &PolicySpec) -> Result<(), PolicyError> {
        if file.cases.is_none() || self.passed.borrow().get(&spec.name) == Some(spec) {
            return Ok(());
        }
        super::tested(file, spec)?;
        self.passed.borrow_mut().insert(spec.name.clone(), spec.clone());
        Ok(())
    }

    /// Watches the directories of the files, and those that symbolic links lead to: editors and deployments replace
    /// files rather than write into them.
    fn watch(&mut self) {
        let touched = self.touched.clone();
        let notice = move |event: notify::Result<notify::Event>| {
            let read_only = matches!(&event, Ok(event) if event.kind.is_access());
            if !read_only {
                let _ = touched.send(Order::Touched);
            }
        };
        let mut watcher = match notify::recommended_watcher(notice) {
            Ok(watcher) => watcher,
            Err(error) => {
                tracing::error!(%error, "policy files cannot be watched");
                return;
            }
        };
        let mut directories: Vec<PathBuf> = self
            .paths()
            .flat_map(|path| [Some(path.clone()), path.canonicalize().ok()])
            .flatten()
            .filter_map(|path| path.parent().map(Path::to_path_buf))
            .map(|dir| if dir.as_os_str().is_empty() { PathBuf::from(".") } else { dir })
            .collect();
        directories.sort();
        directories.dedup();
        for directory in directories {
            if let Err(error) = watcher.watch(&directory, RecursiveMode::NonRecursive) {
                tracing::warn!(directory = %directory.display(), %error, "cannot be watched for new policies");
            }
        }
        self.watcher = Some(watcher);
    }
}
