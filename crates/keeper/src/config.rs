//! The configuration file of `keeper watch`. Reading it reports every mistake
//! at once.

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf, time::Duration};

use klend_model::version::KlendVersion;
use solana_address::Address;
use toml::{Table, Value};

use crate::{
    alerts::{self, Format},
    build::plan::{Fees, Least, Wishes},
    cli::{MAIN_MARKET, SignerArgs},
    feeds::{inclusion::Percentile, source::nodes::Role},
    health::Limits,
    judge::policy::{List, Policy},
    program::Expected,
    route::{
        fees::{FeeRules, TipRule, UnitPrice},
        position::Search,
    },
};

/// Folder for differences unless told otherwise.
const DIFFERENCES: &str = "klend-differences";
/// Health factor below which everything is read that a liquidation needs.
const NEAR: f32 = 1.05;
/// Highest price of a compute unit unless told otherwise, micro-lamports.
const HIGHEST_UNIT_PRICE: u64 = 1_000_000;
/// Least tip unless told otherwise, lamports: what block engines look at.
const LEAST_TIP: u64 = 1_000;
/// Highest tip unless told otherwise, lamports.
const HIGHEST_TIP: u64 = 100_000_000;

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
    /// Whether transactions are tried before they are signed.
    pub simulate: Simulate,
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
        let table: Table = match toml::from_str(text) {
            Ok(table) => table,
            Err(error) => return (None, vec![error.to_string().trim_end().to_owned()]),
        };
        let mut reader = Reader { table, mistakes: Vec::new() };
        let markets = reader.markets();
        let wishes = reader.wishes();
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
            simulate: reader.simulate().unwrap_or(Simulate::Local),
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
            alerts: reader.alerts(),
            klend: reader.klend(),
            verify: reader.boolean("verify").unwrap_or(true),
            on_difference: reader.on_difference().unwrap_or(OnDifference::Skip),
            differences: reader
                .string("differences")
                .map_or_else(|| PathBuf::from(DIFFERENCES), PathBuf::from),
        };
        config.check(&mut reader);
        (Some(config), reader.finish())
    }

    /// The nodes with a role.
    pub fn with(&self, role: Role) -> impl Iterator<Item = &NodeConfig> {
        self.nodes.iter().filter(move |node| node.roles.contains(&role))
    }

    /// Notes what does not go together.
    fn check(&self, reader: &mut Reader) {
        let signer = &self.signer;
        if signer.vault.is_some() && (signer.vault_key.is_none() || signer.vault_pubkey.is_none()) {
            reader.mistake("vault", "needs vault_key and vault_pubkey".to_owned());
        }
        if signer.vault.is_none() && (signer.vault_key.is_some() || signer.vault_pubkey.is_some()) {
            reader.mistake("vault_key", "there is no vault given".to_owned());
        }
        if signer.vault.is_some() && signer.keypair.is_some() {
            reader.mistake("keypair", "there is a vault too: give one of them".to_owned());
        }
        let tips = match &self.wishes.fees {
            Fees::Rules(rules) => rules.tip.as_ref(),
            Fees::Stated { .. } => None,
        };
        match tips {
            Some(rule) if rule.accounts.is_empty() && self.block_engines.is_empty() => {
                let how = "nobody takes it: give tip_accounts, or block_engines, which name theirs";
                reader.mistake("tip", how.to_owned());
            }
            Some(_) if self.block_engines.is_empty() && self.with(Role::Send).next().is_none() => {
                let how = "no road takes tips: give block_engines, or nodes that forward to them";
                reader.mistake("tip", how.to_owned());
            }
            None if !self.block_engines.is_empty() => {
                let how =
                    "a bundle without a tip is never taken: give tip_lamports or tip_share_bps";
                reader.mistake("block_engines", how.to_owned());
            }
            _ => {}
        }
        if tips.is_none() && self.tip_floor.is_some() {
            reader.mistake("tip_floor_url", "no tip is paid: give tip_share_bps".to_owned());
        }
        if tips.is_none() && self.wishes.dont_front.is_some() {
            reader.mistake("dont_front", "it goes with a tip, and none is paid".to_owned());
        }
        let sends = self.with(Role::Send).next().is_some() || !self.block_engines.is_empty();
        if !self.own_node && !sends {
            let how = "nothing is left to send to: give nodes or block_engines";
            reader.mistake("own_node", how.to_owned());
        }
        if self.send && self.wishes.tables.is_empty() {
            let how = "sending needs lookup tables: without one no liquidation fits into 1,232 \
                       bytes; keeper setup makes them";
            reader.mistake("tables", how.to_owned());
        }
        if self.feed == Feed::Yellowstone && self.yellowstone_url.is_none() {
            reader.mistake("feed", "yellowstone needs yellowstone_url".to_owned());
        }
        if self.feed == Feed::Yellowstone && !cfg!(feature = "yellowstone") {
            let how = "this keeper was built without it: build it with --features yellowstone";
            reader.mistake("feed", how.to_owned());
        }
        let policy = &self.wishes.search.policy;
        for (what, list) in [
            ("owners", &policy.owners),
            ("obligations", &policy.obligations),
            ("mints", &policy.mints),
            ("reserves", &policy.reserves),
        ] {
            for key in list.allow.intersection(&list.deny) {
                reader.mistake(&format!("deny_{what}"), format!("{key} is in allow_{what} too"));
            }
        }
    }
}

