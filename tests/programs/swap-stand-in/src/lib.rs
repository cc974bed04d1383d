//! A constant-product pool for tests, with hostile variants. Never deployed.
//!
//! Honest by default; the first byte of the instruction data chooses how it
//! misbehaves. The receiver under test must survive every variant.
//!
//! # Accounts of every pool instruction
//! 0. authority that pays the input (signer)
//! 1. pool
//! 2. input token account of the authority (writable)
//! 3. output token account (writable)
//! 4. vault of the input mint (writable)
//! 5. vault of the output mint (writable)
//! 6. input mint
//! 7. output mint
//! 8. token program of the input
//! 9. token program of the output
//! 10. pool authority, PDA `["pool", pool]`, owner of both vaults
//!
//! # Data
//! `variant: u8, amount_in: u64, min_out: u64, parameter: u64`, little-endian;
//! `parameter` may be left out where a variant has none.
//!
//! [`Variant::Forward`] has its own form, see there, and so has [`ROUTE_V2`].

use solana_program::{
    account_info::AccountInfo,
    entrypoint::ProgramResult,
    instruction::{AccountMeta, Instruction},
    program::{invoke, invoke_signed},
    program_error::ProgramError,
    pubkey::Pubkey,
};

solana_program::declare_id!("SwapStandin11111111111111111111111111111111");

#[cfg(not(feature = "no-entrypoint"))]
solana_program::entrypoint!(process_instruction);

/// Seed of the pool authority: `["pool", pool]`.
pub const POOL_AUTHORITY_SEED: &[u8] = b"pool";

/// Offset of `amount_in` in the data of a pool instruction.
pub const AMOUNT_IN_OFFSET: u16 = 1;

/// A pool account, owned by this program: fee in bps, then the authority's bump.
pub const POOL_LEN: usize = 3;

/// Bytes of a pool account.
pub fn pool_data(fee_bps: u16, authority_bump: u8) -> [u8; POOL_LEN] {
    let [low, high] = fee_bps.to_le_bytes();
    [low, high, authority_bump]
}

/// Address and bump of the PDA that owns a pool's vaults.
pub fn pool_authority(pool: &Pubkey) -> (Pubkey, u8) {
    Pubkey::find_program_address(&[POOL_AUTHORITY_SEED, pool.as_ref()], &ID)
}

/// Begins the data of an aggregator's route: then `amount_in: u64, quoted_out: u64,
/// slippage_bps: u16`, two fees of which it takes none, and the number of steps with the
/// first one's first byte. A copy of this program at Jupiter's address carries it out, in a
/// pool of its own that follows Jupiter's own accounts, honestly.
pub const ROUTE_V2: [u8; 8] = [187, 100, 250, 204, 49, 196, 175, 20];
/// Accounts of a route before the pool's.
const ROUTE_ACCOUNTS: usize = 10;
/// Where a route's first step is, behind [`ROUTE_V2`].
const ROUTE_STEP: usize = 8 + 8 + 3 * 2 + 4;
/// A step that calls its own program until the runtime allows no deeper call.
pub const STEP_TOO_DEEP: u8 = 255;

/// How the pool behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Variant {
    /// Sells exactly `amount_in` and pays what the curve says.
    Honest = 0,
    /// Takes `parameter` units more than `amount_in`, or fails trying.
    TakeMore = 1,
    /// Pays `parameter` units less than the curve says and ignores `min_out`.
    ReturnLess = 2,
    /// Takes the input and pays nothing.
    ReturnNothing = 3,
    /// Succeeds without moving a token.
    DoNothing = 4,
    /// Swaps honestly, then approves the pool authority on the input account.
    DelegateInput = 5,
    /// Swaps honestly, then approves the pool authority on the output account.
    DelegateOutput = 6,
    /// Swaps honestly, then makes the pool authority close authority of the output account.
    CloseAuthorityOutput = 7,
    /// Swaps honestly, then gives the output account to the pool authority.
    StealOutput = 8,
    /// Swaps honestly, then gives the input account to the pool authority.
    StealInput = 9,
    /// Swaps honestly, then closes the emptied input account.
    CloseInput = 10,
    /// Sells `parameter` units less than `amount_in` and leaves them behind.
    LeaveDust = 11,
    /// Calls another program. Accounts: the program, then its accounts. Data:
    /// `12, n: u8, n × position of an account to mark as a signer, inner data`.
    Forward = 12,
    /// Swaps honestly, then makes the pool's account `parameter` bytes longer.
    Grow = 13,
}

