//! The proxy: the only room that touches the world (configuration, listeners, probes, reload, command line).

mod access;
mod admin;
mod certificate;
pub mod cli;
pub mod config;
mod control;
pub mod demo;
mod fetch;
mod figures;
pub mod frontend;
mod house;
pub mod kv;
pub mod logging;
mod metrics;
pub mod monitor;
mod pace;
mod paths;
pub mod peers;
pub mod policies;
pub mod reload;
pub mod run;
mod sockets;
mod systemd;
mod traces;
mod upgrade;
pub mod upstream;
pub mod worker;
