//! Certificates for tests, and clients that check them.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use howdah_pgcluster::{Cluster, Options};
pub use rcgen::SanType;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::{RawClient, cache, socket};

/// Who signs certificates, in a directory where its own is `ca.crt`.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    directory: PathBuf,
}

impl Authority {
    /// A new one.
    pub fn new(directory: &Path) -> Authority {
        Authority::called("an authority", directory)
    }

    /// A new one of this name.
    pub fn called(name: &str, directory: &Path) -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let own = params.self_signed(&key).unwrap();
        std::fs::write(directory.join("ca.crt"), own.pem()).unwrap();
        Authority { issuer: Issuer::new(params, key), directory: directory.to_owned() }
    }

    /// A certificate for these alternative names and this common name, and its key.
    pub fn sign(&self, names: Vec<SanType>, common_name: &str) -> (String, String) {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        self.signed(params, common_name)
    }

    /// The same for this common name alone; the certificate has expired.
    pub fn sign_expired(&self, common_name: &str) -> (String, String) {
        let mut params = CertificateParams::default();
        params.not_after = date_time_ymd(2001, 1, 1);
        self.signed(params, common_name)
    }

    fn signed(&self, mut params: CertificateParams, common_name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// A certificate for `localhost` and its key, as `server.crt` and `server.key` in this directory.
    pub fn issue(&self, directory: &Path) {
        self.issue_for("localhost", directory, "server");
    }

    /// A certificate for this host or person and its key, in files of this name.
    pub fn issue_for(&self, name: &str, directory: &Path, file: &str) {
        let (certificate, key) = self.sign(vec![SanType::DnsName(name.try_into().unwrap())], name);
        // The certificate last: with the old key it would not do.
        std::fs::write(directory.join(format!("{file}.key")), key).unwrap();
        std::fs::write(directory.join(format!("{file}.crt")), certificate).unwrap();
    }

    /// Servers that know this authority, and speak TLS with a certificate of it for `localhost`. The rules are lines of
    /// `pg_hba.conf`.
    pub fn cluster(&self, replicas: usize, rules: &[&str], more: &[(&str, &str)]) -> Cluster {
        let (certificate, key) = self.sign(Vec::new(), "localhost");
        let own = std::fs::read_to_string(self.file()).unwrap();
        let text = |(name, content): (&str, &str)| (name.to_owned(), content.to_owned());
        let files = [("server.crt", &*certificate), ("server.key", &*key), ("root.crt", &*own)];
        Cluster::start(&Options {
            replicas,
            rules: rules.iter().map(|rule| (*rule).to_owned()).collect(),
            settings: vec!["ssl = on".to_owned(), "ssl_ca_file = 'root.crt'".to_owned()],
            files: files.into_iter().chain(more.iter().copied()).map(text).collect(),
            template: Some(cache()),
            ..Options::default()
        })
        .unwrap()
    }

    /// Where its own certificate is.
    pub fn file(&self) -> PathBuf {
        self.directory.join("ca.crt")
    }

    /// Encrypts a connection. The handshake is made when something is sent or read.
    pub fn encrypt(
        &self,
        stream: TcpStream,
        alpn: &[&[u8]],
    ) -> StreamOwned<ClientConnection, TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.file()).unwrap()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let name = ServerName::try_from("localhost").unwrap();
        StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), stream)
    }

    /// A client that asks for encryption, and gets it.
    pub fn client(&self, port: u16) -> RawClient {
        let stream = socket(port);
        let mut asking = RawClient::over(stream.try_clone().unwrap());
        let mut request = bytes::BytesMut::new();
        howdah_wire::startup::write_ssl_request(&mut request);
        asking.send(&request);
        assert_eq!(asking.byte(), b'S');
        RawClient::over(self.encrypt(stream, &[b"postgresql"]))
    }
}
