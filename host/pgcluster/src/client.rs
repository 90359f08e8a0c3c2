//! A tiny client over the Unix socket, where everybody is trusted.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context, Result, bail};
use bytes::{Buf, BytesMut};
use howdah_wire::backend::{DataRow, ErrorReport, ErrorResponse, tag};
use howdah_wire::frontend::Query;
use howdah_wire::{Version, frame, limits, startup};

/// Rows of text values.
pub type Rows = Vec<Vec<Option<String>>>;

/// Runs SQL as the superuser.
pub(crate) fn query(socket: &Path, database: &str, sql: &str) -> Result<Rows> {
    let mut stream = UnixStream::connect(socket).with_context(|| socket.display().to_string())?;
    let mut out = BytesMut::new();
    let parameters = [("user", "postgres"), ("database", database)];
    startup::write_startup(&mut out, Version::V3_0, parameters.into_iter());
    Query { text: sql.as_bytes() }.write(&mut out);
    stream.write_all(&out)?;
    let (mut input, mut rows, mut ready) = (BytesMut::new(), Rows::new(), 0);
    let mut refused: Option<ErrorReport> = None;
    let mut chunk = [0; 8192];
    loop {
        let head = frame::peek(&input, limits::MAX_FRAME_LEN)?;
        let Some(head) = head.filter(|head| head.len <= input.len()) else {
            let read = stream.read(&mut chunk);
            // A server that lets nobody in hangs up before it has read the query.
            if let (Ok(0) | Err(_), Some(report)) = (&read, &refused) {
                bail!("{report}: {sql}");
            }
            let n = read.with_context(|| sql.to_owned())?;
            if n == 0 {
                bail!("the server hung up: {sql}");
            }
            input.extend_from_slice(&chunk[..n]);
            continue;
        };
        let mut body = input.split_to(head.len);
        body.advance(frame::HEADER_LEN);
        match head.tag {
            tag::DATA_ROW => {
                let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
                rows.push(DataRow::read(&body)?.values().map(|value| value.map(text)).collect());
            }
            tag::ERROR_RESPONSE => {
                refused = Some(ErrorReport::from_response(&ErrorResponse::read(&body)?))
            }
            tag::READY_FOR_QUERY => {
                ready += 1;
                if ready == 2 {
                    return match refused {
                        None => Ok(rows),
                        Some(report) => bail!("{report}: {sql}"),
                    };
                }
            }
            _ => {}
        }
    }
}
