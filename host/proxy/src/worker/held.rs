//! Statements that wait because there is no node for them: how many at most, and of how many bytes.

use std::sync::atomic::{AtomicUsize, Ordering};

use howdah_wire::backend::ErrorReport;

/// What waits, of one cluster.
#[derive(Debug, Default)]
pub(crate) struct Held {
    statements: AtomicUsize,
    bytes: AtomicUsize,
    so_far: AtomicUsize,
}

/// A statement that waits.
pub(crate) struct Holding<'h> {
    held: &'h Held,
    bytes: usize,
}

impl Held {
    /// How many wait.
    pub(crate) fn statements(&self) -> usize {
        self.statements.load(Ordering::Relaxed)
    }

    /// Their bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// How many have waited since the proxy was started.
    pub(crate) fn so_far(&self) -> usize {
        self.so_far.load(Ordering::Relaxed)
    }

    /// One more waits, until it is dropped.
    ///
    /// # Errors
    /// 57P03: too much waits already.
    pub(crate) fn hold(
        &self,
        bytes: usize,
        most: usize,
        most_bytes: u64,
    ) -> Result<Holding<'_>, ErrorReport> {
        let statements = self.statements.fetch_add(1, Ordering::Relaxed);
        let all = self.bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let holding = Holding { held: self, bytes };
        if statements >= most || (all as u64 > most_bytes && statements > 0) {
            return Err(ErrorReport::error(b"57P03", "too much waits for a server already")
                .detail(&format!("{statements} statements of {} bytes do.", all - bytes))
                .hint(
                    "Look at the nodes of the cluster; see pool.max_waiting and limits.held_bytes.",
                ));
        }
        self.so_far.fetch_add(1, Ordering::Relaxed);
        Ok(holding)
    }
}

impl Drop for Holding<'_> {
    fn drop(&mut self) {
        self.held.statements.fetch_sub(1, Ordering::Relaxed);
        self.held.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::Held;

    #[test]
    fn what_waits_is_limited_in_number_and_bytes() {
        let held = Held::default();
        let large = held.hold(1_000, 3, 100).unwrap();
        assert_eq!(held.hold(1, 3, 100).err().unwrap().sqlstate(), b"57P03", "no more bytes");
        drop(large);
        let some: Vec<_> = (0..3).map(|_| held.hold(10, 3, 100).unwrap()).collect();
        assert_eq!(held.hold(10, 3, 100).err().unwrap().sqlstate(), b"57P03", "no more statements");
        drop(some);
        assert_eq!((held.statements(), held.so_far()), (0, 4));
        assert_eq!(held.bytes.into_inner(), 0);
    }
}
