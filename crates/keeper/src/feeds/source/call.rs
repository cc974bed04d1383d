//! One JSON-RPC call over HTTP, and what helps where it fails.
//!
//! Nodes, proxies in front of them and block engines name the same trouble by many
//! codes. [`cure_of`] is the one table of them.

use std::{
    fmt,
    sync::OnceLock,
    time::{Duration, Instant},
};

use reqwest::{
    blocking::Client,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// Characters of an answer that is no answer which are shown.
const SHOWN: usize = 120;

/// What helps against a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cure {
    /// The same again, at once: something was lost on the way.
    AtOnce,
    /// The same again, later or of another node: this one is busy, behind or sick.
    Later,
    /// The same of another node: this one never will.
    Elsewhere,
    /// Less at a time.
    Smaller,
    /// Nothing: the call itself is refused.
    Never,
}

/// A refusal, in the words of who refused. Nothing came of the call.
#[derive(Clone, Debug, thiserror::Error)]
#[error("refused ({code}): {message}")]
pub struct Refused {
    /// JSON-RPC's code, or, positive, HTTP's status.
    pub code: i64,
    pub message: String,
    /// When to come again, as the answer's `Retry-After` says.
    pub wait: Option<Duration>,
}

impl Refused {
    /// What helps.
    pub fn cure(&self) -> Cure {
        cure_of(self.code, &self.message)
    }
}

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It may have been carried out: there was no answer, or none that can be read.
    #[error("{what}")]
    Lost {
        what: String,
        cure: Cure,
        /// See [`Refused::wait`].
        wait: Option<Duration>,
    },
}

impl Failure {
    pub(super) fn lost(what: impl fmt::Display, cure: Cure) -> Self {
        Self::Lost { what: redact(&what.to_string()), cure, wait: None }
    }

    /// As an error in whose chain a refusal is found.
    pub(super) fn into_error(self) -> anyhow::Error {
        match self {
            Self::Refused(refused) => refused.into(),
            lost @ Self::Lost { .. } => lost.into(),
        }
    }

    /// What helps.
    pub fn cure(&self) -> Cure {
        match self {
            Self::Refused(refused) => refused.cure(),
            Self::Lost { cure, .. } => *cure,
        }
    }

    /// How long the node wants not to be asked.
    pub fn wait(&self) -> Option<Duration> {
        match self {
            Self::Refused(Refused { wait, .. }) | Self::Lost { wait, .. } => *wait,
        }
    }
}

/// What helps against a code: JSON-RPC's, Solana's, those that providers have added,
/// and HTTP's statuses, which are positive.
fn cure_of(code: i64, message: &str) -> Cure {
    let message = message.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if says(&["rate limit", "too many requests", "congested", "requests per second"]) {
        return Cure::Later;
    }
    // By somebody who is behind, or ahead: whether its life is over, others tell.
    if message.contains("blockhash") && says(&["not found", "expired"]) {
        return Cure::Later;
    }
    match code {
        // A request that timed out, or came too early.
        408 | 425 => Cure::AtOnce,
        // A body that is too long; parameters that are too many, or are never taken, which
        // smaller pieces of them show.
        413 | 414 | -32602 => Cure::Smaller,
        // No such key, page or method here; a method, an index or a past that this node
        // does not keep.
        401..=407 | 410 | -32601 | -32001 | -32011..=-32008 => Cure::Elsewhere,
        // A transaction or a call that is wrong.
        400..=499 if code != 429 => Cure::Never,
        -32002 | -32003 | -32006 | -32013 | -32015 | -32600 | -32700 => Cure::Never,
        // 429, -32429, -32097 and -32007 are rate limits, -32005 and -32016 nodes that are
        // behind, -32603 and 5xx sick ones; of what nobody has heard the same is hoped.
        _ => Cure::Later,
    }
}

/// `text` with what follows the host of any URL left out: a path or a query may
/// hold a provider's API key.
pub fn redact(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        shown.push_str(before);
        let is_over = |letter: char| letter.is_whitespace() || "()<>\"',".contains(letter);
        let end = after.find(is_over).unwrap_or(after.len());
        let (url, tail) = after.split_at(end);
        let (authority, hidden) = match url.find(['/', '?', '#']) {
            Some(path) => (&url[..path], url.len() > path + 1),
            None => (url, false),
        };
        // Neither a user's name nor a password.
        shown.push_str(authority.rsplit('@').next().unwrap_or_default());
        if hidden {
            shown.push_str("/...");
        }
        rest = tail;
    }
    shown.push_str(rest);
    shown
}

