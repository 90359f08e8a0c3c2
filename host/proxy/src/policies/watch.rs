use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use howdah_policy::{Applied, Binary, PolicyError, PolicySpec, Registry};

use super::cases::Cases;
use super::{PolicyFile, PolicySource};
use crate::paths::{self, LOOK, SETTLED, Stamp};

/// A file that never settles is tried after this.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;

enum Order {
    /// Something happened in a watched directory.
    Touched,
    /// Use these policies; tell whether it worked.
    Replace(Vec<PolicyFile>, Sender<Result<Applied, Vec<PolicyError>>>),
    /// Nobody swaps policies any more.
    End,
}

/// Swaps policies in, on a thread of its own, so that nobody waits for a compiler. The thread ends with it.
pub struct Swapper {
    orders: Sender<Order>,
}

impl Drop for Swapper {
    fn drop(&mut self) {
        // The thread, which keeps a sender of its own, may have ended.
        let _ = self.orders.send(Order::End);
    }
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
        let (policies, stamps, passed) = (Vec::new(), Vec::new(), RefCell::default());
        Thread { registry, touched, policies, stamps, watcher: None, passed }.run(&inbox);
    })?;
    Ok(Swapper { orders })
}

/// A policy's files, and what became of them.
struct Watched {
    file: PolicyFile,
    /// What was accepted last.
    accepted: PolicySpec,
    /// What was found last: nothing is compiled, or complained about, twice.
    found: Found,
}

/// What is in a policy's files.
#[derive(PartialEq)]
struct Found {
    component: Result<Binary, String>,
    cases: Option<Proof>,
}

impl Found {
    fn of(file: &PolicyFile, read: &Result<PolicySpec, PolicyError>) -> Found {
        let component = match read {
            Ok(spec) => Ok(spec.bytes.clone()),
            Err(error) => Err(error.message.clone()),
        };
        Found { component, cases: file.cases.as_deref().map(Cases::sha256) }
    }
}

/// Which cases a version has passed: the hash of their file, or none when it cannot be read.
type Proof = Option<String>;

struct Thread {
    registry: Arc<Registry>,
    touched: Sender<Order>,
    policies: Vec<Watched>,
    /// Of the files, when they were looked at last.
    stamps: Vec<Option<Stamp>>,
    watcher: Option<notify::RecommendedWatcher>,
    /// The versions that passed their cases last, and which cases these were, by name.
    passed: RefCell<HashMap<String, (PolicySpec, Proof)>>,
}

