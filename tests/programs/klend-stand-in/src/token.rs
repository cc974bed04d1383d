//! Token transfers, mints and burns by CPI, and what klend demands of
//! Token-2022 mints and accounts.

use solana_program::{
    account_info::AccountInfo,
    program::{invoke, invoke_signed},
    pubkey::Pubkey,
};
use spl_token_2022_interface::{
    extension::{
        BaseStateWithExtensions, ExtensionType, StateWithExtensions,
        confidential_transfer::{ConfidentialTransferAccount, ConfidentialTransferMint},
        pausable::PausableConfig,
        transfer_fee::TransferFeeConfig,
        transfer_hook::TransferHook,
    },
    instruction,
    state::{Account as TokenAccount, Mint},
};

use crate::{
    accounts::{MARKET_AUTHORITY_SEED, TOKEN_2022_PROGRAM_ID},
    error::{KlendError, Result, require},
};

/// Who moves tokens: a signer of the instruction, or the market's authority
/// with the program's signature.
#[derive(Clone, Copy)]
pub enum Authority<'a, 'info> {
    Signer(&'a AccountInfo<'info>),
    Market { account: &'a AccountInfo<'info>, market: &'a Pubkey, bump: u8 },
}

impl<'a, 'info> Authority<'a, 'info> {
    /// The account that signs.
    pub fn account(&self) -> &'a AccountInfo<'info> {
        match self {
            Self::Signer(account) | Self::Market { account, .. } => account,
        }
    }

    /// Invokes with this authority's signature.
    pub fn invoke(
        &self,
        instruction: &solana_program::instruction::Instruction,
        accounts: &[AccountInfo<'info>],
    ) -> Result<()> {
        match self {
            Self::Signer(_) => invoke(instruction, accounts),
            Self::Market { market, bump, .. } => invoke_signed(
                instruction,
                accounts,
                &[&[MARKET_AUTHORITY_SEED, market.as_ref(), &[*bump]]],
            ),
        }
    }
}

/// Balance of a token account.
pub fn balance(account: &AccountInfo) -> Result<u64> {
    let data = account.try_borrow_data()?;
    Ok(StateWithExtensions::<TokenAccount>::unpack(&data)?.base.amount)
}

/// Mint of a token account.
pub fn mint(account: &AccountInfo) -> Result<Pubkey> {
    let data = account.try_borrow_data()?;
    Ok(StateWithExtensions::<TokenAccount>::unpack(&data)?.base.mint)
}

/// Owner of a token account.
pub fn owner(account: &AccountInfo) -> Result<Pubkey> {
    let data = account.try_borrow_data()?;
    Ok(StateWithExtensions::<TokenAccount>::unpack(&data)?.base.owner)
}

fn decimals(mint: &AccountInfo) -> Result<u8> {
    let data = mint.try_borrow_data()?;
    Ok(StateWithExtensions::<Mint>::unpack(&data)?.base.decimals)
}

/// Moves tokens of either token program.
pub fn transfer<'info>(
    program: &AccountInfo<'info>,
    from: &AccountInfo<'info>,
    mint: &AccountInfo<'info>,
    to: &AccountInfo<'info>,
    authority: Authority<'_, 'info>,
    amount: u64,
) -> Result<()> {
    let instruction = instruction::transfer_checked(
        program.key,
        from.key,
        mint.key,
        to.key,
        authority.account().key,
        &[],
        amount,
        decimals(mint)?,
    )?;
    let accounts = [from.clone(), mint.clone(), to.clone(), authority.account().clone()];
    authority.invoke(&instruction, &accounts)
}

/// Moves cTokens without naming their mint, as klend does.
pub fn transfer_collateral<'info>(
    program: &AccountInfo<'info>,
    from: &AccountInfo<'info>,
    to: &AccountInfo<'info>,
    authority: Authority<'_, 'info>,
    amount: u64,
) -> Result<()> {
    // Classic SPL Token only: its transfer without the mint is not deprecated
    // there, it is in Token-2022, whose crate builds both.
    #[allow(deprecated)]
    let instruction =
        instruction::transfer(program.key, from.key, to.key, authority.account().key, &[], amount)?;
    let accounts = [from.clone(), to.clone(), authority.account().clone()];
    authority.invoke(&instruction, &accounts)
}

