//! A policy's place in the chain, and what becomes of it when a version comes or goes.

use std::sync::{Arc, Weak};

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::binary::Binary;
use crate::engine::Alarm;
use crate::host::World;
use crate::loaded::Loaded;
use crate::registry::Registry;
use crate::spec::{Limits, PolicyError, PolicySpec, Rollout};
use crate::trial::{self, Trial};

/// A version that is not in force, and can be put back without being compiled again.
#[derive(Clone)]
pub(crate) struct Kept {
    pub(crate) spec: Arc<PolicySpec>,
    component: Component,
}

impl Kept {
    fn of(loaded: &Loaded) -> Kept {
        Kept { spec: Arc::clone(&loaded.spec), component: loaded.component.clone() }
    }
}

/// A policy's place in the chain. A version is a component with its settings.
#[derive(Clone)]
pub(crate) struct Place {
    /// The version that is obeyed.
    pub(crate) live: Arc<Loaded>,
    /// The version that is being tried.
    pub(crate) trial: Option<Arc<Trial>>,
    /// The component that was in force before this one.
    pub(crate) previous: Option<Kept>,
    /// A version that was rolled back: it does not come in again by itself.
    pub(crate) held: Option<Kept>,
    /// How new versions come in.
    pub(crate) rollout: Rollout,
}

/// What versions are made with.
pub(crate) struct Workshop<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) world: &'a Arc<World>,
    pub(crate) alarm: &'a Arc<Alarm>,
    pub(crate) workers: usize,
    pub(crate) registry: &'a Weak<Registry>,
}

impl Workshop<'_> {
    /// A version that can be put on trial.
    fn link(&self, spec: PolicySpec, component: &Component) -> Result<Arc<Loaded>, PolicyError> {
        Loaded::link(self.engine, self.world, spec, component.clone()).map(Arc::new)
    }

    /// A version's component with other settings, limits or grants.
    fn with(&self, version: &Loaded, spec: PolicySpec) -> Result<Arc<Loaded>, PolicyError> {
        if version.spec.differs_in_settings_alone(&spec) && !version.is_quarantined() {
            let loaded = Arc::new(version.with_settings(spec));
            loaded.prepare(self.workers, self.alarm)?;
            return Ok(loaded);
        }
        self.load(spec, &version.component)
    }

    /// A version with warm instances on every worker.
    fn load(&self, spec: PolicySpec, component: &Component) -> Result<Arc<Loaded>, PolicyError> {
        let loaded = self.link(spec, component)?;
        loaded.prepare(self.workers, self.alarm)?;
        Ok(loaded)
    }

    /// Puts a version on trial beside another.
    fn trial(
        &self,
        candidate: Arc<Loaded>,
        live: &Loaded,
        rollout: Rollout,
    ) -> Result<Option<Arc<Trial>>, PolicyError> {
        let asked = match rollout {
            Rollout::Live | Rollout::Shadow => self.patient(&candidate)?,
            Rollout::Canary(_) => {
                candidate.prepare(self.workers, self.alarm)?;
                self.patient(live)?
            }
        };
        Trial::start(candidate, asked, rollout, self.alarm, self.registry).map(Some)
    }

    /// A copy of a version for second opinions, which count and keep nothing that others see.
    fn patient(&self, version: &Loaded) -> Result<Arc<Loaded>, PolicyError> {
        let spec = &version.spec;
        let limits =
            Limits { time: spec.limits.time.saturating_mul(trial::PATIENCE), ..spec.limits };
        let spec = PolicySpec { limits, ..(**spec).clone() };
        let copy = Loaded::link(self.engine, self.world, spec, version.component.clone())?;
        Ok(Arc::new(copy.apart()))
    }
}

impl Place {
    pub(crate) fn name(&self) -> &str {
        &self.live.spec.name
    }

    /// The versions that some sessions obey.
    pub(crate) fn obeyed(&self) -> impl Iterator<Item = &Arc<Loaded>> {
        std::iter::once(&self.live).chain(self.canary())
    }

    /// The version on trial, when some sessions obey it.
    pub(crate) fn canary(&self) -> Option<&Arc<Loaded>> {
        let trial = self.trial.as_ref().filter(|trial| trial.chosen(0));
        trial.map(|trial| &trial.candidate)
    }

