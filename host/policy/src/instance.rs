//! One living instance of a policy.

use std::sync::Arc;
use std::time::Instant;

use howdah_decision::Node;
use wasmtime::{Store, StoreLimitsBuilder};

use crate::bindings::exports::howdah::policy as exports;
use crate::convert;
use crate::engine::{self, Caller, MAX_TIME};
use crate::host::{State, to_guest};
use crate::loaded::{Fault, Loaded};
use crate::spec::Limits;

/// The hooks of an instance.
pub(crate) struct Guest {
    pub(crate) session: Option<exports::session::Guest>,
    pub(crate) route: Option<exports::route::Guest>,
    pub(crate) rewrite: Option<exports::rewrite::Guest>,
    topology: Option<exports::topology::Guest>,
    configure: Option<exports::configure::Guest>,
    pub(crate) retry: Option<exports::retry::Guest>,
    pub(crate) observe: Option<exports::observe::Guest>,
    tick: Option<exports::tick::Guest>,
    state: Option<exports::state::Guest>,
}

/// An instance with its store.
pub(crate) struct Instance {
    pub(crate) store: Store<State>,
    pub(crate) guest: Guest,
    /// The topology that it was told last.
    topology: u64,
    /// When it wants to be told that time has passed.
    pub(crate) due: Option<Instant>,
}

impl Instance {
    /// Instantiates and configures. The error is for people.
    pub(crate) fn start(loaded: &Loaded, caller: &Caller) -> Result<Instance, String> {
        let limits = StoreLimitsBuilder::new()
            .memory_size(loaded.spec.limits.memory)
            .table_elements(loaded.spec.limits.table_elements)
            // One more is in between (`shortcut`).
            .instances(Limits::INSTANCES + 1)
            .memories(Limits::INSTANCES)
            .tables(Limits::INSTANCES)
            .build();
        let state = State::new(loaded, limits);
        let mut store = engine::store(&loaded.engine, state);
        store.limiter(|state| &mut state.limits);
        let under_way = caller.calls(&mut store, Instant::now(), MAX_TIME);
        let failed = |what: &str, store: &Store<State>, error: wasmtime::Error| {
            format!("{what}: {}", explain(&error, &store.data().last_words))
        };
        let instance = match loaded.pre.instantiate(&mut store) {
            Ok(instance) => instance,
            Err(error) => return Err(failed("it cannot be instantiated", &store, error)),
        };
        drop(under_way);
        macro_rules! load {
            ($hook:ident) => {
                loaded
                    .hooks
                    .$hook
                    .as_ref()
                    .map(|indices| indices.load(&mut store, &instance))
                    .transpose()
                    .map_err(|error| {
                        failed(concat!("its hook ", stringify!($hook)), &store, error)
                    })?
            };
        }
        let guest = Guest {
            session: load!(session),
            route: load!(route),
            rewrite: load!(rewrite),
            topology: load!(topology),
            configure: load!(configure),
            retry: load!(retry),
            observe: load!(observe),
            tick: load!(tick),
            state: load!(state),
        };
        let due = guest.tick.as_ref().map(|_| Instant::now());
        let mut instance = Instance { store, guest, topology: 0, due };
        instance.configure(loaded, caller)?;
        Ok(instance)
    }

    /// Gives it its settings: the first ones, or others.
    pub(crate) fn configure(&mut self, loaded: &Loaded, caller: &Caller) -> Result<(), String> {
        self.store.data_mut().now_has(&loaded.spec);
        let Some(configure) = &self.guest.configure else { return Ok(()) };
        let settings: Vec<_> =
            loaded.spec.settings.iter().map(|(n, v)| (n.clone(), to_guest(v))).collect();
        let store = &mut self.store;
        store.data_mut().last_words.clear();
        let _under_way = caller.calls(store, Instant::now(), MAX_TIME);
        match configure.call_configure(&mut *store, &settings) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(message)) => Err(format!("it does not accept its settings: {message}")),
            Err(error) => {
                Err(format!("configure failed: {}", explain(&error, &store.data().last_words)))
            }
        }
    }

    /// What it wants the next version to know.
    pub(crate) fn snapshot(&mut self) -> Option<wasmtime::Result<Vec<u8>>> {
        let state = self.guest.state.as_ref()?;
        Some(state.call_snapshot(&mut self.store))
    }

    /// What the previous version wanted it to know.
    pub(crate) fn restore(&mut self, state: &[u8]) -> Option<wasmtime::Result<Result<(), String>>> {
        let hook = self.guest.state.as_ref()?;
        Some(hook.call_restore(&mut self.store, state))
    }

    /// Tells that time has passed. When it wants to be told again, in milliseconds.
    pub(crate) fn tick(&mut self) -> wasmtime::Result<u32> {
        match &self.guest.tick {
            Some(tick) => tick.call_tick(&mut self.store),
            None => Ok(0),
        }
    }

    /// Whether it has been told of these nodes.
    pub(crate) fn knows_topology(&self, epoch: u64) -> bool {
        self.topology == epoch
    }

    /// Tells the guest about the nodes.
    pub(crate) fn tell_topology(
        &mut self,
        epoch: u64,
        nodes: &Arc<[Node]>,
    ) -> wasmtime::Result<()> {
        self.topology = epoch;
        let Some(topology) = &self.guest.topology else { return Ok(()) };
        let nodes: Vec<_> = nodes.iter().map(convert::node).collect();
        topology.call_changed(&mut self.store, epoch, &nodes)
    }
}

/// Whether a call took too long, or trapped.
pub(crate) fn fault(error: &wasmtime::Error) -> Fault {
    match error.downcast_ref() {
        Some(wasmtime::Trap::Interrupt) => Fault::TimeLimit,
        _ => Fault::Trap,
    }
}

/// A guest's failure in one line. `last_words` is what it wrote during the call: a panic's message, mostly.
pub(crate) fn explain(error: &wasmtime::Error, last_words: &str) -> String {
    match error.downcast_ref::<wasmtime::Trap>() {
        Some(wasmtime::Trap::Interrupt) => "it exceeded its time limit".into(),
        Some(wasmtime::Trap::StackOverflow) => "it exhausted its stack".into(),
        _ if !last_words.trim().is_empty() => {
            let words: Vec<_> = last_words.split_whitespace().collect();
            format!("it panicked: {}", words.join(" "))
        }
        Some(trap) => format!("it trapped: {trap}"),
        None => error.root_cause().to_string(),
    }
}
