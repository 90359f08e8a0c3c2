//! The chains of one generation on one worker: the one that most sessions obey, and those with canaries in them.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::chain::{Chain, Post, Seat};
use crate::loaded::Loaded;
use crate::place::Place;
use crate::registry::Generation;

/// See above.
pub(crate) struct Lines {
    generation: Arc<Generation>,
    /// The versions in force, in the order of the chain.
    live: Vec<Post>,
    /// The versions on trial that sessions may obey.
    canaries: Vec<Option<Post>>,
    main: Rc<Chain>,
    /// Chains by the set of canaries in them; made when a session wants one.
    others: Vec<(u64, Rc<Chain>)>,
}

impl Lines {
    /// Fetches this worker's instances. Versions that were there before keep theirs, and so their state.
    pub(crate) fn new(generation: Arc<Generation>, worker: usize, before: Option<&Lines>) -> Lines {
        let post = |policy: &Arc<Loaded>| {
            let known = before.and_then(|lines| lines.post(policy));
            known.unwrap_or_else(|| Post {
                policy: Arc::clone(policy),
                slot: Rc::new(RefCell::new(policy.fetch(worker))),
            })
        };
        let live: Vec<Post> = generation.places.iter().map(|place| post(&place.live)).collect();
        let canary = |place: &Place| {
            let trial = place.trial.as_ref().filter(|trial| trial.chosen(0));
            trial.map(|trial| post(&trial.candidate))
        };
        let canaries = generation.places.iter().map(canary).collect();
        let seat = |(place, own): (&Place, &Post)| Seat {
            own: own.clone(),
            stand_in: None,
            // A canary is compared where it is obeyed.
            trial: place.trial.clone().filter(|trial| !trial.chosen(0)),
        };
        let seats = generation.places.iter().zip(&live).map(seat).collect();
        let main = Chain::new(generation.number, seats);
        Lines { generation, live, canaries, main, others: Vec::new() }
    }

    fn post(&self, policy: &Arc<Loaded>) -> Option<Post> {
        let mut all = self.live.iter().chain(self.canaries.iter().flatten());
        all.find(|post| Arc::ptr_eq(&post.policy, policy)).cloned()
    }

    pub(crate) fn number(&self) -> u64 {
        self.generation.number
    }

    /// The chain of a session: the same for as long as the generation lives.
    pub(crate) fn of(&mut self, session: u64) -> Rc<Chain> {
        if !self.generation.canaries {
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
        Chain::new(self.number(), seats.enumerate().map(seat).collect())
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
