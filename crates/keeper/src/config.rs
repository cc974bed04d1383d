//! The configuration file of `keeper watch`. Reading it reports every mistake
//! at once.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use solana_address::Address;
use toml::{Table, Value};

use crate::cli::{JupiterArgs, LiquidateArgs, MAIN_MARKET, SignerArgs, TermsArgs};

/// How `watch` learns of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feed {
    /// A websocket to an RPC node, else polling.
    Auto,
    /// The node's websocket.
    Websocket,
    /// A Yellowstone gRPC endpoint.
    Yellowstone,
    /// Looking again and again.
    Poll,
}

/// What `keeper watch` does and within which limits.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Market to watch.
    pub market: Address,
    /// Sign and send; otherwise only simulate.
    pub send: bool,
    /// Sending on mainnet is wanted.
    pub mainnet: bool,
    /// Whose key signs.
    pub signer: SignerArgs,
    /// Lookup tables for every transaction.
    pub tables: Vec<Address>,
    /// Obligations with less debt are not tracked, US dollars.
    pub min_debt: f64,
    /// Liquidations that gain less at the quote are left alone, US dollars.
    pub min_profit: f64,
    /// See [`TermsArgs`].
    pub swap_cost_bps: u16,
    pub slippage_bps: u16,
    pub max_fee_bps: u16,
    pub loan_margin_bps: u16,
    pub priority_fee: u64,
    pub tip: u64,
    pub tip_account: Option<Address>,
    pub pools: Vec<Address>,
    /// See [`LiquidateArgs`].
    pub deadline_slots: u64,
    pub block_engine: Option<String>,
    /// How changes are learned of.
    pub feed: Feed,
    /// The node's websocket; without one, it follows from the RPC URL.
    pub websocket_url: Option<String>,
    /// Yellowstone gRPC endpoint.
    pub yellowstone_url: Option<String>,
    /// Liquidations at the same time.
    pub workers: usize,
    /// Pause between two looks at prices while there are no updates.
    pub poll: Duration,
    /// Pause between two scans of all obligations.
    pub rescan: Duration,
    /// Pause before an obligation is tried again.
    pub cooldown: Duration,
    /// Where metrics are served.
    pub metrics: Option<SocketAddr>,
}

impl Config {
    /// Reads a configuration.
    ///
    /// # Errors
    /// Every mistake in it, each with its key.
    pub fn parse(text: &str) -> Result<Self, Vec<String>> {
        let table: Table = match toml::from_str(text) {
            Ok(table) => table,
            Err(error) => return Err(vec![error.to_string().trim_end().to_owned()]),
        };
        let mut reader = Reader { table, mistakes: Vec::new() };
        let config = Self {
            market: reader.address("market").unwrap_or_else(main_market),
            send: reader.boolean("send").unwrap_or(false),
            mainnet: reader.boolean("mainnet").unwrap_or(false),
            signer: SignerArgs {
                keypair: reader.string("keypair").map(PathBuf::from),
                vault: reader.url("vault", &["http", "https"]),
                vault_key: reader.string("vault_key"),
                vault_pubkey: reader.address("vault_pubkey"),
            },
            tables: reader.addresses("tables"),
            min_debt: reader.amount("min_debt_usd").unwrap_or(1.0),
            min_profit: reader.amount("min_profit_usd").unwrap_or(1.0),
            swap_cost_bps: reader.bps("swap_cost_bps", 30),
            slippage_bps: reader.bps("slippage_bps", 50),
            max_fee_bps: reader.bps("max_fee_bps", 10),
            loan_margin_bps: reader.bps("loan_margin_bps", 5),
            priority_fee: reader.integer("priority_fee", 0, i64::MAX).unwrap_or(0),
            tip: reader.integer("tip", 0, i64::MAX).unwrap_or(0),
            tip_account: reader.address("tip_account"),
            pools: reader.addresses("pools"),
            deadline_slots: reader.integer("deadline_slots", 0, 1_000_000).unwrap_or(32),
            block_engine: reader.url("block_engine", &["http", "https"]),
            feed: reader.feed().unwrap_or(Feed::Auto),
            websocket_url: reader.url("websocket_url", &["ws", "wss"]),
            yellowstone_url: reader.url("yellowstone_url", &["http", "https"]),
            workers: reader
                .integer("workers", 1, 64)
                .and_then(|workers| usize::try_from(workers).ok())
                .unwrap_or(2),
            poll: Duration::from_millis(reader.integer("poll_ms", 50, 600_000).unwrap_or(1_000)),
            rescan: Duration::from_secs(reader.integer("rescan_seconds", 1, 86_400).unwrap_or(300)),
            cooldown: Duration::from_secs(
                reader.integer("cooldown_seconds", 0, 86_400).unwrap_or(30),
            ),
            metrics: reader.parsed("metrics", "an address to listen on, like \"127.0.0.1:9184\""),
        };
        let signer = &config.signer;
        if signer.vault.is_some() && (signer.vault_key.is_none() || signer.vault_pubkey.is_none()) {
            reader.mistake("vault", "needs vault_key and vault_pubkey".to_owned());
        }
        if signer.vault.is_none() && (signer.vault_key.is_some() || signer.vault_pubkey.is_some()) {
            reader.mistake("vault_key", "there is no vault given".to_owned());
        }
        if signer.vault.is_some() && signer.keypair.is_some() {
            reader.mistake("keypair", "there is a vault too: give one of them".to_owned());
        }
        if config.tip > 0 && config.tip_account.is_none() {
            reader.mistake("tip", "needs tip_account".to_owned());
        }
        if config.block_engine.is_some() && config.tip == 0 {
            reader.mistake("block_engine", "a bundle without a tip is never taken".to_owned());
        }
        if config.feed == Feed::Yellowstone && config.yellowstone_url.is_none() {
            reader.mistake("feed", "yellowstone needs yellowstone_url".to_owned());
        }
        if config.feed == Feed::Yellowstone && !cfg!(feature = "yellowstone") {
            let how = "this keeper was built without it: build it with --features yellowstone";
            reader.mistake("feed", how.to_owned());
        }
        reader.finish()?;
        Ok(config)
    }

