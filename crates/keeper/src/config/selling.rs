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
    /// The table `[jupiter]`.
    pub fn jupiter(&mut self) -> Option<Asking> {
        self.within("jupiter", Self::asking).flatten()
    }

    fn asking(&mut self) -> Option<Asking> {
        let url = self.url("url", &["http", "https"]);
        let key = self.string("api_key").or_else(|| std::env::var(jupiter::KEY_VARIABLE).ok());
        let refresh = self.integer("refresh_seconds", 1, 3_600).unwrap_or(10);
        let oldest = self.integer("oldest_seconds", 1, 3_600).unwrap_or(3 * refresh);
        if oldest < refresh {
            let how = format!("{oldest} is below refresh_seconds ({refresh}): no offer would last");
            self.mistake("oldest_seconds", how);
        }
        let most = self.integer("max_accounts", 8, i64::from(MOST_ACCOUNTS));
        let asking = Asking {
            settings: jupiter::Settings {
                url: url.clone().unwrap_or_default(),
                key,
                allowed: Allowed {
                    platform_fee_bps: self.bps("platform_fee_bps", 0),
                    positive_slippage_bps: self.bps("positive_slippage_bps", 0),
                },
            },
            refresh: Duration::from_secs(refresh),
            oldest: Duration::from_secs(oldest),
            pause: Duration::from_millis(self.integer("pause_ms", 20, 60_000).unwrap_or(1_000)),
            max_accounts: most.and_then(|most| u8::try_from(most).ok()).unwrap_or(MOST_ACCOUNTS),
            on_path: self.boolean("on_path").unwrap_or(false),
        };
        if url.is_none() && !self.mistakes.iter().any(|known| known.starts_with("url:")) {
            self.mistake("url", "there has to be somebody to ask".to_owned());
        }
        url.map(|_| asking)
    }

    /// How pools are looked for, and how often.
    pub fn discover(&mut self) -> Option<(Seeking, Duration)> {
        const ONLY: [&str; 3] = ["discover_pools", "discover_minutes", "discover_via"];
        let is_given: Vec<&str> = ONLY.into_iter().filter(|key| self.has(key)).collect();
        let does = self.boolean("discover").unwrap_or(true);
        let has_via = self.has("discover_via");
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
