use bytes::{BufMut, BytesMut};

use super::tag;
use crate::BodyError;
use crate::body::Body;
use crate::frame::{self, put_string};
use crate::limits::MAX_CANCEL_KEY_LEN;

/// BackendKeyData: what a CancelRequest must present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackendKeyData<'a> {
    /// Names the session.
    pub pid: u32,
    /// 4 bytes in protocol 3.0, up to 256 in 3.2.
    pub key: &'a [u8],
}

impl<'a> BackendKeyData<'a> {
    /// # Errors
    /// A key of a length that the protocol does not allow.
    pub fn read(body: &'a [u8]) -> Result<BackendKeyData<'a>, BodyError> {
        let mut body = Body(body);
        let pid = body.u32()?;
        let key = body.rest();
        if !(4..=MAX_CANCEL_KEY_LEN).contains(&key.len()) {
            return Err(BodyError::Value);
        }
        Ok(BackendKeyData { pid, key })
    }

    /// Appends the message.
    pub fn write(&self, out: &mut BytesMut) {
        frame::write(out, tag::BACKEND_KEY_DATA, |out| {
            out.put_u32(self.pid);
            out.put_slice(self.key);
        });
    }
}

/// NegotiateProtocolVersion: the newest minor version that the server knows, and the options it does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NegotiateProtocolVersion<'a> {
    /// The version code, as in a start-up packet: the documentation says "minor version", PostgreSQL sends the
    /// whole code (backend_startup.c, `SendNegotiateProtocolVersion`).
    pub version: u32,
    /// Names of unknown `_pq_.` options.
    pub unknown: Vec<&'a [u8]>,
}

impl<'a> NegotiateProtocolVersion<'a> {
    /// # Errors
    /// A body of another form.
    pub fn read(body: &'a [u8]) -> Result<NegotiateProtocolVersion<'a>, BodyError> {
        let mut body = Body(body);
        let version = body.u32()?;
        let count = body.u32()?;
        let mut unknown = Vec::new();
        for _ in 0..count {
            unknown.push(body.string()?);
        }
        body.end()?;
        Ok(NegotiateProtocolVersion { version, unknown })
    }

    /// Appends the message.
    pub fn write(&self, out: &mut BytesMut) {
        frame::write(out, tag::NEGOTIATE_PROTOCOL_VERSION, |out| {
            out.put_u32(self.version);
            out.put_u32(u32::try_from(self.unknown.len()).unwrap_or(u32::MAX));
            for name in &self.unknown {
                put_string(out, name);
            }
        });
    }
}
