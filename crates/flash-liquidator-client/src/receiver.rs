//! This project's on-chain program: `liquidate` and what goes with it.

use anchor_lang::InstructionData;
pub use flash_liquidator::{
    ID as PROGRAM_ID, LiquidateArgs, Liquidated, Redemption,
    swap::{ACCOUNTS_PER_INTERMEDIATE, SWAP_AUTHORITY_SEED},
};
use solana_address::Address;
use solana_instruction::{AccountMeta, Instruction};

use crate::{
    klend::{self, LiquidateAccounts, ReserveAddresses},
    token::associated_token_account,
};

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
}

/// A keeper's swap authority and the bump of its address: the PDA
/// `["swap_authority", keeper]` that signs swap legs in the keeper's stead.
#[must_use]
pub fn swap_authority(keeper: &Address) -> (Address, u8) {
    Address::find_program_address(&[SWAP_AUTHORITY_SEED, keeper.as_ref()], &PROGRAM_ID)
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

/// One call of a swap program, signed by the swap authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwapLeg {
    /// Program to call.
    pub program: Address,
    /// Its accounts. Signer flags are dropped: on chain the swap authority
    /// signs wherever it appears, and nobody else does.
    pub accounts: Vec<AccountMeta>,
    /// Whose balance fills `amount_in_offset`: 0 is the collateral, `n` the n-th
    /// intermediate.
    pub input: u8,
    /// Where in `data` the program writes the input that is really there, as a
    /// little-endian u64. `None` leaves `data` as it is.
    pub amount_in_offset: Option<u16>,
    /// Instruction data.
    pub data: Vec<u8>,
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
    /// pays the keeper's debt account itself.
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

    // klend's own list is the beginning of ours, the deposit reserves apart.
    let mut metas = klend::liquidate_v2(
        &LiquidateAccounts { deposit_reserves: &[], ..*accounts },
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
