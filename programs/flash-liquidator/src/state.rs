use anchor_lang::{
    prelude::*,
    solana_program::{
        instruction::{AccountMeta, Instruction},
        program::invoke_signed_unchecked,
        system_program,
    },
};

use crate::{
    checks::{fail, require, require_key},
    errors::{FlashLiquidatorError, Result},
    reader::Reader,
    token::Nature,
};

/// Seed of a keeper's bracket: `["bracket", keeper]`.
pub const BRACKET_SEED: &[u8] = b"bracket";

/// Most token accounts a bracket guards besides the debt account.
pub const MAX_GUARDS: usize = 8;

/// What `open` saw, for `settle` to compare with. Lives inside one transaction:
/// `open` creates it only where a `settle` that closes it follows.
#[account]
#[derive(Debug, PartialEq, Eq)]
pub struct Bracket {
    /// Signer that opened and alone can settle; gets the rent back.
    pub keeper: Pubkey,
    /// Index of the `settle` instruction in the transaction.
    pub settle_index: u8,
    /// Index of klend's flash borrow.
    pub flash_borrow_index: u8,
    /// Index of klend's flash repay.
    pub flash_repay_index: u8,
    /// Least change of the debt account beyond the flash fee, debt units.
    pub min_profit: i64,
    /// Units in the debt account, loan included.
    pub debt_balance: u64,
    /// What the debt account was.
    pub debt_nature: Nature,
    /// Least lamports the keeper must have when the bracket is settled.
    pub min_lamports: u64,
    /// The other guarded token accounts, in the order of the remaining accounts.
    pub guards: Vec<Guard>,
}

/// A token account a bracket watches.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// Mint of the account.
    pub mint: Pubkey,
    /// Least raw units in it when it is settled.
    pub min_balance: u64,
    /// What it was.
    pub nature: Nature,
}

impl Bracket {
    /// The account's data: discriminator, then this in borsh.
    #[expect(
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
        reason = "at most `MAX_GUARDS` guards, of accounts of at most 10 MB"
    )]
    fn encode(&self) -> Vec<u8> {
        // Room for natures without extensions; others make it grow.
        let mut data =
            Vec::with_capacity(size_of::<Self>() + self.guards.len() * size_of::<Guard>());
        let append_nature = |data: &mut Vec<u8>, nature: &Nature| {
            data.extend_from_slice(&nature.native);
            data.extend_from_slice(&(nature.extensions.len() as u32).to_le_bytes());
            data.extend_from_slice(&nature.extensions);
        };
        data.extend_from_slice(Self::DISCRIMINATOR);
        data.extend_from_slice(self.keeper.as_array());
        data.extend_from_slice(&[
            self.settle_index,
            self.flash_borrow_index,
            self.flash_repay_index,
        ]);
        data.extend_from_slice(&self.min_profit.to_le_bytes());
        data.extend_from_slice(&self.debt_balance.to_le_bytes());
        append_nature(&mut data, &self.debt_nature);
        data.extend_from_slice(&self.min_lamports.to_le_bytes());
        data.extend_from_slice(&(self.guards.len() as u32).to_le_bytes());
        for guard in &self.guards {
            data.extend_from_slice(guard.mint.as_array());
            data.extend_from_slice(&guard.min_balance.to_le_bytes());
            append_nature(&mut data, &guard.nature);
        }
        data
    }

    /// The reverse of [`Self::encode`].
    fn decode(data: &[u8]) -> Option<Self> {
        let read_nature = |reader: &mut Reader| {
            Some(Nature { native: reader.array()?, extensions: reader.byte_list()? })
        };
        Reader::read_all(data.strip_prefix(Self::DISCRIMINATOR)?, |reader| {
            Some(Self {
                keeper: reader.array()?.into(),
                settle_index: reader.u8()?,
                flash_borrow_index: reader.u8()?,
                flash_repay_index: reader.u8()?,
                min_profit: reader.i64()?,
                debt_balance: reader.u64()?,
                debt_nature: read_nature(reader)?,
                min_lamports: reader.u64()?,
                guards: reader.list(|reader| {
                    Some(Guard {
                        mint: reader.array()?.into(),
                        min_balance: reader.u64()?,
                        nature: read_nature(reader)?,
                    })
                })?,
            })
        })
    }

    /// Creates `account` at the keeper's bracket address and writes this to it.
    /// The keeper pays the rent.
    ///
    /// # Errors
    /// `BracketMismatch` when `account` signs the transaction. The system program's,
    /// when it is not the address that `bump` gives for the keeper, or is in use.
    pub fn create<'info>(
        &self,
        account: &AccountInfo<'info>,
        keeper: &AccountInfo<'info>,
        bump: u8,
    ) -> Result<()> {
        // Otherwise the system program could take the transaction's signature for that
        // of the seeds, and `close` would empty another signer's wallet.
        require(!account.is_signer, FlashLiquidatorError::BracketMismatch)?;
        let seeds: &[&[u8]] = &[BRACKET_SEED, keeper.key.as_ref(), &[bump]];
        let data = self.encode();
        let rent = Rent::get()?.minimum_balance(data.len());
        let missing = rent.saturating_sub(account.lamports());
        // Unchecked: no account data is borrowed here.
        invoke_signed_unchecked(
            &create_account_allow_prefund(account.key, keeper.key, missing, data.len()),
            &[account.clone(), keeper.clone()],
            &[seeds],
        )?;
        account.try_borrow_mut_data()?.copy_from_slice(&data);
        Ok(())
    }

    /// Reads the bracket that `keeper` opened.
    ///
    /// # Errors
    /// `BracketMismatch` when `account` is not a bracket of this program and keeper.
    pub fn read(account: &AccountInfo, keeper: &Pubkey) -> Result<Self> {
        require_key(account.owner, &crate::ID, FlashLiquidatorError::BracketMismatch)?;
        let bracket = Self::decode(&account.try_borrow_data()?)
            .ok_or_else(|| fail(FlashLiquidatorError::BracketMismatch))?;
        require_key(&bracket.keeper, keeper, FlashLiquidatorError::BracketMismatch)?;
        Ok(bracket)
    }

    /// Returns the account's lamports to the keeper and the account to the
    /// system program.
    pub fn close<'info>(account: &AccountInfo<'info>, keeper: &AccountInfo<'info>) -> Result<()> {
        let lamports = keeper
            .lamports()
            .checked_add(account.lamports())
            .ok_or_else(|| fail(FlashLiquidatorError::MathOverflow))?;
        **account.try_borrow_mut_lamports()? = 0;
        **keeper.try_borrow_mut_lamports()? = lamports;
        account.assign(&system_program::ID);
        account.resize(0)
    }
}

