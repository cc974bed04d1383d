//! Settings that are more than one plain value.

use std::{collections::BTreeSet, time::Duration};

use klend_model::version::KlendVersion;
use solana_address::Address;
use toml::Value;

use super::{
    Feed, NodeConfig, OnDifference, Simulate,
    reader::{Reader, url_of},
};
use crate::{
    alerts::{self, Format},
    cli::MAIN_MARKET,
    feeds::source::nodes::Role,
    land::funds::Rule,
};

fn main_market() -> Address {
    MAIN_MARKET.parse().unwrap_or_default()
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

impl Reader {
    pub(super) fn markets(&mut self) -> Vec<Address> {
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

    /// `nodes`: a URL is of a node that gets transactions, a table says what for.
    pub(super) fn nodes(&mut self) -> Vec<NodeConfig> {
        const EXPECTED: &str = "expected a list of URLs that begin with http:// or https://, or \
                                of { url = \"...\", roles = [\"scan\", \"stream\", \"send\", \
                                \"simulate\"], websocket_url = \"...\" }";
        let Some(value) = self.remove("nodes") else { return Vec::new() };
        let nodes = value.as_array().and_then(|items| items.iter().map(node).collect());
        if nodes.is_none() {
            self.mistake("nodes", EXPECTED.to_owned());
        }
        nodes.unwrap_or_default()
    }

    pub(super) fn feed(&mut self) -> Option<Feed> {
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

    pub(super) fn simulate(&mut self) -> Option<Simulate> {
        self.take("simulate", "\"local\" or \"none\"", |value| match value.as_str()? {
            "local" => Some(Simulate::Local),
            "none" => Some(Simulate::None),
            _ => None,
        })
    }

    pub(super) fn near(&mut self) -> Option<f32> {
        self.take("near_health", "a health factor from 1 to 10", |value| {
            let health = value.as_float().or_else(|| value.as_integer().map(|int| int as f64))?;
            (1.0..=10.0).contains(&health).then_some(health as f32)
        })
    }

    pub(super) fn klend(&mut self) -> Option<KlendVersion> {
        let known = KlendVersion::ALL.map(KlendVersion::name).join(", ");
        let expected = format!("\"auto\" or one of the versions that are known, {known}");
        self.take("klend_version", &expected, |value| match value.as_str()? {
            "auto" => Some(None),
            named => named.parse().ok().map(Some),
        })
        .flatten()
    }

    pub(super) fn on_difference(&mut self) -> Option<OnDifference> {
        self.take("on_difference", "\"skip\", \"stop\" or \"ignore\"", |value| {
            match value.as_str()? {
                "skip" => Some(OnDifference::Skip),
                "stop" => Some(OnDifference::Stop),
                "ignore" => Some(OnDifference::Ignore),
                _ => None,
            }
        })
    }

    /// `top_up_below_sol` and `top_up_keep_sol`.
    pub(super) fn top_up(&mut self) -> Option<Rule> {
        let below = self.lamports("top_up_below_sol");
        let keep = self.lamports("top_up_keep_sol");
        if keep.is_some() && below.is_none() {
            let how = "there is no top_up_below_sol that it goes with";
            self.mistake("top_up_keep_sol", how.to_owned());
        }
        below.map(|below| Rule { below: Some(below), keep: keep.unwrap_or(0) })
    }

    /// The table `[alerts]`.
    pub(super) fn alerts(&mut self) -> Option<alerts::Settings> {
        self.within("alerts", Self::alert_settings).flatten()
    }

    fn alert_settings(&mut self) -> Option<alerts::Settings> {
        let webhook = self.url("webhook", &["http", "https"]);
        let chat = self.string("telegram_chat");
        let format = self.take("format", "\"json\", \"slack\" or \"telegram\"", |value| {
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
                self.mistake("telegram_chat", "format = \"telegram\" needs it".to_owned());
                Format::Json
            }
            (Some(format), None) => format,
            (Some(format), Some(_)) => {
                self.mistake("telegram_chat", "it goes with format = \"telegram\"".to_owned());
                format
            }
        };
        let seconds = |given: Option<u64>, default| Duration::from_secs(given.unwrap_or(default));
        let settings = alerts::Settings {
            webhook: webhook.clone().unwrap_or_default(),
            format,
            hold: seconds(self.integer("hold_seconds", 0, 86_400), 60),
            repeat: seconds(self.integer("repeat_seconds", 60, 604_800), 14_400),
            failures: self.integer("failures", 1, 1_000_000).unwrap_or(5),
            unsellable: self.amount("unsellable_debt_usd").unwrap_or(10_000.0),
            digest_hour: self.integer("digest_hour", 0, 23),
        };
        if webhook.is_none() && !self.mistakes.iter().any(|known| known.starts_with("webhook:")) {
            self.mistake("webhook", "alerts need one to go to".to_owned());
        }
        webhook.map(|_| settings)
    }
}
