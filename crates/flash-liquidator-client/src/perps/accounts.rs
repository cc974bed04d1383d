//! What a liquidation needs from the accounts of users and markets.
//!
//! Both exchanges want every instruction that looks at margin to list the
//! oracles, spot markets and perp markets of all positions of the users involved.
//! [`User`] says which markets those are, [`SpotMarket`] and [`PerpMarket`] which
//! oracles, and [`Markets`] makes the list.

use std::collections::{BTreeMap, BTreeSet};

use solana_address::Address;
use solana_instruction::{AccountMeta, Instruction};

use super::{
    Exchange, PerpError, QUOTE_SPOT_MARKET, SubAccount,
    instruction::{initialize_user, initialize_user_stats},
    layout::{self, POSITIONS, discriminator, oracle_source, spot_position, token_program_flag},
};
use crate::{
    swap::{field, key},
    token::{TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID},
};

/// A deposit or borrow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpotPosition {
    /// Spot market.
    pub market: u16,
    /// Balance, to be multiplied by the market's cumulative interest.
    pub scaled_balance: u64,
    /// Whether it is a borrow.
    pub is_borrow: bool,
    /// Orders on the book.
    pub open_orders: u8,
}

/// A perp position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerpPosition {
    /// Perp market.
    pub market: u16,
    /// Size, in billionths of the base asset; negative when short.
    pub base: i64,
    /// What was received less what was paid for it, fees included, in millionths of
    /// a dollar; without a size, what is left to be settled.
    pub quote: i64,
    /// The market's cumulative funding rate when funding was last settled.
    pub funding_rate: i64,
    /// Size of the orders that buy, and (negative) of those that sell.
    pub open_bids: i64,
    /// See [`Self::open_bids`].
    pub open_asks: i64,
    /// Orders on the book.
    pub open_orders: u8,
    /// Collateral of this position alone, as a scaled deposit in the quote market;
    /// none where the whole account is its collateral.
    pub isolated_balance: Option<u64>,
    /// Whether this isolated position is being liquidated.
    pub is_being_liquidated: bool,
}

/// A user's account, as far as a liquidation needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Whose it is.
    pub account: SubAccount,
    /// Deposits and borrows in use.
    pub spot_positions: Vec<SpotPosition>,
    /// Perp positions in use.
    pub perp_positions: Vec<PerpPosition>,
    /// Pool of markets that it is in; perps are in pool 0.
    pub pool_id: u8,
    /// Orders on the book, of all markets.
    pub open_orders: u8,
    /// Whether a liquidation has begun and not ended.
    pub is_being_liquidated: bool,
    /// Whether a liquidation left only debt.
    pub is_bankrupt: bool,
    /// Margin that the liquidation under way has freed, in millionths of a dollar.
    pub liquidation_margin_freed: u64,
    /// Slot of its last activity, or of the beginning of the liquidation.
    pub last_active_slot: u64,
    /// Whether its perps are held to the lower maintenance margins of Drift's high
    /// leverage.
    pub high_leverage: bool,
}

/// Bits of a user's status, on both exchanges.
const STATUS_BEING_LIQUIDATED: u8 = 1;
const STATUS_BANKRUPT: u8 = 2;
/// Bits of a perp position's flag, on both exchanges.
const FLAG_ISOLATED: u8 = 1;
const FLAG_BEING_LIQUIDATED: u8 = 2;

impl User {
    /// Reads a `User` account of either exchange.
    ///
    /// # Errors
    /// [`PerpError::NotA`].
    pub fn read(address: &Address, owner: &Address, data: &[u8]) -> Result<Self, PerpError> {
        let (exchange, layout) =
            check("user", address, owner, data, &discriminator::USER, |all| all.user, |at| at.len)?;
        let array = |start, len: usize| data[start..start + POSITIONS * len].chunks_exact(len);
        let status = data[layout.status];
        Ok(Self {
            account: SubAccount {
                exchange,
                authority: key(data, layout.authority),
                id: u16_at(data, layout.sub_account_id),
            },
            spot_positions: array(layout.spot_positions, spot_position::LEN)
                .filter_map(SpotPosition::read)
                .collect(),
            perp_positions: array(layout.perp_positions, layout.perp_position.len)
                .filter_map(|data| PerpPosition::read(&layout.perp_position, data))
                .collect(),
            pool_id: data[layout.pool_id],
            open_orders: data[layout.open_orders],
            is_being_liquidated: status & STATUS_BEING_LIQUIDATED != 0,
            is_bankrupt: status & STATUS_BANKRUPT != 0,
            liquidation_margin_freed: u64_at(data, layout.liquidation_margin_freed),
            last_active_slot: u64_at(data, layout.last_active_slot),
            high_leverage: layout.margin_mode.is_some_and(|at| data[at] != 0),
        })
    }

