//! What belongs to somebody: wallets, nonce accounts, token accounts.

use std::collections::BTreeMap;

use klend_fork::{TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID, World};
use solana_account::{Account, ReadableAccount};
use solana_address::Address;
use solana_program_pack::Pack;
use solana_sdk_ids::system_program;
use spl_token_interface::state::Account as TokenAccount;

/// Bytes of a nonce account.
pub const NONCE_LEN: usize = 80;
/// Its authority, behind version and state.
const NONCE_AUTHORITY: std::ops::Range<usize> = 8..40;
/// Byte behind the base of a Token-2022 account, and its value for a token account.
const ACCOUNT_TYPE: usize = TokenAccount::LEN;
const IS_TOKEN_ACCOUNT: u8 = 2;
/// Extension `TransferFeeAmount`: what a transfer withholds for the mint's owner.
const TRANSFER_FEE_AMOUNT: u16 = 2;

/// The wallets of `owners`, also those that are not there, and every nonce account and
/// token account of theirs.
pub fn property(world: &mut World, owners: &[Address]) -> BTreeMap<Address, Account> {
    let mut property: BTreeMap<_, _> = owners
        .iter()
        .map(|owner| (*owner, world.account(owner).unwrap_or_else(no_account)))
        .collect();
    for (key, account) in &world.svm().accounts_db().inner {
        let is_theirs = if [TOKEN_PROGRAM_ID, TOKEN_2022_PROGRAM_ID].contains(account.owner()) {
            // Before a copy is made: most accounts are somebody else's.
            account.data().get(32..64).is_some_and(|owner| is_one_of(owners, owner))
        } else {
            *account.owner() == system_program::ID
                && account.data().len() == NONCE_LEN
                && is_one_of(owners, &account.data()[NONCE_AUTHORITY])
        };
        if is_theirs {
            let account = Account::from(account.clone());
            if account.owner == system_program::ID || is_token_account(&account) {
                property.insert(*key, account);
            }
        }
    }
    property
}

fn is_one_of(owners: &[Address], bytes: &[u8]) -> bool {
    owners.iter().any(|owner| owner.as_ref() == bytes)
}

/// A wallet that nobody has paid anything into.
fn no_account() -> Account {
    Account { owner: system_program::ID, ..Account::default() }
}

/// Whether this is an initialised token account of either token program.
pub fn is_token_account(account: &Account) -> bool {
    let data = &account.data;
    [TOKEN_PROGRAM_ID, TOKEN_2022_PROGRAM_ID].contains(&account.owner)
        && match data.get(ACCOUNT_TYPE) {
            None => data.len() == TokenAccount::LEN,
            Some(account_type) => *account_type == IS_TOKEN_ACCOUNT,
        }
        && TokenAccount::unpack(&data[..TokenAccount::LEN]).is_ok()
}

/// The part of a token account that both token programs share.
///
/// # Panics
/// When it [is none](is_token_account).
pub fn base_of(account: &Account) -> TokenAccount {
    TokenAccount::unpack_unchecked(&account.data[..TokenAccount::LEN]).expect("165 bytes")
}

/// Who may withdraw from an account, if it is a nonce account.
pub fn nonce_authority(account: &Account) -> Option<Address> {
    let is_nonce = account.owner == system_program::ID && account.data.len() == NONCE_LEN;
    is_nonce.then(|| Address::try_from(&account.data[NONCE_AUTHORITY]).expect("32 bytes"))
}

/// What an account *is*, as against how much is in it: of a token account everything
/// but the amount and what a transfer withholds, of a nonce account everything but the
/// nonce and its fee, of another one all its data.
pub fn identity(account: &Account) -> (Address, Vec<u8>) {
    let mut data = account.data.clone();
    if nonce_authority(account).is_some() {
        data[NONCE_AUTHORITY.end..].fill(0);
    }
    if is_token_account(account) {
        data[64..72].fill(0);
        let mut position = ACCOUNT_TYPE + 1;
        while let Some([kind_low, kind_high, len_low, len_high]) =
            data.get(position..).and_then(|rest| rest.first_chunk().copied())
        {
            let value = position + 4;
            let end = value + usize::from(u16::from_le_bytes([len_low, len_high]));
            if u16::from_le_bytes([kind_low, kind_high]) == TRANSFER_FEE_AMOUNT
                && let Some(withheld) = data.get_mut(value..end)
            {
                withheld.fill(0);
            }
            position = end;
        }
    }
    (account.owner, data)
}
