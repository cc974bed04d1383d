//! A small market for tests and benches: round numbers, no oracle.

#![allow(dead_code, reason = "each test file uses its own part")]

use bytemuck::Zeroable;
use klend_interface::state::{
    BigFractionBytes, BorrowRateCurve, CurvePoint, LendingMarket, Obligation, Reserve,
};
use klend_model::{fields, keys, time::Clock, version::KlendVersion};
use solana_address::Address;

pub const ONE: u128 = 1 << 60;
/// The version that tests are about unless they say another.
pub const KLEND: KlendVersion = KlendVersion::V1_25;
pub const NOW: Clock = Clock { slot: 300_000_000, unix_timestamp: 1_760_000_000 };

pub fn key(kind: u8, index: usize) -> Address {
    let mut bytes = [kind; 32];
    // The index in the middle too: real keys differ everywhere.
    bytes[0] = index as u8;
    bytes[7] = index as u8 ^ 0x5a;
    bytes[15] = (index >> 8) as u8;
    Address::new_from_array(bytes)
}

pub fn market_key() -> Address {
    key(1, 0)
}

pub fn obligation_key() -> Address {
    key(2, 0)
}

pub fn reserve_key(index: usize) -> Address {
    key(3, index)
}

pub fn mint_key(index: usize) -> Address {
    key(4, index)
}

pub fn bsf(bits: u128) -> BigFractionBytes {
    BigFractionBytes { value: [bits as u64, (bits >> 64) as u64, 0, 0], padding: [0; 2] }
}

/// Close factor 20 %, insolvency at 95 %, debts below 2 repaid in full.
pub fn market() -> Box<LendingMarket> {
    Box::new(LendingMarket {
        version: 1,
        liquidation_max_debt_close_factor_pct: 20,
        insolvency_risk_unhealthy_ltv_pct: 95,
        min_full_liquidation_value_threshold: 2,
        max_liquidatable_debt_market_value_at_once: 500_000,
        global_allowed_borrow_value: 45_000_000,
        ..LendingMarket::zeroed()
    })
}

/// Refreshed at [`NOW`]: a token of 6 decimals at `price`, a million tokens in
/// the vault, a million lent out, 1:1 cTokens, threshold 75 %, LTV 70 %, bonus 5
/// to 10 %, protocol liquidation fee 50 %, flash fee 1e-5.
pub fn reserve(index: usize, price: u64) -> Box<Reserve> {
    let mut reserve = Box::<Reserve>::new(Zeroable::zeroed());
    reserve.version = 1;
    reserve.last_update.slot = NOW.slot;
    fields::set_timestamp(&mut reserve.last_update, NOW.unix_timestamp as u32);
    reserve.last_update.price_status = 0b11_1111;
    reserve.lending_market = keys::to_v2(&market_key());
    let liquidity = &mut reserve.liquidity;
    liquidity.mint_pubkey = keys::to_v2(&mint_key(index));
    liquidity.total_available_amount = 1_000_000_000_000;
    liquidity.borrowed_amount_sf = (1_000_000_000_000 * ONE).into();
    liquidity.market_price_sf = (u128::from(price) * ONE).into();
    liquidity.market_price_last_updated_ts = NOW.unix_timestamp;
    liquidity.mint_decimals = 6;
    liquidity.cumulative_borrow_rate_bsf = bsf(ONE);
    reserve.collateral.mint_total_supply = 2_000_000_000_000;
    let config = &mut reserve.config;
    config.protocol_take_rate_pct = 10;
    config.protocol_liquidation_fee_pct = 50;
    config.loan_to_value_pct = 70;
    config.liquidation_threshold_pct = 75;
    config.min_liquidation_bonus_bps = 500;
    config.max_liquidation_bonus_bps = 1000;
    config.bad_debt_liquidation_bonus_bps = 99;
    config.borrow_factor_pct = 100;
    config.deposit_limit = u64::MAX;
    config.borrow_limit = u64::MAX;
    config.fees.flash_loan_fee_sf = 11_529_215_046_068;
    config.token_info.max_age_price_seconds = 180;
    config.borrow_rate_curve = curve(&[(0, 0), (8_000, 400), (10_000, 5_000)]);
    reserve
}

/// A borrow-rate curve; its last point is repeated, as klend stores it.
pub fn curve(nodes: &[(u32, u32)]) -> BorrowRateCurve {
    let points = core::array::from_fn(|i| {
        let (utilization_rate_bps, borrow_rate_bps) = nodes[i.min(nodes.len() - 1)];
        CurvePoint { utilization_rate_bps, borrow_rate_bps }
    });
    BorrowRateCurve { points }
}

/// `(reserve, raw units)` of deposits (in cTokens) and debts.
pub fn obligation(deposits: &[(usize, u64)], borrows: &[(usize, u64)]) -> Box<Obligation> {
    let mut obligation = Box::<Obligation>::new(Zeroable::zeroed());
    obligation.lending_market = keys::to_v2(&market_key());
    obligation.last_update.slot = NOW.slot;
    fields::set_timestamp(&mut obligation.last_update, NOW.unix_timestamp as u32);
    obligation.has_debt = u8::from(!borrows.is_empty());
    for (slot, (index, amount)) in obligation.deposits.iter_mut().zip(deposits) {
        slot.deposit_reserve = keys::to_v2(&reserve_key(*index));
        slot.deposited_amount = *amount;
    }
    for (slot, (index, amount)) in obligation.borrows.iter_mut().zip(borrows) {
        slot.borrow_reserve = keys::to_v2(&reserve_key(*index));
        slot.borrowed_amount_sf = (u128::from(*amount) * ONE).into();
        slot.cumulative_borrow_rate_bsf = bsf(ONE);
    }
    obligation
}
