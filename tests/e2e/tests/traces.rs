//! Spans of batches, as a collector gets them.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use howdah_e2e::{Running, connect, shared, try_value, value, wait};
use serde_json::Value;

/// A collector that keeps what it gets.
struct Collector {
    port: u16,
    requests: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Collector {
    fn start() -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::<Mutex<Vec<_>>>::default();
        let kept = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                let (mut first, mut line, mut length) = (String::new(), String::new(), 0);
                stream.read_line(&mut first).unwrap();
                while stream.read_line(&mut line).unwrap() > 2 {
                    let header = line.trim().to_ascii_lowercase();
                    if let Some(value) = header.strip_prefix("content-length: ") {
                        length = value.parse().unwrap();
                    }
                    line.clear();
                }
                let mut body = vec![0; length];
                stream.read_exact(&mut body).unwrap();
                kept.lock().unwrap().push((first, serde_json::from_slice(&body).unwrap()));
                let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
                stream.get_mut().write_all(answer.as_bytes()).unwrap();
            }
        });
        Collector { port, requests }
    }

    fn configuration(&self, more: &str) -> String {
        format!("[traces]\nendpoint = \"http://127.0.0.1:{}\"\n{more}\n", self.port)
    }

    fn spans(&self) -> Vec<Value> {
        let requests = self.requests.lock().unwrap();
        let of = |(_, body): &(String, Value)| {
            let spans = &body["resourceSpans"][0]["scopeSpans"][0]["spans"];
            spans.as_array().unwrap().clone()
        };
        requests.iter().flat_map(of).collect()
    }

    /// The spans of a trace, once they are there.
    fn trace(&self, id: &str) -> Vec<Value> {
        let of = |span: &Value| span["traceId"] == id;
        wait("a trace", || self.spans().iter().any(of));
        self.spans().into_iter().filter(of).collect()
    }
}

fn attribute<'s>(span: &'s Value, key: &str) -> Option<&'s str> {
    let attributes = span["attributes"].as_array()?;
    let found = attributes.iter().find(|one| one["key"] == key)?;
    found["value"]["stringValue"].as_str().or_else(|| found["value"]["intValue"].as_str())
}

fn time(span: &Value, key: &str) -> u64 {
    span[key].as_str().unwrap().parse().unwrap()
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

fn within(sql: &str, trace: &str, flags: &str) -> String {
    format!("{sql} /*traceparent='00-{trace}-{SPAN}-{flags}'*/")
}

#[tokio::test]
async fn a_statement_is_part_of_the_trace_of_its_application() {
    let collector = Collector::start();
    let proxy = Running::start(&shared().nodes(), &collector.configuration(""));
    proxy.wait_up(3).wait_split().await;
    let client = connect(proxy.port, "postgres").await;
    value(&client, "SELECT 'nobody asks for this'").await;
    let unwanted = TRACE.replace('4', "5");
    value(&client, &within("SELECT 1", &unwanted, "00")).await;
    value(&client, &within("SELECT 'hidden' FROM generate_series(1, 3)", TRACE, "01")).await;
    let spans = collector.trace(TRACE);
    let whole = spans.iter().find(|span| span["parentSpanId"] == SPAN).unwrap();
    assert_eq!(whole["name"], "read");
    assert_eq!(attribute(whole, "db.system.name"), Some("postgresql"));
    assert_eq!(attribute(whole, "db.namespace"), Some("postgres"));
    assert_eq!(attribute(whole, "db.response.returned_rows"), Some("3"));
    assert_eq!(attribute(whole, "howdah.policy"), Some("read-write-split"));
    let node = attribute(whole, "server.address").unwrap();
    assert!(shared().nodes()[1..].iter().any(|replica| replica == node), "{node}");
    let parts = ["policy", "wait for a server", "server"];
    for name in parts {
        let part = spans.iter().find(|span| span["name"] == name).unwrap();
        assert_eq!(part["parentSpanId"], whole["spanId"], "{name}");
        assert!(time(part, "startTimeUnixNano") >= time(whole, "startTimeUnixNano"), "{name}");
        assert!(time(part, "endTimeUnixNano") <= time(whole, "endTimeUnixNano"), "{name}");
    }
    assert_eq!(spans.len(), 1 + parts.len());
    // In a transaction nobody is asked, and a statement may fail.
    let other = TRACE.replace('4', "6");
    value(&client, "BEGIN").await;
    try_value(&client, &within("SELECT nothing", &other, "01")).await.unwrap_err();
    value(&client, "ROLLBACK").await;
    let failed = collector.trace(&other);
    let whole = failed.iter().find(|span| span["parentSpanId"] == SPAN).unwrap();
    assert_eq!(attribute(whole, "db.response.status_code"), Some("42703"));
    assert_eq!(whole["status"]["code"], 2);
    assert_eq!(attribute(whole, "howdah.verdict.source"), Some("bound"));
    let all = collector.spans();
    assert!(all.iter().all(|span| span["traceId"] == TRACE || span["traceId"] == other), "{all:?}");
    let requests = collector.requests.lock().unwrap();
    assert!(requests.iter().all(|(line, _)| line.starts_with("POST /v1/traces HTTP/1.1")));
    assert!(!format!("{requests:?}").contains("hidden"), "the text of a statement is sent");
}

#[tokio::test]
async fn one_batch_in_so_many_is_traced() {
    let collector = Collector::start();
    let text = collector.configuration("sample_one_in = 10\nservice_name = \"front\"");
    let proxy = Running::start(&shared().nodes(), &text);
    proxy.wait_up(3);
    let client = connect(proxy.port, "postgres").await;
    for _ in 0..100 {
        value(&client, "SELECT 1").await;
    }
    let wholes =
        || collector.spans().iter().filter(|span| span.get("parentSpanId").is_none()).count();
    wait("spans", || wholes() >= 10);
    assert!((10..=11).contains(&wholes()), "{}", wholes());
    let requests = collector.requests.lock().unwrap();
    let attributes = &requests[0].1["resourceSpans"][0]["resource"]["attributes"];
    assert_eq!(attributes[0]["value"]["stringValue"], "front");
}

#[tokio::test]
async fn a_collector_that_is_not_there_costs_nothing_but_spans() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let text = format!("[traces]\nendpoint = \"http://127.0.0.1:{port}\"\nsample_one_in = 1\n");
    let proxy = Running::start(&shared().nodes(), &text);
    proxy.wait_up(3);
    let client = connect(proxy.port, "postgres").await;
    for n in 0..100 {
        assert_eq!(value(&client, &format!("SELECT {n}")).await, n.to_string());
    }
}
