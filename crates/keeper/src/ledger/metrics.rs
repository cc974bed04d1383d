//! Figures of `keeper watch`. Names and labels are an interface: dashboards and alert
//! rules are written against them, and `ops/metrics.txt`, which a test compares, lists
//! them all.
//!
//! Counting is an atomic addition. Only what is labelled takes a lock, once when an
//! attempt ends.

use std::{sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, prometheus_text},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::{Metric, Registry},
};

use super::record::{Costs, Ended};

/// What scrapers are told the figures are.
pub use prometheus_client::encoding::prometheus_text::CONTENT_TYPE;

/// A count that goes up and down.
pub type Level = Gauge<u64, AtomicU64>;
/// An amount that goes up and down.
pub type Amount = Gauge<f64, AtomicU64>;
/// An amount that only grows.
pub type Sum = Counter<f64, AtomicU64>;

/// Why and where an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutcomeLabels {
    /// See [`Outcome`](super::record::Outcome).
    pub outcome: &'static str,
    /// Name of the error, or empty.
    pub reason: String,
    pub road: &'static str,
    pub venue: String,
}

/// How a transaction went out, and where collateral was sold.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PathLabels {
    pub road: &'static str,
    pub venue: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct MintLabel {
    pub mint: String,
}

/// A cost, `fee`, `tip` or `rent`, the road it was paid on, and where was sold.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CostLabels {
    pub cost: &'static str,
    pub road: &'static str,
    pub venue: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CheckLabel {
    pub check: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AlertLabel {
    pub alert: &'static str,
}

/// A rule of the model, and whether a case of it `agreed` or `differed`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RuleLabels {
    pub rule: &'static str,
    pub outcome: &'static str,
}

type Histograms = Family<PathLabels, Histogram, fn() -> Histogram>;

/// All figures.
pub struct Metrics {
    registry: Registry,
    pub slot: Level,
    pub tracked: Level,
    pub candidates: Level,
    pub evaluation: Histogram,
    pub scans: Counter,
    pub source_errors: Counter,
    pub feed_up: Level,
    pub feed_losses: Counter,
    pub updates: Counter,
    pub stale_updates: Counter,
    pub queued: Level,
    pub in_flight: Level,
    pub attempts: Counter,
    pub liquidated: Counter,
    pub lost_races: Counter,
    pub healthy_again: Counter,
    pub failed: Counter,
    pub turned: Amount,
    pub sends: Level,
    pub paused: Level,
    pub node_slots_behind: Level,
    pub unsellable_debt: Amount,
    pub model_differences: Counter,
    pub model_comparisons: Family<RuleLabels, Counter>,
    pub model_left_out: Counter,
    pub ledger_backlog: Level,
    pub ledger_commit: Histogram,
    pub alerts_undelivered: Counter,
    pub alerts: Family<AlertLabel, Counter>,
    pub checks: Family<CheckLabel, Level>,
    pub balance: Family<MintLabel, Amount>,
    outcomes: Family<OutcomeLabels, Counter>,
    profit: Family<MintLabel, Sum>,
    profit_usd: Family<PathLabels, Sum>,
    loss_usd: Family<PathLabels, Sum>,
    cost: Family<CostLabels, Sum>,
    cost_usd: Family<CostLabels, Sum>,
    update_to_bytes: Histograms,
    bytes_to_landed: Histograms,
    slots_behind: Histograms,
}

/// 10 µs to 10 s.
fn of_computing() -> Histogram {
    Histogram::new(exponential_buckets(1e-5, 2.5, 16))
}

/// 0.1 s to 100 s.
fn of_landing() -> Histogram {
    Histogram::new(exponential_buckets(0.1, 2.0, 11))
}

/// 0 to 256 slots.
fn of_slots() -> Histogram {
    Histogram::new([0.0].into_iter().chain(exponential_buckets(1.0, 2.0, 9)))
}

