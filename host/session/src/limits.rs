//! Every bound of a session, with its reason.

/// Largest statement text that is gathered and looked at. A longer simple query is streamed to the primary
/// unseen; a longer Parse is refused with 54000, because its text must be kept to prepare it elsewhere.
pub const MAX_STATEMENT: usize = 1 << 20;

/// Most bytes of an extended-protocol batch that are gathered before it is routed. A longer batch goes to
/// the primary, which can serve whatever follows.
pub const MAX_BATCH: usize = 256 << 10;

/// Names in Bind, Describe, Close and Execute are looked up; PostgreSQL cuts identifiers at 63 bytes, but
/// statement and portal names may be longer.
pub const MAX_NAME: usize = 16 << 10;

/// Server messages that are read whole (errors, status, completions). PostgreSQL's own are far smaller.
pub const MAX_REPLY_VIEW: usize = 1 << 20;

/// Most bytes of a reply that are held back while it is not yet known whether a standby refuses the
/// statement. When more arrive, they are delivered and the statement is not sent again.
pub const MAX_HELD_REPLY: usize = 64 << 10;

/// How often one batch may be sent to another server before its error reaches the client.
pub const MAX_REROUTES: u8 = 3;

/// The same when policies want it: one that never gives up must not keep a client for ever.
pub const MAX_RETRIES: u8 = 100;

/// Longest wait before a batch is sent again, in milliseconds: as long as a client waits for a server by default.
pub const MAX_RETRY_DELAY_MS: u32 = 30_000;

/// Most bytes of statements that are kept of an open transaction to run it again: as much as one statement may have.
pub const MAX_REPLAY_BYTES: usize = MAX_STATEMENT;

/// Most statements of it: to run so many again takes about as long as a client waits for a server.
pub const MAX_REPLAY_STATEMENTS: usize = 1_000;

/// How often one transaction is run again. A statement may be what has brought the server down.
pub const MAX_REPLAYS: u8 = 2;

/// Prepared statements that one client may hold.
pub const MAX_CLIENT_STATEMENTS: usize = 10_000;

/// Prepared statements kept on one server connection; the least recently used one is closed first.
pub const MAX_SERVER_STATEMENTS: usize = 500;

/// Most bytes of prepared statements and settings with which a session goes to another process. Hardly any has as many: it
/// stays.
pub const MAX_MOVED: usize = 4 * MAX_STATEMENT;

/// Settings that one client may carry from server to server.
pub const MAX_SETTINGS: usize = 100;

/// Bytes of one setting's name or value.
pub const MAX_SETTING: usize = 16 << 10;
