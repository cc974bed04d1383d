//! The configuration file of `keeper watch`. Reading it reports every mistake
//! at once.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use solana_address::Address;
use toml::{Table, Value};

use crate::cli::{JupiterArgs, LiquidateArgs, MAIN_MARKET, TermsArgs};

/// What `keeper watch` does and within which limits.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Market to watch.
    pub market: Address,
    /// Sign and send; otherwise only simulate.
    pub send: bool,
    /// Sending on mainnet is wanted.
    pub mainnet: bool,
    /// Keypair file; without one, the solana CLI's.
    pub keypair: Option<PathBuf>,
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
    /// See [`LiquidateArgs`].
    pub deadline_slots: u64,
    /// Pause between two looks at prices.
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
            keypair: reader.string("keypair").map(PathBuf::from),
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
            deadline_slots: reader.integer("deadline_slots", 0, 1_000_000).unwrap_or(32),
            poll: Duration::from_millis(reader.integer("poll_ms", 50, 600_000).unwrap_or(1_000)),
            rescan: Duration::from_secs(reader.integer("rescan_seconds", 1, 86_400).unwrap_or(300)),
            cooldown: Duration::from_secs(
                reader.integer("cooldown_seconds", 0, 86_400).unwrap_or(30),
            ),
            metrics: reader.parsed("metrics", "an address to listen on, like \"127.0.0.1:9184\""),
        };
        if config.tip > 0 && config.tip_account.is_none() {
            reader.mistake("tip", "needs tip_account".to_owned());
        }
        reader.finish()?;
        Ok(config)
    }

    /// The same limits for one obligation.
    pub fn liquidate_args(&self, obligation: &Address) -> LiquidateArgs {
        LiquidateArgs {
            obligation: *obligation,
            terms: TermsArgs {
                pool: None,
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
            jupiter: JupiterArgs { jupiter: None, jupiter_amount: None },
            keypair: self.keypair.clone(),
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
                "poll_ms",
                "metrics",
                "tip",
                "min_profitt"
            ],
            "{mistakes:#?}"
        );
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
    }

    #[test]
    fn what_is_not_toml_is_one_mistake() {
        assert_eq!(Config::parse("market = ").unwrap_err().len(), 1);
    }
}
