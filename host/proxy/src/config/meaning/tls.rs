use std::path::PathBuf;

use super::Step;
use crate::config::tls::{Blame, Tls};
use crate::config::value::At;
use crate::config::written;

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
        let path = |at: &At<PathBuf>| self.surroundings.path(&at.value);
        let read = Tls::load(written.mode, written.min_version, path(&cert), path(&key));
        match read {
            Ok(tls) => Some(tls),
            Err(Blame::Cert(why)) => {
                self.mistakes.add(cert.at, format!("tls.cert_file: {why}"));
                None
            }
            Err(Blame::Key(why)) => {
                self.mistakes.add(key.at, format!("tls.key_file: {why}"));
                None
            }
        }
    }
}
