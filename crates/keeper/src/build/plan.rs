//! From an obligation to the transaction that liquidates it.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, anyhow, bail};
use flash_liquidator_client::{
    compute_budget::{ComputeBudget, MAX_COMPUTE_UNITS},
    flash_liquidation::{FlashLiquidation, KeeperAccounts, Refresh},
    klend::{ObligationAddresses, ReserveAddresses},
    order::{Limits, Order},
    receiver::{Redemption, Route, Terms, swap_authority},
    swap::jupiter,
    tip::Tip,
    token::{TOKEN_PROGRAM_ID, create_associated_token_account},
};
use klend_interface::state::Obligation;
use klend_model::{
    accounts,
    flash::Lenders,
    keys::to_address,
    search::{Best, Funding, Leftovers, best_liquidation},
};
use solana_address::Address;
use solana_instruction::Instruction;

use crate::{
    book::market::Market,
    cli::{JupiterArgs, LiquidateArgs, TermsArgs},
    feeds::source::Source,
    route::venue::Venue,
};

/// An obligation with its market and the venues its collateral can be sold at.
pub struct Position {
    pub key: Address,
    pub obligation: Box<Obligation>,
    pub market: Market,
    pub addresses: ObligationAddresses,
    pub venue: Venue,
}

impl Position {
    /// Reads an obligation and its market.
    pub fn load(source: &dyn Source, key: &Address, terms: &TermsArgs) -> Result<Self> {
        let account = source.account("obligation", key)?;
        let obligation = accounts::obligation(key, &account.owner, &account.data)?;
        let market = Market::load(source, &to_address(&obligation.lending_market))?;
        Self::new(source, key, Box::new(*obligation), market, terms)
    }

    /// An obligation and a market that are at hand; only venues are read.
    pub fn new(
        source: &dyn Source,
        key: &Address,
        obligation: Box<Obligation>,
        market: Market,
        terms: &TermsArgs,
    ) -> Result<Self> {
        let addresses = ObligationAddresses::read(key, &obligation);
        let reserves = |keys: &[Address]| -> Result<Vec<ReserveAddresses>> {
            keys.iter().map(|key| Ok(ReserveAddresses::read(key, market.reserve(key)?))).collect()
        };
        let venue = Venue::discover(
            source,
            &reserves(&addresses.deposit_reserves)?,
            &reserves(&addresses.borrow_reserves)?,
            &terms.pools,
            terms.swap_cost_bps,
        )?;
        Ok(Self { key: *key, obligation, market, addresses, venue })
    }

    pub fn reserve_addresses(&self, key: &Address) -> Result<ReserveAddresses> {
        Ok(ReserveAddresses::read(key, self.market.reserve(key)?))
    }

    /// The most profitable liquidation.
    ///
    /// # Errors
    /// klend's reason when it allows none, or that none can be funded and sold.
    pub fn best(&self, terms: &TermsArgs) -> Result<Best> {
        let table = self.market.table()?;
        let state = table
            .obligation(&self.key, &self.obligation)
            .map_err(|refusal| anyhow!("obligation {} cannot be refreshed: {refusal}", self.key))?;
        let lenders = Lenders::new([&table]);
        let funding = Funding::Flash {
            lenders: &lenders,
            margin_bps: u64::from(terms.loan_margin_bps),
            max_fee_bps: u64::from(terms.max_fee_bps),
        };
        best_liquidation(&table, &state, funding, Leftovers::Reject, |from, to, amount| {
            self.venue.quote(from, to, amount)
        })
            .map_err(|refusal| {
                anyhow::Error::new(refusal)
                    .context(format!("klend does not let obligation {} be liquidated", self.key))
            })?
            .with_context(|| {
                format!("obligation {} can be liquidated, but no reserve lends enough within the fee limit, or nothing sells its collateral", self.key)
            })
    }
}