/// Creates cTokens.
pub fn mint_to<'info>(
    program: &AccountInfo<'info>,
    mint: &AccountInfo<'info>,
    to: &AccountInfo<'info>,
    authority: Authority<'_, 'info>,
    amount: u64,
) -> Result<()> {
    let instruction =
        instruction::mint_to(program.key, mint.key, to.key, authority.account().key, &[], amount)?;
    let accounts = [mint.clone(), to.clone(), authority.account().clone()];
    authority.invoke(&instruction, &accounts)
}

/// Destroys cTokens.
pub fn burn<'info>(
    program: &AccountInfo<'info>,
    mint: &AccountInfo<'info>,
    from: &AccountInfo<'info>,
    authority: Authority<'_, 'info>,
    amount: u64,
) -> Result<()> {
    let instruction =
        instruction::burn(program.key, from.key, mint.key, authority.account().key, &[], amount)?;
    let accounts = [from.clone(), mint.clone(), authority.account().clone()];
    authority.invoke(&instruction, &accounts)
}

/// Refuses Token-2022 mints and accounts with extensions that could make a
/// transfer move something else than its amount, or fail at will.
///
/// # Errors
/// 6108 for such an extension, 6109 for a Token-2022 account of a classic
/// mint.
pub fn require_supported_extensions(mint: &AccountInfo, account: &AccountInfo) -> Result<()> {
    if *mint.owner != TOKEN_2022_PROGRAM_ID {
        return require(*account.owner != TOKEN_2022_PROGRAM_ID, KlendError::InvalidTokenAccount);
    }
    let data = mint.try_borrow_data()?;
    let mint = StateWithExtensions::<Mint>::unpack(&data)?;
    for extension in mint.get_extension_types()? {
        require(
            mint_extension_is_supported(&mint, extension)?,
            KlendError::UnsupportedTokenExtension,
        )?;
    }
    let data = account.try_borrow_data()?;
    let account = StateWithExtensions::<TokenAccount>::unpack(&data)?;
    for extension in account.get_extension_types()? {
        require(
            account_extension_is_supported(&account, extension)?,
            KlendError::UnsupportedTokenExtension,
        )?;
    }
    Ok(())
}

fn mint_extension_is_supported(
    mint: &StateWithExtensions<Mint>,
    extension: ExtensionType,
) -> Result<bool> {
    Ok(match extension {
        ExtensionType::ConfidentialTransferFeeConfig
        | ExtensionType::MintCloseAuthority
        | ExtensionType::MetadataPointer
        | ExtensionType::PermanentDelegate
        | ExtensionType::TokenMetadata
        | ExtensionType::DefaultAccountState
        | ExtensionType::ScaledUiAmount => true,
        ExtensionType::ConfidentialTransferMint => {
            let config = mint.get_extension::<ConfidentialTransferMint>()?;
            !bool::from(config.auto_approve_new_accounts)
        }
        ExtensionType::TransferFeeConfig => {
            let config = mint.get_extension::<TransferFeeConfig>()?;
            u16::from(config.older_transfer_fee.transfer_fee_basis_points) == 0
                && u16::from(config.newer_transfer_fee.transfer_fee_basis_points) == 0
        }
        ExtensionType::TransferHook => {
            let hook = mint.get_extension::<TransferHook>()?;
            bytemuck::bytes_of(hook)[32..].iter().all(|&byte| byte == 0)
        }
        ExtensionType::Pausable => {
            let config = mint.get_extension::<PausableConfig>()?;
            !bool::from(config.paused)
        }
        _ => false,
    })
}

fn account_extension_is_supported(
    account: &StateWithExtensions<TokenAccount>,
    extension: ExtensionType,
) -> Result<bool> {
    Ok(match extension {
        ExtensionType::ConfidentialTransferFeeAmount
        | ExtensionType::TransferFeeAmount
        | ExtensionType::TransferHookAccount
        | ExtensionType::PausableAccount
        | ExtensionType::ImmutableOwner => true,
        ExtensionType::ConfidentialTransferAccount => {
            let state = account.get_extension::<ConfidentialTransferAccount>()?;
            state.closable().is_ok() && !bool::from(state.allow_confidential_credits)
        }
        _ => false,
    })
}
