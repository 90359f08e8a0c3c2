use std::rc::Rc;
use std::sync::Arc;

use howdah_sql::Statement;
use howdah_wire::backend::ErrorReport;

use crate::local::{CLOSE_COMPLETE, PARSE_COMPLETE};
use crate::prepared::Named;
use crate::proof::Asks;
use crate::{Settings, StatementId};

/// Whether an answer is for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Forward,
    Swallow,
}

/// What becomes of the answer to something that was sent upstream, in the order of sending.
pub(crate) enum Expect {
    /// ParseComplete. `define` is the client's name for it, when the client asked.
    Parse { reply: Reply, id: Option<StatementId>, define: Option<(Defined, Rc<Named>)> },
    /// BindComplete.
    Bind,
    /// CloseComplete.
    Close(Reply),
    /// ParameterDescription, then RowDescription or NoData.
    DescribeStatement(Option<Rc<Named>>),
    /// RowDescription or NoData.
    DescribePortal(Option<Rc<Named>>),
    /// CommandComplete, EmptyQueryResponse or PortalSuspended.
    Execute(Option<Rc<Statement>>),
    /// Nothing from the server: ParseComplete for the client, which has this name now.
    Defined(Defined),
    /// Nothing from the server: CloseComplete for the client, whose name for this is gone.
    Undefined(Box<[u8]>, Option<Rc<Named>>),
    /// Nothing from the server: these bytes are for the client when their turn comes.
    Local(Box<[u8]>),
    /// ReadyForQuery after Sync.
    Sync(Reply),
    /// All up to ReadyForQuery, of a simple query.
    Query(Option<Rc<Statement>>),
    /// All up to ReadyForQuery, of a function call.
    FunctionCall,
    /// All up to ReadyForQuery, of the proxy's own `DISCARD ALL`.
    Discard,
    /// All up to ReadyForQuery, of the proxy's own query that makes the settings what they shall be.
    Setup(Arc<Settings>),
    /// All up to ReadyForQuery, of the names that the server gets to know, or forgets, for the client's next message.
    Lend,
    /// The rest up to ReadyForQuery of a batch that is going to be sent once more.
    Refused,
    /// All up to ReadyForQuery, of the proxy's own question whether a statement still has the columns that the client
    /// was told. An error is the client's.
    Verify(Rc<Named>),
    /// An error, in the place of which the client gets this one.
    Instead(ErrorReport),
    /// All up to ReadyForQuery, of the proxy's own question whether the session may leave its server.
    PinCheck,
    /// All up to ReadyForQuery, of the proxy's own question in front of a COMMIT.
    Proof(Asks),
    /// All up to ReadyForQuery, of the proxy's own BEGIN in front of a write by itself.
    Begin,
    /// All up to ReadyForQuery, of the proxy's own COMMIT behind it, which is a simple query or not. The client gets the
    /// end of its write in the place of the end of this.
    Commit { simple: bool },
    /// All up to ReadyForQuery, of the proxy's own question for the isolation of a transaction.
    Isolation,
    /// All up to ReadyForQuery, of a batch that is run again and executes these.
    Again(Vec<Rc<Statement>>),
}

/// A name that a client has given to a statement.
pub(crate) struct Defined {
    /// Empty: the unnamed one.
    pub(crate) name: Box<[u8]>,
    /// What had it before, which only the unnamed one can have.
    pub(crate) before: Option<Rc<Named>>,
}

impl Expect {
    /// Whether it is the proxy's own, of which the client sees nothing.
    pub(crate) fn is_own(&self) -> bool {
        matches!(
            self,
            Expect::Discard
                | Expect::Setup(_)
                | Expect::PinCheck
                | Expect::Proof(_)
                | Expect::Begin
                | Expect::Isolation
                | Expect::Again(_)
                | Expect::Lend
                | Expect::Refused
                | Expect::Verify(_)
        )
    }

    /// What the client gets when the server is not asked.
    pub(crate) fn local(&self) -> Option<&[u8]> {
        match self {
            Expect::Defined(_) => Some(PARSE_COMPLETE),
            Expect::Undefined(..) => Some(CLOSE_COMPLETE),
            Expect::Local(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Whether ReadyForQuery ends it.
    pub(crate) fn ends_with_ready(&self) -> bool {
        matches!(
            self,
            Expect::Sync(_)
                | Expect::Query(_)
                | Expect::FunctionCall
                | Expect::Discard
                | Expect::Setup(_)
                | Expect::PinCheck
                | Expect::Proof(_)
                | Expect::Begin
                | Expect::Commit { .. }
                | Expect::Isolation
                | Expect::Again(_)
                | Expect::Lend
                | Expect::Refused
                | Expect::Verify(_)
        )
    }
}
