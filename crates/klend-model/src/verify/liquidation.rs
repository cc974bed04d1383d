//! A liquidation.

use klend_interface::state::{LendingMarket, Obligation, Reserve};
use solana_address::Address;

use super::{Change, Compared, Rule, Silent, check_comparable};
use crate::{
    fraction::{Fraction, mul_div},
    keys,
    liquidation::{Quote, Request, quote},
    refusal::Refusal,
    reserve::cumulative_rate,
    table::ReserveTable,
    time::Clock,
    version::KlendVersion,
};

/// What the chain shows of one liquidation.
#[derive(Debug, Clone, Copy)]
pub struct Liquidated<'a> {
    /// The market and its address.
    pub market: (Address, &'a LendingMarket),
    /// Every reserve of the obligation, before and after the slot of the liquidation.
    pub reserves: &'a [Change<'a, Reserve>],
    /// The obligation, before and after.
    pub obligation: Change<'a, Obligation>,
    /// The moment of the liquidation.
    pub clock: Clock,
}

/// Reserves of the debt that fell, and of the collateral that fell, where each is one:
/// what a liquidation looks like. An owner who repays and withdraws at once leaves the
/// same.
#[must_use]
pub fn pair(before: &Obligation, after: &Obligation) -> Option<(Address, Address)> {
    let only = |mut fell: Vec<Address>| fell.pop().filter(|_| fell.is_empty());
    let collateral = before.deposits.iter().filter_map(|slot| {
        let key = keys::some(&slot.deposit_reserve)?;
        let left = after.deposits.iter().find(|at| at.deposit_reserve == slot.deposit_reserve);
        (left.map_or(0, |left| left.deposited_amount) < slot.deposited_amount).then_some(*key)
    });
    let collateral = only(collateral.collect())?;
    let debts = before.borrows.iter().filter_map(|slot| keys::some(&slot.borrow_reserve));
    let fell = debts.filter(|key| settled(before, after, key) > Fraction::ZERO).copied();
    Some((only(fell.collect())?, collateral))
}

/// By how much a debt fell, interest since the state before added first; all of it
/// where its slot is free. Zero where that is not known.
fn settled(before: &Obligation, after: &Obligation, reserve: &Address) -> Fraction {
    let find = |obligation: &Obligation| {
        let slot = obligation
            .borrows
            .iter()
            .find(|slot| keys::some(&slot.borrow_reserve) == Some(reserve))?;
        let rate = cumulative_rate(&slot.cumulative_borrow_rate_bsf.value).ok()?;
        Some((Fraction::from(slot.borrowed_amount_sf), rate))
    };
    match (find(before), find(after)) {
        (Some((owed, _)), None) => owed,
        (Some((owed, rate)), Some((left, new_rate))) => {
            let owed = mul_div(owed.to_bits(), new_rate.to_bits(), rate.to_bits());
            owed.map_or(Fraction::ZERO, |owed| Fraction::from_bits(owed).saturating_sub(left))
        }
        _ => Fraction::ZERO,
    }
}

