use bytes::BytesMut;

use super::tag;
use crate::BodyError;
use crate::body::Body;
use crate::frame;

macro_rules! signal {
    ($(#[$doc:meta])* $name:ident, $tag:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name;

        impl $name {
            /// # Errors
            /// A body that is not empty.
            pub fn read(body: &[u8]) -> Result<$name, BodyError> {
                Body(body).end()?;
                Ok($name)
            }

            /// Appends the message, which has no body.
            pub fn write(&self, out: &mut BytesMut) {
                frame::write(out, tag::$tag, |_| {});
            }
        }
    };
}

signal!(
    /// Sync: ends a batch of the extended protocol.
    Sync,
    SYNC
);
signal!(
    /// Flush: asks for the answers so far.
    Flush,
    FLUSH
);
signal!(
    /// Terminate: good-bye.
    Terminate,
    TERMINATE
);
