//! What the keeper shows over HTTP, on one thread of its own: `/metrics`, `/healthz`,
//! `/readyz`, and a page for people at `/`. Nothing can be changed through it.

use std::{net::SocketAddr, sync::Arc, thread};

use anyhow::{Context as _, Result};
use axum::{
    Json, Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;
use tracing::{error, warn};

use crate::{
    health::Health,
    ledger::metrics::{CONTENT_TYPE, Metrics},
};

/// What is shown.
#[derive(Clone)]
pub struct Shown {
    pub metrics: Arc<Metrics>,
    pub health: Arc<Health>,
}

/// Serves at `address`, on a thread that ends with the process; returns where it
/// listens.
///
/// # Errors
/// When the address cannot be listened on.
pub fn start(address: SocketAddr, shown: Shown) -> Result<SocketAddr> {
    let what = || format!("metrics cannot be served at {address}");
    let listener = std::net::TcpListener::bind(address).with_context(what)?;
    listener.set_nonblocking(true).with_context(what)?;
    let bound = listener.local_addr().with_context(what)?;
    if !bound.ip().is_loopback() {
        warn!(address = %bound, "whoever reaches this address can read the keeper's figures");
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().with_context(what)?;
    let router = router(shown, bound);
    thread::Builder::new()
        .name("http".to_owned())
        .spawn(move || {
            let ended = runtime
                .block_on(async { axum::serve(TcpListener::from_std(listener)?, router).await });
            if let Err(reason) = ended {
                error!(%reason, "nothing is served any more");
            }
        })
        .with_context(what)?;
    Ok(bound)
}

fn router(shown: Shown, bound: SocketAddr) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(shown)
        .layer(middleware::from_fn_with_state(bound, around))
}

/// What holds for every answer. On loopback, only who asks for this machine by name or
/// number is answered: a page from elsewhere must not read it through a name of its own
/// that points here.
async fn around(State(bound): State<SocketAddr>, request: Request, next: Next) -> Response {
    let mut response = if bound.ip().is_loopback() && !names_loopback(request.headers()) {
        (StatusCode::FORBIDDEN, "ask for this machine by number or as localhost\n").into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // Scrapers and people come rarely: no connection is kept for them.
        (header::CONNECTION, "close"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn names_loopback(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    let Ok(host) = host.to_str() else { return false };
    let name = host.rsplit_once(':').map_or(host, |(name, port)| {
        if port.bytes().all(|byte| byte.is_ascii_digit()) { name } else { host }
    });
    name == "localhost" || name.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok()
}

async fn metrics(State(shown): State<Shown>) -> Response {
    // Looking at the checks sets their figures.
    let _ = shown.health.readiness();
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], shown.metrics.render()).into_response()
}

fn status(is_well: bool) -> StatusCode {
    if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

async fn healthz(State(shown): State<Shown>) -> Response {
    let liveness = shown.health.liveness();
    (status(liveness.alive), Json(liveness)).into_response()
}

async fn readyz(State(shown): State<Shown>) -> Response {
    let readiness = shown.health.readiness();
    (status(readiness.ready), Json(readiness)).into_response()
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::TcpStream,
        time::Duration,
    };

    use super::*;
    use crate::health::{
        Check,
        tests::{LIMITS, health},
    };

    fn serve() -> (Shown, SocketAddr) {
        let health = Arc::new(health(false));
        let shown = Shown { metrics: health.metrics(), health };
        let address = start(([127, 0, 0, 1], 0).into(), shown.clone()).unwrap();
        (shown, address)
    }

    fn ask(address: SocketAddr, path: &str, host: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn figures_are_served_in_prometheus_form() {
        let (shown, address) = serve();
        shown.metrics.attempts.inc();
        shown.metrics.attempts.inc();
        shown.metrics.tracked.set(7);
        let answer = ask(address, "/metrics", "localhost");
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        assert!(answer.contains("content-type: text/plain; version=0.0.4"), "{answer}");
        assert!(answer.contains("# TYPE keeper_attempts_total counter\nkeeper_attempts_total 2\n"));
        assert!(answer.contains("\nkeeper_obligations_tracked 7\n"), "{answer}");
        assert!(ask(address, "/else", "localhost").starts_with("HTTP/1.1 404"));
    }

    #[test]
    fn a_stalled_loop_turns_red() {
        let (shown, address) = serve();
        shown.health.turn();
        let answer = ask(address, "/healthz", "127.0.0.1:1");
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"alive\":true"));
        std::thread::sleep(LIMITS.stalled + Duration::from_millis(50));
        let answer = ask(address, "/healthz", "127.0.0.1:1");
        assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("\"alive\":false"));
    }

    #[test]
    fn what_is_not_ready_is_named() {
        let (shown, address) = serve();
        for check in Check::ALL {
            shown.health.set(check, Ok(String::new()));
        }
        shown.health.news();
        assert!(ask(address, "/readyz", "[::1]:9").starts_with("HTTP/1.1 200"));
        shown.health.set(Check::Key, Err("0.001 SOL".to_owned()));
        let answer = ask(address, "/readyz", "[::1]:9");
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.contains(r#"{"check":"key","ok":false,"reason":"0.001 SOL"}"#), "{answer}");
    }

    #[test]
    fn a_name_that_points_here_reads_nothing() {
        let (_, address) = serve();
        for host in ["evil.example", "evil.example:9184", "localhost.evil.example"] {
            let answer = ask(address, "/metrics", host);
            assert!(answer.starts_with("HTTP/1.1 403") && !answer.contains("keeper_"), "{answer}");
        }
    }

    #[test]
    fn who_asks_slowly_holds_nobody_up() {
        let (_, address) = serve();
        let silent: Vec<TcpStream> =
            (0..64).map(|_| TcpStream::connect(address).unwrap()).collect();
        assert!(ask(address, "/metrics", "localhost").starts_with("HTTP/1.1 200"));
        drop(silent);
    }
}
