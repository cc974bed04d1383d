//! What a service manager is told: that the keeper is ready, and, as long as its loop
//! turns, that it lives.

use std::{sync::Arc, thread, time::Duration};

use sd_notify::NotifyState;
use tracing::{debug, error};

use super::Health;

/// Pause between two looks where no watchdog asks for less.
const PERIOD: Duration = Duration::from_secs(1);

/// Tells systemd, where it listens, on a thread that ends with the process: ready once
/// the market was read, and alive while the loop turns. A loop that stalls is then
/// started again by the watchdog.
pub fn start(health: Arc<Health>) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    let watchdog = sd_notify::watchdog_enabled();
    let pause = watchdog.map_or(PERIOD, |within| (within / 3).min(PERIOD));
    let told = thread::Builder::new().name("service".to_owned()).spawn(move || {
        let mut is_ready = false;
        loop {
            if !is_ready && health.has_news() {
                is_ready = true;
                tell(&[NotifyState::Ready]);
            }
            if watchdog.is_some() && health.liveness().alive {
                tell(&[NotifyState::Watchdog]);
            }
            thread::sleep(pause);
        }
    });
    if let Err(reason) = told {
        error!(%reason, "the service manager is told nothing");
    }
}

/// What is in flight ends first: the service manager waits.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(state: &[NotifyState]) {
    if let Err(reason) = sd_notify::notify(state) {
        debug!(%reason, "the service manager does not listen");
    }
}
