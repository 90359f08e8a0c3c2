use bytes::BytesMut;

use super::tag;
use crate::BodyError;
use crate::body::Body;
use crate::frame::{self, put_string};

/// CommandComplete: a statement has run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandComplete<'a> {
    /// `INSERT 0 1` and the like.
    pub tag: &'a [u8],
}

impl<'a> CommandComplete<'a> {
    /// # Errors
    /// A body that is not one string.
    pub fn read(body: &'a [u8]) -> Result<CommandComplete<'a>, BodyError> {
        let mut body = Body(body);
        let tag = body.string()?;
        body.end()?;
        Ok(CommandComplete { tag })
    }

    /// Appends the message.
    pub fn write(&self, out: &mut BytesMut) {
        frame::write(out, tag::COMMAND_COMPLETE, |out| put_string(out, self.tag));
    }
}
