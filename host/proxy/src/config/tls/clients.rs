use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::ServerName;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;

use super::TlsVersion;
use super::files::{Authorities, Blame, Identity};
use crate::certificate::end_point;
use crate::config::value::Word;
use crate::upstream::ALPN;

/// Most certificates of one proxy beside the first: a handshake may look at each of them.
pub(in crate::config) const MAX_CERTIFICATES: usize = 64;

/// TLS for clients.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Who must use it.
    pub mode: TlsMode,
    /// What is offered.
    pub server: Arc<ServerConfig>,
    min_version: TlsVersion,
    /// What was read from the files.
    certificates: Arc<Certificates>,
    authorities: Option<Arc<Authorities>>,
}

/// A certificate with its key, ready to be shown.
#[derive(Debug)]
pub(in crate::config) struct Certificate {
    identity: Identity,
    certified: Arc<CertifiedKey>,
    /// What logins can be bound to, if the certificate allows that.
    end_point: Option<Box<[u8]>>,
}

impl Certificate {
    /// Reads the files of a certificate and of its key.
    pub(in crate::config) fn load(cert: PathBuf, key: PathBuf) -> Result<Certificate, Blame> {
        let identity = Identity::load(cert, key)?;
        let (chain, key) = (identity.chain.clone(), identity.key.clone_key());
        let certified = CertifiedKey::from_der(chain, key, &ring::default_provider());
        let certified = Arc::new(certified.map_err(|error| identity.unfit(&error))?);
        let end_point = identity.chain.first().and_then(|own| end_point(own));
        Ok(Certificate { identity, certified, end_point })
    }

    /// Whether it is for this name, as clients see it.
    fn is_for(&self, name: &ServerName<'_>) -> bool {
        let own = self.identity.chain.first().map(ParsedCertificate::try_from);
        matches!(own, Some(Ok(own)) if verify_server_name(&own, name).is_ok())
    }
}

/// The certificates that are shown: to a client that names the server that it wants (SNI, RFC 6066) the first of the others
/// that is for that name, to all others the first.
#[derive(Debug)]
struct Certificates {
    first: Certificate,
    others: Vec<Certificate>,
}

impl Certificates {
    fn shown_to(&self, name: Option<&str>) -> &Certificate {
        let name = name.and_then(|name| ServerName::try_from(name).ok());
        let other = name.and_then(|name| self.others.iter().find(|one| one.is_for(&name)));
        other.unwrap_or(&self.first)
    }

    fn identities(&self) -> impl Iterator<Item = &Identity> {
        std::iter::once(&self.first).chain(&self.others).map(|one| &one.identity)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.shown_to(hello.server_name()).certified))
    }
}

/// Two are equal when no client could tell one from the other.
impl PartialEq for Tls {
    fn eq(&self, other: &Tls) -> bool {
        self.meaning() == other.meaning()
    }
}

/// Who must use TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// Who wants to.
    Allow,
    /// All but clients of a Unix socket.
    Require,
}

impl Word for TlsMode {
    const WORDS: &'static [(&'static str, TlsMode)] =
        &[("allow", TlsMode::Allow), ("require", TlsMode::Require)];
}

impl Tls {
    /// Everything that it was made of.
    fn meaning(&self) -> (TlsMode, TlsVersion, Vec<&Identity>, Option<&Authorities>) {
        let identities = self.certificates.identities().collect();
        (self.mode, self.min_version, identities, self.authorities.as_deref())
    }

    /// What the login of a client can be bound to that has wanted this server, if its certificate allows that.
    pub fn end_point(&self, name: Option<&str>) -> Option<&[u8]> {
        self.certificates.shown_to(name).end_point.as_deref()
    }

    /// Whether clients are asked for certificates.
    pub fn asks_for_certificates(&self) -> bool {
        self.authorities.is_some()
    }

    /// The files that it was read from, which may be replaced at any time.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let authorities = self.authorities.iter().map(|all| &*all.file);
        let own = self.certificates.identities();
        authorities.chain(own.flat_map(|one| [&*one.cert_file, &*one.key_file]))
    }

    /// The files with private keys.
    pub fn key_files(&self) -> impl Iterator<Item = &Path> {
        self.certificates.identities().map(|one| &*one.key_file)
    }

    /// With these certificates. Reads the file of the authorities that sign clients' certificates, if clients are asked for
    /// any.
    pub(in crate::config) fn load(
        mode: TlsMode,
        min_version: TlsVersion,
        (first, others): (Certificate, Vec<Certificate>),
        ca_file: Option<PathBuf>,
    ) -> Result<Tls, Blame> {
        let certificates = Arc::new(Certificates { first, others });
        let authorities = ca_file.map(Authorities::load).transpose()?.map(Arc::new);
        let provider = Arc::new(ring::default_provider());
        let clients = clients(authorities.as_deref(), &provider)?;
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(min_version.and_later())
            .map_err(|error| certificates.first.identity.unfit(&error))?
            .with_client_cert_verifier(clients)
            .with_cert_resolver(Arc::clone(&certificates) as Arc<dyn ResolvesServerCert>);
        server.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Tls { mode, server: Arc::new(server), min_version, certificates, authorities })
    }
}

/// Clients may show a certificate where they are asked for one, and then it must be in order.
fn clients(
    authorities: Option<&Authorities>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, Blame> {
    let Some(authorities) = authorities else { return Ok(WebPkiClientVerifier::no_client_auth()) };
    let roots = Arc::new(authorities.trusted()?.into_roots());
    WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider))
        .allow_unauthenticated()
        .build()
        .map_err(|error| authorities.blame(&error))
}
