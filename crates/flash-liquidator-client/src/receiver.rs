//! This project's on-chain program: `liquidate` and what goes with it.

use anchor_lang::InstructionData;
pub use flash_liquidator::{
    ID as PROGRAM_ID, LiquidateArgs, Liquidated, Redemption,
    swap::{ACCOUNTS_PER_INTERMEDIATE, SWAP_AUTHORITY_SEED},
};
pub use liquidation_venues::SwapLeg;
use liquidation_venues::pda;
use solana_address::Address;
use solana_instruction::{AccountMeta, Instruction};

use crate::{
    klend::{self, LiquidateAccounts, ReserveAddresses},
    swap,
    token::associated_token_account,
};

/// Accounts of `liquidate` before the remaining ones.
pub(crate) const NAMED_ACCOUNTS: usize = 30;

/// Why no `liquidate` instruction can be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A count does not fit its byte in the arguments.
    #[error("{what}: {count}, at most {limit} can be encoded")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// The addresses of a reserve of the obligation were not given.
    #[error("obligation {obligation}: the addresses of its reserve {reserve} were not given")]
    ReserveMissing {
        /// The obligation.
        obligation: Address,
        /// Its reserve.
        reserve: Address,
    },
    /// The addresses of the reserve that lends were not given.
    #[error("the addresses of the lending reserve {reserve} were not given")]
    LenderMissing {
        /// The reserve.
        reserve: Address,
    },
    /// A durable nonce keeps a transaction valid for as long as nobody uses it.
    #[error("a transaction with the durable nonce {account} needs a deadline slot")]
    NonceWithoutDeadline {
        /// The nonce account.
        account: Address,
    },
    /// Both have to come first.
    #[error(
        "the durable nonce {account} and a price refresh exclude each other: either has to be \
         the first instruction"
    )]
    NonceWithPriceRefresh {
        /// The nonce account.
        account: Address,
    },
}

/// A keeper's swap authority and the bump of its address: the PDA
/// `["swap_authority", keeper]` that signs swap legs in the keeper's stead.
#[must_use]
pub fn swap_authority(keeper: &Address) -> (Address, u8) {
    pda::find(&[SWAP_AUTHORITY_SEED, keeper.as_ref()], &PROGRAM_ID)
}

/// What the keeper signs for, beyond the accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Most debt to repay, debt units; `u64::MAX` for as much as the flash loan
    /// and klend allow.
    pub repay_amount: u64,
    /// Least collateral that must arrive after klend's protocol fee, collateral units.
    pub min_collateral_received: u64,
    /// Least profit after loan and fee, debt units; negative consents to a loss.
    pub min_profit: i64,
    /// Last slot in which this may execute; 0 for none.
    pub deadline_slot: u64,
    /// Whether cTokens that klend cannot redeem are acceptable.
    pub redemption: Redemption,
}

impl Default for Terms {
    /// As much as possible, no loss, full redemption, no deadline.
    fn default() -> Self {
        Self {
            repay_amount: u64::MAX,
            min_collateral_received: 0,
            min_profit: 0,
            deadline_slot: 0,
            redemption: Redemption::RequireFull,
        }
    }
}

/// Positions of the flash loan among the transaction's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlashIndexes {
    /// The flash borrow.
    pub borrow: u8,
    /// The flash repay.
    pub repay: u8,
}

/// A token between collateral and debt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intermediate {
    /// The swap authority's account of it.
    pub swap_account: Address,
    /// The keeper's account of it, where leftovers go.
    pub keeper_account: Address,
    /// Its mint.
    pub mint: Address,
    /// Token program of the mint.
    pub token_program: Address,
}

impl Intermediate {
    /// The associated token accounts of the keeper and its swap authority.
    #[must_use]
    pub fn new(keeper: &Address, mint: &Address, token_program: &Address) -> Self {
        let (authority, _) = swap_authority(keeper);
        Self {
            swap_account: associated_token_account(&authority, mint, token_program),
            keeper_account: associated_token_account(keeper, mint, token_program),
            mint: *mint,
            token_program: *token_program,
        }
    }
}

/// How the collateral becomes the debt token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The swap authority's account of the collateral mint.
    pub swap_collateral: Address,
    /// The swap authority's account of the debt mint; `None` when the last leg
    /// pays the keeper's debt account itself ([`Self::pay_directly`]).
    pub swap_debt: Option<Address>,
    /// Tokens on the way, numbered from 1 by [`SwapLeg::input`].
    pub intermediates: Vec<Intermediate>,
    /// Calls, in order.
    pub legs: Vec<SwapLeg>,
}

