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

/// The value of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound<'a> {
    /// None is NULL.
    pub value: Option<&'a [u8]>,
    /// In the binary format of its type, else as text.
    pub binary: bool,
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

    /// The values of the parameters, in their order.
    ///
    /// # Errors
    /// A body that is not of the message's form.
    pub fn values(&self) -> Result<Vec<Bound<'a>>, BodyError> {
        let mut body = Body(self.rest);
        let formats = (0..body.u16()?).map(|_| body.i16()).collect::<Result<Vec<_>, _>>()?;
        let count = usize::from(body.u16()?);
        let value = |i: usize| {
            let value = match usize::try_from(body.i32()?) {
                Ok(len) => Some(body.bytes(len)?),
                Err(_) => None,
            };
            // One format stands for all.
            let format = if formats.len() == 1 { formats.first() } else { formats.get(i) };
            Ok(Bound { value, binary: format.is_some_and(|format| *format == 1) })
        };
        (0..count).map(value).collect()
    }

    /// The formats that results are wanted in, 0 for text and 1 for binary: one for each column, one for all, or none for
    /// text.
    ///
    /// # Errors
    /// A body that is not of the message's form.
    pub fn result_formats(&self) -> Result<Vec<i16>, BodyError> {
        let mut body = Body(self.rest);
        for _ in 0..body.u16()? {
            body.i16()?;
        }
        for _ in 0..body.u16()? {
            if let Ok(len) = usize::try_from(body.i32()?) {
                body.bytes(len)?;
            }
        }
        let formats = (0..body.u16()?).map(|_| body.i16()).collect::<Result<_, _>>()?;
        body.end()?;
        Ok(formats)
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
