//! What clients ask, and what becomes of it.

use std::collections::BTreeMap;

use howdah_cluster::ClusterId;
use howdah_decision::Outcome;

use super::catalogue as metrics;
use super::family::Family;
use crate::figures::{Distribution, Histogram, Place, Sort, Source, Whereabouts, Words};
use crate::worker::Shared;

pub(super) fn families(shared: &Shared) -> Vec<Family> {
    let mut all = of_places(shared);
    let mut errors = BTreeMap::<String, u64>::new();
    for (class, count) in shared.counters.iter().flat_map(|counted| counted.errors()) {
        *errors.entry(class).or_default() += count;
    }
    let mut of_class = Family::of(&metrics::ERRORS);
    errors.iter().for_each(|(class, count)| of_class.add(&[class], *count));
    all.push(of_class);
    all.push(Family::alone(&metrics::REFUSED, shared.sum(|counted| counted.refused.get())));
    all.push(Family::alone(&metrics::RETRIED, shared.sum(|counted| counted.retried.get())));
    all.extend(of_commits(shared));
    all
}

/// By node, and by cluster for what no node was asked. Combinations that never were are left out: there are many.
fn of_places(shared: &Shared) -> Vec<Family> {
    let mut durations = Family::of(&metrics::QUERY_DURATION);
    let mut waits = Family::of(&metrics::SERVER_WAIT);
    let mut rows = Family::of(&metrics::ROWS);
    let mut bytes = Family::of(&metrics::RESULT_BYTES);
    for (at, cluster, node) in places(shared) {
        let places: Vec<&Place> =
            shared.counters.iter().filter_map(|counted| counted.place(at)).collect();
        for sort in Sort::ALL {
            for source in Source::ALL {
                let took = together(&places, |place| place.latency(*sort, *source));
                if took.count() > 0 {
                    durations.add(&[&cluster, &node, sort.word(), source.word()], &took);
                }
            }
        }
        let waited = together(&places, |place| &place.waits);
        if waited.count() > 0 {
            waits.add(&[&cluster, &node], &waited);
        }
        rows.add(&[&cluster, &node], places.iter().map(|place| place.rows.get()).sum::<u64>());
        bytes.add(&[&cluster, &node], places.iter().map(|place| place.bytes.get()).sum::<u64>());
    }
    vec![durations, waits, rows, bytes]
}

/// Where something may happen, and what that is called.
fn places(shared: &Shared) -> Vec<(Whereabouts, String, String)> {
    let snapshot = shared.monitor.snapshot();
    let mut all = Vec::new();
    for (index, cluster) in snapshot.clusters.iter().enumerate() {
        let id = ClusterId(index as u16);
        let nodes = snapshot.nodes(id);
        all.extend(nodes.map(|(node, spec, _)| (Ok(node), cluster.clone(), spec.name.clone())));
        all.push((Err(id), cluster.clone(), String::new()));
    }
    all
}

/// What all workers have counted.
fn together(places: &[&Place], pick: impl Fn(&Place) -> &Histogram) -> Distribution {
    let mut all = Distribution::default();
    places.iter().for_each(|place| all += &pick(place).read());
    all
}

fn of_commits(shared: &Shared) -> [Family; 2] {
    let mut proven = Family::of(&metrics::COMMITS_IN_DOUBT);
    for (outcome, word) in [
        (Outcome::Committed, "committed"),
        (Outcome::NotCommitted, "not committed"),
        (Outcome::Unknown, "unknown"),
    ] {
        proven.add(&[word], shared.proven(outcome));
    }
    let mut replayed = Family::of(&metrics::RUN_AGAIN);
    for (same, word) in [(true, "went on"), (false, "lost")] {
        replayed.add(&[word], shared.replayed(same));
    }
    [proven, replayed]
}
