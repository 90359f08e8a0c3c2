use std::path::PathBuf;

use super::Step;
use crate::config::tls::{Blame, Certificate, MAX_CERTIFICATES, ServerTls, ServerTlsMode, Tls};
use crate::config::value::At;
use crate::config::written;

/// The places of the keys that name files.
#[derive(Default)]
struct Places {
    ca: usize,
    cert: usize,
    key: usize,
}

impl Step<'_> {
    /// TLS for clients. Without a certificate there is none, and then nothing else may be said of it.
    pub(super) fn tls(&self, At { at: table, value: written }: At<written::Tls>) -> Option<Tls> {
        let said = written != written::Tls::default();
        let (Some(cert), Some(key)) = (written.cert_file, written.key_file) else {
            if said {
                self.mistakes.add_missing(table, "tls: both cert_file and key_file are required");
            }
            return None;
        };
        let others = written.certificates;
        if others.value.len() > MAX_CERTIFICATES {
            let message = format!("tls.certificates: {MAX_CERTIFICATES} at most");
            self.mistakes.add(others.at, message);
            return None;
        }
        let first = self.certificate("tls", &cert, &key);
        let others: Vec<_> = others.value.iter().map(|one| self.further(one)).collect();
        let others: Option<Vec<_>> = others.into_iter().collect();
        let places =
            Places { ca: written.ca_file.as_ref().map_or(0, |ca| ca.at), ..Places::default() };
        let ca = written.ca_file.as_ref().map(|ca| self.tls_file(ca));
        let own = (first?, others?);
        self.loaded("tls", &places, Tls::load(written.mode, written.min_version, own, ca))
    }

    fn further(&self, written: &written::Certificate) -> Option<Certificate> {
        // What is missing has been complained of.
        let (cert, key) = (written.cert_file.as_ref()?, written.key_file.as_ref()?);
        self.certificate("tls.certificates", cert, key)
    }

    fn certificate(
        &self,
        table: &str,
        cert: &At<PathBuf>,
        key: &At<PathBuf>,
    ) -> Option<Certificate> {
        let places = Places { cert: cert.at, key: key.at, ..Places::default() };
        self.loaded(table, &places, Certificate::load(self.tls_file(cert), self.tls_file(key)))
    }

    /// TLS to the servers of a cluster. Without a mode there is none, and then nothing else may be said of it.
    pub(super) fn server_tls(
        &self,
        cluster: &str,
        At { at: table, value: written }: At<written::ServerTls>,
    ) -> Option<ServerTls> {
        let name = format!("cluster.{cluster}.tls");
        let said = written != written::ServerTls::default();
        let written::ServerTls { mode, ca_file, cert_file, key_file, channel_binding, min_version } =
            written;
        let Some(mode) = mode else {
            if said {
                let message = "the mode is missing, as in mode = \"verify-full\"";
                self.mistakes.add_missing(table, format!("{name}: {message}"));
            }
            return None;
        };
        if mode == ServerTlsMode::Disable {
            return None;
        }
        let mut places = Places::default();
        match (&ca_file, mode.verifies()) {
            (None, true) => {
                let message = "this mode requires ca_file, with the certificates that are believed";
                self.mistakes.add_missing(table, format!("{name}: {message}"));
                return None;
            }
            (Some(ca), false) => {
                let message = "only the modes verify-ca and verify-full check it";
                self.mistakes.add(ca.at, format!("{name}.ca_file: {message}"));
            }
            (Some(ca), true) => places.ca = ca.at,
            (None, false) => {}
        }
        let own = match (cert_file, key_file) {
            (Some(cert), Some(key)) => {
                (places.cert, places.key) = (cert.at, key.at);
                Some((self.tls_file(&cert), self.tls_file(&key)))
            }
            (None, None) => None,
            _ => {
                let message = format!("{name}: cert_file and key_file belong together");
                self.mistakes.add_missing(table, message);
                None
            }
        };
        let ca = ca_file.as_ref().map(|ca| self.tls_file(ca));
        self.loaded(&name, &places, ServerTls::load(mode, channel_binding, min_version, ca, own))
    }

    fn tls_file(&self, at: &At<PathBuf>) -> PathBuf {
        self.surroundings.path(&at.value)
    }

    fn loaded<T>(&self, table: &str, places: &Places, read: Result<T, Blame>) -> Option<T> {
        let (at, key, why) = match read {
            Ok(tls) => return Some(tls),
            Err(Blame::Ca(why)) => (places.ca, "ca_file", why),
            Err(Blame::Cert(why)) => (places.cert, "cert_file", why),
            Err(Blame::Key(why)) => (places.key, "key_file", why),
        };
        self.mistakes.add(at, format!("{table}.{key}: {why}"));
        None
    }
}
