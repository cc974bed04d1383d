//! A reserve at one moment, and everything a keeper asks of it.
//!
//! [`ReserveState`] holds the few numbers of a reserve that change from slot to
//! slot and borrows the 8.6 kB account for the rest. [`ReserveState::stored`]
//! takes them as the account has them; [`crate::refresh`] brings them to a given
//! slot and time.
//!
//! `total_supply` is klend's word for all liquidity depositors own: available
//! plus borrowed minus the fees that protocol and referrers have not collected.

use klend_interface::state::{BorrowRateCurve, LendingMarket, Reserve, WithdrawalCaps};
use solana_address::Address;

/// Where it was before it had a module of its own.
pub use crate::time::Clock;
use crate::{
    constants::{FLASH_LOANS_DISABLED, FULL_BPS, SECONDS_PER_YEAR, reserve_status},
    errors::Code,
    fields,
    fraction::{Fraction, Overflow, mul_div, mul_div_ceil, ten_pow},
    keys,
    refusal::{At, Refusal},
    time::Basis,
    version::KlendVersion,
};

/// A reserve's numbers at one moment.
#[derive(Debug, Clone, Copy)]
pub struct ReserveState<'a> {
    /// The reserve's address.
    pub key: Address,
    /// The account: configuration and addresses.
    pub account: &'a Reserve,
    /// Slot of the last refresh.
    pub slot: u64,
    /// Unix time of the last refresh; 0 where klend before 1.25 made it.
    pub timestamp: u32,
    /// Changed since the last refresh.
    pub stale: bool,
    /// Bits of [`crate::constants::price_status`].
    pub price_status: u8,
    /// Liquidity in the vault, raw units.
    pub available: u64,
    /// Rewards in the vault that depositors will get, raw units. No part of
    /// `available` nor of the total supply.
    pub rewards_pot: u64,
    /// What interest counts.
    pub basis: Basis,
    /// The reserve is in emergency mode: it lends, redeems and liquidates
    /// nothing, and obligations that use it cannot be liquidated at all.
    pub emergency: bool,
    /// Debt owed to the reserve, interest included, raw units.
    pub borrowed: Fraction,
    /// Growth of a debt of one since the reserve began.
    pub cumulative_borrow_rate: Fraction,
    /// Fees the protocol has not collected, raw units.
    pub protocol_fees: Fraction,
    /// Fees referrers have not collected, raw units.
    pub referrer_fees: Fraction,
    /// Fees not yet assigned to referrers, raw units.
    pub pending_referrer_fees: Fraction,
    /// Share of the variable interest set aside for referrers.
    pub absolute_referral_rate: Fraction,
    /// cTokens in existence, raw units.
    pub ctoken_supply: u64,
    /// Value of one whole token in the market's currency.
    pub market_price: Fraction,
    /// Unix time of that price.
    pub price_timestamp: u64,
    /// Unix time since which total supply is above its limit; 0 if it is not.
    pub deposit_limit_crossed_at: u64,
    /// Unix time since which debt is above its limit; 0 if it is not.
    pub borrow_limit_crossed_at: u64,
}

/// A limit and how it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Limit {
    /// The limit, raw units of the liquidity token.
    pub limit: u64,
    /// What counts against it, raw units.
    pub used: Fraction,
    /// `used` is above `limit`.
    pub crossed: bool,
    /// Unix time since which it is crossed; 0 if it is not.
    pub crossed_at: u64,
}

/// `ReserveConfig.status`, in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum Status {
    /// In use.
    Active,
    /// Retired: no flash loans, no farm refresh.
    Obsolete,
    /// In use, not shown by Kamino's own interface.
    Hidden,
    /// A value that no known klend has.
    Unknown(u8),
}

/// Whether a fee comes on top of an amount or out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeeMode {
    /// The amount is what the borrower receives; the fee is added.
    Exclusive,
    /// The amount is what the borrower owes; the fee is taken from it:
    /// `amount · rate / (1 + rate)`. No flash loan and no liquidation uses it.
    Inclusive,
}

