//! What this program knows about Kamino Lend: ids, discriminators, account
//! positions, byte offsets and the flash-loan fee. Nothing else in the program
//! spells a klend number.
//!
//! Every figure is pinned by `tests/pinned.rs` against the crate
//! `klend-interface`, which klend's own developers publish.

use anchor_lang::prelude::*;

use crate::{
    checks::{fail, require, require_key},
    errors::{FlashLiquidatorError, Result},
};

/// The klend deployment whose flash loans and liquidations are accepted.
#[cfg(not(feature = "staging"))]
pub const PROGRAM_ID: Pubkey = pubkey!("KLend2g3cP87fffoy8q1mQqGKjrxjC8boSyAYavgmjD");
/// The klend deployment whose flash loans and liquidations are accepted.
#[cfg(feature = "staging")]
pub const PROGRAM_ID: Pubkey = pubkey!("SLendK7ySfcEzyaFqy93gDnD3RtrpXJcnRwb6zFHJSh");

/// Kamino's farms program, which klend calls at the end of a liquidation.
pub const FARMS_PROGRAM_ID: Pubkey = pubkey!("FarmsPZpWu9i7Kky8tPN37rs2TpmMrAZrC7S7vJa91Hr");

/// `flash_borrow_reserve_liquidity(liquidity_amount: u64)`: 16 bytes of data.
pub const FLASH_BORROW_DISCRIMINATOR: [u8; 8] = [135, 231, 52, 167, 7, 52, 212, 193];
/// `flash_repay_reserve_liquidity(liquidity_amount: u64, borrow_instruction_index: u8)`: 17 bytes.
pub const FLASH_REPAY_DISCRIMINATOR: [u8; 8] = [185, 117, 0, 203, 96, 245, 180, 186];
/// `liquidate_obligation_and_redeem_reserve_collateral_v2(u64, u64, u64)`.
pub const LIQUIDATE_V2_DISCRIMINATOR: [u8; 8] = [162, 161, 35, 143, 30, 187, 185, 103];

/// Positions in the account list that both halves of a flash loan share.
pub mod flash_account {
    /// Accounts of either half, optional ones included.
    pub const COUNT: usize = 12;
    /// Signer that repays the loan.
    pub const USER_TRANSFER_AUTHORITY: usize = 0;
    /// Reserve that lends.
    pub const RESERVE: usize = 3;
    /// Mint of the loan.
    pub const LIQUIDITY_MINT: usize = 4;
    /// Token account the loan arrives in and is repaid from.
    pub const USER_LIQUIDITY: usize = 6;
}

/// Accounts of liquidate v2 before the deposit reserves of an elevation group.
pub const LIQUIDATE_V2_ACCOUNTS: usize = 25;

/// `LiquidateV2` accounts that klend writes, by position; the rest are read.
pub const LIQUIDATE_V2_WRITABLE: [bool; LIQUIDATE_V2_ACCOUNTS] = [
    false, // 0 liquidator
    true,  // 1 obligation
    false, // 2 lending market
    false, // 3 lending market authority
    true,  // 4 repay reserve
    false, // 5 repay reserve liquidity mint
    true,  // 6 repay reserve liquidity supply
    true,  // 7 withdraw reserve
    false, // 8 withdraw reserve liquidity mint
    true,  // 9 withdraw reserve collateral mint
    true,  // 10 withdraw reserve collateral supply
    true,  // 11 withdraw reserve liquidity supply
    true,  // 12 withdraw reserve liquidity fee receiver
    true,  // 13 user source liquidity
    true,  // 14 user destination collateral
    true,  // 15 user destination liquidity
    false, // 16 collateral token program
    false, // 17 repay liquidity token program
    false, // 18 withdraw liquidity token program
    false, // 19 instructions sysvar
    true,  // 20 collateral farm user state
    true,  // 21 collateral farm state
    true,  // 22 debt farm user state
    true,  // 23 debt farm state
    false, // 24 farms program
];

/// First eight bytes of a `Reserve` account.
pub const RESERVE_ACCOUNT_DISCRIMINATOR: [u8; 8] = [43, 242, 204, 202, 26, 247, 59, 127];
/// First eight bytes of a `LendingMarket` account.
pub const MARKET_ACCOUNT_DISCRIMINATOR: [u8; 8] = [246, 114, 50, 98, 72, 157, 28, 120];
/// Least bytes of a `Reserve` account, discriminator included.
pub const RESERVE_LEN: usize = 8_624;
/// Least bytes of a `LendingMarket` account, discriminator included.
pub const MARKET_LEN: usize = 4_664;

