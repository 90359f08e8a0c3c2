#![allow(clippy::unwrap_used)]

mod errors;
mod framing;
mod hostile;
mod openings;
mod passwords;
mod round_trip;

use bytes::BytesMut;

use crate::frame::{HEADER_LEN, peek};
use crate::limits::MAX_FRAME_LEN;

/// Tag and body of the one frame that `write` appends.
fn written(write: impl FnOnce(&mut BytesMut)) -> (u8, Vec<u8>) {
    let mut out = BytesMut::new();
    write(&mut out);
    let head = peek(&out, MAX_FRAME_LEN).unwrap().unwrap();
    assert_eq!(head.len, out.len(), "one frame and nothing else");
    (head.tag, out[HEADER_LEN..].to_vec())
}
