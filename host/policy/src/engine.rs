//! The engine, and the alarm by which calls are interrupted.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::Thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use wasmtime::{CacheStore, Config, Engine, OptLevel, Store, UpdateDeadline};

use crate::host::State;
use crate::priority;

/// The grain of time limits: a call may take so much longer.
const GRAIN: Duration = Duration::from_millis(1);
/// Longest time limit that can be set: a policy that thinks for a second is no policy. Creating and configuring may
/// take as long.
pub(crate) const MAX_TIME: Duration = Duration::from_secs(1);
/// It sleeps when nobody has called for so long.
const IDLE: Duration = Duration::from_secs(1);
/// Stack of a guest, on the worker's own stack of 2 MiB.
const GUEST_STACK: usize = 512 << 10;

pub(crate) fn engine() -> wasmtime::Result<Engine> {
    engine_with(BetweenFunctions(priority::give_way))
}

fn engine_with(between: BetweenFunctions) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .epoch_interruption(true)
        .max_wasm_stack(GUEST_STACK)
        .cranelift_opt_level(OptLevel::Speed)
        .enable_incremental_compilation(Arc::new(between))?;
    Engine::new(&config)
}

/// What the compiler does before each function of a guest. It asks here what is known of the function from before, and is
/// told nothing: what is kept are whole components ([`crate::artefacts`]).
#[derive(Debug)]
struct BetweenFunctions(fn());

impl CacheStore for BetweenFunctions {
    fn get(&self, _: &[u8]) -> Option<Cow<'_, [u8]>> {
        (self.0)();
        None
    }

    fn insert(&self, _: &[u8], _: Vec<u8>) -> bool {
        false
    }
}

/// A store whose guest is interrupted when its call takes too long.
pub(crate) fn store(engine: &Engine, state: State) -> Store<State> {
    let mut store = Store::new(engine, state);
    // Another call may be the one that takes too long.
    store.epoch_deadline_callback(|store| {
        let over = store.data().deadline <= Instant::now();
        Ok(if over { UpdateDeadline::Interrupt } else { UpdateDeadline::Continue(1) })
    });
    store
}

/// Interrupts calls of guests that take too long. It looks for them as rarely as it may: a call that it has not seen
/// before cannot be over its limit by more than [`GRAIN`]. Of one that it has seen it knows the end.
pub(crate) struct Alarm {
    engine: Engine,
    began: Instant,
    callers: Mutex<Vec<Weak<Call>>>,
    /// The shortest limit that a call has had, in nanoseconds.
    shortest: AtomicU64,
    asleep: AtomicBool,
    stop: AtomicBool,
    thread: OnceLock<Thread>,
}

/// A caller's last call: by when it has to end, in nanoseconds since the alarm began, and in the lowest bit whether it is
/// under way. On a cache line of its own, because it is written at each call.
#[derive(Default)]
#[repr(align(64))]
struct Call(AtomicU64);

impl Call {
    const UNDER_WAY: u64 = 1;

    fn read(&self) -> (u64, bool) {
        let value = self.0.load(Ordering::SeqCst);
        (value & !Call::UNDER_WAY, value & Call::UNDER_WAY != 0)
    }
}

/// What the alarm sees when it looks at all calls.
struct Sight {
    /// By when the last one had to end.
    last: u64,
    /// By when the next of those under way has to.
    next: Option<u64>,
}

impl Alarm {
    pub(crate) fn start(engine: Engine) -> std::io::Result<Arc<Alarm>> {
        let alarm = Arc::new(Alarm {
            engine,
            began: Instant::now(),
            callers: Mutex::default(),
            shortest: AtomicU64::new(nanoseconds(MAX_TIME)),
            asleep: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            thread: OnceLock::new(),
        });
        let running = Arc::clone(&alarm);
        let handle =
            std::thread::Builder::new().name("howdah-epoch".into()).spawn(move || running.run())?;
        let _ = alarm.thread.set(handle.thread().clone());
        Ok(alarm)
    }

    /// Whoever calls guests, one at a time.
    pub(crate) fn caller(self: &Arc<Self>) -> Caller {
        let call = Arc::<Call>::default();
        self.callers.lock().push(Arc::downgrade(&call));
        Caller { alarm: Arc::clone(self), call }
    }

    fn run(&self) {
        while !self.stop.load(Ordering::Relaxed) {
            let (now, sight) = (nanoseconds(self.began.elapsed()), self.look());
            if sight.next.is_none() && sight.last + nanoseconds(IDLE) < now {
                self.sleep(sight.last);
                continue;
            }
            let grain = nanoseconds(GRAIN);
            let pause = match sight.next {
                Some(next) if next <= now => {
                    self.engine.increment_epoch();
                    grain
                }
                Some(next) => (next - now).min(self.shortest.load(Ordering::SeqCst) + grain),
                None => self.shortest.load(Ordering::SeqCst) + grain,
            };
            std::thread::park_timeout(Duration::from_nanos(pause));
        }
    }

    fn look(&self) -> Sight {
        let mut sight = Sight { last: 0, next: None };
        self.callers.lock().retain(|call| {
            let Some(call) = call.upgrade() else { return false };
            let (end, under_way) = call.read();
            sight.last = sight.last.max(end);
            if under_way {
                sight.next = Some(sight.next.map_or(end, |next| next.min(end)));
            }
            true
        });
        sight
    }