    /// The same limits for one obligation.
    pub fn liquidate_args(&self, obligation: &Address) -> LiquidateArgs {
        LiquidateArgs {
            obligation: *obligation,
            terms: TermsArgs {
                pools: self.pools.clone(),
                swap_cost_bps: self.swap_cost_bps,
                slippage_bps: self.slippage_bps,
                max_fee_bps: self.max_fee_bps,
                loan_margin_bps: self.loan_margin_bps,
                tip: self.tip,
                tip_account: self.tip_account,
                priority_fee: self.priority_fee,
            },
            dry_run: !self.send,
            min_profit: 0,
            deadline_slots: self.deadline_slots,
            tables: self.tables.clone(),
            jupiter: JupiterArgs::default(),
            block_engine: self.block_engine.clone(),
            signer: self.signer.clone(),
            yes: self.mainnet,
        }
    }
}

fn main_market() -> Address {
    MAIN_MARKET.parse().unwrap_or_default()
}

/// Takes keys out of a table and notes what is wrong with them.
struct Reader {
    table: Table,
    mistakes: Vec<String>,
}

impl Reader {
    fn mistake(&mut self, key: &str, what: String) {
        self.mistakes.push(format!("{key}: {what}"));
    }

    fn take<T>(
        &mut self,
        key: &str,
        expected: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.table.remove(key)?;
        let read = read(&value);
        if read.is_none() {
            self.mistake(key, format!("expected {expected}, got {value}"));
        }
        read
    }

    fn boolean(&mut self, key: &str) -> Option<bool> {
        self.take(key, "true or false", Value::as_bool)
    }

    fn string(&mut self, key: &str) -> Option<String> {
        self.take(key, "a string", |value| value.as_str().map(str::to_owned))
    }

    fn parsed<T: std::str::FromStr>(&mut self, key: &str, expected: &str) -> Option<T> {
        self.take(key, expected, |value| value.as_str()?.parse().ok())
    }

    fn url(&mut self, key: &str, schemes: &[&str]) -> Option<String> {
        let expected = format!("a URL that begins with {}://", schemes.join(":// or "));
        // Not quoted back: it may hold a provider's API key.
        let value = self.table.remove(key)?;
        let url = value.as_str().filter(|url| {
            url.split_once("://")
                .is_some_and(|(scheme, rest)| schemes.contains(&scheme) && !rest.is_empty())
        });
        if url.is_none() {
            self.mistake(key, format!("expected {expected}"));
        }
        url.map(str::to_owned)
    }

    fn feed(&mut self) -> Option<Feed> {
        self.take("feed", "\"auto\", \"websocket\", \"yellowstone\" or \"poll\"", |value| {
            match value.as_str()? {
                "auto" => Some(Feed::Auto),
                "websocket" => Some(Feed::Websocket),
                "yellowstone" => Some(Feed::Yellowstone),
                "poll" => Some(Feed::Poll),
                _ => None,
            }
        })
    }

    fn address(&mut self, key: &str) -> Option<Address> {
        self.parsed(key, "an address")
    }

    fn addresses(&mut self, key: &str) -> Vec<Address> {
        self.take(key, "a list of addresses", |value| {
            value.as_array()?.iter().map(|item| item.as_str()?.parse().ok()).collect()
        })
        .unwrap_or_default()
    }

    fn integer(&mut self, key: &str, from: i64, to: i64) -> Option<u64> {
        self.take(key, &format!("an integer from {from} to {to}"), |value| {
            let integer = value.as_integer().filter(|integer| (from..=to).contains(integer))?;
            u64::try_from(integer).ok()
        })
    }

