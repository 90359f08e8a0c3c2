use std::time::{Duration, Instant};

use crate::Failure;

/// A node that stayed up for this long begins anew.
const STEADY: Duration = Duration::from_secs(60);
/// How long a node that has gone twice is up before it is read from again; doubled each time.
const FIRST_REST: Duration = Duration::from_millis(500);
/// Longest such time: well below [`STEADY`], so that whoever rests long enough is forgiven.
const LONGEST_REST: Duration = Duration::from_secs(20);

/// How a node has come and gone, and of which cluster it was.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// Since when it has been up.
    up: Option<Instant>,
    /// It was noticed to be gone, and has not been heard of since.
    gone: bool,
    /// How often it has gone without having been up for long.
    flaps: u32,
    /// Its system identifier, when it was last seen.
    pub(crate) identifier: Option<u64>,
}

impl Health {
    /// Takes in a probe. True: the node is gone, which is news.
    pub(crate) fn heard(&mut self, at: Instant, failure: Option<&Failure>) -> bool {
        let gone = failure.is_some_and(Failure::is_gone);
        if failure.is_none() {
            let since = *self.up.get_or_insert(at);
            if at.saturating_duration_since(since) >= STEADY {
                self.flaps = 0;
            }
        } else if self.up.take().is_some() {
            self.flaps = self.flaps.saturating_add(1);
        }
        let known = std::mem::replace(&mut self.gone, gone);
        gone && !known
    }

    /// Whether it is up, and not for long enough to be read from.
    pub(crate) fn rests(&self, at: Instant) -> bool {
        let rest = match self.flaps {
            0 | 1 => Duration::ZERO,
            // A shift by more would be of no use: the longest rest is reached.
            more => (FIRST_REST * (1 << (more - 2).min(10))).min(LONGEST_REST),
        };
        self.up.is_some_and(|since| at.saturating_duration_since(since) < rest)
    }
}
