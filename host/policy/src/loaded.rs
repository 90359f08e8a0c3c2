//! A compiled policy.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use wasmtime::Engine;
use wasmtime::component::{Component, HasSelf, InstancePre, Linker};

use crate::bindings::exports::howdah::policy as exports;
use crate::bindings::howdah::policy as imports;
use crate::chain::Slot;
use crate::engine::{TICK, Ticker};
use crate::host::{Metrics, State};
use crate::instance::Instance;
use crate::spec::{Limits, PolicyError, PolicySpec, sha256};
use crate::wasi;

/// Longest time limit that can be set, in ticks: a policy that thinks for a second is no policy.
pub(crate) const MAX_TIME_TICKS: u32 = 1_000;

/// Digits of a hash that tell versions apart for people.
const SHORT: usize = 12;

/// The package whose interfaces policies use and offer.
const PACKAGE: &str = "howdah:policy/";
/// Versions of it that are understood.
const VERSIONS: &str = "@0.1.";
const HOOKS: [&str; 5] = ["configure", "session", "route", "rewrite", "topology"];
const OFFERED: [&str; 4] = ["log", "settings", "question", "types"];

/// What a component exports.
#[derive(Default)]
pub(crate) struct Hooks {
    pub(crate) configure: Option<exports::configure::GuestIndices>,
    pub(crate) session: Option<exports::session::GuestIndices>,
    pub(crate) route: Option<exports::route::GuestIndices>,
    pub(crate) rewrite: Option<exports::rewrite::GuestIndices>,
    pub(crate) topology: Option<exports::topology::GuestIndices>,
}

impl Hooks {
    pub(crate) fn names(&self) -> Vec<&'static str> {
        let there = [
            self.configure.is_some(),
            self.session.is_some(),
            self.route.is_some(),
            self.rewrite.is_some(),
            self.topology.is_some(),
        ];
        HOOKS.iter().zip(there).filter(|(_, there)| *there).map(|(name, _)| *name).collect()
    }
}

/// Counters of one policy, of all workers together.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) calls: AtomicU64,
    pub(crate) nanoseconds: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) remembered: AtomicU64,
}

/// A policy that can be instantiated.
pub(crate) struct Loaded {
    pub(crate) spec: Arc<PolicySpec>,
    pub(crate) sha256: String,
    /// The compiled code, from which another version of the settings is made without compiling again.
    pub(crate) component: Component,
    pub(crate) engine: Engine,
    pub(crate) pre: InstancePre<State>,
    pub(crate) hooks: Hooks,
    /// It may ask more about a question than its arguments tell.
    pub(crate) asks_back: bool,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) counters: Counters,
    pub(crate) quarantined: AtomicBool,
    failures: Mutex<VecDeque<Instant>>,
    pub(crate) last_failure: Mutex<Option<String>>,
    /// Warm instances for each worker, until it fetches them.
    ready: Mutex<Vec<Option<Slot>>>,
}

impl Loaded {
    /// Compiles. Takes from milliseconds to many seconds of CPU.
    pub(crate) fn compile(engine: &Engine, spec: &PolicySpec) -> Result<Component, PolicyError> {
        if spec.bytes.len() > Limits::COMPONENT {
            let most = Limits::COMPONENT;
            return Err(PolicyError::new(spec, format!("it is larger than {most} bytes")));
        }
        if !spec.bytes.starts_with(b"\0asm") {
            return Err(PolicyError::new(spec, "it is not a WebAssembly component"));
        }
        Component::new(engine, &spec.bytes).map_err(|error| {
            let core = spec.bytes.get(4..8) == Some(&[1, 0, 0, 0]);
            let hint = if core {
                " (it is a core module; make it a component, for example with `wasm-tools component new`)"
            } else {
                ""
            };
            PolicyError::new(spec, format!("it is not a valid component: {error:#}{hint}"))
        })
    }

    /// Checks what has been compiled, and links it to what it is granted.
    pub(crate) fn link(
        engine: &Engine,
        spec: PolicySpec,
        component: Component,
    ) -> Result<Loaded, PolicyError> {
        let asks_back = check_imports(engine, &component, &spec)?;
        check_exports(engine, &component, &spec)?;
        let pre = link(engine, &component, &spec)
            .map_err(|error| PolicyError::new(&spec, format!("it cannot be linked: {error:#}")))?;
        let hooks = Hooks {
            configure: exports::configure::GuestIndices::new(&pre).ok(),
            session: exports::session::GuestIndices::new(&pre).ok(),
            route: exports::route::GuestIndices::new(&pre).ok(),
            rewrite: exports::rewrite::GuestIndices::new(&pre).ok(),
            topology: exports::topology::GuestIndices::new(&pre).ok(),
        };
        Ok(Loaded {
            sha256: sha256(&spec.bytes),
            spec: Arc::new(spec),
            component,
            engine: engine.clone(),
            pre,
            hooks,
            asks_back,
            metrics: Arc::default(),
            counters: Counters::default(),
            quarantined: AtomicBool::new(false),
            failures: Mutex::default(),
            last_failure: Mutex::default(),
            ready: Mutex::default(),
        })
    }

    /// Makes a warm instance, and a spare, for each worker.
    pub(crate) fn prepare(&self, workers: usize, ticker: &Ticker) -> Result<(), PolicyError> {
        let slots = (0..workers).map(|_| self.slot(ticker).map(Some));
        *self.ready.lock() = slots.collect::<Result<_, _>>()?;
        Ok(())
    }

