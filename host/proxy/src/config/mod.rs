//! The configuration: as written, then as meant.

mod meant;

pub use meant::{AuthMethod, Cluster, Config, Limits, Log, LogFormat, Monitor, PoolSettings, User};
