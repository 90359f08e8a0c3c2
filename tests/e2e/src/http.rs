//! A client of the proxy's HTTP server that says exactly what a test wants it to.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::PATIENCE;

/// What the server has answered.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Status line and headers, in lower case.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The rows of a table in it, each with its values under the names of the columns.
    pub fn rows(&self, table: &str) -> Vec<Value> {
        let told = self.json();
        let columns = told[table]["columns"].as_array().unwrap().clone();
        let names: Vec<&str> = columns.iter().map(|name| name.as_str().unwrap()).collect();
        let rows = told[table]["rows"].as_array().unwrap().iter();
        let named = |row: &Value| {
            let values = row.as_array().unwrap().iter().cloned();
            names.iter().copied().zip(values).collect::<Value>()
        };
        rows.map(named).collect()
    }
}

/// A port that nobody has at the moment.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Sends a request as it stands and reads until the server closes; none where it says nothing.
pub fn send(port: u16, request: &[u8]) -> Option<Answer> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // The server may have seen enough, and be gone.
    let _ = stream.write_all(request);
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    let text = String::from_utf8(text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().unwrap();
    Some(Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() })
}

/// Asks for something; `headers` are lines.
pub fn get(port: u16, path: &str, headers: &[&str]) -> Answer {
    let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let host = if lines.contains("Host:") { "" } else { "Host: localhost\r\n" };
    let request = format!("GET {path} HTTP/1.1\r\n{host}{lines}Connection: close\r\n\r\n");
    send(port, request.as_bytes()).unwrap()
}

/// Sends something.
pub fn post(port: u16, path: &str, headers: &[&str], body: &str) -> Answer {
    let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\n{lines}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    send(port, request.as_bytes()).unwrap()
}