    /// An instance in use and a spare.
    pub(crate) fn slot(&self, ticker: &Ticker) -> Result<Slot, PolicyError> {
        let start = || {
            Instance::start(self, ticker).map_err(|message| PolicyError::new(&self.spec, message))
        };
        Ok(Slot { instance: Some(start()?), spare: Some(start()?) })
    }

    /// This worker's instances; empty when they were fetched before.
    pub(crate) fn fetch(&self, worker: usize) -> Slot {
        self.ready.lock().get_mut(worker).and_then(Option::take).unwrap_or_default()
    }

    /// The time limit of a call in ticks, rounded up, and one for the tick that is under way.
    pub(crate) fn ticks(&self) -> u64 {
        let limit = self.spec.limits.time.as_nanos().div_ceil(TICK.as_nanos());
        u64::try_from(limit).unwrap_or(u64::MAX).clamp(1, u64::from(MAX_TIME_TICKS)) + 1
    }

    /// A call has failed: after too many within the window the policy is not asked any more.
    pub(crate) fn failed(&self, message: &str) {
        self.counters.failures.fetch_add(1, Ordering::Relaxed);
        *self.last_failure.lock() = Some(message.to_owned());
        let now = Instant::now();
        let mut failures = self.failures.lock();
        while failures.front().is_some_and(|first| now - *first > Limits::QUARANTINE_WINDOW) {
            failures.pop_front();
        }
        failures.push_back(now);
        let policy = self.spec.name.as_str();
        let version = self.short();
        // The first of a series is told in full; a policy that fails at every query must not fill the disk.
        if failures.len() <= 3 {
            tracing::warn!(policy, version, failure = message, "a policy failed to answer");
        }
        let limit = self.spec.limits.quarantine_after as usize;
        if failures.len() >= limit && !self.quarantined.swap(true, Ordering::SeqCst) {
            let window = Duration::as_secs(&Limits::QUARANTINE_WINDOW);
            tracing::error!(
                policy,
                version,
                failures = failures.len(),
                window_s = window,
                "a policy is in quarantine until its file or configuration changes"
            );
        }
    }

    /// The beginning of its hash, for the log.
    pub(crate) fn short(&self) -> &str {
        self.sha256.get(..SHORT).unwrap_or_default()
    }

    pub(crate) fn is_quarantined(&self) -> bool {
        self.quarantined.load(Ordering::Relaxed)
    }
}

/// Every import must be known and granted. True: it imports `question`.
fn check_imports(
    engine: &Engine,
    component: &Component,
    spec: &PolicySpec,
) -> Result<bool, PolicyError> {
    let mut asks_back = false;
    for (name, _) in component.component_type().imports(engine) {
        if name.starts_with("wasi:") {
            continue;
        }
        let Some(interface) = name.strip_prefix(PACKAGE) else {
            let message = format!("it imports {name}, which howdah does not offer");
            return Err(PolicyError::new(spec, message));
        };
        let (interface, version) = interface.split_once('@').unwrap_or((interface, ""));
        if !version.starts_with(&VERSIONS[1..]) {
            let message = format!(
                "it imports {name}; this howdah understands version 0.1 of howdah:policy: rebuild it against that"
            );
            return Err(PolicyError::new(spec, message));
        }
        asks_back |= interface == "question";
        let granted =
            OFFERED.contains(&interface) || (interface == "metrics" && spec.grants.metrics);
        if !granted {
            let message = match interface {
                "metrics" => {
                    format!("it imports {name}, which is not granted: add grants = [\"metrics\"]")
                }
                _ => format!("it imports {name}, which howdah does not offer"),
            };
            return Err(PolicyError::new(spec, message));
        }
    }
    Ok(asks_back)
}

/// There must be at least one hook, and none of another version.
fn check_exports(
    engine: &Engine,
    component: &Component,
    spec: &PolicySpec,
) -> Result<(), PolicyError> {
    let mut found = 0;
    for (name, _) in component.component_type().exports(engine) {
        let Some(interface) = name.strip_prefix(PACKAGE) else { continue };
        let (hook, version) = interface.split_once('@').unwrap_or((interface, ""));
        if !HOOKS.contains(&hook) {
            continue;
        }
        if !version.starts_with(&VERSIONS[1..]) {
            let message = format!(
                "it exports {name}; this howdah understands version 0.1 of howdah:policy: rebuild it against that"
            );
            return Err(PolicyError::new(spec, message));
        }
        found += 1;
    }
    if found == 0 {
        let hooks = HOOKS.join(", ");
        let message = format!("it exports no hook of {PACKAGE}* ({hooks})");
        return Err(PolicyError::new(spec, message));
    }
    Ok(())
}

fn link(
    engine: &Engine,
    component: &Component,
    spec: &PolicySpec,
) -> wasmtime::Result<InstancePre<State>> {
    let mut linker = Linker::<State>::new(engine);
    imports::types::add_to_linker::<_, HasSelf<State>>(&mut linker, |s| s)?;
    imports::log::add_to_linker::<_, HasSelf<State>>(&mut linker, |s| s)?;
    imports::settings::add_to_linker::<_, HasSelf<State>>(&mut linker, |s| s)?;
    imports::question::add_to_linker::<_, HasSelf<State>>(&mut linker, |s| s)?;
    if spec.grants.metrics {
        imports::metrics::add_to_linker::<_, HasSelf<State>>(&mut linker, |s| s)?;
    }
    wasi::add_to_linker(engine, component, &mut linker)?;
    linker.instantiate_pre(component)
}