/// A liquidation as it will be sent.
pub struct Plan<'a> {
    pub position: &'a Position,
    pub best: Best,
    pub keeper: Address,
    pub keeper_accounts: KeeperAccounts,
    pub repay: ReserveAddresses,
    pub withdraw: ReserveAddresses,
    pub flash: ReserveAddresses,
    pub flash_amount: u64,
    /// klend's fee for that loan.
    pub flash_fee: u64,
    pub terms: Terms,
    pub route: Option<Route>,
    /// Lookup tables the route brings along.
    pub route_tables: Vec<Address>,
    pub setup: Vec<Instruction>,
    pub compute_budget: ComputeBudget,
    tip: Option<Tip>,
}

impl<'a> Plan<'a> {
    /// Decides everything but the compute-unit limit, which a simulation tells.
    pub fn new(
        source: &dyn Source,
        position: &'a Position,
        keeper: &Address,
        args: &LiquidateArgs,
    ) -> Result<Self> {
        let best = position.best(&args.terms)?;
        let limits = Limits {
            min_profit: args.min_profit,
            slippage_bps: args.terms.slippage_bps,
            loan_margin_bps: args.terms.loan_margin_bps,
            deadline_slot: match args.deadline_slots {
                0 => 0,
                slots => position.market.clock.slot.saturating_add(slots),
            },
            redemption: Redemption::RequireFull,
        };
        let Order { repay_reserve, withdraw_reserve, flash_reserve, flash_amount, terms } =
            Order::of(&best, &limits).context("the liquidation found needs no flash loan")?;
        let repay = position.reserve_addresses(&repay_reserve)?;
        let withdraw = position.reserve_addresses(&withdraw_reserve)?;
        let flash = position.reserve_addresses(&flash_reserve)?;
        let keeper_accounts = KeeperAccounts::associated(keeper, &repay, &withdraw);

        let mut setup = Vec::new();
        let (route, route_tables) = match &args.jupiter {
            JupiterArgs { jupiter: Some(file), jupiter_amount } => {
                let amount = jupiter_amount.context("--jupiter needs --jupiter-amount")?;
                jupiter_route(
                    file,
                    amount,
                    keeper,
                    &withdraw,
                    &repay,
                    &keeper_accounts,
                    &mut setup,
                )?
            }
            JupiterArgs { jupiter: None, .. } => {
                let route =
                    position.venue.route(keeper, &withdraw, &repay, &keeper_accounts.debt)?;
                (route, Vec::new())
            }
        };
        setup.splice(0..0, missing_accounts(source, keeper, &repay, &withdraw, route.as_ref())?);

        let flash_fee = position
            .market
            .table()?
            .reserve(&flash_reserve)
            .context("the lending reserve is not in the table")?
            .flash_fee(flash_amount)
            .map_err(|refusal| anyhow!("flash loan of {flash_amount}: {refusal}"))?;
        let tip = match (args.terms.tip, args.terms.tip_account) {
            (0, _) => None,
            (_, None) => bail!("--tip needs --tip-account"),
            (lamports, Some(account)) => Some(Tip { account, lamports }),
        };
        Ok(Self {
            position,
            best,
            keeper: *keeper,
            keeper_accounts,
            repay,
            withdraw,
            flash,
            flash_amount,
            flash_fee,
            terms,
            route,
            route_tables,
            setup,
            compute_budget: ComputeBudget {
                unit_limit: Some(MAX_COMPUTE_UNITS),
                unit_price: args.terms.priority_fee,
            },
            tip,
        })
    }

    /// Asks for a tenth more compute units than a simulation used: a price may
    /// move across a tick until it lands.
    pub fn limit_units(&mut self, simulated: u64) {
        let units = simulated.saturating_add(simulated / 10);
        self.compute_budget.unit_limit = Some(
            u32::try_from(units).map_or(MAX_COMPUTE_UNITS, |units| units.min(MAX_COMPUTE_UNITS)),
        );
    }