impl<'a> ReserveState<'a> {
    /// The numbers as the account has them.
    ///
    /// # Errors
    /// [`Refusal::Abort`] for a cumulative borrow rate of 2⁶⁸ or more,
    /// [`Refusal::Unknowable`] for an unknown basis.
    pub fn stored(
        version: KlendVersion,
        key: &Address,
        account: &'a Reserve,
    ) -> Result<Self, Refusal> {
        let (liquidity, config) = (&account.liquidity, &account.config);
        Ok(Self {
            key: *key,
            account,
            slot: account.last_update.slot,
            timestamp: fields::timestamp(&account.last_update),
            stale: account.last_update.stale != 0,
            price_status: account.last_update.price_status,
            available: liquidity.total_available_amount,
            rewards_pot: liquidity.rewards_amount_available,
            basis: Basis::of(version, config).at(key)?,
            emergency: version.has_reserve_switches() && config.emergency_mode != 0,
            borrowed: liquidity.borrowed_amount_sf.into(),
            cumulative_borrow_rate: cumulative_rate(&liquidity.cumulative_borrow_rate_bsf.value)
                .at(key)?,
            protocol_fees: liquidity.accumulated_protocol_fees_sf.into(),
            referrer_fees: liquidity.accumulated_referrer_fees_sf.into(),
            pending_referrer_fees: liquidity.pending_referrer_fees_sf.into(),
            absolute_referral_rate: liquidity.absolute_referral_rate_sf.into(),
            ctoken_supply: account.collateral.mint_total_supply,
            market_price: liquidity.market_price_sf.into(),
            price_timestamp: liquidity.market_price_last_updated_ts,
            deposit_limit_crossed_at: liquidity.deposit_limit_crossed_timestamp,
            borrow_limit_crossed_at: liquidity.borrow_limit_crossed_timestamp,
        })
    }

