//! All reserves of a market at one moment, prepared for valuing obligations.
//!
//! Build a [`ReserveTable`] once per slot; then [`ReserveTable::health`] values
//! an obligation straight from its account bytes, without allocating and
//! without touching the reserve accounts again.

use klend_interface::state::{LendingMarket, Obligation, ObligationLiquidity, Reserve};
use solana_address::Address;

use crate::{
    accrual::compound_interest,
    constants::{MAX_BORROWS, MAX_DEPOSITS},
    errors::Code,
    fraction::{Fraction, Overflow, Reciprocal, ten_pow},
    keys,
    obligation::{BorrowState, DepositState, Health, ObligationState},
    price::Oracles,
    refresh,
    refusal::{At, Refusal},
    reserve::{ReserveState, cumulative_rate},
    time::{Basis, Clock, Elapsed},
    version::KlendVersion,
};

/// Elevation group ids run from 1 to this.
const GROUPS: usize = 32;

/// A market's reserves, refreshed to one moment.
#[derive(Debug)]
pub struct ReserveTable<'a> {
    version: KlendVersion,
    market_key: Address,
    market: &'a LendingMarket,
    clock: Clock,
    reserves: Vec<ReserveState<'a>>,
    prepared: Vec<Prepared>,
    keys: Vec<Address>,
    /// Reserves that could not be refreshed, and why.
    refused: Vec<(Address, Refusal)>,
    /// Open addressing over `keys`: index plus one, zero for empty.
    slots: Vec<u16>,
    groups: [Group; GROUPS],
}

/// What valuing a position in a reserve takes, and nothing else.
#[derive(Debug, Clone, Copy)]
struct Prepared {
    /// Bits of total supply; cTokens are worth `· / ctoken_supply`. One (in
    /// bits) where klend uses 1:1.
    liquidity: u128,
    ctoken_supply: Reciprocal,
    price: u128,
    /// Ten to the token's decimals.
    unit: Reciprocal,
    borrow_factor: Fraction,
    cumulative_borrow_rate: Fraction,
    liquidation_threshold: Fraction,
    loan_to_value: Fraction,
    host_fixed_rate: Fraction,
    basis: Basis,
    pays_referrers: bool,
    debt_term: u64,
    borrow_factor_pct: u64,
    /// Bit `g` is set when the reserve is in elevation group `g`.
    groups: u64,
    liquidation_threshold_pct: u8,
    price_status: u8,
}

#[derive(Debug, Clone, Copy)]
struct Group {
    exists: bool,
    liquidation_threshold_pct: u8,
    liquidation_threshold: Fraction,
    loan_to_value: Fraction,
    debt_reserve: Address,
}