impl Thread {
    fn run(&mut self, inbox: &Receiver<Order>) {
        loop {
            match inbox.recv_timeout(LOOK) {
                Ok(Order::Replace(files, done)) => {
                    // Whoever asked may have gone.
                    let _ = done.send(self.replace(files));
                }
                Ok(Order::Touched) => self.touched(inbox),
                Err(RecvTimeoutError::Timeout) if self.stamps() != self.stamps => {
                    self.touched(inbox);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Order::End) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn replace(&mut self, files: Vec<PolicyFile>) -> Result<Applied, Vec<PolicyError>> {
        let (mut policies, mut errors) = (Vec::new(), Vec::new());
        let mut complaints = HashMap::new();
        for file in files {
            let read = read(&file);
            let found = Found::of(&file, &read);
            match read.map(|spec| (self.tested(&file, &spec), spec)) {
                Ok((Err(error), accepted)) if self.is_accepted(&accepted) => {
                    tracing::error!("{error}; the version in force stays");
                    complaints.insert(accepted.name.clone(), error.message);
                    policies.push(Watched { file, accepted, found });
                }
                Ok((Ok(()), accepted)) => policies.push(Watched { file, accepted, found }),
                Ok((Err(error), _)) | Err(error) => errors.push(error),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let specs = policies.iter().map(|policy| policy.accepted.clone()).collect();
        let applied = self.registry.apply(specs)?;
        for policy in &policies {
            let name = &policy.accepted.name;
            self.registry.refused(name, complaints.remove(name));
        }
        self.policies = policies;
        self.stamps = self.stamps();
        self.watch();
        Ok(applied)
    }

    fn touched(&mut self, inbox: &Receiver<Order>) {
        if let Some(order) = self.settle(inbox) {
            // An order that came meanwhile includes reading the files anew.
            let _ = self.touched.send(order);
            return;
        }
        self.stamps = self.stamps();
        for i in 0..self.policies.len() {
            self.look(i);
        }
        // Directories and links may have been replaced by others of the same name.
        self.watch();
    }

    /// Waits until the files have kept their size and time for a while.
    fn settle(&self, inbox: &Receiver<Order>) -> Option<Order> {
        let began = Instant::now();
        let (mut before, mut quiet) = (self.stamps(), began);
        while began.elapsed() < LONGEST_WAIT {
            match inbox.recv_timeout(SETTLED) {
                Ok(Order::Touched) | Err(RecvTimeoutError::Timeout) => {}
                Ok(order) => return Some(order),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
            let now = self.stamps();
            if now != before {
                (before, quiet) = (now, Instant::now());
            } else if quiet.elapsed() >= SETTLED {
                return None;
            }
        }
        None
    }

    fn stamps(&self) -> Vec<Option<Stamp>> {
        self.paths().map(Stamp::of).collect()
    }

    fn paths(&self) -> impl Iterator<Item = &Path> {
        self.policies.iter().flat_map(|policy| {
            let component = match &policy.file.source {
                PolicySource::BuiltIn => None,
                PolicySource::File(path) => Some(path.as_path()),
            };
            [component, policy.file.cases.as_deref()].into_iter().flatten()
        })
    }

    /// Takes a file's new content in, when it has one, or judges it by new cases. A file that is bad, or gone, concerns
    /// no other policy, and cases that the version in force fails do not put it out.
    fn look(&mut self, i: usize) {
        let Some(policy) = self.policies.get_mut(i) else { return };
        let file = policy.file.clone();
        let read = read(&file);
        let found = Found::of(&file, &read);
        if found == policy.found {
            return;
        }
        let judged = found.component == policy.found.component;
        policy.found = found;
        let name = policy.accepted.name.clone();
        let tested = read.and_then(|spec| self.tested(&file, &spec).map(|()| spec));
        let outcome = tested.map_err(|error| vec![error]).and_then(|spec| {
            let accepted = self.policies.iter().map(|policy| &policy.accepted);
            let specs = accepted.map(|old| if old.name == name { &spec } else { old });
            if judged && self.is_accepted(&spec) {
                tracing::info!(policy = name, "a policy passes its changed cases");
                return Ok((spec, None));
            }
            let applied = self.registry.apply(specs.cloned().collect())?;
            Ok((spec, Some(applied)))
        });
        match outcome {
            Ok((spec, applied)) => {
                if let Some(policy) = self.policies.get_mut(i) {
                    policy.accepted = spec;
                }
                self.registry.refused(&name, None);
                applied.as_ref().map(tell);
            }
            Err(errors) => {
                for error in &errors {
                    tracing::error!("{error}; the version in force stays");
                }
                let messages: Vec<&str> = errors.iter().map(|e| e.message.as_str()).collect();
                self.registry.refused(&name, Some(messages.join("; ")));
            }
        }
    }

    /// Runs the cases of a version that has not passed them yet.
    fn tested(&self, file: &PolicyFile, spec: &PolicySpec) -> Result<(), PolicyError> {
        let Some(cases) = &file.cases else { return Ok(()) };
        let passing = (spec.clone(), Cases::sha256(cases));
        if self.passed.borrow().get(&spec.name) != Some(&passing) {
            super::tested(file, spec)?;
            self.passed.borrow_mut().insert(spec.name.clone(), passing);
        }
        Ok(())
    }

    /// Whether this version came in before.
    fn is_accepted(&self, spec: &PolicySpec) -> bool {
        self.policies.iter().any(|policy| policy.accepted == *spec)
    }

    fn watch(&mut self) {
        let touched = self.touched.clone();
        let watcher = paths::watcher(self.paths(), move || {
            // Nobody is told once the thread has ended.
            let _ = touched.send(Order::Touched);
        });
        match watcher {
            Ok(watcher) => self.watcher = Some(watcher),
            Err(error) => tracing::error!(%error, "policy files cannot be watched"),
        }
    }
}

/// Reads a policy's file, and hashes it, without taking the CPU from queries.
fn read(file: &PolicyFile) -> Result<PolicySpec, PolicyError> {
    howdah_policy::aside(|| file.read()).unwrap_or_else(|why| {
        let (policy, origin) = (file.spec.name.clone(), file.source.to_string());
        Err(PolicyError { policy, origin, message: format!("it cannot be read: {why}") })
    })
}

fn tell(applied: &Applied) {
    let generation = applied.generation;
    if !applied.changed.is_empty() {
        tracing::info!(policies = applied.changed.join(", "), generation, "policies swapped");
    }
    if !applied.tried.is_empty() {
        let policies = applied.tried.join(", ");
        tracing::info!(policies, generation, "new versions of policies are on trial");
    }
}
