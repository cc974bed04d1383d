//! The configuration file of `keeper watch`. Reading it reports every mistake
//! at once.

mod check;
mod fees;
mod reader;
mod selling;
mod settings;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use klend_model::version::KlendVersion;
use solana_address::Address;

use self::reader::Reader;
use crate::{
    alerts,
    build::plan::{Least, Wishes},
    cli::SignerArgs,
    feeds::{inclusion::Percentile, jupiter, source::nodes::Role},
    health::Limits,
    land::funds::Rule,
    program::Expected,
    route::discovery::Seeking,
};

/// Folder for differences unless told otherwise.
const DIFFERENCES: &str = "klend-differences";
/// Health factor below which everything is read that a liquidation needs.
const NEAR: f32 = 1.05;

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

/// Where a transaction is executed before it is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Simulate {
    /// In a virtual machine here, on what is known.
    Local,
    /// Nowhere.
    None,
}

/// A node and what it is there for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeConfig {
    /// Its URL.
    pub url: String,
    /// What it is asked for.
    pub roles: Vec<Role>,
    /// Its websocket; without one, it follows from the URL.
    pub websocket_url: Option<String>,
}

/// What becomes of liquidations where model and chain differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDifference {
    /// Obligations that use the reserve are left alone until it agrees again.
    Skip,
    /// All are left alone.
    Stop,
    /// It is told, and nothing else.
    Ignore,
}

/// How an aggregator is asked beside the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asking {
    pub settings: jupiter::Settings,
    /// Age at which an offer is asked for anew.
    pub refresh: Duration,
    /// Age from which an offer is not used any more.
    pub oldest: Duration,
    /// Pause between two questions.
    pub pause: Duration,
    /// Most accounts that a route may name.
    pub max_accounts: u8,
    /// Whether it is asked once more for what is about to be sold, and waited for.
    pub on_path: bool,
}

/// What `keeper watch` does and within which limits.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Markets to watch.
    pub markets: Vec<Address>,
    /// Markets of which only the reserves are read: they lend.
    pub lend_from: Vec<Address>,
    /// Sign and send; otherwise only simulate.
    pub send: bool,
    /// Sending on mainnet is wanted.
    pub mainnet: bool,
    /// Whose key signs.
    pub signer: SignerArgs,
    /// Obligations with less debt are not tracked, US dollars.
    pub min_debt: f64,
    /// What has to be left of a liquidation after all costs, US dollars.
    pub min_profit: f64,
    /// Obligations below this health factor get everything read that their
    /// liquidation needs.
    pub near: f32,
    /// What a liquidation is decided by.
    pub wishes: Wishes,
    /// Pools to sell in.
    pub pools: Vec<Address>,
    /// How an aggregator is asked, if it is.
    pub jupiter: Option<Asking>,
    /// How further pools are looked for, and how often, if they are.
    pub discover: Option<(Seeking, Duration)>,
    /// Whether transactions are tried before they are signed.
    pub simulate: Simulate,
    /// Whether prices are written first where that lets an obligation be liquidated.
    pub refresh_prices: bool,
    /// Nodes beside the one that the command line names, in order.
    pub nodes: Vec<NodeConfig>,
    /// Block engines that get them as bundles.
    pub block_engines: Vec<String>,
    /// Whether the node that is read from gets them too.
    pub own_node: bool,
    /// Service that tells what bundles tip, and the percentile that counts.
    pub tip_floor: Option<(String, Percentile)>,
    /// How changes are learned of.
    pub feed: Feed,
    /// The node's websocket; without one, it follows from the RPC URL.
    pub websocket_url: Option<String>,
    /// Yellowstone gRPC endpoint.
    pub yellowstone_url: Option<String>,
    /// How long the clock may be silent before the connection counts as dead.
    pub silence: Duration,
    /// Pause between two looks whether updates tell of every change; zero for none.
    pub audit: Duration,
    /// Liquidations at the same time.
    pub workers: usize,
    /// Pause between two looks at prices while there are no updates.
    pub poll: Duration,
    /// Pause between two scans of all obligations.
    pub rescan: Duration,
    /// Pause before an obligation is tried again.
    pub cooldown: Duration,
    /// Where metrics, health and the page are served.
    pub metrics: Option<SocketAddr>,
    /// Within which limits the keeper counts as well.
    pub limits: Limits,
    /// File of the ledger.
    pub ledger: Option<PathBuf>,
    /// The program that is signed for.
    pub program: Expected,
    /// When wrapped SOL becomes SOL for fees; `None` for never.
    pub top_up: Option<Rule>,
    /// cTokens that can be redeemed for so many US dollars are; `None` for never.
    pub redeem_above: Option<f64>,
    /// Who is told when something is wrong.
    pub alerts: Option<alerts::Settings>,
    /// The klend that it talks to; `None` to find out.
    pub klend: Option<KlendVersion>,
    /// Whether the model is compared with what klend does.
    pub verify: bool,
    /// What a difference does.
    pub on_difference: OnDifference,
    /// Folder in which differences are recorded.
    pub differences: PathBuf,
}

