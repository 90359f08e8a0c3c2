use bytes::{BufMut, BytesMut};

use super::tag;
use crate::BodyError;
use crate::body::Body;
use crate::frame::{self, put_string};

/// PasswordMessage: a clear-text password or an MD5 answer.
#[derive(Clone, Copy)]
pub struct Password<'a> {
    /// The secret.
    pub password: &'a [u8],
}

impl<'a> Password<'a> {
    /// # Errors
    /// A body that is not one string.
    pub fn read(body: &'a [u8]) -> Result<Password<'a>, BodyError> {
        let mut body = Body(body);
        let password = body.string()?;
        body.end()?;
        Ok(Password { password })
    }

    /// Appends the message.
    pub fn write(&self, out: &mut BytesMut) {
        frame::write(out, tag::PASSWORD, |out| put_string(out, self.password));
    }
}

/// SASLInitialResponse: chooses a mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SaslInitialResponse<'a> {
    /// Name of the mechanism.
    pub mechanism: &'a [u8],
    /// Its first data, if it has any.
    pub data: Option<&'a [u8]>,
}

impl<'a> SaslInitialResponse<'a> {
    /// # Errors
    /// A body of another form.
    pub fn read(body: &'a [u8]) -> Result<SaslInitialResponse<'a>, BodyError> {
        let mut body = Body(body);
        let mechanism = body.string()?;
        let data = match body.i32()? {
            -1 => None,
            len => Some(body.bytes(usize::try_from(len).map_err(|_| BodyError::Value)?)?),
        };
        body.end()?;
        Ok(SaslInitialResponse { mechanism, data })
    }

    /// Appends the message.
    pub fn write(&self, out: &mut BytesMut) {
        frame::write(out, tag::PASSWORD, |out| {
            put_string(out, self.mechanism);
            match self.data {
                None => out.put_i32(-1),
                Some(data) => {
                    out.put_u32(u32::try_from(data.len()).unwrap_or(u32::MAX));
                    out.put_slice(data);
                }
            }
        });
    }
}

/// SASLResponse: further data of a mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SaslResponse<'a> {
    /// What the mechanism says.
    pub data: &'a [u8],
}

impl<'a> SaslResponse<'a> {
    /// # Errors
    /// None: what the data must be is the mechanism's matter.
    pub fn read(body: &'a [u8]) -> Result<SaslResponse<'a>, BodyError> {
        Ok(SaslResponse { data: body })
    }

    /// Appends the message.
    pub fn write(&self, out: &mut BytesMut) {
        frame::write(out, tag::PASSWORD, |out| out.put_slice(self.data));
    }
}
