//! Opening a position: what a borrower does before anyone can liquidate.

use klend_interface::{instructions as v2, types::InitObligationArgs};
use klend_model::keys::to_v2;
use solana_address::Address;
use solana_instruction::Instruction;
use solana_pubkey_v2::Pubkey;

use super::{
    ObligationAddresses, ReserveAddresses,
    convert::{instruction, option, writable},
    pda,
};

/// Which of an owner's obligations in a market: it fixes the seeds of the
/// obligation's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObligationKind {
    /// Tag 0: any deposits, any borrows.
    Vanilla {
        /// Distinguishes obligations of one owner.
        id: u8,
    },
    /// Tag 1: one collateral against one debt.
    Multiply {
        /// Distinguishes obligations of one owner.
        id: u8,
        /// Mint of the collateral.
        collateral_mint: Address,
        /// Mint of the debt.
        debt_mint: Address,
    },
}

impl ObligationKind {
    fn tag_and_id(self) -> (u8, u8) {
        match self {
            Self::Vanilla { id } => (0, id),
            Self::Multiply { id, .. } => (1, id),
        }
    }

    fn seeds(self) -> [Address; 2] {
        match self {
            Self::Vanilla { .. } => [Address::default(); 2],
            Self::Multiply { collateral_mint, debt_mint, .. } => [collateral_mint, debt_mint],
        }
    }

    /// Where klend keeps this obligation.
    #[must_use]
    pub fn address(self, owner: &Address, lending_market: &Address) -> Address {
        let ((tag, id), seeds) = (self.tag_and_id(), self.seeds());
        pda::obligation(tag, id, owner, lending_market, [&seeds[0], &seeds[1]])
    }
}

/// Which of a reserve's two farms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FarmMode {
    /// The farm of deposits.
    Collateral,
    /// The farm of debts.
    Debt,
}

impl FarmMode {
    /// That farm, if the reserve has it.
    #[must_use]
    pub fn farm(self, reserve: &ReserveAddresses) -> Option<Address> {
        match self {
            Self::Collateral => reserve.collateral_farm,
            Self::Debt => reserve.debt_farm,
        }
    }

    fn argument(self) -> u8 {
        match self {
            Self::Collateral => 0,
            Self::Debt => 1,
        }
    }
}

/// `init_user_metadata`: once per owner, before the first obligation. No lookup
/// table is recorded.
#[must_use]
pub fn init_user_metadata(
    owner: &Address,
    fee_payer: &Address,
    referrer: Option<&Address>,
) -> Instruction {
    instruction(v2::init_user_metadata(
        v2::InitUserMetadataAccounts {
            owner: to_v2(owner),
            fee_payer: to_v2(fee_payer),
            user_metadata: to_v2(&pda::user_metadata(owner)),
            referrer_user_metadata: option(referrer.map(pda::user_metadata)),
        },
        Pubkey::default(),
    ))
}

/// `init_obligation`: an empty obligation of `owner`.
#[must_use]
pub fn init_obligation(
    owner: &Address,
    fee_payer: &Address,
    lending_market: &Address,
    kind: ObligationKind,
) -> Instruction {
    let (tag, id) = kind.tag_and_id();
    let seeds = kind.seeds();
    instruction(v2::init_obligation(
        v2::InitObligationAccounts {
            obligation_owner: to_v2(owner),
            fee_payer: to_v2(fee_payer),
            obligation: to_v2(&kind.address(owner, lending_market)),
            lending_market: to_v2(lending_market),
            seed1_account: to_v2(&seeds[0]),
            seed2_account: to_v2(&seeds[1]),
            owner_user_metadata: to_v2(&pda::user_metadata(owner)),
        },
        InitObligationArgs { tag, id },
    ))
}

/// `init_obligation_farms_for_reserve`: the obligation's stake in one of the
/// reserve's farms, or `None` when the reserve has no such farm. Anyone may pay.
#[must_use]
pub fn init_obligation_farm(
    payer: &Address,
    owner: &Address,
    obligation: &Address,
    reserve: &ReserveAddresses,
    mode: FarmMode,
) -> Option<Instruction> {
    let farm = mode.farm(reserve)?;
    Some(instruction(v2::init_obligation_farms_for_reserve(
        v2::InitObligationFarmsForReserveAccounts {
            payer: to_v2(payer),
            owner: to_v2(owner),
            obligation: to_v2(obligation),
            lending_market_authority: to_v2(&reserve.lending_market_authority),
            reserve: to_v2(&reserve.reserve),
            reserve_farm_state: to_v2(&farm),
            obligation_farm: to_v2(&pda::farm_user_state(&farm, obligation)),
            lending_market: to_v2(&reserve.lending_market),
        },
        mode.argument(),
    )))
}

/// `init_referrer_token_state`: where a referrer's earnings in a reserve are kept. Anyone
/// may pay.
#[must_use]
pub fn init_referrer_token_state(
    payer: &Address,
    lending_market: &Address,
    reserve: &Address,
    referrer: &Address,
) -> Instruction {
    instruction(v2::init_referrer_token_state(v2::InitReferrerTokenStateAccounts {
        payer: to_v2(payer),
        lending_market: to_v2(lending_market),
        reserve: to_v2(reserve),
        referrer: to_v2(referrer),
        referrer_token_state: to_v2(&pda::referrer_token_state(referrer, reserve)),
    }))
}

