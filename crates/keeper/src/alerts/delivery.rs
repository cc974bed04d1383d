//! Handing messages to the receiver, on a thread of its own.

use std::{
    sync::{
        Arc,
        mpsc::{self, Receiver, SyncSender},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use tracing::{debug, warn};

use super::{
    Settings,
    message::{Format, Message, State},
};
use crate::ledger::metrics::{AlertLabel, Metrics};

/// Messages that may wait for the receiver; what comes then is dropped, and counted.
pub(super) const CAPACITY: usize = 64;
/// Longest the receiver may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Pauses before the tries after the first.
const PAUSES: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(25)];

/// Logs and counts a message, and hands it over if there is room.
pub(super) fn tell(metrics: &Metrics, messages: &SyncSender<Message>, message: Message) {
    warn!(alert = message.label, state = message.state.label(), text = message.text, "alert");
    if message.state == State::Firing {
        metrics.alerts.get_or_create(&AlertLabel { alert: message.label }).inc();
    }
    if messages.try_send(message).is_err() {
        metrics.alerts_undelivered.inc();
    }
}

/// Starts the thread that posts what it is sent.
pub(super) fn deliver(settings: &Settings, metrics: Arc<Metrics>) -> Result<SyncSender<Message>> {
    let client = reqwest::blocking::Client::builder()
        .timeout(TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .context("alerts cannot be sent")?;
    let (sender, messages) = mpsc::sync_channel(CAPACITY);
    let Settings { webhook, format, .. } = settings.clone();
    thread::Builder::new()
        .name("webhook".to_owned())
        .spawn(move || post_all(&client, &webhook, &format, &metrics, &messages, &PAUSES))?;
    Ok(sender)
}

/// Posts one after the other; what is not taken is tried again after each of `pauses`.
pub(super) fn post_all(
    client: &reqwest::blocking::Client,
    webhook: &str,
    format: &Format,
    metrics: &Metrics,
    messages: &Receiver<Message>,
    pauses: &[Duration],
) {
    for message in messages {
        let body = message.body(format);
        let post = || -> reqwest::Result<()> {
            // Without the URL, which may hold a secret.
            client
                .post(webhook)
                .json(&body)
                .send()
                .and_then(reqwest::blocking::Response::error_for_status)
                .map_err(reqwest::Error::without_url)?;
            Ok(())
        };
        let mut result = post();
        for pause in pauses {
            let Err(reason) = &result else { break };
            debug!(%reason, alert = message.label, "not delivered yet");
            thread::sleep(*pause);
            result = post();
        }
        if let Err(reason) = result {
            metrics.alerts_undelivered.inc();
            warn!(%reason, alert = message.label, "the alert was not delivered");
        }
    }
}
