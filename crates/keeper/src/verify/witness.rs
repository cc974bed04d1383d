//! What only transactions know: what a liquidator asked klend for, and whether others
//! used an account.

use anyhow::{Context as _, Result, bail};
use klend_interface::discriminators as names;
use klend_model::liquidation::{FlashLoan, Request};
use serde_json::Value;
use solana_address::Address;

use super::case::Case;
use crate::{
    feeds::source::{KLEND, Rpc, Sent},
    land::report::Report,
};

/// The first liquidation instruction, which klend still has; the second takes the same
/// accounts at the same places.
const LIQUIDATE_V1: [u8; 8] = [177, 71, 154, 188, 226, 133, 74, 55];
/// Places in a liquidation's accounts.
const OBLIGATION: usize = 1;
const REPAY_RESERVE: usize = 4;
const WITHDRAW_RESERVE: usize = 7;
/// Place in a flash loan's accounts.
const FLASH_RESERVE: usize = 3;

/// Somebody who knows transactions.
pub trait Witness {
    /// Signatures of successful transactions that name an account, from one slot to
    /// another, both included; but for `own`.
    ///
    /// # Errors
    /// It is not known.
    fn wrote(&self, key: &Address, from: u64, to: u64, own: Option<&str>) -> Result<Vec<String>>;

    /// The only transaction that named the case's obligation in its slot, as
    /// `getTransaction` answers.
    ///
    /// # Errors
    /// There is none, or more than one, or it is not known.
    fn transaction(&self, case: &Case) -> Result<Value>;
}

impl Witness for Rpc {
    fn wrote(&self, key: &Address, from: u64, to: u64, own: Option<&str>) -> Result<Vec<String>> {
        if from > to {
            return Ok(Vec::new());
        }
        let signed = self.signatures_of(key, None)?;
        let reaches_back = signed.last().is_none_or(|oldest| oldest.slot < from);
        if !reaches_back && signed.len() >= Self::SIGNATURES {
            bail!("account {key} was used so often that the node does not tell by whom");
        }
        Ok(signed
            .into_iter()
            .filter(|signed| (from..=to).contains(&signed.slot) && !signed.failed)
            .map(|Sent { signature, .. }| signature)
            .filter(|signature| Some(&**signature) != own)
            .collect())
    }

    fn transaction(&self, case: &Case) -> Result<Value> {
        let key = &case.key;
        let slot = case.moment().with_context(|| format!("{key} does not say when"))?.slot;
        match &self.wrote(key, slot, slot, None)?[..] {
            [] => bail!("the node knows no transaction of {key} in slot {slot}"),
            [only] => Rpc::transaction(self, only)?
                .with_context(|| format!("the node does not know transaction {only} any more")),
            several => bail!("{} transactions used {key} in slot {slot}", several.len()),
        }
    }
}