    /// The liquidity token's mint.
    #[must_use]
    pub fn mint(&self) -> &'a Address {
        keys::address(&self.account.liquidity.mint_pubkey)
    }

    /// All liquidity depositors own, raw units.
    pub fn total_supply(&self) -> Result<Fraction, Overflow> {
        Fraction::from_int(self.available)
            .try_add(self.borrowed)?
            .try_sub(self.protocol_fees)?
            .try_sub(self.referrer_fees)?
            .try_sub(self.pending_referrer_fees)
    }

    /// Debt over total supply, 0 for an empty reserve. klend caps it at one
    /// where it sets the interest.
    pub fn utilization(&self) -> Result<Fraction, Overflow> {
        let supply = self.total_supply()?;
        if supply == Fraction::ZERO { Ok(supply) } else { self.borrowed.try_div(supply) }
    }

    /// What cTokens are worth, raw liquidity units with their fraction: the form
    /// in which klend values deposits.
    pub fn liquidity_of(&self, ctokens: u64) -> Result<Fraction, Overflow> {
        match self.exchange_ratio()? {
            Some((liquidity, ctoken_supply)) => {
                Ok(Fraction::from_bits(mul_div(u128::from(ctokens), liquidity, ctoken_supply)?))
            }
            None => Ok(Fraction::from_int(ctokens)),
        }
    }

    /// Liquidity received for redeeming cTokens, rounded down as klend pays it.
    pub fn redeem(&self, ctokens: u64) -> Result<u64, Overflow> {
        self.liquidity_of(ctokens)?.floor_u64()
    }

    /// Liquidity that covers the worth of cTokens, rounded up.
    pub fn redeem_ceil(&self, ctokens: u64) -> Result<u64, Overflow> {
        match self.exchange_ratio()? {
            Some((liquidity, supply)) => {
                Fraction::from_bits(mul_div_ceil(u128::from(ctokens), liquidity, supply)?)
                    .ceil_u64()
            }
            None => Ok(ctokens),
        }
    }

    /// cTokens minted for a deposit, rounded down as klend mints them.
    pub fn ctokens_of(&self, liquidity: u64) -> Result<u64, Overflow> {
        self.ctokens(liquidity, mul_div)
    }

    /// cTokens that cover an amount of liquidity, rounded up.
    pub fn ctokens_of_ceil(&self, liquidity: u64) -> Result<u64, Overflow> {
        self.ctokens(liquidity, mul_div_ceil)
    }

    fn ctokens(
        &self,
        amount: u64,
        divide: fn(u128, u128, u128) -> Result<u128, Overflow>,
    ) -> Result<u64, Overflow> {
        match self.exchange_ratio()? {
            Some((liquidity, supply)) => {
                let ctokens = divide(Fraction::from_int(amount).to_bits(), supply, liquidity)?;
                u64::try_from(ctokens).map_err(|_| Overflow)
            }
            None => Ok(amount),
        }
    }

    /// Bits of total supply over cToken supply; `None` where klend uses 1:1.
    fn exchange_ratio(&self) -> Result<Option<(u128, u128)>, Overflow> {
        let liquidity = self.total_supply()?.to_bits();
        Ok((liquidity != 0 && self.ctoken_supply != 0)
            .then_some((liquidity, u128::from(self.ctoken_supply))))
    }

    /// The most cTokens whose worth the vault can pay out, the withdraw queue
    /// not considered: what klend redeems for a liquidator of unhealthy,
    /// deleveraged or matured debt.
    pub fn redeemable_ctokens(&self) -> Result<u64, Overflow> {
        let Some((liquidity, supply)) = self.exchange_ratio()? else {
            return Ok(self.available);
        };
        let product = u128::from(self.available) * supply;
        let rounded_up = mul_div_ceil(product, Fraction::ONE.to_bits(), liquidity)?;
        let worth = Fraction::from_bits(mul_div(rounded_up, liquidity, supply)?).floor();
        let ctokens = if worth <= u128::from(self.available) {
            rounded_up
        } else {
            mul_div(product, Fraction::ONE.to_bits(), liquidity)?
        };
        u64::try_from(ctokens).map_err(|_| Overflow)
    }

    /// The cTokens an ordinary user, or a liquidator executing an order, can
    /// redeem: those in the withdraw queue come first.
    pub fn freely_redeemable_ctokens(&self) -> Result<u64, Overflow> {
        Ok(self.redeemable_ctokens()?.saturating_sub(self.queued_ctokens()))
    }

    /// Liquidity an ordinary user can take out, raw units: the worth of
    /// [`Self::freely_redeemable_ctokens`], rounded down.
    pub fn freely_available(&self) -> Result<u64, Overflow> {
        Ok(self.redeem(self.freely_redeemable_ctokens()?)?.min(self.available))
    }

    /// cTokens waiting in the withdraw queue.
    #[must_use]
    pub fn queued_ctokens(&self) -> u64 {
        self.account.withdraw_queue.queued_collateral_amount
    }

    /// Value of raw units in the market's currency, rounded down once.
    ///
    /// `⌊amount · price / (10^decimals · 2⁶⁰)⌋`, facts of klend's refresh.
    pub fn market_value(&self, amount: Fraction) -> Result<Fraction, Overflow> {
        let unit = ten_pow(self.account.liquidity.mint_decimals)?;
        // Dividing by 2⁶⁰ and then by 10^decimals rounds down to the same
        // integer as dividing by their product.
        amount.mul_ratio(self.market_price.to_bits(), u128::from(unit) << 60)
    }

    /// Borrow rate of the curve at the present utilisation, per year, without
    /// the host's fixed part.
    ///
    /// # Errors
    /// [`Refusal::Abort`] when no segment of the curve covers the utilisation.
    pub fn borrow_rate(&self) -> Result<Fraction, Refusal> {
        let utilization = self.utilization().at(&self.key)?.min(Fraction::ONE);
        curve_rate(&self.account.config.borrow_rate_curve, utilization)
            .at(&self.key)?
            .ok_or(Refusal::Abort { account: self.key })
    }

    /// The host's fixed part of the borrow rate, per year.
    #[must_use]
    pub fn host_fixed_rate(&self) -> Fraction {
        Fraction::from_bps(u64::from(self.account.config.host_fixed_interest_rate_bps))
    }

    /// What a borrower pays per year, compounded (1.0 = 100 %). For display.
    ///
    /// A reserve that counts slots takes two for a second. `slot_seconds`, as
    /// measured, says what a slot really takes; without it klend's word is taken.
    pub fn borrow_apy(&self, slot_seconds: Option<f64>) -> Result<f64, Refusal> {
        let rate = self.borrow_rate()?.try_add(self.host_fixed_rate()).at(&self.key)?;
        Ok(self.apy(rate.to_f64(), slot_seconds))
    }

    /// What a depositor earns per year, compounded (1.0 = 100 %), rewards not
    /// counted. For display; `slot_seconds` as in [`Self::borrow_apy`].
    pub fn supply_apy(&self, slot_seconds: Option<f64>) -> Result<f64, Refusal> {
        let utilization = self.utilization().at(&self.key)?.min(Fraction::ONE).to_f64();
        let kept = 1.0 - f64::from(self.account.config.protocol_take_rate_pct) / 100.0;
        Ok(self.apy(self.borrow_rate()?.to_f64() * utilization * kept, slot_seconds))
    }

    /// Rewards that depositors get per year as long as the pot lasts, as a share
    /// of the supply (1.0 = 100 %), not compounded; `None` where there are none.
    /// For display; `slot_seconds` as in [`Self::borrow_apy`].
    pub fn rewards_apr(&self, market: &LendingMarket, slot_seconds: Option<f64>) -> Option<f64> {
        let supply = self.total_supply().ok()?.to_f64();
        let per_unit = self.account.config.rewards_amount_per_slot as f64;
        let most = f64::from(market.reserve_rewards_max_apr_bps) / FULL_BPS as f64;
        if self.rewards_pot == 0 || per_unit == 0.0 || most == 0.0 || supply == 0.0 {
            return None;
        }
        let units = self.basis.units_per_year() as f64;
        let nominal = (per_unit * units / supply).min(most);
        Some(nominal * self.units_in_a_year(slot_seconds) / units)
    }

    fn apy(&self, yearly: f64, slot_seconds: Option<f64>) -> f64 {
        let per_unit = yearly / self.basis.units_per_year() as f64;
        (per_unit.ln_1p() * self.units_in_a_year(slot_seconds)).exp_m1()
    }

    /// Units of the reserve's basis that really pass in a year.
    fn units_in_a_year(&self, slot_seconds: Option<f64>) -> f64 {
        match (self.basis, slot_seconds) {
            (Basis::Slots, Some(seconds)) => SECONDS_PER_YEAR as f64 / seconds,
            (basis, _) => basis.units_per_year() as f64,
        }
    }

    /// Total supply against the deposit limit.
    pub fn deposit_limit(&self) -> Result<Limit, Overflow> {
        let (limit, used) = (self.account.config.deposit_limit, self.total_supply()?);
        Ok(Limit {
            limit,
            used,
            crossed: used > Fraction::from_int(limit),
            crossed_at: self.deposit_limit_crossed_at,
        })
    }

    /// Debt against the borrow limit.
    #[must_use]
    pub fn borrow_limit(&self) -> Limit {
        let limit = self.account.config.borrow_limit;
        Limit {
            limit,
            used: self.borrowed,
            crossed: self.borrowed > Fraction::from_int(limit),
            crossed_at: self.borrow_limit_crossed_at,
        }
    }

    /// Weight of this reserve's debt outside elevation groups; at least one.
    #[must_use]
    pub fn borrow_factor(&self) -> Fraction {
        Fraction::from_percent(self.borrow_factor_pct())
    }

    /// The same in per cent.
    #[must_use]
    pub fn borrow_factor_pct(&self) -> u64 {
        self.account.config.borrow_factor_pct.max(100)
    }

    /// Whether the reserve is in use.
    #[must_use]
    pub fn status(&self) -> Status {
        match self.account.config.status {
            reserve_status::ACTIVE => Status::Active,
            reserve_status::OBSOLETE => Status::Obsolete,
            reserve_status::HIDDEN => Status::Hidden,
            other => Status::Unknown(other),
        }
    }

    /// Whether the reserve is part of an elevation group (1-based id).
    #[must_use]
    pub fn in_elevation_group(&self, group: u8) -> bool {
        group != 0 && self.account.config.elevation_groups.contains(&group)
    }

    /// What borrowing `amount` (raw units) costs at once.
    ///
    /// # Errors
    /// 6012 when the fee would eat the whole amount.
    pub fn origination_fee(&self, amount: u64, mode: FeeMode) -> Result<u64, Refusal> {
        fee(&self.key, amount, self.account.config.fees.origination_fee_sf, mode)
    }

    /// What a flash loan of `amount` (raw units) costs: never less than one unit
    /// unless the rate is zero, halves rounded up. A referrer changes who gets
    /// it, not how much it is.
    ///
    /// # Errors
    /// 6036 when flash loans are disabled, 6012 when the fee would eat the whole
    /// loan (klend says so in the repay instruction).
    pub fn flash_fee(&self, amount: u64) -> Result<u64, Refusal> {
        let rate = self.account.config.fees.flash_loan_fee_sf;
        if rate == FLASH_LOANS_DISABLED {
            return Err(Refusal::klend(Code::FlashLoansDisabled, &self.key));
        }
        fee(&self.key, amount, rate, FeeMode::Exclusive)
    }

    /// Whether the withdrawal cap of this reserve lets `amount` more raw units
    /// out at `now`, as klend asks it for orders.
    pub(crate) fn check_withdrawal_cap(&self, amount: u64, now: u64) -> Result<(), Refusal> {
        check_cap(&self.key, &self.account.config.deposit_withdrawal_cap, amount, now)
    }

    /// The reserve while a flash loan of `amount` is out: available falls,
    /// borrowed rises, total supply and exchange rate stay.
    ///
    /// # Errors
    /// 6008 when the vault holds less.
    pub(crate) fn lend(&mut self, amount: u64) -> Result<(), Refusal> {
        self.available = self.available.checked_sub(amount).ok_or_else(|| {
            Refusal::integers(Code::InsufficientLiquidity, &self.key, self.available, amount)
        })?;
        self.borrowed = self.borrowed.try_add(Fraction::from_int(amount)).at(&self.key)?;
        Ok(())
    }
}

