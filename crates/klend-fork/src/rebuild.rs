//! Accounts that a snapshot lacks and that follow from what a Reserve says.

use std::fmt;

use flash_liquidator_client::klend::ReserveAddresses;
use klend_interface::state::Reserve;
use klend_model::keys::address;
use solana_account::Account;
use solana_address::Address;

use crate::{
    error::ForkError,
    snapshot::Snapshot,
    tokens::{self, MintFigures, TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID},
};

/// Decimals of every cToken.
const CTOKEN_DECIMALS: u8 = 6;

/// What a missing account was to its reserve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The market.
    LendingMarket,
    /// Mint of the liquidity.
    LiquidityMint,
    /// Vault with the unborrowed liquidity.
    LiquiditySupply,
    /// Vault that fees are paid into.
    FeeVault,
    /// Mint of the cToken.
    CtokenMint,
    /// Vault with the cTokens of all obligations.
    CollateralSupply,
    /// Farm of deposits.
    CollateralFarm,
    /// Farm of debts.
    DebtFarm,
    /// An oracle account.
    Oracle,
}

/// An account that a snapshot lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absent {
    /// The account.
    pub key: Address,
    /// What it is to the reserve.
    pub part: Part,
    /// The reserve that names it.
    pub reserve: Address,
    /// That reserve's name.
    pub symbol: String,
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = match self.part {
            Part::LendingMarket => "lending market",
            Part::LiquidityMint => "mint",
            Part::LiquiditySupply => "liquidity supply vault",
            Part::FeeVault => "fee vault",
            Part::CtokenMint => "cToken mint",
            Part::CollateralSupply => "collateral supply vault",
            Part::CollateralFarm => "collateral farm",
            Part::DebtFarm => "debt farm",
            Part::Oracle => "oracle",
        };
        write!(f, "{} {part} {}", self.symbol, self.key)
    }
}

/// Adds to the snapshot what the reserve makes derivable; returns what was added
/// and what is absent for good.
pub(crate) fn complete(
    snapshot: &mut Snapshot,
    key: &Address,
    reserve: &Reserve,
) -> Result<(Vec<Absent>, Vec<Absent>), ForkError> {
    let addresses = ReserveAddresses::read(key, reserve);
    let symbol = symbol(reserve);
    let absent =
        |key, part| Absent { key, part, reserve: addresses.reserve, symbol: symbol.clone() };
    let mut rebuilt = Vec::new();

    let mut add = |part, key: Address, make: &dyn Fn(&Snapshot) -> Result<Account, ForkError>| {
        if !snapshot.accounts.contains_key(&key) {
            let account = make(snapshot)?;
            snapshot.accounts.insert(key, account);
            rebuilt.push(absent(key, part));
        }
        Ok::<(), ForkError>(())
    };

    let authority = addresses.lending_market_authority;
    let available = reserve.liquidity.total_available_amount;
    let ctokens = reserve.collateral.mint_total_supply;
    let mint = |token_program: Address, figures, key| {
        tokens::mint(token_program, figures).map_err(|reason| ForkError::Unexpected {
            what: "mint",
            key,
            reason,
        })
    };
    let vault = |mint_key: Address, amount| {
        move |snapshot: &Snapshot| {
            let mint = snapshot
                .accounts
                .get(&mint_key)
                .ok_or(ForkError::Missing { what: "mint", key: mint_key })?;
            tokens::token_account(&mint_key, mint, &authority, amount)
        }
    };

    let liquidity_mint = addresses.liquidity_mint;
    add(Part::LiquidityMint, liquidity_mint, &|_| {
        let decimals =
            u8::try_from(reserve.liquidity.mint_decimals).map_err(|_| ForkError::Unexpected {
                what: "reserve",
                key: *key,
                reason: format!("a mint with {} decimals", reserve.liquidity.mint_decimals),
            })?;
        let token_program = match addresses.liquidity_token_program {
            TOKEN_2022_PROGRAM_ID => TOKEN_2022_PROGRAM_ID,
            _ => TOKEN_PROGRAM_ID,
        };
        let figures = MintFigures { supply: available, decimals, authority: None };
        mint(token_program, figures, liquidity_mint)
    })?;
    add(
        Part::LiquiditySupply,
        addresses.liquidity_supply_vault,
        &vault(liquidity_mint, available),
    )?;
    add(Part::FeeVault, addresses.fee_vault, &vault(liquidity_mint, 0))?;
    add(Part::CtokenMint, addresses.ctoken_mint, &|_| {
        let figures =
            MintFigures { supply: ctokens, decimals: CTOKEN_DECIMALS, authority: Some(authority) };
        mint(TOKEN_PROGRAM_ID, figures, addresses.ctoken_mint)
    })?;
    add(
        Part::CollateralSupply,
        addresses.collateral_supply_vault,
        &vault(addresses.ctoken_mint, ctokens),
    )?;

    let oracles = addresses.oracles;
    let named = [
        (Part::LendingMarket, Some(*address(&reserve.lending_market))),
        (Part::CollateralFarm, addresses.collateral_farm),
        (Part::DebtFarm, addresses.debt_farm),
        (Part::Oracle, oracles.pyth),
        (Part::Oracle, oracles.switchboard_price),
        (Part::Oracle, oracles.switchboard_twap),
        (Part::Oracle, oracles.scope),
    ];
    let missing = named
        .into_iter()
        .filter_map(|(part, key)| Some((part, key?)))
        .filter(|(_, key)| !snapshot.accounts.contains_key(key))
        .map(|(part, key)| absent(key, part))
        .collect();
    Ok((rebuilt, missing))
}

/// The reserve's name as its configuration has it.
pub(crate) fn symbol(reserve: &Reserve) -> String {
    let name = &reserve.config.token_info.name;
    let len = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
    String::from_utf8_lossy(&name[..len]).into_owned()
}
