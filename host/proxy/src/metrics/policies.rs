//! Policies, those on trial too, and what they count themselves.

use howdah_policy::{Fault, Metric, PolicyStatus, Registry, TrialStatus};

use super::catalogue as metrics;
use super::family::Family;

pub(super) fn families(registry: &Registry) -> Vec<Family> {
    let mut in_force = InForce::new();
    let mut on_trial = OnTrial::new();
    let mut numbers = Family::of(&metrics::POLICY_METRIC);
    let mut histograms = Family::of(&metrics::POLICY_HISTOGRAM);
    for status in registry.status() {
        in_force.add(&status);
        if let Some(trial) = &status.trial {
            on_trial.add(&status.name, trial);
        }
        for (name, metric) in &status.metrics {
            let labels = [status.name.as_str(), name];
            match metric {
                Metric::Number(number) => numbers.add(&labels, *number),
                Metric::Histogram(histogram) => histograms.add(&labels, &**histogram),
            }
        }
    }
    let mut all = vec![Family::alone(&metrics::POLICY_GENERATION, registry.generation())];
    all.extend(in_force.0);
    all.extend(on_trial.0);
    all.extend([numbers, histograms]);
    all
}

fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

struct InForce([Family; 6]);

impl InForce {
    fn new() -> InForce {
        let all = [
            &metrics::POLICY_CALLS,
            &metrics::POLICY_SECONDS,
            &metrics::POLICY_REMEMBERED,
            &metrics::POLICY_FAILURES,
            &metrics::POLICY_UNOBSERVED,
            &metrics::POLICY_QUARANTINED,
        ];
        InForce(all.map(Family::of))
    }

    fn add(&mut self, status: &PolicyStatus) {
        let [calls, time, remembered, failures, unobserved, quarantined] = &mut self.0;
        let labels = [status.name.as_str()];
        calls.add(&labels, status.calls);
        time.add(&labels, seconds(status.nanoseconds));
        remembered.add(&labels, status.remembered);
        for ((_, word), count) in Fault::ALL.iter().zip(status.faults) {
            failures.add(&[&status.name, word], count);
        }
        unobserved.add(&labels, status.unobserved);
        quarantined.add(&labels, status.quarantined);
    }
}

struct OnTrial([Family; 4]);

impl OnTrial {
    fn new() -> OnTrial {
        let all = [
            &metrics::TRIAL_CALLS,
            &metrics::TRIAL_SECONDS,
            &metrics::TRIAL_FAILURES,
            &metrics::TRIAL_VERDICTS,
        ];
        OnTrial(all.map(Family::of))
    }

    fn add(&mut self, policy: &str, trial: &TrialStatus) {
        let [calls, time, failures, verdicts] = &mut self.0;
        calls.add(&[policy], trial.calls);
        time.add(&[policy], seconds(trial.nanoseconds));
        failures.add(&[policy], trial.failures);
        verdicts.add(&[policy, "agreed"], trial.agreed);
        verdicts.add(&[policy, "disagreed"], trial.disagreed);
        verdicts.add(&[policy, "skipped"], trial.skipped);
    }
}
