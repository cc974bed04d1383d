//! Drift's instructions around a liquidation.
//!
//! Amounts are raw units: of the token for spot markets, billionths of the base
//! asset for perps, millionths of a dollar for prices and profits.

use solana_address::Address;
use solana_instruction::{AccountMeta, Instruction};
use solana_sdk_ids::{system_program, sysvar};

use super::{
    PROGRAM_ID, QUOTE_SPOT_MARKET,
    accounts::{Changed, DriftError, Markets, SpotMarket, User},
    addresses::{self, SubAccount},
};

/// First bytes of instruction data: `sha256("global:<name>")[..8]`.
pub mod discriminator {
    /// `initialize_user_stats`.
    pub const INITIALIZE_USER_STATS: [u8; 8] = [254, 243, 72, 98, 251, 130, 168, 213];
    /// `initialize_user`.
    pub const INITIALIZE_USER: [u8; 8] = [111, 17, 185, 250, 60, 122, 38, 254];
    /// `deposit`.
    pub const DEPOSIT: [u8; 8] = [242, 35, 198, 137, 82, 225, 242, 182];
    /// `withdraw`.
    pub const WITHDRAW: [u8; 8] = [183, 18, 70, 156, 148, 109, 161, 34];
    /// `liquidate_perp`.
    pub const LIQUIDATE_PERP: [u8; 8] = [75, 35, 119, 247, 191, 18, 139, 2];
    /// `liquidate_spot`.
    pub const LIQUIDATE_SPOT: [u8; 8] = [107, 0, 128, 41, 35, 229, 251, 18];
    /// `liquidate_perp_pnl_for_deposit`.
    pub const LIQUIDATE_PERP_PNL_FOR_DEPOSIT: [u8; 8] = [237, 75, 198, 235, 233, 186, 75, 35];
    /// `settle_pnl`.
    pub const SETTLE_PNL: [u8; 8] = [43, 61, 234, 45, 15, 95, 152, 153];
    /// `place_and_take_perp_order`.
    pub const PLACE_AND_TAKE_PERP_ORDER: [u8; 8] = [213, 51, 1, 187, 108, 220, 230, 224];
}

/// Makes the account that all sub-accounts of a wallet share; once per wallet.
/// The wallet signs and pays the rent.
#[must_use]
pub fn initialize_user_stats(authority: &Address) -> Instruction {
    let mut accounts = vec![AccountMeta::new(addresses::user_stats(authority), false)];
    accounts.extend(initialization(authority));
    Instruction {
        program_id: PROGRAM_ID,
        accounts,
        data: discriminator::INITIALIZE_USER_STATS.to_vec(),
    }
}

/// Makes a sub-account, whose number must be the next one of the wallet (0 for
/// the first). The wallet signs, pays the rent, and Drift's fee if there is one.
#[must_use]
pub fn initialize_user(account: SubAccount, name: [u8; 32]) -> Instruction {
    let mut accounts =
        vec![AccountMeta::new(account.address(), false), AccountMeta::new(account.stats(), false)];
    accounts.extend(initialization(&account.authority));
    let mut data = discriminator::INITIALIZE_USER.to_vec();
    data.extend(account.id.to_le_bytes());
    data.extend(name);
    Instruction { program_id: PROGRAM_ID, accounts, data }
}

fn initialization(authority: &Address) -> [AccountMeta; 5] {
    [
        AccountMeta::new(addresses::state(), false),
        // Newer versions want the wallet's own signature beside the payer's.
        AccountMeta::new_readonly(*authority, true),
        AccountMeta::new(*authority, true),
        AccountMeta::new_readonly(sysvar::rent::ID, false),
        AccountMeta::new_readonly(system_program::ID, false),
    ]
}

