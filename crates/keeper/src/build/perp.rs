//! A perp liquidation on Drift or Velocity with a klend flash loan around it.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use flash_liquidator_client::{
    bracket::{Guard, GuardedFlash, Guards, derive_guards},
    compute_budget::{ComputeBudget, MAX_COMPUTE_UNITS},
    klend::{FlashLoan, ReserveAddresses},
    lookup_table,
    perps::{
        EmptyAccount, Exchange, Health, Leftover, Maker, Markets, PerpError, PerpLiquidation,
        PerpMarket, PerpQuote, Prices, QUOTE_SPOT_MARKET, SpotMarket, State, SubAccount, TakeOver,
        User, View,
    },
    token::create_associated_token_account,
};
use klend_model::accounts;
use solana_account::Account;
use solana_address::Address;
use solana_instruction::Instruction;
use solana_message::AddressLookupTableAccount;

use super::simulation::mentioned;
use crate::feeds::source::{Filter, KLEND, Source};

/// What is to be liquidated, and how.
pub struct Wishes {
    /// The user's account on the exchange.
    pub user: Address,
    /// Perp market to liquidate in; else the user's largest position.
    pub perp_market: Option<u16>,
    /// The most to take over, billionths of the base asset.
    pub max_base: u64,
    /// Raw units of the quote token; else a quarter of what is handed over.
    pub loan: Option<u64>,
    /// klend market that lends it.
    pub market: Address,
    /// Number of the keeper's own sub-account.
    pub sub_account: u16,
    /// Prices of oracles that cannot be read, millionths of a dollar.
    pub prices: Vec<(Address, i64)>,
    /// Users whose losses are settled first.
    pub settle_first: Vec<Address>,
    /// Users whose resting orders may fill the close.
    pub makers: Vec<Address>,
    /// A profit that the pool cannot pay may stay on the exchange.
    pub leftover: Leftover,
    /// Raw units of the quote token, after loan and fee.
    pub min_profit: i64,
    /// From now; 0 for no deadline.
    pub deadline_slots: u64,
    /// Micro-lamports per compute unit.
    pub priority_fee: u64,
}

/// What is known of how much is handed over.
pub enum Quoted {
    /// Nothing: the user cannot be liquidated.
    Healthy,
    /// So much.
    Base(PerpQuote),
    /// It cannot be computed, and why; the simulation tells.
    Unknown(PerpError),
}

/// The user, its markets and their prices.
pub struct Scene {
    pub exchange: Exchange,
    pub slot: u64,
    pub user: User,
    markets: Markets,
    prices: Prices,
    /// Why there is no quote on this exchange, where there is none.
    state: Result<State, PerpError>,
    /// Oracles that could not be read.
    unread: Vec<PerpError>,
}

impl Scene {
    pub fn load(source: &dyn Source, wishes: &Wishes) -> Result<Self> {
        let account = source.account("user", &wishes.user)?;
        let user = User::read(&wishes.user, &account.owner, &account.data)?;
        let exchange = user.account.exchange;
        let read = |what: &str, key: Address| {
            source.account(what, &key).map(|account| (key, account.owner, account.data))
        };
        let mut perp = Vec::new();
        for index in user.perp_markets() {
            let (key, owner, data) = read("perp market", exchange.perp_market(index))?;
            perp.push(PerpMarket::read(&key, &owner, &data)?);
        }
        let mut needed = user.spot_markets();
        needed.insert(QUOTE_SPOT_MARKET);
        needed.extend(perp.iter().map(|market| market.quote_spot_market));
        let mut spot = Vec::new();
        for index in needed {
            let (key, owner, data) = read("spot market", exchange.spot_market(index))?;
            spot.push(SpotMarket::read(&key, &owner, &data)?);
        }
        let markets = Markets::new(exchange, spot, perp)?;
        let mut prices = Prices::new(wishes.prices.iter().copied());
        let mut unread = Vec::new();
        for (oracle, kind) in markets.oracles() {
            if wishes.prices.iter().any(|(given, _)| *given == oracle) {
                continue;
            }
            let (oracle, owner, data) = read("oracle", oracle)?;
            unread.extend(prices.read(&oracle, kind, &owner, &data).err());
        }
        let (key, owner, data) = read("state", exchange.state())?;
        let state = State::read(&key, &owner, &data);
        let slot = source.clock()?.slot;
        Ok(Self { exchange, slot, user, markets, prices, state, unread })
    }