    /// Spot markets it has positions in. A perp position adds the market that it
    /// is settled in, which [`PerpMarket::quote_spot_market`] names.
    #[must_use]
    pub fn spot_markets(&self) -> BTreeSet<u16> {
        self.spot_positions.iter().map(|position| position.market).collect()
    }

    /// Perp markets it has positions in.
    #[must_use]
    pub fn perp_markets(&self) -> BTreeSet<u16> {
        self.perp_positions.iter().map(|position| position.market).collect()
    }

    /// The position in a perp market.
    ///
    /// # Errors
    /// [`PerpError::NoPosition`].
    pub fn perp(&self, market: u16) -> Result<&PerpPosition, PerpError> {
        let missing = PerpError::NoPosition { what: "position", kind: "perp", index: market };
        self.perp_positions.iter().find(|position| position.market == market).ok_or(missing)
    }

    /// The deposit or borrow in a spot market.
    ///
    /// # Errors
    /// [`PerpError::NoPosition`].
    pub fn spot(&self, market: u16, is_borrow: bool) -> Result<&SpotPosition, PerpError> {
        let what = if is_borrow { "borrow" } else { "deposit" };
        let missing = PerpError::NoPosition { what, kind: "spot", index: market };
        let is_it = |position: &&SpotPosition| {
            position.market == market
                && position.is_borrow == is_borrow
                && position.scaled_balance != 0
        };
        self.spot_positions.iter().find(is_it).ok_or(missing)
    }
}

impl SpotPosition {
    fn read(data: &[u8]) -> Option<Self> {
        let position = Self {
            market: u16_at(data, spot_position::MARKET_INDEX),
            scaled_balance: u64_at(data, spot_position::SCALED_BALANCE),
            is_borrow: data[spot_position::BALANCE_TYPE] == 1,
            open_orders: data[spot_position::OPEN_ORDERS],
        };
        Some(position).filter(|position| position.scaled_balance != 0 || position.open_orders != 0)
    }
}

impl PerpPosition {
    fn read(layout: &layout::PerpPositionLayout, data: &[u8]) -> Option<Self> {
        let number = |at| i64::from_le_bytes(field(data, at));
        let flag = data[layout.flag];
        let isolated_balance = u64_at(data, layout.isolated_balance);
        let position = Self {
            market: u16_at(data, layout.market_index),
            base: number(layout.base),
            quote: number(layout.quote),
            funding_rate: number(layout.last_cumulative_funding_rate),
            open_bids: number(layout.open_bids),
            open_asks: number(layout.open_asks),
            open_orders: data[layout.open_orders],
            isolated_balance: (flag & FLAG_ISOLATED != 0).then_some(isolated_balance),
            is_being_liquidated: flag & FLAG_BEING_LIQUIDATED != 0,
        };
        let numbers = [position.base, position.quote, position.open_bids, position.open_asks];
        let in_use = numbers != [0; 4]
            || isolated_balance != 0
            || position.open_orders != 0
            || position.is_being_liquidated;
        in_use.then_some(position)
    }
}

/// A sub-account that was read and had nothing in it: the only kind that a
/// liquidation is built for.
///
/// What lies on the exchange when a liquidation begins comes back with its
/// proceeds and looks like profit to the bracket, which sees token accounts only.
/// Therefore the account is to be empty before, and
/// [`super::instruction::require_empty`] holds it to that when the transaction
/// executes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmptyAccount(SubAccount);

