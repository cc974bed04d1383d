//! A liquidation from its first check to its event, in the order of execution. It is longer
//! than other files here so that an auditor reads it once, from top to bottom.

use std::io::Read;

use anchor_lang::{
    prelude::*,
    solana_program::{
        instruction::{AccountMeta, Instruction},
        program::invoke_unchecked,
    },
};

use super::{deserialize_with, require_before_deadline};
use crate::{
    account_list::AccountList,
    checks::{
        fail, require, require_at_least, require_equal, require_key, require_profit, require_signer,
    },
    errors::{FlashLiquidatorError, Result},
    events::Liquidated,
    introspection::{ExpectedLoan, verify_flash_loan},
    klend,
    reader::Reader,
    stages,
    swap::{ACCOUNTS_PER_INTERMEDIATE, RouteToken, Swap, verify_authority},
    token,
};

/// Whether the keeper accepts cTokens where klend could not redeem them.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Redemption {
    /// Fail unless every seized cToken was redeemed.
    #[default]
    RequireFull,
    /// Leave unredeemed cTokens in the keeper's cToken account and report them.
    AllowPartial,
}

/// One call of a swap program.
#[derive(AnchorSerialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct SwapLeg {
    /// How many remaining accounts belong to this leg, the swap program first.
    pub account_count: u8,
    /// Whose balance `amount_in_offset` is filled with: 0 is the collateral, `n`
    /// the n-th intermediate.
    pub input: u8,
    /// Where in `data` to write the input that is really there, as a u64 in
    /// little-endian, just before the call. `None` leaves `data` as it is.
    pub amount_in_offset: Option<u16>,
    /// Instruction data of the swap program.
    pub data: Vec<u8>,
}

impl SwapLeg {
    fn read(reader: &mut Reader) -> Option<Self> {
        Some(Self {
            account_count: reader.u8()?,
            input: reader.u8()?,
            amount_in_offset: reader.option(Reader::u16)?,
            data: reader.byte_list()?,
        })
    }
}

/// Arguments of `liquidate`, encoded with borsh; trailing bytes are an error.
#[derive(AnchorSerialize, Clone, Debug, PartialEq, Eq)]
pub struct LiquidateArgs {
    /// Most debt to repay, debt units; `u64::MAX` for as much as the flash loan
    /// and klend allow.
    pub repay_amount: u64,
    /// Least collateral that must arrive after klend's protocol fee, collateral units.
    pub min_collateral_received: u64,
    /// Least profit after loan and fee, debt units. A negative value is the
    /// keeper's consent to lose up to that much.
    pub min_profit: i64,
    /// Last slot in which this may execute; 0 for none.
    pub deadline_slot: u64,
    /// Index of klend's flash borrow in this transaction.
    pub flash_borrow_index: u8,
    /// Index of klend's flash repay in this transaction.
    pub flash_repay_index: u8,
    /// What to do about collateral that klend cannot redeem.
    pub redemption: Redemption,
    /// How many remaining accounts are the obligation's deposit reserves: all
    /// active ones when it is in an elevation group, else none.
    pub deposit_reserve_count: u8,
    /// Whether the remaining account after them is the market's permissioning
    /// authority, which signs; klend is handed its signature where it wants that for
    /// this liquidation, else the account is passed over.
    pub has_permissioner: bool,
    /// How many intermediate tokens the route passes through.
    pub intermediate_count: u8,
    /// Bump of the keeper's swap authority; unused without legs.
    pub swap_authority_bump: u8,
    /// Calls that turn the collateral into the debt token, in order.
    pub legs: Vec<SwapLeg>,
}

impl LiquidateArgs {
    pub(crate) fn read(reader: &mut Reader) -> Option<Self> {
        Some(Self {
            repay_amount: reader.u64()?,
            min_collateral_received: reader.u64()?,
            min_profit: reader.i64()?,
            deadline_slot: reader.u64()?,
            flash_borrow_index: reader.u8()?,
            flash_repay_index: reader.u8()?,
            redemption: match reader.u8()? {
                0 => Redemption::RequireFull,
                1 => Redemption::AllowPartial,
                _ => return None,
            },
            deposit_reserve_count: reader.u8()?,
            has_permissioner: reader.bool()?,
            intermediate_count: reader.u8()?,
            swap_authority_bump: reader.u8()?,
            legs: reader.list(SwapLeg::read)?,
        })
    }
}