/// Byte offsets in account data, discriminator included.
pub mod offset {
    /// `Reserve.liquidity.borrowed_amount_sf: u128`, debt in U68F60.
    pub const RESERVE_BORROWED_AMOUNT_SF: usize = 8 + 224;
    /// `Reserve.config.emergency_mode: u8`.
    pub const RESERVE_EMERGENCY_MODE: usize = 8 + 4_856;
    /// `Reserve.config.fees.flash_loan_fee_sf: u64`, a fraction in U68F60.
    pub const RESERVE_FLASH_LOAN_FEE_SF: usize = 8 + 4_896;
    /// `Reserve.config.permissioned_ops: u64`, a bit set.
    pub const RESERVE_PERMISSIONED_OPS: usize = 8 + 5_792;
    /// `LendingMarket.permissioning_authority`, a key; all zeros for none.
    pub const MARKET_PERMISSIONING_AUTHORITY: usize = 8 + 3_392;
    /// `LendingMarket.permissioned_ops: u64`, a bit set.
    pub const MARKET_PERMISSIONED_OPS: usize = 8 + 3_424;
}

/// Bit of `permissioned_ops` that reserves liquidations for a permissioner.
pub const PERMISSIONED_LIQUIDATE: u64 = 4;

/// Fraction bits of klend's U68F60 numbers.
pub const FRACTION_BITS: u32 = 60;
/// `flash_loan_fee_sf` of a reserve whose flash loans are disabled.
pub const FLASH_LOANS_DISABLED: u64 = u64::MAX;

/// Fee in token units that klend adds to a flash loan of `principal` units.
///
/// `flash_loan_fee_sf` is a U68F60 fraction held in a u64. The product is at
/// least one token unit unless the rate is zero, then rounded half up, exactly
/// as klend's repay rounds it.
///
/// # Errors
/// [`FlashLiquidatorError::FlashLoansDisabled`] when the reserve lends nothing,
/// [`FlashLiquidatorError::MathOverflow`] when the fee does not fit a u64.
#[expect(clippy::arithmetic_side_effects, reason = "two 64-bit factors leave room in a u128")]
pub fn flash_loan_fee(principal: u64, flash_loan_fee_sf: u64) -> Result<u64> {
    const ONE: u128 = 1 << FRACTION_BITS;

    require(flash_loan_fee_sf != FLASH_LOANS_DISABLED, FlashLiquidatorError::FlashLoansDisabled)?;
    if principal == 0 || flash_loan_fee_sf == 0 {
        return Ok(0);
    }
    // Two u64 factors: the product fits a u128, and adding half a unit to it too.
    let exact = u128::from(principal) * u128::from(flash_loan_fee_sf);
    let rounded = (exact.max(ONE) + ONE / 2) >> FRACTION_BITS;
    u64::try_from(rounded).map_err(|_| fail(FlashLiquidatorError::MathOverflow))
}

/// Fee in token units that klend adds when the loan of `principal` units from
/// `flash_reserve` is repaid.
///
/// # Errors
/// Those of [`flash_loan_fee`], and `KlendAccountInvalid`.
pub fn flash_loan_fee_of(flash_reserve: &AccountInfo, principal: u64) -> Result<u64> {
    let rate = u64_at(&reserve_data(flash_reserve)?, offset::RESERVE_FLASH_LOAN_FEE_SF)?;
    flash_loan_fee(principal, rate)
}

/// Bytes of a klend account after checking that it is one. It may be longer than is
/// known here: klend appends to its accounts and moves nothing in them.
///
/// # Errors
/// [`FlashLiquidatorError::KlendAccountInvalid`] when klend does not own it, its
/// discriminator is another account type's, or it is too short.
fn checked_data<'a>(
    account: &'a AccountInfo,
    discriminator: [u8; 8],
    min_len: usize,
) -> Result<core::cell::Ref<'a, [u8]>> {
    require_key(account.owner, &PROGRAM_ID, FlashLiquidatorError::KlendAccountInvalid)?;
    let data = account.try_borrow_data()?;
    require(
        data.len() >= min_len && data.starts_with(&discriminator),
        FlashLiquidatorError::KlendAccountInvalid,
    )?;
    Ok(core::cell::Ref::map(data, |data| &**data))
}

