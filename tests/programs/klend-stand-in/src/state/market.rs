//! A lending market: risk limits and switches shared by its reserves.

use bytemuck::{Pod, Zeroable};
use solana_program::pubkey::Pubkey;

use super::{Layout, PodU128};
use crate::error::{KlendError, Result, require};

/// A lending market.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct LendingMarket {
    pub version: u64,
    /// Bump of the market authority, PDA `["lma", market]`.
    pub bump_seed: u64,
    pub owner: Pubkey,
    reserved_48: [u8; 64],
    pub referral_fee_bps: u16,
    pub emergency_mode: u8,
    pub autodeleverage_enabled: u8,
    pub borrow_disabled: u8,
    /// A saved price younger than this share of its maximum age is kept.
    pub price_refresh_trigger_to_max_age_pct: u8,
    pub liquidation_max_debt_close_factor_pct: u8,
    pub insolvency_risk_unhealthy_ltv_pct: u8,
    /// Borrows worth less, in whole quote units, are liquidated in full.
    pub min_full_liquidation_value_threshold: u64,
    /// Most debt, in whole quote units, that one liquidation may repay.
    pub max_liquidatable_debt_market_value_at_once: u64,
    reserved_136: [u8; 8],
    /// Most that one obligation may borrow, in whole quote units.
    pub global_allowed_borrow_value: u64,
    reserved_152: [u8; 40],
    /// Group `g` is at index `g - 1`.
    pub elevation_groups: [ElevationGroup; 32],
    reserved_2496: [u8; 720],
    pub min_net_value_in_obligation_sf: PodU128,
    /// Deposits worth less, in whole quote units, do not count for the
    /// lowest-threshold-first rule.
    pub min_value_skip_liquidation_ltv_checks: u64,
    reserved_3240: [u8; 32],
    /// Borrows worth less, in whole quote units, do not count for the
    /// highest-borrow-factor-first rule.
    pub min_value_skip_liquidation_bf_checks: u64,
    pub individual_autodeleverage_margin_call_period_secs: u64,
    reserved_3288: [u8; 8],
    pub obligation_order_execution_enabled: u8,
    reserved_3297: [u8; 2],
    pub price_triggered_liquidation_disabled: u8,
    pub mature_reserve_debt_liquidation_enabled: u8,
    pub obligation_borrow_debt_term_liquidation_enabled: u8,
    reserved_3302: [u8; 48],
    /// Most that rewards may add to a reserve's deposits in a year; 0 turns
    /// rewards off.
    pub reserve_rewards_max_apr_bps: u16,
    reserved_3352: [u8; 32],
    /// Time over which a debt past its term becomes repayable in full.
    pub term_based_full_liquidation_duration_secs: u64,
    /// Whose signature permissioned operations need; the default key when
    /// none is permissioned.
    pub permissioning_authority: Pubkey,
    /// Bits of [`PermissionedOp`].
    pub permissioned_ops: u64,
    reserved_3432: [u8; 1216],
    /// The stand-in's own switch in what is padding to klend: see [`Version`].
    pub stand_in_version: u64,
}

impl Layout for LendingMarket {
    const DISCRIMINATOR: [u8; 8] = [246, 114, 50, 98, 72, 157, 28, 120];
    const OWNER: Pubkey = crate::ID;
}

/// Which klend the stand-in behaves as in a market.
///
/// Tests write it into the last eight bytes of the market, which klend leaves
/// alone, so that one program serves both versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// klend 1.25: what a market says that says nothing (0).
    V1_25,
    /// klend 1.26 (126): users' orders do not liquidate, and a flash loan asks whether
    /// its reserve is obsolete before it asks for the version.
    V1_26,
}

impl Version {
    /// What a market's [`LendingMarket::stand_in_version`] means. Panics on
    /// any other number.
    fn of(number: u64) -> Self {
        match number {
            0 => Self::V1_25,
            126 => Self::V1_26,
            other => panic!("the stand-in knows no version {other}: 0 is 1.25, 126 is 1.26"),
        }
    }
}

/// Operations that a market or a reserve may reserve to a permissioner.
pub struct PermissionedOp;

impl PermissionedOp {
    pub const DEPOSIT: u64 = 1;
    pub const BORROW: u64 = 2;
    pub const LIQUIDATE: u64 = 4;
}

impl LendingMarket {
    pub fn version(&self) -> Version {
        Version::of(self.stand_in_version)
    }

    /// 6042 while the whole market is stopped.
    pub fn require_no_emergency(&self) -> Result<()> {
        require(self.emergency_mode == 0, KlendError::GlobalEmergencyMode)
    }

    /// The configuration of group `id`; `None` outside any group (id 0) or
    /// for a group that does not exist.
    pub fn elevation_group(&self, id: u8) -> Option<&ElevationGroup> {
        let index = usize::from(id).checked_sub(1)?;
        self.elevation_groups.get(index).filter(|group| group.id == id)
    }
}

/// Better terms for obligations that hold correlated assets only.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct ElevationGroup {
    pub max_liquidation_bonus_bps: u16,
    pub id: u8,
    pub ltv_pct: u8,
    pub liquidation_threshold_pct: u8,
    pub allow_new_loans: u8,
    pub max_reserves_as_collateral: u8,
    padding: u8,
    /// The only reserve the group may borrow from.
    pub debt_reserve: Pubkey,
    reserved_40: [u8; 32],
}

macro_rules! offsets {
    ($layout:ty { $($field:ident @ $offset:literal),* $(,)? }) => {
        $(assert!(core::mem::offset_of!($layout, $field) == $offset);)*
    };
}
pub(super) use offsets;

const _: () = {
    assert!(LendingMarket::ACCOUNT_LEN == 4664);
    offsets!(LendingMarket {
        bump_seed @ 8, referral_fee_bps @ 112, emergency_mode @ 114,
        min_full_liquidation_value_threshold @ 120, elevation_groups @ 192,
        min_net_value_in_obligation_sf @ 3216,
        min_value_skip_liquidation_ltv_checks @ 3232,
        min_value_skip_liquidation_bf_checks @ 3272,
        individual_autodeleverage_margin_call_period_secs @ 3280,
        obligation_order_execution_enabled @ 3296,
        price_triggered_liquidation_disabled @ 3299,
        term_based_full_liquidation_duration_secs @ 3384,
        reserve_rewards_max_apr_bps @ 3350, permissioning_authority @ 3392,
        permissioned_ops @ 3424, stand_in_version @ 4648,
    });
};
