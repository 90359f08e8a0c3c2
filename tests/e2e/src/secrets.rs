//! Whatever proxies print while tests run, no secret is in it. A secret is known by a word that every password of the tests
//! has in it.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Mutex, Once, PoisonError};

use howdah::run::Proxy;
use tracing_subscriber::EnvFilter;

use crate::PATIENCE;

/// Every password of the tests has it in it.
pub const MARK: &str = "sesame";

/// How verifiers begin: as servers keep them, they are no less secret.
const VERIFIER: &str = "SCRAM-SHA-256$";

/// Lines of logs that have a secret in them.
static FOUND: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// From now on all that proxies of this process log is searched, at the most talkative level.
pub(crate) fn search_logs() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // The clients of the tests may say what they like.
        let proxies = EnvFilter::new("warn,howdah=trace");
        let log = tracing_subscriber::fmt().with_env_filter(proxies).with_ansi(false);
        log.with_writer(|| Searched).init();
    });
}

/// A log of which only secrets are kept. Each line comes whole.
struct Searched;

impl Write for Searched {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        if is_secret(&text) {
            FOUND.lock().unwrap_or_else(PoisonError::into_inner).push(format!("log: {text}"));
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn is_secret(text: &str) -> bool {
    text.contains(MARK) || text.contains(VERIFIER)
}

/// What a proxy tells those who operate it: where, and what.
pub(crate) fn told(proxy: &Proxy, directory: &Path) -> Vec<(&'static str, String)> {
    // Tests may run on a runtime, where nobody may wait.
    let told = std::thread::scope(|scope| scope.spawn(|| proxy.told()).join());
    let mut told = told.unwrap().unwrap();
    for order in ["status", "failovers", "nodes", "record status"] {
        // A test may have another socket, or have taken it away.
        if let Ok(answer) = ask(&directory.join("control"), order) {
            told.push((order, answer));
        }
    }
    told
}

fn ask(socket: &Path, order: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("{order}\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Fails if there is a secret in what has been told, or has been logged so far.
pub(crate) fn search(told: &[(&str, String)]) {
    let mut found = std::mem::take(&mut *FOUND.lock().unwrap_or_else(PoisonError::into_inner));
    for (place, text) in told {
        let lines = text.lines().filter(|line| is_secret(line));
        found.extend(lines.map(|line| format!("{place}: {line}")));
    }
    assert!(found.is_empty(), "secrets are printed:\n{}", found.join("\n"));
}
