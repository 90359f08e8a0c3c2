use bytes::{BufMut, BytesMut};

use super::tag;
use crate::BodyError;
use crate::body::Body;
use crate::frame::{self, put_string};

/// ParameterStatus: the value of a reported setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParameterStatus<'a> {
    /// Name of the setting.
    pub name: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
}

impl<'a> ParameterStatus<'a> {
    /// # Errors
    /// A body of another form.
    pub fn read(body: &'a [u8]) -> Result<ParameterStatus<'a>, BodyError> {
        let mut body = Body(body);
        let status = ParameterStatus { name: body.string()?, value: body.string()? };
        body.end()?;
        Ok(status)
    }

    /// Appends the message.
    pub fn write(&self, out: &mut BytesMut) {
        frame::write(out, tag::PARAMETER_STATUS, |out| {
            put_string(out, self.name);
            put_string(out, self.value);
        });
    }
}

/// ParameterDescription: types of a prepared statement's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParameterDescription<'a> {
    /// As on the wire: OIDs of 32 bits.
    pub types: &'a [u8],
}

impl<'a> ParameterDescription<'a> {
    /// # Errors
    /// A body of another form.
    pub fn read(body: &'a [u8]) -> Result<ParameterDescription<'a>, BodyError> {
        let mut body = Body(body);
        let count = usize::from(body.u16()?);
        let types = body.bytes(count * 4)?;
        body.end()?;
        Ok(ParameterDescription { types })
    }

    /// Appends the message.
    pub fn write(&self, out: &mut BytesMut) {
        frame::write(out, tag::PARAMETER_DESCRIPTION, |out| {
            out.put_u16(u16::try_from(self.types.len() / 4).unwrap_or(u16::MAX));
            out.put_slice(self.types);
        });
    }
}
