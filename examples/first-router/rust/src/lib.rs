//! Reads go to replicas, everything else to the primary.
//!
//! `cargo build --release --target wasm32-wasip2 --package first-router` makes the component.

use howdah_sdk::{Decision, Kind, Route, Statement, Verdict};

/// Has no state and no settings.
#[derive(Default)]
pub struct FirstRouter;

impl Route for FirstRouter {
    fn route(&mut self, statement: &Statement<'_>) -> Verdict {
        match statement.kind {
            Kind::Read => Decision::replica().by_digest(),
            _ => Decision::Primary.by_digest(),
        }
    }
}

howdah_sdk::export!(FirstRouter: route);

#[cfg(test)]
mod tests {
    use howdah_sdk::{Decision, Facts, Kind, Route, Statement};

    use super::FirstRouter;

    #[test]
    fn only_reads_go_to_replicas() {
        let to_replica = |kind| {
            let statement = Statement { sql: "", kind, digest: 0, facts: Facts::empty(), class: 0 };
            matches!(FirstRouter.route(&statement).decision, Decision::Replica(_))
        };
        assert!(to_replica(Kind::Read));
        assert!(!to_replica(Kind::Write));
    }
}