impl Route {
    /// A route over the associated token accounts of the keeper's swap
    /// authority, without legs yet.
    #[must_use]
    pub fn new(keeper: &Address, withdraw: &ReserveAddresses, repay: &ReserveAddresses) -> Self {
        let (authority, _) = swap_authority(keeper);
        let account = |reserve: &ReserveAddresses| {
            associated_token_account(
                &authority,
                &reserve.liquidity_mint,
                &reserve.liquidity_token_program,
            )
        };
        Self {
            swap_collateral: account(withdraw),
            swap_debt: Some(account(repay)),
            intermediates: Vec::new(),
            legs: Vec::new(),
        }
    }

    /// Has the legs pay `keeper_debt` where they would pay the swap authority's account of
    /// the debt mint, which saves a transfer, if every program on the route is well known
    /// ([`swap::is_well_known`]); leaves the route as it is otherwise.
    ///
    /// Without it no leg may touch the keeper's debt account, so that nothing that arrives
    /// there from elsewhere can stand in for proceeds that a leg withholds.
    pub fn pay_directly(&mut self, keeper_debt: &Address) {
        if !self.legs.iter().all(|leg| swap::is_well_known(&leg.program)) {
            return;
        }
        let Some(swap_debt) = self.swap_debt.take() else { return };
        let metas = self.legs.iter_mut().flat_map(|leg| &mut leg.accounts);
        for meta in metas.filter(|meta| meta.pubkey == swap_debt) {
            meta.pubkey = *keeper_debt;
        }
    }
}

/// `liquidate`: see the program for what it checks.
///
/// `accounts` are klend's; the keeper is their liquidator. `route` is `None`
/// when the collateral is kept, or is the debt token itself.
///
/// # Errors
/// [`BuildError::TooMany`] when the route does not fit the encoding.
pub fn liquidate(
    accounts: &LiquidateAccounts,
    flash_reserve: &Address,
    flash: FlashIndexes,
    terms: &Terms,
    route: Option<&Route>,
) -> Result<Instruction, BuildError> {
    let keeper = accounts.liquidator;
    let (swap_authority, swap_authority_bump) = swap_authority(&keeper);
    let legs = route.map_or(&[][..], |route| &route.legs);
    let intermediates = route.map_or(&[][..], |route| &route.intermediates);

    // klend's own list is the beginning of ours, the remaining accounts apart.
    let mut metas = klend::liquidate_v2(
        &LiquidateAccounts { deposit_reserves: &[], permissioner: None, ..*accounts },
        terms.repay_amount,
        0,
    )
    .accounts;
    metas.push(AccountMeta::new_readonly(klend::PROGRAM_ID, false));
    metas.push(AccountMeta::new_readonly(*flash_reserve, false));
    metas.push(AccountMeta::new_readonly(swap_authority, false));
    metas.push(optional(route.map(|route| route.swap_collateral)));
    metas.push(optional(route.and_then(|route| route.swap_debt)));
    metas.extend(accounts.deposit_reserves.iter().map(|key| AccountMeta::new(*key, false)));
    metas.extend(accounts.permissioner.map(|key| AccountMeta::new_readonly(key, true)));
    for token in intermediates {
        metas.push(AccountMeta::new(token.swap_account, false));
        metas.push(AccountMeta::new(token.keeper_account, false));
        metas.push(AccountMeta::new_readonly(token.mint, false));
        metas.push(AccountMeta::new_readonly(token.token_program, false));
    }
    let mut encoded_legs = Vec::with_capacity(legs.len());
    for leg in legs {
        metas.push(AccountMeta::new_readonly(leg.program, false));
        metas.extend(
            leg.accounts.iter().map(|meta| AccountMeta { is_signer: false, ..meta.clone() }),
        );
        encoded_legs.push(flash_liquidator::SwapLeg {
            account_count: byte("accounts of a swap leg", leg.accounts.len() + 1)?,
            input: leg.input,
            amount_in_offset: leg.amount_in_offset,
            data: leg.data.clone(),
        });
    }

    let args = LiquidateArgs {
        repay_amount: terms.repay_amount,
        min_collateral_received: terms.min_collateral_received,
        min_profit: terms.min_profit,
        deadline_slot: terms.deadline_slot,
        flash_borrow_index: flash.borrow,
        flash_repay_index: flash.repay,
        redemption: terms.redemption,
        deposit_reserve_count: byte("deposit reserves", accounts.deposit_reserves.len())?,
        has_permissioner: accounts.permissioner.is_some(),
        intermediate_count: byte("intermediate tokens", intermediates.len())?,
        swap_authority_bump,
        legs: encoded_legs,
    };
    Ok(Instruction {
        program_id: PROGRAM_ID,
        accounts: metas,
        data: flash_liquidator::instruction::Liquidate { args }.data(),
    })
}

