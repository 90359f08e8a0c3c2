//! What policies are told and asked beside the questions about statements: that time has passed, what has become of
//! statements, and what shall become of those that failed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use howdah_decision::{Failure, Observation, Retry, Role};

use crate::chain::{Chain, Interest, Question};
use crate::convert;
use crate::heard::{Said, Subject};
use crate::instance::Instance;
use crate::loaded::Loaded;
use crate::registry::Generation;
use crate::spec::OnFailure;
use crate::worker::{Failed, Worker};

/// Most observations of one call: some microseconds of work for the guest.
pub(crate) const BATCH: usize = 256;
/// Most observations that wait for the policies of a worker: a second of it at eight thousand statements.
const MAX_OBSERVED: usize = 8_192;
/// Shortest time between two ticks.
const MIN_TICK: Duration = Duration::from_millis(10);
/// A policy whose tick has failed is not told again before.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Observations that wait.
pub(crate) type Observed = VecDeque<Seen>;

/// An observation, with the policies that shall see it: those of its generation, whatever version they have by then.
pub(crate) struct Seen {
    generation: Arc<Generation>,
    interest: Interest,
    observation: Observation,
}

impl Seen {
    fn is_for(&self, current: &Arc<Generation>, i: usize) -> bool {
        let at = match (Arc::ptr_eq(&self.generation, current), current.places.get(i)) {
            (true, _) => Some(i),
            (false, Some(place)) => {
                let mut before = self.generation.places.iter();
                before.position(|before| before.name() == place.name())
            }
            (false, None) => None,
        };
        at.is_some_and(|at| self.interest.has(at))
    }
}

/// Where a statement has failed, and how long after it was first sent.
#[derive(Clone, Copy, Debug)]
pub struct FailedAt<'a> {
    /// The node's name.
    pub node: &'a str,
    /// Its role.
    pub role: Role,
    /// Since the statement was first sent.
    pub elapsed: Duration,
}

impl Worker {
    /// Notes what became of a statement. True: a whole batch waits, so that [`Worker::report`] should be called soon.
    pub fn observe(&self, chain: &Chain, interest: Interest, seen: Observation) -> bool {
        let interest = Interest(chain.observers.0 & interest.0);
        let mut observed = self.observed.borrow_mut();
        if observed.len() >= MAX_OBSERVED {
            let places = chain.generation.places.iter().enumerate();
            let told = places.filter(|(i, _)| interest.has(*i)).flat_map(|(_, p)| p.obeyed());
            for policy in told.filter(|policy| policy.hooks.observe.is_some()) {
                policy.counters.unobserved.fetch_add(1, Ordering::Relaxed);
            }
            return true;
        }
        let generation = Arc::clone(&chain.generation);
        observed.push_back(Seen { generation, interest, observation: seen });
        observed.len() >= BATCH
    }

    /// How many batches of observations wait.
    pub fn batches(&self) -> usize {
        self.observed.borrow().len().div_ceil(BATCH)
    }

    /// Tells one batch of observations to all versions that are obeyed, whichever the sessions obey that they are
    /// about. Not to be called while a statement is being handled.
    pub fn report(&self) {
        let (generation, posts) = self.posts();
        let batch: Vec<Seen> = {
            let mut observed = self.observed.borrow_mut();
            let many = observed.len().min(BATCH);
            observed.drain(..many).collect()
        };
        for (i, post) in posts {
            if post.policy.hooks.observe.is_none() || post.policy.is_quarantined() {
                continue;
            }
            let wanted = batch.iter().filter(|seen| seen.is_for(&generation, i));
            let seen: Vec<_> = wanted.map(|seen| convert::observation(&seen.observation)).collect();
            if seen.is_empty() {
                continue;
            }
            // Nobody waits for an answer; a failure has been counted.
            let _ = self.call(&post, None, |_, instance| match &instance.guest.observe {
                Some(observe) => observe.call_statements(&mut instance.store, &seen),
                None => Ok(()),
            });
        }
    }

    /// Tells those policies that time has passed that wanted to be told by now. When the next one does.
    pub fn tick(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut posts = self.posts().1;
        posts.retain(|(_, post)| post.policy.hooks.tick.is_some());
        for (_, post) in &posts {
            // An instance that was never asked anything is not there yet.
            let due = post.slot.borrow().instance.as_ref().map_or(Some(now), |one| one.due);
            if post.policy.is_quarantined() || due.is_none_or(|due| due > now) {
                continue;
            }
            let next = match self.call(post, None, |_, instance| instance.tick()) {
                Ok((0, _)) => None,
                Ok((ms, _)) => Some(now + Duration::from_millis(ms.into()).max(MIN_TICK)),
                Err(Failed) => Some(now + AFTER_FAILURE),
            };
            if let Some(instance) = &mut post.slot.borrow_mut().instance {
                instance.due = next;
            }
        }
        let told = posts.iter().filter(|(_, post)| !post.policy.is_quarantined());
        told.filter_map(|(_, post)| post.slot.borrow().instance.as_ref()?.due).min()
    }

    /// Asks what becomes of a statement that has failed. Nothing of it is remembered, and a version on trial that is
    /// not obeyed is not asked: what it would have done cannot be compared.
    pub fn retry(
        &self,
        chain: &Chain,
        q: &Question<'_>,
        failure: &Failure,
        at: &FailedAt<'_>,
    ) -> Retry {
        for seat in chain.seats(q.interest, chain.retriers) {
            let policy = &seat.own.policy;
            let ask = |_: &Loaded, instance: &mut Instance| {
                let Some(retry) = &instance.guest.retry else { return Ok(Ok(Retry::NoOpinion)) };
                let (kind, facts) = (convert::kind(q.statement.kind), convert::facts(q.facts()));
                let (store, digest) = (&mut instance.store, q.statement.digest);
                let told = convert::failure(failure, at);
                let answer =
                    retry.call_failed(store, &told, q.sql, kind, digest, facts, q.class)?;
                Ok(convert::retry(answer, failure))
            };
            let subject = Subject::Retry(q, failure, at);
            match self.asked(seat, subject, ask, |retry, _| Said::Retry(*retry), |_, _| ()) {
                Ok((Retry::NoOpinion, _)) => {}
                Ok((decision, _)) => return decision,
                Err(Failed) => match policy.spec.on_failure {
                    OnFailure::Fallback => {}
                    OnFailure::Open => return Retry::NoOpinion,
                    OnFailure::Closed => return Retry::GiveUp,
                },
            }
        }
        Retry::NoOpinion
    }
}