    fn view(&self) -> View<'_> {
        View { user: &self.user, markets: &self.markets, prices: &self.prices }
    }

    /// Where to liquidate.
    pub fn market(&self, wishes: &Wishes) -> Result<u16> {
        let market = wishes.perp_market.or_else(|| {
            let open = self.user.perp_positions.iter().filter(|position| position.base != 0);
            let largest = open.max_by_key(|position| position.quote.unsigned_abs())?;
            Some(largest.market)
        });
        let market = market.with_context(|| format!("{} has no perp position", wishes.user))?;
        self.user.perp(market)?;
        Ok(market)
    }

    pub fn quote(&self, market: u16, max_base: u64) -> Result<Quoted> {
        let quote = self
            .state
            .and_then(|state| self.view().quote_perp(&state, market, max_base, self.slot));
        Ok(match quote {
            Ok(None) => Quoted::Healthy,
            Ok(Some(quote)) => Quoted::Base(quote),
            Err(error @ PerpError::NoPosition { .. }) => return Err(error.into()),
            Err(error) => Quoted::Unknown(*self.unread.first().unwrap_or(&error)),
        })
    }

    pub fn health(&self, market: u16) -> Option<Health> {
        let isolated = self.user.perp(market).ok()?.isolated_balance.is_some();
        let health =
            if isolated { self.view().isolated_health(market, 0) } else { self.view().health(0) };
        health.ok()
    }

    /// The loan: a quarter of what is handed over backs it at an initial margin of up
    /// to 25 %.
    fn loan(&self, quote: &Quoted, wishes: &Wishes) -> Result<u64> {
        if let Some(loan) = wishes.loan {
            return Ok(loan);
        }
        match quote {
            Quoted::Base(quote) => {
                let value = u128::from(quote.base) * u128::from(quote.oracle_price) / 1_000_000_000;
                let decimals = self.markets.spot(QUOTE_SPOT_MARKET)?.risk.decimals;
                let units = value / 4 * 10u128.pow(decimals) / 1_000_000;
                Ok(u64::try_from(units)?.max(1))
            }
            _ => bail!("how much is handed over is not known: give --loan"),
        }
    }

    /// What is to be executed.
    pub fn transaction(
        &self,
        source: &dyn Source,
        keeper: &Address,
        market: u16,
        quote: &Quoted,
        wishes: &Wishes,
    ) -> Result<Transaction> {
        let loan = self.loan(quote, wishes)?;
        let mint = self.markets.spot(QUOTE_SPOT_MARKET)?.mint;
        let reserve = lender(source, &wishes.market, &mint, loan)?;
        let account =
            SubAccount { exchange: self.exchange, authority: *keeper, id: wishes.sub_account };
        let [key, stats] = [account.address(), account.stats()];
        let found = source.accounts(&[key, stats])?;
        let (empty, mut setup) = match &found[0] {
            Some(found) => (EmptyAccount::read(&key, &found.owner, &found.data)?, vec![]),
            None => EmptyAccount::opened(account, found[1].is_some()),
        };
        let creation = create_associated_token_account(
            keeper,
            keeper,
            &mint,
            &reserve.liquidity_token_program,
        );
        let token_account = creation.accounts[1].pubkey;
        if source.accounts(&[token_account])? == [None] {
            setup.push(creation);
        }
        let read = |key: &Address| -> Result<SubAccount> {
            let user = source.account("user", key)?;
            Ok(User::read(key, &user.owner, &user.data)?.account)
        };
        let losers = wishes.settle_first.iter().map(read).collect::<Result<Vec<_>>>()?;
        let maker = |key: &Address| -> Result<Maker> {
            Ok(Maker { user: *key, stats: read(key)?.stats() })
        };
        let makers = wishes.makers.iter().map(maker).collect::<Result<Vec<_>>>()?;
        let body = PerpLiquidation {
            account: empty,
            user: &self.user,
            markets: &self.markets,
            token_account,
            loan,
            take_over: TakeOver::Perp {
                market,
                max_base: wishes.max_base,
                limit_price: match quote {
                    Quoted::Base(quote) => Some(quote.price),
                    _ => None,
                },
                close_limit: None,
                makers: &makers,
                order_book: None,
                settle_first: &losers,
            },
            leftover: wishes.leftover,
        }
        .body()?;
        let written = mentioned(&body, keeper);
        let accounts: BTreeMap<Address, Account> = written
            .iter()
            .zip(source.accounts(&written)?)
            .filter_map(|(key, account)| Some((*key, account?)))
            .collect();
        let read =
            |key: &Address| accounts.get(key).map(|account| (account.owner, account.data.clone()));
        let guards = derive_guards(keeper, &token_account, &body, read)?;
        Ok(Transaction {
            keeper: *keeper,
            account,
            reserve,
            token_account,
            loan,
            min_profit: wishes.min_profit,
            deadline_slot: match wishes.deadline_slots {
                0 => 0,
                slots => self.slot + slots,
            },
            budget: ComputeBudget {
                unit_limit: Some(MAX_COMPUTE_UNITS),
                unit_price: wishes.priority_fee,
            },
            guards,
            setup,
            body,
        })
    }
}