    fn bps(&mut self, key: &str, default: u16) -> u16 {
        self.integer(key, 0, 10_000).and_then(|bps| u16::try_from(bps).ok()).unwrap_or(default)
    }

    fn amount(&mut self, key: &str) -> Option<f64> {
        self.take(key, "an amount in US dollars, not negative", |value| {
            let amount = value.as_float().or_else(|| value.as_integer().map(|int| int as f64))?;
            (amount.is_finite() && amount >= 0.0).then_some(amount)
        })
    }

    fn finish(mut self) -> Result<(), Vec<String>> {
        let unknown: Vec<String> = self.table.keys().cloned().collect();
        for key in unknown {
            self.mistake(&key, "there is no such setting".to_owned());
        }
        if self.mistakes.is_empty() { Ok(()) } else { Err(self.mistakes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_only_simulates_on_the_main_market() {
        let config = Config::parse("").unwrap();
        assert_eq!(config.market.to_string(), MAIN_MARKET);
        assert!(!config.send && !config.mainnet);
        assert_eq!(config.metrics, None);
    }

    #[test]
    fn every_mistake_is_reported_at_once() {
        let mistakes = Config::parse(
            r#"
            market = "main"
            send = "yes"
            tables = ["x"]
            min_profit_usd = -1
            slippage_bps = 10001
            poll_ms = 0
            metrics = "9184"
            tip = 5
            feed = "rumours"
            websocket_url = "http://x/?api-key=SECRET"
            workers = 0
            vault = "https://v"
            min_profitt = 3
            "#,
        )
        .unwrap_err();
        let keys: Vec<&str> =
            mistakes.iter().map(|mistake| mistake.split(':').next().unwrap()).collect();
        assert_eq!(
            keys,
            [
                "market",
                "send",
                "tables",
                "min_profit_usd",
                "slippage_bps",
                "feed",
                "websocket_url",
                "workers",
                "poll_ms",
                "metrics",
                "vault",
                "tip",
                "min_profitt"
            ],
            "{mistakes:#?}"
        );
        assert!(!mistakes.concat().contains("SECRET"), "{mistakes:#?}");
    }

    #[test]
    fn a_full_file_is_read() {
        let config = Config::parse(
            r#"
            market = "DxXdAyU3kCjnyggvHmY5nAwg5cRbbmdyX3npfDMjjMek"
            send = true
            mainnet = true
            keypair = "id.json"
            tables = ["7u3HeHxYDLhnCoErrtycNokbQYbWGzLs6JSDqGAv5PfF"]
            min_debt_usd = 10
            min_profit_usd = 2.5
            swap_cost_bps = 1
            slippage_bps = 2
            max_fee_bps = 3
            loan_margin_bps = 4
            priority_fee = 5
            tip = 6
            tip_account = "7u3HeHxYDLhnCoErrtycNokbQYbWGzLs6JSDqGAv5PfF"
            pools = ["7u3HeHxYDLhnCoErrtycNokbQYbWGzLs6JSDqGAv5PfF"]
            block_engine = "https://b/api/v1/bundles"
            feed = "websocket"
            websocket_url = "wss://w"
            workers = 3
            deadline_slots = 7
            poll_ms = 800
            rescan_seconds = 9
            cooldown_seconds = 10
            metrics = "127.0.0.1:9184"
            "#,
        )
        .unwrap();
        let args = config.liquidate_args(&config.market);
        assert!(!args.dry_run && args.yes);
        assert_eq!((args.terms.tip, args.terms.priority_fee, args.deadline_slots), (6, 5, 7));
        assert_eq!((config.poll.as_millis(), config.rescan.as_secs()), (800, 9));
        assert_eq!((config.min_debt, config.min_profit), (10.0, 2.5));
        assert_eq!(config.tables, args.tables);
        assert_eq!((args.terms.pools.len(), config.workers), (1, 3));
        assert_eq!(
            (config.feed, config.websocket_url.as_deref()),
            (Feed::Websocket, Some("wss://w"))
        );
        assert_eq!(args.block_engine.as_deref(), Some("https://b/api/v1/bundles"));
    }

    #[test]
    fn what_does_not_go_together_is_a_mistake() {
        for (text, key) in [
            ("block_engine = \"https://b\"", "block_engine"),
            ("vault_key = \"k\"", "vault_key"),
            (
                "keypair = \"k\"\nvault = \"https://v\"\nvault_key = \"k\"\n\
                 vault_pubkey = \"7u3HeHxYDLhnCoErrtycNokbQYbWGzLs6JSDqGAv5PfF\"",
                "keypair",
            ),
            ("feed = \"yellowstone\"", "feed"),
        ] {
            let mistakes = Config::parse(text).unwrap_err();
            assert!(mistakes[0].starts_with(key), "{text}: {mistakes:?}");
        }
    }

    #[test]
    fn what_is_not_toml_is_one_mistake() {
        assert_eq!(Config::parse("market = ").unwrap_err().len(), 1);
    }
}
