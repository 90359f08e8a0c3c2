use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use howdah_sql::Statement;

use crate::{Prepared, Settings, StatementId};

/// Whether an answer is for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Forward,
    Swallow,
}

/// What becomes of the answer to something that was sent upstream, in the order of sending.
#[derive(Debug)]
pub(crate) enum Expect {
    /// ParseComplete. `define` is the client's name for it, when the client asked.
    Parse { reply: Reply, id: Option<StatementId>, define: Option<(Box<[u8]>, Rc<Prepared>)> },
    /// BindComplete.
    Bind,
    /// CloseComplete.
    Close(Reply),
    /// ParameterDescription, then RowDescription or NoData.
    DescribeStatement,
    /// RowDescription or NoData.
    DescribePortal,
    /// CommandComplete, EmptyQueryResponse or PortalSuspended.
    Execute(Option<Rc<Statement>>),
    /// Nothing from the server: these bytes are for the client when their turn comes.
    Local(Cow<'static, [u8]>),
    /// ReadyForQuery after Sync.
    Sync(Reply),
    /// All up to ReadyForQuery, of a simple query.
    Query(Option<Rc<Statement>>),
    /// All up to ReadyForQuery, of a function call.
    FunctionCall,
    /// All up to ReadyForQuery, of the proxy's own query that makes the settings what they shall be.
    Setup(Arc<Settings>),
    /// All up to ReadyForQuery, of the names that the server gets to know, or forgets, for the client's next message.
    Lend,
    /// All up to ReadyForQuery, of the proxy's own question whether the session may leave its server.
    PinCheck,
}

impl Expect {
    /// Whether it is the proxy's own, of which the client sees nothing.
    pub(crate) fn is_own(&self) -> bool {
        matches!(self, Expect::Setup(_) | Expect::PinCheck | Expect::Lend)
    }

    /// Whether ReadyForQuery ends it.
    pub(crate) fn ends_with_ready(&self) -> bool {
        matches!(
            self,
            Expect::Sync(_)
                | Expect::Query(_)
                | Expect::FunctionCall
                | Expect::Setup(_)
                | Expect::PinCheck
                | Expect::Lend
        )
    }
}
