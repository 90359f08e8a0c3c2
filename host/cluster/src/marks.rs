use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Marks that are kept.
const MOST: usize = 256;
/// Least time between two: they reach back for 25 seconds at least.
const APART: Duration = Duration::from_millis(100);

/// Where the primary was, and when it was asked.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    /// On this timeline.
    timeline: u32,
    /// The oldest first.
    marks: VecDeque<(Instant, u64)>,
}

impl Marks {
    pub(crate) fn add(&mut self, asked: Instant, timeline: u32, lsn: u64) {
        if timeline < self.timeline {
            return;
        }
        if timeline > self.timeline {
            *self = Marks { timeline, ..Marks::default() };
        }
        let near = |(last, _): &(Instant, u64)| asked.saturating_duration_since(*last) < APART;
        if self.marks.back().is_some_and(near) {
            return;
        }
        if self.marks.len() >= MOST {
            self.marks.pop_front();
        }
        self.marks.push_back((asked, lsn));
    }

    /// When the primary was at this point or before it for the last time, as far as is known.
    pub(crate) fn last_before(&self, timeline: u32, lsn: u64) -> Option<Instant> {
        if timeline != self.timeline {
            return None;
        }
        let reached = self.marks.partition_point(|(_, mark)| *mark <= lsn);
        let (asked, _) = self.marks.get(reached.checked_sub(1)?)?;
        Some(*asked)
    }
}
