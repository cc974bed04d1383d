//! Where seized collateral is sold, and what it brings.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::{Context as _, Result, anyhow};
use flash_liquidator_client::{
    flash_liquidation::Requirement,
    klend::ReserveAddresses,
    receiver::{Intermediate, Route, swap_authority},
    swap::jupiter::{JupiterRoute, Stated},
    token::associated_token_account,
};
use klend_model::{
    fraction::{Fraction, mul_div, ten_pow},
    reserve::ReserveState,
    time::Clock,
};
use liquidation_venues::{
    Amount, Curve, Now, Side, Trade, VenueError,
    route::{self, Ends, Plan},
};
use solana_address::Address;

use super::traded::Traded;
pub use crate::book::pools::Pair;
use crate::book::{
    accounts::Accounts,
    pools::{Offered, Pools},
};

/// Basis points in one.
const FULL_BPS: u64 = 10_000;

/// What an amount of one reserve's token is worth in another's at the oracles'
/// prices, less `cost_bps`; `None` without prices.
pub fn at_oracle_price(
    from: &ReserveState<'_>,
    to: &ReserveState<'_>,
    amount: u64,
    cost_bps: u16,
) -> Option<u64> {
    let value = from.market_value(Fraction::from_int(amount)).ok()?;
    let unit = ten_pow(to.account.liquidity.mint_decimals).ok()?;
    if to.market_price == Fraction::ZERO {
        return None;
    }
    let units = mul_div(value.to_bits(), u128::from(unit), to.market_price.to_bits()).ok()?;
    let kept = u128::from(FULL_BPS.checked_sub(u64::from(cost_bps))?);
    u64::try_from(mul_div(units, kept, u128::from(FULL_BPS)).ok()?).ok()
}

/// Ways that may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ways {
    /// Legs that a route over pools has at most.
    pub legs: usize,
    /// Whether an aggregator's routes count.
    pub offers: bool,
}

impl Ways {
    /// All of them.
    pub const ALL: Self = Self { legs: 2, offers: true };
    /// Pools alone.
    pub const POOLS: Self = Self { offers: false, ..Self::ALL };
    /// One pool alone.
    pub const ONE_POOL: Self = Self { legs: 1, offers: false };
}

/// Ticks that an aggregator's route is taken to cross: it does not say.
const OFFERED_TICKS: u32 = 8;

/// What sells an amount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sold {
    pub route: Route,
    /// Ticks or bins that it crosses.
    pub crossed: u32,
    /// Compute units that its swaps take as quoted; an aggregator does not say.
    pub units: Option<u32>,
    /// Lookup tables that it brings along.
    pub tables: Vec<Address>,
    /// Token accounts that have to exist for it, beside those of any route.
    pub token_accounts: Vec<Requirement>,
    /// What an aggregator's route states.
    pub offered: Option<Stated>,
}

/// Compute units that legs may take together: what a liquidation with its loan and its
/// refreshes leaves of a transaction's 1,400,000.
const LEGS_UNITS: u32 = 900_000;
/// Levels of calls below the receiver's own.
const DEPTH: u8 = 3;

/// How much less than quoted a leg may bring, bps, when as much as `slippage_bps` less
/// collateral may arrive: that, and as much again for what is paid for it.
#[must_use]
pub const fn leg_tolerance(slippage_bps: u16) -> u16 {
    slippage_bps.saturating_mul(2)
}

/// No pool that is known, nor two of them, sell a token for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "nothing sells this: no pool known trades {from} for {to}, directly or by way of a third token"
)]
pub struct NothingSells {
    /// Mint to be sold.
    pub from: Address,
    /// Mint to be bought.
    pub to: Address,
}

/// Ways for every pair of mints an obligation can need.
pub enum Venue {
    /// Over pools that are known.
    Pools {
        /// What each pays in a direction that may be of use.
        curves: Vec<Box<dyn Curve>>,
        /// Pools that cannot be sold in now, by mint sold and bought, and why.
        closed: Vec<(Pair, VenueError)>,
        /// Token programs of the mints that they trade.
        token_programs: BTreeMap<Address, Address>,
        /// What an aggregator offers.
        offers: Vec<Arc<Offered>>,
    },
    /// No pool is known: quotes assume the oracles' prices less this many bps,
    /// and nothing can be sent.
    Assumed {
        /// What a swap is assumed to cost.
        cost_bps: u16,
    },
}

