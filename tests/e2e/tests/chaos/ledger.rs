//! Clients that write down, outside of the database, what they were told of each row.

use std::collections::{BTreeMap, HashMap};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use howdah_wire::backend::{DataRow, ErrorResponse, tag};
use howdah_wire::{Version, frame, frontend, limits, startup};

/// Longest time that a client waits for an answer, whatever happens: then it counts as dropped.
const PATIENCE: Duration = Duration::from_secs(90);

/// What a client gets in the place of an SQLSTATE when its connection ends.
const GONE: &str = "gone";

/// What a client was told of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Committed,
    /// An error that says, or implies, that it is not there.
    Refused,
    /// 08007.
    Unknown,
    /// The connection ended.
    Dropped,
}

/// A row, what its client was told, and when.
pub(crate) struct Entry {
    pub(crate) key: u64,
    pub(crate) told: Told,
    pub(crate) at: Instant,
}

/// All that clients have seen.
pub(crate) struct Seen {
    pub(crate) entries: Mutex<Vec<Entry>>,
    /// Errors by SQLSTATE.
    pub(crate) errors: Mutex<BTreeMap<String, u64>>,
    pub(crate) dropped: AtomicU64,
    /// Rows that were not there for the session that had just been told of them.
    pub(crate) unseen: Mutex<Vec<String>>,
    /// Odd while a promotion is under way that may lose what was acknowledged.
    pub(crate) promotions: AtomicU64,
    pub(crate) commits: Progress,
    pub(crate) reads: Progress,
    next: AtomicU64,
    over: AtomicBool,
}

/// How often something has been done, and the longest time in which it was not.
pub(crate) struct Progress {
    pub(crate) count: AtomicU64,
    times: Mutex<Times>,
}

struct Times {
    last: Instant,
    longest: Duration,
    /// The first since [`Progress::mark`].
    first: Option<Instant>,
}

impl Progress {
    fn new() -> Progress {
        let times = Times { last: Instant::now(), longest: Duration::ZERO, first: None };
        Progress { count: AtomicU64::new(0), times: Mutex::new(times) }
    }

    fn step(&self) {
        self.count.fetch_add(1, Ordering::SeqCst);
        let mut times = self.times.lock().unwrap();
        let now = Instant::now();
        times.longest = times.longest.max(now - times.last);
        times.last = now;
        times.first.get_or_insert(now);
    }

    pub(crate) fn mark(&self) {
        self.times.lock().unwrap().first = None;
    }

    /// When it was done for the first time since the mark.
    pub(crate) fn first(&self) -> Option<Instant> {
        self.times.lock().unwrap().first
    }

    /// The longest pause since the last call.
    pub(crate) fn longest(&self) -> Duration {
        let mut times = self.times.lock().unwrap();
        let longest = times.longest.max(times.last.elapsed());
        *times = Times { last: Instant::now(), longest: Duration::ZERO, ..*times };
        longest
    }

