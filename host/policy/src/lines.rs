//! The chains of one generation on one worker: the one that most sessions obey, and those with canaries in them.

use std::rc::Rc;
use std::sync::Arc;

use crate::chain::{Chain, Post, Seat};
use crate::loaded::Loaded;
use crate::place::Place;
use crate::registry::Generation;
use crate::worker::Worker;

/// See above.
pub(crate) struct Lines {
    generation: Arc<Generation>,
    /// The generation's number, and whether it has canaries: cheaper to ask.
    number: u64,
    mixed: bool,
    /// The versions in force, in the order of the chain.
    live: Vec<Post>,
    /// The versions on trial that sessions may obey.
    canaries: Vec<Option<Post>>,
    main: Rc<Chain>,
    /// Chains by the set of canaries in them; made when a session wants one.
    others: Vec<(u64, Rc<Chain>)>,
}

impl Lines {
    /// Before the first generation.
    pub(crate) fn none() -> Lines {
        let generation = Arc::<Generation>::default();
        let main = Chain::new(Arc::clone(&generation), Vec::new());
        Lines::of_generation(generation, Vec::new(), Vec::new(), main)
    }

    /// What follows `before` on a worker. Versions that were there keep their instances.
    pub(crate) fn new(worker: &Worker, generation: Arc<Generation>, before: &Lines) -> Lines {
        let places = &generation.places;
        let live: Vec<Post> =
            places.iter().map(|place| worker.obeys(&place.live, before)).collect();
        let canary = |place: &Place| place.canary().map(|canary| worker.tries(canary, before));
        let canaries = places.iter().map(canary).collect();
        let seat = |(place, own): (&Place, &Post)| Seat {
            own: own.clone(),
            stand_in: None,
            // A canary is compared where it is obeyed.
            trial: place.trial.clone().filter(|trial| !trial.chosen(0)),
        };
        let seats = places.iter().zip(&live).map(seat).collect();
        let main = Chain::new(Arc::clone(&generation), seats);
        Lines::of_generation(generation, live, canaries, main)
    }

    fn of_generation(
        generation: Arc<Generation>,
        live: Vec<Post>,
        canaries: Vec<Option<Post>>,
        main: Rc<Chain>,
    ) -> Lines {
        let (number, mixed) = (generation.number, generation.canaries);
        Lines { generation, number, mixed, live, canaries, main, others: Vec::new() }
    }

    /// This version's instances, if it is obeyed.
    pub(crate) fn post(&self, policy: &Arc<Loaded>) -> Option<Post> {
        let mut all = self.live.iter().chain(self.canaries.iter().flatten());
        all.find(|post| Arc::ptr_eq(&post.policy, policy)).cloned()
    }

    /// Those of the version in force of a policy.
    pub(crate) fn live(&self, name: &str) -> Option<&Post> {
        self.live.iter().find(|post| post.policy.spec.name == name)
    }

    /// The versions that are obeyed of all policies, with the policies' numbers in the chain.
    pub(crate) fn posts(&self) -> Vec<(usize, Post)> {
        let all = self.live.iter().zip(&self.canaries).enumerate();
        let both = all.flat_map(|(i, (live, canary))| {
            [Some(live), canary.as_ref()].into_iter().flatten().map(move |post| (i, post.clone()))
        });
        both.collect()
    }

    pub(crate) fn generation(&self) -> &Arc<Generation> {
        &self.generation
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The chain of a session: the same for as long as the generation lives.
    pub(crate) fn of(&mut self, session: u64) -> Rc<Chain> {
        if !self.mixed {
            return Rc::clone(&self.main);
        }
        let lot = lot(session);
        let chosen = |place: &Place| place.trial.as_ref().is_some_and(|trial| trial.chosen(lot));
        let places = self.generation.places.iter().enumerate();
        let set = places.fold(0, |set, (i, place)| set | u64::from(chosen(place)) << i);
        if set == 0 {
            return Rc::clone(&self.main);
        }
        if let Some((_, chain)) = self.others.iter().find(|(of, _)| *of == set) {
            return Rc::clone(chain);
        }
        let chain = self.with_canaries(set);
        self.others.push((set, Rc::clone(&chain)));
        chain
    }

    fn with_canaries(&self, set: u64) -> Rc<Chain> {
        let seats = self.main.seats.iter().zip(&self.canaries).zip(&self.generation.places);
        let seat = |(i, ((main, canary), place)): (usize, ((&Seat, &Option<Post>), &Place))| {
            match canary {
                Some(canary) if set & (1 << i) != 0 => Seat {
                    own: canary.clone(),
                    stand_in: Some(main.own.clone()),
                    trial: place.trial.clone(),
                },
                _ => Seat { own: main.own.clone(), stand_in: None, trial: main.trial.clone() },
            }
        };
        Chain::new(Arc::clone(&self.generation), seats.enumerate().map(seat).collect())
    }
}

/// A session's place among a hundred: the finaliser of SplitMix64, because session numbers follow each other.
fn lot(session: u64) -> u32 {
    let mut z = session.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) % 100) as u32
}

#[cfg(test)]
mod tests {
    use super::lot;

    #[test]
    fn lots_are_spread_evenly() {
        for share in [1, 10, 50, 99] {
            let chosen = (0..100_000).filter(|session| lot(*session) < share).count();
            let expected = share as usize * 1_000;
            assert!(chosen.abs_diff(expected) < 600, "{chosen} for {share} %");
        }
    }
}