impl AnchorDeserialize for LiquidateArgs {
    fn deserialize_reader<R: Read>(reader: &mut R) -> std::io::Result<Self> {
        deserialize_with(reader, Self::read)
    }
}

/// Accounts of `liquidate`: the keeper, klend's 25 accounts of liquidate v2 in
/// klend's order (the keeper is the first of them), then this program's own.
///
/// Remaining accounts, in this order: the deposit reserves of an obligation in
/// an elevation group (writable), the permissioner if there is one (signer),
/// [`ACCOUNTS_PER_INTERMEDIATE`] accounts for each intermediate token, and the accounts
/// of each leg, its program first.
///
/// klend checks what it is given: that market, reserves, vaults, mints, oracles,
/// farms and token programs belong together and that the obligation may be
/// liquidated. It does not check who owns the three user token accounts, so this
/// program does. An account may appear twice where it has two roles: reserve and vault
/// when debt and collateral are of one reserve, the keeper's account when the mints are
/// the same.
#[derive(Accounts)]
pub struct Liquidate<'info> {
    /// CHECK: here.
    /// Liquidator, owner of the user token accounts, and borrower of the flash loan.
    #[account(signer)]
    pub keeper: UncheckedAccount<'info>,

    /// CHECK: klend.
    /// Obligation to liquidate.
    #[account(mut)]
    pub obligation: UncheckedAccount<'info>,
    /// CHECK: klend.
    /// Market of the obligation.
    pub lending_market: UncheckedAccount<'info>,
    /// CHECK: klend.
    /// PDA of klend that owns the vaults.
    pub lending_market_authority: UncheckedAccount<'info>,
    /// CHECK: klend.
    /// Reserve of the debt.
    #[account(mut)]
    pub repay_reserve: UncheckedAccount<'info>,
    /// CHECK: klend.
    /// Mint of the debt.
    pub debt_mint: UncheckedAccount<'info>,
    /// CHECK: klend.
    /// Liquidity vault of the repay reserve.
    #[account(mut)]
    pub repay_reserve_liquidity_supply: UncheckedAccount<'info>,
    /// CHECK: klend.
    /// Reserve of the collateral.
    #[account(mut)]
    pub withdraw_reserve: UncheckedAccount<'info>,
    /// CHECK: klend.
    /// Mint of the collateral.
    pub collateral_mint: UncheckedAccount<'info>,
    /// CHECK: klend.
    /// cToken mint of the withdraw reserve.
    #[account(mut)]
    pub ctoken_mint: UncheckedAccount<'info>,
    /// CHECK: klend.
    /// Vault that holds the obligation's cTokens.
    #[account(mut)]
    pub withdraw_reserve_collateral_supply: UncheckedAccount<'info>,
    /// CHECK: klend.
    /// Liquidity vault of the withdraw reserve.
    #[account(mut)]
    pub withdraw_reserve_liquidity_supply: UncheckedAccount<'info>,
    /// CHECK: klend.
    /// Where the protocol fee of the liquidation goes.
    #[account(mut)]
    pub withdraw_reserve_fee_vault: UncheckedAccount<'info>,
    /// CHECK: here.
    /// The keeper's account of the debt mint: the flash loan arrives here, the
    /// debt is paid from here, the profit ends up here.
    #[account(mut)]
    pub keeper_debt: UncheckedAccount<'info>,
    /// CHECK: here.
    /// The keeper's cToken account.
    #[account(mut)]
    pub keeper_ctoken: UncheckedAccount<'info>,
    /// CHECK: here.
    /// The keeper's account of the collateral mint; the same as `keeper_debt`
    /// when the mints are the same.
    #[account(mut)]
    pub keeper_collateral: UncheckedAccount<'info>,
    /// CHECK: here and klend.
    /// SPL Token.
    pub ctoken_token_program: UncheckedAccount<'info>,
    /// CHECK: here and klend.
    /// SPL Token or Token-2022.
    pub debt_token_program: UncheckedAccount<'info>,
    /// CHECK: here and klend.
    /// SPL Token or Token-2022.
    pub collateral_token_program: UncheckedAccount<'info>,
    /// CHECK: the address.
    /// Instructions sysvar.
    #[account(
        address = solana_sdk_ids::sysvar::instructions::ID
            @ FlashLiquidatorError::InstructionsSysvarMalformed
    )]
    pub instructions_sysvar: UncheckedAccount<'info>,
    /// CHECK: klend.
    /// The obligation's user state in the collateral farm (writable), or klend's id.
    pub collateral_farm_user_state: UncheckedAccount<'info>,
    /// CHECK: klend.
    /// The withdraw reserve's collateral farm (writable), or klend's id.
    pub collateral_farm_state: UncheckedAccount<'info>,
    /// CHECK: klend.
    /// The obligation's user state in the debt farm (writable), or klend's id.
    pub debt_farm_user_state: UncheckedAccount<'info>,
    /// CHECK: klend.
    /// The repay reserve's debt farm (writable), or klend's id.
    pub debt_farm_state: UncheckedAccount<'info>,
    /// CHECK: klend.
    /// Farms program.
    pub farms_program: UncheckedAccount<'info>,

    /// CHECK: the address.
    /// klend.
    #[account(address = klend::PROGRAM_ID @ FlashLiquidatorError::WrongKlendProgram)]
    pub klend_program: UncheckedAccount<'info>,
    /// CHECK: here.
    /// Reserve that lends the flash loan; may be of another market.
    pub flash_reserve: UncheckedAccount<'info>,
    /// CHECK: here, when there are legs.
    /// PDA `["swap_authority", keeper]`.
    pub swap_authority: UncheckedAccount<'info>,
    /// CHECK: here.
    /// The swap authority's account of the collateral mint; needed with legs.
    #[account(mut)]
    pub swap_collateral: Option<UncheckedAccount<'info>>,
    /// CHECK: here.
    /// The swap authority's account of the debt mint; `None` when the last leg
    /// pays `keeper_debt` itself.
    #[account(mut)]
    pub swap_debt: Option<UncheckedAccount<'info>>,
}