/// Deposits `amount` units from `token_account`, which belongs to the wallet.
///
/// # Errors
/// [`DriftError`]: the market is not among `markets`, or its token has a hook.
pub fn deposit(
    account: SubAccount,
    markets: &Markets,
    market: u16,
    token_account: &Address,
    amount: u64,
) -> Result<Instruction, DriftError> {
    let spot_market = markets.spot(market)?;
    let mut accounts = vec![
        AccountMeta::new_readonly(addresses::state(), false),
        AccountMeta::new(account.address(), false),
        AccountMeta::new(account.stats(), false),
        AccountMeta::new_readonly(account.authority, true),
        AccountMeta::new(spot_market.vault, false),
        AccountMeta::new(*token_account, false),
        AccountMeta::new_readonly(spot_market.token_program, false),
    ];
    accounts.extend(transfer_accounts(markets, spot_market)?);
    let mut data = discriminator::DEPOSIT.to_vec();
    data.extend(market.to_le_bytes());
    data.extend(amount.to_le_bytes());
    // Not only to repay a borrow.
    data.push(0);
    Ok(Instruction { program_id: PROGRAM_ID, accounts, data })
}

/// How much to withdraw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withdrawal {
    /// These units; what is not deposited is borrowed.
    Units(u64),
    /// Whatever is deposited, as far as margin allows.
    All,
}

/// Withdraws into `token_account`, which may be anybody's.
///
/// # Errors
/// As [`deposit`].
pub fn withdraw(
    account: SubAccount,
    markets: &Markets,
    market: u16,
    token_account: &Address,
    amount: Withdrawal,
) -> Result<Instruction, DriftError> {
    let spot_market = markets.spot(market)?;
    let mut accounts = vec![
        AccountMeta::new_readonly(addresses::state(), false),
        AccountMeta::new(account.address(), false),
        AccountMeta::new(account.stats(), false),
        AccountMeta::new_readonly(account.authority, true),
        AccountMeta::new(spot_market.vault, false),
        AccountMeta::new_readonly(addresses::signer(), false),
        AccountMeta::new(*token_account, false),
        AccountMeta::new_readonly(spot_market.token_program, false),
    ];
    accounts.extend(transfer_accounts(markets, spot_market)?);
    // Drift cuts a withdrawal that only reduces to what there is.
    let (units, reduce_only) = match amount {
        Withdrawal::Units(units) => (units, false),
        Withdrawal::All => (u64::MAX, true),
    };
    let mut data = discriminator::WITHDRAW.to_vec();
    data.extend(market.to_le_bytes());
    data.extend(units.to_le_bytes());
    data.push(reduce_only.into());
    Ok(Instruction { program_id: PROGRAM_ID, accounts, data })
}

/// Markets, and the mint where the token program wants to see it.
fn transfer_accounts(
    markets: &Markets,
    market: &SpotMarket,
) -> Result<Vec<AccountMeta>, DriftError> {
    if market.has_transfer_hook {
        return Err(DriftError::TransferHook { index: market.index });
    }
    let mut accounts = markets.metas(Changed { spot: &[market.index], perp: &[] })?;
    if market.token_program != crate::token::TOKEN_PROGRAM_ID {
        accounts.push(AccountMeta::new_readonly(market.mint, false));
    }
    Ok(accounts)
}

/// Takes over up to `max_base` of a perp position at the oracle's price less the
/// liquidator's fee. The liquidator's account must meet the initial margin
/// afterwards.
///
/// `limit_price`: a long position is taken over at this price or a lower one, a
/// short position at this price or a higher one.
///
/// # Errors
/// [`DriftError::MarketMissing`]: a market of the user's positions, or the one to
/// be liquidated in.
pub fn liquidate_perp(
    liquidator: SubAccount,
    user: &User,
    markets: &Markets,
    market: u16,
    max_base: u64,
    limit_price: Option<u64>,
) -> Result<Instruction, DriftError> {
    let mut data = discriminator::LIQUIDATE_PERP.to_vec();
    data.extend(market.to_le_bytes());
    data.extend(max_base.to_le_bytes());
    push_option(&mut data, limit_price.map(u64::to_le_bytes));
    liquidation(liquidator, user, markets, Changed { spot: &[], perp: &[market] }, data)
}

