//! Certificates for tests, and clients that check them.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::{RawClient, socket};

/// Who signs certificates, in a directory where its own is `ca.crt`.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    directory: PathBuf,
}

impl Authority {
    /// A new one.
    pub fn new(directory: &Path) -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "an authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let own = params.self_signed(&key).unwrap();
        std::fs::write(directory.join("ca.crt"), own.pem()).unwrap();
        Authority { issuer: Issuer::new(params, key), directory: directory.to_owned() }
    }

    /// A certificate for `localhost` and its key, as `server.crt` and `server.key` in this directory.
    pub fn issue(&self, directory: &Path) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "localhost");
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        // The certificate last: with the old key it would not do.
        std::fs::write(directory.join("server.key"), key.serialize_pem()).unwrap();
        std::fs::write(directory.join("server.crt"), certificate.pem()).unwrap();
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
