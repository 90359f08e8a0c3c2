//! What operators are told of policies.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::loaded::Fault;
use crate::metrics::Metric;
use crate::place::Place;
use crate::spec::Rollout;
use crate::trial::{Disagreement, Trial};

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
    /// The same in each way.
    pub faults: [u64; Fault::ALL.len()],
    /// It is not asked any more.
    pub quarantined: bool,
    /// How the last failed call failed.
    pub last_failure: Option<String>,
    /// Observations that were dropped because it was too slow for them.
    pub unobserved: u64,
    /// Its own metrics.
    pub metrics: Vec<(String, Metric)>,
    /// How new versions come in.
    pub rollout: Rollout,
    /// The version on trial.
    pub trial: Option<TrialStatus>,
    /// Of the component that a rollback would put back, when no version is on trial.
    pub previous: Option<String>,
    /// Of the component that was rolled back, until its file changes.
    pub rolled_back: Option<String>,
    /// Why the version that was offered last is not in force.
    pub refused: Option<String>,
}

/// A version on trial as operators see it.
#[derive(Clone, Debug)]
pub struct TrialStatus {
    /// Of the component.
    pub sha256: String,
    /// How it is tried.
    pub rollout: Rollout,
    /// For how long.
    pub age: Duration,
    /// Calls so far.
    pub calls: u64,
    /// Time spent in them, in nanoseconds.
    pub nanoseconds: u64,
    /// Calls that failed.
    pub failures: u64,
    /// It is not asked any more.
    pub quarantined: bool,
    /// How the last failed call failed.
    pub last_failure: Option<String>,
    /// Questions that both versions answered alike.
    pub agreed: u64,
    /// Questions that they answered differently.
    pub disagreed: u64,
    /// Questions to which the other version gave no answer: there was no time, or it failed.
    pub skipped: u64,
    /// The last ones that were answered differently, the newest last.
    pub disagreements: Vec<Disagreement>,
}

impl PolicyStatus {
    pub(crate) fn of(place: &Place, refused: Option<String>) -> PolicyStatus {
        let live = &place.live;
        PolicyStatus {
            name: live.spec.name.clone(),
            origin: live.spec.origin.clone(),
            sha256: live.spec.bytes.sha256().to_owned(),
            size: live.spec.bytes.len(),
            hooks: live.hooks.names(),
            calls: live.counters.calls(),
            nanoseconds: live.counters.nanoseconds(),
            remembered: live.counters.remembered(),
            failures: live.counters.failures(),
            faults: Fault::ALL.map(|(fault, _)| live.counters.failed(fault)),
            quarantined: live.is_quarantined(),
            last_failure: live.last_failure.lock().clone(),
            unobserved: read(&live.counters.unobserved),
            metrics: live.metrics.snapshot(),
            rollout: place.rollout,
            trial: place.trial.as_deref().map(TrialStatus::of),
            previous: place.previous.as_ref().map(|kept| kept.spec.bytes.sha256().to_owned()),
            rolled_back: place.held.as_ref().map(|kept| kept.spec.bytes.sha256().to_owned()),
            refused,
        }
    }
}

impl TrialStatus {
    fn of(trial: &Trial) -> TrialStatus {
        let (figures, candidate) = (&trial.figures, trial.version());
        TrialStatus {
            sha256: candidate.spec.bytes.sha256().to_owned(),
            rollout: trial.rollout,
            age: trial.began.elapsed(),
            calls: candidate.counters.calls(),
            nanoseconds: candidate.counters.nanoseconds(),
            failures: candidate.counters.failures(),
            quarantined: candidate.is_quarantined(),
            last_failure: candidate.last_failure.lock().clone(),
            agreed: read(&figures.agreed),
            disagreed: read(&figures.disagreed),
            skipped: read(&figures.skipped),
            disagreements: figures.last.lock().iter().cloned().collect(),
        }
    }
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
