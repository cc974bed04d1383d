//! Token accounts and mints as bytes, for SPL Token and Token-2022 alike: both
//! programs begin their accounts in the same way, and Token-2022 appends
//! extensions.

use solana_account::Account;
use solana_address::Address;
use spl_token_2022_interface::{
    extension::{
        BaseStateWithExtensions, BaseStateWithExtensionsMut, ExtensionType, StateWithExtensions,
        StateWithExtensionsMut, account_len::try_for_each_required_init_account_extension,
        metadata_pointer::MetadataPointer, mint_close_authority::MintCloseAuthority,
        permanent_delegate::PermanentDelegate, transfer_fee::TransferFeeConfig,
        transfer_hook::TransferHook,
    },
    state::{Account as TokenAccount, AccountState, Mint},
};

use crate::error::ForkError;

/// SPL Token.
pub const TOKEN_PROGRAM_ID: Address = spl_token_interface::ID;
/// Token-2022.
pub const TOKEN_2022_PROGRAM_ID: Address = spl_token_2022_interface::ID;
/// Wrapped SOL.
pub const NATIVE_MINT: Address = spl_token_interface::native_mint::ID;

/// Lamports that make an account of `len` bytes rent exempt in the virtual machine.
pub(crate) const fn rent_exempt(len: usize) -> u64 {
    const ACCOUNT_OVERHEAD: u64 = 128;
    const LAMPORTS_PER_BYTE: u64 = 6_960;
    (len as u64 + ACCOUNT_OVERHEAD) * LAMPORTS_PER_BYTE
}

/// A rent-exempt account.
pub(crate) fn account(owner: Address, data: Vec<u8>) -> Account {
    Account {
        lamports: rent_exempt(data.len()),
        data,
        owner,
        executable: false,
        rent_epoch: u64::MAX,
    }
}

/// What a mint is made with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MintFigures {
    pub supply: u64,
    pub decimals: u8,
    pub authority: Option<Address>,
}

impl MintFigures {
    fn base(self) -> Mint {
        Mint {
            mint_authority: self.authority.into(),
            supply: self.supply,
            decimals: self.decimals,
            is_initialized: true,
            freeze_authority: None.into(),
        }
    }
}

/// A mint without extensions.
pub(crate) fn mint(token_program: Address, figures: MintFigures) -> Result<Account, String> {
    build_mint(token_program, &[], figures, |_| Ok(()))
}

/// A Token-2022 mint with the extensions that regulated stablecoins carry, set as
/// klend demands: a transfer fee of zero, no transfer hook, and an issuer that
/// may close the mint and move anybody's tokens.
pub(crate) fn stablecoin_mint(figures: MintFigures, issuer: Address) -> Result<Account, String> {
    const EXTENSIONS: [ExtensionType; 5] = [
        ExtensionType::MintCloseAuthority,
        ExtensionType::PermanentDelegate,
        ExtensionType::TransferFeeConfig,
        ExtensionType::TransferHook,
        ExtensionType::MetadataPointer,
    ];
    build_mint(TOKEN_2022_PROGRAM_ID, &EXTENSIONS, figures, |state| {
        let text = |error: &dyn ToString| error.to_string();
        let issuer =
            Some(issuer).try_into().map_err(|_| "the issuer is the zero address".to_owned())?;
        state.init_extension::<MintCloseAuthority>(true).map_err(|e| text(&e))?.close_authority =
            issuer;
        state.init_extension::<PermanentDelegate>(true).map_err(|e| text(&e))?.delegate = issuer;
        let fee = state.init_extension::<TransferFeeConfig>(true).map_err(|e| text(&e))?;
        fee.transfer_fee_config_authority = issuer;
        fee.withdraw_withheld_authority = issuer;
        state.init_extension::<TransferHook>(true).map_err(|e| text(&e))?.authority = issuer;
        state.init_extension::<MetadataPointer>(true).map_err(|e| text(&e))?.authority = issuer;
        Ok(())
    })
}

