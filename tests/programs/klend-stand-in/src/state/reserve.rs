//! A reserve: one token's pool in one market.

use bytemuck::{Pod, Zeroable};
use solana_program::pubkey::Pubkey;

use super::{BigFractionBytes, LastUpdate, Layout, PodU128, market::offsets};
use crate::error::{KlendError, Result, require};

/// The only version in use.
pub const RESERVE_VERSION: u64 = 1;

/// A reserve.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Reserve {
    pub version: u64,
    pub last_update: LastUpdate,
    pub lending_market: Pubkey,
    /// Farm that rewards deposits; the default key when there is none.
    pub farm_collateral: Pubkey,
    /// Farm that rewards debt; the default key when there is none.
    pub farm_debt: Pubkey,
    pub liquidity: ReserveLiquidity,
    reserved_1352: [u8; 1200],
    pub collateral: ReserveCollateral,
    reserved_3648: [u8; 1200],
    pub config: ReserveConfig,
    reserved_5800: [u8; 896],
    /// Debt, in whole units, of obligations outside elevation groups.
    pub borrowed_amount_outside_elevation_group: u64,
    /// Debt, in whole units of the group's debt token, secured by this
    /// reserve's deposits in each elevation group.
    pub borrowed_amounts_against_this_reserve_in_elevation_groups: [u64; 32],
    /// cTokens waiting in the withdraw queue.
    pub queued_collateral_amount: u64,
    reserved_6968: [u8; 1648],
}

impl Layout for Reserve {
    const DISCRIMINATOR: [u8; 8] = [43, 242, 204, 202, 26, 247, 59, 127];
    const OWNER: Pubkey = crate::ID;
}

/// Life stages of a reserve that matter here. Besides these there are active
/// (0) and hidden (2), which klend's instructions treat alike.
pub struct ReserveStatus;

impl ReserveStatus {
    /// Being wound up.
    pub const OBSOLETE: u8 = 1;
}

/// What a reserve counts its interest in.
pub struct AccrualBasis;

impl AccrualBasis {
    /// Slots, two to the second.
    pub const LEGACY: u8 = 0;
    /// Seconds.
    pub const TRUE_APR: u8 = 1;
}

impl Reserve {
    /// 6073 for any version but the current one.
    pub fn require_current_version(&self) -> Result<()> {
        require(self.version == RESERVE_VERSION, KlendError::ReserveDeprecated)
    }

    /// 6082 when the reserve is being wound up.
    pub fn require_not_obsolete(&self) -> Result<()> {
        require(self.config.status != ReserveStatus::OBSOLETE, KlendError::ReserveObsolete)
    }

    /// 6175 while the reserve is stopped.
    pub fn require_no_emergency(&self) -> Result<()> {
        require(self.config.emergency_mode == 0, KlendError::ReserveEmergencyMode)
    }
}

/// The lent token's side of a reserve.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct ReserveLiquidity {
    pub mint: Pubkey,
    pub supply_vault: Pubkey,
    pub fee_vault: Pubkey,
    /// Units in the vault that belong to the pool.
    pub total_available_amount: u64,
    /// Units lent out, with interest.
    pub borrowed_amount_sf: PodU128,
    /// Price of one whole token in the quote currency.
    pub market_price_sf: PodU128,
    pub market_price_last_updated_ts: u64,
    pub mint_decimals: u64,
    /// Since when the deposits exceed their limit; 0 while they do not.
    pub deposit_limit_crossed_timestamp: u64,
    /// Since when the debt exceeds its limit; 0 while it does not.
    pub borrow_limit_crossed_timestamp: u64,
    pub cumulative_borrow_rate_bsf: BigFractionBytes,
    pub accumulated_protocol_fees_sf: PodU128,
    pub accumulated_referrer_fees_sf: PodU128,
    pub pending_referrer_fees_sf: PodU128,
    pub absolute_referral_rate_sf: PodU128,
    pub token_program: Pubkey,
    /// Units in the vault that wait to be given to depositors.
    pub rewards_amount_available: u64,
    reserved_320: [u8; 912],
}

/// The cToken's side of a reserve.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct ReserveCollateral {
    pub mint: Pubkey,
    pub mint_total_supply: u64,
    pub supply_vault: Pubkey,
    reserved_72: [u8; 1024],
}