    /// Waits for so many more.
    pub(crate) fn wait_for(&self, more: u64) {
        let (goal, give_up) = (self.count.load(Ordering::SeqCst) + more, Instant::now() + PATIENCE);
        while self.count.load(Ordering::SeqCst) < goal {
            assert!(Instant::now() < give_up, "clients do not go on");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Clients at work.
pub(crate) struct Clients {
    pub(crate) seen: Arc<Seen>,
    threads: Vec<JoinHandle<()>>,
}

impl Clients {
    pub(crate) fn start(port: u16, writers: usize, readers: usize) -> Clients {
        let seen = Arc::new(Seen {
            entries: Mutex::default(),
            errors: Mutex::default(),
            dropped: AtomicU64::new(0),
            unseen: Mutex::default(),
            promotions: AtomicU64::new(0),
            commits: Progress::new(),
            reads: Progress::new(),
            next: AtomicU64::new(1),
            over: AtomicBool::new(false),
        });
        let thread = |work: fn(&Seen, u16)| {
            let seen = Arc::clone(&seen);
            std::thread::spawn(move || work(&seen, port))
        };
        let writers = (0..writers).map(|_| thread(write));
        let threads = writers.chain((0..readers).map(|_| thread(read))).collect();
        Clients { seen, threads }
    }

    pub(crate) fn end(self) -> Arc<Seen> {
        self.seen.over.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread.join().unwrap();
        }
        self.seen
    }
}

/// How often each row is there, by key.
pub(crate) fn rows(rows: Vec<Vec<Option<String>>>) -> HashMap<u64, u64> {
    let number = |value: Option<&Option<String>>| value?.as_ref()?.parse().ok();
    let pairs = rows.iter().filter_map(|row| Some((number(row.first())?, number(row.get(1))?)));
    pairs.collect()
}

fn write(seen: &Seen, port: u16) {
    let mut client = Client::login(port).unwrap();
    while !seen.over.load(Ordering::SeqCst) {
        let key = seen.next.fetch_add(1, Ordering::SeqCst);
        let promotions = seen.promotions.load(Ordering::SeqCst);
        let told = insert(seen, &mut client, key);
        let at = Instant::now();
        if told == Told::Committed {
            seen.commits.step();
            let found = seen.noted(client.ask(&format!(
                "SELECT count(*) || ' at ' || current_setting('port') FROM ledger WHERE key = {key}"
            )));
            // What was acknowledged may be lost by a promotion of an asynchronous replica.
            let quiet = promotions.is_multiple_of(2)
                && promotions == seen.promotions.load(Ordering::SeqCst);
            if let Ok(found) = found
                && quiet
                && !found.as_ref().is_some_and(|found| found.starts_with("1 at "))
            {
                seen.unseen.lock().unwrap().push(format!("{key}: {found:?} at {at:?}"));
            }
        }
        seen.entries.lock().unwrap().push(Entry { key, told, at });
        if client.gone {
            client = seen.again(port);
        }
    }
}

/// One row, by itself or in a transaction, by simple queries or in the extended protocol.
fn insert(seen: &Seen, client: &mut Client, key: u64) -> Told {
    let insert = format!("INSERT INTO ledger VALUES ({key})");
    let statements: &[&str] = match key % 3 {
        0 => &[&insert],
        1 => &["BEGIN", &insert, "COMMIT"],
        _ => &["BEGIN", &insert, "SELECT count(*) FROM ledger WHERE key = 0", "COMMIT"],
    };
    let ask = if key.is_multiple_of(2) { Client::ask } else { Client::ask_extended };
    for (at, sql) in statements.iter().enumerate() {
        let Err(state) = seen.noted(ask(client, sql)) else { continue };
        if client.gone {
            return Told::Dropped;
        }
        let last = at + 1 == statements.len();
        if !last && statements.len() > 1 {
            // An error that is one more is noted like the others.
            let _ = seen.noted(client.ask("ROLLBACK"));
        }
        return if last && state == "08007" { Told::Unknown } else { Told::Refused };
    }
    Told::Committed
}

/// Reads that any replica can answer.
fn read(seen: &Seen, port: u16) {
    let mut client = Client::login(port).unwrap();
    while !seen.over.load(Ordering::SeqCst) {
        if seen.noted(client.ask("SELECT count(*) FROM ledger WHERE key = 1")).is_ok() {
            seen.reads.step();
        }
        if client.gone {
            client = seen.again(port);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

impl Seen {
    fn noted(&self, answer: Result<Option<String>, String>) -> Result<Option<String>, String> {
        if let Err(state) = &answer
            && state != GONE
        {
            *self.errors.lock().unwrap().entry(state.clone()).or_default() += 1;
        }
        answer
    }

    /// A client has been dropped, and comes back.
    fn again(&self, port: u16) -> Client {
        self.dropped.fetch_add(1, Ordering::SeqCst);
        let give_up = Instant::now() + PATIENCE;
        loop {
            // Some let clients in before there is a server.
            if let Some(mut client) = Client::login(port)
                && client.ask("SELECT 1").is_ok()
            {
                return client;
            }
            assert!(Instant::now() < give_up, "nobody is let in");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A client that survives whatever is done to it.
pub(crate) struct Client {
    stream: TcpStream,
    input: BytesMut,
    /// Its connection has ended.
    gone: bool,
}

impl Client {
    pub(crate) fn login(port: u16) -> Option<Client> {
        let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.set_nodelay(true).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let mut out = BytesMut::new();
        let parameters = [("user", "postgres"), ("database", "postgres")];
        startup::write_startup(&mut out, Version::V3_0, parameters.into_iter());
        let mut client = Client { stream, input: BytesMut::new(), gone: false };
        client.stream.write_all(&out).ok()?;
        client.answer().ok()?;
        Some(client)
    }

    /// The first value of the answer, or its SQLSTATE; `gone` when the connection has ended.
    pub(crate) fn ask(&mut self, sql: &str) -> Result<Option<String>, String> {
        let mut out = BytesMut::new();
        frontend::Query { text: sql.as_bytes() }.write(&mut out);
        self.send(&out)
    }

    /// The same in the extended protocol.
    fn ask_extended(&mut self, sql: &str) -> Result<Option<String>, String> {
        let mut out = BytesMut::new();
        let (name, portal) = (b"", b"");
        frontend::Parse { name, query: sql.as_bytes(), types: b"\0\0" }.write(&mut out);
        frontend::Bind { portal, statement: name, rest: b"\0\0\0\0\0\0" }.write(&mut out);
        frontend::Describe { target: frontend::Target::Portal, name: portal }.write(&mut out);
        frontend::Execute { portal, max_rows: 0 }.write(&mut out);
        frontend::Sync.write(&mut out);
        self.send(&out)
    }

    fn send(&mut self, out: &[u8]) -> Result<Option<String>, String> {
        match self.stream.write_all(out) {
            Ok(()) => self.answer(),
            Err(_) => self.ended(),
        }
    }

    fn ended(&mut self) -> Result<Option<String>, String> {
        self.gone = true;
        Err(GONE.to_owned())
    }

    fn answer(&mut self) -> Result<Option<String>, String> {
        let mut value = Ok(None);
        loop {
            // What makes no sense is the end too.
            let Ok(head) = frame::peek(&self.input, limits::MAX_FRAME_LEN) else {
                return self.ended();
            };
            let Some(head) = head.filter(|head| head.len <= self.input.len()) else {
                let mut chunk = [0; 8192];
                match self.stream.read(&mut chunk) {
                    Ok(n @ 1..) => self.input.extend_from_slice(&chunk[..n]),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    _ => return self.ended(),
                }
                continue;
            };
            let mut message = self.input.split_to(head.len);
            message.advance(frame::HEADER_LEN);
            match head.tag {
                tag::READY_FOR_QUERY => return value,
                tag::ERROR_RESPONSE => {
                    let Ok(error) = ErrorResponse::read(&message) else { return self.ended() };
                    let state = error.sqlstate().unwrap_or(*b"XX000");
                    value = Err(String::from_utf8_lossy(&state).into_owned());
                }
                tag::DATA_ROW => {
                    let Ok(row) = DataRow::read(&message) else { return self.ended() };
                    let first = row.values().next().flatten();
                    value = Ok(first.map(|value| String::from_utf8_lossy(value).into_owned()));
                }
                _ => {}
            }
        }
    }
}