fn build_mint(
    token_program: Address,
    extensions: &[ExtensionType],
    figures: MintFigures,
    extend: impl FnOnce(&mut StateWithExtensionsMut<Mint>) -> Result<(), String>,
) -> Result<Account, String> {
    let text = |error: &dyn ToString| error.to_string();
    let len = ExtensionType::try_calculate_account_len::<Mint>(extensions).map_err(|e| text(&e))?;
    let mut data = vec![0; len];
    let mut state =
        StateWithExtensionsMut::<Mint>::unpack_uninitialized(&mut data).map_err(|e| text(&e))?;
    extend(&mut state)?;
    state.base = figures.base();
    state.pack_base();
    state.init_account_type().map_err(|e| text(&e))?;
    Ok(account(token_program, data))
}

/// A token account of `mint` with the extensions that this mint makes necessary.
pub(crate) fn token_account(
    mint_key: &Address,
    mint: &Account,
    owner: &Address,
    amount: u64,
) -> Result<Account, ForkError> {
    let explain = |error: &dyn ToString| ForkError::Unexpected {
        what: "mint",
        key: *mint_key,
        reason: error.to_string(),
    };
    check_token_program("mint", mint_key, mint)?;
    let mut extensions = Vec::new();
    StateWithExtensions::<Mint>::unpack(&mint.data)
        .and_then(|state| {
            try_for_each_required_init_account_extension(state.get_tlv_data(), |kind| {
                extensions.push(kind);
                Ok(())
            })
        })
        .map_err(|e| explain(&e))?;
    if mint.owner == TOKEN_2022_PROGRAM_ID {
        // Associated token accounts of Token-2022 always have it.
        extensions.push(ExtensionType::ImmutableOwner);
    }
    let len = ExtensionType::try_calculate_account_len::<TokenAccount>(&extensions)
        .map_err(|e| explain(&e))?;
    let reserve = rent_exempt(len);
    let is_native = *mint_key == NATIVE_MINT;
    let mut data = vec![0; len];
    let mut state = StateWithExtensionsMut::<TokenAccount>::unpack_uninitialized(&mut data)
        .map_err(|e| explain(&e))?;
    for extension in extensions {
        state.init_account_extension_from_type(extension).map_err(|e| explain(&e))?;
    }
    state.base = TokenAccount {
        mint: *mint_key,
        owner: *owner,
        amount,
        delegate: None.into(),
        state: AccountState::Initialized,
        is_native: is_native.then_some(reserve).into(),
        delegated_amount: 0,
        close_authority: None.into(),
    };
    state.pack_base();
    state.init_account_type().map_err(|e| explain(&e))?;
    let lamports = if is_native {
        reserve.checked_add(amount).ok_or_else(|| explain(&"more lamports than a u64 holds"))?
    } else {
        reserve
    };
    Ok(Account { lamports, ..account(mint.owner, data) })
}

/// Reads a token account.
pub(crate) fn read_token_account(
    key: &Address,
    account: &Account,
) -> Result<TokenAccount, ForkError> {
    check_token_program("token account", key, account)?;
    StateWithExtensions::<TokenAccount>::unpack(&account.data).map(|state| state.base).map_err(
        |error| ForkError::Unexpected {
            what: "token account",
            key: *key,
            reason: error.to_string(),
        },
    )
}

/// Reads a mint.
pub(crate) fn read_mint(key: &Address, account: &Account) -> Result<Mint, ForkError> {
    check_token_program("mint", key, account)?;
    StateWithExtensions::<Mint>::unpack(&account.data).map(|state| state.base).map_err(|error| {
        ForkError::Unexpected { what: "mint", key: *key, reason: error.to_string() }
    })
}

