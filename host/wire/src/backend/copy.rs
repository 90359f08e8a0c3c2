use bytes::{BufMut, BytesMut};

use super::tag;
use crate::BodyError;
use crate::body::Body;
use crate::frame;

/// Where COPY data goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyDirection {
    /// To the server: CopyInResponse.
    In,
    /// To the client: CopyOutResponse.
    Out,
    /// Both ways: CopyBothResponse, in replication.
    Both,
}

/// CopyInResponse, CopyOutResponse or CopyBothResponse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyResponse<'a> {
    /// 0 for text, 1 for binary.
    pub format: u8,
    /// As on the wire: a format of 16 bits per column.
    pub columns: &'a [u8],
}

impl<'a> CopyResponse<'a> {
    /// # Errors
    /// A body of another form.
    pub fn read(body: &'a [u8]) -> Result<CopyResponse<'a>, BodyError> {
        let mut body = Body(body);
        let format = body.u8()?;
        let count = usize::from(body.u16()?);
        let columns = body.bytes(count * 2)?;
        body.end()?;
        Ok(CopyResponse { format, columns })
    }

    /// Appends the message.
    pub fn write(&self, direction: CopyDirection, out: &mut BytesMut) {
        let tag = match direction {
            CopyDirection::In => tag::COPY_IN_RESPONSE,
            CopyDirection::Out => tag::COPY_OUT_RESPONSE,
            CopyDirection::Both => tag::COPY_BOTH_RESPONSE,
        };
        frame::write(out, tag, |out| {
            out.put_u8(self.format);
            out.put_u16(u16::try_from(self.columns.len() / 2).unwrap_or(u16::MAX));
            out.put_slice(self.columns);
        });
    }
}
