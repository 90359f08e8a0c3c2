//! Every bound of the protocol, with its source.

/// Longest start-up packet, not counting its length field (pqcomm.h, `MAX_STARTUP_PACKET_LENGTH`).
pub const MAX_STARTUP_LEN: usize = 10_000;

/// Longest frame: a message of `PQ_LARGE_MESSAGE_LIMIT` (libpq.h; `MaxAllocSize` − 1 of memutils.h), which counts
/// its length field, and the tag, which it does not count.
pub const MAX_FRAME_LEN: usize = 0x3fff_ffff;

/// Longest message during authentication (auth.c, `PG_MAX_AUTH_TOKEN_LENGTH`).
pub const MAX_AUTH_LEN: usize = 65_535;

/// Longest secret of a cancel key in protocol 3.2 (documentation of BackendKeyData).
pub const MAX_CANCEL_KEY_LEN: usize = 256;

/// Most SCRAM iterations accepted from a server or in a verifier: what OWASP advises for PBKDF2, far above
/// PostgreSQL's default of 4,096. Each is two SHA-256 blocks, so a hostile server can burn a fraction of a second
/// of our CPU per connection, and no more.
pub const MAX_SCRAM_ITERATIONS: u32 = 600_000;

/// Longest salt and nonce taken from a SCRAM message; PostgreSQL uses 16 and 24 bytes.
pub const MAX_SCRAM_FIELD: usize = 1_024;