impl EmptyAccount {
    /// Reads the account that is to take over.
    ///
    /// # Errors
    /// [`PerpError::NotA`]; [`PerpError::NotEmpty`]; [`PerpError::Status`];
    /// [`PerpError::OtherPool`], since what proves it empty also puts it into
    /// pool 0.
    pub fn read(address: &Address, owner: &Address, data: &[u8]) -> Result<Self, PerpError> {
        let user = User::read(address, owner, data)?;
        let (address, orders) = (*address, user.open_orders);
        if user.is_being_liquidated || user.is_bankrupt {
            let what = if user.is_bankrupt { "bankrupt" } else { "being liquidated" };
            return Err(PerpError::Status { address, what });
        }
        let (deposits, positions) = (user.spot_positions.len(), user.perp_positions.len());
        if deposits + positions + usize::from(orders) != 0 {
            return Err(PerpError::NotEmpty { address, deposits, positions, orders });
        }
        if user.pool_id != 0 {
            return Err(PerpError::OtherPool { address, found: user.pool_id, expected: 0 });
        }
        Ok(Self(user.account))
    }

    /// An account that is not there yet, and the instructions that open it: they have
    /// to stand in front of the loan, in the same transaction. `has_stats` says whether
    /// the wallet has had an account on the exchange before.
    #[must_use]
    pub fn opened(account: SubAccount, has_stats: bool) -> (Self, Vec<Instruction>) {
        let stats = initialize_user_stats(account.exchange, &account.authority);
        let mut opening = if has_stats { vec![] } else { vec![stats] };
        opening.push(initialize_user(account, [b' '; 32]));
        (Self(account), opening)
    }

    /// The account.
    #[must_use]
    pub fn account(&self) -> SubAccount {
        self.0
    }
}

/// A spot market, as its account states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpotMarket {
    /// Where it is.
    pub exchange: Exchange,
    /// Its account.
    pub address: Address,
    /// Its number.
    pub index: u16,
    /// Its oracle; none where the price is one dollar by definition.
    pub oracle: Option<Address>,
    /// Kind of the oracle.
    pub oracle_source: u8,
    /// Mint of its token.
    pub mint: Address,
    /// Where its tokens are.
    pub vault: Address,
    /// Token program of the mint.
    pub token_program: Address,
    /// Whether transfers call a hook.
    pub has_transfer_hook: bool,
    /// Pool of markets that it is in.
    pub pool_id: u8,
    /// What a quote needs.
    pub risk: SpotRisk,
}

/// Terms of a spot market, as far as they decide about liquidations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpotRisk {
    /// Decimals of the token, at most 18.
    pub decimals: u32,
    /// What a scaled deposit has grown to, of 10^10.
    pub deposit_interest: u128,
    /// What a scaled borrow has grown to, of 10^10.
    pub borrow_interest: u128,
    /// Share of a deposit that counts before a liquidation, of 10^4.
    pub asset_weight: u32,
    /// What a borrow counts for before a liquidation, of 10^4.
    pub liability_weight: u32,
    /// How the weights worsen with size, of 10^6.
    pub imf_factor: u32,
    /// Liquidator's discount, of 10^6.
    pub liquidator_fee: u32,
    /// The most that the insurance fund takes of a liquidation, of 10^6.
    pub insurance_fee: u32,
}