/// What a route is to do.
#[derive(Clone, Copy, Debug)]
pub struct Sale<'a> {
    /// Whose swap authority signs.
    pub keeper: &'a Address,
    /// The collateral's reserve, and the debt's.
    pub withdraw: &'a ReserveAddresses,
    pub repay: &'a ReserveAddresses,
    /// The keeper's account of the debt.
    pub keeper_debt: &'a Address,
    /// Collateral to be sold, raw units.
    pub amount: u64,
    /// What may be taken.
    pub ways: Ways,
    /// How much less than quoted a leg may bring, bps.
    pub tolerance_bps: u16,
}

impl Venue {
    /// The pools known that trade collaterals for debts, or one of the two for
    /// something in between, as [`traded`](super::traded::traded) finds them; where none is
    /// known at all, swaps are assumed to cost `cost_bps`.
    ///
    /// # Errors
    /// A pool that the operator named is not there, or not one.
    pub(super) fn of(
        traded: &[Traded],
        accounts: &Accounts,
        (sold, bought): (&[ReserveAddresses], &[ReserveAddresses]),
        pools: &Pools,
        clock: Clock,
        cost_bps: u16,
    ) -> Result<Self> {
        let now = Now { unix_timestamp: i64::try_from(clock.unix_timestamp)?, slot: clock.slot };
        let unfit = pools.unfit(accounts);
        for key in &*unfit {
            let account = accounts
                .of_venues(key)
                .with_context(|| format!("pool {key}: there is no such account"))?;
            liquidation_venues::read(key, account)?;
        }
        let mut curves = Vec::new();
        let mut closed = Vec::new();
        let mut token_programs = BTreeMap::new();
        for (pool, pairs) in traded {
            for (from, to) in pairs.iter().copied() {
                match pool.curve(&from, accounts, &now) {
                    Ok(curve) => curves.push(curve),
                    Err(error) => closed.push(((from, to), error)),
                }
                for mint in [from, to] {
                    token_programs.extend(accounts.get(&mint).map(|read| (mint, read.owner)));
                }
            }
        }
        let is_wanted = |(from, to): &Pair| {
            sold.iter().any(|reserve| reserve.liquidity_mint == *from)
                && bought.iter().any(|reserve| reserve.liquidity_mint == *to)
        };
        // What it takes is read when it is offered; before that it cannot be built.
        let is_read = |offer: &&Arc<Offered>| {
            let JupiterRoute { lookup_tables, token_accounts, .. } = &offer.route;
            let made = token_accounts.iter().map(Requirement::address);
            lookup_tables.iter().copied().chain(made).all(|key| accounts.is_known(&key))
        };
        let offers = pools.offers.iter().filter(|(pair, _)| is_wanted(pair));
        let offers: Vec<Arc<Offered>> =
            offers.flat_map(|(_, offers)| offers).filter(is_read).cloned().collect();
        if traded.is_empty() && offers.is_empty() && pools.named().is_empty() && !pools.seeks {
            return Ok(Self::Assumed { cost_bps });
        }
        Ok(Self::Pools { curves, closed, token_programs, offers })
    }

    /// The accounts that [`Self::of`] looks at beside the pools themselves ([`Pools::real`],
    /// of which there may be a thousand), as far as `accounts` can tell.
    pub(super) fn needs(accounts: &Accounts, traded: &[Traded], pools: &Pools) -> Vec<Address> {
        let mut needs: Vec<Address> = pools.stand_ins.clone();
        for (pool, _) in traded {
            needs.push(*pool.address());
            needs.extend(pool.accounts(accounts));
        }
        needs
    }

    /// Accounts that the prices of pools depend on now: they move with the price.
    pub fn around_prices(accounts: &Accounts, pools: &Pools) -> Vec<Address> {
        let of_pool = |key: &Address| Some(accounts.pool(key)?.accounts(accounts));
        pools.real().filter_map(of_pool).flatten().collect()
    }

