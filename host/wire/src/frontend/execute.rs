use bytes::{BufMut, BytesMut};

use super::tag;
use crate::BodyError;
use crate::body::Body;
use crate::frame::{self, put_string};

/// Execute: runs a portal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Execute<'a> {
    /// Empty for the unnamed portal.
    pub portal: &'a [u8],
    /// Most rows to return; 0 for all.
    pub max_rows: u32,
}

impl<'a> Execute<'a> {
    /// # Errors
    /// A body of another form.
    pub fn read(body: &'a [u8]) -> Result<Execute<'a>, BodyError> {
        let mut body = Body(body);
        let execute = Execute { portal: body.string()?, max_rows: body.u32()? };
        body.end()?;
        Ok(execute)
    }

    /// Appends the message.
    pub fn write(&self, out: &mut BytesMut) {
        frame::write(out, tag::EXECUTE, |out| {
            put_string(out, self.portal);
            out.put_u32(self.max_rows);
        });
    }
}

/// FunctionCall: calls a function by its OID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionCall<'a> {
    /// OID of the function.
    pub function: u32,
    /// Formats and arguments, as on the wire and unchecked.
    pub rest: &'a [u8],
}

impl<'a> FunctionCall<'a> {
    /// # Errors
    /// A body without the OID.
    pub fn read(body: &'a [u8]) -> Result<FunctionCall<'a>, BodyError> {
        let mut body = Body(body);
        Ok(FunctionCall { function: body.u32()?, rest: body.rest() })
    }

    /// Appends the message.
    pub fn write(&self, out: &mut BytesMut) {
        frame::write(out, tag::FUNCTION_CALL, |out| {
            out.put_u32(self.function);
            out.put_slice(self.rest);
        });
    }
}