/// A reserve's terms.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct ReserveConfig {
    /// One of [`ReserveStatus`].
    pub status: u8,
    reserved_1: u8,
    pub host_fixed_interest_rate_bps: u16,
    pub min_deleveraging_bonus_bps: u16,
    pub block_ctoken_usage: u8,
    reserved_7: u8,
    pub emergency_mode: u8,
    /// One of [`AccrualBasis`].
    pub interest_rate_basis: u8,
    /// Every refresh writes zeros here.
    pub reserved_10: [u8; 3],
    pub protocol_order_execution_fee_pct: u8,
    pub protocol_take_rate_pct: u8,
    pub protocol_liquidation_fee_pct: u8,
    pub loan_to_value_pct: u8,
    pub liquidation_threshold_pct: u8,
    pub min_liquidation_bonus_bps: u16,
    pub max_liquidation_bonus_bps: u16,
    pub bad_debt_liquidation_bonus_bps: u16,
    pub deleveraging_margin_call_period_secs: u64,
    pub deleveraging_threshold_decrease_bps_per_day: u64,
    /// Rate in units of `2^-60`.
    pub origination_fee_sf: u64,
    /// Rate in units of `2^-60`; `u64::MAX` disables flash loans.
    pub flash_loan_fee_sf: u64,
    reserved_56: [u8; 8],
    pub borrow_rate_curve: [CurvePoint; 11],
    pub borrow_factor_pct: u64,
    pub deposit_limit: u64,
    pub borrow_limit: u64,
    pub token_info: TokenInfo,
    pub deposit_withdrawal_cap: WithdrawalCaps,
    pub debt_withdrawal_cap: WithdrawalCaps,
    /// Elevation groups that the reserve takes part in; 0 fills the rest.
    pub elevation_groups: [u8; 20],
    pub disable_usage_as_coll_outside_emode: u8,
    pub utilization_limit_block_borrowing_above_pct: u8,
    pub autodeleverage_enabled: u8,
    reserved_647: u8,
    pub borrow_limit_outside_elevation_group: u64,
    pub borrow_limit_against_this_collateral_in_elevation_group: [u64; 32],
    pub deleveraging_bonus_increase_bps_per_day: u64,
    pub debt_maturity_timestamp: u64,
    pub debt_term_seconds: u64,
    /// Units given to depositors per unit of the accrual's time.
    pub rewards_amount_per_accrual_unit: u64,
    /// Bits of [`PermissionedOp`](super::PermissionedOp).
    pub permissioned_ops: u64,
}

impl ReserveConfig {
    pub fn flash_loans_enabled(&self) -> bool {
        self.flash_loan_fee_sf != u64::MAX
    }

    /// Borrow factor in percent, at least 100.
    pub fn borrow_factor_pct(&self) -> u64 {
        self.borrow_factor_pct.max(100)
    }

    pub fn is_in_elevation_group(&self, id: u8) -> bool {
        id != 0 && self.elevation_groups.contains(&id)
    }
}

/// A node of the interest curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct CurvePoint {
    pub utilization_rate_bps: u32,
    pub borrow_rate_bps: u32,
}

/// Where a reserve's price comes from and when it may be used.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct TokenInfo {
    pub name: [u8; 32],
    /// Bounds in units of `10^-heuristic_exp`; 0 means unbounded.
    pub heuristic_lower: u64,
    pub heuristic_upper: u64,
    pub heuristic_exp: u64,
    /// 0 turns the comparison with the average price off.
    pub max_twap_divergence_bps: u64,
    pub max_age_price_seconds: u64,
    pub max_age_twap_seconds: u64,
    pub scope: ScopeConfiguration,
    pub switchboard_price: Pubkey,
    pub switchboard_twap: Pubkey,
    pub pyth_price: Pubkey,
    pub block_price_usage: u8,
    reserved_225: [u8; 159],
}

/// The entries of a Scope feed whose product is the price.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct ScopeConfiguration {
    pub price_feed: Pubkey,
    pub price_chain: [u16; 4],
    pub twap_chain: [u16; 4],
}

/// A net flow limit per time window.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct WithdrawalCaps {
    pub config_capacity: i64,
    pub current_total: i64,
    pub last_interval_start_timestamp: u64,
    /// 0 turns the limit off.
    pub config_interval_length_seconds: u64,
}

const _: () = {
    assert!(Reserve::ACCOUNT_LEN == 8624);
    assert!(size_of::<ReserveConfig>() == 952);
    assert!(size_of::<TokenInfo>() == 384);
    offsets!(Reserve {
        liquidity @ 120, collateral @ 2552, config @ 4848,
        borrowed_amount_outside_elevation_group @ 6696,
        queued_collateral_amount @ 6960,
    });
    offsets!(ReserveLiquidity {
        total_available_amount @ 96, borrowed_amount_sf @ 104, market_price_sf @ 120,
        market_price_last_updated_ts @ 136, cumulative_borrow_rate_bsf @ 168,
        accumulated_protocol_fees_sf @ 216, absolute_referral_rate_sf @ 264, token_program @ 280,
        rewards_amount_available @ 312,
    });
    offsets!(ReserveConfig {
        host_fixed_interest_rate_bps @ 2, emergency_mode @ 8, interest_rate_basis @ 9,
        protocol_order_execution_fee_pct @ 13, bad_debt_liquidation_bonus_bps @ 22,
        origination_fee_sf @ 40, flash_loan_fee_sf @ 48, borrow_rate_curve @ 64,
        borrow_factor_pct @ 152, token_info @ 176, deposit_withdrawal_cap @ 560,
        elevation_groups @ 624, autodeleverage_enabled @ 646,
        borrow_limit_outside_elevation_group @ 648,
        deleveraging_bonus_increase_bps_per_day @ 912, debt_maturity_timestamp @ 920,
        rewards_amount_per_accrual_unit @ 936, permissioned_ops @ 944,
    });
    offsets!(TokenInfo {
        max_twap_divergence_bps @ 56, scope @ 80, switchboard_price @ 128, pyth_price @ 192,
        block_price_usage @ 224,
    });
};
