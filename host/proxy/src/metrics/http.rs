//! `/metrics`, `/livez` and `/readyz`, by HTTP.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::text;
use crate::worker::Shared;

/// Most connections at once; further ones wait. Scrapers are few.
const MOST: usize = 16;
/// How long a connection may stay, whatever it does; Prometheus makes another one.
const LONGEST: Duration = Duration::from_secs(600);
/// How long a request's head may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// A pause when the system has no descriptors left.
const PAUSE: Duration = Duration::from_millis(50);
/// What the text is called.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers until the process ends.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let places = Arc::new(Semaphore::new(MOST));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection to the metrics was not accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let shared = Arc::clone(&shared);
        spawn_local(async move {
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
            let shared = &shared;
            let service = service_fn(async move |request| {
                Ok::<_, Infallible>(answer(shared, &request).await)
            });
            // Whoever asked has gone, or asked for something that is no HTTP.
            let _ = timeout(LONGEST, server.serve_connection(TokioIo::new(stream), service)).await;
            drop(place);
        });
    }
}

async fn answer(shared: &Shared, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return said(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
    }
    match request.uri().path() {
        "/metrics" => match text(shared).await {
            Ok(text) => {
                let mut answer = said(StatusCode::OK, text);
                if let Ok(kind) = OPEN_METRICS.parse() {
                    answer.headers_mut().insert(CONTENT_TYPE, kind);
                }
                answer
            }
            Err(error) => said(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        },
        // The control thread runs.
        "/livez" => said(StatusCode::OK, "ok\n"),
        "/readyz" => match unready(shared) {
            None => said(StatusCode::OK, "ok\n"),
            Some(why) => said(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
        },
        _ => said(StatusCode::NOT_FOUND, "/metrics, /livez or /readyz\n"),
    }
}

/// Why new clients had better go elsewhere. A cluster without a primary is no reason: they would wait elsewhere too.
fn unready(shared: &Shared) -> Option<String> {
    if shared.is_draining() {
        return Some("the proxy is shutting down".to_owned());
    }
    let any = shared.monitor.snapshot().states.iter().any(|state| state.up);
    (!any).then(|| "no node answers".to_owned())
}

fn said(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response
}