impl SpotMarket {
    /// Reads a `SpotMarket` account of either exchange.
    ///
    /// # Errors
    /// [`PerpError::NotA`].
    pub fn read(address: &Address, owner: &Address, data: &[u8]) -> Result<Self, PerpError> {
        let (exchange, at) = check(
            "spot market",
            address,
            owner,
            data,
            &discriminator::SPOT_MARKET,
            |all| all.spot_market,
            |at| at.len,
        )?;
        let flag = data[at.token_program_flag];
        let is_token_2022 = flag & token_program_flag::TOKEN_2022 != 0;
        let decimals = u32_at(data, at.decimals);
        if decimals > 18 {
            return Err(PerpError::NotA { what: "spot market", address: *address });
        }
        Ok(Self {
            exchange,
            address: *address,
            index: u16_at(data, at.market_index),
            oracle: oracle(data, at.oracle),
            oracle_source: data[at.oracle_source],
            mint: key(data, at.mint),
            vault: key(data, at.vault),
            token_program: if is_token_2022 { TOKEN_2022_PROGRAM_ID } else { TOKEN_PROGRAM_ID },
            has_transfer_hook: flag & token_program_flag::TRANSFER_HOOK != 0,
            pool_id: data[at.pool_id],
            risk: SpotRisk {
                decimals,
                deposit_interest: u128_at(data, at.cumulative_deposit_interest),
                borrow_interest: u128_at(data, at.cumulative_borrow_interest),
                asset_weight: u32_at(data, at.maintenance_asset_weight),
                liability_weight: u32_at(data, at.maintenance_liability_weight),
                imf_factor: u32_at(data, at.imf_factor),
                liquidator_fee: u32_at(data, at.liquidator_fee),
                insurance_fee: u32_at(data, at.if_liquidation_fee),
            },
        })
    }
}

/// A perp market, as its account states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerpMarket {
    /// Where it is.
    pub exchange: Exchange,
    /// Its account.
    pub address: Address,
    /// Its number.
    pub index: u16,
    /// Its oracle; none where the price is one dollar by definition.
    pub oracle: Option<Address>,
    /// Kind of the oracle.
    pub oracle_source: u8,
    /// Spot market that profits are settled in.
    pub quote_spot_market: u16,
    /// Pool of markets that it is in.
    pub pool_id: u8,
    /// What a quote needs.
    pub risk: PerpRisk,
}

/// Terms of a perp market, as far as they decide about liquidations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerpRisk {
    /// 1 when it is in ordinary operation.
    pub status: u8,
    /// 0 for an ordinary perpetual.
    pub contract_type: u8,
    /// Cumulative funding that longs have paid, of 10^9 a unit of base.
    pub funding_rate_long: i128,
    /// Cumulative funding that shorts have received.
    pub funding_rate_short: i128,
    /// Sizes are multiples of this.
    pub step_size: u64,
    /// How the margin ratio worsens with size, of 10^6.
    pub imf_factor: u32,
    /// Liquidator's discount, of 10^6.
    pub liquidator_fee: u32,
    /// The most that the insurance fund takes of a liquidation, of 10^6.
    pub insurance_fee: u32,
    /// Margin that a position takes before a liquidation, of 10^4.
    pub margin_ratio: u32,
    /// The same under Drift's high leverage; none where it is not offered.
    pub high_leverage_margin_ratio: Option<u32>,
    /// Share of a profit not settled that counts before a liquidation, of 10^4.
    pub pnl_weight: u32,
}

impl PerpMarket {
    /// Reads a `PerpMarket` account of either exchange.
    ///
    /// # Errors
    /// [`PerpError::NotA`].
    pub fn read(address: &Address, owner: &Address, data: &[u8]) -> Result<Self, PerpError> {
        let (exchange, at) = check(
            "perp market",
            address,
            owner,
            data,
            &discriminator::PERP_MARKET,
            |all| all.perp_market,
            |at| at.len,
        )?;
        let funding = |at| i128::from_le_bytes(field(data, at));
        Ok(Self {
            exchange,
            address: *address,
            index: u16_at(data, at.market_index),
            oracle: oracle(data, at.oracle),
            oracle_source: data[at.oracle_source],
            quote_spot_market: u16_at(data, at.quote_spot_market_index),
            pool_id: data[at.pool_id],
            risk: PerpRisk {
                status: data[at.status],
                contract_type: data[at.contract_type],
                funding_rate_long: funding(at.cumulative_funding_rate_long),
                funding_rate_short: funding(at.cumulative_funding_rate_short),
                step_size: u64_at(data, at.order_step_size),
                imf_factor: u32_at(data, at.imf_factor),
                liquidator_fee: u32_at(data, at.liquidator_fee),
                insurance_fee: u32_at(data, at.if_liquidation_fee),
                margin_ratio: u32_at(data, at.margin_ratio_maintenance),
                high_leverage_margin_ratio: at
                    .high_leverage_margin_ratios
                    .map(|ratios| ratios.map(|at| u32::from(u16_at(data, at))))
                    .filter(|ratios| !ratios.contains(&0))
                    .map(|[_, maintenance]| maintenance),
                pnl_weight: u32_at(data, at.unrealized_pnl_maintenance_asset_weight),
            },
        })
    }