impl<'a> ReserveTable<'a> {
    /// Refreshes every reserve to `clock` (see [`refresh::reserve`]).
    ///
    /// A reserve that cannot be refreshed does not spoil the table: an
    /// obligation that uses it is refused with the reserve's reason, which
    /// [`Self::refused`] lists.
    #[must_use]
    pub fn refresh(
        version: KlendVersion,
        market_key: &Address,
        market: &'a LendingMarket,
        reserves: &[(Address, &'a Reserve)],
        clock: Clock,
        oracles: Option<&dyn Oracles>,
    ) -> Self {
        let mut table = Self {
            version,
            market_key: *market_key,
            market,
            clock,
            reserves: Vec::with_capacity(reserves.len()),
            prepared: Vec::with_capacity(reserves.len()),
            keys: Vec::with_capacity(reserves.len()),
            refused: Vec::new(),
            slots: vec![0; (reserves.len() * 2 + 2).next_power_of_two()],
            groups: core::array::from_fn(|i| Group::new(market, i)),
        };
        for (key, account) in reserves {
            let state = refresh::reserve(version, market_key, market, key, account, clock, oracles)
                .and_then(|state| Ok((state, Prepared::new(&state).at(key)?)));
            match state {
                Ok((state, prepared)) => table.insert(state, prepared),
                Err(refusal) => table.refused.push((*key, refusal)),
            }
        }
        table
    }

    fn insert(&mut self, state: ReserveState<'a>, prepared: Prepared) {
        if self.find(&state.key).is_some() || self.reserves.len() >= usize::from(u16::MAX) {
            return;
        }
        let mut at = self.home(&state.key);
        while self.slots[at] != 0 {
            at = (at + 1) & (self.slots.len() - 1);
        }
        self.keys.push(state.key);
        self.prepared.push(prepared);
        self.reserves.push(state);
        self.slots[at] = self.reserves.len() as u16;
    }

    fn home(&self, key: &Address) -> usize {
        // Keys are hashes or public keys already: any eight bytes will do.
        let bytes = key.as_array();
        let word = u64::from_le_bytes([
            bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7],
        ]);
        word as usize & (self.slots.len() - 1)
    }

    #[inline]
    pub(crate) fn find(&self, key: &Address) -> Option<usize> {
        let mut at = self.home(key);
        loop {
            let index = usize::from(self.slots[at]).checked_sub(1)?;
            if self.keys[index] == *key {
                return Some(index);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    /// The klend whose rules apply.
    #[must_use]
    pub fn version(&self) -> KlendVersion {
        self.version
    }

    /// The market's address.
    #[must_use]
    pub fn market_key(&self) -> &Address {
        &self.market_key
    }

    /// The market.
    #[must_use]
    pub fn market(&self) -> &'a LendingMarket {
        self.market
    }

    /// The moment the reserves were brought to.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// The refreshed reserves, in the order given.
    #[must_use]
    pub fn reserves(&self) -> &[ReserveState<'a>] {
        &self.reserves
    }

    /// The reserves that could not be refreshed, and why.
    #[must_use]
    pub fn refused(&self) -> &[(Address, Refusal)] {
        &self.refused
    }

    /// One refreshed reserve.
    #[must_use]
    pub fn reserve(&self, key: &Address) -> Option<&ReserveState<'a>> {
        self.find(key).map(|index| &self.reserves[index])
    }

    #[inline]
    fn index_of(&self, obligation: &Address, key: &Address) -> Result<usize, Refusal> {
        self.find(key).ok_or_else(|| {
            self.refused.iter().find(|(at, _)| at == key).map_or(
                Refusal::MissingReserve { obligation: *obligation, reserve: *key },
                |(_, refusal)| *refusal,
            )
        })
    }

    /// Values an obligation at the table's moment: what `refresh_obligation`
    /// would write into it.
    ///
    /// # Errors
    /// klend's errors 6007 (an update of the obligation after the table's slot),
    /// 6028, 6068, 6069, 6104, 6105, 6111; a missing reserve; an obligation of
    /// another market; [`Refusal::Abort`].
    #[inline]
    pub fn health(&self, key: &Address, obligation: &Obligation) -> Result<Health, Refusal> {
        self.value(key, obligation, |_, _| (), |_, _| ())
    }

    /// The same with every position's value kept, as quoting a liquidation
    /// needs it.
    ///
    /// # Errors
    /// As [`Self::health`].
    pub fn obligation<'o>(
        &self,
        key: &Address,
        account: &'o Obligation,
    ) -> Result<ObligationState<'o>, Refusal> {
        let mut deposits = [None; MAX_DEPOSITS];
        let mut borrows = [None; MAX_BORROWS];
        let health = self.value(
            key,
            account,
            |slot, deposit| deposits[slot] = Some(deposit),
            |slot, borrow| borrows[slot] = Some(borrow),
        )?;
        Ok(ObligationState { key: *key, account, deposits, borrows, health })
    }

