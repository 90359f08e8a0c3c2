//! What goes over from one generation to the next on a worker: instances of policies that stay what they are, and what
//! the others want their next version to know.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::chain::{Chain, Slot};
use crate::instance::{Instance, explain};
use crate::loaded::Loaded;
use crate::registry::{Generation, goes_on};
use crate::spec::Limits;
use crate::worker::Worker;

impl Worker {
    /// The slots of a generation that follows `old`. `fresh` holds new instances for the policies that have changed.
    pub(crate) fn hand_over(
        &self,
        old: Option<&Chain>,
        next: &Generation,
        fresh: Vec<Slot>,
    ) -> Vec<Rc<RefCell<Slot>>> {
        let slot = |(policy, fresh): (&Arc<Loaded>, Slot)| {
            let before = old.and_then(|old| {
                let mut pairs = old.generation.policies.iter().zip(&old.slots);
                pairs.find(|(before, _)| before.spec.name == policy.spec.name)
            });
            match before {
                Some((before, slot)) if Arc::ptr_eq(before, policy) => Rc::clone(slot),
                Some((before, slot)) => {
                    Rc::new(RefCell::new(self.succeed(before, slot, policy, fresh)))
                }
                None => Rc::new(RefCell::new(fresh)),
            }
        };
        next.policies.iter().zip(fresh).map(slot).collect()
    }

    /// A policy has another version, or other settings.
    fn succeed(
        &self,
        before: &Loaded,
        old: &RefCell<Slot>,
        policy: &Loaded,
        mut fresh: Slot,
    ) -> Slot {
        if goes_on(before, &policy.spec) {
            // A transaction that keeps the old generation finds the spare there.
            let living = old.borrow_mut().instance.take();
            if let Some(mut living) = living
                && self.configured(&mut living, policy)
            {
                fresh.instance = Some(living);
            }
            return fresh;
        }
        let state = old.borrow_mut().instance.as_mut().and_then(|old| self.state(before, old));
        if let (Some(state), Some(new)) = (state, &mut fresh.instance)
            && !self.restored(policy, new, &state)
        {
            // Whatever it has made of the state is not to be relied on.
            fresh.instance = fresh.spare.take();
        }
        fresh
    }

    /// Whether a living instance accepts its new settings. A new one has done so already.
    fn configured(&self, living: &mut Instance, policy: &Loaded) -> bool {
        match living.configure(policy, &self.registry.ticker) {
            Ok(()) => true,
            Err(failure) => {
                let policy = policy.spec.name.as_str();
                tracing::warn!(policy, failure, "a living instance was replaced by a new one");
                false
            }
        }
    }

    /// What the old version has to say.
    fn state(&self, policy: &Loaded, instance: &mut Instance) -> Option<Vec<u8>> {
        self.registry.ticker.called();
        instance.store.data_mut().last_words.clear();
        let failure = match instance.snapshot(policy.ticks())? {
            Ok(state) if state.len() <= Limits::STATE => return Some(state),
            Ok(state) => format!("it has {} bytes, the limit is {}", state.len(), Limits::STATE),
            Err(error) => explain(&error, &instance.store.data().last_words),
        };
        let policy = policy.spec.name.as_str();
        tracing::warn!(policy, failure, "the state of a policy is lost");
        None
    }

    /// Whether the new version knows it now.
    fn restored(&self, policy: &Loaded, instance: &mut Instance, state: &[u8]) -> bool {
        self.registry.ticker.called();
        instance.store.data_mut().last_words.clear();
        let failure = match instance.restore(state, policy.ticks()) {
            None | Some(Ok(Ok(()))) => return true,
            Some(Ok(Err(message))) => message,
            Some(Err(error)) => explain(&error, &instance.store.data().last_words),
        };
        let policy = policy.spec.name.as_str();
        tracing::warn!(policy, failure, "a policy begins without the state of its old version");
        false
    }
}
