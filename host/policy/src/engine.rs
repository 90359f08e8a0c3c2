//! The engine, and the clock by which calls are interrupted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::Thread;
use std::time::Duration;

use wasmtime::{Config, Engine, OptLevel};

/// The grain of time limits.
pub(crate) const TICK: Duration = Duration::from_millis(1);
/// Stack of a guest, on the worker's own stack of 2 MiB.
const GUEST_STACK: usize = 512 << 10;

/// Advances the engine's epoch every [`TICK`] while guests are called, and sleeps while they are not.
pub(crate) struct Ticker {
    calls: AtomicU64,
    asleep: AtomicBool,
    stop: AtomicBool,
    thread: std::sync::OnceLock<Thread>,
}

pub(crate) fn engine() -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .epoch_interruption(true)
        .max_wasm_stack(GUEST_STACK)
        .cranelift_opt_level(OptLevel::Speed);
    Engine::new(&config)
}

impl Ticker {
    pub(crate) fn start(engine: Engine) -> std::io::Result<Arc<Ticker>> {
        let ticker = Arc::new(Ticker {
            calls: AtomicU64::new(0),
            asleep: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            thread: std::sync::OnceLock::new(),
        });
        let running = Arc::clone(&ticker);
        let handle = std::thread::Builder::new()
            .name("howdah-epoch".into())
            .spawn(move || running.run(&engine))?;
        let _ = ticker.thread.set(handle.thread().clone());
        Ok(ticker)
    }

    fn run(&self, engine: &Engine) {
        let mut seen = u64::MAX;
        while !self.stop.load(Ordering::Relaxed) {
            let calls = self.calls.load(Ordering::SeqCst);
            if calls == seen {
                self.asleep.store(true, Ordering::SeqCst);
                if self.calls.load(Ordering::SeqCst) == seen {
                    std::thread::park();
                }
                self.asleep.store(false, Ordering::SeqCst);
            }
            // An endless call makes no further ones: twice as many ticks as any limit are given for each.
            seen = calls;
            for _ in 0..self.burst() {
                std::thread::sleep(TICK);
                engine.increment_epoch();
            }
        }
    }

    /// Ticks between two looks whether anybody calls: more than the longest time limit, so that a call in progress
    /// always reaches its deadline.
    fn burst(&self) -> u32 {
        crate::loaded::MAX_TIME_TICKS + 2
    }

    /// A guest is about to be called.
    pub(crate) fn called(&self) {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}
