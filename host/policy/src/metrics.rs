use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// Most metrics of one policy, and their longest name.
const MAX_METRICS: usize = 64;
const MAX_METRIC_NAME: usize = 64;

/// A metric that a policy has made.
#[derive(Clone, Debug, PartialEq)]
pub enum Metric {
    /// A counter or a gauge.
    Number(f64),
    /// A histogram.
    Histogram(Box<Histogram>),
}

/// How often values were seen, by their size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// Values of at most 2^n that no smaller power of two covers; beyond the last one in the last one's successor.
    pub buckets: [u64; Histogram::BUCKETS + 1],
    /// All values together.
    pub sum: u64,
}

impl Histogram {
    /// Buckets with a bound: 1 to 2^40, which covers a nanosecond to a quarter of an hour.
    pub const BUCKETS: usize = 41;

    fn add(&mut self, value: u64) {
        let at = value.max(1).checked_next_power_of_two().map_or(64, u64::trailing_zeros);
        let at = (at as usize).min(Histogram::BUCKETS);
        if let Some(bucket) = self.buckets.get_mut(at) {
            *bucket += 1;
        }
        self.sum = self.sum.saturating_add(value);
    }

    /// How many values.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { buckets: [0; Histogram::BUCKETS + 1], sum: 0 }
    }
}

/// Metrics of one policy, of all its instances together.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    values: Mutex<BTreeMap<String, Metric>>,
    dropped: AtomicU64,
}

impl Metrics {
    /// Adds to a counter.
    pub(crate) fn count(&self, name: String, by: u64) {
        self.change(name, Metric::Number(0.0), |metric| {
            match metric {
                Metric::Number(value) => *value += by as f64,
                Metric::Histogram(_) => return false,
            }
            true
        });
    }

    /// Sets a gauge.
    pub(crate) fn gauge(&self, name: String, to: f64) {
        self.change(name, Metric::Number(0.0), |metric| {
            match metric {
                Metric::Number(value) => *value = to,
                Metric::Histogram(_) => return false,
            }
            true
        });
    }

    /// Adds a value to a histogram.
    pub(crate) fn observe(&self, name: String, value: u64) {
        self.change(name, Metric::Histogram(Box::default()), |metric| {
            match metric {
                Metric::Number(_) => return false,
                Metric::Histogram(histogram) => histogram.add(value),
            }
            true
        });
    }

    /// Changes a metric, which may be new. `change` says whether it is of the right type; else it stays as it is.
    fn change(&self, name: String, new: Metric, change: impl FnOnce(&mut Metric) -> bool) {
        let sound = !name.is_empty()
            && name.len() <= MAX_METRIC_NAME
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let mut values = self.values.lock();
        let room = values.len() < MAX_METRICS || values.contains_key(&name);
        if !sound || !room || !change(values.entry(name).or_insert(new)) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn snapshot(&self) -> Vec<(String, Metric)> {
        self.values.lock().iter().map(|(n, v)| (n.clone(), v.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_histogram_counts_by_powers_of_two() {
        let mut histogram = Histogram::default();
        for value in [0, 1, 2, 3, 4, 5, 1 << 40, (1 << 40) + 1, u64::MAX] {
            histogram.add(value);
        }
        assert_eq!(histogram.buckets[..4], [2, 1, 2, 1]);
        assert_eq!(histogram.buckets[40..], [1, 2]);
        assert_eq!((histogram.count(), histogram.sum), (9, u64::MAX));
    }

    #[test]
    fn a_metric_keeps_its_type() {
        let metrics = Metrics::default();
        metrics.count("a".into(), 2);
        metrics.observe("a".into(), 7);
        metrics.observe("b".into(), 7);
        metrics.gauge("b".into(), 1.0);
        assert_eq!(metrics.dropped.load(Ordering::Relaxed), 2);
        assert_eq!(metrics.snapshot()[0], ("a".to_owned(), Metric::Number(2.0)));
        let Metric::Histogram(b) = &metrics.snapshot()[1].1 else { panic!() };
        assert_eq!(b.count(), 1);
    }
}
