//! The engine, and the alarm by which calls are interrupted.

use std::borrow::Cow;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use wasmtime::{CacheStore, Config, Engine, OptLevel, Store, UpdateDeadline};

use crate::host::State;
use crate::priority;

/// The grain of time limits: a call may take so much longer.
const GRAIN: Duration = Duration::from_millis(1);
/// Longest time limit that can be set: a policy that thinks for a second is no policy. Creating and configuring may
/// take as long.
pub(crate) const MAX_TIME: Duration = Duration::from_secs(1);
/// Who calls a guest sets the timer anew when it rings in less: with limits of 2 ms, a system call in 2.5 ms.
const SOON: Duration = Duration::from_micros(500);
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

/// Interrupts calls of guests that take too long. All calls are looked at before one that was not seen before can be over
/// its limit by [`GRAIN`]. A thread does that when a timer rings; but whoever calls a guest shortly before does it in
/// passing, and sets the timer anew. So the thread sleeps while guests are called and answer, and when nobody calls.
pub(crate) struct Alarm {
    engine: Engine,
    began: Instant,
    callers: Mutex<Vec<Weak<Call>>>,
    /// The shortest limit that a call has had, in nanoseconds.
    shortest: AtomicU64,
    timer: OwnedFd,
    /// When that rings, in nanoseconds since the alarm began.
    rings: AtomicU64,
    stop: AtomicBool,
}

/// What [`Alarm::rings`] is when the timer does not ring.
const NEVER: u64 = 0;

/// A caller's last call: by when it has to end, in nanoseconds since the alarm began, and in the lowest bit whether it is
/// under way. On a cache line of its own, because it is written at each call.
#[derive(Default)]
#[repr(align(64))]
struct Call(AtomicU64);

impl Call {
    const UNDER_WAY: u64 = 1;

    /// By when it has to end, if it is under way.
    fn under_way(&self) -> Option<u64> {
        let value = self.0.load(Ordering::SeqCst);
        (value & Call::UNDER_WAY != 0).then_some(value & !Call::UNDER_WAY)
    }
}

impl Alarm {
    pub(crate) fn start(engine: Engine) -> std::io::Result<Arc<Alarm>> {
        let alarm = Arc::new(Alarm {
            engine,
            began: Instant::now(),
            callers: Mutex::default(),
            shortest: AtomicU64::new(nanoseconds(MAX_TIME)),
            timer: timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?,
            rings: AtomicU64::new(NEVER),
            stop: AtomicBool::new(false),
        });
        let running = Arc::clone(&alarm);
        std::thread::Builder::new().name("howdah-epoch".into()).spawn(move || running.run())?;
        Ok(alarm)
    }

    /// Whoever calls guests, one at a time.
    pub(crate) fn caller(self: &Arc<Self>) -> Caller {
        let call = Arc::<Call>::default();
        self.callers.lock().push(Arc::downgrade(&call));
        Caller { alarm: Arc::clone(self), call }
    }

    fn run(&self) {
        let mut rung = [0; size_of::<u64>()];
        while !self.stop.load(Ordering::Relaxed) {
            match rustix::io::read(&self.timer, &mut rung) {
                Ok(_) => self.look(u64::MAX),
                Err(Errno::INTR) => {}
                Err(error) => {
                    tracing::error!(%error, "policies are not interrupted any more");
                    return;
                }
            }
        }
    }

    /// Whether the timer does not ring in time for a call that has to end by then, or is about to.
    fn is_due(&self, now: u64, end: u64) -> bool {
        let rings = self.rings.load(Ordering::SeqCst);
        rings < now + nanoseconds(SOON) || rings > end.saturating_add(nanoseconds(GRAIN))
    }

    /// Looks at all calls, interrupts those that are over their limits, and sets the timer if any is under way: unless
    /// somebody else has just done so. `end` is by when the caller's has to end.
    fn look(&self, end: u64) {
        let mut callers = self.callers.lock();
        let now = nanoseconds(self.began.elapsed());
        if !self.is_due(now, end) {
            return;
        }
        // Whoever is not seen because he begins now will see this.
        self.rings.store(NEVER, Ordering::SeqCst);
        let mut next = None;
        callers.retain(|call| {
            let Some(call) = call.upgrade() else { return false };
            let end = call.under_way();
            next = next.into_iter().chain(end).min();
            true
        });
        let Some(next) = next else { return };
        if next <= now {
            self.engine.increment_epoch();
        }
        let rings = next.clamp(now, now + self.shortest.load(Ordering::SeqCst));
        let rings = rings + nanoseconds(GRAIN);
        self.rings.store(rings, Ordering::SeqCst);
        self.set(Duration::from_nanos(rings - now));
    }

    /// Has the timer ring after so long.
    fn set(&self, after: Duration) {
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let time =
            Itimerspec { it_interval: never, it_value: Timespec::try_from(after).unwrap_or(never) };
        if let Err(error) = timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &time) {
            tracing::error!(%error, "policies are not interrupted in time");
        }
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        self.set(Duration::from_nanos(1));
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
        let limit = nanoseconds(limit);
        if limit < alarm.shortest.load(Ordering::Relaxed) {
            alarm.shortest.fetch_min(limit, Ordering::SeqCst);
        }
        let now = nanoseconds(now.saturating_duration_since(alarm.began));
        let end = now + limit;
        call.0.store(end | Call::UNDER_WAY, Ordering::SeqCst);
        if alarm.is_due(now, end) {
            alarm.look(end);
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

pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    use wasmtime::component::Component;

    use super::{Caller, GRAIN, MAX_TIME, NEVER, UnderWay, nanoseconds};
    use crate::chain::{Post, Slot};
    use crate::host::State;
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
        let long = turning(&registry, 50_000_000, MAX_TIME);
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

    /// Calls nothing: what a caller does before.
    fn calls<'a>(
        caller: &'a Caller,
        store: &mut wasmtime::Store<State>,
        limit: Duration,
    ) -> UnderWay<'a> {
        caller.calls(store, Instant::now(), limit)
    }

    #[test]
    fn the_timer_rings_in_time_for_each_call_and_not_for_none() {
        let registry = Registry::new(Options { workers: 1 }).unwrap();
        let policy = turning(&registry, 1, MAX_TIME);
        let alarm = &registry.alarm;
        let store = || {
            let limits = wasmtime::StoreLimitsBuilder::new().build();
            super::store(&registry.engine, State::new(&policy, limits))
        };
        let rings = || alarm.rings.load(Ordering::SeqCst);
        let now = || nanoseconds(alarm.began.elapsed());
        let (long, short) = (alarm.caller(), alarm.caller());
        let (mut of_long, mut of_short) = (store(), store());
        let grain = nanoseconds(GRAIN);
        let first = calls(&long, &mut of_long, MAX_TIME);
        assert_ne!(rings(), NEVER);
        for limit in [MAX_TIME / 4, MAX_TIME / 8] {
            let _under_way = calls(&short, &mut of_short, limit);
            let end = short.call.under_way().unwrap();
            assert!(rings() <= end.max(now()) + grain, "{limit:?}");
        }
        // Not at every call is it set anew.
        let (began, mut before, mut sets) = (now(), rings(), 0);
        for _ in 0..10_000 {
            drop(calls(&short, &mut of_short, MAX_TIME));
            sets += u64::from(rings() != before);
            before = rings();
        }
        assert!(sets <= 1 + (now() - began) / nanoseconds(MAX_TIME / 8), "{sets}");
        drop(first);
        while rings() != NEVER {
            std::thread::sleep(GRAIN);
        }
    }
}
