//! The only room that knows wasmtime: it loads policies, asks them, and keeps them within their limits.
//!
//! A [`Registry`] holds the current generation of the chain; each worker thread has a [`Worker`] with
//! instances of its own, so that a question takes no lock. Guests are called synchronously, within a time
//! limit that an epoch deadline enforces.
//!
//! **Invariant:** whatever a guest does changes only the answer to its own question.

mod beside;
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
mod loaded;
mod memory;
mod metrics;
mod registry;
mod spec;
mod wasi;
mod worker;

pub use beside::FailedAt;
pub use chain::{Answer, Background, Chain, Interest, Question, Source, Who};
pub use heard::{Heard, Said};
pub use inspect::Description;
pub use kv::{Due, News, Room, Sharing, Values, Written};
pub use metrics::{Histogram, Metric};
pub use registry::{Applied, Options, PolicyStatus, Registry};
pub use spec::{Grants, Limits, OnFailure, PolicyError, PolicySpec, Scope, SettingValue};
pub use worker::{Scan, Worker};
