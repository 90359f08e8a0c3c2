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
//! [`settings`], [`metrics`] and [`question`] talk to a stand-in of the current thread, see [`testing`].
//!
//! Each worker thread of the proxy has its own instance, and asks it one question at a time.

#[doc(hidden)]
pub mod bindings;
mod export;
mod hooks;
mod host;
pub mod testing;
mod types;

pub use hooks::{Configure, Rewrite, Route, Session, Topology};
pub use host::{log, metrics, question, settings};
pub use types::{
    Admission, Client, Decision, Demands, Facts, Kind, Node, Otherwise, Outcome, PoolMode, Refusal,
    Remember, Rewritten, Role, SessionDecision, Settings, Statement, Table, Value, Verdict,
};
