//! From an obligation to the transaction that liquidates it.

use std::{fs, path::Path, time::Instant};

use anyhow::{Context as _, Result, anyhow};
use flash_liquidator_client::{
    budget::{self, BudgetError},
    compute_budget::{ComputeBudget, MAX_COMPUTE_UNITS},
    flash_liquidation::{FlashLiquidation, KeeperAccounts, Requirement},
    klend::{PositionAddresses, ReserveAddresses},
    order::{Limits, Order},
    receiver::{Redemption, Route, Terms, swap_authority},
    swap::jupiter::{self, Allowed, Stated},
    tip::Tip,
    token::TOKEN_PROGRAM_ID,
    units,
};
use klend_fork::NATIVE_MINT;
use klend_interface::state::Obligation;
use klend_model::search::Best;
use solana_address::Address;
use solana_instruction::{AccountMeta, Instruction};
use solana_message::AddressLookupTableAccount;

use super::{
    fit::tables,
    pricing::{Priced, Pricing, as_counted},
};
use crate::{
    book::{pools::Offered, view::View},
    route::{
        fees::{FeeRules, Offer, most_unit_price, pick},
        halted::Halted,
        position::{Position, Search},
        terms::{Costs, Exchange, TooLittle, units_of_usd},
        venue::{Sale, Sold, Ways, by_offer, leg_tolerance},
        why::Unread,
    },
};

/// Bytes of a token account of SPL Token.
const TOKEN_ACCOUNT_LEN: u64 = 165;
/// Most bytes of a new token account of Token-2022, whose mint may ask for extensions:
/// the kind of account, an immutable owner, and what transfer fees, transfer hooks,
/// pausing and non-transferability add.
const TOKEN_2022_ACCOUNT_LEN: u64 = TOKEN_ACCOUNT_LEN + 1 + 4 + 12 + 5 + 4 + 4;
/// Bytes of an obligation's stake in a farm.
const FARM_STAKE_LEN: u64 = 920;
/// Bytes of what klend keeps for a referrer in a reserve.
const REFERRER_STATE_LEN: u64 = 360;

/// How the least profit is decided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Least {
    /// US dollars that have to be left after all costs.
    Usd(f64),
    /// Raw units of the debt that the operator says, whatever it costs.
    Raw(i64),
}

/// How fees and tip are decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fees {
    /// By the operator, whatever is quoted.
    Stated { offer: Offer, tip_account: Option<Address> },
    /// By rules.
    Rules(FeeRules),
}

/// What an operator wants of a liquidation.
#[derive(Clone, Debug, PartialEq)]
pub struct Wishes {
    pub search: Search,
    /// How much less collateral than quoted is accepted, bps.
    pub slippage_bps: u16,
    /// How much of the quoted profit may be lost until it lands, bps.
    pub tolerance_bps: u16,
    pub least: Least,
    pub fees: Fees,
    /// Slots after which it must not execute any more; 0 for no deadline.
    pub deadline_slots: u64,
    /// Price of SOL in US dollars, where no market says it.
    pub sol_usd: Option<f64>,
    /// Account that asks block engines not to put others in front.
    pub dont_front: Option<Address>,
    /// Recorded answer of Jupiter's and the input it was quoted for.
    pub jupiter: Option<(std::path::PathBuf, u64)>,
    /// Lookup tables.
    pub tables: Vec<Address>,
    /// It is simulated before it is signed, and decided on by the compute units that it uses.
    pub simulates: bool,
}

/// A liquidation as it will be sent.
#[derive(Clone)]
pub struct Plan {
    pub best: Best,
    pub keeper: Address,
    /// The obligation as it was when this was decided.
    pub before: Box<Obligation>,
    pub order: Order,
    /// klend's fee for the loan.
    pub flash_fee: u64,
    pub route: Option<Route>,
    /// Ticks or bins that its swaps cross as quoted.
    pub crossed: u32,
    /// Compute units that its swaps take as quoted, where that is known.
    pub swap_units: Option<u32>,
    /// What an aggregator's route states, if it sells by one.
    pub offered: Option<Stated>,
    /// Lookup tables: the keeper's, and those the route brings along.
    pub table_keys: Vec<Address>,
    pub compute_budget: ComputeBudget,
    /// What it costs when it lands.
    pub costs: Costs,
    /// The same in raw units of the debt, where SOL has a price.
    pub cost: Option<u64>,
    /// Prices written first.
    pub price_refresh: Option<Instruction>,
    setup: Vec<Instruction>,
    tip: Option<Tip>,
    pricing: Option<Pricing>,
    dont_front: Option<Address>,
    addresses: PositionAddresses,
}

