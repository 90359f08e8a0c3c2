use bytes::{Buf, BytesMut};
use howdah_wire::backend::{DataRow, ErrorReport, ErrorResponse, tag};
use howdah_wire::frontend::{Bind, Close, Execute, Parse, Query, Sync, Target};
use howdah_wire::{BodyError, frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use super::{ConnectError, Connected, Endpoint, KeyCache, Login, Stream, connect};

/// Most memory that a result takes, in bytes. Catalogs of large databases take some megabytes.
const MAX_RESULT: usize = 64 << 20;

/// Longest message that a server may send unasked.
const MAX_UNASKED: usize = 64 << 10;

/// Rows of text values; none is NULL.
pub type Rows = Vec<Vec<Option<String>>>;

/// Why a query has no result.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The connection is of no use any more.
    #[error("{0}")]
    Lost(String),
    /// No answer in time; the connection is of no use any more.
    #[error("no answer in time")]
    Timeout,
    /// The server says no. The connection goes on.
    #[error("the server says: {0}")]
    Refused(ErrorReport),
}

/// A client for the proxy's own few queries.
#[derive(Debug)]
pub struct Client {
    stream: Stream,
    input: BytesMut,
    /// A query has been sent and its answer not been read, or the connection has ended.
    spent: bool,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.stream.say_farewell();
    }
}

