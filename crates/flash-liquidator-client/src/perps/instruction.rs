//! The exchanges' instructions around a liquidation.
//!
//! Amounts are raw units: of the token for spot markets, billionths of the base
//! asset for perps, millionths of a dollar for prices and profits.
//!
//! Which exchange an instruction is for follows from the account that acts;
//! markets and users of the other are refused.

use solana_address::{Address, address};
use solana_instruction::{AccountMeta, Instruction};
use solana_sdk_ids::{system_program, sysvar};

use super::{
    Exchange, Markets, PerpError, QUOTE_SPOT_MARKET, SpotMarket, SubAccount, User,
    markets::{Changed, same_exchange},
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
    /// `place_and_take_perp_order_v1`, Velocity's only.
    pub const PLACE_AND_TAKE_PERP_ORDER_V1: [u8; 8] = [168, 73, 91, 161, 18, 41, 252, 94];
    /// `update_user_pool_id`.
    pub const UPDATE_USER_POOL_ID: [u8; 8] = [219, 86, 73, 106, 56, 218, 128, 109];
}

/// Makes the account that all sub-accounts of a wallet share; once per wallet.
/// The wallet signs and pays the rent.
#[must_use]
pub fn initialize_user_stats(exchange: Exchange, authority: &Address) -> Instruction {
    let mut accounts = vec![AccountMeta::new(exchange.user_stats(authority), false)];
    accounts.extend(initialization(exchange, authority));
    Instruction {
        program_id: exchange.program_id(),
        accounts,
        data: discriminator::INITIALIZE_USER_STATS.to_vec(),
    }
}

/// Makes a sub-account, whose number must be the next one of the wallet (0 for
/// the first). The wallet signs, pays the rent, and the exchange's fee if there is one.
#[must_use]
pub fn initialize_user(account: SubAccount, name: [u8; 32]) -> Instruction {
    let mut accounts =
        vec![AccountMeta::new(account.address(), false), AccountMeta::new(account.stats(), false)];
    accounts.extend(initialization(account.exchange, &account.authority));
    let mut data = discriminator::INITIALIZE_USER.to_vec();
    data.extend(account.id.to_le_bytes());
    data.extend(name);
    Instruction { program_id: account.exchange.program_id(), accounts, data }
}

fn initialization(exchange: Exchange, authority: &Address) -> [AccountMeta; 5] {
    [
        AccountMeta::new(exchange.state(), false),
        AccountMeta::new_readonly(*authority, true),
        AccountMeta::new(*authority, true),
        AccountMeta::new_readonly(sysvar::rent::ID, false),
        AccountMeta::new_readonly(system_program::ID, false),
    ]
}

/// Deposits `amount` units from `token_account`, which belongs to the wallet.
///
/// # Errors
/// [`PerpError`]: the market is not among `markets`, or its token has a hook.
pub fn deposit(
    account: SubAccount,
    markets: &Markets,
    market: u16,
    token_account: &Address,
    amount: u64,
) -> Result<Instruction, PerpError> {
    let spot_market = markets.spot(market)?;
    let mut accounts = vec![
        AccountMeta::new_readonly(account.exchange.state(), false),
        AccountMeta::new(account.address(), false),
        AccountMeta::new(account.stats(), false),
        AccountMeta::new_readonly(account.authority, true),
        AccountMeta::new(spot_market.vault, false),
        AccountMeta::new(*token_account, false),
        AccountMeta::new_readonly(spot_market.token_program, false),
    ];
    accounts.extend(transfer_accounts(account, markets, spot_market)?);
    let mut data = discriminator::DEPOSIT.to_vec();
    data.extend(market.to_le_bytes());
    data.extend(amount.to_le_bytes());
    // Not only to repay a borrow.
    data.push(0);
    Ok(Instruction { program_id: account.exchange.program_id(), accounts, data })
}

/// How much to withdraw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withdrawal {
    /// These units; what is not deposited is **borrowed**, against whatever else is
    /// in the account. The bracket takes the loan for profit.
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
) -> Result<Instruction, PerpError> {
    let spot_market = markets.spot(market)?;
    let mut accounts = vec![
        AccountMeta::new_readonly(account.exchange.state(), false),
        AccountMeta::new(account.address(), false),
        AccountMeta::new(account.stats(), false),
        AccountMeta::new_readonly(account.authority, true),
        AccountMeta::new(spot_market.vault, false),
        AccountMeta::new_readonly(account.exchange.signer(), false),
        AccountMeta::new(*token_account, false),
        AccountMeta::new_readonly(spot_market.token_program, false),
    ];
    accounts.extend(transfer_accounts(account, markets, spot_market)?);
    // A withdrawal that only reduces is cut to what there is.
    let (units, reduce_only) = match amount {
        Withdrawal::Units(units) => (units, false),
        Withdrawal::All => (u64::MAX, true),
    };
    let mut data = discriminator::WITHDRAW.to_vec();
    data.extend(market.to_le_bytes());
    data.extend(units.to_le_bytes());
    data.push(reduce_only.into());
    Ok(Instruction { program_id: account.exchange.program_id(), accounts, data })
}

