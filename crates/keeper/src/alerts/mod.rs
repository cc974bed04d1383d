//! Tells a webhook when something needs a person, and when it is well again.
//!
//! One thread looks every second at what others count anyway, so the loop has nothing to
//! do with it; another delivers, so a receiver that is slow, refuses or is gone holds up
//! nothing but itself. Once a day, at an hour that is given, it tells how things stand.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use tracing::error;

mod delivery;
mod message;

use delivery::{deliver, tell};
pub use message::{Alert, Format, Message, State};

use crate::{
    feeds::{source::redact, told},
    format::usd_f64,
    health::{Check, Health, board::Board},
    judge::state::Seen,
    ledger::records::Records,
};

/// Pause between two looks.
const PERIOD: Duration = Duration::from_secs(1);
/// Obligations that the daily digest names for each market.
const DIGEST: usize = 5;
/// How long a difference between model and chain counts.
const DIFFERENCE: Duration = Duration::from_secs(600);

/// When and where to.
#[derive(Clone, PartialEq)]
pub struct Settings {
    /// May hold a secret: never shown.
    pub webhook: String,
    pub format: Format,
    /// How long something has to be wrong before it is told.
    pub hold: Duration,
    /// Pause before something that is still wrong is told again.
    pub repeat: Duration,
    /// Failures in a row that are too many.
    pub failures: u64,
    /// Debt, US dollars, that should find a lender and a venue.
    pub unsellable: f64,
    /// Hour of the day, UTC, at which the digest is told; `None` for no digest.
    pub digest_hour: Option<u64>,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Settings({}, {:?})", redact(&self.webhook), self.format)
    }
}

/// How long something has been wrong, and when it was told.
#[derive(Clone, Debug, Default)]
struct Standing {
    since: Option<Instant>,
    told: Option<Instant>,
}

impl Standing {
    /// Takes what is wrong now, if anything, and says what to tell: after it has been
    /// wrong for `hold`, again after `repeat`, and once when it is well.
    fn take(
        &mut self,
        alert: Alert,
        wrong: Option<String>,
        now: Instant,
        (hold, repeat): (Duration, Duration),
    ) -> Option<Message> {
        let Some(text) = wrong else {
            let Self { since, told } = std::mem::take(self);
            told?;
            let lasted = since.map_or(0, |since| now.duration_since(since).as_secs());
            return Some(Message::of(alert, State::Resolved, format!("after {lasted} s")));
        };
        let since = *self.since.get_or_insert(now);
        let is_due = match self.told {
            None => now.duration_since(since) >= hold,
            Some(told) => now.duration_since(told) >= repeat,
        };
        is_due.then(|| {
            self.told = Some(now);
            Message::of(alert, State::Firing, text)
        })
    }
}

/// What is looked at.
pub struct Watched {
    pub health: Arc<Health>,
    pub records: Arc<Records>,
    pub board: Arc<Board>,
    pub klend_replaced: Arc<AtomicBool>,
}

struct Watcher {
    watched: Watched,
    settings: Settings,
    standings: [Standing; Alert::ALL.len()],
    differences: u64,
    differed: Option<Instant>,
    /// Day of the last digest, or of the start.
    day: Option<u64>,
}

impl Watcher {
    fn new(watched: Watched, settings: Settings) -> Self {
        let differences = watched.records.metrics.model_differences.get();
        let standings = Default::default();
        let day = day(&settings, SystemTime::now());
        Self { watched, settings, standings, differences, differed: None, day }
    }