impl Config {
    /// Reads a configuration, and every mistake in it, each with its key. What is
    /// mistaken has its default; what is not TOML is no configuration.
    pub fn read(text: &str) -> (Option<Self>, Vec<String>) {
        match toml::from_str(text) {
            Ok(table) => {
                let mut reader = Reader::new(table);
                let config = Self::of(&mut reader);
                (Some(config), reader.finish())
            }
            Err(error) => (None, vec![error.to_string().trim_end().to_owned()]),
        }
    }

    fn of(reader: &mut Reader) -> Self {
        let markets = reader.markets();
        let simulate = reader.simulate().unwrap_or(Simulate::Local);
        let wishes = Wishes { simulates: simulate == Simulate::Local, ..reader.wishes() };
        let limits = Limits::default();
        let config = Self {
            markets,
            lend_from: reader.addresses("lend_from"),
            send: reader.boolean("send").unwrap_or(false),
            mainnet: reader.boolean("mainnet").unwrap_or(false),
            signer: SignerArgs {
                keypair: reader.string("keypair").map(PathBuf::from),
                vault: reader.url("vault", &["http", "https"]),
                vault_key: reader.string("vault_key"),
                vault_pubkey: reader.address("vault_pubkey"),
            },
            min_debt: reader.amount("min_debt_usd").unwrap_or(1.0),
            min_profit: match wishes.least {
                Least::Usd(usd) => usd,
                Least::Raw(_) => 0.0,
            },
            near: reader.near().unwrap_or(NEAR),
            pools: reader.addresses("pools"),
            jupiter: reader.jupiter(),
            discover: reader.discover(),
            simulate,
            refresh_prices: reader.boolean("refresh_prices").unwrap_or(false),
            nodes: reader.nodes(),
            block_engines: reader.urls("block_engines"),
            own_node: reader.boolean("own_node").unwrap_or(true),
            tip_floor: reader.tip_floor(),
            feed: reader.feed().unwrap_or(Feed::Auto),
            websocket_url: reader.url("websocket_url", &["ws", "wss"]),
            yellowstone_url: reader.url("yellowstone_url", &["http", "https"]),
            silence: Duration::from_secs(reader.integer("silence_seconds", 1, 600).unwrap_or(10)),
            audit: Duration::from_secs(reader.integer("audit_seconds", 0, 86_400).unwrap_or(15)),
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
            wishes,
            limits: Limits {
                stalled: Duration::from_secs(
                    reader.integer("stalled_seconds", 1, 3_600).unwrap_or(limits.stalled.as_secs()),
                ),
                feed_stale: Duration::from_secs(
                    reader
                        .integer("feed_stale_seconds", 1, 3_600)
                        .unwrap_or(limits.feed_stale.as_secs()),
                ),
                node_behind: reader
                    .integer("node_behind_slots", 0, 1_000_000)
                    .unwrap_or(limits.node_behind),
                low_balance: reader.lamports("low_balance_sol").unwrap_or(limits.low_balance),
            },
            ledger: reader.string("ledger").map(PathBuf::from),
            program: Expected {
                hash: reader.parsed("program_hash", "64 hexadecimal digits"),
                authority: reader.parsed("program_authority", "an address, or \"none\""),
            },
            top_up: reader.top_up(),
            redeem_above: reader.amount("redeem_above_usd"),
            alerts: reader.alerts(),
            klend: reader.klend(),
            verify: reader.boolean("verify").unwrap_or(true),
            on_difference: reader.on_difference().unwrap_or(OnDifference::Skip),
            differences: reader
                .string("differences")
                .map_or_else(|| PathBuf::from(DIFFERENCES), PathBuf::from),
        };
        config.check(reader);
        config
    }

    /// The nodes with a role.
    pub fn with(&self, role: Role) -> impl Iterator<Item = &NodeConfig> {
        self.nodes.iter().filter(move |node| node.roles.contains(&role))
    }
}

#[cfg(test)]
mod tests;
