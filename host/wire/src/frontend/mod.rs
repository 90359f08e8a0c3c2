//! Messages from clients. Each view borrows its body; `read` takes a body without its header, `write`
//! appends a whole frame.

mod bind;
mod copy;
mod execute;
mod named;
mod parse;
mod password;
mod query;
mod signal;

pub use bind::{Bind, Bound};
pub use copy::{CopyData, CopyDone, CopyFail};
pub use execute::{Execute, FunctionCall};
pub use named::{Close, Describe, Target};
pub use parse::Parse;
pub use password::{Password, SaslInitialResponse, SaslResponse};
pub use query::Query;
pub use signal::{Flush, Sync, Terminate};

/// Message types.
#[allow(missing_docs)]
pub mod tag {
    pub const BIND: u8 = b'B';
    pub const CLOSE: u8 = b'C';
    pub const COPY_DATA: u8 = b'd';
    pub const COPY_DONE: u8 = b'c';
    pub const COPY_FAIL: u8 = b'f';
    pub const DESCRIBE: u8 = b'D';
    pub const EXECUTE: u8 = b'E';
    pub const FLUSH: u8 = b'H';
    pub const FUNCTION_CALL: u8 = b'F';
    pub const PARSE: u8 = b'P';
    /// PasswordMessage, SASLInitialResponse, SASLResponse, GSSResponse.
    pub const PASSWORD: u8 = b'p';
    pub const QUERY: u8 = b'Q';
    pub const SYNC: u8 = b'S';
    pub const TERMINATE: u8 = b'X';
}