/// The accounts of `liquidate` that are not named, each where it belongs, and the parts
/// of the whole list that calls are handed.
struct Parts<'info> {
    /// Deposit reserves that klend wants behind its own accounts.
    deposit_reserves: &'info [AccountInfo<'info>],
    /// The market's permissioning authority, if the arguments announce it.
    permissioner: Option<&'info AccountInfo<'info>>,
    /// All accounts up to here: those of klend's call are among them.
    for_klend: &'info [AccountInfo<'info>],
    /// Tokens between collateral and debt.
    intermediates: &'info [[AccountInfo<'info>; ACCOUNTS_PER_INTERMEDIATE]],
    /// All accounts up to here: those of every token transfer are among them.
    for_transfers: &'info [AccountInfo<'info>],
    /// Accounts of the legs, one after the other.
    legs: &'info [AccountInfo<'info>],
}

impl<'info> Parts<'info> {
    /// Cuts up what follows the named accounts.
    fn cut(mut accounts: AccountList<'info>, args: &LiquidateArgs) -> Result<Self> {
        let deposit_reserves = accounts.several(args.deposit_reserve_count.into())?;
        let permissioner = accounts.several(args.has_permissioner.into())?.first();
        let for_klend = accounts.taken();
        let intermediates = accounts.groups(args.intermediate_count.into())?;
        let for_transfers = accounts.taken();
        let legs = accounts.remaining();
        require(
            legs.is_empty() || !args.legs.is_empty(),
            FlashLiquidatorError::RemainingAccountsUnused,
        )?;
        Ok(Self { deposit_reserves, permissioner, for_klend, intermediates, for_transfers, legs })
    }
}

/// Units in the keeper's accounts at one moment, and what klend's fee vault holds.
struct Balances {
    debt: u64,
    ctoken: u64,
    collateral: u64,
    fee_vault: u64,
}

/// What klend's liquidation moved, raw units.
struct Seizure {
    debt_repaid: u64,
    collateral_received: u64,
    protocol_fee: u64,
    ctokens_received: u64,
}

