//! What failovers did to clients: what was counted from just before a primary came into doubt until all had settled.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use howdah_cluster::ClusterId;
use howdah_decision::Outcome;
use parking_lot::Mutex;

use crate::worker::Shared;

/// Between two looks at the counts.
const LOOK: Duration = Duration::from_secs(1);
/// So long after there is a primary again, what it did to clients is over.
const SETTLED: Duration = Duration::from_secs(5);
/// Tolls that are kept: more than there are failovers of a few clusters in the monitor's memory.
const MOST: usize = 256;
/// Classes of SQLSTATE that clients get when a server is lost: connection exceptions, transactions rolled back, no resources,
/// and what operators, or the lack of a node, have ended (errcodes.txt).
const CLASSES: [&str; 4] = ["08", "40", "53", "57"];

/// What clients have noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Toll {
    /// Statements that waited because there was no node for them.
    waited: u64,
    /// Statements that were sent again.
    sent_again: u64,
    /// Transactions that were run again and went on.
    run_again: u64,
    /// Transactions that were run again and could not go on.
    lost: u64,
    /// Commits of which nobody can tell whether they have happened.
    unknown: u64,
    /// Errors of [`CLASSES`].
    errors: u64,
}

impl Toll {
    /// All that was counted so far; of the cluster alone what is counted by cluster.
    fn so_far(shared: &Shared, cluster: ClusterId) -> Toll {
        let errors = shared.counters.iter().flat_map(|counted| counted.errors());
        let of_loss = errors.filter(|(class, _)| CLASSES.contains(&class.as_str()));
        Toll {
            waited: shared.held(cluster).so_far() as u64,
            sent_again: shared.sum(|counted| counted.retried.get()),
            run_again: shared.replayed(true),
            lost: shared.replayed(false),
            unknown: shared.proven(Outcome::Unknown),
            errors: of_loss.map(|(_, count)| count).sum(),
        }
    }

    fn since(self, then: Toll) -> Toll {
        Toll {
            waited: self.waited.saturating_sub(then.waited),
            sent_again: self.sent_again.saturating_sub(then.sent_again),
            run_again: self.run_again.saturating_sub(then.run_again),
            lost: self.lost.saturating_sub(then.lost),
            unknown: self.unknown.saturating_sub(then.unknown),
            errors: self.errors.saturating_sub(then.errors),
        }
    }
}

impl std::fmt::Display for Toll {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let counts = [
            (self.waited, "statements that waited"),
            (self.sent_again, "sent again"),
            (self.run_again, "transactions run again"),
            (self.lost, "transactions lost"),
            (self.unknown, "commits of unknown outcome"),
            (self.errors, "errors told"),
        ];
        let some = counts.iter().filter(|(count, _)| *count > 0);
        let words: Vec<String> = some.map(|(count, what)| format!("{what}: {count}")).collect();
        match words.is_empty() {
            true => f.write_str("clients: none has noticed anything"),
            false => write!(f, "clients: {}", words.join(", ")),
        }
    }
}

/// The tolls of the last failovers, by cluster and by when its primary came into doubt.
#[derive(Default)]
pub(crate) struct Tolls(Mutex<VecDeque<(ClusterId, Instant, Toll)>>);

impl Tolls {
    /// What a failover did; none of one that nobody has looked at yet.
    pub(crate) fn of(&self, cluster: ClusterId, doubted: Instant) -> Option<Toll> {
        let tolls = self.0.lock();
        let found = tolls.iter().find(|(of, at, _)| (*of, *at) == (cluster, doubted));
        found.map(|(.., toll)| *toll)
    }

    fn tell(&self, cluster: ClusterId, doubted: Instant, toll: Toll) {
        let mut tolls = self.0.lock();
        if let Some(one) = tolls.iter_mut().find(|(of, at, _)| (*of, *at) == (cluster, doubted)) {
            one.2 = toll;
            return;
        }
        if tolls.len() == MOST {
            tolls.pop_front();
        }
        tolls.push_back((cluster, doubted, toll));
    }
}

/// Counts until the process ends.
pub(crate) async fn count(shared: Arc<Shared>) {
    let clusters: Vec<ClusterId> =
        (0..).map(ClusterId).take(shared.monitor.snapshot().clusters.len()).collect();
    let mut before: VecDeque<(Instant, Vec<Toll>)> = VecDeque::new();
    let mut bases = HashMap::<(ClusterId, Instant), Toll>::new();
    loop {
        let now = Instant::now();
        let tolls: Vec<Toll> = clusters.iter().map(|id| Toll::so_far(&shared, *id)).collect();
        let mut under_way = Vec::new();
        for (cluster, toll) in clusters.iter().zip(&tolls) {
            for failover in shared.monitor.failovers(*cluster) {
                let key = (*cluster, failover.doubted);
                let ended = failover.to.map(|(.., at)| at);
                if ended.is_some_and(|at| now.duration_since(at) > SETTLED + LOOK) {
                    continue;
                }
                let base = || {
                    let newest = before.iter().rfind(|(at, _)| *at <= failover.doubted);
                    let sample = newest.or(before.front()).map(|(_, tolls)| tolls);
                    let of = |tolls: &Vec<Toll>| tolls.get(usize::from(cluster.0)).copied();
                    sample.and_then(of).unwrap_or_default()
                };
                let base = *bases.entry(key).or_insert_with(base);
                shared.tolls.tell(*cluster, failover.doubted, toll.since(base));
                under_way.push(key);
            }
        }
        bases.retain(|key, _| under_way.contains(key));
        before.push_back((now, tolls));
        if before.len() > 3 {
            before.pop_front();
        }
        tokio::time::sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_toll_is_told_in_words() {
        assert_eq!(Toll::default().to_string(), "clients: none has noticed anything");
        let then = Toll { waited: 2, errors: 7, ..Toll::default() };
        let now = Toll { waited: 5, unknown: 1, errors: 7, ..Toll::default() };
        let told = "clients: statements that waited: 3, commits of unknown outcome: 1";
        assert_eq!(now.since(then).to_string(), told);
    }
}
