use bytes::{BufMut, BytesMut};

use super::tag;
use crate::BodyError;
use crate::body::Body;
use crate::frame::{self, put_string};

/// NotificationResponse: somebody has sent a NOTIFY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotificationResponse<'a> {
    /// Process id of the sender's backend.
    pub pid: u32,
    /// Its channel.
    pub channel: &'a [u8],
    /// What it says.
    pub payload: &'a [u8],
}

impl<'a> NotificationResponse<'a> {
    /// # Errors
    /// A body of another form.
    pub fn read(body: &'a [u8]) -> Result<NotificationResponse<'a>, BodyError> {
        let mut body = Body(body);
        let notification = NotificationResponse {
            pid: body.u32()?,
            channel: body.string()?,
            payload: body.string()?,
        };
        body.end()?;
        Ok(notification)
    }

    /// Appends the message.
    pub fn write(&self, out: &mut BytesMut) {
        frame::write(out, tag::NOTIFICATION_RESPONSE, |out| {
            out.put_u32(self.pid);
            put_string(out, self.channel);
            put_string(out, self.payload);
        });
    }
}
