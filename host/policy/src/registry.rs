//! The current generation, and how it is replaced.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use howdah_decision::Node;
use parking_lot::Mutex;
use wasmtime::Engine;

use crate::chain::Slot;
use crate::engine::{Ticker, engine};
use crate::host::{Topology, World};
use crate::instance::Instance;
use crate::kv::{Quota, Sharing, Values};
use crate::loaded::Loaded;
use crate::metrics::Metric;
use crate::spec::{Limits, PolicyError, PolicySpec};
use crate::worker::Worker;

/// Most policies of a chain: interest is a set of 64 bits.
const MAX_POLICIES: usize = 64;

/// How a registry is made.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Worker threads.
    pub workers: usize,
}

/// The policies of one moment. Immutable.
pub(crate) struct Generation {
    pub(crate) number: u64,
    pub(crate) policies: Vec<Arc<Loaded>>,
    /// Warm instances for each worker, until it fetches them.
    ready: Mutex<Vec<Option<Vec<Slot>>>>,
}

impl Generation {
    /// This worker's instances; empty slots when they were fetched before.
    pub(crate) fn fetch(&self, worker: usize) -> Vec<Slot> {
        let ready = self.ready.lock().get_mut(worker).and_then(Option::take);
        ready.unwrap_or_else(|| self.policies.iter().map(|_| Slot::default()).collect())
    }

    /// A policy's instances that this worker has not fetched yet, and now will with the next generation.
    fn unfetched(&self, worker: usize, policy: usize) -> Slot {
        let mut ready = self.ready.lock();
        let slots = ready.get_mut(worker).and_then(Option::as_mut);
        slots.and_then(|slots| slots.get_mut(policy)).map(std::mem::take).unwrap_or_default()
    }
}

/// What a successful [`Registry::apply`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The generation that is in force now.
    pub generation: u64,
    /// Names of policies that are new or changed; empty when everything stayed as it was.
    pub changed: Vec<String>,
}

/// A policy as operators see it.
#[derive(Clone, Debug)]
pub struct PolicyStatus {
    /// Its name.
    pub name: String,
    /// Where it came from.
    pub origin: String,
    /// Of the component.
    pub sha256: String,
    /// Size of the component in bytes.
    pub size: usize,
    /// The hooks that it exports.
    pub hooks: Vec<&'static str>,
    /// Calls so far.
    pub calls: u64,
    /// Time spent in them, in nanoseconds.
    pub nanoseconds: u64,
    /// Answers given from memory.
    pub remembered: u64,
    /// Calls that failed.
    pub failures: u64,
    /// It is not asked any more.
    pub quarantined: bool,
    /// How the last failed call failed.
    pub last_failure: Option<String>,
    /// Observations that were dropped because it was too slow for them.
    pub unobserved: u64,
    /// Its own metrics.
    pub metrics: Vec<(String, Metric)>,
}

/// All policies of the process. Shared by all threads.
pub struct Registry {
    pub(crate) engine: Engine,
    pub(crate) ticker: Arc<Ticker>,
    pub(crate) current: ArcSwap<Generation>,
    /// The number of `current`, to be compared without touching it.
    pub(crate) number: AtomicU64,
    pub(crate) world: Arc<World>,
    options: Options,
    applying: Mutex<()>,
}

impl Registry {
    /// A registry without policies.
    ///
    /// # Errors
    /// The engine does not run on this machine, or there are no threads.
    pub fn new(options: Options) -> Result<Arc<Registry>, String> {
        let engine = engine()
            .map_err(|error| format!("the WebAssembly engine does not start: {error:#}"))?;
        let ticker = Ticker::start(engine.clone()).map_err(|error| error.to_string())?;
        let nothing = Generation { number: 0, policies: Vec::new(), ready: Mutex::new(Vec::new()) };
        Ok(Arc::new(Registry {
            engine,
            ticker,
            current: ArcSwap::from_pointee(nothing),
            number: AtomicU64::new(0),
            world: Arc::new(World::new()),
            options,
            applying: Mutex::new(()),
        }))
    }

