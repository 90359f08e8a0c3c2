//! What is to be had by HTTP: the page and what it shows, `/metrics`, `/livez` and `/readyz`. Answered on the control thread,
//! so that no client's query waits for it.

mod api;
mod login;
mod origin;

use std::convert::Infallible;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION,
    REFERRER_POLICY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::spawn_local;
use tokio::time::timeout;

use crate::control::Operated;
use crate::worker::Shared;
use crate::{metrics, page};
use login::{Proven, Visitor};

/// Most connections at once; further ones wait. A browser has six at most, and scrapers are few.
const MOST: usize = 256;
/// How long a connection may stay, whatever it does; whoever needs it makes another one.
const LONGEST: Duration = Duration::from_secs(600);
/// How long a request's head may take, and its body.
const PATIENCE: Duration = Duration::from_secs(5);
/// A pause when the system has no descriptors left.
const PAUSE: Duration = Duration::from_millis(50);
/// What Prometheus' text is called.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// What comes with every answer. Nothing is kept, nothing is taken for what it is not, and the page loads, runs and asks
/// for only what comes from here, and stands in no frame of another page.
const ALWAYS: [(HeaderName, &str); 5] = [
    (CACHE_CONTROL, "no-store"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
];

type Response = hyper::Response<Full<Bytes>>;

/// Somebody who is connected.
struct Caller {
    address: IpAddr,
    operated: Operated,
    proven: Proven,
}

/// Answers until the process ends.
pub(crate) async fn serve(listener: TcpListener, operated: Operated) {
    let places = Arc::new(Semaphore::new(MOST));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "an HTTP connection was not accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let (operated, proven) = (operated.clone(), Proven::default());
        let caller = Rc::new(Caller { address: peer.ip(), operated, proven });
        spawn_local(async move {
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
            let service = service_fn(|request| {
                let caller = Rc::clone(&caller);
                async move { Ok::<_, Infallible>(answer(&caller, request).await) }
            });
            // Whoever asked has gone, or asked for something that is no HTTP.
            let _ = timeout(LONGEST, server.serve_connection(TokioIo::new(stream), service)).await;
            drop(place);
        });
    }
}

async fn answer(caller: &Caller, request: Request<Incoming>) -> Response {
    // Both are answers.
    let mut response = find(caller, request).await.unwrap_or_else(|refusal| refusal);
    for (name, value) in ALWAYS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The answer. The error is that it is refused.
async fn find(caller: &Caller, request: Request<Incoming>) -> Result<Response, Response> {
    let shared = &caller.operated.shared;
    let path = request.uri().path();
    let orders = path == "/api/order";
    let wanted: &[Method] = if orders { &[Method::POST] } else { &[Method::GET, Method::HEAD] };
    if !wanted.contains(request.method()) {
        let text = if orders { "only POST\n" } else { "only GET\n" };
        return Err(said(StatusCode::METHOD_NOT_ALLOWED, text));
    }
    match path {
        // The control thread runs.
        "/livez" => return Ok(said(StatusCode::OK, "ok\n")),
        "/readyz" => {
            return Ok(match unready(shared) {
                None => said(StatusCode::OK, "ok\n"),
                Some(why) => said(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
            });
        }
        _ => {}
    }
    let config = shared.config.load_full();
    // A socket of systemd's needs no [http].
    let (page_login, metrics_login, own) = match &config.http {
        Some(http) => (http.login, http.metrics_login, http.listen.host.as_str()),
        None => (true, false, ""),
    };
    let visitor = login::visitor(caller, request.headers(), &config).await;
    let visitor = visitor.map_err(|()| stranger())?;
    let must = match path {
        "/metrics" => metrics_login,
        "/login" => true,
        _ => page_login,
    };
    if must && visitor == Visitor::Nobody {
        return Err(stranger());
    }
    if path == "/metrics" {
        return match metrics::text(shared).await {
            Ok(text) => Ok(typed(OPEN_METRICS, text)),
            Err(error) => Err(said(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"))),
        };
    }
    if !page_login && !origin::is_addressed(request.headers(), own) {
        let text = "without http.login the page is to be had by address, as localhost, or by the name in http.listen\n";
        return Err(said(StatusCode::MISDIRECTED_REQUEST, text));
    }
    if path == "/login" {
        let mut response = said(StatusCode::SEE_OTHER, "");
        response.headers_mut().insert(LOCATION, HeaderValue::from_static("/"));
        return Ok(response);
    }
    match path.strip_prefix("/api/") {
        Some("order") => api::order(&caller.operated, &visitor, request).await,
        Some("explain") => api::explain(&caller.operated, request.uri().query()).await,
        Some("visitor") => Ok(api::visitor(&visitor)),
        Some(names) => api::tables(&caller.operated, names).await,
        None => match page::file(path) {
            Some((kind, text)) => Ok(typed(kind, text)),
            None => Err(nothing()),
        },
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

fn said(status: StatusCode, text: impl Into<Bytes>) -> Response {
    let mut response = typed(TEXT, text);
    *response.status_mut() = status;
    response
}

fn typed(kind: &'static str, text: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Full::new(text.into()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn nothing() -> Response {
    said(StatusCode::NOT_FOUND, "there are /, /api/TABLE, /metrics, /livez and /readyz\n")
}

/// To one who has not said who it is, or not truly (RFC 7617).
fn stranger() -> Response {
    let mut response = said(StatusCode::UNAUTHORIZED, "log in as a user of [admin]\n");
    let ask = HeaderValue::from_static("Basic realm=\"howdah\", charset=\"UTF-8\"");
    response.headers_mut().insert(WWW_AUTHENTICATE, ask);
    response
}
