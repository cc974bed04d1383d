//! An obligation: one position of one owner in one market.

use bytemuck::{Pod, Zeroable};
use solana_program::pubkey::Pubkey;

use super::{BigFractionBytes, LastUpdate, Layout, PodU128, market::offsets};
use crate::math::Fraction;

/// Deposit slots of an obligation.
pub const MAX_DEPOSITS: usize = 8;
/// Borrow slots of an obligation.
pub const MAX_BORROWS: usize = 5;

/// One position: up to eight deposits that secure up to five borrows.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Obligation {
    pub tag: u64,
    pub last_update: LastUpdate,
    pub lending_market: Pubkey,
    pub owner: Pubkey,
    pub deposits: [ObligationCollateral; MAX_DEPOSITS],
    /// Lowest liquidation threshold among deposits large enough to count,
    /// percent; 255 when there is none.
    pub lowest_reserve_deposit_liquidation_ltv: u64,
    pub deposited_value_sf: PodU128,
    pub borrows: [ObligationLiquidity; MAX_BORROWS],
    /// Debt with each borrow weighted by its borrow factor.
    pub borrow_factor_adjusted_debt_value_sf: PodU128,
    /// Debt without borrow factors.
    pub borrowed_assets_market_value_sf: PodU128,
    pub allowed_borrow_value_sf: PodU128,
    pub unhealthy_borrow_value_sf: PodU128,
    reserved_2264: [u8; 13],
    /// 0 outside any elevation group.
    pub elevation_group: u8,
    pub num_of_obsolete_deposit_reserves: u8,
    pub has_debt: u8,
    pub referrer: Pubkey,
    pub borrowing_disabled: u8,
    pub autodeleverage_target_ltv_pct: u8,
    pub lowest_reserve_deposit_max_ltv_pct: u8,
    pub num_of_obsolete_borrow_reserves: u8,
    reserved_2316: [u8; 4],
    pub highest_borrow_factor_pct: u64,
    /// Not 0 while the obligation is marked for deleveraging.
    pub autodeleverage_margin_call_started_timestamp: u64,
    pub obligation_orders: [ObligationOrder; 2],
    pub borrow_order: BorrowOrder,
    reserved_2752: [u8; 32],
    /// Further orders of the same kind.
    pub more_borrow_orders: [BorrowOrder; 2],
    reserved_3104: [u8; 232],
}

impl Layout for Obligation {
    const DISCRIMINATOR: [u8; 8] = [168, 206, 141, 106, 88, 76, 172, 167];
    const OWNER: Pubkey = crate::ID;
}

impl Obligation {
    /// Deposits in use, with their slot numbers.
    pub fn active_deposits(&self) -> impl Iterator<Item = (usize, &ObligationCollateral)> {
        (self.deposits.iter().enumerate()).filter(|(_, deposit)| deposit.is_active())
    }

    /// Borrows in use, with their slot numbers.
    pub fn active_borrows(&self) -> impl Iterator<Item = (usize, &ObligationLiquidity)> {
        (self.borrows.iter().enumerate()).filter(|(_, borrow)| borrow.is_active())
    }

    pub fn has_referrer(&self) -> bool {
        self.referrer != Pubkey::default()
    }

    /// The part of `debt` in the part of the deposits: the LTV of the kind
    /// the caller chose by its numerator.
    pub fn ratio_to_deposits(&self, value: Fraction) -> Fraction {
        value / self.deposited_value_sf.fraction()
    }

    /// Forgets the orders once there is no debt that they could repay.
    pub fn update_has_debt(&mut self) {
        let has_debt = self.active_borrows().next().is_some();
        self.has_debt = u8::from(has_debt);
        if !has_debt {
            self.obligation_orders = Zeroable::zeroed();
        }
    }
}

/// Collateral deposited in one reserve.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct ObligationCollateral {
    pub deposit_reserve: Pubkey,
    /// cTokens.
    pub deposited_amount: u64,
    pub market_value_sf: PodU128,
    /// Debt units borrowed against this deposit inside the elevation group.
    pub borrowed_amount_against_this_collateral_in_elevation_group: u64,
    reserved_64: [u8; 72],
}

impl ObligationCollateral {
    pub fn is_active(&self) -> bool {
        self.deposit_reserve != Pubkey::default()
    }
}

/// Debt owed to one reserve.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct ObligationLiquidity {
    pub borrow_reserve: Pubkey,
    /// The reserve's cumulative rate up to which interest is included.
    pub cumulative_borrow_rate_bsf: BigFractionBytes,
    pub last_borrowed_at_timestamp: u64,
    pub borrowed_amount_sf: PodU128,
    pub market_value_sf: PodU128,
    pub borrow_factor_adjusted_market_value_sf: PodU128,
    pub borrowed_amount_outside_elevation_groups: u64,
    reserved_144: [u8; 16],
    /// The debt, in whole units, when its term was first seen to be over.
    pub borrowed_amount_at_expiration: u64,
    reserved_168: [u8; 32],
}

impl ObligationLiquidity {
    pub fn is_active(&self) -> bool {
        self.borrow_reserve != Pubkey::default()
    }
}

/// A stop-loss or take-profit order that anybody may execute.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct ObligationOrder {
    pub condition_threshold_sf: PodU128,
    pub opportunity_parameter_sf: PodU128,
    pub min_execution_bonus_bps: u16,
    pub max_execution_bonus_bps: u16,
    pub condition_type: u8,
    pub opportunity_type: u8,
    reserved_38: [u8; 90],
}

/// A request to borrow that anybody may fill.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct BorrowOrder {
    pub debt_liquidity_mint: Pubkey,
    pub remaining_debt_amount: u64,
    reserved_40: [u8; 40],
    pub fillable_until_timestamp: u64,
    reserved_88: [u8; 28],
    pub active: u8,
    reserved_117: [u8; 43],
}

const _: () = {
    assert!(Obligation::ACCOUNT_LEN == 3344);
    assert!(size_of::<ObligationCollateral>() == 136);
    assert!(size_of::<ObligationLiquidity>() == 200);
    assert!(size_of::<ObligationOrder>() == 128);
    offsets!(Obligation {
        deposits @ 88, lowest_reserve_deposit_liquidation_ltv @ 1176, borrows @ 1200,
        borrow_factor_adjusted_debt_value_sf @ 2200, elevation_group @ 2277, has_debt @ 2279,
        referrer @ 2280, autodeleverage_target_ltv_pct @ 2313, highest_borrow_factor_pct @ 2320,
        autodeleverage_margin_call_started_timestamp @ 2328, obligation_orders @ 2336,
        borrow_order @ 2592, more_borrow_orders @ 2784,
    });
    offsets!(ObligationLiquidity {
        cumulative_borrow_rate_bsf @ 32, last_borrowed_at_timestamp @ 80, borrowed_amount_sf @ 88,
        borrowed_amount_outside_elevation_groups @ 136, borrowed_amount_at_expiration @ 160,
    });
};
