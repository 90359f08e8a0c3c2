//! A compiled policy.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use wasmtime::Engine;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, HasSelf, InstancePre, Linker};

use crate::bindings::exports::howdah::policy as exports;
use crate::bindings::howdah::policy as imports;
use crate::chain::Slot;
use crate::engine::{Alarm, Caller, MAX_TIME, nanoseconds};
use crate::host::{State, World};
use crate::instance::Instance;
use crate::kv::{self, Quota, Store};
use crate::metrics::Metrics;
use crate::shortcut;
use crate::spec::{Limits, PolicyError, PolicySpec};
use crate::wasi;

/// Digits of a hash that tell versions apart for people.
const SHORT: usize = 12;

/// The package whose interfaces policies use and offer.
pub(crate) const PACKAGE: &str = "howdah:policy/";
/// Versions of it that are understood.
const VERSIONS: &str = "@0.1.";
pub(crate) const OFFERED: [&str; 4] = ["log", "settings", "question", "types"];

/// What a component exports.
#[derive(Clone, Default)]
pub(crate) struct Hooks {
    pub(crate) configure: Option<exports::configure::GuestIndices>,
    pub(crate) session: Option<exports::session::GuestIndices>,
    pub(crate) route: Option<exports::route::GuestIndices>,
    pub(crate) rewrite: Option<exports::rewrite::GuestIndices>,
    pub(crate) topology: Option<exports::topology::GuestIndices>,
    pub(crate) retry: Option<exports::retry::GuestIndices>,
    pub(crate) observe: Option<exports::observe::GuestIndices>,
    pub(crate) tick: Option<exports::tick::GuestIndices>,
    pub(crate) state: Option<exports::state::GuestIndices>,
}

impl Hooks {
    /// Finds the functions of the hooks that are exported. What is wrong with one that is not whole.
    fn of(pre: &InstancePre<State>, exported: &[&str]) -> Result<Hooks, String> {
        macro_rules! find {
            ($($hook:ident)*) => {
                Hooks {$(
                    $hook: exported
                        .contains(&stringify!($hook))
                        .then(|| exports::$hook::GuestIndices::new(pre))
                        .transpose()
                        .map_err(|error| format!(concat!("its hook ", stringify!($hook), ": {:#}"), error))?,
                )*}
            };
        }
        Ok(find!(configure session route rewrite topology retry observe tick state))
    }

    /// Every hook, and whether it is there.
    fn all(&self) -> [(&'static str, bool); 9] {
        [
            ("configure", self.configure.is_some()),
            ("session", self.session.is_some()),
            ("route", self.route.is_some()),
            ("rewrite", self.rewrite.is_some()),
            ("topology", self.topology.is_some()),
            ("retry", self.retry.is_some()),
            ("observe", self.observe.is_some()),
            ("tick", self.tick.is_some()),
            ("state", self.state.is_some()),
        ]
    }

    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.all().iter().filter(|(_, there)| *there).map(|(name, _)| *name).collect()
    }

    /// The names of all hooks.
    pub(crate) fn known() -> impl Iterator<Item = &'static str> {
        Hooks::default().all().into_iter().map(|(name, _)| name)
    }
}

/// What a component may ask back about a question: it is prepared only for those that do.
#[derive(Clone, Copy, Default)]
pub(crate) struct AsksBack {
    /// Anything at all.
    pub(crate) question: bool,
    /// What is in the statement's text.
    pub(crate) text: bool,
    pub(crate) parameters: bool,
    pub(crate) catalog: bool,
}

/// How a call has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It trapped, or its instance could not be started.
    Trap,
    /// It took longer than it may.
    TimeLimit,
    /// Its answer cannot be used.
    Answer,
}

impl Fault {
    /// All there are, with their words.
    pub const ALL: [(Fault, &str); 3] =
        [(Fault::Trap, "trap"), (Fault::TimeLimit, "time limit"), (Fault::Answer, "answer")];
}

/// Counters of one policy.
#[derive(Default)]
pub(crate) struct Counters {
    /// What goes on at every statement: each worker counts for itself.
    tallies: Mutex<Vec<Arc<Tally>>>,
    /// By [`Fault`].
    failures: [AtomicU64; Fault::ALL.len()],
    /// Observations that were dropped because the policy was too slow for them.
    pub(crate) unobserved: AtomicU64,
}

/// What one worker counts, on a cache line of its own.
#[derive(Default)]
#[repr(align(64))]
pub(crate) struct Tally {
    calls: AtomicU64,
    nanoseconds: AtomicU64,
    remembered: AtomicU64,
}