    /// What is wrong with one thing now.
    fn wrong(&mut self, alert: Alert, now: Instant) -> Option<String> {
        let Watched { health, records, klend_replaced, .. } = &self.watched;
        let metrics = &records.metrics;
        match alert {
            Alert::LoopStalled => {
                let liveness = health.liveness();
                let seconds = liveness.turned_ms_ago / 1_000;
                (!liveness.alive).then(|| format!("the loop turned {seconds} s ago"))
            }
            Alert::FeedLost => health.wrong(Check::Feed).or_else(|| {
                let lost = health.feed_lost()?;
                Some(format!("no updates for {} s: polling", lost.as_secs()))
            }),
            Alert::NodeBehind => health.wrong(Check::Node),
            Alert::LowBalance => health.wrong(Check::Key),
            Alert::TablesUnusable => health.wrong(Check::Tables),
            Alert::ProgramChanged => health.wrong(Check::Program),
            Alert::LedgerDown => health.wrong(Check::Ledger),
            Alert::KlendReplaced => klend_replaced.load(Ordering::Relaxed).then(|| {
                "klend was deployed anew since the keeper started: is the model still right?"
                    .to_owned()
            }),
            Alert::ModelDiffers => {
                let differences = metrics.model_differences.get();
                if differences > self.differences {
                    self.differed = Some(now);
                    self.differences = differences;
                }
                let is_recent = self.differed.is_some_and(|at| now - at < DIFFERENCE);
                is_recent
                    .then(|| format!("{differences} liquidations came out otherwise than quoted"))
            }
            Alert::UnsellableDebt => {
                let debt = metrics.unsellable_debt.get();
                (debt >= self.settings.unsellable)
                    .then(|| format!("a debt of ${debt:.0} finds no lender or venue"))
            }
            Alert::RepeatedFailure => {
                let failures = records.failures();
                (failures >= self.settings.failures)
                    .then(|| format!("{failures} failures in a row, the last: {}", records.last()))
            }
        }
    }

    fn look(&mut self, now: Instant) -> Vec<Message> {
        let Settings { hold, repeat, .. } = self.settings;
        let mut messages = Vec::new();
        for (at, alert) in Alert::ALL.into_iter().enumerate() {
            let wrong = self.wrong(alert, now);
            let hold = if alert.is_urgent() { Duration::ZERO } else { hold };
            messages.extend(self.standings[at].take(alert, wrong, now, (hold, repeat)));
        }
        messages
    }

    /// The digest, once its hour has come.
    fn digest(&mut self, now: SystemTime) -> Option<Message> {
        let day = day(&self.settings, now)?;
        if self.day == Some(day) {
            return None;
        }
        self.day = Some(day);
        let metrics = &self.watched.records.metrics;
        let counts = format!(
            "since the start {} tried, {} liquidated, {} lost races, {} failed",
            metrics.attempts.get(),
            metrics.liquidated.get(),
            metrics.lost_races.get(),
            metrics.failed.get()
        );
        let markets: Vec<String> = self.watched.board.look().iter().map(nearest).collect();
        let text = [&[counts][..], &markets].concat().join("\n");
        Some(Message { label: "daily", state: State::Digest, text })
    }
}

/// The day that a moment counts to: it begins at the digest's hour.
fn day(settings: &Settings, now: SystemTime) -> Option<u64> {
    const HOUR: u64 = 3_600;
    let seconds = now.duration_since(UNIX_EPOCH).ok()?.as_secs();
    Some(seconds.checked_sub(settings.digest_hour? * HOUR)? / (24 * HOUR))
}

/// A market's nearest in words.
fn nearest(seen: &Seen) -> String {
    let mut text = format!("{}: {} obligations in slot {}", seen.market, seen.tracked, seen.slot);
    for near in seen.nearest.iter().take(DIGEST) {
        let debt = usd_f64(f64::from(near.debt).round());
        text.push_str(&format!("\n{} health {:.4}, debt {debt}", near.obligation, near.health));
    }
    text
}