    /// Whether the exchange itself writes the oracle's price (markets before their
    /// token's launch).
    fn oracle_is_written(&self) -> bool {
        self.oracle_source == oracle_source::PRELAUNCH
    }
}

/// How an exchange liquidates, as its state account says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Which exchange's it is.
    pub exchange: Exchange,
    /// What liabilities count for more until a liquidation is over, of 10^4.
    pub margin_buffer: u32,
    /// Share of the shortage that may be freed at once, of 10^4.
    pub initial_share: u16,
    /// Slots after which all of it may be freed.
    pub duration_slots: u8,
    /// What is paused: 1 deposits, 2 withdrawals, 4 the market maker, 8 fills,
    /// 16 liquidations, 32 funding, 64 settling.
    pub paused: u8,
}

impl State {
    /// Reads Drift's `State` account.
    ///
    /// # Errors
    /// [`PerpError::NotA`]; [`PerpError::NoQuote`] for Velocity's, whose
    /// liquidations have a pace of another kind.
    pub fn read(address: &Address, owner: &Address, data: &[u8]) -> Result<Self, PerpError> {
        if Exchange::of(owner) == Some(Exchange::Velocity) {
            return Err(PerpError::NoQuote { what: VELOCITY_PACE });
        }
        let (exchange, at) = check(
            "state",
            address,
            owner,
            data,
            &discriminator::STATE,
            |_| layout::DRIFT_STATE,
            |at| at.len,
        )?;
        Ok(Self {
            exchange,
            margin_buffer: u32_at(data, at.liquidation_margin_buffer_ratio),
            initial_share: u16_at(data, at.initial_pct_to_liquidate),
            duration_slots: data[at.liquidation_duration],
            paused: data[at.exchange_status],
        })
    }
}

/// Why nothing is quoted on Velocity.
pub(super) const VELOCITY_PACE: &str =
    "Velocity paces liquidations by time and takes a fee of its own; its rules are not modelled";

/// The markets that the instructions of one transaction list: those of all
/// positions of the users involved, and those the instructions change. Listing
/// one more than needed costs an account and a few hundred compute units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Markets {
    exchange: Exchange,
    spot: BTreeMap<u16, SpotMarket>,
    perp: BTreeMap<u16, PerpMarket>,
}

/// Markets that an instruction changes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Changed<'a> {
    pub(super) spot: &'a [u16],
    pub(super) perp: &'a [u16],
}

impl Markets {
    /// These markets, in any order.
    ///
    /// # Errors
    /// [`PerpError::OtherExchange`] when one is not of `exchange`.
    pub fn new(
        exchange: Exchange,
        spot: impl IntoIterator<Item = SpotMarket>,
        perp: impl IntoIterator<Item = PerpMarket>,
    ) -> Result<Self, PerpError> {
        let mut markets = Self { exchange, spot: BTreeMap::new(), perp: BTreeMap::new() };
        for market in spot {
            same_exchange("a spot market", market.exchange, exchange)?;
            markets.spot.insert(market.index, market);
        }
        for market in perp {
            same_exchange("a perp market", market.exchange, exchange)?;
            markets.perp.insert(market.index, market);
        }
        Ok(markets)
    }

    /// Where they are.
    #[must_use]
    pub fn exchange(&self) -> Exchange {
        self.exchange
    }

    /// A spot market.
    ///
    /// # Errors
    /// [`PerpError::MarketMissing`].
    pub fn spot(&self, index: u16) -> Result<&SpotMarket, PerpError> {
        self.spot.get(&index).ok_or(PerpError::MarketMissing { kind: "spot", index })
    }

    /// A perp market.
    ///
    /// # Errors
    /// [`PerpError::MarketMissing`].
    pub fn perp(&self, index: u16) -> Result<&PerpMarket, PerpError> {
        self.perp.get(&index).ok_or(PerpError::MarketMissing { kind: "perp", index })
    }

