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
    /// Balance of the debt account, loan included, debt units.
    pub debt_balance: u64,
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
    /// Least balance when it is settled, raw units.
    pub min_balance: u64,
}

impl Bracket {
    /// The account's data: discriminator, then this in borsh.
    #[expect(
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
        reason = "at most `MAX_GUARDS` guards"
    )]
    fn encode(&self) -> Vec<u8> {
        let mut data =
            Vec::with_capacity(size_of::<Self>() + self.guards.len() * size_of::<Guard>());
        data.extend_from_slice(Self::DISCRIMINATOR);
        data.extend_from_slice(self.keeper.as_array());
        data.extend_from_slice(&[
            self.settle_index,
            self.flash_borrow_index,
            self.flash_repay_index,
        ]);
        data.extend_from_slice(&self.min_profit.to_le_bytes());
        data.extend_from_slice(&self.debt_balance.to_le_bytes());
        data.extend_from_slice(&self.min_lamports.to_le_bytes());
        data.extend_from_slice(&(self.guards.len() as u32).to_le_bytes());
        for guard in &self.guards {
            data.extend_from_slice(guard.mint.as_array());
            data.extend_from_slice(&guard.min_balance.to_le_bytes());
        }
        data
    }

    /// The reverse of [`Self::encode`].
    fn decode(data: &[u8]) -> Option<Self> {
        Reader::read_all(data.strip_prefix(Self::DISCRIMINATOR)?, |reader| {
            Some(Self {
                keeper: reader.array()?.into(),
                settle_index: reader.u8()?,
                flash_borrow_index: reader.u8()?,
                flash_repay_index: reader.u8()?,
                min_profit: reader.i64()?,
                debt_balance: reader.u64()?,
                min_lamports: reader.u64()?,
                guards: reader.list(|reader| {
                    Some(Guard { mint: reader.array()?.into(), min_balance: reader.u64()? })
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
        let (space, owner) = ((data.len() as u64).to_le_bytes(), crate::ID.to_bytes());

        let missing = rent.saturating_sub(account.lamports());
        if missing == rent {
            let args: [&[u8]; 3] = [&rent.to_le_bytes(), &space, &owner];
            system_call(SYSTEM_CREATE_ACCOUNT, &args, &[keeper, account], 2, &[seeds])?;
        } else {
            // `create_account` refuses an address that somebody sent lamports to,
            // which would let anybody lock a keeper out.
            let transfer = missing.to_le_bytes();
            system_call(SYSTEM_TRANSFER, &[&transfer], &[keeper, account], 1, &[])?;
            system_call(SYSTEM_ALLOCATE, &[&space], &[account], 1, &[seeds])?;
            system_call(SYSTEM_ASSIGN, &[&owner], &[account], 1, &[seeds])?;
        }

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

// Instruction numbers of the system program, u32 in little-endian.
const SYSTEM_CREATE_ACCOUNT: u32 = 0;
const SYSTEM_ASSIGN: u32 = 1;
const SYSTEM_TRANSFER: u32 = 2;
const SYSTEM_ALLOCATE: u32 = 8;

/// Most bytes of data that a call of the system program here has: number, lamports,
/// space, owner.
const SYSTEM_DATA_LEN: usize = 4 + 8 + 8 + 32;

/// Calls the system program with writable `accounts`, of which the first
/// `signers` sign.
fn system_call<'info>(
    instruction: u32,
    args: &[&[u8]],
    accounts: &[&AccountInfo<'info>],
    signers: usize,
    signer_seeds: &[&[&[u8]]],
) -> Result<()> {
    let mut data = Vec::with_capacity(SYSTEM_DATA_LEN);
    data.extend_from_slice(&instruction.to_le_bytes());
    for arg in args {
        data.extend_from_slice(arg);
    }
    let metas = accounts
        .iter()
        .enumerate()
        .map(|(position, account)| AccountMeta::new(*account.key, position < signers))
        .collect();
    let infos: Vec<_> = accounts.iter().map(|account| (*account).clone()).collect();
    let instruction = Instruction { program_id: system_program::ID, accounts: metas, data };
    // Unchecked: no account data is borrowed here.
    invoke_signed_unchecked(&instruction, &infos, signer_seeds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bracket_is_encoded_as_anchor_does() {
        let guard = |byte| Guard { mint: Pubkey::new_from_array([byte; 32]), min_balance: 7 };
        for guards in [vec![], vec![guard(1)], vec![guard(2); MAX_GUARDS]] {
            let bracket = Bracket {
                keeper: Pubkey::new_from_array([9; 32]),
                settle_index: 1,
                flash_borrow_index: 2,
                flash_repay_index: 3,
                min_profit: -4,
                debt_balance: 5,
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
}