    /// What the quote expects with the loan as it is taken.
    pub fn profit(&self) -> i128 {
        let quoted_fee = self.best.loan.map_or(0, |loan| loan.fee);
        self.best.profit + i128::from(quoted_fee) - i128::from(self.flash_fee)
    }

    /// The transaction's instructions.
    pub fn instructions(&self) -> Result<Vec<Instruction>> {
        let position = self.position;
        let market = position.market.lending_market()?;
        let reserves = position
            .addresses
            .distinct_reserves()
            .iter()
            .map(|key| position.reserve_addresses(key))
            .collect::<Result<Vec<_>>>()?;
        let borrow_reserves = position
            .addresses
            .borrow_reserves
            .iter()
            .map(|key| position.market.reserve(key))
            .collect::<Result<Vec<_>>>()?;
        let states = position.addresses.referrer_token_states(market, borrow_reserves);
        Ok(FlashLiquidation {
            keeper: self.keeper,
            keeper_accounts: self.keeper_accounts,
            obligation: &position.addresses,
            reserves: &reserves,
            referrer_token_states: &states,
            repay_reserve: self.repay.reserve,
            withdraw_reserve: self.withdraw.reserve,
            flash_reserve: &self.flash,
            flash_amount: self.flash_amount,
            terms: self.terms,
            route: self.route.clone(),
            compute_budget: self.compute_budget,
            setup: self.setup.clone(),
            refresh: Refresh::default(),
            nonce: None,
            tip: self.tip,
        }
        .instructions()?)
    }
}

/// Creates the token accounts the plan needs and that do not exist.
fn missing_accounts(
    source: &dyn Source,
    keeper: &Address,
    repay: &ReserveAddresses,
    withdraw: &ReserveAddresses,
    route: Option<&Route>,
) -> Result<Vec<Instruction>> {
    let (authority, _) = swap_authority(keeper);
    let mut wanted = vec![
        (keeper, &repay.liquidity_mint, &repay.liquidity_token_program),
        (keeper, &withdraw.ctoken_mint, &TOKEN_PROGRAM_ID),
        (keeper, &withdraw.liquidity_mint, &withdraw.liquidity_token_program),
    ];
    if let Some(route) = route {
        wanted.push((&authority, &withdraw.liquidity_mint, &withdraw.liquidity_token_program));
        if route.swap_debt.is_some() {
            wanted.push((&authority, &repay.liquidity_mint, &repay.liquidity_token_program));
        }
    }
    let creations: Vec<Instruction> = wanted
        .into_iter()
        .map(|(owner, mint, program)| create_associated_token_account(keeper, owner, mint, program))
        .collect();
    let keys: Vec<Address> = creations.iter().map(|creation| creation.accounts[1].pubkey).collect();
    let there = source.accounts(&keys)?;
    let mut missing: Vec<Instruction> = Vec::new();
    for (creation, account) in creations.into_iter().zip(there) {
        if account.is_none() && !missing.contains(&creation) {
            missing.push(creation);
        }
    }
    Ok(missing)
}

/// A route from a recorded answer of Jupiter's.
fn jupiter_route(
    file: &Path,
    amount: u64,
    keeper: &Address,
    withdraw: &ReserveAddresses,
    repay: &ReserveAddresses,
    keeper_accounts: &KeeperAccounts,
    setup: &mut Vec<Instruction>,
) -> Result<(Option<Route>, Vec<Address>)> {
    let json = fs::read_to_string(file).with_context(|| format!("{}", file.display()))?;
    let (authority, _) = swap_authority(keeper);
    let mut read = jupiter::read(&json, &authority, keeper, amount, 0)
        .with_context(|| format!("{}", file.display()))?;
    setup.append(&mut read.setup);
    let tables = std::mem::take(&mut read.lookup_tables);
    let route = read
        .into_route(keeper, withdraw, repay, &keeper_accounts.debt)
        .with_context(|| format!("{}", file.display()))?;
    Ok((Some(route), tables))
}