/// Who is called.
pub struct Endpoint {
    pub url: String,
    /// Its host, for people.
    pub name: String,
    /// Made with the first call, and again where that was not possible: it needs a thread
    /// and file descriptors.
    client: OnceLock<Client>,
}

/// An answer, as far as it is needed. Whose question it answers is known: one
/// connection carries one at a time.
#[derive(Deserialize)]
struct Envelope<T> {
    // Null is an answer too, which serde takes for none.
    #[serde(default = "none")]
    result: Option<T>,
    #[serde(default)]
    error: Option<Value>,
}

fn none<T>() -> Option<T> {
    None
}

impl Endpoint {
    pub fn new(url: &str) -> Self {
        let shown = redact(url);
        let name = shown.split("://").nth(1).unwrap_or(&shown).trim_end_matches("/...");
        Self { url: url.to_owned(), name: name.to_owned(), client: OnceLock::new() }
    }

    fn client(&self) -> Result<&Client, Failure> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = Client::builder().build();
        let client = client.map_err(|reason| Failure::lost(reason, Cure::Later))?;
        Ok(self.client.get_or_init(|| client))
    }

    /// Calls once, and waits no longer than until `deadline`.
    pub fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        params: &Value,
        deadline: Instant,
    ) -> Result<T, Failure> {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let answer = self
            .client()?
            .post(&self.url)
            .header(CONTENT_TYPE, "application/json")
            .timeout(deadline.saturating_duration_since(Instant::now()))
            .body(request.to_string())
            .send()
            .map_err(lost)?;
        let status = answer.status();
        let wait = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        // A date, which it may be too, is not waited for.
        let wait = wait.and_then(|seconds| seconds.trim().parse().ok()).map(Duration::from_secs);
        let body = answer.bytes().map_err(lost)?;
        match read(&body) {
            Ok(answer) if status.is_success() => Ok(answer),
            Err(Failure::Refused(refused)) => {
                let code = overruled(i64::from(status.as_u16()), &refused);
                Err(Refused { code, wait, ..refused }.into())
            }
            // A page of a proxy: whether the node behind it was asked is not known, unless
            // it is the caller's fault.
            _ if !status.is_success() => {
                let message = format!("HTTP {status}: {}", start_of(&body));
                let code = i64::from(status.as_u16());
                if status.is_client_error() {
                    return Err(Refused { code, message, wait }.into());
                }
                Err(Failure::Lost { cure: cure_of(code, &message), what: message, wait })
            }
            Ok(_) => Err(Failure::lost(status, Cure::Later)),
            Err(failure) => Err(failure),
        }
    }
}

/// The code that counts where a refusal has one of HTTP's too: a node that is busy says in
/// its body what comes to its mind, and one that is sick refuses what is not wrong.
fn overruled(status: i64, refused: &Refused) -> i64 {
    match status {
        429 => status,
        500.. if refused.cure() == Cure::Never => status,
        _ => refused.code,
    }
}

/// The answer in a body.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    let unreadable = |reason: serde_json::Error| {
        Failure::lost(format!("an answer that cannot be read: {reason}: {}", start_of(body)), {
            // Cut off on the way, or of another form, as a page is.
            if reason.is_eof() { Cure::AtOnce } else { Cure::Later }
        })
    };
    let Envelope { result, error } = serde_json::from_slice(body).map_err(unreadable)?;
    match (result, error) {
        (_, Some(error)) => Err(refusal(&error).into()),
        (Some(result), None) => Ok(result),
        (None, None) => serde_json::from_value(Value::Null)
            .map_err(|_| Failure::lost("an answer without a result", Cure::Later)),
    }
}

