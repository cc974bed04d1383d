//! What came of all cases: per rule, and per reserve.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use klend_model::verify::Rule;
use serde::{Deserialize, Serialize};
use solana_address::Address;

use super::{
    Outcome,
    case::{Case, What},
};

/// How often a rule agreed and differed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Count {
    agreed: u64,
    differed: u64,
}

/// What last differed of a reserve, and has not agreed since.
#[derive(Debug, Clone, Default)]
struct Differing {
    refresh: Option<String>,
    liquidation: Option<String>,
}

#[derive(Default)]
struct Inner {
    klend: String,
    rules: BTreeMap<Rule, Count>,
    left_out: u64,
    dropped: u64,
    /// Why something was left out, last.
    last_left_out: Option<String>,
    reserves: BTreeMap<Address, Differing>,
}

/// Counts, shared by who compares and who asks.
#[derive(Default)]
pub struct Tally {
    inner: Mutex<Inner>,
}

/// The rules of one case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    pub agreed: Vec<Rule>,
    pub differed: Vec<Rule>,
    /// Those that differ for the first time.
    pub first: Vec<Rule>,
}

/// A rule's counts, as they are shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleCount {
    pub rule: String,
    pub agreed: u64,
    pub differed: u64,
}

/// A reserve about which model and chain differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DifferingReserve {
    pub reserve: String,
    pub reason: String,
}

/// All of it, as it is shown: the answer of `/model`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// The klend that is talked to, in words.
    pub klend: String,
    pub rules: Vec<RuleCount>,
    /// Cases that say nothing.
    pub left_out: u64,
    /// Cases that came faster than they could be compared.
    pub dropped: u64,
    pub last_left_out: Option<String>,
    pub differing: Vec<DifferingReserve>,
}

impl Tally {
    /// Of what is said to be this klend.
    #[must_use]
    pub fn new(klend: String) -> Self {
        Self { inner: Mutex::new(Inner { klend, ..Inner::default() }) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Counts may be one off where a thread broke down; nothing worse.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what came of a case.
    pub fn take(&self, case: &Case, outcome: &Outcome) -> Taken {
        let mut inner = self.inner();
        let compared = match outcome {
            Outcome::LeftOut(reason) => {
                inner.left_out += 1;
                inner.last_left_out = Some(reason.clone());
                return Taken::default();
            }
            Outcome::Compared(compared) => compared,
        };
        let mut rules: BTreeMap<Rule, bool> = BTreeMap::new();
        for one in compared {
            *rules.entry(one.rule).or_insert(true) &= one.agrees();
        }
        let mut taken = Taken::default();
        for (rule, agrees) in &rules {
            let count = inner.rules.entry(*rule).or_default();
            if *agrees {
                count.agreed += 1;
                taken.agreed.push(*rule);
            } else {
                taken.first.extend((count.differed == 0).then_some(*rule));
                count.differed += 1;
                taken.differed.push(*rule);
            }
        }
        let differs = compared.iter().find(|one| !one.agrees()).map(ToString::to_string);
        for (key, ..) in case.spans() {
            let reserve = inner.reserves.entry(key).or_default();
            match case.what {
                What::Refresh => reserve.refresh.clone_from(&differs),
                What::Liquidation { .. } => reserve.liquidation.clone_from(&differs),
            }
        }
        inner
            .reserves
            .retain(|_, reserve| reserve.refresh.is_some() || reserve.liquidation.is_some());
        taken
    }

    /// A case could not be looked at.
    pub fn drop_one(&self) {
        self.inner().dropped += 1;
    }

    /// What model and chain differ about now, in one of `reserves`, or in any without them.
    #[must_use]
    pub fn difference(&self, reserves: Option<&[Address]>) -> Option<(Address, String)> {
        let inner = self.inner();
        let is_meant = |key: &Address| reserves.is_none_or(|reserves| reserves.contains(key));
        let (key, differing) = inner.reserves.iter().find(|(key, _)| is_meant(key))?;
        Some((*key, differing.text()))
    }

    /// As it stands.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let inner = self.inner();
        let count = |rule: &Rule| {
            let Count { agreed, differed } = inner.rules.get(rule).copied().unwrap_or_default();
            RuleCount { rule: rule.to_string(), agreed, differed }
        };
        let differing = inner.reserves.iter().map(|(key, differing)| DifferingReserve {
            reserve: key.to_string(),
            reason: differing.text(),
        });
        Summary {
            klend: inner.klend.clone(),
            rules: Rule::ALL.iter().map(count).collect(),
            left_out: inner.left_out,
            dropped: inner.dropped,
            last_left_out: inner.last_left_out.clone(),
            differing: differing.collect(),
        }
    }
}

impl Differing {
    fn text(&self) -> String {
        self.refresh.as_ref().or(self.liquidation.as_ref()).cloned().unwrap_or_default()
    }
}

impl Summary {
    /// Whether anything differed.
    #[must_use]
    pub fn differed(&self) -> u64 {
        self.rules.iter().map(|rule| rule.differed).sum()
    }
}
