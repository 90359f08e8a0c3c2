//! The life of one client, without IO and without a clock.
//!
//! A [`Session`] is driven by whoever owns the sockets: bytes are put into [`Buffers`], [`Session::advance`]
//! moves them on and says what it needs next, a [`Step`]. What it wants to know about statements it asks a
//! [`Guide`], which answers at once.
//!
//! **Invariant:** at most one ReadyForQuery is outstanding; the next batch is looked at when it has arrived.
//! So every batch is routed knowing whether a transaction is open.

mod again;
mod ask;
mod autocommit;
mod batch;
mod buffers;
mod carried;
mod commit;
mod expect;
mod forward;
mod guide;
mod hold;
mod keep;
pub mod limits;
mod local;
mod loss;
mod moved;
mod own;
mod parameters;
mod pin;
mod prepared;
pub mod proof;
mod release;
mod replay;
mod reply;
mod server;
mod session;
mod settings;
mod statements;
mod tally;

pub use buffers::Buffers;
pub use guide::{Explained, Guide, Told, unknown};
pub use moved::Moved;
pub use parameters::Parameters;
pub use pin::Pin;
pub use prepared::{HashKey, Prepared, StatementId, hash_key, take_hash_key};
pub use proof::Proof;
pub use release::Disposition;
pub use replay::Replayed;
pub use server::ServerState;
pub use session::{Doing, Fault, Session, Step};
pub use settings::{Settings, SettingsError, Value};
pub use tally::Seen;

#[cfg(test)]
mod tests;
