use bytes::BytesMut;

use super::tag;
use crate::BodyError;
use crate::body::Body;
use crate::frame::{self, put_string};

/// Query: one or several statements by the simple protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query<'a> {
    /// SQL, without the terminating zero.
    pub text: &'a [u8],
}

impl<'a> Query<'a> {
    /// # Errors
    /// A body that is not one string.
    pub fn read(body: &'a [u8]) -> Result<Query<'a>, BodyError> {
        let mut body = Body(body);
        let text = body.string()?;
        body.end()?;
        Ok(Query { text })
    }

    /// Appends the message.
    pub fn write(&self, out: &mut BytesMut) {
        frame::write(out, tag::QUERY, |out| put_string(out, self.text));
    }
}
