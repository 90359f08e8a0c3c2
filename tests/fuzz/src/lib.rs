//! The parts of the program that read what comes from outside, without those that run policies: an engine that is built
//! with coverage counters would take minutes. What is here is asked by the fuzzers of the same names.

#![allow(dead_code, unused_imports, unused_macros, unreachable_pub)]

#[path = "../../../host/proxy/src/certificate.rs"]
mod certificate;
#[path = "../../../host/proxy/src/config/mod.rs"]
mod config;
#[path = "../../../host/proxy/src/figures/words.rs"]
mod figures;
#[path = "../../../host/proxy/src/frontend/mod.rs"]
mod frontend;
#[path = "../../../host/proxy/src/peers.rs"]
mod peers;
#[path = "../../../host/proxy/src/upstream/mod.rs"]
mod upstream;

mod admin;

pub use admin::console;

/// In place of the room that reads components.
mod policies {
    pub(crate) fn pinned(_: &str, _: &crate::config::PolicySource) -> Result<(), String> {
        Ok(())
    }
}

use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use howdah_wire::md5;
use howdah_wire::scram::Verifier;

use frontend::{Authenticator, Caller, ClientHello, Method, Opened, Proof};
use upstream::Stream;

/// The end of the year 9999, which is the last one that a certificate can name (RFC 5280, section 4.1.2.5).
const LAST_SECOND: u64 = 253_402_300_799;

/// Where the text of a configuration is, beside the script's other files.
const INPUT: &str = "artifacts/config/input.toml";

/// A certificate in DER says what it says, and the same twice.
pub fn certificate(der: &[u8]) {
    let _ = certificate::end_point(der);
    let Some(read) = certificate::Certificate::read(der) else { return };
    let (from, to) = read.validity();
    assert!(from.max(to) <= LAST_SECOND);
    let names = || {
        let all = read.dns_names().chain(read.mail_addresses()).map(str::to_owned);
        all.chain(read.common_name()).collect::<Vec<_>>()
    };
    assert_eq!(names(), names());
    for name in names() {
        // The common name is no host's beside alternative names.
        let is_host = read.names_host(&name);
        assert!(!is_host || read.dns_names().next().is_none(), "{name}");
    }
}

/// The header of a load balancer is read to its end, and no further.
pub fn proxy_header(bytes: &[u8]) {
    let Some((header, rest)) = behind(bytes) else { return };
    assert!(bytes.ends_with(&rest), "what is behind the header is the client's");
    let alone = &bytes[..bytes.len() - rest.len()];
    assert_eq!(behind(alone), Some((header, Vec::new())), "the header alone says the same");
}

/// What a header says, and what is left unread. None: it is malformed.
fn behind(bytes: &[u8]) -> Option<(Option<IpAddr>, Vec<u8>)> {
    received(bytes, async |mut stream, mut left| {
        let header = frontend::behind(&mut stream).await.ok()?;
        let mut rest = Vec::new();
        left.read_to_end(&mut rest).expect("all is there");
        Some((header, rest))
    })
}

/// The opening of a client, which does not know the password; the first byte says what it is asked for.
pub fn login(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let method = AskedFor(*first);
    let far = Instant::now() + Duration::from_secs(3_600);
    let opened = received(bytes, async |mut stream, _| {
        frontend::open(&mut stream, None, &method, far.into()).await
    });
    if let Opened::Client(client) = opened {
        assert!(method.is_trust(), "nobody is let in");
        assert!((1..=63).contains(&client.user.len()) && (1..=63).contains(&client.database.len()));
    }
}

/// A method by its number.
struct AskedFor(u8);

impl AskedFor {
    fn is_trust(&self) -> bool {
        self.0.is_multiple_of(4)
    }
}

impl Authenticator for AskedFor {
    fn tls(&self) -> Option<&config::Tls> {
        None
    }

    async fn method(&self, _: &ClientHello, _: Caller<'_>) -> Method {
        match self.0 % 4 {
            0 => Method::Trust,
            1 => Method::Scram(Arc::new(Verifier::derive(b"a password", b"some salt", 1))),
            2 => Method::Md5(config::Secret::new(md5::hash("a user", b"a password"))),
            _ => Method::Password(None),
        }
    }

    fn proven(&self, _: &ClientHello, _: Proof) {
        panic!("nothing was proven");
    }

    fn failed(&self, _: &ClientHello, _: Caller<'_>) -> Duration {
        Duration::ZERO
    }
}

/// What becomes of bytes that come over a connection which ends then. The second descriptor reads what is left of them.
fn received<T>(bytes: &[u8], read: impl AsyncFnOnce(Stream, UnixStream) -> T) -> T {
    static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().expect("a runtime")
    });
    let (ours, mut theirs) = UnixStream::pair().expect("a pair of sockets");
    theirs.write_all(bytes).expect("its buffer is larger than any input");
    theirs.shutdown(Shutdown::Write).expect("it is open");
    let left = ours.try_clone().expect("a descriptor");
    ours.set_nonblocking(true).expect("a socket");
    RUNTIME.block_on(async {
        let ours = tokio::net::UnixStream::from_std(ours).expect("a socket");
        read(ours.into(), left).await
    })
}

/// A configuration is read and is whole, or there are mistakes.
pub fn config(text: &[u8]) {
    // Open as long as it is used: some file systems write to the disk what is truncated and closed.
    static FILE: LazyLock<File> = LazyLock::new(|| File::create(INPUT).expect("a folder"));
    FILE.write_all_at(text, 0).and_then(|()| FILE.set_len(text.len() as u64)).expect("a file");
    match config::Config::load(INPUT.as_ref()) {
        Ok(config) => {
            assert!(!config.listen.is_empty() && !config.clusters.is_empty());
            assert!((1..=128).contains(&config.workers) && !config.policies.is_empty());
        }
        Err(mistakes) => {
            assert!(!mistakes.is_empty() && mistakes.iter().all(|one| !one.message.is_empty()));
        }
    }
}