    /// What routes of a keeper's may name: the legs' accounts, and both owners' accounts of
    /// every token on the way.
    pub fn mentions(&self, keeper: &Address) -> Vec<Address> {
        /// An amount that most pools pay something for.
        const SOME: u64 = 1_000_000;
        let Self::Pools { curves, token_programs, .. } = self else { return Vec::new() };
        let (authority, _) = swap_authority(keeper);
        let side = |mint: &Address| {
            let token_program = *token_programs.get(mint)?;
            let account = associated_token_account(&authority, mint, &token_program);
            Some(Side { account, mint: *mint, token_program })
        };
        let mut mentioned = Vec::new();
        for (mint, token_program) in token_programs {
            mentioned.extend([
                *mint,
                associated_token_account(&authority, mint, token_program),
                associated_token_account(keeper, mint, token_program),
            ]);
        }
        for curve in curves {
            let (Some(input), Some(output)) = (side(curve.sold()), side(curve.bought())) else {
                continue;
            };
            // What more a larger amount takes is what the price depends on.
            let leg = (0..20).find_map(|n| {
                let amount = Amount::All(SOME >> n);
                curve.leg(&Trade { authority, input, output, amount, min_out: 0, token: 0 }).ok()
            });
            mentioned.extend(leg.iter().map(|leg| leg.program));
            let metas = leg.into_iter().flat_map(|leg| leg.accounts);
            mentioned.extend(metas.map(|meta| meta.pubkey));
        }
        mentioned
    }

    /// What an amount brings.
    pub fn quote(
        &self,
        from: &ReserveState<'_>,
        to: &ReserveState<'_>,
        amount: u64,
        ways: Ways,
    ) -> Option<u64> {
        match self {
            Self::Pools { .. } => {
                let (from, to) = (from.mint(), to.mint());
                let own = self.best(from, to, amount, ways.legs).map(|plan| plan.amount_out);
                own.max(self.offer(from, to, amount, ways).map(|(_, pays)| pays))
            }
            Self::Assumed { cost_bps } => at_oracle_price(from, to, amount, *cost_bps),
        }
    }

    /// The way that pays most for an amount.
    fn best(&self, from: &Address, to: &Address, amount: u64, most_legs: usize) -> Option<Plan> {
        let curves = self.curves();
        route::best(&curves, from, to, amount, most_legs, |plan| {
            plan.units() <= LEGS_UNITS && plan.depth(&curves) <= DEPTH
        })
    }

    /// The offer that pays most for an amount, and how much at least.
    fn offer(
        &self,
        from: &Address,
        to: &Address,
        amount: u64,
        ways: Ways,
    ) -> Option<(&Offered, u64)> {
        let Self::Pools { offers, .. } = self else { return None };
        offers
            .iter()
            .filter(|offer| ways.offers && offer.pair == (*from, *to))
            .filter_map(|offer| Some((&**offer, offer.route.pays(amount).filter(|it| *it > 0)?)))
            .max_by_key(|(_, pays)| *pays)
    }

    fn curves(&self) -> Vec<&dyn Curve> {
        match self {
            Self::Pools { curves, .. } => curves.iter().map(|curve| &**curve).collect(),
            Self::Assumed { .. } => Vec::new(),
        }
    }

    /// That some way leads from one mint to another, whatever it pays.
    ///
    /// # Errors
    /// [`NothingSells`].
    pub fn check_sells(&self, from: &Address, to: &Address) -> Result<(), NothingSells> {
        let Self::Pools { curves, closed, offers, .. } = self else { return Ok(()) };
        let known = curves.iter().map(|curve| (*curve.sold(), *curve.bought()));
        let offered = offers.iter().map(|offer| offer.pair);
        let pairs: Vec<Pair> =
            known.chain(closed.iter().map(|(pair, _)| *pair)).chain(offered).collect();
        if leads(&pairs, from, to) { Ok(()) } else { Err(NothingSells { from: *from, to: *to }) }
    }

    /// The venue in words.
    pub fn describe(&self) -> String {
        match self {
            Self::Pools { curves, offers, .. } => {
                let mut names: Vec<&str> = curves.iter().map(|curve| curve.name()).collect();
                names.extend(offers.first().map(|_| "Jupiter"));
                names.sort_unstable();
                names.dedup();
                names.join(" or ")
            }
            Self::Assumed { cost_bps } => {
                format!("assumed: oracle prices less {:.2} %", f64::from(*cost_bps) / 100.0)
            }
        }
    }