impl Plan {
    /// Decides everything but the compute-unit limit, which a simulation tells.
    /// `tries` are those before this one that did not land; `random` chooses who gets
    /// the tip.
    ///
    /// # Errors
    /// [`Unread`]; [`TooLittle`] and [`TooDear`](crate::route::fees::TooDear) when it does
    /// not pay; [`Halted`] when it
    /// would make an account that cannot be used; klend's reason when it allows no
    /// liquidation.
    ///
    /// A route of two legs that does not fit into a transaction with the lookup tables at
    /// hand gives way to the best of one leg, with the size that is best for that.
    pub fn new(
        position: &Position<'_>,
        keeper: &Address,
        wishes: &Wishes,
        tries: u32,
        random: u64,
    ) -> Result<Self> {
        let plan = Self::by(position, keeper, wishes, tries, random, Ways::ALL)?;
        if wishes.jupiter.is_some() || wishes.tables.is_empty() || plan.is_small(position)? {
            return Ok(plan);
        }
        if plan.offered.is_some() {
            let plan = Self::by(position, keeper, wishes, tries, random, Ways::POOLS)?;
            if plan.is_small(position)? {
                return Ok(plan);
            }
        }
        Self::by(position, keeper, wishes, tries, random, Ways::ONE_POOL)
    }

    /// Whether it fits into a transaction, or one pool is all it sells in.
    fn is_small(&self, position: &Position<'_>) -> Result<bool> {
        let legs = self.route.as_ref().map_or(0, |route| route.legs.len());
        if legs < 2 && self.offered.is_none() {
            return Ok(true);
        }
        let tables = self.tables(position.view)?;
        let fits = budget::check_v0(&self.keeper, &self.instructions()?, &tables, None);
        Ok(!matches!(fits, Err(BudgetError::Bytes { .. } | BudgetError::Accounts { .. })))
    }

    /// Sold by these ways.
    fn by(
        position: &Position<'_>,
        keeper: &Address,
        wishes: &Wishes,
        tries: u32,
        random: u64,
        ways: Ways,
    ) -> Result<Self> {
        let view = position.view;
        let best = position.best_by(&wishes.search, ways)?;
        let limits = Limits {
            min_profit: 0,
            slippage_bps: wishes.slippage_bps,
            loan_margin_bps: wishes.search.loan_margin_bps,
            deadline_slot: deadline(position.market.clock.slot, wishes.deadline_slots),
            redemption: Redemption::RequireFull,
        };
        let order =
            Order::of(&best, &limits).context("the liquidation found needs no flash loan")?;
        let addresses = addresses(position, &order.flash_reserve)?;
        let reserve = |key: &Address| {
            addresses.reserve(key).with_context(|| format!("reserve {key} was not read"))
        };
        let (repay, withdraw) = (reserve(&order.repay_reserve)?, reserve(&order.withdraw_reserve)?);
        let accounts = KeeperAccounts::associated(keeper, repay, withdraw);
        let mut table_keys = wishes.tables.clone();
        let sale = Sale {
            keeper,
            withdraw,
            repay,
            keeper_debt: &accounts.debt,
            amount: best.quote.received,
            ways,
            tolerance_bps: leg_tolerance(wishes.slippage_bps),
        };
        let sold = match &wishes.jupiter {
            Some((file, quoted)) => Some(recorded(file, *quoted, &sale)?),
            None => position.venue.route(&sale)?,
        };
        let (mut route, mut crossed, mut swap_units) = (None, 0, None);
        let (mut named, mut offered) = (Vec::new(), None);
        if let Some(sold) = sold {
            (route, crossed, swap_units) = (Some(sold.route), sold.crossed, sold.units);
            (named, offered) = (sold.token_accounts, sold.offered);
            table_keys.extend(sold.tables);
        }
        let flash_fee = view
            .reserve(&order.flash_reserve)
            .context("the lending reserve is in no table")?
            .flash_fee(order.flash_amount)
            .map_err(|refusal| anyhow!("flash loan of {}: {refusal}", order.flash_amount))?;
        let mut plan = Self {
            best,
            keeper: *keeper,
            before: Box::new(*position.obligation),
            order,
            flash_fee,
            route,
            crossed,
            swap_units,
            offered,
            table_keys,
            compute_budget: ComputeBudget { unit_limit: Some(MAX_COMPUTE_UNITS), unit_price: 0 },
            costs: Costs::default(),
            cost: None,
            price_refresh: view.written.map(|written| written.instruction.clone()),
            setup: Vec::new(),
            tip: None,
            pricing: None,
            dont_front: wishes.dont_front,
            addresses,
        };
        let rent = plan.create_missing(view, named)?;
        plan.price(position, wishes, rent, tries, random)?;
        Ok(plan)
    }