/// What an error says, whatever form it has.
pub fn refusal(error: &Value) -> Refused {
    let code = &error["code"];
    let code = code.as_i64().or_else(|| code.as_str()?.trim().parse().ok());
    let message = error["message"].as_str().or(error.as_str()).map(str::to_owned);
    let message = redact(&message.unwrap_or_else(|| error.to_string()));
    Refused { code: code.unwrap_or_default(), message, wait: None }
}

fn lost(error: reqwest::Error) -> Failure {
    let cure = if error.is_builder() {
        Cure::Never
    } else if error.is_connect() || error.is_timeout() {
        Cure::Later
    } else {
        Cure::AtOnce
    };
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    Failure::lost(text, cure)
}

/// The first words of what is no answer.
fn start_of(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(SHOWN)]);
    redact(
        &text
            .chars()
            .map(|letter| if letter.is_control() { ' ' } else { letter })
            .collect::<String>(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_hold_a_secret_is_not_shown() {
        for (text, shown) in [
            ("no url", "no url"),
            ("for url (https://a.b/?api-key=SECRET): x", "for url (https://a.b/...): x"),
            ("https://me:SECRET@a.b:1/SECRET", "https://a.b:1/..."),
            ("http://a:1/", "http://a:1"),
            ("a ws://b/SECRET c wss://d", "a ws://b/... c wss://d"),
        ] {
            assert_eq!(redact(text), shown);
        }
    }

    #[test]
    fn every_name_of_a_trouble_has_its_cure() {
        for (codes, cure) in [
            (&[429, 500, 502, 503, 504, 521][..], Cure::Later),
            (&[-32603, -32429, -32007, -32097, -32005, -32016, -32004, -32000, 0], Cure::Later),
            (&[401, 403, 404, 410, -32601, -32010, -32011, -32001], Cure::Elsewhere),
            (&[413, -32602], Cure::Smaller),
            (&[408], Cure::AtOnce),
            (&[400, 422, -32002, -32003, -32600, -32700], Cure::Never),
        ] {
            for code in codes {
                assert_eq!(cure_of(*code, "no"), cure, "{code}");
            }
        }
        assert_eq!(cure_of(-32600, "Rate limit: 10 requests per second"), Cure::Later);
        // What a node that is behind says of a transaction is not the end of it.
        for (code, message) in [
            (-32002, "Transaction simulation failed: Blockhash not found"),
            (-32602, "bundle contains an expired blockhash"),
        ] {
            assert_eq!(cure_of(code, message), Cure::Later, "{message}");
        }
    }

    #[test]
    fn a_busy_or_sick_nodes_status_counts_more_than_what_it_says() {
        for (status, code, counts) in [
            (429, -32600, 429),
            (429, -32602, 429),
            (503, -32002, 503),
            // It says more than that it is sick.
            (500, -32602, -32602),
            (503, -32005, -32005),
            (400, -32600, -32600),
            (200, -32600, -32600),
        ] {
            let refused = Refused { code, message: "no".to_owned(), wait: None };
            assert_eq!(overruled(status, &refused), counts, "{status} {code}");
        }
    }

    #[test]
    fn an_answer_is_read_whatever_is_around_it() {
        let number = |text: &str| read::<u64>(text.as_bytes());
        for text in [
            r#"{"jsonrpc":"2.0","id":"1","result":7}"#,
            r#"{"id":null,"result":7,"error":null,"usage":{"credits":1.5}}"#,
        ] {
            assert_eq!(number(text).unwrap(), 7, "{text}");
        }
        assert_eq!(read::<Option<u64>>(br#"{"result":null}"#).unwrap(), None);
        for (text, code) in [
            (r#"{"id":null,"error":{"code":"-32005","message":"behind"}}"#, -32005),
            (r#"{"error":{"code":-32603}}"#, -32603),
            (r#"{"error":"no"}"#, 0),
        ] {
            let Err(Failure::Refused(refused)) = number(text) else { panic!("{text}") };
            assert_eq!(refused.code, code, "{text}");
        }
        for (text, cure) in [
            (r#"{"result":"#, Cure::AtOnce),
            ("<html><body>Bad Gateway", Cure::Later),
            (r#"{"result":"seven"}"#, Cure::Later),
            (r#"{"id":1}"#, Cure::Later),
        ] {
            assert_eq!(number(text).unwrap_err().cure(), cure, "{text}");
        }
    }
}