impl<'info> Liquidate<'info> {
    /// Takes the accounts that are named from `accounts`.
    ///
    /// # Errors
    /// `AccountNotEnoughKeys`, `AccountNotSigner`, `ConstraintMut`,
    /// `InstructionsSysvarMalformed`, `WrongKlendProgram`.
    pub fn take(accounts: &mut AccountList<'info>) -> Result<Self> {
        let taken = Self {
            keeper: accounts.signer("keeper")?,
            obligation: accounts.writable("obligation")?,
            lending_market: accounts.any("lending_market")?,
            lending_market_authority: accounts.any("lending_market_authority")?,
            repay_reserve: accounts.writable("repay_reserve")?,
            debt_mint: accounts.any("debt_mint")?,
            repay_reserve_liquidity_supply: accounts.writable("repay_reserve_liquidity_supply")?,
            withdraw_reserve: accounts.writable("withdraw_reserve")?,
            collateral_mint: accounts.any("collateral_mint")?,
            ctoken_mint: accounts.writable("ctoken_mint")?,
            withdraw_reserve_collateral_supply: accounts
                .writable("withdraw_reserve_collateral_supply")?,
            withdraw_reserve_liquidity_supply: accounts
                .writable("withdraw_reserve_liquidity_supply")?,
            withdraw_reserve_fee_vault: accounts.writable("withdraw_reserve_fee_vault")?,
            keeper_debt: accounts.writable("keeper_debt")?,
            keeper_ctoken: accounts.writable("keeper_ctoken")?,
            keeper_collateral: accounts.writable("keeper_collateral")?,
            ctoken_token_program: accounts.any("ctoken_token_program")?,
            debt_token_program: accounts.any("debt_token_program")?,
            collateral_token_program: accounts.any("collateral_token_program")?,
            instructions_sysvar: accounts.any("instructions_sysvar")?,
            collateral_farm_user_state: accounts.any("collateral_farm_user_state")?,
            collateral_farm_state: accounts.any("collateral_farm_state")?,
            debt_farm_user_state: accounts.any("debt_farm_user_state")?,
            debt_farm_state: accounts.any("debt_farm_state")?,
            farms_program: accounts.any("farms_program")?,
            klend_program: accounts.any("klend_program")?,
            flash_reserve: accounts.any("flash_reserve")?,
            swap_authority: accounts.any("swap_authority")?,
            swap_collateral: accounts.optional_writable("swap_collateral")?,
            swap_debt: accounts.optional_writable("swap_debt")?,
        };
        require_key(
            taken.instructions_sysvar.key,
            &solana_sdk_ids::sysvar::instructions::ID,
            FlashLiquidatorError::InstructionsSysvarMalformed,
        )?;
        require_key(
            taken.klend_program.key,
            &klend::PROGRAM_ID,
            FlashLiquidatorError::WrongKlendProgram,
        )?;
        Ok(taken)
    }

    /// See [`crate::flash_liquidator::liquidate`].
    pub fn process(&self, args: LiquidateArgs, accounts: AccountList<'info>) -> Result<()> {
        let parts = Parts::cut(accounts, &args)?;
        stages::end_of("entry");

        // Checks.
        require_before_deadline(args.deadline_slot)?;
        let principal = verify_flash_loan(
            &self.instructions_sysvar.try_borrow_data()?,
            args.flash_borrow_index,
            args.flash_repay_index,
            &ExpectedLoan {
                keeper: self.keeper.key,
                flash_reserve: self.flash_reserve.key,
                mint: self.debt_mint.key,
                token_account: self.keeper_debt.key,
            },
        )?;
        stages::end_of("flash loan");
        let repay_cap = repay_cap(args.repay_amount, principal)?;
        let permissioner = self.permissioner_for_klend(parts.permissioner)?;
        let same_mint = self.debt_mint.key == self.collateral_mint.key;
        require(
            !same_mint
                || (self.keeper_debt.key == self.keeper_collateral.key && args.legs.is_empty()),
            FlashLiquidatorError::SameMintNeedsOneAccount,
        )?;
        stages::end_of("terms and klend state");

        // Numbers before.
        let before = self.balances()?;
        let owed_before = self.repay_reserve_debt_sf()?;
        stages::end_of("balances before");

        // Liquidate.
        liquidate_in_klend(repay_cap, parts.for_klend, parts.deposit_reserves, permissioner)?;
        stages::end_of("call of klend");

        // Numbers after, and what they mean.
        let seized = self.balances()?;
        let seizure = self.seizure(&before, &seized, owed_before, same_mint)?;
        if args.redemption == Redemption::RequireFull {
            require_equal(seizure.ctokens_received, 0, FlashLiquidatorError::RedemptionIncomplete)?;
        }
        require_at_least(
            seizure.collateral_received,
            args.min_collateral_received,
            FlashLiquidatorError::CollateralBelowMinimum,
        )?;

        stages::end_of("balances after");

        // Swap.
        let collateral_sold = if args.legs.is_empty() {
            0
        } else {
            let received = seizure.collateral_received;
            let unsold = self.sell(received, args.swap_authority_bump, args.legs, &parts)?;
            received.saturating_sub(unsold)
        };

        // Profit. The fee is the one that stands now, after foreign code ran.
        let flash_fee = klend::flash_loan_fee_of(&self.flash_reserve, principal)?;
        let end_debt = self.debt_expected().units(&self.keeper_debt)?;
        let profit = require_profit(before.debt, end_debt, flash_fee, args.min_profit)?;

        stages::end_of("profit");

        Liquidated {
            keeper: *self.keeper.key,
            obligation: *self.obligation.key,
            lending_market: *self.lending_market.key,
            repay_reserve: *self.repay_reserve.key,
            withdraw_reserve: *self.withdraw_reserve.key,
            flash_reserve: *self.flash_reserve.key,
            debt_mint: *self.debt_mint.key,
            collateral_mint: *self.collateral_mint.key,
            flash_loan: principal,
            flash_fee,
            debt_repaid: seizure.debt_repaid,
            collateral_received: seizure.collateral_received,
            protocol_fee: seizure.protocol_fee,
            ctokens_received: seizure.ctokens_received,
            collateral_sold,
            swap_proceeds: end_debt.saturating_sub(seized.debt),
            profit,
            min_profit: args.min_profit,
        }
        .log();
        stages::end_of("event");
        Ok(())
    }