impl Variant {
    const ALL: [Self; 14] = [
        Self::Honest,
        Self::TakeMore,
        Self::ReturnLess,
        Self::ReturnNothing,
        Self::DoNothing,
        Self::DelegateInput,
        Self::DelegateOutput,
        Self::CloseAuthorityOutput,
        Self::StealOutput,
        Self::StealInput,
        Self::CloseInput,
        Self::LeaveDust,
        Self::Forward,
        Self::Grow,
    ];

    fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|variant| *variant as u8 == byte)
    }
}

/// Data of a pool instruction.
pub fn swap_data(variant: Variant, amount_in: u64, min_out: u64, parameter: u64) -> Vec<u8> {
    let mut data = vec![variant as u8];
    data.extend(amount_in.to_le_bytes());
    data.extend(min_out.to_le_bytes());
    data.extend(parameter.to_le_bytes());
    data
}

/// Data of [`Variant::Forward`].
pub fn forward_data(signer_positions: &[u8], inner: &[u8]) -> Vec<u8> {
    let mut data = vec![Variant::Forward as u8, signer_positions.len() as u8];
    data.extend(signer_positions);
    data.extend(inner);
    data
}

/// Output units of a constant-product pool for `amount_in`, after a fee on the input.
pub fn amount_out(amount_in: u64, reserve_in: u64, reserve_out: u64, fee_bps: u16) -> Option<u64> {
    let kept = u128::from(10_000u16.checked_sub(fee_bps)?);
    let amount_in = u128::from(amount_in) * kept / 10_000;
    let out = amount_in * u128::from(reserve_out) / (u128::from(reserve_in) + amount_in).max(1);
    u64::try_from(out).ok()
}

/// `Custom` error: the output would be below `min_out`.
pub const ERROR_SLIPPAGE: u32 = 1;

/// Entry point.
pub fn process_instruction(
    program: &Pubkey,
    accounts: &[AccountInfo],
    data: &[u8],
) -> ProgramResult {
    let (variant, args) = data.split_first().ok_or(ProgramError::InvalidInstructionData)?;
    match Variant::from_byte(*variant) {
        Some(Variant::Forward) => forward(accounts, args),
        Some(variant) => Pool::new(program, accounts)?.swap(variant, args),
        None => route(program, accounts, data),
    }
}

fn route(program: &Pubkey, accounts: &[AccountInfo], data: &[u8]) -> ProgramResult {
    let args = data.strip_prefix(&ROUTE_V2).ok_or(ProgramError::InvalidInstructionData)?;
    if args.get(ROUTE_STEP) == Some(&STEP_TOO_DEEP) {
        let metas = accounts
            .iter()
            .map(|account| AccountMeta {
                pubkey: *account.key,
                is_signer: account.is_signer,
                is_writable: account.is_writable,
            })
            .collect();
        let deeper = Instruction { program_id: *program, accounts: metas, data: data.to_vec() };
        return invoke(&deeper, accounts);
    }
    let slippage = args.get(16..).and_then(|tail| tail.first_chunk()).copied();
    let slippage = slippage.map_or(0, u16::from_le_bytes);
    let kept = u128::from(10_000u16.saturating_sub(slippage));
    let min_out = u128::from(u64_at(args, 8)?) * kept / 10_000;
    let min_out = u64::try_from(min_out).map_err(|_| ProgramError::ArithmeticOverflow)?;
    let pool = accounts.get(ROUTE_ACCOUNTS..).ok_or(ProgramError::NotEnoughAccountKeys)?;
    let swap = swap_data(Variant::Honest, u64_at(args, 0)?, min_out, 0);
    Pool::new(program, pool)?.swap(Variant::Honest, &swap[1..])
}

fn forward(accounts: &[AccountInfo], args: &[u8]) -> ProgramResult {
    let (count, args) = args.split_first().ok_or(ProgramError::InvalidInstructionData)?;
    let (signers, inner) =
        args.split_at_checked(usize::from(*count)).ok_or(ProgramError::InvalidInstructionData)?;
    let (program, accounts) = accounts.split_first().ok_or(ProgramError::NotEnoughAccountKeys)?;
    let metas = accounts
        .iter()
        .enumerate()
        .map(|(position, account)| AccountMeta {
            pubkey: *account.key,
            is_signer: account.is_signer
                || signers.iter().any(|signer| usize::from(*signer) == position),
            is_writable: account.is_writable,
        })
        .collect();
    let mut infos = accounts.to_vec();
    infos.push(program.clone());
    invoke(&Instruction { program_id: *program.key, accounts: metas, data: inner.to_vec() }, &infos)
}

