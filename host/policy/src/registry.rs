//! The current generation, and how it is replaced.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use howdah_decision::Node;
use parking_lot::Mutex;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::artefacts::Artefacts;
use crate::binary::Binary;
use crate::engine::{Alarm, engine};
use crate::heard::Listener;
use crate::host::{Topology, World};
use crate::kv::{Quota, Sharing, SpaceStatus, Values};
use crate::loaded::Loaded;
use crate::place::{Place, Workshop};
use crate::priority;
use crate::spec::{Limits, PolicyError, PolicySpec};
use crate::status::PolicyStatus;
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
#[derive(Default)]
pub(crate) struct Generation {
    pub(crate) number: u64,
    pub(crate) places: Vec<Place>,
    /// Some sessions obey a version on trial.
    pub(crate) canaries: bool,
}

/// What a successful [`Registry::apply`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The generation that is in force now.
    pub generation: u64,
    /// Names of policies that are new, or of which another version is in force.
    pub changed: Vec<String>,
    /// Names of policies of which a version is on trial from now on.
    pub tried: Vec<String>,
}

/// All policies of the process. Shared by all threads.
pub struct Registry {
    pub(crate) engine: Engine,
    pub(crate) alarm: Arc<Alarm>,
    pub(crate) current: ArcSwap<Generation>,
    /// The number of `current`, to be compared without touching it.
    pub(crate) number: AtomicU64,
    pub(crate) world: Arc<World>,
    options: Options,
    /// Held while something is compiled, so that it is compiled once.
    applying: Mutex<()>,
    /// Held while the next generation is made of the current one.
    changing: Mutex<()>,
    /// By policy: why the version that was offered last is not in force.
    refusals: Mutex<BTreeMap<String, String>>,
    /// Where compiled components are kept.
    artefacts: OnceLock<Artefacts>,
    /// Who is told of the calls that workers make.
    listener: ArcSwapOption<Listener>,
    /// Whether there is one: cheaper to ask.
    listened: AtomicBool,
    /// Whether answers may be remembered.
    pub(crate) remembers: AtomicBool,
    me: Weak<Registry>,
}

impl Registry {
    /// A registry without policies.
    ///
    /// # Errors
    /// The engine does not run on this machine, or there are no threads.
    pub fn new(options: Options) -> Result<Arc<Registry>, String> {
        let engine = engine()
            .map_err(|error| format!("the WebAssembly engine does not start: {error:#}"))?;
        let alarm = Alarm::start(engine.clone()).map_err(|error| error.to_string())?;
        Ok(Arc::new_cyclic(|me| Registry {
            engine,
            alarm,
            current: ArcSwap::from_pointee(Generation::default()),
            number: AtomicU64::new(0),
            world: Arc::new(World::new()),
            options,
            applying: Mutex::new(()),
            changing: Mutex::new(()),
            refusals: Mutex::default(),
            artefacts: OnceLock::new(),
            listener: ArcSwapOption::empty(),
            listened: AtomicBool::new(false),
            remembers: AtomicBool::new(true),
            me: Weak::clone(me),
        }))
    }

    /// Keeps compiled components in a directory from now on, and takes them from there. It is made when it is not there.
    /// When there are more than so many, the oldest go.
    ///
    /// # Errors
    /// Others than the user of this process may write there, or nobody; for people.
    pub fn keep_compiled(&self, directory: &Path, most: usize) -> Result<(), String> {
        // Only the first directory counts.
        let _ = self.artefacts.set(Artefacts::open(directory, most)?);
        Ok(())
    }

    /// Has policies asked about every statement, whatever they allow to be remembered.
    pub fn remember_nothing(&self) {
        self.remembers.store(false, Ordering::Relaxed);
    }

