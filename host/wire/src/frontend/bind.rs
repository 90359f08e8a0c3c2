use bytes::{BufMut, BytesMut};

use super::tag;
use crate::BodyError;
use crate::body::Body;
use crate::frame::{self, put_string};

/// Bind: makes a portal from a prepared statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bind<'a> {
    /// Empty for the unnamed portal.
    pub portal: &'a [u8],
    /// Empty for the unnamed statement.
    pub statement: &'a [u8],
    /// Formats and values of parameters and formats of results, as on the wire and unchecked.
    pub rest: &'a [u8],
}

impl<'a> Bind<'a> {
    /// Reads the names; the beginning of a body is enough.
    ///
    /// # Errors
    /// A body without the two names.
    pub fn read(body: &'a [u8]) -> Result<Bind<'a>, BodyError> {
        let mut body = Body(body);
        Ok(Bind { portal: body.string()?, statement: body.string()?, rest: body.rest() })
    }

    /// Appends the message.
    pub fn write(&self, out: &mut BytesMut) {
        frame::write(out, tag::BIND, |out| {
            put_string(out, self.portal);
            put_string(out, self.statement);
            out.put_slice(self.rest);
        });
    }
}
