use bytes::{BufMut, BytesMut};

use super::tag;
use crate::BodyError;
use crate::body::Body;
use crate::frame::{self, put_string};

/// What a name belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A prepared statement, `S`.
    Statement,
    /// A portal, `P`.
    Portal,
}

/// Describe: asks for the columns of a statement or portal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Describe<'a> {
    /// What `name` is.
    pub target: Target,
    /// Empty for the unnamed one.
    pub name: &'a [u8],
}

/// Close: drops a statement or portal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close<'a> {
    /// What `name` is.
    pub target: Target,
    /// Empty for the unnamed one.
    pub name: &'a [u8],
}

impl<'a> Describe<'a> {
    /// # Errors
    /// A body of another form.
    pub fn read(body: &'a [u8]) -> Result<Describe<'a>, BodyError> {
        let (target, name) = read(body)?;
        Ok(Describe { target, name })
    }

    /// Appends the message.
    pub fn write(&self, out: &mut BytesMut) {
        write(out, tag::DESCRIBE, self.target, self.name);
    }
}

impl<'a> Close<'a> {
    /// # Errors
    /// A body of another form.
    pub fn read(body: &'a [u8]) -> Result<Close<'a>, BodyError> {
        let (target, name) = read(body)?;
        Ok(Close { target, name })
    }

    /// Appends the message.
    pub fn write(&self, out: &mut BytesMut) {
        write(out, tag::CLOSE, self.target, self.name);
    }
}

fn read(body: &[u8]) -> Result<(Target, &[u8]), BodyError> {
    let mut body = Body(body);
    let target = match body.u8()? {
        b'S' => Target::Statement,
        b'P' => Target::Portal,
        _ => return Err(BodyError::Value),
    };
    let name = body.string()?;
    body.end()?;
    Ok((target, name))
}

fn write(out: &mut BytesMut, tag: u8, target: Target, name: &[u8]) {
    frame::write(out, tag, |out| {
        out.put_u8(match target {
            Target::Statement => b'S',
            Target::Portal => b'P',
        });
        put_string(out, name);
    });
}
