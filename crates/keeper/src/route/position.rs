//! An obligation with its venues, and its best liquidation.

use anyhow::{Context as _, Result};
use flash_liquidator_client::klend::{ObligationAddresses, ReserveAddresses};
use klend_interface::state::Obligation;
use klend_model::{
    search::{Best, Funding, Leftovers, best_liquidation_up_to},
    table::ReserveTable,
};
use solana_address::Address;

use super::{
    halted::Halted,
    terms::units_of_usd,
    traded::{Traded, traded},
    venue::{NothingSells, Pair, Venue, Ways},
};
use crate::{
    book::{market::Market, view::View},
    judge::policy::{Denied, Policy},
};

/// How a liquidation is looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// What selling the collateral is assumed to cost where the price is not known
    /// before the simulation, bps of the oracle price.
    pub swap_cost_bps: u16,
    /// Highest flash-loan fee, bps of the loan.
    pub max_fee_bps: u16,
    /// Loan beyond the quoted repayment, bps: interest accrues until it lands.
    pub loan_margin_bps: u16,
    /// Most that is repaid at once, US dollars.
    pub max_repay_usd: Option<u64>,
    /// Whom the operator wants liquidated.
    pub policy: Policy,
}

/// klend allows a liquidation whose collateral can be sold, and there is no way to carry
/// it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "obligation {obligation} can be liquidated, but{} no reserve lends enough within the fee \
     limit, or no pool takes what would be seized",
    .max_repay_usd.map_or_else(String::new, |usd| format!(" with {usd} USD at most"))
)]
pub struct NoWay {
    pub obligation: Address,
    /// The operator's limit.
    pub max_repay_usd: Option<u64>,
}

/// An obligation with its market and the venues its collateral can be sold at.
pub struct Position<'a> {
    pub key: Address,
    pub obligation: &'a Obligation,
    pub market: &'a Market,
    pub view: &'a View<'a>,
    pub addresses: ObligationAddresses,
    pub venue: Venue,
    table: &'a ReserveTable<'a>,
    /// Pools of use for it.
    traded: Vec<Traded>,
    /// Its best liquidation by all ways, if that was looked for before.
    known: Option<Best>,
}

/// Venues and the best liquidation of an obligation, as they were found: for who asks again
/// before anything has changed.
pub struct Quoted {
    venue: Venue,
    traded: Vec<Traded>,
    best: Best,
}

impl<'a> Position<'a> {
    /// An obligation that is known, with what is known of its market and venues.
    ///
    /// # Errors
    /// A pool that was named is not one; a reserve is not in the market.
    pub fn new(
        view: &'a View<'a>,
        key: &Address,
        obligation: &'a Obligation,
        search: &Search,
    ) -> Result<Self> {
        let addresses = ObligationAddresses::read(key, obligation);
        let (market, table) = view.market(&addresses.lending_market)?;
        let reserves = |keys: &[Address]| -> Result<Vec<ReserveAddresses>> {
            keys.iter().map(|key| Ok(ReserveAddresses::read(key, market.reserve(key)?))).collect()
        };
        let (sold, bought) =
            (reserves(&addresses.deposit_reserves)?, reserves(&addresses.borrow_reserves)?);
        let (accounts, pools) = (view.accounts, view.pools);
        let traded = traded(accounts, &sold, &bought, pools);
        let (pair, cost_bps) = ((&*sold, &*bought), search.swap_cost_bps);
        let venue = Venue::of(&traded, accounts, pair, pools, market.clock, cost_bps)?;
        let key = *key;
        Ok(Self { key, obligation, market, view, addresses, venue, table, traded, known: None })
    }

    /// The same with what was found of it at the same moment.
    ///
    /// # Errors
    /// Its market is not read.
    pub fn again(
        view: &'a View<'a>,
        key: &Address,
        obligation: &'a Obligation,
        quoted: Quoted,
    ) -> Result<Self> {
        let addresses = ObligationAddresses::read(key, obligation);
        let (market, table) = view.market(&addresses.lending_market)?;
        let (Quoted { venue, traded, best }, key) = (quoted, *key);
        let known = Some(best);
        Ok(Self { key, obligation, market, view, addresses, venue, table, traded, known })
    }

    /// What was found of it, with its best liquidation by all ways.
    pub fn quoted(self, best: Best) -> Quoted {
        Quoted { venue: self.venue, traded: self.traded, best }
    }