    /// Makes this the chain: compiles what is new, checks and configures it, makes instances for every worker, and
    /// then lets all workers see it at once. A new version of a policy that is there already comes in as its `rollout`
    /// says. Blocks for as long as compiling takes, which is done on a thread that leaves the CPU to others.
    ///
    /// # Errors
    /// What is wrong with each policy; the chain stays as it was.
    pub fn apply(&self, specs: Vec<PolicySpec>) -> Result<Applied, Vec<PolicyError>> {
        let _one_at_a_time = self.applying.lock();
        if let Some(spec) = specs.get(MAX_POLICIES) {
            let message = format!("there are more than {MAX_POLICIES} policies");
            return Err(vec![PolicyError::new(spec, message)]);
        }
        let components = self.components(&specs)?;
        let (mut changed, mut tried) = (Vec::new(), Vec::new());
        let number = self.change(|current| {
            let shop = self.workshop();
            let (mut places, mut errors) = (Vec::new(), Vec::new());
            for (spec, component) in specs.into_iter().zip(components) {
                let name = spec.name.clone();
                let old = current.place(&name);
                let taken = match old {
                    None => Place::new(spec, &component, &shop).map(Some),
                    Some(old) => old.taking(spec, &component, &shop),
                };
                match (taken, old) {
                    (Ok(None), Some(old)) => places.push(old.clone()),
                    (Ok(None), None) => {}
                    (Ok(Some(place)), _) => {
                        match old {
                            Some(old) if Arc::ptr_eq(&old.live, &place.live) => {
                                tried.extend((place.trial.is_some()).then_some(name));
                            }
                            _ => changed.push(name),
                        }
                        places.push(place);
                    }
                    (Err(error), _) => errors.push(error),
                }
            }
            if !errors.is_empty() {
                return Err(errors);
            }
            Ok((!current.same_places(&places)).then_some(places))
        })?;
        let generation = number.unwrap_or_else(|| self.generation());
        Ok(Applied { generation, changed, tried })
    }