/// What the transaction asked klend for.
///
/// # Errors
/// It does not liquidate the obligation, or does more with klend than that.
pub fn request(report: &Report, obligation: &Address) -> Result<Request> {
    let mut found = None;
    let mut flash_loan = None;
    for call in report.trace.calls.iter().filter(|call| call.program == KLEND) {
        let account = |place: usize| -> Result<Address> {
            call.accounts.get(place).copied().context("an instruction has too few accounts")
        };
        let word = |at: usize| -> Result<u64> {
            let bytes = call.data.get(at..).and_then(|tail| tail.first_chunk());
            Ok(u64::from_le_bytes(*bytes.context("an instruction has too few arguments")?))
        };
        let is = |name: &[u8; 8]| call.data.starts_with(name);
        if is(&LIQUIDATE_V1) || is(&names::LIQUIDATE_OBLIGATION_AND_REDEEM_RESERVE_COLLATERAL_V2) {
            if account(OBLIGATION)? != *obligation || found.is_some() {
                bail!("the transaction liquidates more than {obligation}");
            }
            found = Some(Request {
                repay_reserve: account(REPAY_RESERVE)?,
                withdraw_reserve: account(WITHDRAW_RESERVE)?,
                amount: word(8)?,
                min_received: word(16)?,
                flash_loan,
            });
        } else if is(&names::FLASH_BORROW_RESERVE_LIQUIDITY) {
            flash_loan = Some(FlashLoan { reserve: account(FLASH_RESERVE)?, amount: word(8)? });
        } else if ![
            &names::FLASH_REPAY_RESERVE_LIQUIDITY,
            &names::REFRESH_RESERVE,
            &names::REFRESH_RESERVES_BATCH,
            &names::REFRESH_OBLIGATION,
            &names::REFRESH_OBLIGATION_FARMS_FOR_RESERVE,
            &names::INIT_OBLIGATION_FARMS_FOR_RESERVE,
        ]
        .into_iter()
        .any(is)
        {
            bail!("the transaction does more with klend than to liquidate {obligation}");
        }
    }
    found.with_context(|| format!("the transaction does not liquidate {obligation}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use sha2::{Digest as _, Sha256};

    use super::*;

    fn key(byte: u8) -> Address {
        Address::new_from_array([byte; 32])
    }

    /// A transaction whose accounts are klend and keys 0 to 9, with klend's instructions.
    fn answer(top: &[(&[u8; 8], &[u64])], inner: &[(&[u8; 8], &[u64])]) -> Value {
        let instruction = |(name, args): &(&[u8; 8], &[u64])| {
            let mut data = name.to_vec();
            args.iter().for_each(|arg| data.extend(arg.to_le_bytes()));
            json!({
                "programIdIndex": 0, "accounts": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
                "data": bs58::encode(data).into_string(),
            })
        };
        let names = |range: std::ops::Range<u8>| -> Vec<String> {
            range.map(|byte| key(byte).to_string()).collect()
        };
        let mut keys = vec![KLEND.to_string()];
        keys.extend(names(0..4));
        json!({ "result": {
            "slot": 7,
            "transaction": { "signatures": ["S"], "message": {
                "accountKeys": keys,
                "instructions": top.iter().map(instruction).collect::<Vec<_>>(),
            } },
            "meta": {
                "err": null,
                "fee": 5_000,
                "loadedAddresses": { "writable": names(4..8), "readonly": names(8..10) },
                "innerInstructions": [{
                    "index": 0, "instructions": inner.iter().map(instruction).collect::<Vec<_>>(),
                }],
            },
        } })
    }

    fn asked(answer: Value, obligation: &Address) -> Result<Request> {
        request(&Report::read(answer)?, obligation)
    }

    #[test]
    fn the_first_liquidation_is_named_as_anchor_names_it() {
        let hash = Sha256::digest("global:liquidate_obligation_and_redeem_reserve_collateral");
        assert_eq!(hash[..8], LIQUIDATE_V1);
    }

    #[test]
    fn what_was_asked_for_is_read_wherever_klend_was_called() {
        let v2 = &names::LIQUIDATE_OBLIGATION_AND_REDEEM_RESERVE_COLLATERAL_V2;
        let wanted = Request {
            repay_reserve: key(4),
            withdraw_reserve: key(7),
            amount: 55,
            min_received: 6,
            flash_loan: None,
        };
        for name in [&LIQUIDATE_V1, v2] {
            let top = answer(&[(&names::REFRESH_OBLIGATION, &[]), (name, &[55, 6, 0])], &[]);
            assert_eq!(asked(top, &key(1)).unwrap(), wanted);
        }
        let flash = &names::FLASH_BORROW_RESERVE_LIQUIDITY;
        let repay = &names::FLASH_REPAY_RESERVE_LIQUIDITY;
        let called = answer(&[(flash, &[99]), (repay, &[99])], &[(v2, &[55, 6, 0])]);
        let loan = FlashLoan { reserve: key(3), amount: 99 };
        assert_eq!(asked(called, &key(1)).unwrap(), Request { flash_loan: Some(loan), ..wanted });
    }

    #[test]
    fn what_is_more_than_one_liquidation_is_none() {
        let v2 = &names::LIQUIDATE_OBLIGATION_AND_REDEEM_RESERVE_COLLATERAL_V2;
        let one: (&[u8; 8], &[u64]) = (v2, &[55, 6, 0]);
        let refused = |answer: Value, obligation: Address| {
            asked(answer, &obligation).unwrap_err().to_string()
        };
        assert!(refused(answer(&[one, one], &[]), key(1)).contains("more than"));
        assert!(refused(answer(&[one], &[]), key(9)).contains("more than"));
        assert!(refused(answer(&[], &[]), key(1)).contains("does not liquidate"));
        let deposit = &names::DEPOSIT_RESERVE_LIQUIDITY;
        assert!(refused(answer(&[one, (deposit, &[1])], &[]), key(1)).contains("does more"));
        assert!(refused(answer(&[(v2, &[55])], &[]), key(1)).contains("too few arguments"));
        assert!(refused(json!({ "result": null }), key(1)).contains("no such transaction"));
    }
}