/// Bytes of a reserve. See [`checked_data`].
pub fn reserve_data<'a>(account: &'a AccountInfo) -> Result<core::cell::Ref<'a, [u8]>> {
    checked_data(account, RESERVE_ACCOUNT_DISCRIMINATOR, RESERVE_LEN)
}

/// Bytes of a lending market. See [`checked_data`].
pub fn market_data<'a>(account: &'a AccountInfo) -> Result<core::cell::Ref<'a, [u8]>> {
    checked_data(account, MARKET_ACCOUNT_DISCRIMINATOR, MARKET_LEN)
}

/// Reads `N` bytes at `offset`.
///
/// # Errors
/// [`FlashLiquidatorError::KlendAccountInvalid`] when the data ends before.
fn bytes_at<const N: usize>(data: &[u8], offset: usize) -> Result<[u8; N]> {
    data.get(offset..)
        .and_then(|tail| tail.first_chunk())
        .copied()
        .ok_or_else(|| fail(FlashLiquidatorError::KlendAccountInvalid))
}

/// Reads a little-endian u64 at `offset`.
pub fn u64_at(data: &[u8], offset: usize) -> Result<u64> {
    bytes_at(data, offset).map(u64::from_le_bytes)
}

/// Reads a little-endian u128 at `offset`.
pub fn u128_at(data: &[u8], offset: usize) -> Result<u128> {
    bytes_at(data, offset).map(u128::from_le_bytes)
}

/// Refuses a reserve in emergency mode. Returns whose signature klend wants for a
/// liquidation: that of the market's permissioning authority, where there is one and
/// the market or one of the two reserves reserves liquidations for it.
pub fn permissioner<'info>(
    market: &AccountInfo<'info>,
    repay_reserve: &AccountInfo<'info>,
    withdraw_reserve: &AccountInfo<'info>,
) -> Result<Option<Pubkey>> {
    let market = market_data(market)?;
    let mut permissioned_ops = u64_at(&market, offset::MARKET_PERMISSIONED_OPS)?;
    for reserve in [repay_reserve, withdraw_reserve] {
        let data = reserve_data(reserve)?;
        permissioned_ops |= u64_at(&data, offset::RESERVE_PERMISSIONED_OPS)?;
        let [emergency_mode] = bytes_at(&data, offset::RESERVE_EMERGENCY_MODE)?;
        require(emergency_mode == 0, FlashLiquidatorError::ReserveInEmergencyMode)?;
    }
    if permissioned_ops & PERMISSIONED_LIQUIDATE == 0 {
        return Ok(None);
    }
    let authority: Pubkey = bytes_at(&market, offset::MARKET_PERMISSIONING_AUTHORITY)?.into();
    Ok((authority != Pubkey::default()).then_some(authority))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 0.001 %.
    const USDC_RATE: u64 = 11_529_215_046_068;

    #[test]
    fn fee_is_at_least_one_unit_and_rounds_half_up() {
        for (principal, fee) in [
            (0, 0),
            (1, 1),
            (2, 1),
            (100_000, 1),
            (150_000, 1),
            (150_001, 2),
            (1_000_000, 10),
            (1_000_000_000, 10_000),
            (1_000_000_000_000, 10_000_000),
        ] {
            assert_eq!(flash_loan_fee(principal, USDC_RATE).unwrap(), fee, "principal {principal}");
        }
    }

    #[test]
    fn a_zero_rate_costs_nothing() {
        assert_eq!(flash_loan_fee(u64::MAX, 0).unwrap(), 0);
    }

    #[test]
    fn a_disabled_reserve_is_an_error_and_not_a_huge_fee() {
        assert_eq!(
            flash_loan_fee(1_000, FLASH_LOANS_DISABLED).unwrap_err(),
            fail(FlashLiquidatorError::FlashLoansDisabled)
        );
    }

    #[test]
    fn a_fee_beyond_u64_is_an_error() {
        // The largest rate that is not `disabled` is almost 16 times the principal.
        assert_eq!(
            flash_loan_fee(u64::MAX, u64::MAX - 1).unwrap_err(),
            fail(FlashLiquidatorError::MathOverflow)
        );
    }
}
