use bytes::{BufMut, BytesMut};

use super::tag;
use crate::BodyError;
use crate::body::Body;
use crate::frame::{self, put_string};

/// Parse: makes a prepared statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parse<'a> {
    /// Empty for the unnamed statement.
    pub name: &'a [u8],
    /// SQL.
    pub query: &'a [u8],
    /// As on the wire: a 16-bit count, and that many OIDs.
    pub types: &'a [u8],
}

impl<'a> Parse<'a> {
    /// # Errors
    /// A body of another form.
    pub fn read(body: &'a [u8]) -> Result<Parse<'a>, BodyError> {
        let mut body = Body(body);
        let name = body.string()?;
        let query = body.string()?;
        let types = body.0;
        let count = usize::from(body.u16()?);
        body.bytes(count * 4)?;
        body.end()?;
        Ok(Parse { name, query, types })
    }

    /// Appends the message.
    pub fn write(&self, out: &mut BytesMut) {
        frame::write(out, tag::PARSE, |out| {
            put_string(out, self.name);
            put_string(out, self.query);
            out.put_slice(self.types);
        });
    }
}
