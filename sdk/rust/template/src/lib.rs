//! Sends reads to replicas, and everything else to the primary.

use howdah_sdk::{Decision, Facts, Kind, Route, Statement, Verdict};

/// The policy. State of its own goes here: there is one instance for each worker thread.
#[derive(Default)]
pub struct Router;

impl Route for Router {
    fn route(&mut self, statement: &Statement<'_>) -> Verdict {
        // What may write, or locks rows, is not for a replica, even if it is called SELECT.
        let stays = Facts::VOLATILE | Facts::LOCKS_ROWS | Facts::STICKY | Facts::HINT_PRIMARY;
        if statement.kind == Kind::Read && !statement.facts.intersects(stays) {
            // Nothing but kind and facts was looked at: the answer holds for all statements like this one.
            return Decision::replica().by_digest();
        }
        Decision::Primary.by_digest()
    }
}

howdah_sdk::export!(Router: route);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_go_to_replicas() {
        let facts = Facts::empty();
        let statement = Statement { sql: "", kind: Kind::Read, digest: 0, facts, class: 0 };
        assert!(matches!(Router.route(&statement).decision, Decision::Replica(_)));
    }
}
