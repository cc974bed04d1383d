//! Sells collateral through swap programs that are not trusted.
//!
//! A swap program is handed one signature, that of the keeper's swap authority:
//! a PDA whose token accounts hold what this instruction put there and nothing
//! it would miss. The keeper's own signature is never forwarded. After every leg, before
//! anything else happens, each of those accounts is read again as a whole, and at the end
//! they are emptied of this instruction's tokens, so whatever a swap program does can only cost the
//! proceeds, and the profit guard measures those.

use anchor_lang::{
    prelude::*,
    solana_program::{
        instruction::{AccountMeta, Instruction},
        program::invoke_signed_unchecked,
        system_program,
    },
};
use anchor_spl::{associated_token, token::spl_token, token_2022::spl_token_2022};

use crate::{
    SwapLeg,
    checks::{fail, require, require_at_least, require_key, require_plain_wallet},
    errors::{FlashLiquidatorError, Result},
    klend, stages, token,
};

/// Seed of a keeper's swap authority: `["swap_authority", keeper]`.
pub const SWAP_AUTHORITY_SEED: &[u8] = b"swap_authority";

/// Accounts of one intermediate token among the remaining accounts: the swap
/// authority's token account (writable), the keeper's (writable), the mint, the
/// token program.
pub const ACCOUNTS_PER_INTERMEDIATE: usize = 4;

/// Programs that are never called as a swap leg. None of them swaps, and each could do
/// something with a signature: move or re-assign tokens, lamports or programs, or touch
/// the loan. Against mistakes: a program that forwards calls reaches them all the same,
/// and what is read after the legs is what stops that.
const FORBIDDEN_LEG_PROGRAMS: [Pubkey; 11] = [
    crate::ID,
    klend::PROGRAM_ID,
    klend::FARMS_PROGRAM_ID,
    spl_token::ID,
    spl_token_2022::ID,
    associated_token::ID,
    system_program::ID,
    pubkey!("BPFLoader1111111111111111111111111111111111"),
    pubkey!("BPFLoader2111111111111111111111111111111111"),
    pubkey!("BPFLoaderUpgradeab1e11111111111111111111111"),
    pubkey!("LoaderV411111111111111111111111111111111111"),
];

/// One token on the way from collateral to debt: the swap authority's account
/// and the keeper's account that it is emptied into.
pub struct RouteToken<'a, 'info> {
    /// Token account of the swap authority.
    pub swap_account: &'a AccountInfo<'info>,
    /// Token account of the keeper, checked to be that.
    pub keeper_account: &'a AccountInfo<'info>,
    /// Mint of both.
    pub mint: &'a AccountInfo<'info>,
    /// Token program of both.
    pub token_program: &'a AccountInfo<'info>,
    /// What the swap account held and was before this instruction put anything there.
    before: token::Holding,
}

impl<'a, 'info> RouteToken<'a, 'info> {
    /// Checks that the swap account is the swap authority's, of that mint and nobody
    /// else's to move or close, and notes what it already holds.
    pub fn check_and_note(
        swap_account: &'a AccountInfo<'info>,
        keeper_account: &'a AccountInfo<'info>,
        mint: &'a AccountInfo<'info>,
        token_program: &'a AccountInfo<'info>,
        swap_authority: &Pubkey,
    ) -> Result<Self> {
        let expected = token::Expected {
            token_program: token_program.key,
            mint: mint.key,
            owner: swap_authority,
        };
        let before = expected.holding(swap_account)?;
        Ok(Self { swap_account, keeper_account, mint, token_program, before })
    }

    /// Units in the swap account beyond what it held before this instruction, after
    /// checking all that [`Self::check_and_note`] did, and that it is the same account.
    ///
    /// # Errors
    /// `SwapOverspent` when the account holds less than before this instruction.
    #[expect(clippy::arithmetic_side_effects, reason = "compared right before")]
    fn surplus(&self, swap_authority: &Pubkey) -> Result<u64> {
        let expected = token::Expected {
            token_program: self.token_program.key,
            mint: self.mint.key,
            owner: swap_authority,
        };
        let units = self.before.nature.units_now(&expected, self.swap_account)?;
        require_at_least(units, self.before.units, FlashLiquidatorError::SwapOverspent)?;
        Ok(units - self.before.units)
    }
}

/// Fails unless `authority` is the keeper's swap authority.
///
/// Compares with the hash alone, a tenth of the cost of `create_program_address`: the
/// runtime derives the address again before it signs, and refuses one that is on the
/// curve.
pub fn verify_authority(authority: &Pubkey, keeper: &Pubkey, bump: u8) -> Result<()> {
    let seeds = [SWAP_AUTHORITY_SEED, keeper.as_ref()];
    let derived = Pubkey::derive_address(&seeds, Some(bump), &crate::ID);
    require_key(authority, &derived, FlashLiquidatorError::SwapAuthorityMismatch)
}