/// Watches and tells, on threads that end with the process.
///
/// # Errors
/// When the threads cannot be started.
pub fn start(watched: Watched, settings: Settings) -> Result<()> {
    let metrics = Arc::clone(&watched.records.metrics);
    let messages = deliver(&settings, Arc::clone(&metrics))?;
    let mut watcher = Watcher::new(watched, settings);
    thread::Builder::new().name("alerts".to_owned()).spawn(move || {
        loop {
            let look = || {
                let now = watcher.look(Instant::now());
                Ok(now.into_iter().chain(watcher.digest(SystemTime::now())).collect::<Vec<_>>())
            };
            match told("the watcher", look) {
                Ok(now) => now.into_iter().for_each(|it| tell(&metrics, &messages, it)),
                Err(reason) => error!(%reason, "nobody was alerted"),
            }
            thread::sleep(PERIOD);
        }
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::{TcpListener, TcpStream},
        sync::mpsc,
    };

    use serde_json::json;

    use super::{
        delivery::{CAPACITY, post_all},
        *,
    };
    use crate::{
        health::{Limits, tests::LIMITS},
        ledger::metrics::{AlertLabel, Metrics},
    };

    const HOLD: Duration = Duration::from_secs(60);
    const REPEAT: Duration = Duration::from_secs(600);

    fn settings(webhook: &str, format: Format) -> Settings {
        let webhook = webhook.to_owned();
        let digest_hour = Some(8);
        let (hold, repeat) = (HOLD, REPEAT);
        Settings { webhook, format, hold, repeat, failures: 3, unsellable: 1e4, digest_hour }
    }

    #[test]
    fn what_is_wrong_is_told_once_again_later_and_when_it_is_well() {
        let begun = Instant::now();
        let mut standing = Standing::default();
        let mut at = |seconds: u64, wrong: bool| {
            let now = begun + Duration::from_secs(seconds);
            let wrong = wrong.then(|| "low".to_owned());
            let told = standing.take(Alert::LowBalance, wrong, now, (HOLD, REPEAT));
            told.map(|message| message.state == State::Resolved)
        };
        // Not for a moment's trouble.
        assert_eq!((at(0, true), at(59, true), at(60, false)), (None, None, None));
        assert_eq!((at(100, true), at(159, true)), (None, None));
        assert_eq!((at(160, true), at(161, true), at(700, true)), (Some(false), None, None));
        assert_eq!((at(760, true), at(800, true)), (Some(false), None));
        assert_eq!((at(801, false), at(802, false)), (Some(true), None));
        assert_eq!((at(900, true), at(960, true)), (None, Some(false)));
    }

    fn watcher() -> Watcher {
        let metrics = Arc::new(Metrics::new());
        let limits = Limits { stalled: Duration::from_secs(60), ..LIMITS };
        let health = Arc::new(Health::new(limits, true, Arc::clone(&metrics), None));
        health.turn();
        health.feed(true);
        health.news();
        let records = Arc::new(Records::new(metrics, None));
        let (board, klend_replaced) = (Arc::default(), Arc::default());
        let watched = Watched { health, records, board, klend_replaced };
        Watcher::new(watched, settings("http://x", Format::Json))
    }

    /// Every condition fires on its own, and not when all is well.
    #[test]
    fn each_condition_is_seen() {
        use crate::ledger::record::{Ended, Outcome};
        let labels = |watcher: &mut Watcher, after: Duration| -> Vec<&'static str> {
            // News do not age in this test.
            watcher.watched.health.news();
            let messages = watcher.look(Instant::now() + after);
            assert!(messages.iter().all(|message| !message.text.is_empty()));
            messages.iter().map(|message| message.label).collect()
        };
        let mut quiet = watcher();
        assert_eq!(labels(&mut quiet, Duration::ZERO), [""; 0]);
        assert_eq!(labels(&mut quiet, HOLD), [""; 0]);

        let fail = |check| move |of: &Watched| of.health.set(check, Err("bad".to_owned()));
        type Happens = Box<dyn Fn(&Watched)>;
        let cases: Vec<(Alert, Happens)> = vec![
            (Alert::NodeBehind, Box::new(fail(Check::Node))),
            (Alert::LowBalance, Box::new(fail(Check::Key))),
            (Alert::TablesUnusable, Box::new(fail(Check::Tables))),
            (Alert::ProgramChanged, Box::new(fail(Check::Program))),
            (Alert::FeedLost, Box::new(|of| of.health.feed(false))),
            (Alert::KlendReplaced, Box::new(|of| of.klend_replaced.store(true, Ordering::Relaxed))),
            (
                Alert::ModelDiffers,
                Box::new(|of| {
                    of.records.metrics.model_differences.inc();
                }),
            ),
            (
                Alert::UnsellableDebt,
                Box::new(|of| {
                    of.records.metrics.unsellable_debt.set(1e4);
                }),
            ),
            (
                Alert::RepeatedFailure,
                Box::new(|of| {
                    for _ in 0..3 {
                        let ended = Ended::early(Outcome::Failed, "x", "why".to_owned());
                        of.records.end(None, ended, crate::ledger::now_ms());
                    }
                }),
            ),
        ];
        for (alert, happens) in cases {
            let mut watcher = watcher();
            happens(&watcher.watched);
            let told = labels(&mut watcher, Duration::ZERO);
            assert_eq!(told.is_empty(), !alert.is_urgent(), "{alert:?}: {told:?}");
            let later = labels(&mut watcher, HOLD);
            assert_eq!([told, later].concat(), [alert.label()]);
        }
    }

    #[test]
    fn formats_are_what_receivers_take_and_no_secret_is_shown() {
        let text = "0.01 SOL".to_owned();
        let message = Message::of(Alert::LowBalance, State::Firing, text);
        let body = |format: &Format| message.body(format);
        let json = body(&Format::Json);
        assert_eq!(json, json!({ "alert": "low_balance", "state": "firing", "text": "0.01 SOL" }));
        let sentence = "keeper FIRING: low_balance: 0.01 SOL";
        assert_eq!(body(&Format::Slack), json!({ "text": sentence }));
        let chat = "-100".to_owned();
        let telegram = body(&Format::Telegram { chat });
        assert_eq!(telegram, json!({ "chat_id": "-100", "text": sentence }));
        let shown = format!("{:?}", settings("https://api.example/botSECRET/x", Format::Slack));
        assert!(!shown.contains("SECRET"), "{shown}");
    }

    #[test]
    fn a_digest_comes_once_a_day_at_its_hour() {
        use crate::judge::state::Near;
        let mut watcher = watcher();
        let key = |byte| solana_address::Address::new_from_array([byte; 32]);
        let near = Near { obligation: key(2), health: 1.25, debt: 1_234.4 };
        watcher.watched.board.write(vec![Seen {
            market: key(1),
            slot: 7,
            tracked: 3,
            prices: Vec::new(),
            nearest: vec![near; 9],
        }]);
        let mut at = |hours: u64| {
            let told = watcher.digest(UNIX_EPOCH + Duration::from_secs(hours * 3_600));
            told.map(|message| (message.state, message.text))
        };
        // 2100-01-01: long after the start.
        let midnight = 47_482 * 24;
        let (state, text) = at(midnight + 8).unwrap();
        assert_eq!(state, State::Digest);
        assert_eq!(text.matches("health 1.2500, debt $1,234.00").count(), DIGEST, "{text}");
        assert!(text.contains("0 tried") && text.contains("3 obligations in slot 7"), "{text}");
        assert_eq!((at(midnight + 9), at(midnight + 31)), (None, None));
        assert!(at(midnight + 32).is_some());
    }

    fn message() -> Message {
        Message::of(Alert::FeedLost, State::Firing, "x".to_owned())
    }

    /// Reads a request and answers it.
    fn answer(mut stream: TcpStream, status: &str) -> String {
        let mut request = Vec::new();
        let mut byte = [0];
        let text = loop {
            assert_ne!(stream.read(&mut byte).unwrap(), 0);
            request.push(byte[0]);
            let text = String::from_utf8_lossy(&request);
            if let Some((_, body)) = text.split_once("\r\n\r\n")
                && body.ends_with('}')
            {
                break text.into_owned();
            }
        };
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .unwrap();
        text
    }

    #[test]
    fn a_receiver_that_refuses_is_asked_again() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let metrics = Metrics::new();
        let client = reqwest::blocking::Client::builder().no_proxy().build().unwrap();
        let (sender, messages) = mpsc::sync_channel(2);
        sender.send(message()).unwrap();
        drop(sender);
        let receiver = thread::spawn(move || {
            ["500 Oops", "200 OK"].map(|status| answer(listener.accept().unwrap().0, status))
        });
        let pauses = [Duration::from_millis(10); 2];
        post_all(&client, &url, &Format::Json, &metrics, &messages, &pauses);
        let seen = receiver.join().unwrap();
        assert!(seen.iter().all(|request| request.contains("feed_lost")), "{seen:?}");
        assert_eq!(metrics.alerts_undelivered.get(), 0);
    }

    /// Slow, refusing or gone: telling takes no time, and what is lost is counted.
    #[test]
    fn a_receiver_that_is_slow_or_gone_holds_nobody_up() {
        let slow = TcpListener::bind("127.0.0.1:0").unwrap();
        let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        for address in [slow.local_addr().unwrap(), gone] {
            let metrics = Arc::new(Metrics::new());
            let settings = settings(&format!("http://{address}/"), Format::Slack);
            let messages = deliver(&settings, Arc::clone(&metrics)).unwrap();
            let begun = Instant::now();
            for _ in 0..10 * CAPACITY {
                tell(&metrics, &messages, message());
            }
            let took = begun.elapsed();
            assert!(took < Duration::from_secs(2), "{took:?}");
            assert!(metrics.alerts_undelivered.get() as usize >= 8 * CAPACITY);
            let label = AlertLabel { alert: "feed_lost" };
            assert_eq!(metrics.alerts.get_or_create(&label).get() as usize, 10 * CAPACITY);
        }
    }
}
