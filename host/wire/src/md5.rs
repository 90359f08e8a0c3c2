//! MD5 authentication (auth.c and md5_common.c, `pg_md5_encrypt`).

use md5::{Digest, Md5};

use crate::hex;

/// What a server keeps of a password: `md5`, and the hash of password and user. It suffices to log in.
pub fn hash(user: &str, password: &[u8]) -> String {
    format!("md5{}", hex(&Md5::new().chain_update(password).chain_update(user).finalize()))
}

/// Whether a text is what a server keeps of a password (crypt.c, `get_password_type`).
pub fn is_hash(text: &str) -> bool {
    let digits = |text: &str| text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    text.strip_prefix("md5").is_some_and(digits)
}

/// The answer to AuthenticationMD5Password of who knows the password's [`hash`]: `md5`, and the hash of that and the salt.
pub fn answer(hash: &str, salt: [u8; 4]) -> String {
    let inner = hash.strip_prefix("md5").unwrap_or(hash);
    format!("md5{}", hex(&Md5::new().chain_update(inner).chain_update(salt).finalize()))
}