/// Rate of a borrow-rate curve at a utilisation of at most one, per year, or
/// `None` when no segment covers it.
///
/// The utilisation is rounded to whole basis points to find the segment; on a
/// node the node's rate applies, between nodes the line through them.
pub fn curve_rate(
    curve: &BorrowRateCurve,
    utilization: Fraction,
) -> Result<Option<Fraction>, Overflow> {
    let bps = utilization.try_mul_int(u128::from(FULL_BPS))?.round();
    for pair in curve.points.windows(2) {
        let (start, end) = (&pair[0], &pair[1]);
        let (from, to) =
            (u128::from(start.utilization_rate_bps), u128::from(end.utilization_rate_bps));
        if bps < from || bps > to {
            continue;
        }
        let rate_at_start = Fraction::from_bps(u64::from(start.borrow_rate_bps));
        if bps == from {
            return Ok(Some(rate_at_start));
        }
        if bps == to {
            return Ok(Some(Fraction::from_bps(u64::from(end.borrow_rate_bps))));
        }
        let rise = end.borrow_rate_bps.checked_sub(start.borrow_rate_bps).ok_or(Overflow)?;
        let along =
            utilization.try_sub(Fraction::from_bps(u64::from(start.utilization_rate_bps)))?;
        return along
            .try_mul_int(u128::from(rise))?
            .try_div_int(to - from)?
            .try_add(rate_at_start)
            .map(Some);
    }
    Ok(None)
}