    /// Whether workers would see a difference.
    pub(crate) fn differs(&self, other: &Place) -> bool {
        let trials = match (&self.trial, &other.trial) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        };
        !trials || !Arc::ptr_eq(&self.live, &other.live)
    }

    /// Whether nothing at all is different.
    pub(crate) fn same(&self, other: &Place) -> bool {
        let held = |place: &Place| place.held.as_ref().map(|held| Arc::clone(&held.spec));
        !self.differs(other) && self.rollout == other.rollout && held(self) == held(other)
    }

    /// A component that has been compiled before.
    pub(crate) fn component(&self, bytes: &Binary) -> Option<Component> {
        let loaded = [Some(&self.live), self.trial.as_ref().map(|trial| &trial.candidate)];
        let loaded = loaded.into_iter().flatten().map(|one| (&one.spec, &one.component));
        let kept = [&self.previous, &self.held].into_iter().flatten();
        let mut all = loaded.chain(kept.map(|one| (&one.spec, &one.component)));
        all.find(|(spec, _)| spec.bytes == *bytes).map(|(_, component)| component.clone())
    }

    /// The place of a policy that is new to the chain: it is in force at once.
    pub(crate) fn new(
        want: PolicySpec,
        component: &Component,
        shop: &Workshop<'_>,
    ) -> Result<Place, PolicyError> {
        let rollout = want.rollout;
        let live = shop.load(want, component)?;
        Ok(Place { live, trial: None, previous: None, held: None, rollout })
    }

    /// The place when this is what the configuration and the file say. None: it stays as it is.
    pub(crate) fn taking(
        &self,
        want: PolicySpec,
        component: &Component,
        shop: &Workshop<'_>,
    ) -> Result<Option<Place>, PolicyError> {
        let place = Place { rollout: want.rollout, ..self.clone() };
        let renamed = self.rollout != want.rollout;
        let same = renamed.then(|| place.clone());
        if want.same_version(&self.live.spec) && !self.live.is_quarantined() {
            // The file is what it was, or is so again.
            let alone = self.trial.is_none() && self.held.is_none();
            return Ok(if alone { same } else { Some(Place { trial: None, held: None, ..place }) });
        }
        if self.held.as_ref().is_some_and(|held| want.same_version(&held.spec)) {
            let ill = self.live.is_quarantined();
            return if ill { place.released(shop).map(Some) } else { Ok(same) };
        }
        if let Some(trial) = &self.trial
            && want.same_version(&trial.candidate.spec)
            && !trial.version().is_quarantined()
        {
            return match want.rollout {
                Rollout::Live => place.promoted(shop).map(Some),
                rollout if rollout == trial.rollout => Ok(None),
                rollout => {
                    let trial = shop.trial(Arc::clone(&trial.candidate), &self.live, rollout)?;
                    Ok(Some(Place { trial, ..place }))
                }
            };
        }
        self.taking_new(want, component, place, shop).map(Some)
    }

    fn taking_new(
        &self,
        want: PolicySpec,
        component: &Component,
        place: Place,
        shop: &Workshop<'_>,
    ) -> Result<Place, PolicyError> {
        if want.bytes == self.live.spec.bytes {
            let live = shop.with(&self.live, want)?;
            return Ok(Place { live, trial: None, held: None, ..place });
        }
        if let Some(held) = &self.held
            && want.bytes == held.spec.bytes
        {
            // Other settings do not bring back a component that was rolled back.
            let bytes = self.live.spec.bytes.clone();
            let live = shop.with(&self.live, PolicySpec { bytes, ..want.clone() })?;
            let held = Some(Kept { spec: Arc::new(want), ..held.clone() });
            return Ok(Place { live, held, ..place });
        }
        if want.rollout == Rollout::Live {
            let live = shop.load(want, component)?;
            let previous = Some(Kept::of(&self.live));
            return Ok(Place { live, trial: None, previous, held: None, ..place });
        }
        let rollout = want.rollout;
        let trial = shop.trial(shop.link(want, component)?, &self.live, rollout)?;
        Ok(Place { trial, held: None, ..place })
    }

    /// The version in force with its failures forgotten.
    pub(crate) fn released(&self, shop: &Workshop<'_>) -> Result<Place, PolicyError> {
        let live = shop.load((*self.live.spec).clone(), &self.live.component)?;
        Ok(Place { live, ..self.clone() })
    }

    /// The version on trial is obeyed from now on; without one, the version that was rolled back is.
    pub(crate) fn promoted(&self, shop: &Workshop<'_>) -> Result<Place, PolicyError> {
        let live = match (&self.trial, &self.held) {
            (Some(trial), _) if trial.version().is_quarantined() => {
                let spec = &trial.candidate.spec;
                return Err(PolicyError::new(spec, "the version on trial is in quarantine"));
            }
            (Some(trial), _) => {
                let candidate = Arc::clone(&trial.candidate);
                if trial.rollout == Rollout::Shadow {
                    candidate.prepare(shop.workers, shop.alarm)?;
                }
                candidate
            }
            (None, Some(held)) => shop.load((*held.spec).clone(), &held.component)?,
            (None, None) => {
                let message = "no version of it is on trial, and none was rolled back";
                return Err(PolicyError::new(&self.live.spec, message));
            }
        };
        let previous = Some(Kept::of(&self.live));
        Ok(Place { live, trial: None, previous, held: None, ..self.clone() })
    }

    /// The trial ends; without one, the previous version is put back.
    pub(crate) fn rolled_back(&self, shop: &Workshop<'_>) -> Result<Place, PolicyError> {
        if let Some(trial) = &self.trial {
            let held = Some(Kept::of(&trial.candidate));
            return Ok(Place { trial: None, held, ..self.clone() });
        }
        let Some(previous) = &self.previous else {
            let message = "no version of it is on trial, and there is no previous one";
            return Err(PolicyError::new(&self.live.spec, message));
        };
        let live = shop.load((*previous.spec).clone(), &previous.component)?;
        // What the file holds must not come in again, and it is what was held first.
        let held = self.held.clone().or_else(|| Some(Kept::of(&self.live)));
        Ok(Place { live, previous: None, held, ..self.clone() })
    }
}