impl Tally {
    /// A call has taken so long.
    pub(crate) fn called(&self, took: Duration) {
        add(&self.calls, 1);
        add(&self.nanoseconds, nanoseconds(took));
    }

    /// An answer has been given from memory.
    pub(crate) fn remembered(&self) {
        add(&self.remembered, 1);
    }
}

/// Adds to what nobody else writes.
fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

impl Counters {
    /// Where one more worker counts.
    pub(crate) fn tally(&self) -> Arc<Tally> {
        let tally = Arc::<Tally>::default();
        self.tallies.lock().push(Arc::clone(&tally));
        tally
    }

    fn sum(&self, of: impl Fn(&Tally) -> &AtomicU64) -> u64 {
        self.tallies.lock().iter().map(|tally| of(tally).load(Ordering::Relaxed)).sum()
    }

    /// Calls.
    pub(crate) fn calls(&self) -> u64 {
        self.sum(|tally| &tally.calls)
    }

    /// Time spent in them.
    pub(crate) fn nanoseconds(&self) -> u64 {
        self.sum(|tally| &tally.nanoseconds)
    }

    /// Answers from memory.
    pub(crate) fn remembered(&self) -> u64 {
        self.sum(|tally| &tally.remembered)
    }

    /// Calls that failed in one way.
    pub(crate) fn failed(&self, fault: Fault) -> u64 {
        self.failures[fault as usize].load(Ordering::Relaxed)
    }

    /// Calls that failed.
    pub(crate) fn failures(&self) -> u64 {
        Fault::ALL.iter().map(|(fault, _)| self.failed(*fault)).sum()
    }
}

