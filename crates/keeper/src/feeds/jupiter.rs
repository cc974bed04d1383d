//! Jupiter's `GET /swap/v2/build`, its own or one that is hosted by the operator.
//!
//! What it answers is read by the client ([`jupiter`]) and not believed further than that:
//! every refusal, limit, lie or change of its form is a [`Trouble`].

use std::{fmt, io::Read as _, sync::mpsc, thread, time::Duration};

use anyhow::{Context as _, Result, anyhow};
use flash_liquidator_client::swap::jupiter::{self, Allowed, Ask, JupiterError, JupiterRoute};
use reqwest::{
    blocking::Client,
    header::{HeaderMap, HeaderValue, RETRY_AFTER},
    redirect::Policy,
};
use serde_json::Value;

use super::{source::redact, told};

/// Holds the key that the API wants to see, where no setting has it.
pub const KEY_VARIABLE: &str = "KEEPER_JUPITER_KEY";
/// The header that it goes into.
const KEY_HEADER: &str = "x-api-key";
/// Where the endpoint is below an API's address.
const PATH: &str = "/swap/v2/build";
/// Longest it may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Most bytes of an answer that are read.
const MOST_BYTES: u64 = 1 << 20;
/// Pause after being told to ask less, where it is not said how long.
const LIMITED_PAUSE: Duration = Duration::from_secs(5);
/// Longest such pause: what says more is asked again then.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How Jupiter is asked.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// Its address: with nothing behind the host, or the whole endpoint's.
    pub url: String,
    /// The key for it.
    pub key: Option<String>,
    /// Fees that its answers may state.
    pub allowed: Allowed,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, key, allowed } = self;
        write!(f, "{} (key: {}) {allowed:?}", redact(url), key.is_some())
    }
}

/// Why there is no route.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// It knows none.
    #[error("Jupiter knows no route: {0}")]
    NoRoute(String),
    /// It is asked too often.
    #[error("Jupiter is asked too often; again in {} s", .0.as_secs_f32())]
    Limited(Duration),
    /// It refuses.
    #[error("Jupiter refused (HTTP {status}): {message}")]
    Refused {
        /// HTTP's status.
        status: u16,
        /// What it says.
        message: String,
    },
    /// It did not answer.
    #[error("Jupiter did not answer: {0}")]
    Lost(String),
    /// What it answered is not a route that can be sold by.
    #[error("Jupiter's answer is not used: {0}")]
    Answer(#[from] JupiterError),
}

/// Somebody to ask.
pub struct Jupiter {
    url: String,
    client: Client,
    allowed: Allowed,
}

impl Jupiter {
    /// # Errors
    /// The client for HTTP cannot be made, or the key is none that a header can have.
    pub fn new(settings: &Settings) -> Result<Self> {
        let mut headers = HeaderMap::new();
        if let Some(key) = &settings.key {
            let mut key = HeaderValue::from_str(key)
                .map_err(|_| anyhow!("Jupiter's key has letters that a header cannot have"))?;
            key.set_sensitive(true);
            headers.insert(KEY_HEADER, key);
        }
        // A key is not carried elsewhere.
        let client = Client::builder()
            .timeout(TIMEOUT)
            .redirect(Policy::none())
            .default_headers(headers)
            .build()
            .context("Jupiter")?;
        let url = settings.url.trim_end_matches('/');
        let url = if url.ends_with("/build") { url.to_owned() } else { format!("{url}{PATH}") };
        Ok(Self { url, client, allowed: settings.allowed })
    }

    /// Asks, once.
    ///
    /// # Errors
    /// [`Trouble`].
    pub fn ask(&self, ask: &Ask) -> Result<JupiterRoute, Trouble> {
        let parameters = ask.parameters().map(|(name, value)| format!("{name}={value}"));
        let lost = |error: reqwest::Error| Trouble::Lost(error.without_url().to_string());
        let url = format!("{}?{}", self.url, parameters.join("&"));
        let answer = self.client.get(url).send().map_err(lost)?;
        let status = answer.status();
        let wait = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let wait = wait.and_then(|seconds| seconds.trim().parse().ok()).map(Duration::from_secs);
        let mut body = Vec::new();
        answer
            .take(MOST_BYTES)
            .read_to_end(&mut body)
            .map_err(|error| Trouble::Lost(error.to_string()))?;
        let body = String::from_utf8_lossy(&body);
        if status.is_success() {
            return Ok(jupiter::read_build(&body, ask, &self.allowed)?);
        }
        if status.as_u16() == 429 {
            return Err(Trouble::Limited(wait.unwrap_or(LIMITED_PAUSE).min(LONGEST_PAUSE)));
        }
        let message = said(&body);
        if status.as_u16() == 400 && message.to_ascii_lowercase().contains("route") {
            return Err(Trouble::NoRoute(message));
        }
        Err(Trouble::Refused { status: status.as_u16(), message })
    }
}

/// The words of a refusal.
fn said(body: &str) -> String {
    /// Characters that are shown.
    const SHOWN: usize = 120;
    let json: Value = serde_json::from_str(body).unwrap_or_default();
    let text = json["error"].as_str().or(json["message"].as_str()).unwrap_or(body);
    let shown: String = text
        .chars()
        .take(SHOWN)
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect();
    redact(&shown)
}

/// A thread that asks, one question after the other. It ends with the process.
pub struct Asker {
    questions: mpsc::Sender<Ask>,
}

impl Asker {
    /// Asks `jupiter`, and hands what it answers to `take`.
    pub fn start(
        jupiter: Jupiter,
        take: impl Fn(Ask, Result<JupiterRoute, Trouble>) + Send + 'static,
    ) -> Self {
        let (questions, received) = mpsc::channel();
        thread::spawn(move || {
            for ask in received {
                let answer = told("the thread that asks Jupiter", || Ok(jupiter.ask(&ask)));
                take(ask, answer.unwrap_or_else(|broken| Err(Trouble::Lost(broken.to_string()))));
            }
        });
        Self { questions }
    }

    /// # Errors
    /// The thread is gone.
    pub fn ask(&self, ask: Ask) -> Result<()> {
        self.questions.send(ask).map_err(|_| anyhow!("the thread that asks Jupiter broke down"))
    }
}