impl Liquidated<'_> {
    /// What a liquidator may have asked klend for, as far as the accounts tell: all that
    /// klend allows, or what was repaid. Which of them, only the transaction knows.
    #[must_use]
    pub fn guesses(&self) -> Option<[Request; 2]> {
        let Change { before, after, .. } = self.obligation;
        let (repay_reserve, withdraw_reserve) = pair(before, after)?;
        let repaid = settled(before, after, &repay_reserve).ceil_u64().ok()?;
        Some([u64::MAX, repaid].map(|amount| Request {
            repay_reserve,
            withdraw_reserve,
            amount,
            min_received: 0,
            flash_loan: None,
        }))
    }

    /// Compares the accounts with what the model makes of `request`.
    ///
    /// Prices are those that the reserves have afterwards: another price in the same
    /// slot, or somebody else's business with a reserve in it, shows as a difference.
    ///
    /// # Errors
    /// [`Silent`], where there is nothing to compare.
    pub fn compare(
        &self,
        version: KlendVersion,
        request: &Request,
    ) -> Result<Vec<Compared>, Silent> {
        let (market_key, market) = self.market;
        let Change { key, before, after } = self.obligation;
        let reserves = self
            .reserves
            .iter()
            .map(|change| {
                if change.after.last_update.slot != self.clock.slot {
                    return Err(Silent::Unseen(change.key));
                }
                check_comparable(version, change)?;
                Ok((change.key, with_price_of(change.before, change.after)))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let reserves: Vec<_> = reserves.iter().map(|(key, account)| (*key, &**account)).collect();
        let table =
            ReserveTable::refresh(version, &market_key, market, &reserves, self.clock, None);
        let state = table.obligation(&key, before).map_err(|refusal| match refusal {
            Refusal::MissingReserve { reserve, .. } => Silent::Unseen(reserve),
            other => Silent::Refused(other),
        })?;

        let mut compared = Vec::with_capacity(12);
        // Since it was liquidated it was not refreshed again: its values are as before.
        if after.last_update.slot == self.clock.slot && after.last_update.stale != 0 {
            let health = &state.health;
            for (what, chain, model) in [
                ("deposited value", after.deposited_value_sf, health.deposited_value),
                ("borrowed value", after.borrowed_assets_market_value_sf, health.borrowed_value),
                (
                    "adjusted debt value",
                    after.borrow_factor_adjusted_debt_value_sf,
                    health.adjusted_debt_value,
                ),
                (
                    "allowed borrow value",
                    after.allowed_borrow_value_sf,
                    health.allowed_borrow_value,
                ),
                (
                    "unhealthy borrow value",
                    after.unhealthy_borrow_value_sf,
                    health.unhealthy_borrow_value,
                ),
            ] {
                let (chain, model) = (chain.into(), model.to_bits());
                compared.push(Compared { rule: Rule::Health, what, chain, model });
            }
        }
        let answer = quote(&table, &state, request);
        let error = match &answer {
            Ok(_) => 0,
            Err(Refusal::Klend(rejection)) => rejection.error.code(),
            Err(Refusal::MissingReserve { reserve, .. }) => return Err(Silent::Unseen(*reserve)),
            Err(other) => return Err(Silent::Refused(*other)),
        };
        compared.push(Compared {
            rule: Rule::Reason,
            what: "klend's error",
            chain: 0,
            model: error.into(),
        });
        if let Ok(quote) = answer {
            self.compare_amounts(request, &quote, &mut compared);
        }
        Ok(compared)
    }

    fn compare_amounts(&self, request: &Request, quote: &Quote, compared: &mut Vec<Compared>) {
        let mut compare = |rule, what, chain: u128, model: u128| {
            compared.push(Compared { rule, what, chain, model });
        };
        let obligation = self.obligation.after;
        let debt = obligation
            .borrows
            .iter()
            .filter(|slot| keys::address(&slot.borrow_reserve) == &request.repay_reserve)
            .map(|slot| u128::from(slot.borrowed_amount_sf));
        compare(Rule::Repayment, "debt left", debt.sum(), quote.after.debt.to_bits());
        let has_debt = u128::from(quote.after.has_debt);
        compare(Rule::Repayment, "has debt left", obligation.has_debt.into(), has_debt);
        let deposit = obligation
            .deposits
            .iter()
            .filter(|slot| keys::address(&slot.deposit_reserve) == &request.withdraw_reserve)
            .map(|slot| u128::from(slot.deposited_amount));
        compare(Rule::Seizure, "collateral left", deposit.sum(), quote.after.deposit.into());

        let find = |key: Address| self.reserves.iter().find(|change| change.key == key);
        for (rule, key, after) in [
            (Rule::Repayment, request.repay_reserve, quote.after.repay_reserve),
            (Rule::Redemption, request.withdraw_reserve, quote.after.withdraw_reserve),
        ] {
            let Some(reserve) = find(key).map(|change| change.after) else { continue };
            let supply = reserve.collateral.mint_total_supply;
            compare(rule, "cTokens of the reserve", supply.into(), after.ctoken_supply.into());
            // A loan comes back with a referrer's part of its fee.
            if request.flash_loan.is_some_and(|loan| loan.reserve == key) {
                continue;
            }
            let liquidity = &reserve.liquidity;
            let available = liquidity.total_available_amount;
            compare(rule, "available in the reserve", available.into(), after.available.into());
            let borrowed = liquidity.borrowed_amount_sf.into();
            compare(rule, "borrowed from the reserve", borrowed, after.borrowed.to_bits());
        }
    }
}

/// A reserve as it was, but for the price that was read since.
fn with_price_of(before: &Reserve, after: &Reserve) -> Box<Reserve> {
    let mut reserve = Box::new(*before);
    reserve.last_update.price_status = after.last_update.price_status;
    reserve.liquidity.market_price_sf = after.liquidity.market_price_sf;
    reserve.liquidity.market_price_last_updated_ts = after.liquidity.market_price_last_updated_ts;
    reserve
}
