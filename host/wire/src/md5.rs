//! MD5 authentication (auth.c and md5_common.c, `pg_md5_encrypt`).

use md5::{Digest, Md5};

/// The answer to AuthenticationMD5Password: `md5` and the hash of the hash of password and user, and the salt.
pub fn answer(user: &str, password: &[u8], salt: [u8; 4]) -> String {
    let inner = hex(&Md5::new().chain_update(password).chain_update(user).finalize());
    let outer = Md5::new().chain_update(inner).chain_update(salt).finalize();
    format!("md5{}", hex(&outer))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
