//! Every bound of the protocol, with its source.

/// Longest start-up packet (postmaster.c / pqcomm.h, `MAX_STARTUP_PACKET_LENGTH`).
pub const MAX_STARTUP_LEN: usize = 10_000;

/// Longest message (memutils.h, `MaxAllocSize` − 1, which is `PQ_LARGE_MESSAGE_LIMIT` in libpq.h), plus its tag.
pub const MAX_FRAME_LEN: usize = 0x3fff_ffff;

/// Longest message during authentication (auth.c, `PG_MAX_AUTH_TOKEN_LENGTH`).
pub const MAX_AUTH_LEN: usize = 65_535;

/// Longest secret of a cancel key in protocol 3.2 (documentation of BackendKeyData).
pub const MAX_CANCEL_KEY_LEN: usize = 256;

/// Most SCRAM iterations accepted from a server: PostgreSQL's default is 4,096, and more than a hundred
/// times that would let a hostile server burn our CPU.
pub const MAX_SCRAM_ITERATIONS: u32 = 600_000;

/// Longest salt and nonce taken from a SCRAM message; PostgreSQL uses 16 and 24 bytes.
pub const MAX_SCRAM_FIELD: usize = 1_024;
