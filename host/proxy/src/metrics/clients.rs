//! Clients that come and go.

use super::catalogue as metrics;
use super::family::Family;
use crate::figures::Words;
use crate::worker::Shared;

pub(super) fn families(shared: &Shared) -> Vec<Family> {
    let mut logins = Family::of(&metrics::LOGINS);
    by_word(&mut logins, |method| shared.sum(|counted| counted.logins.get(method)));
    let mut failures = Family::of(&metrics::LOGIN_FAILURES);
    by_word(&mut failures, |why| shared.sum(|counted| counted.failures.get(why)));
    let mut handshakes = Family::of(&metrics::TLS_HANDSHAKES);
    by_word(&mut handshakes, |version| shared.sum(|counted| counted.handshakes.get(version)));
    let mut ends = Family::of(&metrics::CLIENTS_CLOSED);
    by_word(&mut ends, |end| shared.sum(|counted| counted.ends.get(end)));
    vec![
        Family::alone(&metrics::CLIENTS, shared.clients() as u64),
        Family::alone(&metrics::CONNECTIONS, shared.sum(|counted| counted.connections.get())),
        logins,
        failures,
        handshakes,
        ends,
        Family::alone(&metrics::CANCELS, shared.sum(|counted| counted.cancels.get())),
    ]
}

/// A figure for each word, also where it is 0: what is not there yet cannot be seen to grow.
fn by_word<W: Words>(family: &mut Family, figure: impl Fn(W) -> u64) {
    W::ALL.iter().for_each(|word| family.add(&[word.word()], figure(*word)));
}