/// Changes the amount of a token account, and its lamports when it holds
/// wrapped SOL.
pub(crate) fn set_amount(
    key: &Address,
    account: &mut Account,
    amount: u64,
) -> Result<(), ForkError> {
    let before = read_token_account(key, account)?;
    let explain = |error: &dyn ToString| ForkError::Unexpected {
        what: "token account",
        key: *key,
        reason: error.to_string(),
    };
    if before.is_native.is_some() {
        account.lamports = (account.lamports - before.amount.min(account.lamports))
            .checked_add(amount)
            .ok_or_else(|| explain(&"more lamports than a u64 holds"))?;
    }
    let mut state = StateWithExtensionsMut::<TokenAccount>::unpack(&mut account.data)
        .map_err(|e| explain(&e))?;
    state.base.amount = amount;
    state.pack_base();
    Ok(())
}

/// Changes the supply of a mint.
pub(crate) fn set_supply(
    key: &Address,
    account: &mut Account,
    supply: u64,
) -> Result<(), ForkError> {
    let mut state = StateWithExtensionsMut::<Mint>::unpack(&mut account.data).map_err(|error| {
        ForkError::Unexpected { what: "mint", key: *key, reason: error.to_string() }
    })?;
    state.base.supply = supply;
    state.pack_base();
    Ok(())
}

fn check_token_program(
    what: &'static str,
    key: &Address,
    account: &Account,
) -> Result<(), ForkError> {
    if account.owner == TOKEN_PROGRAM_ID || account.owner == TOKEN_2022_PROGRAM_ID {
        Ok(())
    } else {
        Err(ForkError::Unexpected {
            what,
            key: *key,
            reason: format!("owned by {}, not by a token program", account.owner),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIGURES: MintFigures = MintFigures { supply: 7, decimals: 6, authority: None };

    #[test]
    fn spl_accounts_have_their_classic_lengths() {
        let mint = mint(TOKEN_PROGRAM_ID, FIGURES).unwrap();
        assert_eq!((mint.data.len(), mint.lamports), (82, 1_461_600));
        let key = Address::new_from_array([1; 32]);
        let account = token_account(&key, &mint, &key, 5).unwrap();
        assert_eq!((account.data.len(), account.lamports), (165, 2_039_280));
        assert_eq!(read_token_account(&key, &account).unwrap().amount, 5);
    }

    #[test]
    fn a_token_2022_account_gets_what_its_mint_asks_for() {
        let issuer = Address::new_from_array([2; 32]);
        let mint = stablecoin_mint(FIGURES, issuer).unwrap();
        let key = Address::new_from_array([1; 32]);
        let mut account = token_account(&key, &mint, &issuer, 5).unwrap();
        set_amount(&key, &mut account, 9).unwrap();
        let state = StateWithExtensions::<TokenAccount>::unpack(&account.data).unwrap();
        assert_eq!(state.base.amount, 9);
        let mut types = state.get_extension_types().unwrap();
        types.sort_by_key(|kind| u16::from(*kind));
        assert_eq!(
            types,
            [
                ExtensionType::TransferFeeAmount,
                ExtensionType::ImmutableOwner,
                ExtensionType::TransferHookAccount,
            ]
        );
    }

    #[test]
    fn wrapped_sol_is_backed_by_lamports() {
        let mint = mint(TOKEN_PROGRAM_ID, MintFigures { decimals: 9, ..FIGURES }).unwrap();
        let mut account = token_account(&NATIVE_MINT, &mint, &NATIVE_MINT, 5).unwrap();
        assert_eq!(account.lamports, 2_039_285);
        set_amount(&NATIVE_MINT, &mut account, 11).unwrap();
        assert_eq!(account.lamports, 2_039_291);
    }

    #[test]
    fn an_account_of_another_program_is_no_mint() {
        let key = Address::new_from_array([1; 32]);
        let mut account = mint(TOKEN_PROGRAM_ID, FIGURES).unwrap();
        account.owner = key;
        let error = token_account(&key, &account, &key, 1).unwrap_err().to_string();
        assert!(error.contains("not by a token program"), "{error}");
    }
}
