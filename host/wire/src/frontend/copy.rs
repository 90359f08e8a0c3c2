use bytes::{BufMut, BytesMut};

use super::tag;
use crate::BodyError;
use crate::body::Body;
use crate::frame::{self, put_string};

/// CopyData: rows on their way, cut anywhere. The same in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyData<'a> {
    /// Anything.
    pub data: &'a [u8],
}

impl<'a> CopyData<'a> {
    /// # Errors
    /// None: any body will do.
    pub fn read(body: &'a [u8]) -> Result<CopyData<'a>, BodyError> {
        Ok(CopyData { data: body })
    }

    /// Appends the message.
    pub fn write(&self, out: &mut BytesMut) {
        frame::write(out, tag::COPY_DATA, |out| out.put_slice(self.data));
    }
}

/// CopyDone: all rows have been sent. The same in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyDone;

impl CopyDone {
    /// # Errors
    /// A body that is not empty.
    pub fn read(body: &[u8]) -> Result<CopyDone, BodyError> {
        Body(body).end()?;
        Ok(CopyDone)
    }

    /// Appends the message.
    pub fn write(&self, out: &mut BytesMut) {
        frame::write(out, tag::COPY_DONE, |_| {});
    }
}

/// CopyFail: the client gives up its COPY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyFail<'a> {
    /// Why.
    pub message: &'a [u8],
}

impl<'a> CopyFail<'a> {
    /// # Errors
    /// A body that is not one string.
    pub fn read(body: &'a [u8]) -> Result<CopyFail<'a>, BodyError> {
        let mut body = Body(body);
        let message = body.string()?;
        body.end()?;
        Ok(CopyFail { message })
    }

    /// Appends the message.
    pub fn write(&self, out: &mut BytesMut) {
        frame::write(out, tag::COPY_FAIL, |out| put_string(out, self.message));
    }
}