/// A token account of a keeper's swap authority to empty and close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swept {
    /// The swap authority's account.
    pub swap_account: Address,
    /// The keeper's account of the same mint, where the tokens go. It must exist.
    pub keeper_account: Address,
    /// Their mint.
    pub mint: Address,
    /// Token program of the mint.
    pub token_program: Address,
}

impl Swept {
    /// The associated token accounts of the keeper and its swap authority.
    #[must_use]
    pub fn associated(keeper: &Address, mint: &Address, token_program: &Address) -> Self {
        let Intermediate { swap_account, keeper_account, mint, token_program } =
            Intermediate::new(keeper, mint, token_program);
        Self { swap_account, keeper_account, mint, token_program }
    }
}

/// `sweep`: everything in these accounts of the keeper's swap authority goes to the
/// keeper, and so does their rent.
///
/// An account in which a fee is withheld is emptied and stays: anybody may collect
/// the fee into the mint first (`HarvestWithheldTokensToMint` of Token-2022).
#[must_use]
pub fn sweep(keeper: &Address, accounts: &[Swept]) -> Instruction {
    let (swap_authority, swap_authority_bump) = swap_authority(keeper);
    let mut metas =
        vec![AccountMeta::new(*keeper, true), AccountMeta::new_readonly(swap_authority, false)];
    for swept in accounts {
        metas.push(AccountMeta::new(swept.swap_account, false));
        metas.push(AccountMeta::new(swept.keeper_account, false));
        metas.push(AccountMeta::new_readonly(swept.mint, false));
        metas.push(AccountMeta::new_readonly(swept.token_program, false));
    }
    let data = flash_liquidator::instruction::Sweep { swap_authority_bump }.data();
    Instruction { program_id: PROGRAM_ID, accounts: metas, data }
}

/// Anchor's form of an optional writable account: the program's own id if absent.
fn optional(key: Option<Address>) -> AccountMeta {
    match key {
        Some(key) => AccountMeta::new(key, false),
        None => AccountMeta::new_readonly(PROGRAM_ID, false),
    }
}

pub(crate) fn byte(what: &'static str, count: usize) -> Result<u8, BuildError> {
    let limit = usize::from(u8::MAX);
    u8::try_from(count).map_err(|_| BuildError::TooMany { what, count, limit })
}

#[cfg(test)]
mod tests {
    use anchor_lang::{AnchorDeserialize, Discriminator, ToAccountMetas};
    use klend_interface::state::Reserve;

    use super::*;
    use crate::klend::ObligationFarms;

    fn key(byte: u8) -> Address {
        Address::new_from_array([byte; 32])
    }

    /// A reserve whose addresses all differ.
    fn reserve(first: u8) -> ReserveAddresses {
        let zeroed = <Reserve as bytemuck::Zeroable>::zeroed();
        ReserveAddresses {
            lending_market: key(1),
            lending_market_authority: key(2),
            liquidity_mint: key(first + 1),
            liquidity_token_program: key(first + 2),
            liquidity_supply_vault: key(first + 3),
            fee_vault: key(first + 4),
            ctoken_mint: key(first + 5),
            collateral_supply_vault: key(first + 6),
            collateral_farm: Some(key(first + 7)),
            debt_farm: None,
            ..ReserveAddresses::read(&key(first), &zeroed)
        }
    }