    #[inline]
    fn value(
        &self,
        key: &Address,
        obligation: &Obligation,
        mut on_deposit: impl FnMut(usize, DepositState),
        mut on_borrow: impl FnMut(usize, BorrowState),
    ) -> Result<Health, Refusal> {
        if keys::address(&obligation.lending_market) != &self.market_key {
            return Err(Refusal::ForeignMarket {
                account: *key,
                expected: self.market_key,
                actual: keys::to_address(&obligation.lending_market),
            });
        }
        let group = match obligation.elevation_group {
            0 => None,
            id => Some((id, self.group(id)?)),
        };
        let skip_ltv = Fraction::from_int(self.market.min_value_skip_liquidation_ltv_checks);
        let skip_bf = Fraction::from_int(self.market.min_value_skip_liquidation_bf_checks);
        let mut health = Health::EMPTY;

        // Everything is fetched before anything is worked on: valuing many
        // obligations is mostly waiting for memory, and so all waits overlap.
        let deposits = mask(&obligation.deposits, |slot| keys::is_set(&slot.deposit_reserve));
        let borrows = mask(&obligation.borrows, |slot| keys::is_set(&slot.borrow_reserve));
        let amounts: [u64; MAX_DEPOSITS] =
            core::array::from_fn(|slot| obligation.deposits[slot].deposited_amount);
        let debts: [Debt; MAX_BORROWS] =
            core::array::from_fn(|slot| Debt::of(&obligation.borrows[slot]));

        // Debts first: where several errors apply, klend names that of a debt.
        for slot in bits(borrows) {
            let debt = &debts[slot];
            let reserve_key = keys::address(&obligation.borrows[slot].borrow_reserve);
            let index = self.index_of(key, reserve_key)?;
            let reserve = &self.prepared[index];
            let saved_rate = cumulative_rate(&debt.rate).at(key)?;
            let rate = reserve.cumulative_borrow_rate;
            if rate < saved_rate {
                return Err(Refusal::fractions(
                    Code::NegativeInterestRate,
                    reserve_key,
                    rate,
                    saved_rate,
                ));
            }
            let saved = debt.amount;
            let borrowed = if rate == saved_rate {
                saved
            } else {
                saved.mul_ratio(rate.to_bits(), saved_rate.to_bits()).at(key)?
            };
            let (borrow_factor, borrow_factor_pct) = match group {
                None => (reserve.borrow_factor, reserve.borrow_factor_pct),
                Some((id, group)) => {
                    if reserve.groups >> id & 1 == 0 {
                        return Err(Refusal::klend(Code::InconsistentElevationGroup, reserve_key));
                    }
                    if *reserve_key != group.debt_reserve {
                        return Err(Refusal::klend(
                            Code::ElevationGroupHasAnotherDebtReserve,
                            reserve_key,
                        ));
                    }
                    (Fraction::ONE, 100)
                }
            };
            let elapsed = reserve
                .basis
                .since(&obligation.last_update, self.clock)
                .map_err(|(now, last)| Refusal::integers(Code::MathOverflow, key, now, last))?;
            if reserve.pays_referrers {
                self.check_referral(key, reserve, elapsed, saved, borrowed)?;
            }
            let (market_value, adjusted_value) = reserve
                .value(borrowed)
                .and_then(|value| {
                    let adjusted = value.try_mul(borrow_factor)?;
                    health.borrowed_value = health.borrowed_value.try_add(value)?;
                    health.adjusted_debt_value = health.adjusted_debt_value.try_add(adjusted)?;
                    Ok((value, adjusted))
                })
                .at(key)?;
            if market_value >= skip_bf {
                health.highest_borrow_factor_pct =
                    health.highest_borrow_factor_pct.max(borrow_factor_pct);
            }
            health.price_status &= reserve.price_status;
            on_borrow(
                slot,
                BorrowState {
                    reserve: index,
                    borrowed,
                    market_value,
                    adjusted_value,
                    borrow_factor,
                    term_end: reserve.term_end(debt.last_borrowed_at),
                    amount_at_expiration: reserve.amount_at_expiration(
                        debt.last_borrowed_at,
                        debt.amount_at_expiration,
                        borrowed,
                        self.clock.unix_timestamp,
                    ),
                },
            );
        }
        for slot in bits(deposits) {
            let deposit = &obligation.deposits[slot];
            let ctokens = amounts[slot];
            let reserve_key = keys::address(&deposit.deposit_reserve);
            let index = self.index_of(key, reserve_key)?;
            let reserve = &self.prepared[index];
            let (threshold_pct, threshold, loan_to_value) = match group {
                None => (
                    reserve.liquidation_threshold_pct,
                    reserve.liquidation_threshold,
                    reserve.loan_to_value,
                ),
                Some((id, group)) => {
                    if reserve.groups >> id & 1 == 0 {
                        return Err(Refusal::klend(Code::InconsistentElevationGroup, reserve_key));
                    }
                    if *reserve_key == group.debt_reserve {
                        return Err(Refusal::klend(
                            Code::ElevationGroupDebtReserveAsCollateral,
                            reserve_key,
                        ));
                    }
                    (
                        group.liquidation_threshold_pct,
                        group.liquidation_threshold,
                        group.loan_to_value,
                    )
                }
            };
            let market_value = reserve
                .deposit_value(ctokens)
                .and_then(|value| {
                    health.deposited_value = health.deposited_value.try_add(value)?;
                    health.unhealthy_borrow_value =
                        health.unhealthy_borrow_value.try_add(value.try_mul(threshold)?)?;
                    health.allowed_borrow_value =
                        health.allowed_borrow_value.try_add(value.try_mul(loan_to_value)?)?;
                    Ok(value)
                })
                .at(key)?;
            if threshold_pct > 0 && market_value >= skip_ltv {
                health.lowest_liquidation_threshold_pct =
                    health.lowest_liquidation_threshold_pct.min(threshold_pct);
            }
            health.price_status &= reserve.price_status;
            on_deposit(
                slot,
                DepositState {
                    reserve: index,
                    ctokens,
                    market_value,
                    liquidation_threshold_pct: threshold_pct,
                    liquidation_threshold: threshold,
                    loan_to_value,
                },
            );
        }

        let most = Fraction::from_int(self.market.global_allowed_borrow_value);
        health.allowed_borrow_value = health.allowed_borrow_value.min(most);
        Ok(health)
    }