    fn debt_expected(&self) -> token::Expected<'_> {
        token::Expected {
            token_program: self.debt_token_program.key,
            mint: self.debt_mint.key,
            owner: self.keeper.key,
        }
    }

    /// The permissioner whose signature klend is handed: none where it wants none.
    fn permissioner_for_klend<'a>(
        &self,
        given: Option<&'a AccountInfo<'info>>,
    ) -> Result<Option<&'a AccountInfo<'info>>> {
        let wanted =
            klend::permissioner(&self.lending_market, &self.repay_reserve, &self.withdraw_reserve)?;
        let Some(wanted) = wanted else { return Ok(None) };
        let permissioner =
            given.ok_or_else(|| fail(FlashLiquidatorError::LiquidationPermissioned))?;
        require_key(permissioner.key, &wanted, FlashLiquidatorError::LiquidationPermissioned)?;
        require_signer(permissioner, "permissioner")?;
        Ok(Some(permissioner))
    }

    /// Units in the keeper's three accounts, checked to be the keeper's, and in the
    /// fee vault, which klend identifies.
    fn balances(&self) -> Result<Balances> {
        let keeper = self.keeper.key;
        Ok(Balances {
            debt: self.debt_expected().units(&self.keeper_debt)?,
            ctoken: token::Expected {
                token_program: self.ctoken_token_program.key,
                mint: self.ctoken_mint.key,
                owner: keeper,
            }
            .units(&self.keeper_ctoken)?,
            collateral: token::Expected {
                token_program: self.collateral_token_program.key,
                mint: self.collateral_mint.key,
                owner: keeper,
            }
            .units(&self.keeper_collateral)?,
            fee_vault: token::unchecked_amount(&self.withdraw_reserve_fee_vault)?,
        })
    }

    /// Total debt on the repay reserve's books, U68F60.
    fn repay_reserve_debt_sf(&self) -> Result<u128> {
        klend::u128_at(
            &klend::reserve_data(&self.repay_reserve)?,
            klend::offset::RESERVE_BORROWED_AMOUNT_SF,
        )
    }

    /// What the liquidation moved, from the balances around it. Numbers that do not add
    /// up become zero: what the terms hold against them decides, and nothing else does.
    fn seizure(
        &self,
        before: &Balances,
        after: &Balances,
        owed_before: u128,
        same_mint: bool,
    ) -> Result<Seizure> {
        let (debt_repaid, collateral_received) = if same_mint {
            // One account paid and received, and its balance shows only the sum.
            // klend takes the settled debt off its books exactly and rounds the
            // payment up to whole units.
            let settled = owed_before.saturating_sub(self.repay_reserve_debt_sf()?);
            let repaid =
                u64::try_from(settled.div_ceil(1 << klend::FRACTION_BITS)).unwrap_or(u64::MAX);
            (repaid, after.debt.saturating_add(repaid).saturating_sub(before.debt))
        } else {
            (
                before.debt.saturating_sub(after.debt),
                after.collateral.saturating_sub(before.collateral),
            )
        };
        Ok(Seizure {
            debt_repaid,
            collateral_received,
            protocol_fee: after.fee_vault.saturating_sub(before.fee_vault),
            ctokens_received: after.ctoken.saturating_sub(before.ctoken),
        })
    }

    /// Sells `collateral` units; returns those that came back unsold.
    #[expect(clippy::arithmetic_side_effects, reason = "small counts")]
    fn sell(
        &self,
        collateral: u64,
        authority_bump: u8,
        legs: Vec<SwapLeg>,
        parts: &Parts<'info>,
    ) -> Result<u64> {
        let (authority, keeper) = (self.swap_authority.key, self.keeper.key);
        verify_authority(authority, keeper, authority_bump)?;
        let swap_collateral = self
            .swap_collateral
            .as_ref()
            .ok_or_else(|| fail(FlashLiquidatorError::SwapCollateralMissing))?;

        let input_count = 1 + parts.intermediates.len();
        let mut tokens = Vec::with_capacity(input_count + 1);
        tokens.push(RouteToken::check_and_note(
            swap_collateral.as_ref(),
            self.keeper_collateral.as_ref(),
            self.collateral_mint.as_ref(),
            self.collateral_token_program.as_ref(),
            authority,
        )?);
        for [swap_account, keeper_account, mint, token_program] in parts.intermediates {
            token::Expected { token_program: token_program.key, mint: mint.key, owner: keeper }
                .units(keeper_account)?;
            tokens.push(RouteToken::check_and_note(
                swap_account,
                keeper_account,
                mint,
                token_program,
                authority,
            )?);
        }
        if let Some(swap_debt) = &self.swap_debt {
            tokens.push(RouteToken::check_and_note(
                swap_debt.as_ref(),
                self.keeper_debt.as_ref(),
                self.debt_mint.as_ref(),
                self.debt_token_program.as_ref(),
                authority,
            )?);
        }
        stages::end_of("swap: accounts");
        Swap {
            infos: parts.for_transfers,
            authority: self.swap_authority.as_ref(),
            keeper: self.keeper.as_ref(),
            authority_bump,
            tokens,
            input_count,
            untouchable: self.swap_debt.is_some().then_some(self.keeper_debt.as_ref()),
        }
        .execute(collateral, legs, parts.legs)
    }
}