/// Takes over up to `max_liability` units of a borrow, and with it a deposit worth
/// more.
///
/// `limit_price`: least units of the asset for one of the liability, as Drift
/// writes prices.
///
/// # Errors
/// As [`liquidate_perp`].
pub fn liquidate_spot(
    liquidator: SubAccount,
    user: &User,
    markets: &Markets,
    asset: u16,
    liability: u16,
    max_liability: u128,
    limit_price: Option<u64>,
) -> Result<Instruction, DriftError> {
    let mut data = discriminator::LIQUIDATE_SPOT.to_vec();
    data.extend(asset.to_le_bytes());
    data.extend(liability.to_le_bytes());
    data.extend(max_liability.to_le_bytes());
    push_option(&mut data, limit_price.map(u64::to_le_bytes));
    liquidation(liquidator, user, markets, Changed { spot: &[asset, liability], perp: &[] }, data)
}

/// Takes over up to `max_pnl` millionths of a dollar that a closed perp position
/// lost, and with it a deposit worth more.
///
/// # Errors
/// As [`liquidate_perp`].
pub fn liquidate_perp_pnl_for_deposit(
    liquidator: SubAccount,
    user: &User,
    markets: &Markets,
    perp: u16,
    asset: u16,
    max_pnl: u128,
    limit_price: Option<u64>,
) -> Result<Instruction, DriftError> {
    let mut data = discriminator::LIQUIDATE_PERP_PNL_FOR_DEPOSIT.to_vec();
    data.extend(perp.to_le_bytes());
    data.extend(asset.to_le_bytes());
    data.extend(max_pnl.to_le_bytes());
    push_option(&mut data, limit_price.map(u64::to_le_bytes));
    liquidation(liquidator, user, markets, Changed { spot: &[asset], perp: &[perp] }, data)
}

fn liquidation(
    liquidator: SubAccount,
    user: &User,
    markets: &Markets,
    changed: Changed,
    data: Vec<u8>,
) -> Result<Instruction, DriftError> {
    markets.cover(user)?;
    let mut accounts = vec![
        AccountMeta::new_readonly(addresses::state(), false),
        AccountMeta::new_readonly(liquidator.authority, true),
        AccountMeta::new(liquidator.address(), false),
        AccountMeta::new(liquidator.stats(), false),
        AccountMeta::new(user.account.address(), false),
        AccountMeta::new(user.account.stats(), false),
    ];
    accounts.extend(markets.metas(changed)?);
    Ok(Instruction { program_id: PROGRAM_ID, accounts, data })
}

/// Moves the profit or loss of a perp market into the account's USDC. A profit
/// is paid as far as the market's pool has it.
///
/// # Errors
/// [`DriftError::MarketMissing`].
pub fn settle_pnl(
    account: SubAccount,
    markets: &Markets,
    market: u16,
) -> Result<Instruction, DriftError> {
    let mut accounts = vec![
        AccountMeta::new_readonly(addresses::state(), false),
        AccountMeta::new(account.address(), false),
        AccountMeta::new_readonly(account.authority, true),
        AccountMeta::new_readonly(addresses::spot_market_vault(QUOTE_SPOT_MARKET), false),
    ];
    accounts.extend(markets.metas(Changed { spot: &[QUOTE_SPOT_MARKET], perp: &[market] })?);
    let mut data = discriminator::SETTLE_PNL.to_vec();
    data.extend(market.to_le_bytes());
    Ok(Instruction { program_id: PROGRAM_ID, accounts, data })
}

/// Side of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Buys: closes a short position.
    Long,
    /// Sells: closes a long position.
    Short,
}

/// How much of an order must be filled, or the instruction fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// Nothing.
    Any,
    /// Something.
    Part,
    /// Everything.
    Whole,
}