    /// Until somebody calls.
    fn sleep(&self, last: u64) {
        self.asleep.store(true, Ordering::SeqCst);
        let sight = self.look();
        if sight.next.is_none() && sight.last == last && !self.stop.load(Ordering::SeqCst) {
            std::thread::park();
        }
        self.asleep.store(false, Ordering::SeqCst);
    }

    /// A call may take so long.
    fn shorten(&self, limit: u64) {
        if limit < self.shortest.load(Ordering::Relaxed) {
            self.shortest.fetch_min(limit, Ordering::SeqCst);
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        self.wake();
    }
}

/// Calls guests, one at a time.
pub(crate) struct Caller {
    alarm: Arc<Alarm>,
    call: Arc<Call>,
}

impl Caller {
    /// A guest is about to be called that may take so long from `now` on: until what this gives back is dropped.
    pub(crate) fn calls(
        &self,
        store: &mut Store<State>,
        now: Instant,
        limit: Duration,
    ) -> UnderWay<'_> {
        self.goes_on(store, now, limit);
        UnderWay(&self.call)
    }

    /// The call goes on with another one, for which the time begins anew.
    pub(crate) fn goes_on(&self, store: &mut Store<State>, now: Instant, limit: Duration) {
        let Caller { alarm, call } = self;
        let end = now + limit;
        store.data_mut().deadline = end;
        store.set_epoch_deadline(1);
        alarm.shorten(nanoseconds(limit));
        let end = nanoseconds(end.saturating_duration_since(alarm.began));
        call.0.store(end | Call::UNDER_WAY, Ordering::SeqCst);
        if alarm.asleep.load(Ordering::SeqCst) {
            alarm.wake();
        }
    }
}

/// A call.
pub(crate) struct UnderWay<'a>(&'a Call);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        // Nobody else writes it.
        let value = self.0.0.load(Ordering::Relaxed);
        self.0.0.store(value & !Call::UNDER_WAY, Ordering::Release);
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use wasmtime::component::Component;

    use crate::chain::{Post, Slot};
    use crate::loaded::Loaded;
    use crate::worker::Failed;
    use crate::{Grants, Limits, OnFailure, Options, PolicySpec, Registry, Rollout, Scope};

    /// A policy whose hook `tick` goes round so often.
    fn turning(registry: &Registry, turns: u64, time: Duration) -> Arc<Loaded> {
        let text = format!(
            r#"(component
                (core module $m (func (export "tick") (result i32) (local $turns i64)
                    (loop $on
                        (local.set $turns (i64.add (local.get $turns) (i64.const 1)))
                        (br_if $on (i64.lt_u (local.get $turns) (i64.const {turns}))))
                    (i32.const 0)))
                (core instance $i (instantiate $m))
                (func $tick (result u32) (canon lift (core func $i "tick")))
                (instance $hook (export "tick" (func $tick)))
                (export "howdah:policy/tick@0.1.0" (instance $hook)))"#
        );
        let spec = PolicySpec {
            name: "turning".into(),
            bytes: wat::parse_str(text).unwrap().into(),
            origin: "a test".into(),
            settings: BTreeMap::new(),
            limits: Limits { time, quarantine_after: u32::MAX, ..Limits::default() },
            on_failure: OnFailure::Fallback,
            grants: Grants::default(),
            kv_space: None,
            scope: Scope::default(),
            sha256: None,
            rollout: Rollout::Live,
        };
        let component = Loaded::compile(&registry.engine, &spec).unwrap();
        Arc::new(Loaded::link(&registry.engine, &registry.world, spec, component).unwrap())
    }

    #[test]
    fn something_is_done_before_each_function_is_compiled() {
        static FUNCTIONS: AtomicUsize = AtomicUsize::new(0);
        let count = || {
            FUNCTIONS.fetch_add(1, Ordering::Relaxed);
        };
        let engine = super::engine_with(super::BetweenFunctions(count)).unwrap();
        let three = "(component (core module
            (func (export \"a\")) (func (export \"b\") (nop)) (func (export \"c\") (unreachable))))";
        Component::new(&engine, wat::parse_str(three).unwrap()).unwrap();
        assert!(FUNCTIONS.load(Ordering::Relaxed) >= 3);
    }

    /// How its calls end, on a thread's worker.
    fn tick(registry: &Arc<Registry>, policy: &Arc<Loaded>) -> impl Fn() -> Result<(), String> {
        let worker = registry.worker(0);
        let post = Post::new(Arc::clone(policy), Slot::default());
        move || match worker.call(&post, None, |_, instance| instance.tick()) {
            Ok(_) => Ok(()),
            Err(Failed) => Err(post.policy.why_failed()),
        }
    }

    #[test]
    fn only_the_call_that_takes_too_long_is_interrupted() {
        let registry = Registry::new(Options { workers: 1 }).unwrap();
        let endless = turning(&registry, u64::MAX, Duration::from_millis(1));
        let long = turning(&registry, 50_000_000, super::MAX_TIME);
        let endless = tick(&registry, &endless);
        let interrupted = Err("it exceeded its time limit".to_owned());
        assert_eq!(endless(), interrupted);
        std::thread::scope(|scope| {
            let long = scope.spawn(|| tick(&registry, &long)());
            while !long.is_finished() {
                assert_eq!(endless(), interrupted);
            }
            assert_eq!(long.join().unwrap(), Ok(()));
        });
    }
}
