//! Work that must not take the CPU from queries.

/// A nice value (sched(7)) with which a thread gets a tenth of what a worker gets when they compete for a core, and all
/// of it when nobody else wants it. With less, a large policy would not be compiled in an hour on a busy machine.
const LOW: i32 = 10;

/// Lowers the priority of this thread, for good. Linux keeps priorities by thread; elsewhere the whole process would
/// be slowed down, and nothing is done.
pub(crate) fn lower() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, LOW) {
        tracing::debug!(%error, "a thread keeps its priority");
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used)]

    use rustix::process::getpriority_process;

    #[test]
    fn one_thread_is_lowered_and_the_others_are_not() {
        let before = getpriority_process(None).unwrap();
        let lowered = std::thread::spawn(|| {
            super::lower();
            getpriority_process(None).unwrap()
        });
        assert_eq!(lowered.join().unwrap(), super::LOW);
        assert_eq!(getpriority_process(None).unwrap(), before);
    }
}