/// `refresh_obligation_farms_for_reserve`: brings the obligation's stake up to
/// date, or `None` when the reserve has no such farm. Liquidate v2 does not need
/// it; v1 does. Anyone may sign.
#[must_use]
pub fn refresh_obligation_farm(
    crank: &Address,
    obligation: &Address,
    reserve: &ReserveAddresses,
    mode: FarmMode,
) -> Option<Instruction> {
    let farm = mode.farm(reserve)?;
    Some(instruction(v2::refresh_obligation_farms_for_reserve(
        v2::RefreshObligationFarmsForReserveAccounts {
            crank: to_v2(crank),
            obligation: to_v2(obligation),
            lending_market_authority: to_v2(&reserve.lending_market_authority),
            reserve: to_v2(&reserve.reserve),
            reserve_farm_state: to_v2(&farm),
            obligation_farm_user_state: to_v2(&pda::farm_user_state(&farm, obligation)),
            lending_market: to_v2(&reserve.lending_market),
        },
        mode.argument(),
    )))
}

/// `deposit_reserve_liquidity_and_obligation_collateral_v2`: `amount` units of
/// liquidity from `user_liquidity` become collateral of the obligation.
#[must_use]
pub fn deposit(
    owner: &Address,
    obligation: &Address,
    reserve: &ReserveAddresses,
    user_liquidity: &Address,
    amount: u64,
) -> Instruction {
    let farm = reserve.collateral_farm;
    instruction(v2::deposit_reserve_liquidity_and_obligation_collateral_v2(
        v2::DepositReserveLiquidityAndObligationCollateralV2Accounts {
            owner: to_v2(owner),
            obligation: to_v2(obligation),
            lending_market: to_v2(&reserve.lending_market),
            lending_market_authority: to_v2(&reserve.lending_market_authority),
            reserve: to_v2(&reserve.reserve),
            reserve_liquidity_mint: to_v2(&reserve.liquidity_mint),
            reserve_liquidity_supply: to_v2(&reserve.liquidity_supply_vault),
            reserve_collateral_mint: to_v2(&reserve.ctoken_mint),
            reserve_destination_deposit_collateral: to_v2(&reserve.collateral_supply_vault),
            user_source_liquidity: to_v2(user_liquidity),
            placeholder_user_destination_collateral: None,
            liquidity_token_program: to_v2(&reserve.liquidity_token_program),
            obligation_farm_user_state: option(
                farm.map(|farm| pda::farm_user_state(&farm, obligation)),
            ),
            reserve_farm_state: option(farm),
        },
        amount,
    ))
}

/// `borrow_obligation_liquidity_v2`: `amount` units into `user_liquidity`. The
/// obligation and its reserves have to be fresh in this slot.
///
/// `obligation.deposit_reserves` are passed along: klend wants them when the
/// obligation is in an elevation group.
#[must_use]
pub fn borrow(
    obligation: &ObligationAddresses,
    reserve: &ReserveAddresses,
    user_liquidity: &Address,
    amount: u64,
) -> Instruction {
    let farm = reserve.debt_farm;
    let stake = farm.map(|farm| pda::farm_user_state(&farm, &obligation.obligation));
    let referrer_token_state =
        obligation.referrer.map(|referrer| pda::referrer_token_state(&referrer, &reserve.reserve));
    instruction(v2::borrow_obligation_liquidity_v2(
        v2::BorrowObligationLiquidityV2Accounts {
            owner: to_v2(&obligation.owner),
            obligation: to_v2(&obligation.obligation),
            lending_market: to_v2(&reserve.lending_market),
            lending_market_authority: to_v2(&reserve.lending_market_authority),
            borrow_reserve: to_v2(&reserve.reserve),
            borrow_reserve_liquidity_mint: to_v2(&reserve.liquidity_mint),
            reserve_source_liquidity: to_v2(&reserve.liquidity_supply_vault),
            borrow_reserve_liquidity_fee_receiver: to_v2(&reserve.fee_vault),
            user_destination_liquidity: to_v2(user_liquidity),
            referrer_token_state: option(referrer_token_state),
            token_program: to_v2(&reserve.liquidity_token_program),
            obligation_farm_user_state: option(stake),
            reserve_farm_state: option(farm),
        },
        amount,
        obligation.liquidation_tail().iter().map(writable).collect(),
    ))
}

/// `request_elevation_group`: moves the obligation into `group` (0 leaves). It
/// and its reserves have to be fresh in this slot, and all of them must allow
/// the group.
#[must_use]
pub fn request_elevation_group(obligation: &ObligationAddresses, group: u8) -> Instruction {
    instruction(v2::request_elevation_group(
        v2::RequestElevationGroupAccounts {
            owner: to_v2(&obligation.owner),
            obligation: to_v2(&obligation.obligation),
            lending_market: to_v2(&obligation.lending_market),
        },
        group,
        obligation
            .deposit_reserves
            .iter()
            .chain(&obligation.borrow_reserves)
            .map(writable)
            .collect(),
    ))
}