    /// klend splits the interest since the obligation's last refresh into the
    /// host's fixed part and the rest, of which referrers get a share, and gives
    /// up when the fixed part alone is larger than the interest.
    fn check_referral(
        &self,
        key: &Address,
        reserve: &Prepared,
        elapsed: Elapsed,
        before: Fraction,
        after: Fraction,
    ) -> Result<(), Refusal> {
        let fixed = compound_interest(self.version, reserve.host_fixed_rate, elapsed)
            .and_then(|growth| before.try_mul(growth)?.try_sub(before))
            .at(key)?;
        let interest = after.saturating_sub(before);
        if interest < fixed {
            return Err(Refusal::fractions(
                Code::CannotCalculateReferralAmountDueToSlotsMismatch,
                key,
                interest,
                fixed,
            ));
        }
        Ok(())
    }

    fn group(&self, id: u8) -> Result<&Group, Refusal> {
        self.groups
            .get(usize::from(id).wrapping_sub(1))
            .filter(|group| group.exists)
            .ok_or_else(|| Refusal::klend(Code::InvalidElevationGroup, &self.market_key))
    }
}

/// What a debt's slot says about it.
#[derive(Clone, Copy)]
struct Debt {
    rate: [u64; 4],
    amount: Fraction,
    last_borrowed_at: u64,
    amount_at_expiration: u64,
}

impl Debt {
    #[inline]
    fn of(slot: &ObligationLiquidity) -> Self {
        Self {
            rate: slot.cumulative_borrow_rate_bsf.value,
            amount: slot.borrowed_amount_sf.into(),
            last_borrowed_at: slot.last_borrowed_at_timestamp,
            amount_at_expiration: slot.borrowed_amount_at_expiration,
        }
    }
}

/// One bit per slot for which `is_active` holds.
#[inline]
fn mask<T>(slots: &[T], is_active: impl Fn(&T) -> bool) -> u32 {
    slots.iter().enumerate().fold(0, |mask, (i, slot)| mask | u32::from(is_active(slot)) << i)
}

/// The positions of the bits that are set.
#[inline]
fn bits(mut mask: u32) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        (mask != 0).then(|| {
            let bit = mask.trailing_zeros() as usize;
            mask &= mask - 1;
            bit
        })
    })
}

