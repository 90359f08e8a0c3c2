use bytes::{Buf, BytesMut};
use howdah_wire::backend::{DataRow, ErrorReport, ErrorResponse, tag};
use howdah_wire::frame;
use howdah_wire::frontend::Query;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use super::{ConnectError, Connected, KeyCache, Login, Stream, Target, connect};

/// Largest result that is read. Catalogs of large databases take some megabytes.
const MAX_RESULT: usize = 64 << 20;

/// Rows of text values.
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
}

impl Client {
    /// Connects and logs in.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect(
        target: &Target,
        login: &Login,
        deadline: Instant,
        keys: &KeyCache,
    ) -> Result<Client, ConnectError> {
        let Connected { stream, .. } = connect(target, login, deadline, keys).await?;
        Ok(Client { stream, input: BytesMut::new() })
    }

    /// Runs a query by the simple protocol.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn query(&mut self, sql: &str, deadline: Instant) -> Result<Rows, QueryError> {
        timeout_at(deadline, self.run(sql)).await.unwrap_or(Err(QueryError::Timeout))
    }

    /// Returns when the connection has ended, or is not quiet. Cancel safe.
    pub async fn ended(&mut self) {
        let mut byte = [0];
        let _ = self.stream.read(&mut byte).await;
    }

    async fn run(&mut self, sql: &str) -> Result<Rows, QueryError> {
        let lost = |error: std::io::Error| QueryError::Lost(error.to_string());
        let mut out = BytesMut::new();
        Query { text: sql.as_bytes() }.write(&mut out);
        self.stream.write_all(&out).await.map_err(lost)?;
        let (mut rows, mut size, mut refused) = (Rows::new(), 0, None);
        loop {
            let head = frame::peek(&self.input, MAX_RESULT)
                .map_err(|_| QueryError::Lost("invalid message length".into()))?;
            let Some(head) = head.filter(|head| head.len <= self.input.len()) else {
                if self.stream.read_buf(&mut self.input).await.map_err(lost)? == 0 {
                    let last = refused.map(|report: ErrorReport| report.to_string());
                    return Err(QueryError::Lost(last.unwrap_or_else(|| "the connection has ended".into())));
                }
                continue;
            };
            let mut body = self.input.split_to(head.len);
            body.advance(frame::HEADER_LEN);
            size += head.len;
            if size > MAX_RESULT {
                return Err(QueryError::Lost("the result is too large".into()));
            }
            match head.tag {
                tag::DATA_ROW => {
                    let row = DataRow::read(&body)
                        .map_err(|error| QueryError::Lost(error.to_string()))?;
                    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
                    rows.push(row.values().map(|value| value.map(text)).collect());
                }
                tag::ERROR_RESPONSE => {
                    let error = ErrorResponse::read(&body)
                        .map_err(|error| QueryError::Lost(error.to_string()))?;
                    refused = Some(ErrorReport::from_response(&error));
                }
                tag::READY_FOR_QUERY => {
                    return refused.map_or(Ok(rows), |report| Err(QueryError::Refused(report)));
                }
                _ => {}
            }
        }
    }
}
