use bytes::BytesMut;
use howdah_wire::startup::write_cancel;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use super::endpoint::open;
use super::{ConnectError, Endpoint};

/// Asks a server to cancel what a backend runs. Returns when the server has closed the connection, which it does
/// after it has signalled the backend: only then may the backend be lent to somebody else.
///
/// # Errors
/// The server could not be reached, or did not close in time.
pub async fn cancel(
    endpoint: &Endpoint,
    pid: u32,
    key: &[u8],
    deadline: Instant,
) -> Result<(), ConnectError> {
    let request = async {
        let mut stream = open(endpoint).await?;
        let mut out = BytesMut::new();
        write_cancel(&mut out, pid, key);
        stream.write_all(&out).await?;
        let mut byte = [0];
        // The postmaster answers nothing; a reset is as good as an end.
        let _ = stream.read(&mut byte).await;
        Ok(())
    };
    timeout_at(deadline, request).await.unwrap_or(Err(ConnectError::Timeout))
}
