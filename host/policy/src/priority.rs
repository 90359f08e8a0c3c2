//! Work that must not take the CPU from queries.

/// A nice value (sched(7)) with which a thread gets a tenth of what a worker gets when they compete for a core, and all
/// of it when nobody else wants it. With less, a large policy would not be compiled in an hour on a busy machine.
const LOW: i32 = 10;

/// Does something on a thread of its own, whose priority is low, and waits for it. This thread could not raise its own
/// again.
///
/// # Errors
/// There is no thread to be had, or the work has panicked; for people.
pub fn aside<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("howdah-aside".into());
        let working = thread.spawn_scoped(scope, || {
            lower();
            work()
        });
        let working = working.map_err(|error| format!("no thread: {error}"))?;
        working.join().map_err(|_| "a thread panicked".to_owned())
    })
}

/// Lowers the priority of this thread, for good. Linux keeps priorities by thread; elsewhere the whole process would be
/// slowed down, and nothing is done.
pub(crate) fn lower() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, LOW) {
        tracing::debug!(%error, "a thread keeps its priority");
    }
}

/// Lets those go first who wait for the core. Linux takes it from a thread of low priority at the next tick only, after up
/// to 4 ms; most queries do not take as long.
pub(crate) fn give_way() {
    std::thread::yield_now();
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used)]

    use rustix::process::getpriority_process;

    #[test]
    fn one_thread_is_lowered_and_the_others_are_not() {
        let before = getpriority_process(None).unwrap();
        let lowered = super::aside(|| getpriority_process(None).unwrap());
        assert_eq!(lowered, Ok(super::LOW));
        assert_eq!(getpriority_process(None).unwrap(), before);
    }

    #[test]
    fn what_panics_aside_is_told() {
        let panics = super::aside(|| -> () { std::panic::resume_unwind(Box::new("no")) });
        assert_eq!(panics, Err("a thread panicked".to_owned()));
    }
}
