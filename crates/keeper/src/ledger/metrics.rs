//! Figures of `keeper watch` in Prometheus' text form.

use std::{
    fmt::Write as _,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context, Result};

/// Longest a scraper may take to ask.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// Longest request that is read, bytes.
const MAX_REQUEST: u64 = 8_192;

/// One figure.
#[derive(Debug)]
pub struct Metric {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    value: AtomicU64,
}

impl Metric {
    const fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: "counter", help, value: AtomicU64::new(0) }
    }

    const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: "gauge", help, value: AtomicU64::new(0) }
    }

    /// Adds one.
    pub fn increment(&self) {
        self.value.fetch_add(1, Ordering::Relaxed);
    }

    /// Replaces the value.
    pub fn set(&self, value: u64) {
        self.value.store(value, Ordering::Relaxed);
    }
}

/// All figures.
#[derive(Debug)]
pub struct Metrics {
    pub slot: Metric,
    pub tracked: Metric,
    pub candidates: Metric,
    pub evaluation_micros: Metric,
    pub scans: Metric,
    pub source_errors: Metric,
    pub feed_up: Metric,
    pub feed_losses: Metric,
    pub updates: Metric,
    pub stale_updates: Metric,
    pub queued: Metric,
    pub in_flight: Metric,
    pub attempts: Metric,
    pub liquidated: Metric,
    pub lost_races: Metric,
    pub healthy_again: Metric,
    pub failed: Metric,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    pub const fn new() -> Self {
        Self {
            slot: Metric::gauge("keeper_slot", "Slot of the newest prices"),
            tracked: Metric::gauge("keeper_obligations_tracked", "Obligations with debt"),
            candidates: Metric::gauge(
                "keeper_obligations_unhealthy",
                "Obligations above their LTV limit",
            ),
            evaluation_micros: Metric::gauge(
                "keeper_evaluation_microseconds",
                "Time of the last re-evaluation",
            ),
            scans: Metric::counter("keeper_scans_total", "Scans of all obligations"),
            source_errors: Metric::counter(
                "keeper_source_errors_total",
                "Failures to read accounts",
            ),
            feed_up: Metric::gauge("keeper_feed_up", "1 while updates flow, 0 while it polls"),
            feed_losses: Metric::counter(
                "keeper_feed_losses_total",
                "Times the subscription broke or could not be made",
            ),
            updates: Metric::counter("keeper_updates_total", "Account updates received"),
            stale_updates: Metric::counter(
                "keeper_stale_updates_total",
                "Account updates older than what was known",
            ),
            queued: Metric::gauge("keeper_queue_length", "Obligations that wait to be tried"),
            in_flight: Metric::gauge("keeper_in_flight", "Liquidations that have not ended"),
            attempts: Metric::counter("keeper_attempts_total", "Liquidations tried"),
            liquidated: Metric::counter(
                "keeper_liquidated_total",
                "Liquidations that succeeded, simulated ones included",
            ),
            lost_races: Metric::counter(
                "keeper_lost_races_total",
                "Liquidations somebody else was faster with",
            ),
            healthy_again: Metric::counter(
                "keeper_healthy_again_total",
                "Liquidations that were not needed any more",
            ),
            failed: Metric::counter(
                "keeper_failed_total",
                "Liquidations that failed for another reason",
            ),
        }
    }

    fn all(&self) -> [&Metric; 17] {
        [
            &self.slot,
            &self.tracked,
            &self.candidates,
            &self.evaluation_micros,
            &self.scans,
            &self.source_errors,
            &self.feed_up,
            &self.feed_losses,
            &self.updates,
            &self.stale_updates,
            &self.queued,
            &self.in_flight,
            &self.attempts,
            &self.liquidated,
            &self.lost_races,
            &self.healthy_again,
            &self.failed,
        ]
    }

    /// The exposition text.
    pub fn render(&self) -> String {
        let mut text = String::new();
        for Metric { name, kind, help, value } in self.all() {
            let value = value.load(Ordering::Relaxed);
            // Writing to a string does not fail.
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
        }
        text
    }

    /// Serves them at `address`, on a thread that ends with the process; returns
    /// where it listens.
    pub fn serve(self: &Arc<Self>, address: SocketAddr) -> Result<SocketAddr> {
        let listener = TcpListener::bind(address)
            .with_context(|| format!("metrics cannot be served at {address}"))?;
        let bound = listener.local_addr()?;
        let metrics = Arc::clone(self);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A scraper that hangs up early is its own loss.
                let _ = metrics.answer(stream);
            }
        });
        Ok(bound)
    }

    fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(READ_TIMEOUT))?;
        // All of the request, or closing the connection would reset it.
        let mut reader = BufReader::new(stream.try_clone()?.take(MAX_REQUEST));
        let mut request = String::new();
        reader.read_line(&mut request)?;
        let mut header = String::new();
        while reader.read_line(&mut header)? > 0 && !header.trim().is_empty() {
            header.clear();
        }
        let (status, body) = if request.starts_with("GET /metrics") {
            ("200 OK", self.render())
        } else {
            ("404 Not Found", "metrics are at /metrics\n".to_owned())
        };
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_served_in_prometheus_form() {
        let metrics = Arc::new(Metrics::new());
        metrics.attempts.increment();
        metrics.attempts.increment();
        metrics.tracked.set(7);
        let address = metrics.serve(([127, 0, 0, 1], 0).into()).unwrap();
        let ask = |path: &str| {
            let mut stream = TcpStream::connect(address).unwrap();
            write!(stream, "GET {path} HTTP/1.1\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        };
        let answer = ask("/metrics");
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        assert!(answer.contains("# TYPE keeper_attempts_total counter\nkeeper_attempts_total 2\n"));
        assert!(
            answer.contains(
                "# TYPE keeper_obligations_tracked gauge\nkeeper_obligations_tracked 7\n"
            )
        );
        assert!(ask("/").starts_with("HTTP/1.1 404"));
    }
}
