//! What a client may open a connection with: the packets without a tag.

use bytes::{BufMut, BytesMut};

use crate::body::Body;
use crate::frame::{put_string, write_untagged};
use crate::limits::{MAX_CANCEL_KEY_LEN, MAX_STARTUP_LEN};
use crate::{BodyError, Version};

/// Codes of the requests that are no start-up (pqcomm.h).
const CANCEL: u32 = (1234 << 16) | 5678;
const SSL: u32 = (1234 << 16) | 5679;
const GSS: u32 = (1234 << 16) | 5680;

/// The first packet of a connection, or the next after an encryption request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening<'a> {
    /// SSLRequest: answered with one byte, `S` or `N`.
    Ssl,
    /// GSSENCRequest: answered with one byte, `G` or `N`.
    Gss,
    /// CancelRequest: the connection is closed without an answer.
    Cancel(Cancel<'a>),
    /// StartupMessage.
    Startup(Startup<'a>),
}

impl Opening<'_> {
    /// What stands in the place of a protocol version.
    pub fn version(&self) -> Version {
        Version::from_code(match self {
            Opening::Ssl => SSL,
            Opening::Gss => GSS,
            Opening::Cancel(_) => CANCEL,
            Opening::Startup(startup) => startup.version.code(),
        })
    }
}

/// CancelRequest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancel<'a> {
    /// As in BackendKeyData.
    pub pid: u32,
    /// As in BackendKeyData: 4 bytes, or up to 256 since 3.2.
    pub key: &'a [u8],
}

/// StartupMessage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Startup<'a> {
    /// What the client would like to speak.
    pub version: Version,
    parameters: &'a [u8],
}

/// Bytes that cannot open a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpeningError {
    /// Too short for its code, or longer than [`MAX_STARTUP_LEN`]. The client's fault.
    #[error("invalid length of startup packet")]
    Length,
    /// Parameters without terminating zeros, or a key of impossible length. The client's fault.
    #[error("invalid startup packet layout: expected terminator as last byte")]
    Layout,
}

impl From<BodyError> for OpeningError {
    fn from(_: BodyError) -> OpeningError {
        OpeningError::Layout
    }
}

/// Reads a packet from the front of `buf`. None: more bytes are needed. The number is how many it took.
///
/// # Errors
/// A packet that cannot be one.
pub fn read(buf: &[u8]) -> Result<Option<(Opening<'_>, usize)>, OpeningError> {
    let Some(len) = buf.first_chunk::<4>() else { return Ok(None) };
    let len = u32::from_be_bytes(*len) as usize;
    if !(8..=MAX_STARTUP_LEN + 4).contains(&len) {
        return Err(OpeningError::Length);
    }
    let Some(packet) = buf.get(4..len) else { return Ok(None) };
    let mut body = Body(packet);
    let opening = match body.u32()? {
        SSL => Opening::Ssl,
        GSS => Opening::Gss,
        CANCEL => {
            let pid = body.u32()?;
            let key = body.rest();
            if !(4..=MAX_CANCEL_KEY_LEN).contains(&key.len()) {
                return Err(OpeningError::Layout);
            }
            Opening::Cancel(Cancel { pid, key })
        }
        code => Opening::Startup(Startup::check(Version::from_code(code), body.rest())?),
    };
    Ok(Some((opening, len)))
}

impl<'a> Startup<'a> {
    fn check(version: Version, parameters: &'a [u8]) -> Result<Startup<'a>, OpeningError> {
        let startup = Startup { version, parameters };
        if version.major != 3 {
            return Ok(startup);
        }
        let mut body = Body(parameters);
        loop {
            if body.string()?.is_empty() {
                return if body.0.is_empty() { Ok(startup) } else { Err(OpeningError::Layout) };
            }
            body.string()?;
        }
    }

    /// Names and values, in the order sent.
    pub fn parameters(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut body = Body(self.parameters);
        std::iter::from_fn(move || {
            let name = body.string().ok().filter(|name| !name.is_empty())?;
            Some((name, body.string().ok()?))
        })
    }

    /// The value of the last parameter with this name.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.parameters().filter(|(n, _)| *n == name.as_bytes()).last().map(|(_, value)| value)
    }
}

/// Appends a StartupMessage.
pub fn write_startup<'a>(
    out: &mut BytesMut,
    version: Version,
    parameters: impl Iterator<Item = (&'a str, &'a str)>,
) {
    write_untagged(out, |out| {
        out.put_u32(version.code());
        for (name, value) in parameters {
            put_string(out, name.as_bytes());
            put_string(out, value.as_bytes());
        }
        out.put_u8(0);
    });
}

/// Appends a CancelRequest.
pub fn write_cancel(out: &mut BytesMut, pid: u32, key: &[u8]) {
    write_untagged(out, |out| {
        out.put_u32(CANCEL);
        out.put_u32(pid);
        out.put_slice(key);
    });
}

/// Appends an SSLRequest.
pub fn write_ssl_request(out: &mut BytesMut) {
    write_untagged(out, |out| out.put_u32(SSL));
}

/// Appends a GSSENCRequest.
pub fn write_gssenc_request(out: &mut BytesMut) {
    write_untagged(out, |out| out.put_u32(GSS));
}
