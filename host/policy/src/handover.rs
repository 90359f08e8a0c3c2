//! What goes over from one generation to the next on a worker: instances of policies that stay what they are, and what
//! the others want their next version to know.

use std::sync::Arc;
use std::time::Instant;

use crate::chain::Post;
use crate::instance::{Instance, explain};
use crate::lines::Lines;
use crate::loaded::Loaded;
use crate::spec::Limits;
use crate::worker::Worker;

impl Worker {
    /// The instances of a version that everybody obeys from now on who does not obey a canary.
    pub(crate) fn obeys(&self, policy: &Arc<Loaded>, before: &Lines) -> Post {
        let old = before.live(&policy.spec.name);
        if let Some(old) = old.filter(|old| Arc::ptr_eq(&old.policy, policy)) {
            return old.clone();
        }
        let canary = before.post(policy);
        let new = canary.clone().unwrap_or_else(|| self.fetch(policy));
        match old {
            Some(old) if old.policy.goes_on_as(policy) => self.go_on(old, &new),
            Some(old) => self.inherit(old, &new, canary.is_some()),
            None => {}
        }
        new
    }

    /// The instances of a version that some sessions obey from now on.
    pub(crate) fn tries(&self, policy: &Arc<Loaded>, before: &Lines) -> Post {
        if let Some(known) = before.post(policy) {
            return known;
        }
        let new = self.fetch(policy);
        if let Some(old) = before.live(&policy.spec.name) {
            self.inherit(old, &new, false);
        }
        new
    }

    fn fetch(&self, policy: &Arc<Loaded>) -> Post {
        Post::new(Arc::clone(policy), policy.fetch(self.index))
    }

    /// A policy has other settings: the living instance goes on with them.
    fn go_on(&self, old: &Post, new: &Post) {
        // A transaction that keeps the old generation finds the spare there.
        let living = old.slot.borrow_mut().instance.take();
        if let Some(mut living) = living
            && self.configured(&mut living, &new.policy)
        {
            new.slot.borrow_mut().instance = Some(living);
        }
    }

    /// The new version is told what the old one knows. An instance that has been asked something, as a canary, gives
    /// way to one that has not.
    fn inherit(&self, old: &Post, new: &Post, asked: bool) {
        if new.policy.hooks.state.is_none() {
            return;
        }
        let told = |instance| self.state(&old.policy, instance);
        let state = old.slot.borrow_mut().instance.as_mut().and_then(told);
        let Some(state) = state else { return };
        let mut slot = new.slot.borrow_mut();
        if asked {
            self.replace(&new.policy, &mut slot);
        }
        if let Some(instance) = &mut slot.instance
            && !self.restored(&new.policy, instance, &state)
        {
            // Whatever it has made of the state is not to be relied on.
            slot.instance = slot.spare.take();
        }
    }

    /// Whether a living instance accepts its new settings. A new one has done so already.
    fn configured(&self, living: &mut Instance, policy: &Loaded) -> bool {
        match living.configure(policy, &self.caller) {
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
        instance.store.data_mut().last_words.clear();
        let _under_way = self.caller.calls(&mut instance.store, Instant::now(), policy.limit());
        let failure = match instance.snapshot()? {
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
        instance.store.data_mut().last_words.clear();
        let _under_way = self.caller.calls(&mut instance.store, Instant::now(), policy.limit());
        let failure = match instance.restore(state) {
            None | Some(Ok(Ok(()))) => return true,
            Some(Ok(Err(message))) => message,
            Some(Err(error)) => explain(&error, &instance.store.data().last_words),
        };
        let policy = policy.spec.name.as_str();
        tracing::warn!(policy, failure, "a policy begins without the state of its old version");
        false
    }
}