/// Markets, and the mint where the token program wants to see it.
fn transfer_accounts(
    account: SubAccount,
    markets: &Markets,
    market: &SpotMarket,
) -> Result<Vec<AccountMeta>, PerpError> {
    if market.has_transfer_hook {
        return Err(PerpError::TransferHook { index: market.index });
    }
    let mut accounts =
        markets.metas(account.exchange, Changed { spot: &[market.index], perp: &[] })?;
    if market.token_program != crate::token::TOKEN_PROGRAM_ID {
        accounts.push(AccountMeta::new_readonly(market.mint, false));
    }
    Ok(accounts)
}

/// Fails unless the account is empty (6087 or 6078 when it holds a deposit, borrow,
/// position or order) at the moment it executes; changes nothing then.
///
/// It is `update_user_pool_id` with pool 0, which an account that liquidates perps
/// is in anyway. It computes the account's margin, and is given no markets to do so
/// with: it can only succeed where there is nothing to compute.
#[must_use]
pub fn require_empty(account: SubAccount) -> Instruction {
    const POOL: u8 = 0;
    let mut accounts = vec![
        AccountMeta::new(account.address(), false),
        AccountMeta::new_readonly(account.authority, true),
    ];
    if account.exchange == Exchange::Velocity {
        accounts.push(AccountMeta::new_readonly(account.exchange.state(), false));
    }
    let mut data = discriminator::UPDATE_USER_POOL_ID.to_vec();
    data.extend(account.id.to_le_bytes());
    data.push(POOL);
    Instruction { program_id: account.exchange.program_id(), accounts, data }
}

/// Takes over up to `max_base` of a perp position at the oracle's price less the
/// liquidator's fee. The liquidator's account must meet the initial margin
/// afterwards.
///
/// `limit_price`, in millionths of a dollar: a long position is taken over at this
/// price or a lower one, a short position at this price or a higher one.
///
/// `markets` must list those of the liquidator's own positions too
/// ([`Markets::cover`]); an empty account has none.
///
/// On Velocity the accounts are those of its interface description at `0077e03b`; the
/// line of its source that has order books wants two more (`docs/perps.md`).
///
/// # Errors
/// [`PerpError::MarketMissing`]: a market of the user's positions, or the one to
/// be liquidated in; [`PerpError::OtherExchange`].
pub fn liquidate_perp(
    liquidator: SubAccount,
    user: &User,
    markets: &Markets,
    market: u16,
    max_base: u64,
    limit_price: Option<u64>,
) -> Result<Instruction, PerpError> {
    let mut data = discriminator::LIQUIDATE_PERP.to_vec();
    data.extend(market.to_le_bytes());
    data.extend(max_base.to_le_bytes());
    push_option(&mut data, limit_price.map(u64::to_le_bytes));
    liquidation(liquidator, user, markets, Changed { spot: &[], perp: &[market] }, data)
}

/// Takes over up to `max_liability` units of a borrow, and with it a deposit worth
/// more.
///
/// `limit_price`: least of the asset for one of the liability, whole tokens of
/// both, in **millionths of the asset's unit, cut off**. One USDC against SOL at
/// 123 dollars with 5 % discount is 0.008536 SOL: 8536 passes and 8537 is refused,
/// so that a cheap liability leaves only few digits to choose from.
/// [`super::ExchangeQuote::price`] is the highest that passes.
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
) -> Result<Instruction, PerpError> {
    let mut data = discriminator::LIQUIDATE_SPOT.to_vec();
    data.extend(asset.to_le_bytes());
    data.extend(liability.to_le_bytes());
    data.extend(max_liability.to_le_bytes());
    push_option(&mut data, limit_price.map(u64::to_le_bytes));
    let changed = Changed { spot: &[asset, liability], perp: &[] };
    let mut instruction = liquidation(liquidator, user, markets, changed, data)?;
    if liquidator.exchange == Exchange::Velocity {
        // Here, and in this liquidation only, Velocity reads the liquidator's
        // statistics and does without the user's.
        instruction.accounts[LIQUIDATOR_STATS].is_writable = false;
        instruction.accounts.remove(USER_STATS);
    }
    Ok(instruction)
}