struct Pool<'a, 'info> {
    authority: &'a AccountInfo<'info>,
    pool: &'a AccountInfo<'info>,
    user_in: &'a AccountInfo<'info>,
    user_out: &'a AccountInfo<'info>,
    vault_in: &'a AccountInfo<'info>,
    vault_out: &'a AccountInfo<'info>,
    mint_in: &'a AccountInfo<'info>,
    mint_out: &'a AccountInfo<'info>,
    program_in: &'a AccountInfo<'info>,
    program_out: &'a AccountInfo<'info>,
    pool_authority: &'a AccountInfo<'info>,
}

impl<'a, 'info> Pool<'a, 'info> {
    fn new(program: &Pubkey, accounts: &'a [AccountInfo<'info>]) -> Result<Self, ProgramError> {
        let [
            authority,
            pool,
            user_in,
            user_out,
            vault_in,
            vault_out,
            mint_in,
            mint_out,
            program_in,
            program_out,
            pool_authority,
            ..,
        ] = accounts
        else {
            return Err(ProgramError::NotEnoughAccountKeys);
        };
        if pool.owner != program {
            return Err(ProgramError::IllegalOwner);
        }
        Ok(Self {
            authority,
            pool,
            user_in,
            user_out,
            vault_in,
            vault_out,
            mint_in,
            mint_out,
            program_in,
            program_out,
            pool_authority,
        })
    }

    fn swap(&self, variant: Variant, args: &[u8]) -> ProgramResult {
        let amount_in = u64_at(args, 0)?;
        let min_out = u64_at(args, 8)?;
        let parameter = u64_at(args, 16).unwrap_or(0);

        let taken = match variant {
            Variant::DoNothing => return Ok(()),
            Variant::TakeMore => amount_in.saturating_add(parameter),
            Variant::LeaveDust => amount_in.saturating_sub(parameter),
            _ => amount_in,
        };
        let [fee_low, fee_high, bump, ..] = **self.pool.try_borrow_data()? else {
            return Err(ProgramError::InvalidAccountData);
        };
        let out = amount_out(
            taken,
            balance(self.vault_in)?,
            balance(self.vault_out)?,
            u16::from_le_bytes([fee_low, fee_high]),
        )
        .ok_or(ProgramError::ArithmeticOverflow)?;
        let paid = match variant {
            Variant::ReturnNothing => 0,
            Variant::ReturnLess => out.saturating_sub(parameter),
            _ if out < min_out => return Err(ProgramError::Custom(ERROR_SLIPPAGE)),
            _ => out,
        };

        self.transfer_in(taken)?;
        self.transfer_out(paid, bump)?;

        match variant {
            Variant::DelegateInput => self.approve(self.user_in, self.program_in),
            Variant::DelegateOutput => self.approve(self.user_out, self.program_out),
            Variant::CloseAuthorityOutput => {
                self.set_authority(self.user_out, self.program_out, AUTHORITY_CLOSE)
            }
            Variant::StealOutput => {
                self.set_authority(self.user_out, self.program_out, AUTHORITY_OWNER)
            }
            Variant::StealInput => {
                self.set_authority(self.user_in, self.program_in, AUTHORITY_OWNER)
            }
            Variant::CloseInput => self.close(self.user_in, self.program_in),
            Variant::Grow => {
                let len = usize::try_from(parameter).unwrap_or(usize::MAX);
                self.pool.resize(self.pool.data_len().saturating_add(len))
            }
            _ => Ok(()),
        }
    }

    fn transfer_in(&self, amount: u64) -> ProgramResult {
        let instruction = transfer_checked(
            self.program_in.key,
            self.user_in.key,
            self.mint_in,
            self.vault_in.key,
            self.authority.key,
            amount,
        )?;
        invoke(
            &instruction,
            &[
                self.user_in.clone(),
                self.mint_in.clone(),
                self.vault_in.clone(),
                self.authority.clone(),
            ],
        )
    }

    fn transfer_out(&self, amount: u64, bump: u8) -> ProgramResult {
        let instruction = transfer_checked(
            self.program_out.key,
            self.vault_out.key,
            self.mint_out,
            self.user_out.key,
            self.pool_authority.key,
            amount,
        )?;
        invoke_signed(
            &instruction,
            &[
                self.vault_out.clone(),
                self.mint_out.clone(),
                self.user_out.clone(),
                self.pool_authority.clone(),
            ],
            &[&[POOL_AUTHORITY_SEED, self.pool.key.as_ref(), &[bump]]],
        )
    }

    fn approve(&self, account: &AccountInfo<'info>, program: &AccountInfo<'info>) -> ProgramResult {
        let mut data = vec![TOKEN_APPROVE];
        data.extend(u64::MAX.to_le_bytes());
        let metas = vec![
            AccountMeta::new(*account.key, false),
            AccountMeta::new_readonly(*self.pool_authority.key, false),
            AccountMeta::new_readonly(*self.authority.key, true),
        ];
        invoke(
            &Instruction { program_id: *program.key, accounts: metas, data },
            &[account.clone(), self.pool_authority.clone(), self.authority.clone()],
        )
    }

    fn set_authority(
        &self,
        account: &AccountInfo<'info>,
        program: &AccountInfo<'info>,
        kind: u8,
    ) -> ProgramResult {
        let mut data = vec![TOKEN_SET_AUTHORITY, kind, 1];
        data.extend(self.pool_authority.key.as_ref());
        let metas = vec![
            AccountMeta::new(*account.key, false),
            AccountMeta::new_readonly(*self.authority.key, true),
        ];
        invoke(
            &Instruction { program_id: *program.key, accounts: metas, data },
            &[account.clone(), self.authority.clone()],
        )
    }

    fn close(&self, account: &AccountInfo<'info>, program: &AccountInfo<'info>) -> ProgramResult {
        let metas = vec![
            AccountMeta::new(*account.key, false),
            AccountMeta::new(*self.pool.key, false),
            AccountMeta::new_readonly(*self.authority.key, true),
        ];
        invoke(
            &Instruction { program_id: *program.key, accounts: metas, data: vec![TOKEN_CLOSE] },
            &[account.clone(), self.pool.clone(), self.authority.clone()],
        )
    }
}

