//! Traces of batches, for collectors that speak OTLP: a span for each batch that is sampled, and within it one for what
//! policies took, for the wait for a server, and for the server.
//!
//! An application that puts `traceparent` into a comment of its statement
//! (<https://google.github.io/sqlcommenter/spec/>) decides by it whether the statement is traced, and whose child the span is.

mod export;
mod otlp;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;

use crate::config::Traces;
use crate::upstream::random;
pub(crate) use export::run;

/// Batches whose spans wait to be sent; further ones are dropped.
const MOST_WAITING: usize = 4_096;

/// Where spans go.
pub(crate) struct Tracer {
    /// One batch in so many is sampled; none but those whose applications ask for it.
    one_in: Option<u32>,
    spans: mpsc::Sender<Batch>,
    dropped: Arc<AtomicU64>,
    /// What was the time when the process began.
    began: (Instant, SystemTime),
}

/// What is to be sent.
pub(crate) struct Outbox {
    pub(super) batches: mpsc::Receiver<Batch>,
    pub(super) dropped: Arc<AtomicU64>,
}

impl Tracer {
    pub(crate) fn new(config: &Traces) -> (Tracer, Outbox) {
        let (spans, batches) = mpsc::channel(MOST_WAITING);
        let dropped = Arc::<AtomicU64>::default();
        let outbox = Outbox { batches, dropped: Arc::clone(&dropped) };
        let began = (Instant::now(), SystemTime::now());
        (Tracer { one_in: config.sample_one_in, spans, dropped, began }, outbox)
    }

    /// Whether the next batch of those that nobody has asked for is sampled. `left` counts down to it.
    pub(crate) fn samples(&self, left: &mut u32) -> bool {
        let Some(one_in) = self.one_in else { return false };
        let due = *left == 0;
        *left = if due { one_in - 1 } else { *left - 1 };
        due
    }

    pub(crate) fn send(&self, batch: Batch) {
        if self.spans.try_send(batch).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Nanoseconds since 1970.
    pub(crate) fn nanoseconds(&self, at: Instant) -> u64 {
        let (began, wall) = self.began;
        let time = wall + at.saturating_duration_since(began);
        let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Which trace a span belongs to, and whose child it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Context {
    pub(crate) trace: [u8; 16],
    pub(crate) parent: Option<[u8; 8]>,
}

impl Context {
    /// A trace of its own.
    pub(crate) fn new() -> Context {
        Context { trace: random(), parent: None }
    }
}

/// What an application wants with a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// That it be traced, in this trace.
    Traced(Context),
    /// That it not be.
    Left,
}

/// The wish of a statement that says any (W3C Trace Context, `traceparent`: `00-TRACE-PARENT-FLAGS`).
pub(crate) fn wish(sql: &[u8]) -> Option<Wish> {
    memchr::memmem::find(sql, b"traceparent")?;
    let parent = howdah_sql::tag(sql, "traceparent")?;
    let mut parts = parent.split('-');
    let (version, trace, span, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let version: [u8; 1] = hex(version)?;
    // 255 is not allowed; later versions may have more parts.
    if version == [0xff] || version == [0] && parts.next().is_some() {
        return None;
    }
    let (trace, span, [flags]): ([u8; 16], [u8; 8], [u8; 1]) =
        (hex(trace)?, hex(span)?, hex(flags)?);
    if trace == [0; 16] || span == [0; 8] {
        return None;
    }
    let context = Context { trace, parent: Some(span) };
    Some(if flags & 1 == 1 { Wish::Traced(context) } else { Wish::Left })
}

fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let lower = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    if text.len() != 2 * N || !text.as_bytes().iter().all(lower) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

/// A piece of time, in nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lap {
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// What became of a batch that is traced.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) context: Context,
    pub(crate) whole: Lap,
    /// From the first question to a policy to the last answer.
    pub(crate) policy: Option<Lap>,
    /// While it waited for a server.
    pub(crate) wait: Option<Lap>,
    /// From when it had one to its end.
    pub(crate) server: Option<Lap>,
    pub(crate) kind: &'static str,
    pub(crate) digest: u64,
    pub(crate) database: String,
    pub(crate) cluster: String,
    pub(crate) node: Option<Arc<str>>,
    /// Which policy decided.
    pub(crate) decided_by: Option<String>,
    /// Where the verdict came from.
    pub(crate) source: &'static str,
    pub(crate) rows: u64,
    pub(crate) sqlstate: Option<String>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::config::Collector;

    fn target() -> crate::upstream::Target {
        crate::upstream::Target { host: "x".to_owned(), port: 1 }
    }

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn said(parent: &str) -> Option<Wish> {
        wish(format!("SELECT 1 /*traceparent='{parent}'*/").as_bytes())
    }

    #[test]
    fn a_statement_says_whose_child_it_is() {
        let context = Context {
            trace: 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes(),
            parent: Some(0x00f0_67aa_0ba9_02b7_u64.to_be_bytes()),
        };
        assert_eq!(said(&format!("00-{TRACE}-{SPAN}-01")), Some(Wish::Traced(context)));
        assert_eq!(said(&format!("00-{TRACE}-{SPAN}-00")), Some(Wish::Left));
        // A later version may have more to say.
        assert_eq!(said(&format!("01-{TRACE}-{SPAN}-01-x")), Some(Wish::Traced(context)));
    }

    #[test]
    fn what_is_no_context_says_nothing() {
        let zeros = "0".repeat(32);
        for parent in [
            String::new(),
            "00".to_owned(),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}-01-x"),
            format!("00-{zeros}-{SPAN}-01"),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}é-{SPAN}-01"),
        ] {
            assert_eq!(said(&parent), None, "{parent}");
        }
        assert_eq!(wish(b"SELECT 'traceparent'"), None);
    }

    #[test]
    fn one_in_so_many_is_sampled() {
        let sampled = |one_in, of: u32| {
            let config = Traces {
                endpoint: Collector { target: target(), path: "/".to_owned() },
                sample_one_in: one_in,
                service_name: String::new(),
            };
            let (tracer, _outbox) = Tracer::new(&config);
            let mut left = 0;
            (0..of).filter(|_| tracer.samples(&mut left)).count()
        };
        assert_eq!(sampled(Some(10), 100), 10);
        assert_eq!(sampled(Some(1), 100), 100);
        assert_eq!(sampled(None, 100), 0);
    }
}
