//! Frames: a tag, a length that counts itself, a body.

use bytes::{BufMut, BytesMut};

/// Tag and length.
pub const HEADER_LEN: usize = 5;

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The message type.
    pub tag: u8,
    /// Length of the whole frame in bytes, header included.
    pub len: usize,
}

/// A length that no message can have. The sender's fault; nothing after it can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid message length")]
pub struct FrameError;

/// The head of the first frame in `buf`; none when fewer than [`HEADER_LEN`] bytes are there.
///
/// # Errors
/// A length below 4, or a frame longer than `max_len`.
#[inline]
pub fn peek(buf: &[u8], max_len: usize) -> Result<Option<Head>, FrameError> {
    let Some(&[tag, a, b, c, d]) = buf.first_chunk::<HEADER_LEN>() else { return Ok(None) };
    let len = u32::from_be_bytes([a, b, c, d]) as usize + 1;
    if len < HEADER_LEN || len > max_len {
        return Err(FrameError);
    }
    Ok(Some(Head { tag, len }))
}

/// Appends a frame whose body `write` appends. A body beyond `u32` cannot be made from buffers that fit
/// into memory here: the largest come from frames already bounded.
pub fn write(out: &mut BytesMut, tag: u8, write: impl FnOnce(&mut BytesMut)) {
    out.put_u8(tag);
    write_untagged(out, write);
}

/// The same without a tag, as at start-up.
pub(crate) fn write_untagged(out: &mut BytesMut, write: impl FnOnce(&mut BytesMut)) {
    let at = out.len();
    out.put_u32(0);
    write(out);
    let len = u32::try_from(out.len() - at).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(at..at + 4) {
        place.copy_from_slice(&len.to_be_bytes());
    }
}

/// Appends a string and its terminating zero. A string that holds a zero ends there: what follows it would be
/// taken for the next field.
pub(crate) fn put_string(out: &mut BytesMut, string: &[u8]) {
    let end = memchr::memchr(0, string).unwrap_or(string.len());
    out.put_slice(string.get(..end).unwrap_or(string));
    out.put_u8(0);
}