/// Takes over up to `max_pnl` millionths of a dollar that a closed perp position
/// lost, and with it a deposit worth more.
///
/// `limit_price`: as [`liquidate_spot`] has it, the loss being dollars.
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
) -> Result<Instruction, PerpError> {
    let mut data = discriminator::LIQUIDATE_PERP_PNL_FOR_DEPOSIT.to_vec();
    data.extend(perp.to_le_bytes());
    data.extend(asset.to_le_bytes());
    data.extend(max_pnl.to_le_bytes());
    push_option(&mut data, limit_price.map(u64::to_le_bytes));
    liquidation(liquidator, user, markets, Changed { spot: &[asset], perp: &[perp] }, data)
}

/// Positions in a liquidation's accounts.
const LIQUIDATOR_STATS: usize = 3;
const USER_STATS: usize = 5;

fn liquidation(
    account: SubAccount,
    user: &User,
    markets: &Markets,
    changed: Changed,
    data: Vec<u8>,
) -> Result<Instruction, PerpError> {
    same_exchange("the user", user.account.exchange, account.exchange)?;
    markets.cover(user)?;
    let mut accounts = vec![
        AccountMeta::new_readonly(account.exchange.state(), false),
        AccountMeta::new_readonly(account.authority, true),
        AccountMeta::new(account.address(), false),
        AccountMeta::new(account.stats(), false),
        AccountMeta::new(user.account.address(), false),
        AccountMeta::new(user.account.stats(), false),
    ];
    accounts.extend(markets.metas(account.exchange, changed)?);
    Ok(Instruction { program_id: account.exchange.program_id(), accounts, data })
}

/// Moves the profit or loss of a perp market into the account's USDC. A profit
/// is paid as far as the market's pool has it; a loss fills the pool.
///
/// Anybody may sign for anybody, as `payer`: settling the loss of the user that was
/// just liquidated, or of any other loser of the market, makes an empty pool pay.
/// A profit of somebody else's is settled only while the pool has more than all
/// users are owed.
///
/// # Errors
/// [`PerpError::MarketMissing`]; [`PerpError::OtherExchange`].
pub fn settle_pnl(
    account: SubAccount,
    payer: &Address,
    markets: &Markets,
    market: u16,
) -> Result<Instruction, PerpError> {
    let mut accounts = vec![
        AccountMeta::new_readonly(account.exchange.state(), false),
        AccountMeta::new(account.address(), false),
        AccountMeta::new_readonly(*payer, true),
        AccountMeta::new_readonly(account.exchange.spot_market_vault(QUOTE_SPOT_MARKET), false),
    ];
    let changed = Changed { spot: &[QUOTE_SPOT_MARKET], perp: &[market] };
    accounts.extend(markets.metas(account.exchange, changed)?);
    let mut data = discriminator::SETTLE_PNL.to_vec();
    data.extend(market.to_le_bytes());
    Ok(Instruction { program_id: account.exchange.program_id(), accounts, data })
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
    /// Its account on the exchange.
    pub user: Address,
    /// Its wallet's statistics.
    pub stats: Address,
}

/// Velocity's order book of a market, which its newer instruction wants to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderBook {
    /// The market's quoter slab.
    pub quoter_slab: Address,
    /// The book, which the slab names.
    pub clob_market: Address,
}

/// Velocity's order book program.
pub const CLOB_PROGRAM_ID: Address = address!("BPX47ur8TbgZQgtJcGJvdcQMMFbmBP7ZrhpiUmLuHKqU");

/// An order that closes a perp position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClosePerp<'a> {
    /// Perp market.
    pub market: u16,
    /// [`Direction::Short`] closes a long position.
    pub direction: Direction,
    /// How much to close; `u64::MAX` for all there is, whatever that is.
    pub base: u64,
    /// Worst price to accept, in millionths of a dollar; `None` for any.
    pub limit_price: Option<u64>,
    /// How much must be filled. An order only reduces: what it asks beyond the
    /// position counts as filled.
    pub fill: Fill,
    /// Users whose resting orders may be taken, and the account's referrer if it
    /// has one (without it: 6030).
    pub makers: &'a [Maker],
    /// Velocity only: `place_and_take_perp_order_v1` with this book;
    /// `place_and_take_perp_order` without.
    pub order_book: Option<OrderBook>,
}

