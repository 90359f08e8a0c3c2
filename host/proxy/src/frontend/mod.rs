//! The opening of a client connection: encryption requests, negotiation, authentication.

mod auth;
mod opening;

pub use auth::{Authenticator, Method};
pub use opening::{ClientHello, Opened, open};
