//! Write howdah policies in Rust.
//!
//! A policy is a type with a [`Default`], one trait per hook, and a line that exports them:
//!
//! ```
//! use howdah_sdk::{Decision, Kind, Route, Statement, Verdict};
//!
//! #[derive(Default)]
//! struct ReadsToReplicas;
//!
//! impl Route for ReadsToReplicas {
//!     fn route(&mut self, statement: &Statement<'_>) -> Verdict {
//!         match statement.kind {
//!             Kind::Read => Decision::replica().by_digest(),
//!             _ => Decision::Primary.by_digest(),
//!         }
//!     }
//! }
//!
//! howdah_sdk::export!(ReadsToReplicas: route);
//! ```
//!
//! The crate type is `cdylib`; `cargo build --release --target wasm32-wasip2` makes the component. The policy is
//! an ordinary struct, so its tests are ordinary tests: outside of WebAssembly the functions of [`log`],
//! [`settings`], [`question`], [`metrics`], [`kv`], [`clock`], [`random`], [`nodes`] and [`catalog`] talk to a stand-in of the current thread, see [`testing`].
//!
//! Each worker thread of the proxy has its own instance, and asks it one question at a time.

#[doc(hidden)]
pub mod bindings;
mod export;
mod hooks;
mod host;
#[doc(hidden)]
#[cfg(any(target_arch = "wasm32", test))]
pub mod room;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
mod types;

pub use hooks::{Configure, Observe, Retry, Rewrite, Route, Session, State, Tick, Topology};
pub use host::{catalog, clock, kv, log, metrics, nodes, question, random, settings};
pub use types::{
    Admission, Again, Client, Decision, Demands, Facts, Failure, Kind, Node, Observation,
    Otherwise, Outcome, PoolMode, Proven, Refusal, Remember, RetryDecision, Rewritten, Role,
    Safety, SessionDecision, Settings, Source, Statement, Table, Target, Value, Verdict,
};
