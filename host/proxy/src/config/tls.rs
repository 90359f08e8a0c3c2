use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, SupportedProtocolVersion, version};

use super::value::Word;
use crate::upstream::ALPN;

/// TLS for clients.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Who must use it.
    pub mode: TlsMode,
    /// Where the certificates are, which may be replaced at any time.
    pub cert_file: PathBuf,
    /// Where the key is, which may be replaced too.
    pub key_file: PathBuf,
    /// What is offered.
    pub server: Arc<ServerConfig>,
    min_version: TlsVersion,
    /// What was read from the files.
    identity: Arc<Identity>,
}

/// Two are equal when no client could tell one from the other.
impl PartialEq for Tls {
    fn eq(&self, other: &Tls) -> bool {
        self.meaning() == other.meaning()
    }
}

/// A certificate, those up to an authority, and the key of the first.
#[derive(Debug, PartialEq)]
struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// Who must use TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// Who wants to.
    Allow,
    /// All but clients of a Unix socket.
    Require,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// RFC 5246.
    V1_2,
    /// RFC 8446.
    V1_3,
}

impl Word for TlsMode {
    const WORDS: &'static [(&'static str, TlsMode)] =
        &[("allow", TlsMode::Allow), ("require", TlsMode::Require)];
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

/// Which of the two files is to blame.
pub(super) enum Blame {
    Cert(String),
    Key(String),
}

impl Tls {
    /// Everything that it was made of.
    fn meaning(&self) -> (TlsMode, TlsVersion, &Identity, &Path, &Path) {
        (self.mode, self.min_version, &self.identity, &self.cert_file, &self.key_file)
    }

    /// Reads both files.
    pub(super) fn load(
        mode: TlsMode,
        min_version: TlsVersion,
        cert_file: PathBuf,
        key_file: PathBuf,
    ) -> Result<Tls, Blame> {
        let chain = chain(&cert_file).map_err(Blame::Cert)?;
        let key = key(&key_file).map_err(Blame::Key)?;
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(min_version.and_later())
            .map_err(|error| Blame::Cert(error.to_string()))?;
        let mut server = builder
            .with_no_client_auth()
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(|error| Blame::Key(format!("{}: {}", key_file.display(), unfit(&error))))?;
        server.alpn_protocols = vec![ALPN.to_vec()];
        let (server, identity) = (Arc::new(server), Arc::new(Identity { chain, key }));
        Ok(Tls { mode, cert_file, key_file, server, min_version, identity })
    }
}

fn unfit(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InconsistentKeys(_) => "it does not belong to the certificate".to_owned(),
        error => error.to_string(),
    }
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let certificates: Vec<_> = certificates.map_err(|error| unread(path, &error))?;
    match certificates.is_empty() {
        true => Err(format!("{} holds no certificate in PEM", path.display())),
        false => Ok(certificates),
    }
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| match error {
        pem::Error::NoItemsFound => {
            format!("{} holds no private key in PEM that needs no passphrase", path.display())
        }
        error => unread(path, &error),
    })
}

fn unread(path: &Path, error: &pem::Error) -> String {
    match error {
        pem::Error::Io(error) => format!("cannot read {}: {error}", path.display()),
        pem::Error::MissingSectionEnd { .. } => {
            format!("{} is not PEM: a section does not end", path.display())
        }
        error => format!("{} is not PEM: {error}", path.display()),
    }
}