    /// Puts the creation of what does not exist in front, `more` among it; returns its rent,
    /// lamports.
    fn create_missing(&mut self, view: &View<'_>, more: Vec<Requirement>) -> Result<u64> {
        let mut requirements = self.liquidation()?.requirements()?;
        for wanted in more {
            if !requirements.contains(&wanted) {
                requirements.push(wanted);
            }
        }
        let unread = view.accounts.unread(requirements.iter().map(Requirement::address));
        if !unread.is_empty() {
            return Err(Unread(unread).into());
        }
        let mut rent = 0u64;
        for wanted in requirements {
            if view.accounts.get(&wanted.address()).is_some() {
                continue;
            }
            if let Requirement::TokenAccount { mint, .. } = &wanted
                && let Some(halted) = Halted::anew(view.accounts, mint)
            {
                return Err(halted.into());
            }
            let len = match &wanted {
                Requirement::TokenAccount { token_program, .. }
                    if *token_program == TOKEN_PROGRAM_ID =>
                {
                    TOKEN_ACCOUNT_LEN
                }
                Requirement::TokenAccount { .. } => TOKEN_2022_ACCOUNT_LEN,
                Requirement::FarmStake { .. } => FARM_STAKE_LEN,
                Requirement::ReferrerState { .. } => REFERRER_STATE_LEN,
            };
            let creation = wanted.create(&self.keeper);
            if let Some(creation) = creation.filter(|new| !self.setup.contains(new)) {
                let of_one = view.chain.rent(len).context("the rent sysvar was not read")?;
                rent = rent.saturating_add(of_one);
                self.setup.push(creation);
            }
        }
        Ok(rent)
    }

    /// Decides fees, tip and the least profit, as far as the compute units are known.
    fn price(
        &mut self,
        position: &Position<'_>,
        wishes: &Wishes,
        rent: u64,
        tries: u32,
        random: u64,
    ) -> Result<()> {
        let view = position.view;
        let debt = view.reserve(&self.order.repay_reserve).context("the debt's reserve is gone")?;
        let exchange = if *debt.mint() == NATIVE_MINT {
            Some(Exchange::Same)
        } else {
            let oracle = view.sol().map(|sol| Exchange::Oracle { sol, debt });
            oracle.or(wishes.sol_usd.map(|sol_usd| Exchange::Stated { sol_usd, debt }))
        };
        let swaps = self.swap_units.map(|units| units.saturating_add(self.spare_units()));
        let units = units::estimate_selling(&self.instructions()?, swaps);
        let quoted = self.profit();
        let (worth, tip_account) = match &wishes.fees {
            Fees::Stated { tip_account, .. } => (0, *tip_account),
            Fees::Rules(rules) => {
                let exchange = exchange.as_ref().context(NO_PRICE)?;
                let profit = u64::try_from(quoted.max(0)).unwrap_or(u64::MAX);
                let stated = rules.tip.as_ref().map_or(&[][..], |tip| &tip.accounts);
                let accounts =
                    if stated.is_empty() { &view.chain.fees.tip_accounts } else { stated };
                let worth = exchange.to_lamports(profit).context(NO_PRICE)?;
                (worth, pick(accounts, random).copied())
            }
        };
        let floor = match wishes.least {
            Least::Raw(_) => 0,
            Least::Usd(usd) => units_of_usd(debt, usd).context("the debt has no price")?,
        };
        let pricing = Pricing {
            fees: wishes.fees.clone(),
            market: view.chain.fees.clone(),
            worth,
            tries,
            tip_account,
            rent,
            quoted,
            least: wishes.least,
            floor,
            tolerance_bps: wishes.tolerance_bps,
        };
        let cost_of = |lamports| exchange.as_ref()?.from_lamports(lamports);
        let priced = pricing.before_simulation(&units, wishes.simulates, &cost_of)?;
        self.pricing = Some(pricing);
        self.take(&priced, units.limit())
    }

