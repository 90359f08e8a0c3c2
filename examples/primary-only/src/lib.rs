//! An example policy: everything goes to the primary.
//!
//! `cargo build --release --target wasm32-wasip2 --package primary-only` makes the component.

use howdah_sdk::{Decision, Route, Statement, Verdict};

/// Has no state and no settings.
#[derive(Default)]
pub struct PrimaryOnly;

impl Route for PrimaryOnly {
    fn route(&mut self, _statement: &Statement<'_>) -> Verdict {
        Decision::Primary.by_digest()
    }
}

howdah_sdk::export!(PrimaryOnly: route);