/// Whoever may take the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Maker {
    /// Its Drift account.
    pub user: Address,
    /// Its wallet's statistics.
    pub stats: Address,
}

/// An order that closes a perp position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClosePerp<'a> {
    /// Perp market.
    pub market: u16,
    /// [`Direction::Short`] closes a long position.
    pub direction: Direction,
    /// How much to close.
    pub base: u64,
    /// Worst price to accept; `None` for any.
    pub limit_price: Option<u64>,
    /// How much must be filled.
    pub fill: Fill,
    /// Users whose resting orders may be taken, and the account's referrer if it
    /// has one.
    pub makers: &'a [Maker],
}

/// `place_and_take_perp_order`: an order that is filled at once, against the
/// makers given and Drift's own market maker, or dropped. It only ever reduces a
/// position.
///
/// # Errors
/// [`DriftError::MarketMissing`].
pub fn close_perp(
    account: SubAccount,
    markets: &Markets,
    order: &ClosePerp,
) -> Result<Instruction, DriftError> {
    let mut accounts = vec![
        AccountMeta::new_readonly(addresses::state(), false),
        AccountMeta::new(account.address(), false),
        AccountMeta::new(account.stats(), false),
        AccountMeta::new_readonly(account.authority, true),
    ];
    accounts.extend(markets.metas(Changed { spot: &[], perp: &[order.market] })?);
    let makers = order.makers.iter().flat_map(|maker| [maker.user, maker.stats]);
    accounts.extend(makers.map(|key| AccountMeta::new(key, false)));
    let mut data = discriminator::PLACE_AND_TAKE_PERP_ORDER.to_vec();
    push_order(&mut data, order);
    // The condition; in the second byte, how far into its auction the order is
    // filled: at its end, where the price is the limit.
    const AUCTION_END: u32 = 100 << 8;
    let condition = match order.fill {
        Fill::Any => None,
        Fill::Part => Some(1 | AUCTION_END),
        Fill::Whole => Some(2 | AUCTION_END),
    };
    push_option(&mut data, condition.map(u32::to_le_bytes));
    Ok(Instruction { program_id: PROGRAM_ID, accounts, data })
}

/// Drift's `OrderParams`.
fn push_order(data: &mut Vec<u8>, order: &ClosePerp) {
    const ORDER_TYPE_MARKET: u8 = 0;
    const ORDER_TYPE_LIMIT: u8 = 1;
    const MARKET_TYPE_PERP: u8 = 1;
    const NOT_POST_ONLY: u8 = 0;
    const IMMEDIATE_OR_CANCEL: u8 = 1;
    const TRIGGER_ABOVE: u8 = 0;
    let is_limit = order.limit_price.is_some();
    data.push(if is_limit { ORDER_TYPE_LIMIT } else { ORDER_TYPE_MARKET });
    data.push(MARKET_TYPE_PERP);
    data.push(match order.direction {
        Direction::Long => 0,
        Direction::Short => 1,
    });
    // The user's own number for it.
    data.push(0);
    data.extend(order.base.to_le_bytes());
    data.extend(order.limit_price.unwrap_or(0).to_le_bytes());
    data.extend(order.market.to_le_bytes());
    // Only reduces.
    data.push(1);
    data.push(NOT_POST_ONLY);
    data.push(IMMEDIATE_OR_CANCEL);
    push_option::<8>(data, None); // expiry
    push_option::<8>(data, None); // trigger price
    data.push(TRIGGER_ABOVE);
    push_option::<4>(data, None); // offset from the oracle's price
    push_option::<1>(data, None); // auction: duration, start and end price
    push_option::<8>(data, None);
    push_option::<8>(data, None);
}

fn push_option<const N: usize>(data: &mut Vec<u8>, value: Option<[u8; N]>) {
    data.push(value.is_some().into());
    data.extend(value.into_iter().flatten());
}