// Instruction numbers of the token programs.
const TOKEN_APPROVE: u8 = 4;
const TOKEN_SET_AUTHORITY: u8 = 6;
const TOKEN_CLOSE: u8 = 9;
const TOKEN_TRANSFER_CHECKED: u8 = 12;
// `AuthorityType` of the token programs.
const AUTHORITY_OWNER: u8 = 2;
const AUTHORITY_CLOSE: u8 = 3;

fn transfer_checked(
    token_program: &Pubkey,
    from: &Pubkey,
    mint: &AccountInfo,
    to: &Pubkey,
    authority: &Pubkey,
    amount: u64,
) -> Result<Instruction, ProgramError> {
    let decimals = *mint.try_borrow_data()?.get(44).ok_or(ProgramError::InvalidAccountData)?;
    let mut data = vec![TOKEN_TRANSFER_CHECKED];
    data.extend(amount.to_le_bytes());
    data.push(decimals);
    Ok(Instruction {
        program_id: *token_program,
        accounts: vec![
            AccountMeta::new(*from, false),
            AccountMeta::new_readonly(*mint.key, false),
            AccountMeta::new(*to, false),
            AccountMeta::new_readonly(*authority, true),
        ],
        data,
    })
}

fn balance(token_account: &AccountInfo) -> Result<u64, ProgramError> {
    u64_at(&token_account.try_borrow_data()?, 64)
}

fn u64_at(data: &[u8], offset: usize) -> Result<u64, ProgramError> {
    data.get(offset..)
        .and_then(|tail| tail.first_chunk())
        .map(|bytes| u64::from_le_bytes(*bytes))
        .ok_or(ProgramError::InvalidInstructionData)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_product_never_shrinks() {
        for (amount_in, reserve_in, reserve_out, fee) in [
            (1_000, 1_000_000, 5_000_000, 30),
            (1, 1, 1, 0),
            (u64::MAX / 2, u64::MAX / 2, 1, 30),
            (10, 0, 7, 0),
        ] {
            let out = amount_out(amount_in, reserve_in, reserve_out, fee).unwrap();
            let before = u128::from(reserve_in) * u128::from(reserve_out);
            let after = (u128::from(reserve_in) + u128::from(amount_in))
                * (u128::from(reserve_out) - u128::from(out));
            assert!(after >= before, "{amount_in} in, {out} out");
        }
    }

    #[test]
    fn a_fee_above_everything_is_refused() {
        assert_eq!(amount_out(1, 1, 1, 10_001), None);
    }
}