impl Client {
    /// Connects and logs in.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect(
        endpoint: &Endpoint,
        login: &Login,
        deadline: Instant,
        keys: &KeyCache,
    ) -> Result<Client, ConnectError> {
        let Connected { stream, .. } = connect(endpoint, login, deadline, keys).await?;
        Ok(Client { stream, input: BytesMut::new(), spent: false })
    }

    /// Runs a query by the simple protocol. Not cancel safe: a client whose query was dropped refuses the next.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn query(&mut self, sql: &str, deadline: Instant) -> Result<Rows, QueryError> {
        let mut out = BytesMut::new();
        Query { text: sql.as_bytes() }.write(&mut out);
        self.ask(&out, deadline).await
    }

    /// Runs a query of one parameter, which is a text, by the extended protocol. Not cancel safe, like [`Client::query`].
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn query_with(
        &mut self,
        sql: &str,
        parameter: &str,
        deadline: Instant,
    ) -> Result<Rows, QueryError> {
        let mut out = BytesMut::new();
        Parse { name: b"", query: sql.as_bytes(), types: &[0, 0] }.write(&mut out);
        // All texts; one value; and the result in text too.
        let length = u32::try_from(parameter.len()).unwrap_or(u32::MAX).to_be_bytes();
        let rest = [&[0, 0, 0, 1], &length[..], parameter.as_bytes(), &[0, 0]].concat();
        Bind { portal: b"", statement: b"", rest: &rest }.write(&mut out);
        Execute { portal: b"", max_rows: 0 }.write(&mut out);
        Sync.write(&mut out);
        self.ask(&out, deadline).await
    }

    /// Prepares a query without parameters; if there is one of this name, it takes its place. Not cancel safe, like
    /// [`Client::query`].
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn prepare(
        &mut self,
        name: &str,
        sql: &str,
        deadline: Instant,
    ) -> Result<(), QueryError> {
        let (mut out, name) = (BytesMut::new(), name.as_bytes());
        Close { target: Target::Statement, name }.write(&mut out);
        Parse { name, query: sql.as_bytes(), types: &[0, 0] }.write(&mut out);
        Sync.write(&mut out);
        self.ask(&out, deadline).await.map(|_| ())
    }

    /// Runs a prepared query. Not cancel safe, like [`Client::query`].
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn execute(&mut self, name: &str, deadline: Instant) -> Result<Rows, QueryError> {
        let mut out = BytesMut::new();
        // No values; and the result in text.
        Bind { portal: b"", statement: name.as_bytes(), rest: &[0; 6] }.write(&mut out);
        Execute { portal: b"", max_rows: 0 }.write(&mut out);
        Sync.write(&mut out);
        self.ask(&out, deadline).await
    }

    async fn ask(&mut self, messages: &[u8], deadline: Instant) -> Result<Rows, QueryError> {
        if std::mem::replace(&mut self.spent, true) {
            return Err(QueryError::Lost("the answer to an earlier query was not read".into()));
        }
        let result =
            timeout_at(deadline, self.run(messages)).await.unwrap_or(Err(QueryError::Timeout));
        self.spent = matches!(result, Err(QueryError::Lost(_) | QueryError::Timeout));
        result
    }

    /// Returns when the connection has ended, with the server's last words if it had any. Cancel safe.
    pub async fn ended(&mut self) -> Option<ErrorReport> {
        let last = loop {
            match self.unasked() {
                Ok(()) => {}
                Err(QueryError::Refused(report)) => break Some(report),
                Err(_) => break None,
            }
            if !matches!(self.stream.read_buf(&mut self.input).await, Ok(1..)) {
                break None;
            }
        };
        self.spent = true;
        last
    }

    /// Drops what a server may say at any time. Anything else between queries is an error.
    fn unasked(&mut self) -> Result<(), QueryError> {
        while let Some((tag, body)) = self.frame(MAX_UNASKED)? {
            match tag {
                tag::NOTICE_RESPONSE | tag::PARAMETER_STATUS | tag::NOTIFICATION_RESPONSE => {}
                tag::ERROR_RESPONSE => return Err(QueryError::Refused(report(&body)?)),
                _ => return Err(QueryError::Lost("the server spoke unasked".into())),
            }
        }
        Ok(())
    }

    async fn run(&mut self, messages: &[u8]) -> Result<Rows, QueryError> {
        // Whatever a server says between queries is its last word, so the connection is lost.
        self.unasked().map_err(|error| QueryError::Lost(error.to_string()))?;
        self.stream.write_all(messages).await.map_err(lost)?;
        let (mut rows, mut size, mut refused) = (Rows::new(), 0, None);
        loop {
            let Some((tag, body)) = self.frame(MAX_RESULT)? else {
                if self.stream.read_buf(&mut self.input).await.map_err(lost)? == 0 {
                    let last = refused.map(|report: ErrorReport| report.to_string());
                    let last = last.unwrap_or_else(|| "the connection has ended".into());
                    return Err(QueryError::Lost(last));
                }
                continue;
            };
            match tag {
                tag::DATA_ROW => {
                    let row = row(&body)?;
                    size += body.len() + size_of_val(&row) + size_of_val(row.as_slice());
                    if size > MAX_RESULT {
                        return Err(QueryError::Lost("the result is too large".into()));
                    }
                    rows.push(row);
                }
                tag::ERROR_RESPONSE => refused = Some(report(&body)?),
                tag::READY_FOR_QUERY => {
                    return refused.map_or(Ok(rows), |report| Err(QueryError::Refused(report)));
                }
                _ => {}
            }
        }
    }

    /// Tag and body of the next message, when it is there whole.
    fn frame(&mut self, max_len: usize) -> Result<Option<(u8, BytesMut)>, QueryError> {
        let head = frame::peek(&self.input, max_len)
            .map_err(|_| QueryError::Lost("invalid message length".into()))?;
        let Some(head) = head.filter(|head| head.len <= self.input.len()) else { return Ok(None) };
        let mut body = self.input.split_to(head.len);
        body.advance(frame::HEADER_LEN);
        Ok(Some((head.tag, body)))
    }
}

fn row(body: &[u8]) -> Result<Vec<Option<String>>, QueryError> {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let row = DataRow::read(body).map_err(malformed)?;
    Ok(row.values().map(|value| value.map(text)).collect())
}

fn report(body: &[u8]) -> Result<ErrorReport, QueryError> {
    Ok(ErrorReport::from_response(&ErrorResponse::read(body).map_err(malformed)?))
}

fn lost(error: std::io::Error) -> QueryError {
    QueryError::Lost(error.to_string())
}

fn malformed(error: BodyError) -> QueryError {
    QueryError::Lost(error.to_string())
}
