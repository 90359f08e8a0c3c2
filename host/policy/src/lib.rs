//! The only room that knows wasmtime: it loads policies, asks them, and keeps them within their limits.
//!
//! A [`Registry`] holds the current generation of the chain; each worker thread has a [`Worker`] with
//! instances of its own, so that a question takes no lock. Guests are called synchronously, within a time
//! limit that an epoch deadline enforces.
//!
//! **Invariant:** whatever a guest does changes only the answer to its own question.

mod artefacts;
mod beside;
mod binary;
mod bindings;
mod chain;
mod convert;
mod engine;
mod handover;
mod heard;
mod host;
mod inspect;
mod instance;
mod kv;
mod lines;
mod loaded;
mod memory;
mod metrics;
mod place;
mod priority;
mod registry;
mod shortcut;
mod spec;
mod status;
mod supplied;
mod told;
mod trial;
mod wasi;
mod worker;

pub use beside::FailedAt;
pub use binary::{Binary, sha256};
pub use chain::{Answer, Background, Chain, Interest, Question, Source, Who};
pub use heard::{Call, Heard, Listener, Said, Subject};
pub use host::{PARAMETER, wall_ms};
pub use inspect::Description;
pub use kv::{Due, News, Room, Sharing, SpaceStatus, Values, Written};
pub use loaded::Fault;
pub use memory::Known;
pub use metrics::{Histogram, Metric};
pub use priority::aside;
pub use registry::{Applied, Options, Registry};
pub use spec::{
    Canary, Grants, Limits, OnFailure, PolicyError, PolicySpec, Rollout, Scope, SettingValue,
};
pub use status::{PolicyStatus, TrialStatus};
pub use supplied::{Given, Script, Supplied};
pub use told::Told;
pub use trial::Disagreement;
pub use worker::{Scan, Worker};
