//! Where klend keeps what the TypeScript client reads, from the structs of
//! `klend-interface`.

use core::mem::{offset_of, size_of};

use bytemuck::Zeroable;
use klend_interface::{
    discriminators,
    state::{
        LendingMarket, Obligation, ObligationCollateral, ObligationLiquidity, Reserve,
        ReserveCollateral, ReserveConfig, ReserveFees, ReserveLiquidity, TokenInfo,
    },
};
use klend_model::accounts::account_data;

/// Bytes before the struct in an account.
const DISCRIMINATOR: usize = 8;

/// An account type: its first bytes, its length, and offsets from its first byte.
pub struct Account {
    /// Name of the constant.
    pub name: &'static str,
    /// First bytes.
    pub discriminator: Vec<u8>,
    /// All bytes.
    pub length: usize,
    /// Name and value of further numbers.
    pub fields: Vec<(&'static str, usize)>,
}

/// The account types that the client reads.
pub fn accounts() -> [Account; 3] {
    let start = |data: Vec<u8>| data[..DISCRIMINATOR].to_vec();
    let liquidity = |offset| DISCRIMINATOR + offset_of!(Reserve, liquidity) + offset;
    let collateral = |offset| DISCRIMINATOR + offset_of!(Reserve, collateral) + offset;
    let config = |offset| DISCRIMINATOR + offset_of!(Reserve, config) + offset;
    let token_info = |offset| config(offset_of!(ReserveConfig, token_info) + offset);
    let obligation = |offset| DISCRIMINATOR + offset;
    [
        Account {
            name: "RESERVE",
            discriminator: start(account_data(&Reserve::zeroed())),
            length: DISCRIMINATOR + size_of::<Reserve>(),
            fields: vec![
                ("lendingMarket", DISCRIMINATOR + offset_of!(Reserve, lending_market)),
                ("collateralFarm", DISCRIMINATOR + offset_of!(Reserve, farm_collateral)),
                ("debtFarm", DISCRIMINATOR + offset_of!(Reserve, farm_debt)),
                ("liquidityMint", liquidity(offset_of!(ReserveLiquidity, mint_pubkey))),
                ("liquiditySupplyVault", liquidity(offset_of!(ReserveLiquidity, supply_vault))),
                ("feeVault", liquidity(offset_of!(ReserveLiquidity, fee_vault))),
                (
                    "availableAmount",
                    liquidity(offset_of!(ReserveLiquidity, total_available_amount)),
                ),
                ("decimals", liquidity(offset_of!(ReserveLiquidity, mint_decimals))),
                ("liquidityTokenProgram", liquidity(offset_of!(ReserveLiquidity, token_program))),
                ("ctokenMint", collateral(offset_of!(ReserveCollateral, mint_pubkey))),
                ("collateralSupplyVault", collateral(offset_of!(ReserveCollateral, supply_vault))),
                ("protocolTakeRatePct", config(offset_of!(ReserveConfig, protocol_take_rate_pct))),
                (
                    "flashLoanFeeSf",
                    config(
                        offset_of!(ReserveConfig, fees)
                            + offset_of!(ReserveFees, flash_loan_fee_sf),
                    ),
                ),
                ("symbol", token_info(offset_of!(TokenInfo, name))),
                ("symbolLength", size_of_val(&TokenInfo::zeroed().name)),
                ("scopePrices", token_info(offset_of!(TokenInfo, scope_configuration.price_feed))),
                (
                    "switchboardPrice",
                    token_info(offset_of!(TokenInfo, switchboard_configuration.price_aggregator)),
                ),
                (
                    "switchboardTwap",
                    token_info(offset_of!(TokenInfo, switchboard_configuration.twap_aggregator)),
                ),
                ("pythPrice", token_info(offset_of!(TokenInfo, pyth_configuration.price))),
            ],
        },
        Account {
            name: "OBLIGATION",
            discriminator: start(account_data(&Obligation::zeroed())),
            length: DISCRIMINATOR + size_of::<Obligation>(),
            fields: vec![
                ("lendingMarket", obligation(offset_of!(Obligation, lending_market))),
                ("owner", obligation(offset_of!(Obligation, owner))),
                ("deposits", obligation(offset_of!(Obligation, deposits))),
                ("depositSlots", Obligation::zeroed().deposits.len()),
                ("depositSize", size_of::<ObligationCollateral>()),
                ("depositReserve", offset_of!(ObligationCollateral, deposit_reserve)),
                ("depositAmount", offset_of!(ObligationCollateral, deposited_amount)),
                ("borrows", obligation(offset_of!(Obligation, borrows))),
                ("borrowSlots", Obligation::zeroed().borrows.len()),
                ("borrowSize", size_of::<ObligationLiquidity>()),
                ("borrowReserve", offset_of!(ObligationLiquidity, borrow_reserve)),
                ("borrowAmountSf", offset_of!(ObligationLiquidity, borrowed_amount_sf)),
                (
                    "debtValueSf",
                    obligation(offset_of!(Obligation, borrow_factor_adjusted_debt_value_sf)),
                ),
                ("unhealthyValueSf", obligation(offset_of!(Obligation, unhealthy_borrow_value_sf))),
                ("elevationGroup", obligation(offset_of!(Obligation, elevation_group))),
                ("referrer", obligation(offset_of!(Obligation, referrer))),
            ],
        },
        Account {
            name: "LENDING_MARKET",
            discriminator: start(account_data(&LendingMarket::zeroed())),
            length: DISCRIMINATOR + size_of::<LendingMarket>(),
            fields: vec![(
                "referralFeeBps",
                DISCRIMINATOR + offset_of!(LendingMarket, referral_fee_bps),
            )],
        },
    ]
}

/// Discriminators of the instructions that the client builds.
pub fn instructions() -> [(&'static str, &'static [u8; 8]); 5] {
    [
        ("flashBorrow", &discriminators::FLASH_BORROW_RESERVE_LIQUIDITY),
        ("flashRepay", &discriminators::FLASH_REPAY_RESERVE_LIQUIDITY),
        ("refreshReserve", &discriminators::REFRESH_RESERVE),
        ("refreshReservesBatch", &discriminators::REFRESH_RESERVES_BATCH),
        ("refreshObligation", &discriminators::REFRESH_OBLIGATION),
    ]
}
