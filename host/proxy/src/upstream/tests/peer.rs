use std::io;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use howdah_wire::backend::{
    Authentication, BackendKeyData, ErrorReport, ErrorResponse, ParameterStatus, ReadyForQuery,
    TransactionStatus, tag,
};
use howdah_wire::startup::{self, Opening};
use howdah_wire::{frame, limits};
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::upstream::Stream;

/// The other end of a connection under test, driven by hand.
pub(crate) struct Peer {
    pub(crate) stream: Stream,
    input: BytesMut,
}

impl Peer {
    pub(crate) fn new(stream: TcpStream) -> Peer {
        Peer { stream: stream.into(), input: BytesMut::new() }
    }

    /// Sends what is appended.
    pub(crate) async fn say(&mut self, write: impl FnOnce(&mut BytesMut)) {
        let mut out = BytesMut::new();
        write(&mut out);
        self.send(&out).await;
    }

    /// Sends bytes, unless the other end has gone.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// The next message; none at the end.
    pub(crate) async fn hear(&mut self) -> Option<(u8, BytesMut)> {
        loop {
            let head = frame::peek(&self.input, limits::MAX_FRAME_LEN).unwrap();
            if let Some(head) = head.filter(|head| head.len <= self.input.len()) {
                let mut body = self.input.split_to(head.len);
                body.advance(frame::HEADER_LEN);
                return Some((head.tag, body));
            }
            if self.stream.read_buf(&mut self.input).await.ok()? == 0 {
                return None;
            }
        }
    }

    /// One byte that is no message.
    pub(crate) async fn byte(&mut self) -> u8 {
        assert!(self.input.is_empty());
        self.stream.read_u8().await.unwrap()
    }

    /// The SQLSTATE of a FATAL error, after which the connection ends.
    pub(crate) async fn fatal(&mut self) -> String {
        let (tag, body) = self.hear().await.unwrap();
        assert_eq!(tag, tag::ERROR_RESPONSE);
        let error = ErrorResponse::read(&body).unwrap();
        assert!(error.is_fatal());
        let state = String::from_utf8(error.sqlstate().unwrap().to_vec()).unwrap();
        assert_eq!(self.hear().await, None);
        state
    }

    /// As a server: reads the packet that opens the connection.
    pub(crate) async fn opening<T>(&mut self, read: impl FnOnce(Opening<'_>) -> T) -> T {
        loop {
            if let Some((opening, len)) = startup::read(&self.input).unwrap() {
                let result = read(opening);
                self.input.advance(len);
                return result;
            }
            assert_ne!(self.stream.read_buf(&mut self.input).await.unwrap(), 0);
        }
    }

    /// As a server: reads the request to encrypt, and answers with these bytes.
    pub(crate) async fn asked_to_encrypt(&mut self, answer: &[u8]) {
        self.opening(|opening| assert_eq!(opening, Opening::Ssl)).await;
        self.send(answer).await;
    }

    /// The same, and does so.
    pub(crate) async fn encrypts(&mut self, config: ServerConfig) -> io::Result<()> {
        self.asked_to_encrypt(b"S").await;
        assert!(self.input.is_empty());
        self.stream.accept_tls(Arc::new(config)).await.map(|named| assert!(named))
    }

    /// As a server: reads the start-up packet, and lets the client in.
    pub(crate) async fn let_in(&mut self) {
        self.opening(|opening| assert!(matches!(opening, Opening::Startup(_)))).await;
        self.say(ready).await;
    }

    /// Waits until the other end has gone.
    pub(crate) async fn gone(&mut self) {
        while self.hear().await.is_some() {}
    }
}

/// What a server says to a client that it lets in.
pub(crate) fn ready(out: &mut BytesMut) {
    Authentication::Ok.write(out);
    ParameterStatus { name: b"server_version", value: b"15.8" }.write(out);
    ErrorReport::notice(b"00000", "welcome").write(out);
    BackendKeyData { pid: 42, key: b"\x01\x02\x03\x04" }.write(out);
    ReadyForQuery { status: TransactionStatus::Idle }.write(out);
}
