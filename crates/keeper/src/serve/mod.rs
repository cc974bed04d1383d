//! What the keeper shows over HTTP, on one thread of its own: `/metrics`, `/healthz`,
//! `/readyz`, `/model`, and a page for people at `/`. Nothing can be changed through it.

use std::{
    convert::Infallible,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use axum::{
    Json, Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{
        Html, IntoResponse, Response,
        sse::{Event, Sse},
    },
    routing::get,
};
use futures_util::stream;
use tokio::{net::TcpListener, sync::Semaphore};
use tracing::{error, warn};

mod page;

use crate::{
    health::{Health, board::Board},
    ledger::metrics::{CONTENT_TYPE, Metrics},
    verify::tally::Tally,
};

/// Pause between two states of the page for who keeps it open.
const PERIOD: Duration = Duration::from_secs(2);
/// Pages that may be kept open.
const WATCHERS: usize = 32;

/// What is shown.
#[derive(Clone)]
pub struct Shown {
    pub metrics: Arc<Metrics>,
    pub health: Arc<Health>,
    pub board: Arc<Board>,
    /// File of the ledger.
    pub ledger: Option<PathBuf>,
    /// Model against chain, where they are compared.
    pub model: Option<Arc<Tally>>,
}

/// When it was rendered, and what came of it.
type Rendered = (Instant, Arc<str>);

/// What answers are made of.
#[derive(Clone)]
struct Served {
    shown: Arc<Shown>,
    /// The page as it was rendered last: who watches shares it.
    page: Arc<Mutex<Option<Rendered>>>,
    /// One for each page that is kept open.
    watchers: Arc<Semaphore>,
}

impl Served {
    fn page(&self) -> Arc<str> {
        let mut page = self.page.lock().unwrap_or_else(PoisonError::into_inner);
        match &*page {
            Some((at, text)) if at.elapsed() < PERIOD / 2 => Arc::clone(text),
            _ => {
                let text: Arc<str> = page::main(&self.shown).into();
                *page = Some((Instant::now(), Arc::clone(&text)));
                text
            }
        }
    }
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
    let served = Served {
        shown: Arc::new(shown),
        page: Arc::default(),
        watchers: Arc::new(Semaphore::new(WATCHERS)),
    };
    Router::new()
        .route("/", get(document))
        .route("/events", get(events))
        .route("/page.css", get(async || as_type("text/css; charset=utf-8", page::STYLE)))
        .route("/page.js", get(async || as_type("text/javascript; charset=utf-8", page::SCRIPT)))
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/model", get(model))
        .with_state(served)
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
        (header::CONTENT_SECURITY_POLICY, page::POLICY),
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

fn as_type(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

async fn document(State(served): State<Served>) -> Html<String> {
    Html(page::document(&served.shown))
}

/// The page again and again, as server-sent events.
async fn events(State(served): State<Served>) -> Response {
    let Ok(permit) = Arc::clone(&served.watchers).try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many pages are open\n").into_response();
    };
    // Given back when the browser is gone and the stream with it.
    let states = stream::unfold((served, permit, true), async |(served, permit, is_first)| {
        if !is_first {
            tokio::time::sleep(PERIOD).await;
        }
        let event = Event::default().event("page").data(&*served.page());
        Some((Ok::<_, Infallible>(event), (served, permit, false)))
    });
    Sse::new(states).into_response()
}

async fn metrics(State(served): State<Served>) -> Response {
    let shown = &served.shown;
    // Looking at the checks sets their figures.
    let _ = shown.health.readiness();
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], shown.metrics.render()).into_response()
}

fn status(is_well: bool) -> StatusCode {
    if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

async fn healthz(State(served): State<Served>) -> Response {
    let liveness = served.shown.health.liveness();
    (status(liveness.alive), Json(liveness)).into_response()
}

async fn model(State(served): State<Served>) -> Response {
    match &served.shown.model {
        Some(tally) => Json(tally.summary()).into_response(),
        None => (StatusCode::NOT_FOUND, "verify is off\n").into_response(),
    }
}

async fn readyz(State(served): State<Served>) -> Response {
    let readiness = served.shown.health.readiness();
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
        let (metrics, board) = (health.metrics(), Arc::default());
        let shown = Shown { metrics, health, board, ledger: None, model: Some(Arc::default()) };
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
    fn the_page_has_no_outside_resources_and_a_strict_policy() {
        use crate::judge::state::{Near, Seen};
        let (shown, address) = serve();
        let key = |byte| solana_address::Address::new_from_array([byte; 32]);
        shown.board.write(vec![Seen {
            market: key(1),
            slot: 77,
            tracked: 2,
            // Anybody may name a token.
            prices: vec![("<script>alert(1)</script>".to_owned(), 150.0)],
            nearest: vec![Near { obligation: key(2), health: 0.9877, debt: 12.0 }],
        }]);
        shown.health.set(Check::Key, Err("0.001 SOL & less".to_owned()));
        let answer = ask(address, "/", "localhost");
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("text/html"), "{answer}");
        let policy = "content-security-policy: default-src 'none'; style-src 'self';";
        assert!(answer.contains(policy), "{answer}");
        for shows in ["slot 77", "$150.00", "0.9877", "0.001 SOL &amp; less", "not ready"] {
            assert!(answer.contains(shows), "{shows}: {answer}");
        }
        assert!(answer.contains("&lt;script&gt;alert") && !answer.contains("<script>alert"));
        // No styles or handlers in the text, and nothing from elsewhere.
        for never in ["style=", "onclick", "onload", "http://", "https://"] {
            assert!(!answer.contains(never), "{never}");
        }
        assert!(ask(address, "/page.css", "localhost").contains("text/css"));
        assert!(ask(address, "/page.js", "localhost").contains("EventSource"));
    }

    #[test]
    fn who_keeps_it_open_is_told_and_not_too_many_are() {
        let (_, address) = serve();
        let open = || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            write!(stream, "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
            let mut text = String::new();
            let mut bytes = [0; 1_024];
            while !text.contains("event: page") && !text.contains("too many") {
                let read = stream.read(&mut bytes).unwrap();
                assert_ne!(read, 0, "{text}");
                text.push_str(&String::from_utf8_lossy(&bytes[..read]));
            }
            (stream, text)
        };
        let held: Vec<_> = (0..WATCHERS).map(|_| open()).collect();
        assert!(held.iter().all(|(_, text)| text.contains("text/event-stream")), "{held:?}");
        let (_, refused) = open();
        assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
        assert!(ask(address, "/healthz", "localhost").starts_with("HTTP/1.1"));
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
