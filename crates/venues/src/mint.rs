//! What a mint does to transfers.
//!
//! SPL Token's mints do nothing. Token-2022's may take a fee, call a program, be
//! paused or forbid transfers: a pool of such tokens pays another amount than its
//! curve says, or nothing, so it is refused. All other extensions (metadata,
//! interest, scaled amounts, permanent delegates, confidential transfers, default
//! states) leave raw amounts alone.

use solana_address::{Address, address};

use crate::{
    account::{Accounts, Bytes, Kind, Known},
    error::VenueError,
};

/// SPL Token.
pub const TOKEN_PROGRAM_ID: Address = address!("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA");
/// SPL Token-2022.
pub const TOKEN_2022_PROGRAM_ID: Address = address!("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb");

/// Bytes of a mint without extensions.
const MINT_LEN: usize = 82;
/// Where Token-2022 writes which kind of account this is, and where the list of
/// extensions begins: behind the length of a token account, for mints too.
const ACCOUNT_TYPE: usize = 165;
const EXTENSIONS: usize = 166;
/// Bytes of an extension's type and length.
const HEADER: usize = 4;

const TRANSFER_FEE_CONFIG: u16 = 1;
const NON_TRANSFERABLE: u16 = 9;
const TRANSFER_HOOK: u16 = 14;
const PAUSABLE: u16 = 26;

/// Bytes of a token account without extensions, and where its state is.
const VAULT_LEN: usize = 165;
const AMOUNT: usize = 64;
const STATE: usize = 108;
const FROZEN: u8 = 2;

/// The token program of a pool's mint, whose transfers move what they say.
///
/// # Errors
/// [`VenueError::TransferFee`], [`VenueError::TransferHook`], [`VenueError::Paused`],
/// [`VenueError::NonTransferable`]; where the mint is unread or no mint.
pub fn token_program(
    pool: &Address,
    mint: &Address,
    accounts: &dyn Accounts,
) -> Result<Address, VenueError> {
    let kind = |program| Kind { what: "mint", program, discriminator: None, len: MINT_LEN };
    match accounts.known(mint) {
        Known::Present(account) if *account.owner == TOKEN_2022_PROGRAM_ID => {
            let bytes = kind(TOKEN_2022_PROGRAM_ID).read(mint, account)?;
            check_extensions(pool, mint, bytes)?;
            Ok(TOKEN_2022_PROGRAM_ID)
        }
        _ => {
            kind(TOKEN_PROGRAM_ID).of_pool(pool, mint, accounts)?;
            Ok(TOKEN_PROGRAM_ID)
        }
    }
}

fn check_extensions(pool: &Address, mint: &Address, data: Bytes<'_>) -> Result<(), VenueError> {
    let (pool, mint) = (*pool, *mint);
    let len = data.0.len();
    if len > MINT_LEN && (len <= ACCOUNT_TYPE || data.u8(ACCOUNT_TYPE) != 1) {
        return Err(VenueError::OtherKind { account: mint, what: "mint" });
    }
    let mut at = EXTENSIONS;
    while at + HEADER <= len {
        let (kind, size) = (data.u16(at), usize::from(data.u16(at + 2)));
        at += HEADER;
        if kind == 0 {
            break;
        }
        if at + size > len {
            let expected = at + size;
            return Err(VenueError::Truncated { account: mint, what: "mint", len, expected });
        }
        match kind {
            // Two authorities, what was withheld, then the fee before and from an
            // epoch on: epoch, maximum, basis points.
            TRANSFER_FEE_CONFIG => {
                let fees = at + 32 + 32 + 8;
                let bps = data.u16(fees + 16).max(data.u16(fees + 18 + 16));
                if bps > 0 {
                    return Err(VenueError::TransferFee { pool, mint, bps });
                }
            }
            NON_TRANSFERABLE => return Err(VenueError::NonTransferable { pool, mint }),
            // An authority, then the program.
            TRANSFER_HOOK => {
                let program = data.key(at + 32);
                if program != Address::default() {
                    return Err(VenueError::TransferHook { pool, mint, program });
                }
            }
            // An authority, then whether.
            PAUSABLE if data.u8(at + 32) != 0 => return Err(VenueError::Paused { pool, mint }),
            _ => {}
        }
        at += size;
    }
    Ok(())
}

/// What lies in a pool's vault of `mint`, raw units.
///
/// # Errors
/// [`VenueError::Frozen`]; where the vault is unread, or of another mint.
pub(crate) fn vault_amount(
    pool: &Address,
    vault: &Address,
    mint: &Address,
    token_program: &Address,
    accounts: &dyn Accounts,
) -> Result<u64, VenueError> {
    let kind = Kind { what: "vault", program: *token_program, discriminator: None, len: VAULT_LEN };
    let data = kind.of_pool(pool, vault, accounts)?;
    let actual = data.key(0);
    if actual != *mint {
        return Err(VenueError::OtherPool { pool: *pool, account: *vault, what: "vault", actual });
    }
    if data.u8(STATE) == FROZEN {
        return Err(VenueError::Frozen { pool: *pool, vault: *vault });
    }
    Ok(data.u64(AMOUNT))
}
