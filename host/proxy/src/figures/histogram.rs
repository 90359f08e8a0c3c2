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
    pub(crate) fn count(&self) -> u64 {
        self.buckets.iter().sum()
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
        all += &one.read();
        assert_eq!(all.buckets[..3], [2, 2, 0]);
        assert_eq!((all.count(), all.sum), (4, 220));
    }
}
