//! Telling policies at once what they are otherwise told in its time: for tools, which have no proxy around them.

use std::time::Instant;

use howdah_decision::Observation;

use crate::beside::BATCH;
use crate::convert;
use crate::instance::Instance;
use crate::loaded::Loaded;
use crate::worker::{Failed, Worker};

/// What policies are told, and have no verdict on.
#[derive(Clone, Copy, Debug)]
pub enum Told<'a> {
    /// `observe`: what became of these statements; of the first of them, if they are more than a batch.
    Observe(&'a [Observation]),
    /// `tick`: time has passed.
    Tick,
    /// `topology`: the present nodes, as if they had just changed.
    Topology,
    /// `state`: it is asked for its state, and told that again.
    State,
}

impl Told<'_> {
    /// The hook.
    pub fn hook(&self) -> &'static str {
        match self {
            Told::Observe(_) => "observe",
            Told::Tick => "tick",
            Told::Topology => "topology",
            Told::State => "state",
        }
    }

    fn tell(
        &self,
        worker: &Worker,
        policy: &Loaded,
        instance: &mut Instance,
    ) -> wasmtime::Result<()> {
        match self {
            Told::Observe(seen) => {
                let Some(observe) = &instance.guest.observe else { return Ok(()) };
                let batch: Vec<_> = seen.iter().take(BATCH).map(convert::observation).collect();
                observe.call_statements(&mut instance.store, &batch)
            }
            Told::Tick => instance.tick().map(drop),
            Told::Topology => {
                let topology = worker.registry.world.topology.load();
                instance.tell_topology(topology.epoch, &topology.nodes)
            }
            Told::State => {
                let Some(state) = instance.snapshot().transpose()? else { return Ok(()) };
                worker.caller.goes_on(&mut instance.store, Instant::now(), policy.limit());
                match instance.restore(&state).transpose()? {
                    None | Some(Ok(())) => Ok(()),
                    Some(Err(error)) => {
                        Err(wasmtime::Error::msg(format!("it refuses its own state: {error}")))
                    }
                }
            }
        }
    }
}

impl Worker {
    /// Tells every policy that has the hook.
    ///
    /// # Errors
    /// How the first that failed did.
    pub fn tell_now(&self, told: &Told<'_>) -> Result<(), String> {
        for (_, post) in self.posts().1 {
            let tell = |policy: &Loaded, instance: &mut Instance| told.tell(self, policy, instance);
            let told = self.call(&post, None, tell);
            told.map_err(|Failed| post.policy.why_failed())?;
        }
        Ok(())
    }
}