    /// The route that pays most; `None` when collateral and debt are one mint. The proceeds
    /// go to the keeper's own debt account where the client knows all its programs well. An
    /// aggregator's has to pay more than the pools that are known.
    pub fn route(&self, sale: &Sale<'_>) -> Result<Option<Sold>> {
        let Sale { keeper, withdraw, repay, .. } = *sale;
        if withdraw.liquidity_mint == repay.liquidity_mint {
            return Ok(None);
        }
        let (from, to) = (&withdraw.liquidity_mint, &repay.liquidity_mint);
        let plan = self.best(from, to, sale.amount, sale.ways.legs);
        let own = plan.as_ref().map_or(0, |plan| plan.amount_out);
        let offer = self.offer(from, to, sale.amount, sale.ways);
        if let Some((offer, _)) = offer.filter(|(_, pays)| *pays > own) {
            return by_offer(offer, sale).map(Some);
        }
        let plan = plan.ok_or_else(|| self.no_route(from, to))?;
        let mut route = Route::new(keeper, withdraw, repay);
        let between = match (plan.between, self) {
            (Some(mint), Self::Pools { token_programs, .. }) => {
                let program = token_programs
                    .get(&mint)
                    .with_context(|| format!("mint {mint}, between two pools, was not read"))?;
                Some(Intermediate::new(keeper, &mint, program))
            }
            _ => None,
        };
        let side = |reserve: &ReserveAddresses, account: Address| Side {
            account,
            mint: reserve.liquidity_mint,
            token_program: reserve.liquidity_token_program,
        };
        let ends = Ends {
            authority: swap_authority(keeper).0,
            input: side(withdraw, route.swap_collateral),
            output: side(repay, route.swap_debt.unwrap_or(*sale.keeper_debt)),
            between: between.map(|token| Side {
                account: token.swap_account,
                mint: token.mint,
                token_program: token.token_program,
            }),
        };
        route.legs = plan.legs(&self.curves(), &ends, sale.tolerance_bps)?;
        route.intermediates = between.into_iter().collect();
        route.pay_directly(sale.keeper_debt);
        let crossed = plan.steps.iter().map(|step| step.quote.crossed).sum();
        let (units, tables, token_accounts) = (Some(plan.units()), Vec::new(), Vec::new());
        Ok(Some(Sold { route, crossed, units, tables, token_accounts, offered: None }))
    }

    fn no_route(&self, from: &Address, to: &Address) -> anyhow::Error {
        match self {
            Self::Pools { closed, .. } => {
                let of_pair =
                    closed.iter().find(|((sold, bought), _)| (sold, bought) == (from, to));
                match (of_pair, self.check_sells(from, to)) {
                    (Some((_, reason)), _) => anyhow::Error::new(*reason),
                    (None, Err(nothing)) => anyhow::Error::new(nothing),
                    (None, Ok(())) => {
                        anyhow!("none of the pools known sells so much of {from} for {to}")
                    }
                }
            }
            Self::Assumed { .. } => anyhow!(
                "no venue sells {from} for {to}: give a pool with --pool, have pools looked for with \
                 --discover, or give a route with --jupiter"
            ),
        }
    }
}

/// What sells by an aggregator's route.
pub fn by_offer(offer: &Offered, sale: &Sale<'_>) -> Result<Sold> {
    let mut resized = offer.route.resized(sale.amount)?;
    let tables = std::mem::take(&mut resized.lookup_tables);
    let offered = Some(resized.stated);
    let (route, token_accounts) =
        resized.into_route(sale.keeper, sale.withdraw, sale.repay, sale.keeper_debt)?;
    Ok(Sold { route, crossed: OFFERED_TICKS, units: None, tables, token_accounts, offered })
}

/// Whether pairs of mints lead from one to another, directly or over a third.
pub fn leads(pairs: &[Pair], from: &Address, to: &Address) -> bool {
    from == to
        || pairs.iter().filter(|(sold, _)| sold == from).any(|(_, between)| {
            between == to || pairs.iter().any(|(sold, bought)| sold == between && bought == to)
        })
}

/// Amount in a token account's data.
pub fn balance(data: &[u8]) -> Option<u64> {
    const AMOUNT_OFFSET: usize = 64;
    data.get(AMOUNT_OFFSET..)?.first_chunk().copied().map(u64::from_le_bytes)
}

#[cfg(test)]
pub(super) mod tests {
    use flash_liquidator_client::{
        receiver::SwapLeg,
        token::{TOKEN_PROGRAM_ID, associated_token_account},
    };
    use liquidation_venues::stand_in;
    use proptest::prelude::*;
    use solana_account::Account;

    use super::*;
    use crate::{feeds::feed::Version, route::traded::traded};

    pub(in crate::route) const SOLD: u8 = 10;
    pub(in crate::route) const BOUGHT: u8 = 11;

    pub(in crate::route) fn key(byte: u8) -> Address {
        Address::new_from_array([byte; 32])
    }