impl Group {
    fn new(market: &LendingMarket, index: usize) -> Self {
        let group = &market.elevation_groups[index];
        Self {
            exists: usize::from(group.id) == index + 1
                && group.ltv_pct != 0
                && group.liquidation_threshold_pct != 0,
            liquidation_threshold_pct: group.liquidation_threshold_pct,
            liquidation_threshold: Fraction::from_percent(u64::from(
                group.liquidation_threshold_pct,
            )),
            loan_to_value: Fraction::from_percent(u64::from(group.ltv_pct)),
            debt_reserve: keys::to_address(&group.debt_reserve),
        }
    }
}

impl Prepared {
    fn new(state: &ReserveState<'_>) -> Result<Self, Overflow> {
        let config = &state.account.config;
        let total_supply = state.total_supply()?.to_bits();
        let one_to_one = (Fraction::ONE.to_bits(), Reciprocal::new(1).ok_or(Overflow)?);
        let (liquidity, ctoken_supply) = match Reciprocal::new(state.ctoken_supply) {
            Some(ctoken_supply) if total_supply != 0 => (total_supply, ctoken_supply),
            _ => one_to_one,
        };
        // Decimals that klend cannot count abort it where something is valued; other
        // refusals come before.
        let unit = ten_pow(state.account.liquidity.mint_decimals).ok().and_then(Reciprocal::new);
        let groups = config
            .elevation_groups
            .iter()
            .filter(|group| (1..=GROUPS as u8).contains(*group))
            .fold(0, |bits, group| bits | 1u64 << group);
        Ok(Self {
            liquidity,
            ctoken_supply,
            price: state.market_price.to_bits(),
            unit: unit.unwrap_or(Reciprocal::NEVER),
            borrow_factor: state.borrow_factor(),
            cumulative_borrow_rate: state.cumulative_borrow_rate,
            liquidation_threshold: Fraction::from_percent(u64::from(
                config.liquidation_threshold_pct,
            )),
            loan_to_value: Fraction::from_percent(u64::from(config.loan_to_value_pct)),
            host_fixed_rate: state.host_fixed_rate(),
            basis: state.basis,
            pays_referrers: state.absolute_referral_rate != Fraction::ZERO,
            debt_term: config.debt_term_seconds,
            borrow_factor_pct: state.borrow_factor_pct(),
            groups,
            liquidation_threshold_pct: config.liquidation_threshold_pct,
            price_status: state.price_status,
        })
    }

    /// Value of cTokens: their worth in liquidity, rounded down, at the price,
    /// rounded down.
    #[inline]
    fn deposit_value(&self, ctokens: u64) -> Result<Fraction, Overflow> {
        let (lo, hi) = self.liquidity.carrying_mul(u128::from(ctokens), 0);
        self.value(Fraction::from_bits(self.ctoken_supply.divide(hi, lo)?))
    }

    /// [`ReserveState::market_value`], prepared.
    #[inline]
    fn value(&self, amount: Fraction) -> Result<Fraction, Overflow> {
        let (lo, hi) = amount.to_bits().carrying_mul(self.price, 0);
        let bits = Fraction::FRACTIONAL_BITS;
        let (lo, hi) = (lo >> bits | hi << (128 - bits), hi >> bits);
        self.unit.divide(hi, lo).map(Fraction::from_bits)
    }

    /// Unix time at which a fixed-term borrow is due; `None` for open terms.
    fn term_end(&self, last_borrowed_at: u64) -> Option<u64> {
        (self.debt_term != 0 && last_borrowed_at != 0)
            .then(|| last_borrowed_at.saturating_add(self.debt_term))
    }

    /// The debt at the first refresh after its term's end, from which the
    /// gradual liquidation of expired terms counts.
    fn amount_at_expiration(
        &self,
        last_borrowed_at: u64,
        saved: u64,
        borrowed: Fraction,
        now: u64,
    ) -> u64 {
        match self.term_end(last_borrowed_at) {
            Some(end) if end <= now && saved == 0 => borrowed.ceil_u64().unwrap_or(u64::MAX),
            _ => saved,
        }
    }
}
