//! Sessions at the moment, and what is known of statements.

use std::collections::BTreeMap;

use super::catalogue as metrics;
use super::family::Family;
use crate::figures::Words;
use crate::worker::{Census, SessionState, Shared};

pub(super) fn families(shared: &Shared, census: &[Census]) -> Vec<Family> {
    let in_state =
        |state: &SessionState| -> u64 { census.iter().map(|one| one.states[state.index()]).sum() };
    let seated: u64 = SessionState::ALL.iter().map(in_state).sum();
    let mut states = Family::of(&metrics::SESSIONS);
    for state in SessionState::ALL {
        // Who has not said yet who it is has no seat.
        let more = match state {
            SessionState::Login => (shared.clients() as u64).saturating_sub(seated),
            _ => 0,
        };
        states.add(&[state.word()], in_state(state) + more);
    }
    let mut pins = BTreeMap::<&str, u64>::new();
    for (reason, count) in census.iter().flat_map(|one| &one.pins) {
        *pins.entry(reason).or_default() += count;
    }
    let mut pinned = Family::of(&metrics::PINNED);
    pins.iter().for_each(|(reason, count)| pinned.add(&[reason], *count));
    let kept: u64 = census.iter().map(|one| one.statements).sum();
    let forgotten: u64 = census.iter().map(|one| one.forgotten).sum();
    vec![
        states,
        pinned,
        Family::alone(&metrics::STATEMENTS, kept),
        Family::alone(&metrics::STATEMENTS_FORGOTTEN, forgotten),
    ]
}
