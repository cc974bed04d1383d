//! Where collateral is sold: pools that are looked for, and an aggregator.

use std::time::Duration;

use flash_liquidator_client::swap::jupiter::{Allowed, MOST_ACCOUNTS};

use super::{Asking, reader::Reader};
use crate::{
    cli::{PER_PAIR, usual_via},
    feeds::jupiter,
    route::discovery::Seeking,
};

impl Reader {
    /// The table `[jupiter]`; its mistakes have its name in front.
    pub fn jupiter(&mut self) -> Option<Asking> {
        let table = self.take("jupiter", "a table", |value| value.as_table().cloned())?;
        let mut inner = Self { table, mistakes: Vec::new() };
        let url = inner.url("url", &["http", "https"]);
        let key = inner.string("api_key").or_else(|| std::env::var(jupiter::KEY_VARIABLE).ok());
        let refresh = inner.integer("refresh_seconds", 1, 3_600).unwrap_or(10);
        let oldest = inner.integer("oldest_seconds", 1, 3_600).unwrap_or(3 * refresh);
        if oldest < refresh {
            let how = format!("{oldest} is below refresh_seconds ({refresh}): no offer would last");
            inner.mistake("oldest_seconds", how);
        }
        let most = inner.integer("max_accounts", 8, i64::from(MOST_ACCOUNTS));
        let asking = Asking {
            settings: jupiter::Settings {
                url: url.clone().unwrap_or_default(),
                key,
                allowed: Allowed {
                    platform_fee_bps: inner.bps("platform_fee_bps", 0),
                    positive_slippage_bps: inner.bps("positive_slippage_bps", 0),
                },
            },
            refresh: Duration::from_secs(refresh),
            oldest: Duration::from_secs(oldest),
            pause: Duration::from_millis(inner.integer("pause_ms", 20, 60_000).unwrap_or(1_000)),
            max_accounts: most.and_then(|most| u8::try_from(most).ok()).unwrap_or(MOST_ACCOUNTS),
            on_path: inner.boolean("on_path").unwrap_or(false),
        };
        if url.is_none() && !inner.mistakes.iter().any(|known| known.starts_with("url:")) {
            inner.mistake("url", "there has to be somebody to ask".to_owned());
        }
        self.mistakes.extend(inner.finish().into_iter().map(|what| format!("jupiter.{what}")));
        url.map(|_| asking)
    }

    /// How pools are looked for, and how often.
    pub fn discover(&mut self) -> Option<(Seeking, Duration)> {
        const ONLY: [&str; 3] = ["discover_pools", "discover_minutes", "discover_via"];
        let is_given: Vec<&str> =
            ONLY.into_iter().filter(|key| self.table.contains_key(*key)).collect();
        let does = self.boolean("discover").unwrap_or(true);
        let has_via = self.table.contains_key("discover_via");
        let via = self.addresses("discover_via");
        let per_pair = self.integer("discover_pools", 1, 16);
        let minutes = self.integer("discover_minutes", 1, 1_440).unwrap_or(60);
        if let Some(key) = is_given.first().filter(|_| !does) {
            self.mistake(key, "no pools are looked for: discover = false".to_owned());
        }
        let seeking = Seeking {
            per_pair: per_pair.and_then(|most| usize::try_from(most).ok()).unwrap_or(PER_PAIR),
            via: if has_via { via } else { usual_via() },
        };
        does.then_some((seeking, Duration::from_secs(minutes * 60)))
    }
}