    pub(in crate::route) fn reserve(mint: u8) -> ReserveAddresses {
        ReserveAddresses {
            reserve: key(mint + 100),
            lending_market: key(1),
            lending_market_authority: key(2),
            liquidity_mint: key(mint),
            liquidity_token_program: TOKEN_PROGRAM_ID,
            liquidity_supply_vault: key(3),
            fee_vault: key(4),
            ctoken_mint: key(5),
            collateral_supply_vault: key(6),
            collateral_farm: None,
            debt_farm: None,
            oracles: flash_liquidator_client::klend::Oracles::default(),
        }
    }

    /// Takes an account's data into the book.
    pub(in crate::route) fn put(
        accounts: &mut Accounts,
        key: &Address,
        owner: Address,
        data: Vec<u8>,
    ) {
        let account = Account { lamports: 1, data, owner, ..Account::default() };
        accounts.put(key, Version::end_of(1), Some(account));
    }

    /// A stand-in pool of the two mints with these balances and this fee.
    fn pool(accounts: &mut Accounts, at: u8, balances: [u64; 2], fee_bps: u16) {
        let (authority, bump) = stand_in::pool_authority_and_bump(&key(at));
        put(accounts, &key(at), stand_in::PROGRAM_ID, stand_in::pool_data(fee_bps, bump).to_vec());
        for (mint, balance) in [SOLD, BOUGHT].into_iter().zip(balances) {
            let vault = associated_token_account(&authority, &key(mint), &TOKEN_PROGRAM_ID);
            let mut data = vec![0; 165];
            data[..32].copy_from_slice(key(mint).as_ref());
            data[32..64].copy_from_slice(authority.as_ref());
            data[64..72].copy_from_slice(&balance.to_le_bytes());
            data[108] = 1;
            put(accounts, &vault, TOKEN_PROGRAM_ID, data);
            let mut data = vec![0; 82];
            data[45] = 1;
            put(accounts, &key(mint), TOKEN_PROGRAM_ID, data);
        }
    }

    fn with_stand_ins(at: &[u8]) -> Pools {
        let mut pools = Pools::default();
        pools.stand_ins = at.iter().copied().map(key).collect();
        pools
    }

    fn find(accounts: &Accounts, pools: &Pools) -> Result<Venue> {
        let clock = Clock { slot: 1, unix_timestamp: 1 };
        let (sold, bought) = ([reserve(SOLD)], [reserve(BOUGHT)]);
        let traded = traded(accounts, &sold, &bought, pools);
        Venue::of(&traded, accounts, (&sold, &bought), pools, clock, 25)
    }

    #[test]
    fn it_is_sold_where_this_amount_brings_most() {
        let mut accounts = Accounts::default();
        // A thin pool without a fee, and a deep one with one.
        pool(&mut accounts, 20, [1_000_000, 1_000_000], 0);
        pool(&mut accounts, 21, [1_000_000_000, 1_000_000_000], 30);
        let pools = with_stand_ins(&[20, 21]);
        let traded = traded(&accounts, &[reserve(SOLD)], &[reserve(BOUGHT)], &pools);
        let needs = Venue::needs(&accounts, &traded, &pools);
        assert!(needs.len() > 2 && accounts.unread(needs).is_empty());
        let venue = find(&accounts, &pools).unwrap();
        let chosen = |amount| {
            let plan = venue.best(&key(SOLD), &key(BOUGHT), amount, 1).unwrap();
            (*venue.curves()[plan.steps[0].curve].pool(), plan.amount_out)
        };
        assert_eq!(chosen(1_000), (key(20), 999));
        assert_eq!(chosen(500_000).0, key(21));
        let Sold { route, .. } = sell(&venue, SOLD, BOUGHT, 500_000, 1).unwrap().unwrap();
        assert_eq!(route.legs.len(), 1);
        assert!(route.legs[0].accounts.iter().any(|meta| meta.pubkey == key(21)));
        // Both together pay more, and each has to bring what it was quoted for less
        // the tolerance.
        let much = 300_000_000;
        let plan = venue.best(&key(SOLD), &key(BOUGHT), much, 2).unwrap();
        assert!(plan.amount_out > chosen(much).1 && plan.steps.len() == 2);
        let Sold { route, units, .. } = sell(&venue, SOLD, BOUGHT, much, 2).unwrap().unwrap();
        assert_eq!(units, Some(plan.units()));
        for (leg, step) in route.legs.iter().zip(&plan.steps) {
            assert_eq!(least(leg), step.quote.amount_out * 99 / 100);
        }
        assert_eq!(
            route.legs.iter().map(|leg| leg.amount_in_offset).collect::<Vec<_>>(),
            [None, Some(1)]
        );
        // The other way round nobody asked about.
        let back = sell(&venue, BOUGHT, SOLD, 1, 2).unwrap_err();
        assert!(back.is::<NothingSells>(), "{back}");
    }