    /// Takes a price, at a limit of compute units.
    fn take(&mut self, priced: &Priced, limit: u32) -> Result<()> {
        let tip_account = self.pricing.as_ref().and_then(|pricing| pricing.tip_account);
        self.tip = match (priced.costs.tip, tip_account) {
            (0, _) => None,
            (lamports, Some(account)) => Some(Tip { account, lamports }),
            (_, None) => {
                return Err(anyhow!("there is no account to tip: the block engine named none yet"));
            }
        };
        let unit_price = priced.unit_price;
        self.compute_budget = ComputeBudget { unit_limit: Some(limit), unit_price };
        (self.costs, self.cost) = (priced.costs, priced.cost);
        self.order.terms.min_profit = priced.min_profit;
        Ok(())
    }

    /// The price at another limit, of no more than what was counted.
    fn priced_at(&self, limit: u32, unit_price: u64) -> Result<Priced> {
        let pricing = self.pricing.as_ref().context("it has no price yet")?;
        let counted = self.costs.total();
        let cost_of = |lamports| as_counted(lamports, counted, self.cost?);
        pricing.at(limit, Offer { unit_price, tip: self.costs.tip }, &cost_of)
    }

    /// That it pays at the limit of compute units that it asks for: what is signed without a
    /// simulation.
    ///
    /// # Errors
    /// [`TooLittle`] and
    /// [`TooDear`](crate::route::fees::TooDear).
    pub fn check_unsimulated(&self) -> Result<()> {
        let ComputeBudget { unit_limit, unit_price } = self.compute_budget;
        self.priced_at(unit_limit.unwrap_or(MAX_COMPUTE_UNITS), unit_price).map(drop)
    }

    /// Lets its deadline be so many slots after `slot`, if that is later than it was; 0 for
    /// no deadline.
    pub fn begin_at(&mut self, slot: u64, slots: u64) {
        let terms = &mut self.order.terms;
        terms.deadline_slot = terms.deadline_slot.max(deadline(slot, slots));
    }

    /// What half as many ticks again as were quoted take, one at least where anything is
    /// sold: prices move until it lands.
    fn spare_units(&self) -> u32 {
        /// A tick that is crossed, as measured on the real programs (7,440 to 8,300).
        const UNITS_PER_TICK: u32 = 8_300;
        let ticks = if self.route.is_some() { self.crossed.div_ceil(2).max(1) } else { 0 };
        ticks.saturating_mul(UNITS_PER_TICK)
    }

    /// Asks for a tenth more compute units than a simulation used, and for what some more
    /// ticks than quoted take, and decides anew by what that costs: never more than what was
    /// counted before.
    ///
    /// # Errors
    /// [`TooLittle`] and
    /// [`TooDear`](crate::route::fees::TooDear) when it does not pay.
    pub fn limit_units(&mut self, simulated: u64) -> Result<()> {
        let units =
            simulated.saturating_add(simulated / 10).saturating_add(u64::from(self.spare_units()));
        let limit =
            u32::try_from(units).map_or(MAX_COMPUTE_UNITS, |units| units.min(MAX_COMPUTE_UNITS));
        let most = most_unit_price(self.costs.priority_fee, limit);
        let priced = self.priced_at(limit, most)?;
        self.take(&priced, limit)
    }

    /// That a profit is as much as is signed for.
    ///
    /// # Errors
    /// [`TooLittle`].
    pub fn check_profit(&self, profit: i64) -> Result<()> {
        let floor = self.pricing.as_ref().map_or(0, |pricing| pricing.floor);
        let refused =
            TooLittle { quoted: profit.into(), cost: self.cost.unwrap_or_default(), floor };
        if profit < self.order.terms.min_profit { Err(refused.into()) } else { Ok(()) }
    }

