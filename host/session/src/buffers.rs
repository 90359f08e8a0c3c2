use bytes::{Buf, BytesMut};

/// The bytes on their way, two per peer. The owner of the sockets fills `*_in` and drains `*_out`.
#[derive(Default)]
pub struct Buffers {
    /// Read from the client, not yet looked at.
    pub client_in: BytesMut,
    /// To be written to the client.
    pub client_out: BytesMut,
    /// Read from the server, not yet looked at.
    pub server_in: BytesMut,
    /// To be written to the server.
    pub server_out: BytesMut,
}

impl Buffers {
    /// Whether nothing is on its way in any direction.
    pub fn is_empty(&self) -> bool {
        self.client_in.is_empty()
            && self.client_out.is_empty()
            && self.server_in.is_empty()
            && self.server_out.is_empty()
    }
}

/// Moves the first `n` bytes of `from` to the end of `to`. When `to` is empty the buffers change places
/// and only the rest is copied, so that bulk data passes through without a copy.
pub(crate) fn move_bytes(from: &mut BytesMut, to: &mut BytesMut, n: usize) {
    if n == 0 {
        return;
    }
    if to.is_empty() && n >= from.len() / 2 {
        std::mem::swap(from, to);
        from.clear();
        from.extend_from_slice(&to[n..]);
        to.truncate(n);
    } else {
        to.extend_from_slice(&from[..n]);
        from.advance(n);
    }
}