    #[test]
    fn pairs_lead_over_one_token_and_no_more() {
        let pair = |from, to| (key(from), key(to));
        let pairs = [pair(1, 2), pair(2, 3), pair(3, 4)];
        for (from, to, does) in
            [(1, 1, true), (1, 2, true), (1, 3, true), (2, 4, true), (1, 4, false), (2, 1, false)]
        {
            assert_eq!(leads(&pairs, &key(from), &key(to)), does, "{from} {to}");
        }
    }

    fn sell(venue: &Venue, from: u8, to: u8, amount: u64, legs: usize) -> Result<Option<Sold>> {
        sell_within(venue, (from, to), amount, legs, 100)
    }

    fn sell_within(
        venue: &Venue,
        (from, to): (u8, u8),
        amount: u64,
        legs: usize,
        tolerance_bps: u16,
    ) -> Result<Option<Sold>> {
        venue.route(&Sale {
            keeper: &key(7),
            withdraw: &reserve(from),
            repay: &reserve(to),
            keeper_debt: &key(8),
            amount,
            ways: Ways { legs, offers: true },
            tolerance_bps,
        })
    }

    /// What a leg of the stand-in has to bring.
    fn least(leg: &SwapLeg) -> u64 {
        u64::from_le_bytes(leg.data[9..17].try_into().unwrap())
    }

    proptest! {
        /// What each leg has to bring is the tolerated share of its own quote: not a unit
        /// less, and never more than the quote, or an honest pool would fail.
        #[test]
        fn each_leg_has_to_bring_the_tolerated_share_of_its_quote(
            balances in (1_000..u64::from(u32::MAX), 1_000..u64::from(u32::MAX)),
            others in (1_000..u64::from(u32::MAX), 1_000..u64::from(u32::MAX)),
            fees in (0..=300u16, 0..=300u16),
            amount in 1..u64::from(u32::MAX),
            tolerance in 0..=10_000u16,
        ) {
            let mut accounts = Accounts::default();
            pool(&mut accounts, 20, balances.into(), fees.0);
            pool(&mut accounts, 21, others.into(), fees.1);
            let pools = with_stand_ins(&[20, 21]);
            let venue = find(&accounts, &pools).unwrap();
            for legs in [1, 2] {
                let Some(plan) = venue.best(&key(SOLD), &key(BOUGHT), amount, legs) else {
                    continue;
                };
                let sold = sell_within(&venue, (SOLD, BOUGHT), amount, legs, tolerance);
                let route = sold.unwrap().unwrap().route;
                prop_assert_eq!(route.legs.len(), plan.steps.len());
                for (leg, step) in route.legs.iter().zip(&plan.steps) {
                    let (least, quoted) = (least(leg), step.quote.amount_out);
                    prop_assert!(least <= quoted);
                    let share = u128::from(quoted) * u128::from(10_000 - tolerance);
                    prop_assert!(u128::from(least) * 10_000 <= share);
                    prop_assert!(share < (u128::from(least) + 1) * 10_000);
                }
            }
        }
    }

    #[test]
    fn without_pools_the_oracles_price_is_assumed_and_nothing_is_sent() {
        let venue = find(&Accounts::default(), &Pools::default()).unwrap();
        assert_eq!(venue.describe(), "assumed: oracle prices less 0.25 %");
        let route = sell(&venue, SOLD, BOUGHT, 1, 2);
        assert!(route.unwrap_err().to_string().contains("give a pool with --pool"));
        // Where pools were looked for, none means that nothing sells it.
        let mut pools = Pools::default();
        pools.seeks = true;
        let venue = find(&Accounts::default(), &pools).unwrap();
        assert!(sell(&venue, SOLD, BOUGHT, 1, 2).unwrap_err().is::<NothingSells>());
    }

    #[test]
    fn a_pool_that_was_named_has_to_be_one() {
        let mut accounts = Accounts::default();
        put(&mut accounts, &key(5), key(9), vec![0; 1_544]);
        let said = |named| {
            let pools = Pools::of(vec![key(named)]);
            find(&accounts, &pools).err().unwrap().to_string()
        };
        assert!(said(5).contains("no venue that is known"), "{}", said(5));
        assert!(said(7).contains("no such account"), "{}", said(7));
    }
}