    /// Its market's reserves, as they were refreshed.
    pub fn table(&self) -> &ReserveTable<'a> {
        self.table
    }

    /// Accounts of its pools that were not read: before they are, what the pools pay is
    /// not known.
    pub fn unread(&self) -> Vec<Address> {
        let View { accounts, pools, .. } = self.view;
        let needs = Venue::needs(accounts, &self.traded, pools).into_iter();
        accounts.unread(needs.chain(pools.unread(accounts).iter().copied()))
    }

    /// The most profitable liquidation.
    ///
    /// # Errors
    /// As [`Self::best_by`].
    pub fn best(&self, search: &Search) -> Result<Best> {
        self.best_by(search, Ways::ALL)
    }

    /// The most profitable liquidation whose collateral is sold by these ways.
    ///
    /// # Errors
    /// klend's reason when it allows none, or that none can be funded and sold: [`Halted`]
    /// if a mint's authority has stopped it, [`Denied`] if the operator's lists leave no pair
    /// of its tokens, [`NothingSells`] if no pool leads from any of its collaterals to any of
    /// its debts, [`NoWay`] otherwise.
    pub fn best_by(&self, search: &Search, ways: Ways) -> Result<Best> {
        if let Some(best) = self.known.filter(|_| ways == Ways::ALL) {
            return Ok(best);
        }
        let state = self.table.obligation(&self.key, self.obligation).map_err(|refusal| {
            anyhow::Error::new(refusal)
                .context(format!("obligation {} cannot be refreshed", self.key))
        })?;
        let funding = Funding::Flash {
            lenders: &self.view.lenders,
            margin_bps: u64::from(search.loan_margin_bps),
            max_fee_bps: u64::from(search.max_fee_bps),
        };
        let halted = self.halted();
        let permits = |reserve: &klend_model::reserve::ReserveState<'_>| {
            search.policy.permits_in(&reserve.key, reserve.mint())
                && !halted.iter().any(|it| it.mint == *reserve.mint())
        };
        let most = |debt: &klend_model::reserve::ReserveState<'_>| match search.max_repay_usd {
            Some(usd) => units_of_usd(debt, usd as f64).unwrap_or(u64::MAX),
            None => u64::MAX,
        };
        let best = best_liquidation_up_to(
            self.table,
            &state,
            funding,
            Leftovers::Reject,
            most,
            |from, to, amount| {
                if !permits(from) || !permits(to) {
                    return None;
                }
                self.venue.quote(from, to, amount, ways)
            },
        );
        let best = best
            .map_err(|refusal| {
                anyhow::Error::new(refusal)
                    .context(format!("klend does not let obligation {} be liquidated", self.key))
            })?
            .map_or_else(|| Err(self.no_way(search, &halted)), Ok)?;
        // The search asks about no swap where debt and collateral are one token.
        for reserve in [&best.request.repay_reserve, &best.request.withdraw_reserve] {
            let state = self.table.reserve(reserve).context("a reserve is not in the table")?;
            if let Some(halted) = halted.iter().find(|it| it.mint == *state.mint()) {
                return Err((*halted).into());
            }
            if !permits(state) {
                return Err(Denied(*reserve).into());
            }
        }
        Ok(best)
    }

    /// The debt's reserve and the collateral's of a pair of mints.
    pub fn reserves_of(
        &self,
        (sold, bought): &Pair,
    ) -> Option<(ReserveAddresses, ReserveAddresses)> {
        let of = |keys: &[Address], mint: &Address| {
            let key = keys.iter().find(|key| self.market.mint_of(key) == Some(*mint))?;
            Some(ReserveAddresses::read(key, self.market.reserve(key).ok()?))
        };
        let repay = of(&self.addresses.borrow_reserves, bought)?;
        Some((repay, of(&self.addresses.deposit_reserves, sold)?))
    }

    /// Mints of each collateral and each debt.
    pub fn pairs(&self) -> Vec<Pair> {
        let mint = |key: &Address| self.market.mint_of(key);
        let sold = self.addresses.deposit_reserves.iter().filter_map(mint);
        let bought: Vec<Address> = self.addresses.borrow_reserves.iter().filter_map(mint).collect();
        sold.flat_map(|from| bought.iter().map(move |to| (from, *to))).collect()
    }

    /// Its mints of which no token can be moved.
    fn halted(&self) -> Vec<Halted> {
        let reserves = self.addresses.distinct_reserves();
        let mints = reserves.iter().filter_map(|key| Some(*self.table.reserve(key)?.mint()));
        mints.filter_map(|mint| Halted::now(self.view.accounts, &mint)).collect()
    }

    /// Why there is none although klend allows one.
    fn no_way(&self, search: &Search, halted: &[Halted]) -> anyhow::Error {
        let key = self.key;
        if let Some(halted) = halted.first() {
            return anyhow::Error::new(*halted)
                .context(format!("obligation {key} can be liquidated, and not now"));
        }
        let wants = |keys: &[Address]| {
            let of = |key| self.table.reserve(key);
            let mut reserves = keys.iter().filter_map(of);
            reserves.any(|state| search.policy.permits_in(&state.key, state.mint()))
        };
        if !wants(&self.addresses.deposit_reserves) || !wants(&self.addresses.borrow_reserves) {
            return Denied(key).into();
        }
        let pairs = self.pairs();
        let checked: Vec<Result<(), NothingSells>> =
            pairs.iter().map(|(from, to)| self.venue.check_sells(from, to)).collect();
        if checked.iter().all(Result::is_err)
            && let Some(Err(nothing)) = checked.first()
        {
            return anyhow::Error::new(*nothing)
                .context(format!("obligation {key} can be liquidated"));
        }
        NoWay { obligation: key, max_repay_usd: search.max_repay_usd }.into()
    }
}