/// `place_and_take_perp_order`: an order that is filled at once, against the
/// makers given and the exchange's own market maker, or dropped. It only ever
/// reduces a position.
///
/// It is always a limit order with the flag "immediate or cancel", and at any price
/// one with a price that no market reaches: the program refuses the flag with a
/// market order (6050), and without the flag would leave the rest on the book.
///
/// # Errors
/// [`PerpError::MarketMissing`]; [`PerpError::OtherExchange`], also for an order
/// book on Drift.
pub fn close_perp(
    account: SubAccount,
    markets: &Markets,
    order: &ClosePerp,
) -> Result<Instruction, PerpError> {
    if order.order_book.is_some() {
        same_exchange("the order book", Exchange::Velocity, account.exchange)?;
    }
    let mut accounts = vec![
        AccountMeta::new_readonly(account.exchange.state(), false),
        AccountMeta::new(account.address(), false),
        AccountMeta::new(account.stats(), false),
        AccountMeta::new_readonly(account.authority, true),
    ];
    let mut data = discriminator::PLACE_AND_TAKE_PERP_ORDER.to_vec();
    if let Some(book) = order.order_book {
        data = discriminator::PLACE_AND_TAKE_PERP_ORDER_V1.to_vec();
        accounts.extend([
            AccountMeta::new_readonly(book.quoter_slab, false),
            AccountMeta::new(book.clob_market, false),
            AccountMeta::new_readonly(CLOB_PROGRAM_ID, false),
            // Nobody attests the order: where an optional account is left out, the
            // program's own address stands.
            AccountMeta::new_readonly(account.exchange.program_id(), false),
        ]);
    }
    let changed = Changed { spot: &[], perp: &[order.market] };
    accounts.extend(markets.metas(account.exchange, changed)?);
    let makers = order.makers.iter().flat_map(|maker| [maker.user, maker.stats]);
    accounts.extend(makers.map(|key| AccountMeta::new(key, false)));
    push_order(&mut data, account.exchange, order);
    // The condition; in the second byte, how far into its auction the order is
    // filled: at its end, where the price is the limit.
    const AUCTION_END: u32 = 100 << 8;
    let condition = match order.fill {
        Fill::Any => None,
        Fill::Part => Some(1 | AUCTION_END),
        Fill::Whole => Some(2 | AUCTION_END),
    };
    push_option(&mut data, condition.map(u32::to_le_bytes));
    Ok(Instruction { program_id: account.exchange.program_id(), accounts, data })
}

/// The exchange's `OrderParams`.
fn push_order(data: &mut Vec<u8>, exchange: Exchange, order: &ClosePerp) {
    const ORDER_TYPE_LIMIT: u8 = 1;
    const MARKET_TYPE_PERP: u8 = 1;
    const NOT_POST_ONLY: u8 = 0;
    const IMMEDIATE_OR_CANCEL: u8 = 1;
    const TRIGGER_ABOVE: u8 = 0;
    /// A million dollars: above any market, and small enough to be counted with.
    const ANY_PRICE: u64 = 1_000_000_000_000;
    let (direction, any_price) = match order.direction {
        Direction::Long => (0, ANY_PRICE),
        Direction::Short => (1, 1),
    };
    data.extend([ORDER_TYPE_LIMIT, MARKET_TYPE_PERP, direction]);
    // The user's own number for it.
    data.push(0);
    data.extend(order.base.to_le_bytes());
    data.extend(order.limit_price.unwrap_or(any_price).to_le_bytes());
    data.extend(order.market.to_le_bytes());
    // Only reduces.
    data.push(1);
    data.push(NOT_POST_ONLY);
    data.push(IMMEDIATE_OR_CANCEL);
    push_option::<8>(data, None); // expiry
    push_option::<8>(data, None); // trigger price
    data.push(TRIGGER_ABOVE);
    push_option::<8>(data, None); // offset from the oracle's price
    push_option::<1>(data, None); // auction: duration, start and end price
    push_option::<8>(data, None);
    push_option::<8>(data, None);
    if exchange == Exchange::Velocity {
        push_option::<1>(data, None); // builder, and its fee
        push_option::<2>(data, None);
    }
}

fn push_option<const N: usize>(data: &mut Vec<u8>, value: Option<[u8; N]>) {
    data.push(value.is_some().into());
    data.extend(value.into_iter().flatten());
}
