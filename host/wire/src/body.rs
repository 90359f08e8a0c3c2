//! Reading the fields of a message body.

/// A body that is not of its message's form. The sender's fault; the frame itself is sound, so what follows it can
/// be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It ends within a field.
    #[error("insufficient data left in message")]
    Short,
    /// A string has no terminating zero.
    #[error("invalid string in message")]
    Unterminated,
    /// A field has a value that the protocol does not know.
    #[error("invalid value in message")]
    Value,
    /// Bytes are left over.
    #[error("invalid message format")]
    Trailing,
}

/// Strings up to this length are found byte by byte.
const SHORT: usize = 16;

/// A cursor over a body.
#[derive(Clone, Copy)]
pub(crate) struct Body<'a>(pub(crate) &'a [u8]);

impl<'a> Body<'a> {
    pub(crate) fn bytes(&mut self, n: usize) -> Result<&'a [u8], BodyError> {
        let (first, rest) = self.0.split_at_checked(n).ok_or(BodyError::Short)?;
        self.0 = rest;
        Ok(first)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BodyError> {
        let (first, rest) = self.0.split_first_chunk().ok_or(BodyError::Short)?;
        self.0 = rest;
        Ok(*first)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, BodyError> {
        self.array::<1>().map(|[b]| b)
    }

    pub(crate) fn i16(&mut self) -> Result<i16, BodyError> {
        self.array().map(i16::from_be_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, BodyError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, BodyError> {
        self.array().map(i32::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, BodyError> {
        self.array().map(u32::from_be_bytes)
    }

    /// A string without its terminating zero.
    pub(crate) fn string(&mut self) -> Result<&'a [u8], BodyError> {
        // Most are names, or none: a search made for long texts would cost more than a look at their few bytes.
        let near = self.0.iter().take(SHORT).position(|byte| *byte == 0);
        let end = near.or_else(|| memchr::memchr(0, self.0)).ok_or(BodyError::Unterminated)?;
        let (string, rest) = self.0.split_at(end);
        self.0 = &rest[1..];
        Ok(string)
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    pub(crate) fn end(self) -> Result<(), BodyError> {
        if self.0.is_empty() { Ok(()) } else { Err(BodyError::Trailing) }
    }
}
