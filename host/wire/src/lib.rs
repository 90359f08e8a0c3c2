//! The PostgreSQL wire protocol, versions 3.0 and 3.2, both directions, without IO and without a clock.
//!
//! [`frame::peek`] finds the frames in a run of bytes; the views of [`frontend`] and [`backend`] read and
//! write their bodies. A frame that nobody changes is passed on verbatim by whoever owns the bytes.
//! Source of the formats: PostgreSQL documentation, "Message Formats".

pub mod backend;
mod body;
pub mod frame;
pub mod frontend;
pub mod limits;
pub mod md5;
pub mod scram;
pub mod startup;
mod version;

pub use body::BodyError;
pub use version::Version;

/// Bytes as hexadecimal digits, in lower case.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Compares secrets, in a time that does not tell where the first difference is.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |d, (x, y)| d | (x ^ y)) == 0
}

#[cfg(test)]
mod tests;
