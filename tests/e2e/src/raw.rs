use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use howdah_wire::{Version, backend, frame, frontend, limits, startup};

/// What a client's bytes travel over.
pub trait Transport: Read + Write + Send {}

impl<T: Read + Write + Send> Transport for T {}

/// A client that sends whatever it is told to, and sees every message.
pub struct RawClient {
    stream: Box<dyn Transport>,
    input: BytesMut,
    /// As in BackendKeyData.
    pub key: Option<(u32, Vec<u8>)>,
}

impl RawClient {
    /// Connects without a word.
    pub fn connect(port: u16) -> RawClient {
        RawClient::over(socket(port))
    }

    /// Over a connection that has been made.
    pub fn over(stream: impl Transport + 'static) -> RawClient {
        RawClient { stream: Box::new(stream), input: BytesMut::new(), key: None }
    }

    /// Connects and logs in where everybody is trusted.
    pub fn login(port: u16) -> RawClient {
        RawClient::login_to(port, "postgres")
    }

    /// The same, in another database.
    pub fn login_to(port: u16, database: &str) -> RawClient {
        let mut client = RawClient::connect(port);
        client.log_in(database);
        client
    }

    /// Logs in where everybody is trusted.
    pub fn log_in(&mut self, database: &str) {
        let mut out = BytesMut::new();
        let parameters = [("user", "postgres"), ("database", database)];
        startup::write_startup(&mut out, Version::V3_0, parameters.into_iter());
        self.send(&out);
        for (tag, body) in self.until_ready() {
            if tag == backend::tag::BACKEND_KEY_DATA {
                let data = backend::BackendKeyData::read(&body).unwrap();
                self.key = Some((data.pid, data.key.to_vec()));
            }
        }
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
        self.stream.flush().unwrap();
    }

    /// The next byte, which is in no message.
    pub fn byte(&mut self) -> u8 {
        let mut byte = [0];
        self.stream.read_exact(&mut byte).unwrap();
        byte[0]
    }

    /// Sends bytes in pieces of this size.
    pub fn send_in_pieces(&mut self, bytes: &[u8], size: usize) {
        for piece in bytes.chunks(size) {
            self.send(piece);
        }
    }

    /// Sends a simple query.
    pub fn query(&mut self, sql: &str) {
        let mut out = BytesMut::new();
        frontend::Query { text: sql.as_bytes() }.write(&mut out);
        self.send(&out);
    }

    /// The next message; none at the end of the connection.
    pub fn message(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            let head = frame::peek(&self.input, limits::MAX_FRAME_LEN).unwrap();
            if let Some(head) = head.filter(|head| head.len <= self.input.len()) {
                let mut message = self.input.split_to(head.len);
                message.advance(frame::HEADER_LEN);
                return Some((head.tag, message.to_vec()));
            }
            let mut chunk = [0; 8192];
            match self.stream.read(&mut chunk) {
                Ok(n) if n > 0 => self.input.extend_from_slice(&chunk[..n]),
                Ok(_) => return None,
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("no answer: {error}"),
            }
        }
    }

    /// Messages up to ReadyForQuery, the server's wish for copied data, or the end.
    pub fn until_ready(&mut self) -> Vec<(u8, Vec<u8>)> {
        let mut messages = Vec::new();
        while let Some(message) = self.message() {
            let ready =
                matches!(message.0, backend::tag::READY_FOR_QUERY | backend::tag::COPY_IN_RESPONSE);
            messages.push(message);
            if ready {
                break;
            }
        }
        messages
    }

    /// Messages up to the end of the connection.
    pub fn until_closed(&mut self) -> Vec<(u8, Vec<u8>)> {
        std::iter::from_fn(|| self.message()).collect()
    }

    /// The SQLSTATE and message of an error.
    pub fn error(message: &(u8, Vec<u8>)) -> Option<(String, String)> {
        if message.0 != backend::tag::ERROR_RESPONSE {
            return None;
        }
        let error = backend::ErrorResponse::read(&message.1).unwrap();
        let text =
            |letter| String::from_utf8_lossy(error.field(letter).unwrap_or_default()).into_owned();
        Some((text(b'C'), text(b'M')))
    }
}

/// A connection that gives up in time.
pub fn socket(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}