    /// The tip; zero if there is none.
    pub fn tip_lamports(&self) -> u64 {
        self.tip.as_ref().map_or(0, |tip| tip.lamports)
    }

    /// What the quote expects with the loan as it is taken.
    pub fn profit(&self) -> i128 {
        let quoted_fee = self.best.loan.map_or(0, |loan| loan.fee);
        self.best.profit + i128::from(quoted_fee) - i128::from(self.flash_fee)
    }

    /// What the keeper signs for.
    pub fn terms(&self) -> &Terms {
        &self.order.terms
    }

    /// The obligation's address.
    pub fn obligation(&self) -> &Address {
        &self.addresses.obligation.obligation
    }

    /// Reserves whose vaults it moves tokens of.
    pub fn reserves(&self) -> &[ReserveAddresses] {
        &self.addresses.reserves
    }

    fn liquidation(&self) -> Result<FlashLiquidation<'_>> {
        let mut liquidation =
            self.order.liquidation(&self.addresses, &self.keeper, self.route.clone())?;
        liquidation.compute_budget = self.compute_budget;
        liquidation.price_refresh.clone_from(&self.price_refresh);
        liquidation.setup.clone_from(&self.setup);
        liquidation.tip = self.tip;
        Ok(liquidation)
    }

    /// The transaction's instructions.
    pub fn instructions(&self) -> Result<Vec<Instruction>> {
        let mut instructions = self.liquidation()?.instructions()?;
        // A transfer of the system program ignores accounts beyond its own.
        if let (Some(account), Some(_), Some(tip)) =
            (self.dont_front, self.tip, instructions.last_mut())
        {
            tip.accounts.push(AccountMeta::new_readonly(account, false));
        }
        Ok(instructions)
    }

    /// Every account the instructions name, programs included, each once, and the
    /// keeper's own.
    pub fn mentioned(&self) -> Result<Vec<Address>> {
        Ok(super::simulation::mentioned(&self.instructions()?, &self.keeper))
    }

    /// Its lookup tables, as they are known.
    ///
    /// # Errors
    /// [`Unread`], or that one is no table.
    pub fn tables(&self, view: &View<'_>) -> Result<Vec<AddressLookupTableAccount>> {
        let unread = view.accounts.unread(self.table_keys.iter().copied());
        if !unread.is_empty() {
            return Err(Unread(unread).into());
        }
        tables(view, self.table_keys.iter())
    }
}

/// The last slot of `slots` that begin after `slot`; 0 where there is no deadline.
fn deadline(slot: u64, slots: u64) -> u64 {
    if slots == 0 { 0 } else { slot.saturating_add(slots) }
}

/// Said where costs cannot be counted.
pub(super) const NO_PRICE: &str = "what it costs in SOL cannot be counted in the debt's token: no market read \
                        has a price of SOL; give one with sol_usd";

/// Addresses of the obligation's reserves and of the one that lends.
pub fn addresses(position: &Position<'_>, lender: &Address) -> Result<PositionAddresses> {
    let market = position.market;
    let reserves = position
        .addresses
        .distinct_reserves()
        .into_iter()
        .map(|key| Ok((key, market.reserve(&key)?)))
        .collect::<Result<Vec<_>>>()?;
    let lending_market = market.lending_market()?;
    let mut addresses =
        PositionAddresses::read((&position.key, position.obligation), lending_market, &reserves)?;
    if addresses.reserve(lender).is_none() {
        addresses.reserves.push(position.view.reserve_addresses(lender)?);
    }
    Ok(addresses)
}

/// What sells by a recorded answer of Jupiter's.
fn recorded(file: &Path, quoted: u64, sale: &Sale<'_>) -> Result<Sold> {
    let shown = || format!("{}", file.display());
    let json = fs::read_to_string(file).with_context(shown)?;
    let (authority, _) = swap_authority(sale.keeper);
    let route = jupiter::read(&json, &authority, quoted, 0, &Allowed::default());
    let pair = (sale.withdraw.liquidity_mint, sale.repay.liquidity_mint);
    let offer = Offered { pair, route: route.with_context(shown)?, at: Instant::now() };
    by_offer(&offer, sale).with_context(shown)
}
