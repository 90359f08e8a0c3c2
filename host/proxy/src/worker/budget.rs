//! How much may be sent again, so that failures do not multiply the load: a share of what is sent at all.

use std::cell::Cell;
use std::time::Instant;

/// What a batch that is sent for the first time earns: one in ten may be sent again.
const EARNED: u64 = 100;
/// What one that is sent again costs.
const COST: u64 = 1_000;
/// What comes by itself per second, so that a quiet worker can send ten batches again.
const PER_SECOND: u64 = 10 * COST;
/// Most that is kept, and what there is at first. More than a worker has under way when a server is lost.
const MOST: u64 = 1_000 * COST;

/// The budget of a worker, in thousandths of a batch.
pub(crate) struct Budget {
    left: Cell<u64>,
    filled: Cell<Instant>,
}

impl Budget {
    pub(crate) fn new(now: Instant) -> Budget {
        Budget { left: Cell::new(MOST), filled: Cell::new(now) }
    }

    /// A batch is sent for the first time.
    pub(crate) fn earn(&self) {
        self.left.set(MOST.min(self.left.get() + EARNED));
    }

    /// Whether one more may be sent again.
    pub(crate) fn spend(&self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.filled.get()).as_millis();
        let come = u64::try_from(passed).unwrap_or(u64::MAX).saturating_mul(PER_SECOND / 1_000);
        let left = MOST.min(self.left.get().saturating_add(come));
        self.filled.set(now);
        self.left.set(left.checked_sub(COST).unwrap_or(left));
        left >= COST
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Budget, MOST};

    #[test]
    fn a_share_of_what_is_sent_may_be_sent_again() {
        let now = Instant::now();
        let budget = Budget::new(now);
        let spent = (0..10_000).filter(|_| budget.spend(now)).count();
        assert_eq!(spent, 1_000, "what there is at first");
        (0..100).for_each(|_| budget.earn());
        assert_eq!((0..100).filter(|_| budget.spend(now)).count(), 10);
        let later = now + Duration::from_secs(3);
        assert_eq!((0..100).filter(|_| budget.spend(later)).count(), 30);
        let much_later = later + Duration::from_secs(1_000_000);
        assert!(budget.spend(much_later));
        assert!(budget.left.get() < MOST, "it does not grow for ever");
    }
}
