//! Pauses between attempts: with jitter, so that those who failed together do not come back together.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use tokio::time::sleep;

use crate::upstream::random;

/// From three quarters of a pause to five quarters.
pub(crate) fn jittered(pause: Duration) -> Duration {
    let [random] = random::<1>();
    pause.mul_f64(0.75 + f64::from(random) / 512.0)
}

/// First pause before a node is tried again that could not be reached; doubled each time.
const FIRST: Duration = Duration::from_millis(20);
/// Longest pause.
const LONGEST: Duration = Duration::from_millis(500);

/// Where connections to a node are opened. While that fails, one attempt at a time is made, further and further apart,
/// however many wait.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    failures: AtomicU32,
    turn: Mutex<()>,
}

impl Gate {
    /// Returns when an attempt may be made, whose outcome is told while the turn is kept. Cancel safe.
    pub(crate) async fn turn(&self) -> Option<MutexGuard<'_, ()>> {
        if self.failures() == 0 {
            return None;
        }
        let turn = self.turn.lock().await;
        match self.failures() {
            // Whoever came before has got through.
            0 => None,
            failures => {
                let doubled = FIRST * (1 << (failures - 1).min(10));
                sleep(jittered(doubled.min(LONGEST))).await;
                Some(turn)
            }
        }
    }

    fn failures(&self) -> u32 {
        self.failures.load(Ordering::Relaxed)
    }

    /// An attempt has failed.
    pub(crate) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// An attempt has led to a server.
    pub(crate) fn opened(&self) {
        self.failures.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// All wait, one tries.
    #[tokio::test]
    async fn one_at_a_time_tries_to_reach_a_node_that_was_not_reached() {
        let (gate, trying, tried) = (
            Arc::new(Gate::default()),
            Arc::<AtomicUsize>::default(),
            Arc::<AtomicUsize>::default(),
        );
        assert!(gate.turn().await.is_none(), "nothing has failed yet");
        gate.failed();
        let clients: Vec<_> = (0..1_000)
            .map(|_| {
                let (gate, trying, tried) =
                    (Arc::clone(&gate), Arc::clone(&trying), Arc::clone(&tried));
                tokio::spawn(async move {
                    let Some(turn) = gate.turn().await else { return };
                    assert_eq!(trying.fetch_add(1, Ordering::SeqCst), 0);
                    tokio::task::yield_now().await;
                    trying.fetch_sub(1, Ordering::SeqCst);
                    match tried.fetch_add(1, Ordering::SeqCst) {
                        0..2 => gate.failed(),
                        _ => gate.opened(),
                    }
                    drop(turn);
                })
            })
            .collect();
        for client in clients {
            client.await.unwrap();
        }
        assert_eq!(tried.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn jitter_stays_within_a_quarter() {
        let (least, most) = (Duration::from_millis(75), Duration::from_millis(125));
        for _ in 0..1_000 {
            let pause = jittered(Duration::from_millis(100));
            assert!(least <= pause && pause <= most, "{pause:?}");
        }
    }
}
