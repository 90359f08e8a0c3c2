//! Sends spans to a collector. One that does not answer costs spans, and nothing else.

use std::sync::atomic::Ordering;
use std::time::Duration;

use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST};
use tokio::time::{sleep, timeout};

use super::{Batch, Outbox, otlp};
use crate::config::Traces;
use crate::fetch::fetch;

/// Most batches of one request.
const MOST: usize = 512;
/// How long spans may wait for more of them.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a collector may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest answer that is read.
const MAX_ANSWER: usize = 64 << 10;

/// Sends until nobody can have any more.
pub(crate) async fn run(config: Traces, mut outbox: Outbox) {
    let (mut well, mut told) = (true, 0);
    loop {
        let mut batches = Vec::new();
        if outbox.batches.recv_many(&mut batches, MOST).await == 0 {
            return;
        }
        let sent = timeout(PATIENCE, send(&config, &batches)).await;
        let sent = sent.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        if let Err(error) = &sent {
            outbox.dropped.fetch_add(batches.len() as u64, Ordering::Relaxed);
            if well {
                let endpoint = config.endpoint.to_string();
                tracing::warn!(endpoint, error, "spans are lost: the collector does not take them");
            }
        }
        let lost = outbox.dropped.load(Ordering::Relaxed);
        if sent.is_ok() && lost > told {
            tracing::warn!(batches = lost - told, "spans of batches were lost");
            told = lost;
        }
        well = sent.is_ok();
        if batches.len() < MOST {
            sleep(PAUSE).await;
        }
    }
}

async fn send(config: &Traces, batches: &[Batch]) -> Result<(), String> {
    let document = otlp::request(&config.service_name, batches).to_string();
    let request = Request::post(config.endpoint.path.as_str())
        .header(HOST, config.endpoint.target.to_string())
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(document)))
        .map_err(|error| error.to_string())?;
    fetch(&config.endpoint.target, request, MAX_ANSWER).await.map(drop)
}