/// Registers a figure; the format's writer ends help texts with a full stop.
fn register<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("keeper");
        macro_rules! new {
            ($name:literal, $help:literal, $metric:expr) => {
                register(&mut registry, $name, $help, $metric)
            };
            ($name:literal, $help:literal) => {
                new!($name, $help, Default::default())
            };
        }
        let version = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "Which keeper this is", version);
        Self {
            slot: new!("slot", "Slot of the newest prices"),
            tracked: new!("obligations_tracked", "Obligations with debt"),
            candidates: new!("obligations_unhealthy", "Obligations above their LTV limit"),
            evaluation: new!(
                "evaluation_seconds",
                "Time to find among all obligations those that may be liquidated",
                of_computing()
            ),
            scans: new!("scans", "Scans of all obligations"),
            source_errors: new!("source_errors", "Failures to read accounts"),
            feed_up: new!("feed_up", "1 while updates flow, 0 while it polls"),
            feed_losses: new!("feed_losses", "Times the subscription broke or could not be made"),
            updates: new!("updates", "Account updates received"),
            stale_updates: new!("stale_updates", "Account updates older than what was known"),
            queued: new!("queue_length", "Obligations that wait to be tried"),
            in_flight: new!("in_flight", "Liquidations that have not ended"),
            attempts: new!("attempts", "Liquidations tried"),
            liquidated: new!("liquidated", "Liquidations that succeeded, simulated ones included"),
            lost_races: new!("lost_races", "Liquidations somebody else was faster with"),
            healthy_again: new!("healthy_again", "Liquidations that were not needed any more"),
            failed: new!("failed", "Liquidations that failed for another reason"),
            turned: new!("loop_turned_timestamp_seconds", "When the loop last turned, Unix time"),
            sends: new!("sends", "1 if transactions are sent, 0 if they are only simulated"),
            paused: new!("paused", "1 while nothing is begun because the key cannot pay"),
            node_slots_behind: new!(
                "node_slots_behind",
                "Slots the node says it is behind the cluster"
            ),
            unsellable_debt: new!(
                "unsellable_debt_usd",
                "Largest debt that could be liquidated but found no lender or venue, US dollars"
            ),
            model_differences: new!(
                "model_differences",
                "Liquidations that came out otherwise than the model quoted"
            ),
            model_comparisons: new!(
                "model_comparisons",
                "Refreshes and liquidations of others, recomputed and compared with the chain"
            ),
            model_left_out: new!(
                "model_left_out",
                "Refreshes and liquidations of others that say nothing about the model"
            ),
            ledger_backlog: new!("ledger_backlog", "Rows the ledger has not written yet"),
            ledger_commit: new!(
                "ledger_commit_seconds",
                "Time to make rows of the ledger durable",
                of_computing()
            ),
            alerts_undelivered: new!("alerts_undelivered", "Messages no receiver took"),
            alerts: new!("alerts", "Times something was told to be wrong"),
            checks: new!("check", "1 if a check of readiness passes, 0 if it does not"),
            balance: new!("balance_tokens", "Balance of the key, whole tokens; SOL under its name"),
            outcomes: new!("outcomes", "Attempts by how and why they ended"),
            profit: new!("profit_tokens", "Profit after loan and flash fee, whole tokens"),
            profit_usd: new!("profit_usd", "Profit after loan and flash fee, US dollars"),
            loss_usd: new!("loss_usd", "Losses after loan and flash fee, US dollars"),
            cost: new!("cost_sol", "Fees, tips and rent paid, SOL"),
            cost_usd: new!("cost_usd", "Fees, tips and rent paid, US dollars"),
            update_to_bytes: new!(
                "update_to_bytes_seconds",
                "From the update that made it to signed bytes",
                Histograms::new_with_constructor(of_computing)
            ),
            bytes_to_landed: new!(
                "bytes_to_landed_seconds",
                "From signed bytes to the confirmed transaction",
                Histograms::new_with_constructor(of_landing)
            ),
            slots_behind: new!(
                "slots_behind",
                "Slots from the state it was made of to the one it landed in",
                Histograms::new_with_constructor(of_slots)
            ),
            registry,
        }
    }

    /// Counts how an attempt ended.
    pub fn ended(&self, ended: &Ended) {
        let Ended { outcome, code, numbers, .. } = ended;
        let (road, venue) = (numbers.road, numbers.venue.clone());
        self.outcomes
            .get_or_create(&OutcomeLabels {
                outcome: outcome.label(),
                reason: code.clone(),
                road,
                venue: venue.clone(),
            })
            .inc();
        let path = PathLabels { road, venue };
        let observe = |family: &Histograms, time: Option<Duration>| {
            if let Some(time) = time {
                family.get_or_create(&path).observe(time.as_secs_f64());
            }
        };
        observe(&self.update_to_bytes, numbers.update_to_bytes);
        observe(&self.bytes_to_landed, numbers.bytes_to_landed);
        if let Some(slots) = numbers.slots_behind {
            self.slots_behind.get_or_create(&path).observe(slots as f64);
        }
        if !ended.is_real() {
            return;
        }
        if let Some(profit) = numbers.profit_tokens() {
            let label = MintLabel { mint: numbers.debt_mint.to_string() };
            self.profit.get_or_create(&label).inc_by(profit.max(0.0));
        }
        if let Some(profit) = numbers.profit_usd() {
            let family = if profit < 0.0 { &self.loss_usd } else { &self.profit_usd };
            family.get_or_create(&path).inc_by(profit.abs());
        }
        let Costs { fee, tip, rent } = numbers.costs;
        for (cost, lamports) in [("fee", fee), ("tip", tip), ("rent", rent)] {
            let label = CostLabels { cost, road, venue: path.venue.clone() };
            self.cost.get_or_create(&label).inc_by(super::record::sol(lamports));
            if let Some(usd) = numbers.usd(lamports) {
                self.cost_usd.get_or_create(&label).inc_by(usd);
            }
        }
    }

    /// The exposition text.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::with_capacity(16_384);
        // Writing to a string does not fail.
        let _ = prometheus_text::encode(&mut text, &self.registry);
        text
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::ledger::record::{Numbers, Outcome};

    /// One attempt of every kind, with everything that can be labelled.
    pub(crate) fn filled() -> Metrics {
        let metrics = Metrics::new();
        let numbers = Numbers {
            road: "node",
            venue: "whirlpool".to_owned(),
            debt_decimals: 6,
            debt_price: 1.0,
            sol_price: Some(100.0),
            profit: Some(2_000_000),
            costs: Costs { fee: 5_000, tip: 1, rent: 2 },
            landed_slot: Some(9),
            update_to_bytes: Some(Duration::from_micros(300)),
            bytes_to_landed: Some(Duration::from_millis(900)),
            slots_behind: Some(2),
            ..Numbers::default()
        };
        let mut ended = Ended {
            outcome: Outcome::Liquidated,
            code: String::new(),
            reason: String::new(),
            signature: None,
            numbers,
        };
        metrics.ended(&ended);
        ended.numbers.profit = Some(-1);
        metrics.ended(&ended);
        let compared = RuleLabels { rule: "interest", outcome: "agreed" };
        metrics.model_comparisons.get_or_create(&compared).inc();
        metrics.checks.get_or_create(&CheckLabel { check: "node" }).set(1);
        metrics.alerts.get_or_create(&AlertLabel { alert: "feed_lost" }).inc();
        metrics.balance.get_or_create(&MintLabel { mint: "SOL".to_owned() }).set(1.0);
        metrics
    }

    /// `name{label,…} kind` of everything in an exposition.
    pub(crate) fn interface(text: &str) -> BTreeSet<String> {
        let mut kind = "";
        let mut lines = BTreeSet::new();
        for line in text.lines() {
            if let Some(described) = line.strip_prefix("# TYPE ") {
                kind = described.split(' ').nth(1).unwrap();
            } else if !line.starts_with('#') {
                let name = line.split(['{', ' ']).next().unwrap();
                let labels =
                    line.split_once('{').map_or("", |(_, rest)| rest.split_once('}').unwrap().0);
                let names: Vec<&str> = labels
                    .split("\",")
                    .filter_map(|label| Some(label.split_once('=')?.0))
                    .collect();
                lines.insert(format!("{name}{{{}}} {kind}", names.join(",")));
            }
        }
        lines
    }

    /// Names and labels are an interface. After a change on purpose:
    /// `UPDATE_METRICS=1 cargo test --workspace names_and_labels`.
    #[test]
    fn names_and_labels_are_as_committed() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../ops/metrics.txt");
        let lines: Vec<String> = interface(&filled().render()).into_iter().collect();
        let now = lines.join("\n") + "\n";
        if std::env::var_os("UPDATE_METRICS").is_some() {
            std::fs::write(path, &now).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), now, "{path}");
    }

    #[test]
    fn rendering_takes_less_than_a_millisecond() {
        let metrics = filled();
        let mut ended = Ended::early(Outcome::Failed, "", String::new());
        for code in 0..100 {
            ended.code = format!("klend {code}");
            metrics.ended(&ended);
        }
        // The best of many: other tests run beside it.
        let best = (0..50)
            .map(|_| {
                let begun = std::time::Instant::now();
                assert!(metrics.render().len() > 1_000);
                begun.elapsed()
            })
            .min();
        assert!(best < Some(Duration::from_millis(1)), "{best:?}");
    }
}