    /// The components of these policies. What is not known yet is compiled, at a low priority.
    fn components(&self, specs: &[PolicySpec]) -> Result<Vec<Component>, Vec<PolicyError>> {
        let current = self.current.load();
        let (mut done, mut errors) = (Vec::<(&Binary, Component)>::new(), Vec::new());
        for spec in specs {
            let known = || current.place(&spec.name)?.component(&spec.bytes);
            let same = || {
                let (_, component) = done.iter().find(|(bytes, _)| **bytes == spec.bytes)?;
                Some(component.clone())
            };
            let gave_up =
                |why| Err(PolicyError::new(spec, format!("it cannot be compiled: {why}")));
            let anew = || priority::aside(|| self.compiled(spec)).unwrap_or_else(gave_up);
            let pinned = spec.check_pin();
            match pinned.and_then(|()| known().or_else(same).map_or_else(anew, Ok)) {
                Ok(component) => done.push((&spec.bytes, component)),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() {
            Ok(done.into_iter().map(|(_, component)| component).collect())
        } else {
            Err(errors)
        }
    }

    /// Compiles a component, or takes what was compiled before.
    fn compiled(&self, spec: &PolicySpec) -> Result<Component, PolicyError> {
        let Some(artefacts) = self.artefacts.get() else {
            return Loaded::compile(&self.engine, spec);
        };
        let sha256 = spec.bytes.sha256();
        if let Some(component) = artefacts.load(&self.engine, sha256) {
            return Ok(component);
        }
        let component = Loaded::compile(&self.engine, spec)?;
        artefacts.keep(&self.engine, sha256, &component);
        Ok(component)
    }

    /// Has everybody obey the version on trial, or the one that was rolled back.
    ///
    /// # Errors
    /// There is no such policy or version, or it cannot be started.
    pub fn promote(&self, policy: &str) -> Result<(), PolicyError> {
        self.replace(policy, |place, shop| place.promoted(shop).map(Some)).map(drop)
    }

    /// Ends the trial of a policy's new version; when there is none, puts the previous version back. What was rolled
    /// back does not come in again before its file or settings change.
    ///
    /// # Errors
    /// There is no such policy or version, or it cannot be started.
    pub fn rollback(&self, policy: &str) -> Result<(), PolicyError> {
        self.replace(policy, |place, shop| place.rolled_back(shop).map(Some)).map(drop)
    }

    /// Lets a policy that is in quarantine be asked again.
    ///
    /// # Errors
    /// There is no such policy, it is not in quarantine, or it cannot be started.
    pub fn release(&self, policy: &str) -> Result<(), PolicyError> {
        let released = self.replace(policy, |place, shop| {
            if !place.live.is_quarantined() {
                return Err(PolicyError::new(&place.live.spec, "it is not in quarantine"));
            }
            place.released(shop).map(Some)
        });
        released.map(drop)
    }

    /// Ends a certain trial. None: it has ended already.
    pub(crate) fn end_trial(
        &self,
        candidate: &Arc<Loaded>,
        promote: bool,
    ) -> Result<Option<u64>, PolicyError> {
        self.replace(&candidate.spec.name, |place, shop| match &place.trial {
            Some(trial) if Arc::ptr_eq(&trial.candidate, candidate) => {
                let place = if promote { place.promoted(shop) } else { place.rolled_back(shop) };
                place.map(Some)
            }
            _ => Ok(None),
        })
    }

    fn replace(
        &self,
        policy: &str,
        new: impl FnOnce(&Place, &Workshop<'_>) -> Result<Option<Place>, PolicyError>,
    ) -> Result<Option<u64>, PolicyError> {
        self.change(|current| {
            let Some(old) = current.place(policy) else {
                let names: Vec<&str> = current.places.iter().map(Place::name).collect();
                return Err(PolicyError {
                    policy: policy.to_owned(),
                    origin: "no file".to_owned(),
                    message: format!("there is no such policy; there is {}", names.join(", ")),
                });
            };
            let Some(new) = new(old, &self.workshop())? else { return Ok(None) };
            let mut places = current.places.clone();
            for place in places.iter_mut().filter(|place| place.name() == policy) {
                place.clone_from(&new);
            }
            Ok(Some(places))
        })
    }

    fn workshop(&self) -> Workshop<'_> {
        Workshop {
            engine: &self.engine,
            world: &self.world,
            alarm: &self.alarm,
            workers: self.options.workers,
            registry: &self.me,
        }
    }

    /// Makes the next generation of the current one. None: everything stays.
    fn change<E>(
        &self,
        next: impl FnOnce(&Generation) -> Result<Option<Vec<Place>>, E>,
    ) -> Result<Option<u64>, E> {
        let _one_at_a_time = self.changing.lock();
        let current = self.current.load_full();
        let Some(places) = next(&current)? else { return Ok(None) };
        let number = current.number + 1;
        let canaries = places.iter().any(|place| place.canary().is_some());
        self.current.store(Arc::new(Generation { number, places, canaries }));
        self.number.store(number, Ordering::SeqCst);
        drop(current);
        self.world.spaces.tidy();
        Ok(Some(number))
    }

    /// Has somebody told of every call of `session`, `rewrite`, `route` and `retry` from now on, or nobody. Not of those
    /// that give second opinions only.
    pub fn listen(&self, listener: Option<Listener>) {
        let listened = listener.is_some();
        self.listener.store(listener.map(Arc::new));
        self.listened.store(listened, Ordering::Relaxed);
    }

    /// Who is told of a worker's calls.
    pub(crate) fn listener(&self, worker: usize) -> Option<Guard<Option<Arc<Listener>>>> {
        let listened = self.listened.load(Ordering::Relaxed) && worker < self.options.workers;
        listened.then(|| self.listener.load())
    }

    /// Notes why the version of a policy that was offered last is not in force, for [`Registry::status`]; or that there
    /// is nothing to complain about any more.
    pub fn refused(&self, policy: &str, why: Option<String>) {
        let mut refusals = self.refusals.lock();
        match why {
            Some(why) => refusals.insert(policy.to_owned(), why),
            None => refusals.remove(policy),
        };
    }

    /// How the policies are.
    pub fn status(&self) -> Vec<PolicyStatus> {
        let refusals = self.refusals.lock();
        let status = |place: &Place| PolicyStatus::of(place, refusals.get(place.name()).cloned());
        self.current.load().places.iter().map(status).collect()
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

    /// How much is in the spaces of shared values.
    pub fn spaces(&self) -> Vec<SpaceStatus> {
        self.world.spaces.status()
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
}

impl Generation {
    fn place(&self, name: &str) -> Option<&Place> {
        self.places.iter().find(|place| place.name() == name)
    }

    fn same_places(&self, places: &[Place]) -> bool {
        let mut pairs = self.places.iter().zip(places);
        self.places.len() == places.len() && pairs.all(|(old, new)| old.same(new))
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.alarm.stop();
    }
}
