//! Where clients come in, and how their connections are encrypted.

use super::Import;
use crate::config::show_address;
use crate::upstream::Target;

/// As libpq's; PgBouncer knows all of them on both sides.
pub(super) const MODES: [&str; 6] =
    ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

impl Import<'_> {
    /// `listen` and `peers`.
    pub(super) fn listen(&mut self) {
        let Ok(port) = self.text("listen_port").parse::<u16>() else {
            let message = "listen_port: it must be 0 to 65535".to_owned();
            return self.mistake_of("listen_port", message);
        };
        let mut listen = Vec::new();
        for host in self.text("listen_addr").split(',').map(str::trim).filter(|h| !h.is_empty()) {
            let host = if host == "*" {
                let text =
                    format!("if clients come over IPv6, write \"[::]:{port}\", which takes both");
                self.note_of("listen_addr", text);
                "0.0.0.0"
            } else {
                host
            };
            listen.push(show_address(&Target { host: host.to_owned(), port }));
        }
        match self.text("unix_socket_dir") {
            "" => {}
            name if name.starts_with('@') => {
                self.note_of("unix_socket_dir", "there are no abstract sockets: name a directory");
            }
            directory => listen.push(format!("{directory}:{port}")),
        }
        if listen.is_empty() {
            self.note_of("listen_addr", "without any address the proxy listens at 127.0.0.1:6432");
            return;
        }
        self.document.table("").set("listen", listen, "");
        self.peers();
    }

    fn peers(&mut self) {
        if self.peers.is_empty() {
            return;
        }
        if self.is_on("so_reuseport") {
            self.notes.push(
                "[peers]: left out, because one process uses all cores; it names the others where there are \
                 several all the same"
                    .to_owned(),
            );
            return;
        }
        let mut peers = Vec::new();
        for peer in std::mem::take(&mut self.peers) {
            let port = peer.get("port").unwrap_or("6432").parse();
            match (peer.get("host"), port) {
                (Some(host), Ok(port)) => {
                    peers.push(show_address(&Target { host: host.to_owned(), port }));
                }
                _ => {
                    let message =
                        format!("peer {}: it needs a host, and a port that is one", peer.name);
                    self.mistakes.push(peer.place.mistake(message));
                }
            }
        }
        self.notes.push(
            "peers: one of them must be this process: an address of listen, or of this machine"
                .to_owned(),
        );
        self.document.table("").set("peers", peers, "[peers]");
    }

    /// Whether each client must encrypt.
    pub(super) fn must_encrypt(&mut self) -> bool {
        matches!(self.word("client_tls_sslmode", &MODES), "require" | "verify-ca" | "verify-full")
    }

    /// Whether each client of TLS must have a certificate.
    pub(super) fn must_be_certified(&mut self) -> bool {
        self.word("client_tls_sslmode", &MODES).starts_with("verify")
    }

    /// `[tls]`.
    pub(super) fn client_tls(&mut self) {
        let mode = self.word("client_tls_sslmode", &MODES);
        if mode == "disable" {
            return;
        }
        let (cert, key) = (self.path("client_tls_cert_file"), self.path("client_tls_key_file"));
        let (Some(cert), Some(key)) = (cert, key) else {
            let message =
                "client_tls_sslmode: client_tls_cert_file and client_tls_key_file are missing";
            return self.mistake_of("client_tls_sslmode", message.to_owned());
        };
        let required = self.must_encrypt();
        let certified = self.must_be_certified();
        let authorities = self.path("client_tls_ca_file").filter(|_| certified);
        let oldest = self.oldest_tls("client_tls_protocols");
        let table = self.document.table("[tls]");
        table.set("cert_file", cert.display().to_string(), "client_tls_cert_file");
        table.set("key_file", key.display().to_string(), "client_tls_key_file");
        if let Some(authorities) = authorities {
            table.set("ca_file", authorities.display().to_string(), "client_tls_ca_file");
        }
        if required {
            table.set("mode", "require", "client_tls_sslmode");
        }
        if let Some(oldest) = oldest {
            table.set("min_version", oldest, "client_tls_protocols");
        }
    }

    /// `[admin]`.
    pub(super) fn console(&mut self) {
        let mut somebody = false;
        for (setting, key) in [("admin_users", "operators"), ("stats_users", "viewers")] {
            let names = self.text(setting).split(',').map(str::trim);
            let names: Vec<&str> = names.filter(|name| !name.is_empty()).collect();
            if !names.is_empty() {
                self.document.table("[admin]").set(key, names, setting);
                somebody = true;
            }
        }
        if somebody {
            self.notes
                .push("[admin]: the console is the database howdah, not pgbouncer".to_owned());
        }
    }

    /// The oldest version of TLS in a list, if it is not the default.
    pub(super) fn oldest_tls(&mut self, setting: &str) -> Option<&'static str> {
        let list = self.text(setting);
        let versions: Vec<&str> = list.split([',', ':', ' ']).filter(|v| !v.is_empty()).collect();
        let old = |version: &&str| matches!(*version, "all" | "legacy" | "tlsv1.0" | "tlsv1.1");
        if versions.iter().any(old) {
            self.note_of(setting, "TLS before version 1.2 is not spoken");
        }
        (versions == ["tlsv1.3"]).then_some("TLSv1.3")
    }
}

/// Whether only clients of this machine reach these addresses.
pub(super) fn is_local(addresses: &str) -> bool {
    let mut hosts = addresses.split(',').map(str::trim).filter(|host| !host.is_empty());
    let local = |host: &str| {
        host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
    };
    hosts.all(local)
}