/// A liquidation with the loan around it.
pub struct Transaction {
    keeper: Address,
    /// The keeper's own on the exchange.
    pub account: SubAccount,
    reserve: ReserveAddresses,
    token_account: Address,
    loan: u64,
    min_profit: i64,
    pub deadline_slot: u64,
    budget: ComputeBudget,
    guards: Vec<Guard>,
    setup: Vec<Instruction>,
    body: Vec<Instruction>,
}

impl Transaction {
    pub fn instructions(&self) -> Result<Vec<Instruction>> {
        let guards = match &self.guards[..] {
            [] => Guards::DebtAccountOnly,
            guards => Guards::These(guards),
        };
        let flash = GuardedFlash {
            loan: FlashLoan {
                reserve: &self.reserve,
                borrower: self.keeper,
                token_account: self.token_account,
                referrer: None,
            },
            amount: self.loan,
            min_profit: self.min_profit,
            deadline_slot: self.deadline_slot,
            max_lamports_spent: 0,
            guards,
            compute_budget: self.budget,
            setup: self.setup.clone(),
            body: self.body.clone(),
        };
        Ok(flash.instructions()?)
    }

    /// What it used here, and a tenth.
    pub fn limit_units(&mut self, used: u64) -> Result<()> {
        let limit = (used + used / 10).min(MAX_COMPUTE_UNITS.into());
        self.budget.unit_limit = Some(u32::try_from(limit)?);
        Ok(())
    }
}

/// The lookup tables that were named.
pub fn read_tables(
    source: &dyn Source,
    keys: &[Address],
) -> Result<Vec<AddressLookupTableAccount>> {
    keys.iter()
        .map(|key| {
            let account = source.account("lookup table", key)?;
            lookup_table::read(key, &account.owner, &account.data)
                .with_context(|| format!("account {key} is not a lookup table"))
        })
        .collect()
}

/// The reserve of a klend market that lends this token, the fullest.
fn lender(
    source: &dyn Source,
    market: &Address,
    mint: &Address,
    loan: u64,
) -> Result<ReserveAddresses> {
    let mut best: Option<(u64, ReserveAddresses)> = None;
    for (key, account) in source.program_accounts(&KLEND, Filter::reserves(market))? {
        let reserve = accounts::reserve(&key, &account.owner, &account.data)?;
        let addresses = ReserveAddresses::read(&key, reserve);
        let available = reserve.liquidity.total_available_amount;
        if addresses.liquidity_mint == *mint
            && best.as_ref().is_none_or(|(most, _)| *most < available)
        {
            best = Some((available, addresses));
        }
    }
    let (available, addresses) =
        best.with_context(|| format!("market {market} has no reserve of token {mint}"))?;
    if available < loan {
        bail!("a loan of {loan} is needed and reserve {} has {available}", addresses.reserve);
    }
    Ok(addresses)
}
