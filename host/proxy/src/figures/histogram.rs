use std::ops::AddAssign;
use std::time::Duration;

use super::words::Count;

/// Buckets with a bound. The last one's is 67 s, beyond which nobody waits for a statement by looking at a graph.
pub(crate) const BUCKETS: usize = 21;
/// The first bucket is up to 2^6 = 64 µs, about what the fastest statement takes with a network in between; each next one
/// up to twice as much.
const SMALLEST: u32 = 6;

/// The bucket for so many microseconds: the first whose bound is not less.
fn bucket(us: u64) -> usize {
    let power = u64::BITS - us.saturating_sub(1).leading_zeros();
    (power.saturating_sub(SMALLEST) as usize).min(BUCKETS)
}

/// The bound of a bucket in microseconds.
pub(crate) fn bound(bucket: usize) -> u64 {
    1 << (bucket as u32 + SMALLEST)
}

/// Whole microseconds.
pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// How often something took how long: one thread counts, others read.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [Count; BUCKETS + 1],
    sum: Count,
}

impl Histogram {
    /// Counts so many microseconds. Only for the thread that the histogram belongs to.
    pub(crate) fn add(&self, us: u64) {
        if let Some(count) = self.buckets.get(bucket(us)) {
            count.add(1);
        }
        self.sum.add(us);
    }

    pub(crate) fn read(&self) -> Distribution {
        Distribution { buckets: self.buckets.each_ref().map(Count::get), sum: self.sum.get() }
    }
}

/// How often something took how long, at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Distribution {
    /// By [`bound`], the last one without.
    pub(crate) buckets: [u64; BUCKETS + 1],
    /// Microseconds of all together.
    pub(crate) sum: u64,
}

impl Distribution {
    pub(crate) fn add(&mut self, us: u64) {
        if let Some(count) = self.buckets.get_mut(bucket(us)) {
            *count += 1;
        }
        self.sum = self.sum.saturating_add(us);
    }

    pub(crate) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Microseconds that this share of all did not exceed, about: within a bucket they are taken to be spread evenly.
    /// `longest` is known to be the longest.
    pub(crate) fn quantile(&self, share: f64, longest: u64) -> u64 {
        let wanted = share * self.count() as f64;
        let mut before = 0;
        for (i, count) in self.buckets.iter().enumerate() {
            let until = before + count;
            if *count > 0 && until as f64 >= wanted {
                let low = if i == 0 { 0 } else { bound(i - 1) };
                let high = if i == BUCKETS { longest } else { bound(i).min(longest) };
                let part = (wanted - before as f64) / *count as f64;
                return low + (part * high.saturating_sub(low) as f64) as u64;
            }
            before = until;
        }
        longest
    }
}

impl AddAssign<&Distribution> for Distribution {
    fn add_assign(&mut self, other: &Distribution) {
        self.buckets.iter_mut().zip(other.buckets).for_each(|(count, more)| *count += more);
        self.sum = self.sum.saturating_add(other.sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_what_its_bound_covers() {
        for i in 0..BUCKETS {
            assert_eq!((bucket(bound(i)), bucket(bound(i) + 1)), (i, i + 1));
        }
        assert_eq!([bucket(0), bucket(1), bucket(u64::MAX)], [0, 0, BUCKETS]);
        assert_eq!(bound(BUCKETS - 1), 67_108_864);
    }

    #[test]
    fn what_workers_counted_is_added() {
        let one = Histogram::default();
        one.add(10);
        one.add(100);
        let mut all = one.read();
        all.add(101);
        all += &one.read();
        assert_eq!(all.buckets[..3], [2, 3, 0]);
        assert_eq!((all.count(), all.sum), (5, 321));
    }

    #[test]
    fn a_quantile_lies_in_its_bucket_and_below_the_longest() {
        let mut some = Distribution::default();
        assert_eq!(some.quantile(0.95, 0), 0);
        (0..90).for_each(|_| some.add(60));
        (0..10).for_each(|_| some.add(1_000));
        assert!((30..=64).contains(&some.quantile(0.5, 1_000)));
        assert!((513..=1_000).contains(&some.quantile(0.95, 1_000)));
        assert_eq!(some.quantile(1.0, 1_000), 1_000);
        some.add(u64::MAX);
        assert_eq!(some.quantile(1.0, 100_000_000), 100_000_000);
    }
}
