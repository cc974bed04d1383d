//! What nodes tell of the chain and of transactions, and what is handed to them.

use anyhow::{Context, Result};
use base64::{Engine, engine::general_purpose::STANDARD};
use klend_fork::lenient;
use serde::Deserialize;
use serde_json::{Value, json};
use solana_address::Address;
use solana_transaction_error::TransactionError;

use super::{
    Rpc,
    wire::{Answer, parse_address},
};
use crate::feeds::{
    blockhash::{Blockhash, VALIDITY},
    source::{
        call::Refused,
        nodes::{Role, Whom},
    },
};

/// How far a transaction has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Seen {
    /// The node knows of none.
    Nowhere,
    /// It is in a block, which may still be dropped.
    Processed,
    Confirmed,
    Finalized,
}

/// What a node knows of a signature.
#[derive(Clone, Copy, Debug)]
pub struct Status {
    /// The slot that the node has come to.
    pub slot: u64,
    pub seen: Seen,
}

/// What a node's simulation of a transaction showed.
pub struct Simulated {
    pub error: Option<TransactionError>,
    pub logs: Vec<String>,
    pub units: u64,
}

/// A transaction that a node has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub signature: String,
    pub slot: u64,
    pub failed: bool,
}

#[derive(Deserialize)]
struct WireSent {
    signature: String,
    #[serde(deserialize_with = "lenient::number")]
    slot: u64,
    #[serde(default)]
    err: Value,
}

impl Rpc {
    /// Signatures that one call may tell.
    pub const SIGNATURES: usize = 1_000;

    /// How many slots the node says it is behind the cluster.
    pub fn slots_behind(&self) -> Result<u64> {
        const BEHIND: i64 = -32005;
        match self.call_once::<String>("getHealth", &json!([])) {
            Ok(_) => Ok(0),
            Err(error) => match error.chain().find_map(|cause| cause.downcast_ref::<Refused>()) {
                // "Node is behind by 42 slots", or "Node is unhealthy" that does not know.
                Some(refused) if refused.code == BEHIND => {
                    let digits = refused.message.split(|letter: char| !letter.is_ascii_digit());
                    Ok(digits.filter_map(|digits| digits.parse().ok()).next().unwrap_or(u64::MAX))
                }
                _ => Err(error),
            },
        }
    }

