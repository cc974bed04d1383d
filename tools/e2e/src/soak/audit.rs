//! What a keeper signed by its log, and what the chain has of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use anyhow::{Context, Result, bail, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use flash_liquidator_client::decode::{Event, event};
use serde_json::Value;
use solana_keypair::Keypair;
use solana_signer::Signer;

use super::racer::Line;
use crate::chain::Chain;

/// How an attempt ends, as the keeper logs it.
const ENDS: [&str; 7] = [
    "liquidated",
    "lost the race",
    "healthy again",
    "failed",
    "failed again",
    "not landed",
    "not sent",
];

/// What was found to be so.
#[derive(Default)]
pub struct Audit {
    signed: usize,
    landed: usize,
    liquidated: usize,
    lost: usize,
    /// Landed, and neither a liquidation nor a lost race, by the keeper's word.
    failed: usize,
    /// Units above what was signed for, of the one that came closest.
    least_above: Option<i64>,
}

impl Audit {
    /// Holds a keeper's log against the chain.
    pub fn of(chain: &Chain, key: &Keypair, lines: &[Line]) -> Result<Self> {
        let keeper = key.pubkey().to_string();
        let signed = signed(lines)?;
        let ends: BTreeMap<&str, &str> = lines
            .iter()
            .filter(|line| ENDS.contains(&&*line.message))
            .map(|line| (line.text("signature"), &*line.message))
            .collect();
        let mut audit = Self { signed: signed.len(), ..Self::default() };
        let mut seen = BTreeSet::new();
        for signature in chain.signatures_of(&key.pubkey(), None)? {
            ensure!(seen.insert(signature.clone()), "{signature} is there twice");
            // What `setup` sent is not the loop's.
            let Some(least) = signed.get(&*signature) else {
                let transaction = chain.transaction(&signature)?;
                ensure!(events(&transaction).is_empty(), "{signature} is not in the log");
                continue;
            };
            audit.landed += 1;
            let transaction = chain.transaction(&signature)?;
            if !transaction["meta"]["err"].is_null() {
                match ends.get(&*signature) {
                    Some(&("lost the race" | "healthy again")) => audit.lost += 1,
                    Some(&("failed" | "failed again")) => audit.failed += 1,
                    // Given up while it could land: the next one may have been sent beside it.
                    end => bail!("{signature} landed and failed, and the keeper says {end:?}"),
                }
                continue;
            }
            let events = events(&transaction);
            let [Event::Liquidated(event)] = &events[..] else {
                bail!("{signature} succeeded with {} events", events.len());
            };
            audit.liquidated += 1;
            let mint = event.debt_mint.to_string();
            let gained = balance(&transaction, "postTokenBalances", &keeper, &mint)?
                - balance(&transaction, "preTokenBalances", &keeper, &mint)?;
            ensure!(
                gained >= i128::from(*least)
                    && event.profit >= *least
                    && event.min_profit == *least,
                "{signature} gained {gained}, told of {}, and was signed for {least}",
                event.profit
            );
            let above = event.profit - least;
            audit.least_above = Some(audit.least_above.map_or(above, |known| known.min(above)));
            ensure!(
                ends.get(&*signature) == Some(&"liquidated"),
                "{signature} liquidated, and the keeper says {:?}",
                ends.get(&*signature)
            );
        }
        let told = ends.values().filter(|end| **end == "liquidated").count();
        ensure!(told == audit.liquidated, "{told} are told of, {} there", audit.liquidated);
        Ok(audit)
    }
}

/// Every signature and the least profit it was given for; an error when something was
/// signed for an obligation of which another attempt had no end yet.
fn signed(lines: &[Line]) -> Result<BTreeMap<&str, i64>> {
    let (mut signed, mut in_flight) = (BTreeMap::new(), BTreeMap::new());
    for line in lines {
        let obligation = line.text("obligation");
        if line.message == "signed" {
            let least = line.fields["least_profit"].as_i64().context("no least profit")?;
            let before = signed.insert(line.text("signature"), least);
            ensure!(before.is_none(), "signed twice: {line:?}");
            let before = in_flight.insert(obligation, line.text("signature"));
            ensure!(before.is_none(), "signed while {before:?} had no end: {line:?}");
        } else if ENDS.contains(&&*line.message) {
            in_flight.remove(obligation);
        }
    }
    ensure!(in_flight.is_empty(), "without an end: {in_flight:?}");
    Ok(signed)
}

/// The receiver's events in a transaction's log.
fn events(transaction: &Value) -> Vec<Event> {
    let logs = transaction["meta"]["logMessages"].as_array().map_or(&[][..], Vec::as_slice);
    let data = logs.iter().filter_map(|line| line.as_str()?.strip_prefix("Program data: "));
    data.filter_map(|text| event(&STANDARD.decode(text).ok()?)).collect()
}

/// What somebody has of a token before or after a transaction.
fn balance(transaction: &Value, when: &str, owner: &str, mint: &str) -> Result<i128> {
    let all = transaction["meta"][when].as_array().context("no balances")?;
    let theirs = all.iter().filter(|one| one["owner"] == *owner && one["mint"] == *mint);
    let amount = |one: &Value| one["uiTokenAmount"]["amount"].as_str()?.parse::<i128>().ok();
    theirs.map(|one| amount(one).context("a balance without an amount")).sum()
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} signed, {} landed, {} liquidated, {} lost races, {} failed, {} never landed; at \
             least {} units above what was signed for",
            self.signed,
            self.landed,
            self.liquidated,
            self.lost,
            self.failed,
            self.signed - self.landed,
            self.least_above.unwrap_or_default(),
        )
    }
}