    /// All markets' oracles, with the kind each is read by.
    pub fn oracles(&self) -> BTreeMap<Address, u8> {
        let spot = self.spot.values().map(|market| (market.oracle, market.oracle_source));
        let perp = self.perp.values().map(|market| (market.oracle, market.oracle_source));
        spot.chain(perp).filter_map(|(oracle, kind)| Some((oracle?, kind))).collect()
    }

    /// Whether every market that `user` has a position in is here. Of every account
    /// whose margin an instruction looks at: of the one that is liquidated, and of
    /// the keeper's own.
    ///
    /// # Errors
    /// [`PerpError::MarketMissing`], naming the first that is not;
    /// [`PerpError::OtherExchange`].
    pub fn cover(&self, user: &User) -> Result<(), PerpError> {
        same_exchange("the user", user.account.exchange, self.exchange)?;
        user.spot_markets().into_iter().try_for_each(|index| self.spot(index).map(drop))?;
        user.perp_markets().into_iter().try_for_each(|index| self.perp(index).map(drop))
    }

    /// Oracles, then spot markets, then perp markets; those in `changed` writable.
    /// `exchange` is that of the account that acts.
    pub(super) fn metas(
        &self,
        exchange: Exchange,
        changed: Changed,
    ) -> Result<Vec<AccountMeta>, PerpError> {
        same_exchange("the list of markets", self.exchange, exchange)?;
        changed.spot.iter().try_for_each(|index| self.spot(*index).map(drop))?;
        changed.perp.iter().try_for_each(|index| self.perp(*index).map(drop))?;
        // Margin is counted in the quote asset, whatever the positions are.
        self.spot(QUOTE_SPOT_MARKET)?;
        self.perp.values().try_for_each(|market| self.spot(market.quote_spot_market).map(drop))?;

        let mut oracles = BTreeMap::<Address, bool>::new();
        for oracle in self.spot.values().filter_map(|market| market.oracle) {
            oracles.entry(oracle).or_default();
        }
        for market in self.perp.values() {
            if let Some(oracle) = market.oracle {
                let written = market.oracle_is_written() && changed.perp.contains(&market.index);
                *oracles.entry(oracle).or_default() |= written;
            }
        }
        let meta = |pubkey, is_writable| AccountMeta { pubkey, is_signer: false, is_writable };
        let spot = self.spot.values();
        let perp = self.perp.values();
        Ok(oracles
            .into_iter()
            .chain(spot.map(|market| (market.address, changed.spot.contains(&market.index))))
            .chain(perp.map(|market| (market.address, changed.perp.contains(&market.index))))
            .map(|(key, is_writable)| meta(key, is_writable))
            .collect())
    }
}

pub(super) fn same_exchange(
    what: &'static str,
    found: Exchange,
    expected: Exchange,
) -> Result<(), PerpError> {
    if found == expected {
        return Ok(());
    }
    Err(PerpError::OtherExchange { what, found, expected })
}

/// The exchange that an account is of, and its layout there, once owner,
/// discriminator and length fit.
fn check<T>(
    what: &'static str,
    address: &Address,
    owner: &Address,
    data: &[u8],
    discriminator: &[u8; 8],
    layout: impl FnOnce(&layout::Layout) -> T,
    len: impl FnOnce(&T) -> usize,
) -> Result<(Exchange, T), PerpError> {
    let refused = PerpError::NotA { what, address: *address };
    let exchange = Exchange::of(owner).ok_or(refused)?;
    let layout = layout(exchange.layout());
    if !data.starts_with(discriminator) || data.len() != len(&layout) {
        return Err(refused);
    }
    Ok((exchange, layout))
}

fn u16_at(data: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(field(data, at))
}

fn u32_at(data: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(field(data, at))
}

fn u64_at(data: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(field(data, at))
}

fn u128_at(data: &[u8], at: usize) -> u128 {
    u128::from_le_bytes(field(data, at))
}

/// Zeros stand where a price is one dollar by definition.
fn oracle(data: &[u8], at: usize) -> Option<Address> {
    Some(key(data, at)).filter(|oracle| *oracle != Address::default())
}