    /// Makes this the chain: compiles what is new, checks and configures it, makes instances for every worker, and
    /// then lets all workers see it at once. Blocks for as long as compiling takes.
    ///
    /// # Errors
    /// What is wrong with each policy; the chain stays as it was.
    pub fn apply(&self, specs: Vec<PolicySpec>) -> Result<Applied, Vec<PolicyError>> {
        let _one_at_a_time = self.applying.lock();
        let current = self.current.load_full();
        let mut errors = Vec::new();
        if let Some(spec) = specs.get(MAX_POLICIES) {
            errors.push(PolicyError::new(
                spec,
                format!("there are more than {MAX_POLICIES} policies"),
            ));
        }
        let mut policies = Vec::new();
        let mut changed = Vec::new();
        for spec in specs {
            if let Some(same) =
                current.policies.iter().find(|p| *p.spec == spec && !p.is_quarantined())
            {
                policies.push(Arc::clone(same));
                continue;
            }
            changed.push(spec.name.clone());
            let alike = current.policies.iter().find(|policy| goes_on(policy, &spec));
            if let Some(alike) = alike {
                policies.push(Arc::new(alike.with_settings(spec)));
                continue;
            }
            match Loaded::compile(&self.engine, spec, &self.world) {
                Ok(loaded) => policies.push(Arc::new(loaded)),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() && changed.is_empty() && policies.len() == current.policies.len() {
            return Ok(Applied { generation: current.number, changed });
        }
        let ready = match self.instances(&policies, &current) {
            Ok(ready) if errors.is_empty() => ready,
            Ok(_) => return Err(errors),
            Err(error) => {
                errors.push(error);
                return Err(errors);
            }
        };
        let number = current.number + 1;
        self.current.store(Arc::new(Generation { number, policies, ready: Mutex::new(ready) }));
        self.number.store(number, Ordering::SeqCst);
        drop(current);
        self.world.spaces.tidy();
        Ok(Applied { generation: number, changed })
    }

    /// Two instances of each new policy for each worker. The others go on with those that they have.
    fn instances(
        &self,
        policies: &[Arc<Loaded>],
        current: &Generation,
    ) -> Result<Vec<Option<Vec<Slot>>>, PolicyError> {
        let start = |policy: &Loaded| {
            Instance::start(policy, &self.ticker)
                .map_err(|message| PolicyError::new(&policy.spec, message))
        };
        let slot = |worker: usize, policy: &Arc<Loaded>| {
            if let Some(i) = current.policies.iter().position(|old| Arc::ptr_eq(old, policy)) {
                return Ok(current.unfetched(worker, i));
            }
            Ok(Slot { instance: Some(start(policy)?), spare: Some(start(policy)?) })
        };
        let slots = |worker| -> Result<Vec<Slot>, PolicyError> {
            policies.iter().map(|policy| slot(worker, policy)).collect()
        };
        (0..self.options.workers).map(|worker| slots(worker).map(Some)).collect()
    }

    /// Other nodes, roles or lags from now on.
    pub fn topology(&self, epoch: u64, nodes: Arc<[Node]>) {
        self.world.topology.store(Arc::new(Topology { epoch, nodes }));
        self.world.topology_epoch.store(epoch, Ordering::SeqCst);
    }

    /// Says that other proxies have copies of the policies' shared values, and gives what to exchange them by.
    pub fn share_values(&self) -> Sharing {
        Sharing::new(Arc::clone(&self.world))
    }

    /// A space of shared values, for those who look at it or change it from outside of a policy. What they set may use as
    /// much of it as these limits of a policy allow.
    pub fn values(&self, space: &str, limits: &Limits) -> Values {
        Values::new(&self.world, space, Quota::from(limits))
    }

    /// The number of the generation in force: 1 for the first that was applied.
    pub fn generation(&self) -> u64 {
        self.number.load(Ordering::SeqCst)
    }

    /// The view of one worker thread.
    pub fn worker(self: &Arc<Self>, index: usize) -> Worker {
        Worker::new(Arc::clone(self), index)
    }

    /// How the policies are.
    pub fn status(&self) -> Vec<PolicyStatus> {
        let current = self.current.load();
        let status = |policy: &Arc<Loaded>| PolicyStatus {
            name: policy.spec.name.clone(),
            origin: policy.spec.origin.clone(),
            sha256: policy.sha256.clone(),
            size: policy.spec.bytes.len(),
            hooks: policy.hooks.names(),
            calls: policy.counters.calls.load(Ordering::Relaxed),
            nanoseconds: policy.counters.nanoseconds.load(Ordering::Relaxed),
            remembered: policy.counters.remembered.load(Ordering::Relaxed),
            failures: policy.counters.failures.load(Ordering::Relaxed),
            quarantined: policy.is_quarantined(),
            last_failure: policy.last_failure.lock().clone(),
            unobserved: policy.counters.unobserved.load(Ordering::Relaxed),
            metrics: policy.metrics.snapshot(),
        };
        current.policies.iter().map(status).collect()
    }
}

/// Whether a policy's instances can go on with this specification, once they have been configured again.
pub(crate) fn goes_on(policy: &Loaded, spec: &PolicySpec) -> bool {
    policy.spec.differs_in_settings_alone(spec) && !policy.is_quarantined()
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.ticker.stop();
    }
}
