use bytes::{BufMut, BytesMut};

use super::tag;
use crate::BodyError;
use crate::frame;

/// Whether a transaction block is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionStatus {
    /// `I`: none.
    Idle,
    /// `T`: one is.
    InTransaction,
    /// `E`: one is, and it has failed.
    Failed,
}

impl TransactionStatus {
    /// From the byte of ReadyForQuery.
    pub fn from_byte(byte: u8) -> Option<TransactionStatus> {
        match byte {
            b'I' => Some(TransactionStatus::Idle),
            b'T' => Some(TransactionStatus::InTransaction),
            b'E' => Some(TransactionStatus::Failed),
            _ => None,
        }
    }

    /// The byte of ReadyForQuery.
    pub fn byte(self) -> u8 {
        match self {
            TransactionStatus::Idle => b'I',
            TransactionStatus::InTransaction => b'T',
            TransactionStatus::Failed => b'E',
        }
    }
}

/// ReadyForQuery: all that was sent has been answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadyForQuery {
    /// Whether a transaction block is open.
    pub status: TransactionStatus,
}

impl ReadyForQuery {
    /// # Errors
    /// A body that is not one known byte.
    pub fn read(body: &[u8]) -> Result<ReadyForQuery, BodyError> {
        match body {
            [byte] => TransactionStatus::from_byte(*byte)
                .map(|status| ReadyForQuery { status })
                .ok_or(BodyError::Value),
            [] => Err(BodyError::Short),
            _ => Err(BodyError::Trailing),
        }
    }

    /// Appends the message.
    pub fn write(&self, out: &mut BytesMut) {
        frame::write(out, tag::READY_FOR_QUERY, |out| out.put_u8(self.status.byte()));
    }
}