fn main_market() -> Address {
    MAIN_MARKET.parse().unwrap_or_default()
}

/// A URL with one of these schemes.
fn url_of(value: &Value, schemes: &[&str]) -> Option<String> {
    let (scheme, rest) = value.as_str()?.split_once("://")?;
    (schemes.contains(&scheme) && !rest.is_empty()).then(|| value.as_str().map(str::to_owned))?
}

/// An entry of `nodes`.
fn node(value: &Value) -> Option<NodeConfig> {
    const HTTP: [&str; 2] = ["http", "https"];
    if value.is_str() {
        let url = url_of(value, &HTTP)?;
        return Some(NodeConfig { url, roles: vec![Role::Send], websocket_url: None });
    }
    let table = value.as_table()?;
    if table.keys().any(|key| !["url", "roles", "websocket_url"].contains(&&**key)) {
        return None;
    }
    let role = |name: &Value| {
        let known = Role::ALL.iter().find(|(known, _)| name.as_str() == Some(known));
        known.map(|(_, role)| *role)
    };
    let roles = match table.get("roles") {
        Some(names) => names.as_array()?.iter().map(role).collect::<Option<Vec<Role>>>()?,
        None => Role::ALL.map(|(_, role)| role).to_vec(),
    };
    let websocket_url = match table.get("websocket_url") {
        Some(url) => Some(url_of(url, &["ws", "wss"])?),
        None => None,
    };
    Some(NodeConfig { url: url_of(table.get("url")?, &HTTP)?, roles, websocket_url })
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
        let url = url_of(&value, schemes);
        if url.is_none() {
            self.mistake(key, format!("expected {expected}"));
        }
        url
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

    fn klend(&mut self) -> Option<KlendVersion> {
        let known = KlendVersion::ALL.map(KlendVersion::name).join(", ");
        let expected = format!("\"auto\" or one of the versions that are known, {known}");
        self.take("klend_version", &expected, |value| match value.as_str()? {
            "auto" => Some(None),
            named => named.parse().ok().map(Some),
        })
        .flatten()
    }

    fn on_difference(&mut self) -> Option<OnDifference> {
        self.take("on_difference", "\"skip\", \"stop\" or \"ignore\"", |value| {
            match value.as_str()? {
                "skip" => Some(OnDifference::Skip),
                "stop" => Some(OnDifference::Stop),
                "ignore" => Some(OnDifference::Ignore),
                _ => None,
            }
        })
    }

    fn markets(&mut self) -> Vec<Address> {
        let one = self.address("market");
        let many = self.addresses("markets");
        if one.is_some() && !many.is_empty() {
            self.mistake("market", "there are markets too: give one of them".to_owned());
        }
        let markets: Vec<Address> =
            if many.is_empty() { vec![one.unwrap_or_else(main_market)] } else { many };
        let distinct: BTreeSet<&Address> = markets.iter().collect();
        if distinct.len() < markets.len() {
            self.mistake("markets", "one of them is named twice".to_owned());
        }
        markets
    }

    fn list(&mut self, what: &str) -> List {
        let mut keys = |verb: &str| self.addresses(&format!("{verb}_{what}")).into_iter().collect();
        List { allow: keys("allow"), deny: keys("deny") }
    }

    fn wishes(&mut self) -> Wishes {
        let search = Search {
            swap_cost_bps: self.bps("swap_cost_bps", 30),
            max_fee_bps: self.bps("max_fee_bps", 10),
            loan_margin_bps: self.bps("loan_margin_bps", 5),
            max_repay_usd: self.integer("max_repay_usd", 1, i64::MAX),
            policy: Policy {
                owners: self.list("owners"),
                obligations: self.list("obligations"),
                mints: self.list("mints"),
                reserves: self.list("reserves"),
            },
        };
        Wishes {
            search,
            slippage_bps: self.bps("slippage_bps", 50),
            tolerance_bps: self.bps("profit_tolerance_bps", 2_500),
            least: Least::Usd(self.amount("min_profit_usd").unwrap_or(1.0)),
            fees: Fees::Rules(self.fee_rules()),
            deadline_slots: self.integer("deadline_slots", 0, 1_000_000).unwrap_or(32),
            sol_usd: self.amount("sol_usd").filter(|usd| *usd > 0.0),
            dont_front: self.dont_front(),
            jupiter: None,
            tables: self.addresses("tables"),
        }
    }

    fn fee_rules(&mut self) -> FeeRules {
        FeeRules {
            unit_price: self.unit_price(),
            tip: self.tip(),
            share_bps: self.bps("max_fee_share_bps", 5_000),
            raise_percent: self
                .integer("raise_percent", 0, 1_000)
                .and_then(|percent| u16::try_from(percent).ok())
                .unwrap_or(50),
        }
    }

    fn unit_price(&mut self) -> UnitPrice {
        const EXPECTED: &str = "micro-lamports per compute unit, or \"recent\"";
        let floor = self.integer("priority_fee_floor", 0, i64::MAX);
        let cap = self.integer("priority_fee_cap", 0, i64::MAX);
        let stated = self.take("priority_fee", EXPECTED, |value| match value.as_str() {
            Some("recent") => Some(None),
            Some(_) => None,
            None => u64::try_from(value.as_integer()?).ok().map(Some),
        });
        let Some(None) = stated else {
            if floor.or(cap).is_some() {
                let how = "floor and cap are for priority_fee = \"recent\"";
                self.mistake("priority_fee", how.to_owned());
            }
            return UnitPrice::Fixed(stated.flatten().unwrap_or(0));
        };
        let (floor, cap) = (floor.unwrap_or(0), cap.unwrap_or(HIGHEST_UNIT_PRICE));
        if cap < floor {
            self.mistake("priority_fee_cap", format!("{cap} is below the floor of {floor}"));
        }
        UnitPrice::Recent { floor, cap: cap.max(floor) }
    }

    fn tip(&mut self) -> Option<TipRule> {
        let accounts = self.addresses("tip_accounts");
        let fixed = self.integer("tip_lamports", 0, i64::MAX);
        let share_bps = self.bps("tip_share_bps", 0);
        let floor = self.integer("tip_floor_lamports", 0, i64::MAX);
        let cap = self.integer("tip_cap_lamports", 0, i64::MAX);
        if let Some(lamports) = fixed {
            if share_bps > 0 || floor.or(cap).is_some() {
                let how = "it is fixed: share, floor and cap say otherwise";
                self.mistake("tip_lamports", how.to_owned());
            }
            let fixed = TipRule { share_bps: 0, floor: lamports, cap: lamports, accounts };
            return (lamports > 0).then_some(fixed);
        }
        if share_bps == 0 && floor.or(cap).is_none() {
            if !accounts.is_empty() {
                self.mistake("tip_accounts", "no tip is paid: give tip_share_bps".to_owned());
            }
            return None;
        }
        let floor = floor.unwrap_or(LEAST_TIP);
        let cap = cap.unwrap_or(HIGHEST_TIP);
        if cap < floor {
            self.mistake("tip_cap_lamports", format!("{cap} is below the floor of {floor}"));
        }
        Some(TipRule { share_bps, floor, cap: cap.max(floor), accounts })
    }

    fn tip_floor(&mut self) -> Option<(String, Percentile)> {
        let percentile = self.take("tip_percentile", "25, 50, 75, 95 or 99", |value| {
            Percentile::from_number(u64::try_from(value.as_integer()?).ok()?)
        });
        let url = self.url("tip_floor_url", &["http", "https"]);
        if url.is_none() && percentile.is_some() {
            self.mistake("tip_percentile", "there is no tip_floor_url given".to_owned());
        }
        Some((url?, percentile.unwrap_or(Percentile::P50)))
    }

    fn dont_front(&mut self) -> Option<Address> {
        self.take("dont_front", "an address that begins with jitodontfront", |value| {
            let text = value.as_str().filter(|text| text.starts_with("jitodontfront"))?;
            text.parse().ok()
        })
    }

    fn simulate(&mut self) -> Option<Simulate> {
        self.take("simulate", "\"local\" or \"none\"", |value| match value.as_str()? {
            "local" => Some(Simulate::Local),
            "none" => Some(Simulate::None),
            _ => None,
        })
    }

    fn near(&mut self) -> Option<f32> {
        self.take("near_health", "a health factor from 1 to 10", |value| {
            let health = value.as_float().or_else(|| value.as_integer().map(|int| int as f64))?;
            (1.0..=10.0).contains(&health).then_some(health as f32)
        })
    }

    /// Like [`Self::url`], and as silent about what is wrong with them.
    /// `nodes`: a URL is of a node that gets transactions, a table says what for.
    fn nodes(&mut self) -> Vec<NodeConfig> {
        const EXPECTED: &str = "expected a list of URLs that begin with http:// or https://, or \
                                of { url = \"...\", roles = [\"scan\", \"stream\", \"send\", \
                                \"simulate\"], websocket_url = \"...\" }";
        let Some(value) = self.table.remove("nodes") else { return Vec::new() };
        let nodes = value.as_array().and_then(|items| items.iter().map(node).collect());
        if nodes.is_none() {
            self.mistake("nodes", EXPECTED.to_owned());
        }
        nodes.unwrap_or_default()
    }

    fn urls(&mut self, key: &str) -> Vec<String> {
        let Some(value) = self.table.remove(key) else { return Vec::new() };
        let urls = value.as_array().and_then(|items| {
            let url = |item: &Value| url_of(item, &["http", "https"]);
            items.iter().map(url).collect::<Option<Vec<String>>>()
        });
        if urls.is_none() {
            self.mistake(
                key,
                "expected a list of URLs that begin with http:// or https://".to_owned(),
            );
        }
        urls.unwrap_or_default()
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

    fn lamports(&mut self, key: &str) -> Option<u64> {
        const MOST: f64 = 1e6;
        self.take(key, "an amount in SOL, not negative and at most 1,000,000", |value| {
            let sol = value.as_float().or_else(|| value.as_integer().map(|int| int as f64))?;
            (0.0..=MOST).contains(&sol).then_some((sol * 1e9).round() as u64)
        })
    }

    /// The table `[alerts]`; its mistakes have its name in front.
    fn alerts(&mut self) -> Option<alerts::Settings> {
        let table = self.take("alerts", "a table", |value| value.as_table().cloned())?;
        let mut inner = Self { table, mistakes: Vec::new() };
        let webhook = inner.url("webhook", &["http", "https"]);
        let chat = inner.string("telegram_chat");
        let format = inner.take("format", "\"json\", \"slack\" or \"telegram\"", |value| {
            Some(match value.as_str()? {
                "json" => Some(Format::Json),
                "slack" => Some(Format::Slack),
                "telegram" => None,
                _ => return None,
            })
        });
        let format = match (format.unwrap_or(Some(Format::Json)), chat) {
            (None, Some(chat)) => Format::Telegram { chat },
            (None, None) => {
                inner.mistake("telegram_chat", "format = \"telegram\" needs it".to_owned());
                Format::Json
            }
            (Some(format), None) => format,
            (Some(format), Some(_)) => {
                inner.mistake("telegram_chat", "it goes with format = \"telegram\"".to_owned());
                format
            }
        };
        let seconds = |given: Option<u64>, default| Duration::from_secs(given.unwrap_or(default));
        let settings = alerts::Settings {
            webhook: webhook.clone().unwrap_or_default(),
            format,
            hold: seconds(inner.integer("hold_seconds", 0, 86_400), 60),
            repeat: seconds(inner.integer("repeat_seconds", 60, 604_800), 14_400),
            failures: inner.integer("failures", 1, 1_000_000).unwrap_or(5),
            unsellable: inner.amount("unsellable_debt_usd").unwrap_or(10_000.0),
            digest_hour: inner.integer("digest_hour", 0, 23),
        };
        if webhook.is_none() && !inner.mistakes.iter().any(|known| known.starts_with("webhook:")) {
            inner.mistake("webhook", "alerts need one to go to".to_owned());
        }
        self.mistakes.extend(inner.finish().into_iter().map(|what| format!("alerts.{what}")));
        webhook.map(|_| settings)
    }

    fn finish(mut self) -> Vec<String> {
        let unknown: Vec<String> = self.table.keys().cloned().collect();
        for key in unknown {
            self.mistake(&key, "there is no such setting".to_owned());
        }
        self.mistakes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Authority;

    const KEY: &str = "7u3HeHxYDLhnCoErrtycNokbQYbWGzLs6JSDqGAv5PfF";

    fn parse(text: &str) -> Result<Config, Vec<String>> {
        match Config::read(text) {
            (Some(config), mistakes) if mistakes.is_empty() => Ok(config),
            (_, mistakes) => Err(mistakes),
        }
    }

    fn mistaken_keys(mistakes: &[String]) -> Vec<&str> {
        mistakes.iter().map(|mistake| mistake.split(':').next().unwrap()).collect()
    }

    fn rules(config: &Config) -> &FeeRules {
        let Fees::Rules(rules) = &config.wishes.fees else { panic!("fees by rules") };
        rules
    }

    #[test]
    fn an_empty_file_only_simulates_on_the_main_market() {
        let config = parse("").unwrap();
        assert_eq!(config.markets, [MAIN_MARKET.parse().unwrap()]);
        assert!(!config.send && !config.mainnet && config.own_node);
        assert_eq!((config.metrics, config.simulate), (None, Simulate::Local));
        assert_eq!(
            (rules(&config).tip.as_ref(), rules(&config).unit_price),
            (None, UnitPrice::Fixed(0))
        );
        assert_eq!((config.wishes.least, config.wishes.tolerance_bps), (Least::Usd(1.0), 2_500));
    }

    #[test]
    fn every_mistake_is_reported_at_once() {
        let mistakes = parse(
            r#"
            market = "main"
            send = "yes"
            tables = ["x"]
            min_profit_usd = -1
            slippage_bps = 10001
            poll_ms = 0
            metrics = "9184"
            low_balance_sol = -1
            program_hash = "12"
            program_authority = "me"
            klend_version = "1.20"
            on_difference = "shrug"
            tip_lamports = 5
            feed = "rumours"
            websocket_url = "http://x/?api-key=SECRET"
            nodes = ["http://x/?api-key=SECRET", "x/SECRET"]
            workers = 0
            vault = "https://v"
            min_profitt = 3
            [alerts]
            webhook = "ftp://x/SECRET"
            format = "pigeon"
            failures = 0
            whom = "me"
            "#,
        )
        .unwrap_err();
        let mut keys = mistaken_keys(&mistakes);
        keys.sort_unstable();
        assert_eq!(
            keys,
            [
                "alerts.failures",
                "alerts.format",
                "alerts.webhook",
                "alerts.whom",
                "feed",
                "klend_version",
                "low_balance_sol",
                "market",
                "metrics",
                "min_profit_usd",
                "min_profitt",
                "nodes",
                "on_difference",
                "poll_ms",
                "program_authority",
                "program_hash",
                "send",
                "slippage_bps",
                "tables",
                "tip",
                "vault",
                "websocket_url",
                "workers",
            ],
            "{mistakes:#?}"
        );
        assert!(!mistakes.concat().contains("SECRET"), "{mistakes:#?}");
    }

    #[test]
    fn a_full_file_is_read() {
        let config = parse(&format!(
            r#"
            markets = ["DxXdAyU3kCjnyggvHmY5nAwg5cRbbmdyX3npfDMjjMek", "{KEY}"]
            lend_from = ["{KEY}"]
            send = true
            mainnet = true
            keypair = "id.json"
            tables = ["{KEY}"]
            min_debt_usd = 10
            min_profit_usd = 2.5
            profit_tolerance_bps = 100
            swap_cost_bps = 1
            slippage_bps = 2
            max_fee_bps = 3
            loan_margin_bps = 4
            max_repay_usd = 5000
            priority_fee = "recent"
            priority_fee_floor = 5
            priority_fee_cap = 6
            tip_share_bps = 1000
            tip_floor_lamports = 7
            tip_cap_lamports = 8
            tip_accounts = ["{KEY}"]
            tip_floor_url = "https://t"
            tip_percentile = 75
            max_fee_share_bps = 4000
            raise_percent = 20
            dont_front = "jitodontfront111111111111111111111111111111"
            sol_usd = 150
            pools = ["{KEY}"]
            nodes = ["https://n", {{ url = "https://s", roles = ["scan", "stream"] }}]
            own_node = false
            block_engines = ["https://b/api/v1/bundles"]
            simulate = "none"
            near_health = 1.2
            deny_owners = ["{KEY}"]
            allow_mints = ["{KEY}"]
            feed = "websocket"
            websocket_url = "wss://w"
            workers = 3
            deadline_slots = 7
            poll_ms = 800
            rescan_seconds = 9
            cooldown_seconds = 10
            metrics = "127.0.0.1:9184"
            stalled_seconds = 11
            feed_stale_seconds = 12
            node_behind_slots = 13
            low_balance_sol = 0.5
            ledger = "keeper.db"
            program_hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
            program_authority = "none"
            klend_version = "1.16"
            verify = false
            on_difference = "stop"
            differences = "kept"
            [alerts]
            webhook = "https://h/botX/sendMessage"
            format = "telegram"
            telegram_chat = "-100"
            hold_seconds = 14
            repeat_seconds = 150
            failures = 16
            unsellable_debt_usd = 17
            digest_hour = 18
            "#
        ))
        .unwrap();
        let key: Address = KEY.parse().unwrap();
        assert_eq!((config.markets.len(), &config.lend_from[..]), (2, &[key][..]));
        assert!(config.send && config.mainnet && !config.own_node);
        assert_eq!((config.poll.as_millis(), config.rescan.as_secs()), (800, 9));
        assert_eq!((config.min_debt, config.min_profit, config.near), (10.0, 2.5, 1.2));
        let wishes = &config.wishes;
        assert_eq!((&wishes.tables[..], wishes.deadline_slots), (&[key][..], 7));
        assert_eq!((wishes.least, wishes.tolerance_bps), (Least::Usd(2.5), 100));
        assert_eq!((wishes.slippage_bps, wishes.search.swap_cost_bps), (2, 1));
        assert_eq!((wishes.search.max_fee_bps, wishes.search.loan_margin_bps), (3, 4));
        assert_eq!(wishes.search.max_repay_usd, Some(5_000));
        assert_eq!((wishes.sol_usd, wishes.dont_front.is_some()), (Some(150.0), true));
        let policy = &wishes.search.policy;
        assert!(policy.owners.deny.contains(&key) && policy.mints.allow.contains(&key));
        let rule = TipRule { share_bps: 1_000, floor: 7, cap: 8, accounts: vec![key] };
        let Limits { stalled, feed_stale, node_behind, low_balance } = config.limits;
        assert_eq!((stalled.as_secs(), feed_stale.as_secs(), node_behind), (11, 12, 13));
        assert_eq!(
            (low_balance, config.ledger.as_deref()),
            (500_000_000, Some("keeper.db".as_ref()))
        );
        assert_eq!(config.program.authority, Some(Authority::None));
        let found = (config.klend, config.verify, config.on_difference, &*config.differences);
        let told = (Some(KlendVersion::V1_16), false, OnDifference::Stop, "kept".as_ref());
        assert_eq!(found, told);
        assert!(config.program.hash.unwrap().to_string().starts_with("ba7816bf"));
        assert_eq!(
            *rules(&config),
            FeeRules {
                unit_price: UnitPrice::Recent { floor: 5, cap: 6 },
                tip: Some(rule),
                share_bps: 4_000,
                raise_percent: 20,
            }
        );
        assert_eq!(
            config.alerts,
            Some(alerts::Settings {
                webhook: "https://h/botX/sendMessage".to_owned(),
                format: Format::Telegram { chat: "-100".to_owned() },
                hold: Duration::from_secs(14),
                repeat: Duration::from_secs(150),
                failures: 16,
                unsellable: 17.0,
                digest_hour: Some(18),
            })
        );
        assert_eq!(config.tip_floor, Some(("https://t".to_owned(), Percentile::P75)));
        assert_eq!((config.pools.len(), config.workers), (1, 3));
        assert_eq!(
            (config.feed, config.websocket_url.as_deref(), config.simulate),
            (Feed::Websocket, Some("wss://w"), Simulate::None)
        );
        assert_eq!(config.nodes[0].roles, [Role::Send]);
        assert_eq!(config.nodes[1].roles, [Role::Scan, Role::Stream]);
        assert_eq!(
            (&config.nodes[0].url[..], &config.block_engines[0][..]),
            ("https://n", "https://b/api/v1/bundles")
        );
    }

    #[test]
    fn what_does_not_go_together_is_a_mistake() {
        for (text, keys) in [
            ("block_engines = [\"https://b\"]", &["block_engines"][..]),
            (
                "tip_lamports = 5\ntip_share_bps = 1\nblock_engines = [\"https://b\"]",
                &["tip_lamports"],
            ),
            ("tip_share_bps = 1", &["tip"]),
            (&format!("tip_share_bps = 1\ntip_accounts = [\"{KEY}\"]"), &["tip"]),
            (&format!("tip_accounts = [\"{KEY}\"]"), &["tip_accounts"]),
            (
                "tip_share_bps = 1\ntip_floor_lamports = 9\ntip_cap_lamports = 8\n\
                 block_engines = [\"https://b\"]",
                &["tip_cap_lamports"],
            ),
            ("tip_floor_url = \"https://t\"", &["tip_floor_url"]),
            ("tip_percentile = 50", &["tip_percentile"]),
            ("dont_front = \"jitodontfront111111111111111111111111111111\"", &["dont_front"]),
            (
                "priority_fee = \"recent\"\npriority_fee_floor = 3\npriority_fee_cap = 2",
                &["priority_fee_cap"],
            ),
            ("priority_fee_cap = 2", &["priority_fee"]),
            ("own_node = false", &["own_node"]),
            ("send = true", &["tables"]),
            (&format!("market = \"{KEY}\"\nmarkets = [\"{KEY}\"]"), &["market"]),
            (&format!("markets = [\"{KEY}\", \"{KEY}\"]"), &["markets"]),
            (&format!("allow_mints = [\"{KEY}\"]\ndeny_mints = [\"{KEY}\"]"), &["deny_mints"]),
            ("near_health = 0.9", &["near_health"]),
            ("[alerts]", &["alerts.webhook"]),
            ("[alerts]\nwebhook = \"http://h\"\nformat = \"telegram\"", &["alerts.telegram_chat"]),
            ("[alerts]\nwebhook = \"http://h\"\ntelegram_chat = \"1\"", &["alerts.telegram_chat"]),
            ("vault_key = \"k\"", &["vault_key"]),
            (
                &format!(
                    "keypair = \"k\"\nvault = \"https://v\"\nvault_key = \"k\"\n\
                     vault_pubkey = \"{KEY}\""
                ),
                &["keypair"],
            ),
            // Together.
            (
                "send = true\nown_node = false\npriority_fee_floor = 1",
                &["priority_fee", "own_node", "tables"],
            ),
        ] {
            let mistakes = parse(text).unwrap_err();
            assert_eq!(mistaken_keys(&mistakes), keys, "{text}: {mistakes:?}");
        }
        let mistakes = parse("feed = \"yellowstone\"").unwrap_err();
        assert!(mistakes[0].starts_with("feed"), "{mistakes:?}");
    }

    #[test]
    fn what_is_not_toml_is_one_mistake() {
        let (config, mistakes) = Config::read("market = ");
        assert_eq!((config.is_some(), mistakes.len()), (false, 1));
    }
}
