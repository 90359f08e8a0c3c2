use std::cell::RefCell;

use bytes::BytesMut;
use howdah_session::Buffers;

/// Size of one buffer: large enough that rows travel in few system calls, small enough for the first-level
/// caches.
pub(crate) const BUFFER: usize = 16 << 10;

/// Buffers kept for reuse by one worker: as many as are in use at once when some hundred clients are active.
const MAX_KEPT: usize = 512;

/// A worker's spare buffers. Clients borrow them while they have bytes on their way; an idle client holds none.
#[derive(Default)]
pub(crate) struct Spare {
    buffers: RefCell<Vec<BytesMut>>,
}

impl Spare {
    /// Makes room for reading at the end of a buffer, which may not have been allocated yet.
    pub(crate) fn make_room(&self, buffer: &mut BytesMut) {
        if buffer.capacity() == 0 {
            *buffer = self.take();
        } else if buffer.capacity() - buffer.len() < BUFFER / 4 {
            buffer.reserve(BUFFER);
        }
    }

    fn take(&self) -> BytesMut {
        self.buffers.borrow_mut().pop().unwrap_or_else(|| BytesMut::with_capacity(BUFFER))
    }

    /// How many are kept, and their bytes.
    pub(crate) fn kept(&self) -> (usize, usize) {
        let buffers = self.buffers.borrow();
        (buffers.len(), buffers.iter().map(BytesMut::capacity).sum())
    }

    /// Takes back the buffers that are empty.
    pub(crate) fn reclaim(&self, io: &mut Buffers) {
        for buffer in [&mut io.client_in, &mut io.client_out, &mut io.server_in, &mut io.server_out]
        {
            if buffer.is_empty() && buffer.capacity() > 0 {
                self.give(std::mem::take(buffer));
            }
        }
    }

    fn give(&self, mut buffer: BytesMut) {
        let mut kept = self.buffers.borrow_mut();
        buffer.clear();
        // Only a buffer that still owns its whole allocation is worth keeping.
        if kept.len() < MAX_KEPT && buffer.try_reclaim(BUFFER) && buffer.capacity() <= 4 * BUFFER {
            kept.push(buffer);
        }
    }
}