/// klend's liquidate v2. `accounts` begins with klend's, the keeper as liquidator the
/// first of them. It signs, and so does the permissioner where klend wants one, behind
/// all others; no other account is marked as a signer.
#[expect(clippy::arithmetic_side_effects, reason = "a transaction has few accounts")]
fn liquidate_in_klend(
    repay_cap: u64,
    accounts: &[AccountInfo],
    deposit_reserves: &[AccountInfo],
    permissioner: Option<&AccountInfo>,
) -> Result<()> {
    let mut metas = Vec::with_capacity(klend::LIQUIDATE_V2_ACCOUNTS + deposit_reserves.len() + 1);
    metas.extend(accounts.iter().zip(klend::LIQUIDATE_V2_WRITABLE).enumerate().map(
        |(position, (account, is_writable))| AccountMeta {
            pubkey: *account.key,
            is_signer: position == 0,
            // An optional account that is absent is klend's own id, never writable.
            is_writable: is_writable && *account.key != klend::PROGRAM_ID,
        },
    ));
    metas.extend(deposit_reserves.iter().map(|account| AccountMeta::new(*account.key, false)));
    metas.extend(permissioner.map(|account| AccountMeta::new_readonly(*account.key, true)));

    let mut data = Vec::with_capacity(32);
    data.extend_from_slice(&klend::LIQUIDATE_V2_DISCRIMINATOR);
    data.extend_from_slice(&repay_cap.to_le_bytes());
    // min_acceptable_received_liquidity_amount: klend may compare it with a
    // theoretical value; what arrived is measured here instead.
    data.extend_from_slice(&0u64.to_le_bytes());
    // max_allowed_ltv_override_percent: staging only, and never for us.
    data.extend_from_slice(&0u64.to_le_bytes());

    // Unchecked: no account data is borrowed here.
    invoke_unchecked(
        &Instruction { program_id: klend::PROGRAM_ID, accounts: metas, data },
        accounts,
    )
}

/// Most debt klend may take: the keeper's cap, never more than the loan.
fn repay_cap(repay_amount: u64, principal: u64) -> Result<u64> {
    require(repay_amount != 0, FlashLiquidatorError::RepayAmountZero)?;
    if repay_amount == u64::MAX {
        return Ok(principal);
    }
    require_at_least(principal, repay_amount, FlashLiquidatorError::RepayAmountExceedsLoan)?;
    Ok(repay_amount)
}