/// klend's fee on an amount; `rate` is 60 fractional bits in a `u64`.
fn fee(key: &Address, amount: u64, rate: u64, mode: FeeMode) -> Result<u64, Refusal> {
    let rate = Fraction::from_bits(u128::from(rate));
    if rate == Fraction::ZERO || amount == 0 {
        return Ok(0);
    }
    let whole = Fraction::from_int(amount);
    let share = match mode {
        FeeMode::Exclusive => whole.try_mul(rate),
        FeeMode::Inclusive => rate
            .try_add(Fraction::ONE)
            .and_then(|gross| rate.try_div(gross))
            .and_then(|rate| whole.try_mul(rate)),
    }
    .at(key)?
    .max(Fraction::ONE);
    if share >= whole {
        return Err(Refusal::fractions(Code::BorrowTooSmall, key, whole, share));
    }
    share.round_u64().at(key)
}

/// The cap counts raw units in an interval and starts anew when it is over.
fn check_cap(key: &Address, cap: &WithdrawalCaps, amount: u64, now: u64) -> Result<(), Refusal> {
    if cap.config_interval_length_seconds == 0 {
        return Ok(());
    }
    let elapsed = now.checked_sub(cap.last_interval_start_timestamp).ok_or_else(|| {
        Refusal::integers(
            Code::LastTimestampGreaterThanCurrent,
            key,
            cap.last_interval_start_timestamp,
            now,
        )
    })?;
    let before = if elapsed >= cap.config_interval_length_seconds { 0 } else { cap.current_total };
    let amount = i64::try_from(amount).map_err(|_| Refusal::Abort { account: *key })?;
    let total = before.checked_add(amount).ok_or(Refusal::Abort { account: *key })?;
    // Nothing may always leave.
    if amount > 0 && total > cap.config_capacity {
        return Err(Refusal::integers(
            Code::WithdrawalCapReached,
            key,
            total.unsigned_abs(),
            cap.config_capacity.unsigned_abs(),
        ));
    }
    Ok(())
}

/// A cumulative rate out of its four 64-bit limbs.
pub(crate) fn cumulative_rate(limbs: &[u64; 4]) -> Result<Fraction, Overflow> {
    let [low, high, 0, 0] = *limbs else { return Err(Overflow) };
    Ok(Fraction::from_bits(u128::from(high) << 64 | u128::from(low)))
}
