use bytes::BytesMut;

use super::tag;
use crate::BodyError;
use crate::body::Body;
use crate::frame;

macro_rules! signal {
    ($($(#[$doc:meta])* $name:ident = $tag:ident;)*) => {
        $(
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
        )*
    };
}

signal! {
    /// ParseComplete.
    ParseComplete = PARSE_COMPLETE;
    /// BindComplete.
    BindComplete = BIND_COMPLETE;
    /// CloseComplete.
    CloseComplete = CLOSE_COMPLETE;
    /// NoData: there are no columns to describe.
    NoData = NO_DATA;
    /// EmptyQueryResponse: in place of CommandComplete.
    EmptyQueryResponse = EMPTY_QUERY_RESPONSE;
    /// PortalSuspended: Execute reached its limit of rows.
    PortalSuspended = PORTAL_SUSPENDED;
}