/// A swap authority with the tokens it may touch.
pub struct Swap<'a, 'info> {
    /// Accounts in front of those of the legs: all that the transfers need.
    pub infos: &'a [AccountInfo<'info>],
    /// PDA that signs the legs.
    pub authority: &'a AccountInfo<'info>,
    /// Keeper the authority belongs to.
    pub keeper: &'a AccountInfo<'info>,
    /// Bump of the authority's address.
    pub authority_bump: u8,
    /// Token 0 is the collateral, then the intermediates, then the debt when the
    /// last leg pays the swap authority instead of the keeper.
    pub tokens: Vec<RouteToken<'a, 'info>>,
    /// The keeper's debt account, where the proceeds go to the swap authority's: the legs
    /// must leave it alone. What others pay into it would look like proceeds.
    pub untouchable: Option<&'a AccountInfo<'info>>,
    /// How many of `tokens` may be a leg's input.
    pub input_count: usize,
}

impl<'a, 'info> Swap<'a, 'info> {
    /// Moves `collateral` units from the keeper to the swap authority, runs the
    /// legs, and brings proceeds and leftovers back to the keeper. Returns the
    /// collateral units that came back unsold.
    ///
    /// `leg_accounts` holds the accounts of all legs, one after the other.
    #[expect(clippy::indexing_slicing, reason = "there is always the collateral")]
    pub fn execute(
        &self,
        collateral: u64,
        legs: Vec<SwapLeg>,
        mut leg_accounts: &[AccountInfo<'info>],
    ) -> Result<u64> {
        let bump = [self.authority_bump];
        let seeds: &[&[u8]] = &[SWAP_AUTHORITY_SEED, self.keeper.key.as_ref(), &bump];
        let signer_seeds = &[seeds];

        let input = &self.tokens[0];
        token::Transfer {
            token_program: input.token_program.key,
            mint: input.mint,
            from: input.keeper_account.key,
            to: input.swap_account.key,
            authority: self.keeper.key,
        }
        .invoke(collateral, self.infos, &[])?;
        let untouched = self.untouchable.map(token::Snapshot::of).transpose()?;
        stages::end_of("swap: collateral in");

        for leg in legs {
            let (accounts, rest) = leg_accounts
                .split_at_checked(usize::from(leg.account_count))
                .ok_or_else(|| fail(FlashLiquidatorError::RemainingAccountsMissing))?;
            leg_accounts = rest;
            self.execute_leg(leg, accounts, signer_seeds)?;
        }
        require(leg_accounts.is_empty(), FlashLiquidatorError::RemainingAccountsUnused)?;
        require_plain_wallet(self.authority)?;
        if let Some((account, untouched)) = self.untouchable.zip(untouched) {
            require(untouched.is_still(account)?, FlashLiquidatorError::DebtAccountChanged)?;
        }

        stages::end_of("swap: legs");

        let mut unsold = 0;
        for (position, token) in self.tokens.iter().enumerate() {
            let surplus = token.surplus(self.authority.key)?;
            if position == 0 {
                unsold = surplus;
            }
            token::Transfer {
                token_program: token.token_program.key,
                mint: token.mint,
                from: token.swap_account.key,
                to: token.keeper_account.key,
                authority: self.authority.key,
            }
            .invoke(surplus, self.infos, signer_seeds)?;
        }
        stages::end_of("swap: proceeds out");
        Ok(unsold)
    }

    #[expect(clippy::indexing_slicing, reason = "`input_count` counts a part of `tokens`")]
    fn execute_leg(
        &self,
        mut leg: SwapLeg,
        accounts: &[AccountInfo<'info>],
        signer_seeds: &[&[&[u8]]],
    ) -> Result<()> {
        let (program, swap_accounts) =
            accounts.split_first().ok_or_else(|| fail(FlashLiquidatorError::LegEmpty))?;
        require(
            !FORBIDDEN_LEG_PROGRAMS.contains(program.key),
            FlashLiquidatorError::LegProgramForbidden,
        )?;
        require(program.executable, FlashLiquidatorError::LegProgramNotExecutable)?;

        // What the leg before this one did is seen before this one runs.
        let mut surpluses = Vec::with_capacity(self.tokens.len());
        for token in &self.tokens {
            surpluses.push(token.surplus(self.authority.key)?);
        }
        if let Some(offset) = leg.amount_in_offset {
            let amount = *surpluses[..self.input_count]
                .get(usize::from(leg.input))
                .ok_or_else(|| fail(FlashLiquidatorError::LegInputUnknown))?;
            require(amount > 0, FlashLiquidatorError::LegInputEmpty)?;
            leg.data
                .get_mut(usize::from(offset)..)
                .and_then(|tail| tail.first_chunk_mut())
                .map(|bytes| *bytes = amount.to_le_bytes())
                .ok_or_else(|| fail(FlashLiquidatorError::LegAmountOffsetOutOfRange))?;
        }

        let metas = swap_accounts
            .iter()
            .map(|account| AccountMeta {
                pubkey: *account.key,
                // The one signature a swap program ever gets.
                is_signer: account.key == self.authority.key,
                is_writable: account.is_writable,
            })
            .collect();
        // Unchecked: no account data is borrowed here.
        invoke_signed_unchecked(
            &Instruction { program_id: *program.key, accounts: metas, data: leg.data },
            accounts,
            signer_seeds,
        )
    }
}