    /// A recent blockhash, of a slot that is believed.
    pub fn latest_blockhash(&self) -> Result<Blockhash> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Latest {
            blockhash: String,
            #[serde(deserialize_with = "lenient::number")]
            last_valid_block_height: u64,
        }
        let oldest = self.horizon.oldest();
        let params = json!([{ "commitment": "confirmed", "minContextSlot": oldest }]);
        let judge = |answer: &Answer<Latest>| {
            let (slot, last) = (answer.context.slot, answer.value.last_valid_block_height);
            self.horizon.take_since(slot, oldest)?;
            // There are no more blocks than slots.
            (last <= slot.saturating_add(VALIDITY)).then_some(()).ok_or_else(|| {
                format!("at slot {slot}, a blockhash that is valid up to block {last}")
            })
        };
        let whom = (Role::Scan, Whom::Any);
        let answer = self.nodes.call(whom, "getLatestBlockhash", &params, judge)?;
        Ok(Blockhash {
            hash: answer.value.blockhash.parse().context("blockhash")?,
            last_valid_height: answer.value.last_valid_block_height,
            slot: answer.context.slot,
        })
    }

    /// The newest confirmed slot and the height of its block.
    pub fn now(&self) -> Result<(u64, u64)> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Epoch {
            #[serde(deserialize_with = "lenient::number")]
            absolute_slot: u64,
            #[serde(deserialize_with = "lenient::number")]
            block_height: u64,
        }
        let params = json!([{ "commitment": "confirmed" }]);
        let judge = |epoch: &Epoch| self.horizon.take(epoch.absolute_slot);
        let epoch =
            self.nodes.call_once((Role::Scan, Whom::Any), "getEpochInfo", &params, judge)?;
        Ok((epoch.absolute_slot, epoch.block_height))
    }

    /// The cluster's genesis hash, which tells mainnet from the rest.
    pub fn genesis_hash(&self) -> Result<String> {
        self.call("getGenesisHash", &json!([]))
    }

    /// What recent transactions that write these accounts paid for a compute unit,
    /// micro-lamports: the median of what the node remembers, `None` if that is
    /// nothing.
    pub fn recent_unit_price(&self, writes: &[Address]) -> Result<Option<u64>> {
        /// Accounts one call may name.
        const MOST: usize = 128;
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Paid {
            #[serde(deserialize_with = "lenient::number")]
            prioritization_fee: u64,
        }
        let names: Vec<String> = writes.iter().take(MOST).map(ToString::to_string).collect();
        let answer: Vec<Paid> = self.call("getRecentPrioritizationFees", &json!([names]))?;
        let mut paid: Vec<u64> = answer.iter().map(|paid| paid.prioritization_fee).collect();
        paid.sort_unstable();
        Ok(paid.get(paid.len() / 2).copied())
    }

    /// The accounts that a block engine wants its tips in.
    pub fn tip_accounts(&self) -> Result<Vec<Address>> {
        let names: Vec<String> = self.call("getTipAccounts", &json!([]))?;
        names.iter().map(|name| parse_address(name)).collect()
    }

    /// Simulates a transaction on the node, as if its blockhash were a recent
    /// one; signatures are not looked at.
    pub fn simulate(&self, transaction: &[u8]) -> Result<Simulated> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Value_ {
            err: Option<TransactionError>,
            logs: Option<Vec<String>>,
            units_consumed: Option<u64>,
        }
        let newest = self.newest();
        let params = json!([STANDARD.encode(transaction), {
            "encoding": "base64",
            "commitment": "confirmed",
            "sigVerify": false,
            "replaceRecentBlockhash": true,
            "minContextSlot": newest,
        }]);
        // A refusal from before what is known already is no refusal.
        let judge = |answer: &Answer<Value_>| {
            let slot = answer.context.slot;
            self.horizon.take(slot)?;
            (slot >= newest)
                .then_some(())
                .ok_or_else(|| format!("simulated at slot {slot}, wanted {newest} or later"))
        };
        let answer =
            self.nodes.call((Role::Simulate, Whom::Any), "simulateTransaction", &params, judge)?;
        let simulated = answer.value;
        Ok(Simulated {
            error: simulated.err,
            logs: simulated.logs.unwrap_or_default(),
            units: simulated.units_consumed.unwrap_or_default(),
        })
    }

    /// Hands a signed transaction to the node, once. Sending the same bytes again
    /// is harmless: a signature is executed at most once.
    pub fn send(&self, transaction: &[u8]) -> Result<String> {
        let params = json!([STANDARD.encode(transaction), {
            "encoding": "base64", "skipPreflight": true, "maxRetries": 0
        }]);
        self.nodes.call_once((Role::Send, Whom::Any), "sendTransaction", &params, |_| Ok(()))
    }

    /// What a node knows of a signature, and the slot it has come to.
    pub fn status(&self, signature: &str, whom: Whom) -> Result<Status> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Wire {
            confirmation_status: Option<String>,
        }
        let params = json!([[signature]]);
        // An answer without a word on it is none, as one that it is nowhere would be.
        let judge = |answer: &Answer<Vec<Option<Wire>>>| {
            self.horizon.take(answer.context.slot)?;
            let told = answer.value.len();
            (told == 1).then_some(()).ok_or_else(|| format!("{told} statuses of 1"))
        };
        let answer =
            self.nodes.call_once((Role::Scan, whom), "getSignatureStatuses", &params, judge)?;
        let seen = match answer.value.into_iter().next().flatten() {
            None => Seen::Nowhere,
            Some(wire) => match wire.confirmation_status.as_deref() {
                Some("finalized") => Seen::Finalized,
                Some("confirmed") => Seen::Confirmed,
                _ => Seen::Processed,
            },
        };
        Ok(Status { slot: answer.context.slot, seen })
    }

    /// Transactions that name an account, the newest first, at most
    /// [`SIGNATURES`](Self::SIGNATURES); those
    /// before another one's signature.
    pub fn signatures_of(&self, account: &Address, before: Option<&str>) -> Result<Vec<Sent>> {
        let mut options = json!({ "commitment": "confirmed", "limit": Self::SIGNATURES });
        if let Some(before) = before {
            options["before"] = json!(before);
        }
        let listed: Vec<WireSent> =
            self.call("getSignaturesForAddress", &json!([account.to_string(), options]))?;
        let listed = listed.into_iter().map(|WireSent { signature, slot, err }| Sent {
            signature,
            slot,
            failed: !err.is_null(),
        });
        Ok(listed.collect())
    }

    /// A transaction as `getTransaction` answers; `None` if the node has none.
    pub fn transaction(&self, signature: &str) -> Result<Option<Value>> {
        let params = json!([signature, {
            "encoding": "json", "commitment": "confirmed", "maxSupportedTransactionVersion": 1
        }]);
        self.call("getTransaction", &params)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use fault_proxy::http::{self, Answer};

    use super::*;

    /// What a hash is said to be valid up to is believed as far as its slot allows.
    #[test]
    fn a_blockhash_that_lives_too_long_or_is_too_old_is_asked_for_again() {
        const SLOT: u64 = 400_000_000;
        let asked = AtomicUsize::new(0);
        let address = http::serve(move |_| {
            let (slot, last) = match asked.fetch_add(1, Ordering::Relaxed) {
                0 => (SLOT, 1 << 62),
                1 => (SLOT, SLOT + VALIDITY + 1),
                2 => (SLOT - 1_000, SLOT - 900),
                3 => (1 << 62, SLOT - 20_000_000),
                _ => (SLOT + 1, SLOT - 20_000_000),
            };
            let value = json!({
                "blockhash": Address::default().to_string(), "lastValidBlockHeight": last,
            });
            Some(Answer::ok(json!({ "result": { "context": { "slot": slot }, "value": value } })))
        });
        let rpc = Rpc::new(&format!("http://{address}"), Duration::from_secs(10));
        rpc.horizon().take(SLOT).unwrap();
        let hash = rpc.latest_blockhash().unwrap();
        assert_eq!((hash.slot, hash.last_valid_height), (SLOT + 1, SLOT - 20_000_000));
    }
}