    fn accounts<'a>(
        repay: &'a ReserveAddresses,
        withdraw: &'a ReserveAddresses,
        deposit_reserves: &'a [Address],
    ) -> LiquidateAccounts<'a> {
        LiquidateAccounts {
            liquidator: key(10),
            obligation: key(11),
            repay_reserve: repay,
            withdraw_reserve: withdraw,
            user_debt: key(12),
            user_ctoken: key(13),
            user_collateral: key(14),
            farms: ObligationFarms::read(&key(11), repay, withdraw),
            deposit_reserves,
            permissioner: Some(key(15)),
        }
    }

    #[test]
    fn accounts_come_in_the_programs_order() {
        let (repay, withdraw) = (reserve(20), reserve(40));
        let deposits = [key(60), key(61)];
        let accounts = accounts(&repay, &withdraw, &deposits);
        let mut route = Route::new(&key(10), &withdraw, &repay);
        route.intermediates.push(Intermediate::new(&key(10), &key(70), &key(71)));
        route.legs.push(SwapLeg {
            program: key(80),
            accounts: vec![
                AccountMeta::new(key(81), true),
                AccountMeta::new_readonly(key(82), false),
            ],
            input: 0,
            amount_in_offset: Some(3),
            data: vec![1; 11],
        });
        let terms = Terms { repay_amount: 5, min_profit: -7, ..Terms::default() };
        let built = liquidate(
            &accounts,
            &key(90),
            FlashIndexes { borrow: 1, repay: 6 },
            &terms,
            Some(&route),
        )
        .unwrap();

        let (authority, bump) = swap_authority(&key(10));
        let (stake, farm) = accounts.farms.collateral.unwrap();
        let named = flash_liquidator::accounts::Liquidate {
            keeper: key(10),
            obligation: key(11),
            lending_market: key(1),
            lending_market_authority: key(2),
            repay_reserve: repay.reserve,
            debt_mint: repay.liquidity_mint,
            repay_reserve_liquidity_supply: repay.liquidity_supply_vault,
            withdraw_reserve: withdraw.reserve,
            collateral_mint: withdraw.liquidity_mint,
            ctoken_mint: withdraw.ctoken_mint,
            withdraw_reserve_collateral_supply: withdraw.collateral_supply_vault,
            withdraw_reserve_liquidity_supply: withdraw.liquidity_supply_vault,
            withdraw_reserve_fee_vault: withdraw.fee_vault,
            keeper_debt: key(12),
            keeper_ctoken: key(13),
            keeper_collateral: key(14),
            ctoken_token_program: crate::token::TOKEN_PROGRAM_ID,
            debt_token_program: repay.liquidity_token_program,
            collateral_token_program: withdraw.liquidity_token_program,
            instructions_sysvar: solana_sdk_ids::sysvar::instructions::ID,
            collateral_farm_user_state: stake,
            collateral_farm_state: farm,
            debt_farm_user_state: klend::PROGRAM_ID,
            debt_farm_state: klend::PROGRAM_ID,
            farms_program: klend::FARMS_PROGRAM_ID,
            klend_program: klend::PROGRAM_ID,
            flash_reserve: key(90),
            swap_authority: authority,
            swap_collateral: Some(route.swap_collateral),
            swap_debt: route.swap_debt,
        }
        .to_account_metas(None);
        let (ours, remaining) = built.accounts.split_at(named.len());
        for (position, (ours, named)) in ours.iter().zip(&named).enumerate() {
            assert_eq!(ours.pubkey, named.pubkey, "account {position}");
            assert_eq!(ours.is_signer, named.is_signer, "account {position}");
            // The program declares accounts it only passes on as read; klend wants
            // the farm accounts writable.
            assert!(ours.is_writable >= named.is_writable, "account {position}");
            let is_farm = [stake, farm].contains(&ours.pubkey);
            assert!(is_farm || ours.is_writable == named.is_writable, "account {position}");
        }
        assert_eq!(ours.iter().filter(|meta| meta.is_signer).count(), 1);

        let intermediate = route.intermediates[0];
        let expected = [
            AccountMeta::new(key(60), false),
            AccountMeta::new(key(61), false),
            AccountMeta::new_readonly(key(15), true),
            AccountMeta::new(intermediate.swap_account, false),
            AccountMeta::new(intermediate.keeper_account, false),
            AccountMeta::new_readonly(key(70), false),
            AccountMeta::new_readonly(key(71), false),
            AccountMeta::new_readonly(key(80), false),
            // Nobody but the keeper signs the transaction.
            AccountMeta::new(key(81), false),
            AccountMeta::new_readonly(key(82), false),
        ];
        assert_eq!(remaining, expected);

        let data = built
            .data
            .strip_prefix(flash_liquidator::instruction::Liquidate::DISCRIMINATOR)
            .unwrap();
        let args = LiquidateArgs::try_from_slice(data).unwrap();
        assert_eq!(
            args,
            LiquidateArgs {
                repay_amount: 5,
                min_collateral_received: 0,
                min_profit: -7,
                deadline_slot: 0,
                flash_borrow_index: 1,
                flash_repay_index: 6,
                redemption: Redemption::RequireFull,
                deposit_reserve_count: 2,
                has_permissioner: true,
                intermediate_count: 1,
                swap_authority_bump: bump,
                legs: vec![flash_liquidator::SwapLeg {
                    account_count: 3,
                    input: 0,
                    amount_in_offset: Some(3),
                    data: vec![1; 11],
                }],
            }
        );
    }

    #[test]
    fn only_well_known_programs_pay_the_keeper_directly() {
        let (repay, withdraw) = (reserve(20), reserve(40));
        for (programs, direct) in [
            (vec![swap::whirlpool::PROGRAM_ID, swap::raydium_cpmm::PROGRAM_ID], true),
            (vec![swap::raydium_clmm::PROGRAM_ID, key(80)], false),
            (vec![swap::jupiter::PROGRAM_ID], false),
        ] {
            let mut route = Route::new(&key(10), &withdraw, &repay);
            let swap_debt = route.swap_debt.unwrap();
            let leg = |program: &Address| SwapLeg {
                program: *program,
                accounts: vec![
                    AccountMeta::new(swap_debt, false),
                    AccountMeta::new(key(81), false),
                ],
                input: 0,
                amount_in_offset: None,
                data: Vec::new(),
            };
            route.legs = programs.iter().map(leg).collect();
            route.pay_directly(&key(12));
            assert_eq!(route.swap_debt, (!direct).then_some(swap_debt));
            let paid = if direct { key(12) } else { swap_debt };
            for leg in &route.legs {
                assert_eq!(leg.accounts[0], AccountMeta::new(paid, false));
                assert_eq!(leg.accounts[1], AccountMeta::new(key(81), false));
            }
        }
    }

    #[test]
    fn a_sweep_names_groups_of_four() {
        let swept = [50, 52].map(|mint| Swept::associated(&key(10), &key(mint), &key(mint + 1)));
        let built = sweep(&key(10), &swept);
        let (authority, bump) = swap_authority(&key(10));
        let named =
            flash_liquidator::accounts::Sweep { keeper: key(10), swap_authority: authority }
                .to_account_metas(None);
        assert_eq!(built.accounts[..2], named);
        assert_eq!(built.accounts.len(), 2 + 2 * 4);
        assert_eq!(
            built.accounts[6..],
            [
                AccountMeta::new(swept[1].swap_account, false),
                AccountMeta::new(swept[1].keeper_account, false),
                AccountMeta::new_readonly(key(52), false),
                AccountMeta::new_readonly(key(53), false),
            ]
        );
        let data = [flash_liquidator::instruction::Sweep::DISCRIMINATOR, &[bump]].concat();
        assert_eq!(built.data, data);
    }

    #[test]
    fn klends_own_instruction_is_the_beginning_of_ours() {
        let (repay, withdraw) = (reserve(20), reserve(40));
        let accounts = LiquidateAccounts { permissioner: None, ..accounts(&repay, &withdraw, &[]) };
        let theirs = klend::liquidate_v2(&accounts, 1, 2).accounts;
        let ours = liquidate(
            &accounts,
            &key(90),
            FlashIndexes { borrow: 0, repay: 3 },
            &Terms::default(),
            None,
        )
        .unwrap()
        .accounts;
        assert_eq!(theirs.len(), 25);
        assert_eq!(ours[..25], theirs);
        assert_eq!(ours.len(), NAMED_ACCOUNTS);
        let absent = AccountMeta::new_readonly(PROGRAM_ID, false);
        assert_eq!(ours[28..], [absent.clone(), absent]);
    }

    #[test]
    fn what_does_not_fit_a_byte_is_refused() {
        let (repay, withdraw) = (reserve(20), reserve(40));
        let accounts = accounts(&repay, &withdraw, &[]);
        let mut route = Route::new(&key(10), &withdraw, &repay);
        route.legs.push(SwapLeg {
            program: key(80),
            accounts: vec![AccountMeta::new(key(81), false); 255],
            input: 0,
            amount_in_offset: None,
            data: Vec::new(),
        });
        let flash = FlashIndexes { borrow: 0, repay: 3 };
        let build =
            |route: &Route| liquidate(&accounts, &key(90), flash, &Terms::default(), Some(route));
        assert_eq!(
            build(&route).unwrap_err(),
            BuildError::TooMany { what: "accounts of a swap leg", count: 256, limit: 255 }
        );
        route.legs[0].accounts.pop();
        assert_eq!(build(&route).unwrap().accounts.len(), 30 + 1 + 255);
    }
}