/// A policy that can be instantiated.
pub(crate) struct Loaded {
    pub(crate) spec: Arc<PolicySpec>,
    /// The compiled code, which a version that is put back needs again.
    pub(crate) component: Component,
    pub(crate) engine: Engine,
    pub(crate) pre: InstancePre<State>,
    pub(crate) hooks: Hooks,
    pub(crate) asks_back: AsksBack,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) world: Arc<World>,
    pub(crate) kv: Arc<dyn Store>,
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
        let shortened = shortcut::shortened(&spec.bytes);
        Component::new(engine, shortened.as_deref().unwrap_or(&spec.bytes)).map_err(|error| {
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
        world: &Arc<World>,
        spec: PolicySpec,
        component: Component,
    ) -> Result<Loaded, PolicyError> {
        let asks_back = check_imports(engine, &component, &spec)?;
        let exported = check_exports(engine, &component, &spec)?;
        let pre = link(engine, &component, &spec)
            .map_err(|error| PolicyError::new(&spec, format!("it cannot be linked: {error:#}")))?;
        let hooks = Hooks::of(&pre, &exported).map_err(|why| PolicyError::new(&spec, why))?;
        Ok(Loaded {
            kv: world.spaces.get(spec.space(), Quota::from(&spec.limits)),
            spec: Arc::new(spec),
            component,
            engine: engine.clone(),
            pre,
            hooks,
            asks_back,
            metrics: Arc::default(),
            world: Arc::clone(world),
            counters: Counters::default(),
            quarantined: AtomicBool::new(false),
            failures: Mutex::default(),
            last_failure: Mutex::default(),
            ready: Mutex::default(),
        })
    }

    /// The same component with other settings, which need no compiling.
    pub(crate) fn with_settings(&self, spec: PolicySpec) -> Loaded {
        Loaded {
            spec: Arc::new(spec),
            component: self.component.clone(),
            engine: self.engine.clone(),
            pre: self.pre.clone(),
            hooks: self.hooks.clone(),
            asks_back: self.asks_back,
            metrics: Arc::clone(&self.metrics),
            world: Arc::clone(&self.world),
            kv: Arc::clone(&self.kv),
            counters: Counters::default(),
            quarantined: AtomicBool::new(false),
            failures: Mutex::default(),
            last_failure: Mutex::default(),
            ready: Mutex::default(),
        }
    }

    /// Whether another version is this one with other settings, so that living instances can go on.
    pub(crate) fn goes_on_as(&self, other: &Loaded) -> bool {
        Arc::ptr_eq(&self.metrics, &other.metrics) && !self.is_quarantined()
    }

    /// The same with shared values that nobody else sees, which are forgotten with it.
    pub(crate) fn apart(self) -> Loaded {
        Loaded { kv: kv::apart(), ..self }
    }

    /// Makes a warm instance, and a spare, for each worker.
    pub(crate) fn prepare(&self, workers: usize, alarm: &Arc<Alarm>) -> Result<(), PolicyError> {
        let caller = alarm.caller();
        let slots = (0..workers).map(|_| self.slot(&caller).map(Some));
        *self.ready.lock() = slots.collect::<Result<_, _>>()?;
        Ok(())
    }

    /// An instance in use and a spare.
    pub(crate) fn slot(&self, caller: &Caller) -> Result<Slot, PolicyError> {
        let start = || {
            Instance::start(self, caller).map_err(|message| PolicyError::new(&self.spec, message))
        };
        Ok(Slot { instance: Some(start()?), spare: Some(start()?) })
    }

    /// This worker's instances; empty when they were fetched before.
    pub(crate) fn fetch(&self, worker: usize) -> Slot {
        self.ready.lock().get_mut(worker).and_then(Option::take).unwrap_or_default()
    }

    /// The time limit of a call.
    pub(crate) fn limit(&self) -> Duration {
        self.spec.limits.time.min(MAX_TIME)
    }

    /// A call has failed: after too many within the window the policy is not asked any more.
    pub(crate) fn failed(&self, fault: Fault, message: &str) {
        self.counters.failures[fault as usize].fetch_add(1, Ordering::Relaxed);
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

    /// How it failed last, or why it is not asked at all.
    pub(crate) fn why_failed(&self) -> String {
        let last = self.last_failure.lock().clone().unwrap_or_default();
        if self.is_quarantined() { format!("it is in quarantine; last: {last}") } else { last }
    }

    /// The beginning of its hash, for the log.
    pub(crate) fn short(&self) -> &str {
        self.spec.bytes.sha256().get(..SHORT).unwrap_or_default()
    }

    pub(crate) fn is_quarantined(&self) -> bool {
        self.quarantined.load(Ordering::Relaxed)
    }
}

/// Every import must be known and granted.
fn check_imports(
    engine: &Engine,
    component: &Component,
    spec: &PolicySpec,
) -> Result<AsksBack, PolicyError> {
    let mut asks_back = AsksBack::default();
    for (name, item) in component.component_type().imports(engine) {
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
        let message = match spec.grants.of(interface) {
            _ if OFFERED.contains(&interface) => None,
            Some(true) => None,
            Some(false) => Some(format!(
                "it imports {name}, which is not granted: add grants = [\"{interface}\"]"
            )),
            None => Some(format!("it imports {name}, which howdah does not offer")),
        };
        if let Some(message) = message {
            return Err(PolicyError::new(spec, message));
        }
        asks_back.question |= matches!(interface, "question" | "catalog");
        asks_back.catalog |= interface == "catalog";
        if let (ComponentItem::ComponentInstance(functions), "question") = (&item.ty, interface) {
            let asks =
                |wanted: &[&str]| functions.exports(engine).any(|(name, _)| wanted.contains(&name));
            asks_back.text = asks(&["tag", "literal", "relations"]);
            asks_back.parameters = asks(&["parameter"]);
        }
    }
    Ok(asks_back)
}

/// The hooks that it exports: at least one, and none of another version.
fn check_exports(
    engine: &Engine,
    component: &Component,
    spec: &PolicySpec,
) -> Result<Vec<&'static str>, PolicyError> {
    let mut found = Vec::new();
    for (name, _) in component.component_type().exports(engine) {
        let Some(interface) = name.strip_prefix(PACKAGE) else { continue };
        let (hook, version) = interface.split_once('@').unwrap_or((interface, ""));
        let Some(hook) = Hooks::known().find(|known| *known == hook) else { continue };
        if !version.starts_with(&VERSIONS[1..]) {
            let message = format!(
                "it exports {name}; this howdah understands version 0.1 of howdah:policy: rebuild it against that"
            );
            return Err(PolicyError::new(spec, message));
        }
        found.push(hook);
    }
    if found.is_empty() {
        let hooks = Hooks::known().collect::<Vec<_>>().join(", ");
        let message = format!("it exports no hook of {PACKAGE}* ({hooks})");
        return Err(PolicyError::new(spec, message));
    }
    Ok(found)
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
    // What is not granted is not linked either: `check_imports` has told so already.
    let grants = spec.grants;
    macro_rules! granted {
        ($($name:ident)*) => {$(
            if grants.$name {
                imports::$name::add_to_linker::<_, HasSelf<State>>(&mut linker, |s| s)?;
            }
        )*};
    }
    granted!(metrics kv clock random nodes catalog);
    wasi::add_to_linker(engine, component, &mut linker)?;
    linker.instantiate_pre(component)
}
