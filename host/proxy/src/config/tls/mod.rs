//! TLS on both sides: what the configuration says of it, and what its files hold.

mod clients;
mod files;
mod names;
mod servers;

use rustls::{SupportedProtocolVersion, version};

pub(super) use clients::{Certificate, MAX_CERTIFICATES};
pub use clients::{Tls, TlsMode};
pub(super) use files::Blame;
pub use names::CertName;
pub use servers::{ChannelBinding, ServerTls, ServerTlsMode};

use super::value::Word;

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// RFC 5246.
    V1_2,
    /// RFC 8446.
    V1_3,
}

/// As in postgresql.conf, `ssl_min_protocol_version`.
impl Word for TlsVersion {
    const WORDS: &'static [(&'static str, TlsVersion)] =
        &[("TLSv1.2", TlsVersion::V1_2), ("TLSv1.3", TlsVersion::V1_3)];
}

impl TlsVersion {
    fn and_later(self) -> &'static [&'static SupportedProtocolVersion] {
        static VERSIONS: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];
        match self {
            TlsVersion::V1_2 => &VERSIONS,
            TlsVersion::V1_3 => &VERSIONS[..1],
        }
    }
}
