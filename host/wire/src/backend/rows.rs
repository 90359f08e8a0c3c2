use bytes::{BufMut, BytesMut};

use super::tag;
use crate::BodyError;
use crate::body::Body;
use crate::frame::{self, put_string};

/// A column of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// OID of its table, or 0.
    pub table: u32,
    /// Its number in that table, or 0.
    pub number: i16,
    /// OID of its type.
    pub type_oid: u32,
    /// Size of its type (`pg_type.typlen`).
    pub type_len: i16,
    /// Modifier of its type, or −1.
    pub modifier: i32,
    /// 0 for text, 1 for binary.
    pub format: i16,
}

/// RowDescription: the columns of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowDescription<'a> {
    count: u16,
    columns: &'a [u8],
}

impl<'a> RowDescription<'a> {
    /// # Errors
    /// A body of another form.
    pub fn read(body: &'a [u8]) -> Result<RowDescription<'a>, BodyError> {
        let mut body = Body(body);
        let description = RowDescription { count: body.u16()?, columns: body.0 };
        for _ in 0..description.count {
            read_column(&mut body)?;
        }
        body.end()?;
        Ok(description)
    }

    /// The columns, in order.
    pub fn columns(&self) -> impl Iterator<Item = Column<'a>> + use<'a> {
        let mut body = Body(self.columns);
        (0..self.count).map_while(move |_| read_column(&mut body).ok())
    }

    /// Appends the description of columns: name, type OID, type size, format.
    pub fn write(columns: &[(&str, u32, i16, i16)], out: &mut BytesMut) {
        frame::write(out, tag::ROW_DESCRIPTION, |out| {
            out.put_u16(u16::try_from(columns.len()).unwrap_or(u16::MAX));
            for (name, type_oid, type_len, format) in columns {
                put_string(out, name.as_bytes());
                out.put_u32(0);
                out.put_i16(0);
                out.put_u32(*type_oid);
                out.put_i16(*type_len);
                out.put_i32(-1);
                out.put_i16(*format);
            }
        });
    }
}

fn read_column<'a>(body: &mut Body<'a>) -> Result<Column<'a>, BodyError> {
    Ok(Column {
        name: body.string()?,
        table: body.u32()?,
        number: body.i16()?,
        type_oid: body.u32()?,
        type_len: body.i16()?,
        modifier: body.i32()?,
        format: body.i16()?,
    })
}

/// DataRow: the values of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataRow<'a> {
    count: u16,
    values: &'a [u8],
}

impl<'a> DataRow<'a> {
    /// # Errors
    /// A body of another form.
    pub fn read(body: &'a [u8]) -> Result<DataRow<'a>, BodyError> {
        let mut body = Body(body);
        let row = DataRow { count: body.u16()?, values: body.0 };
        for _ in 0..row.count {
            read_value(&mut body)?;
        }
        body.end()?;
        Ok(row)
    }

    /// The values, in order; none is NULL.
    pub fn values(&self) -> impl Iterator<Item = Option<&'a [u8]>> + use<'a> {
        let mut body = Body(self.values);
        (0..self.count).map_while(move |_| read_value(&mut body).ok())
    }

    /// Appends a row.
    pub fn write<'v>(values: impl Iterator<Item = Option<&'v [u8]>>, out: &mut BytesMut) {
        frame::write(out, tag::DATA_ROW, |out| {
            let at = out.len();
            let mut count = 0_u16;
            out.put_u16(0);
            for value in values {
                count = count.saturating_add(1);
                put_value(out, value);
            }
            if let Some(place) = out.get_mut(at..at + 2) {
                place.copy_from_slice(&count.to_be_bytes());
            }
        });
    }
}

fn read_value<'a>(body: &mut Body<'a>) -> Result<Option<&'a [u8]>, BodyError> {
    match body.i32()? {
        -1 => Ok(None),
        len => body.bytes(usize::try_from(len).map_err(|_| BodyError::Value)?).map(Some),
    }
}

fn put_value(out: &mut BytesMut, value: Option<&[u8]>) {
    match value {
        None => out.put_i32(-1),
        Some(value) => {
            out.put_u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
            out.put_slice(value);
        }
    }
}

/// FunctionCallResponse: what a function returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionCallResponse<'a> {
    /// None is NULL.
    pub value: Option<&'a [u8]>,
}

impl<'a> FunctionCallResponse<'a> {
    /// # Errors
    /// A body of another form.
    pub fn read(body: &'a [u8]) -> Result<FunctionCallResponse<'a>, BodyError> {
        let mut body = Body(body);
        let value = read_value(&mut body)?;
        body.end()?;
        Ok(FunctionCallResponse { value })
    }

    /// Appends the message.
    pub fn write(&self, out: &mut BytesMut) {
        frame::write(out, tag::FUNCTION_CALL_RESPONSE, |out| put_value(out, self.value));
    }
}
