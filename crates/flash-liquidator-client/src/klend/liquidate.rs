use klend_interface::instructions as v2;
use klend_model::keys::to_v2;
use solana_address::Address;
use solana_instruction::Instruction;

use super::{
    ReserveAddresses,
    convert::{instruction, option, signer, writable},
    pda,
};

/// The farm accounts of a liquidation: the obligation's stakes and the farms of
/// the two reserves, both halves of a pair present or absent together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ObligationFarms {
    /// Stake and farm of the withdraw reserve's collateral farm.
    pub collateral: Option<(Address, Address)>,
    /// Stake and farm of the repay reserve's debt farm.
    pub debt: Option<(Address, Address)>,
}

impl ObligationFarms {
    /// The farms the reserves name, and the obligation's stakes in them. klend
    /// wants both wherever a reserve has a farm (6120), even for an obligation
    /// that never staked.
    #[must_use]
    pub fn read(
        obligation: &Address,
        repay_reserve: &ReserveAddresses,
        withdraw_reserve: &ReserveAddresses,
    ) -> Self {
        let with_stake = |farm: Option<Address>| {
            farm.map(|farm| (pda::farm_user_state(&farm, obligation), farm))
        };
        Self {
            collateral: with_stake(withdraw_reserve.collateral_farm),
            debt: with_stake(repay_reserve.debt_farm),
        }
    }
}

/// Accounts of a liquidation, whether klend is called directly or through this
/// project's program.
#[derive(Clone, Copy, Debug)]
pub struct LiquidateAccounts<'a> {
    /// Signer that repays the debt and owns the three user token accounts.
    pub liquidator: Address,
    /// Obligation to liquidate.
    pub obligation: Address,
    /// Reserve of the debt.
    pub repay_reserve: &'a ReserveAddresses,
    /// Reserve of the collateral.
    pub withdraw_reserve: &'a ReserveAddresses,
    /// The liquidator's account of the debt mint.
    pub user_debt: Address,
    /// The liquidator's account of the withdraw reserve's cToken mint.
    pub user_ctoken: Address,
    /// The liquidator's account of the collateral mint.
    pub user_collateral: Address,
    /// Farms and stakes ([`ObligationFarms::read`]).
    pub farms: ObligationFarms,
    /// The active deposit reserves in slot order when the obligation is in an
    /// elevation group, none otherwise
    /// ([`ObligationAddresses::liquidation_tail`](super::ObligationAddresses::liquidation_tail)).
    pub deposit_reserves: &'a [Address],
    /// The market's permissioning authority, who then has to sign, where klend wants it
    /// for this liquidation (klend 1.24 and later).
    pub permissioner: Option<Address>,
}

/// `liquidate_obligation_and_redeem_reserve_collateral_v2`, called directly.
///
/// Repays at most `repay_amount` units of debt (`u64::MAX`: as much as klend
/// allows), and fails (6066) when less than `min_received` units of collateral
/// arrive.
#[must_use]
pub fn liquidate_v2(
    accounts: &LiquidateAccounts,
    repay_amount: u64,
    min_received: u64,
) -> Instruction {
    let (repay, withdraw) = (accounts.repay_reserve, accounts.withdraw_reserve);
    let (collateral_farm, debt_farm) = (accounts.farms.collateral, accounts.farms.debt);
    let mut remaining: Vec<_> = accounts.deposit_reserves.iter().map(writable).collect();
    remaining.extend(accounts.permissioner.as_ref().map(signer));
    instruction(v2::liquidate_obligation_and_redeem_reserve_collateral_v2(
        v2::LiquidateObligationAndRedeemReserveCollateralV2Accounts {
            liquidator: to_v2(&accounts.liquidator),
            obligation: to_v2(&accounts.obligation),
            lending_market: to_v2(&repay.lending_market),
            lending_market_authority: to_v2(&repay.lending_market_authority),
            repay_reserve: to_v2(&repay.reserve),
            repay_reserve_liquidity_mint: to_v2(&repay.liquidity_mint),
            repay_reserve_liquidity_supply: to_v2(&repay.liquidity_supply_vault),
            withdraw_reserve: to_v2(&withdraw.reserve),
            withdraw_reserve_liquidity_mint: to_v2(&withdraw.liquidity_mint),
            withdraw_reserve_collateral_mint: to_v2(&withdraw.ctoken_mint),
            withdraw_reserve_collateral_supply: to_v2(&withdraw.collateral_supply_vault),
            withdraw_reserve_liquidity_supply: to_v2(&withdraw.liquidity_supply_vault),
            withdraw_reserve_liquidity_fee_receiver: to_v2(&withdraw.fee_vault),
            user_source_liquidity: to_v2(&accounts.user_debt),
            user_destination_collateral: to_v2(&accounts.user_ctoken),
            user_destination_liquidity: to_v2(&accounts.user_collateral),
            repay_liquidity_token_program: to_v2(&repay.liquidity_token_program),
            withdraw_liquidity_token_program: to_v2(&withdraw.liquidity_token_program),
            collateral_obligation_farm_user_state: option(collateral_farm.map(|(stake, _)| stake)),
            collateral_reserve_farm_state: option(collateral_farm.map(|(_, farm)| farm)),
            debt_obligation_farm_user_state: option(debt_farm.map(|(stake, _)| stake)),
            debt_reserve_farm_state: option(debt_farm.map(|(_, farm)| farm)),
        },
        repay_amount,
        min_received,
        // max_allowed_ltv_override_percent: read by staging only, for an
        // obligation's own owner.
        0,
        remaining,
    ))
}

/// `redeem_reserve_collateral`: turns `ctoken_amount` cTokens of `owner` into
/// liquidity, as far as the reserve has some.
#[must_use]
pub fn redeem_reserve_collateral(
    reserve: &ReserveAddresses,
    owner: &Address,
    user_ctoken: &Address,
    user_liquidity: &Address,
    ctoken_amount: u64,
) -> Instruction {
    instruction(v2::redeem_reserve_collateral(
        v2::RedeemReserveCollateralAccounts {
            owner: to_v2(owner),
            lending_market: to_v2(&reserve.lending_market),
            reserve: to_v2(&reserve.reserve),
            lending_market_authority: to_v2(&reserve.lending_market_authority),
            reserve_liquidity_mint: to_v2(&reserve.liquidity_mint),
            reserve_collateral_mint: to_v2(&reserve.ctoken_mint),
            reserve_liquidity_supply: to_v2(&reserve.liquidity_supply_vault),
            user_source_collateral: to_v2(user_ctoken),
            user_destination_liquidity: to_v2(user_liquidity),
            liquidity_token_program: to_v2(&reserve.liquidity_token_program),
        },
        ctoken_amount,
    ))
}
