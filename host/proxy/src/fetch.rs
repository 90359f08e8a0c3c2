//! A request by HTTP, and its answer.

use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::upstream::Target;

/// Sends a request over a connection of its own, and gets an answer of so many bytes at most. It says what is wrong: the
/// server cannot be reached, or does not say that it has succeeded.
pub(crate) async fn fetch(
    server: &Target,
    request: Request<Full<Bytes>>,
    most: usize,
) -> Result<Bytes, String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let stream = TcpStream::connect((server.host.as_str(), server.port));
    let stream = TokioIo::new(stream.await.map_err(|error| text(&error))?);
    let (mut sender, connection) = http1::handshake(stream).await.map_err(|error| text(&error))?;
    let mut answer = std::pin::pin!(async {
        let response = sender.send_request(request).await.map_err(|error| text(&error))?;
        if !response.status().is_success() {
            return Err(format!("it says {}", response.status()));
        }
        let body = Limited::new(response.into_body(), most).collect().await;
        Ok(body.map_err(|error| text(&*error))?.to_bytes())
    });
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        // What has come before the end may still be read.
        _ = connection => answer.await,
    }
}