/// Instruction number of the system program, u32 in little-endian.
const CREATE_ACCOUNT_ALLOW_PREFUND: u32 = 13;

/// `CreateAccountAllowPrefund` of the system program, for an account of this program.
/// `create_account` refuses an address that somebody sent lamports to, which would let
/// anybody lock a keeper out.
fn create_account_allow_prefund(
    account: &Pubkey,
    payer: &Pubkey,
    lamports: u64,
    space: usize,
) -> Instruction {
    let mut data = Vec::with_capacity(4 + 8 + 8 + 32);
    data.extend_from_slice(&CREATE_ACCOUNT_ALLOW_PREFUND.to_le_bytes());
    data.extend_from_slice(&lamports.to_le_bytes());
    data.extend_from_slice(&(space as u64).to_le_bytes());
    data.extend_from_slice(crate::ID.as_array());
    let accounts = vec![AccountMeta::new(*account, true), AccountMeta::new(*payer, true)];
    Instruction { program_id: system_program::ID, accounts, data }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bracket_is_encoded_as_anchor_does() {
        let guard = |byte| Guard {
            mint: Pubkey::new_from_array([byte; 32]),
            min_balance: 7,
            nature: Nature { native: [byte; 12], extensions: vec![byte; usize::from(byte)] },
        };
        for guards in [vec![], vec![guard(1)], vec![guard(2); MAX_GUARDS]] {
            let bracket = Bracket {
                keeper: Pubkey::new_from_array([9; 32]),
                settle_index: 1,
                flash_borrow_index: 2,
                flash_repay_index: 3,
                min_profit: -4,
                debt_balance: 5,
                debt_nature: Nature { native: [8; 12], extensions: vec![9; 3] },
                min_lamports: 6,
                guards,
            };
            let data = bracket.encode();
            let mut expected = Vec::new();
            bracket.try_serialize(&mut expected).unwrap();
            assert_eq!(data, expected);
            assert_eq!(Bracket::decode(&data), Some(bracket));
            assert_eq!(Bracket::decode(&data[..data.len() - 1]), None);
            assert_eq!(Bracket::decode(&data[1..]), None);
        }
    }

    #[test]
    fn the_system_programs_instruction_is_its_own() {
        let [account, payer] = [1, 2].map(|byte| Pubkey::new_from_array([byte; 32]));
        for lamports in [1, u64::MAX] {
            let theirs = solana_system_interface::instruction::create_account_allow_prefund(
                &account,
                Some((&payer, lamports)),
                77,
                &crate::ID,
            );
            assert_eq!(create_account_allow_prefund(&account, &payer, lamports, 77), theirs);
        }
    }
}
