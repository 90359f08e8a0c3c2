/// Random bytes of a nonce: as many as PostgreSQL takes (scram-common.h, `SCRAM_RAW_NONCE_LEN`), in 6 bits each.
const NONCE_CHARS: usize = 24;

/// Random bytes from the system.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if let Err(error) = getrandom::fill(&mut bytes) {
        // Without randomness there is no authentication: a system like that cannot be served safely.
        tracing::error!(%error, "the system has no random numbers");
        std::process::abort();
    }
    bytes
}

/// A SCRAM nonce: 144 random bits in printable characters without commas.
pub(crate) fn nonce() -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes: [u8; NONCE_CHARS] = random();
    bytes.iter().map(|b| char::from(ALPHABET[usize::from(b & 63)])).collect()
}
