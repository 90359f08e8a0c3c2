use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

use super::TlsVersion;
use super::files::{Authorities, Blame, Identity};
use crate::certificate::end_point;
use crate::config::value::Word;
use crate::upstream::ALPN;

/// TLS for clients.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Who must use it.
    pub mode: TlsMode,
    /// What is offered.
    pub server: Arc<ServerConfig>,
    /// What logins can be bound to, if the certificate allows that.
    pub end_point: Option<Arc<[u8]>>,
    min_version: TlsVersion,
    /// What was read from the files.
    identity: Arc<Identity>,
    authorities: Option<Arc<Authorities>>,
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
    fn meaning(&self) -> (TlsMode, TlsVersion, &Identity, Option<&Authorities>) {
        (self.mode, self.min_version, &self.identity, self.authorities.as_deref())
    }

    /// Whether clients are asked for certificates.
    pub fn asks_for_certificates(&self) -> bool {
        self.authorities.is_some()
    }

    /// The files that it was read from, which may be replaced at any time.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let authorities = self.authorities.iter().map(|all| &*all.file);
        authorities.chain([&*self.identity.cert_file, &*self.identity.key_file])
    }

    /// The file with the private key.
    pub fn key_file(&self) -> &Path {
        &self.identity.key_file
    }

    /// Reads the files: those of the certificate and its key; that of the authorities that sign clients' certificates, if
    /// clients are asked for any.
    pub(in crate::config) fn load(
        mode: TlsMode,
        min_version: TlsVersion,
        (cert_file, key_file): (PathBuf, PathBuf),
        ca_file: Option<PathBuf>,
    ) -> Result<Tls, Blame> {
        let identity = Identity::load(cert_file, key_file)?;
        let authorities = ca_file.map(Authorities::load).transpose()?.map(Arc::new);
        let (chain, key) = (identity.chain.clone(), identity.key.clone_key());
        let provider = Arc::new(ring::default_provider());
        let clients = clients(authorities.as_deref(), &provider)?;
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(min_version.and_later())
            .map(|builder| builder.with_client_cert_verifier(clients))
            .and_then(|builder| builder.with_single_cert(chain, key))
            .map_err(|error| identity.unfit(&error))?;
        server.alpn_protocols = vec![ALPN.to_vec()];
        let end_point = identity.chain.first().and_then(|own| end_point(own)).map(Arc::from);
        let (server, identity) = (Arc::new(server), Arc::new(identity));
        Ok(Tls { mode, server, end_point, min_version, identity, authorities })
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
