//! Where seized collateral is sold, and what it brings.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, anyhow};
use flash_liquidator_client::{
    klend::ReserveAddresses,
    receiver::{Route, SwapLeg, swap_authority},
};
use klend_model::{
    fraction::{Fraction, mul_div, ten_pow},
    reserve::{Clock, ReserveState},
};
use liquidation_venues::{
    Amount, Curve, Known, Now, Pool, Side, Trade, VenueError, stand_in::StandInPool,
};
use solana_address::Address;

use crate::book::{accounts::Accounts, pools::Pools};

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

impl liquidation_venues::Accounts for Accounts {
    fn known(&self, key: &Address) -> Known<'_> {
        match account(self, key) {
            Some(account) => Known::Present(account),
            None if self.is_known(key) => Known::Absent,
            None => Known::Unread,
        }
    }
}

/// A venue for every pair of mints an obligation can need.
pub enum Venue {
    /// Pools, by mint sold and mint bought.
    Pools {
        curves: BTreeMap<(Address, Address), Vec<Box<dyn Curve>>>,
        /// Pools of a pair that cannot be sold in now, and why.
        closed: Vec<((Address, Address), VenueError)>,
    },
    /// No pool is known: quotes assume the oracles' prices less this many bps,
    /// and nothing can be sent.
    Assumed {
        /// What a swap is assumed to cost.
        cost_bps: u16,
    },
}

impl Venue {
    /// The pools known that trade collaterals for debts; where none is known at all,
    /// swaps are assumed to cost `cost_bps`.
    ///
    /// # Errors
    /// A pool that the operator named is not there, or not one.
    pub fn find(
        accounts: &Accounts,
        sold: &[ReserveAddresses],
        bought: &[ReserveAddresses],
        pools: &Pools,
        clock: Clock,
        cost_bps: u16,
    ) -> Result<Self> {
        let now = Now { unix_timestamp: i64::try_from(clock.unix_timestamp)?, slot: clock.slot };
        for key in &pools.named {
            let account = account(accounts, key)
                .with_context(|| format!("pool {key}: there is no such account"))?;
            liquidation_venues::read(key, account)?;
        }
        let mut curves: BTreeMap<(Address, Address), Vec<Box<dyn Curve>>> = BTreeMap::new();
        let mut closed = Vec::new();
        let mut any = false;
        for (pool, from, to) in traded(accounts, sold, bought, pools) {
            any = true;
            let pair = (from.liquidity_mint, to.liquidity_mint);
            match pool.curve(&from.liquidity_mint, accounts, &now) {
                Ok(curve) => curves.entry(pair).or_default().push(curve),
                Err(error) => closed.push((pair, error)),
            }
        }
        if !any && pools.named.is_empty() {
            return Ok(Self::Assumed { cost_bps });
        }
        Ok(Self::Pools { curves, closed })
    }

    /// The accounts that [`Self::find`] looks at, as far as `accounts` can tell.
    pub fn needs(
        accounts: &Accounts,
        sold: &[ReserveAddresses],
        bought: &[ReserveAddresses],
        pools: &Pools,
    ) -> Vec<Address> {
        let mut needs: Vec<Address> = pools.named.iter().chain(&pools.stand_ins).copied().collect();
        for (pool, ..) in traded(accounts, sold, bought, pools) {
            needs.push(*pool.address());
            needs.extend(pool.accounts(accounts));
        }
        needs
    }

    /// Accounts that the prices of the pools named depend on now: they move with the
    /// price.
    pub fn around_prices(accounts: &Accounts, pools: &Pools) -> Vec<Address> {
        let of_pool = |key: &Address| Some(named(accounts, key)?.accounts(accounts));
        pools.named.iter().filter_map(of_pool).flatten().collect()
    }

    /// What an amount brings.
    pub fn quote(
        &self,
        from: &ReserveState<'_>,
        to: &ReserveState<'_>,
        amount: u64,
    ) -> Option<u64> {
        match self {
            Self::Pools { .. } => {
                self.best(from.mint(), to.mint(), amount).map(|(_, amount_out)| amount_out)
            }
            Self::Assumed { cost_bps } => at_oracle_price(from, to, amount, *cost_bps),
        }
    }

    /// The pool that pays most for an amount, and how much.
    fn best(&self, from: &Address, to: &Address, amount: u64) -> Option<(&dyn Curve, u64)> {
        let Self::Pools { curves, .. } = self else { return None };
        let quotes = curves.get(&(*from, *to))?.iter().filter_map(|curve| {
            let quote = curve.quote(amount).ok()?;
            Some((&**curve, quote.amount_out))
        });
        quotes.max_by_key(|(_, amount_out)| *amount_out)
    }

    /// The venue in words.
    pub fn describe(&self) -> String {
        match self {
            Self::Pools { curves, .. } => {
                let mut names: Vec<&str> =
                    curves.values().flatten().map(|curve| curve.name()).collect();
                names.sort_unstable();
                names.dedup();
                names.join(" or ")
            }
            Self::Assumed { cost_bps } => {
                format!("assumed: oracle prices less {:.2} %", f64::from(*cost_bps) / 100.0)
            }
        }
    }

    /// The route that sells `amount` of collateral for debt where it pays most; `None`
    /// when both are one mint. The proceeds go to the keeper's own debt account where the
    /// client knows the program well, and are at least what is quoted less `slippage_bps`.
    pub fn route(
        &self,
        keeper: &Address,
        withdraw: &ReserveAddresses,
        repay: &ReserveAddresses,
        keeper_debt: &Address,
        amount: u64,
    ) -> Result<Option<Route>> {
        if withdraw.liquidity_mint == repay.liquidity_mint {
            return Ok(None);
        }
        let (from, to) = (&withdraw.liquidity_mint, &repay.liquidity_mint);
        let (curve, _) = self.best(from, to, amount).ok_or_else(|| self.no_route(from, to))?;
        let mut route = Route::new(keeper, withdraw, repay);
        let (authority, _) = swap_authority(keeper);
        let leg = curve.leg(&Trade {
            authority,
            input: Side {
                account: route.swap_collateral,
                mint: withdraw.liquidity_mint,
                token_program: withdraw.liquidity_token_program,
            },
            output: Side {
                account: route.swap_debt.unwrap_or(*keeper_debt),
                mint: repay.liquidity_mint,
                token_program: repay.liquidity_token_program,
            },
            amount: Amount::All(amount),
            // The receiver holds the proceeds against loan, fee and profit.
            min_out: 0,
            token: 0,
        })?;
        route.legs = vec![SwapLeg {
            program: leg.program,
            accounts: leg.accounts,
            input: leg.input,
            amount_in_offset: leg.amount_in_offset,
            data: leg.data,
        }];
        route.pay_directly(keeper_debt);
        Ok(Some(route))
    }

    fn no_route(&self, from: &Address, to: &Address) -> anyhow::Error {
        match self {
            Self::Pools { closed, .. } => {
                let of_pair =
                    closed.iter().find(|((sold, bought), _)| (sold, bought) == (from, to));
                of_pair.map_or_else(
                    || anyhow!("none of the pools known sells {from} for {to}"),
                    |(_, reason)| anyhow::Error::new(*reason),
                )
            }
            Self::Assumed { .. } => anyhow!(
                "no venue sells {from} for {to}: give a pool with --pool or a route with --jupiter"
            ),
        }
    }
}

/// An account as pools are read from.
fn account<'a>(accounts: &'a Accounts, key: &Address) -> Option<liquidation_venues::Account<'a>> {
    let account = accounts.get(key)?;
    Some(liquidation_venues::Account { owner: &account.owner, data: &account.data })
}

/// A pool that the operator named, if it is one.
fn named(accounts: &Accounts, key: &Address) -> Option<Box<dyn Pool>> {
    liquidation_venues::read(key, account(accounts, key)?).ok()
}

/// Each pool that is known with each pair of different mints that it trades.
fn traded<'a>(
    accounts: &Accounts,
    sold: &'a [ReserveAddresses],
    bought: &'a [ReserveAddresses],
    pools: &Pools,
) -> Vec<(Box<dyn Pool>, &'a ReserveAddresses, &'a ReserveAddresses)> {
    let mut traded: Vec<(Box<dyn Pool>, &ReserveAddresses, &ReserveAddresses)> = Vec::new();
    for from in sold {
        for to in bought.iter().filter(|to| to.liquidity_mint != from.liquidity_mint) {
            for key in &pools.named {
                let pool = named(accounts, key);
                let trades = |mints: [Address; 2]| {
                    mints.contains(&from.liquidity_mint) && mints.contains(&to.liquidity_mint)
                };
                let pool = pool.filter(|pool| trades(pool.mints()));
                traded.extend(pool.map(|pool| (pool, from, to)));
            }
            for key in &pools.stand_ins {
                let sides = [from, to]
                    .map(|reserve| (reserve.liquidity_mint, reserve.liquidity_token_program));
                let pool = account(accounts, key)
                    .and_then(|account| StandInPool::read(key, account, sides).ok());
                traded.extend(pool.map(|pool| (Box::new(pool) as Box<dyn Pool>, from, to)));
            }
        }
    }
    traded
}

/// Amount in a token account's data.
pub fn balance(data: &[u8]) -> Option<u64> {
    const AMOUNT_OFFSET: usize = 64;
    data.get(AMOUNT_OFFSET..)?.first_chunk().copied().map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use flash_liquidator_client::token::{TOKEN_PROGRAM_ID, associated_token_account};
    use liquidation_venues::stand_in;
    use solana_account::Account;

    use super::*;
    use crate::feeds::feed::Version;

    const SOLD: u8 = 10;
    const BOUGHT: u8 = 11;

    fn key(byte: u8) -> Address {
        Address::new_from_array([byte; 32])
    }

    fn reserve(mint: u8) -> ReserveAddresses {
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
    fn put(accounts: &mut Accounts, key: &Address, owner: Address, data: Vec<u8>) {
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

    fn find(accounts: &Accounts, pools: &Pools) -> Result<Venue> {
        let clock = Clock { slot: 1, unix_timestamp: 1 };
        Venue::find(accounts, &[reserve(SOLD)], &[reserve(BOUGHT)], pools, clock, 25)
    }

    #[test]
    fn it_is_sold_where_this_amount_brings_most() {
        let mut accounts = Accounts::default();
        // A thin pool without a fee, and a deep one with one.
        pool(&mut accounts, 20, [1_000_000, 1_000_000], 0);
        pool(&mut accounts, 21, [1_000_000_000, 1_000_000_000], 30);
        let pools = Pools { named: Vec::new(), stand_ins: vec![key(20), key(21)] };
        let needs = Venue::needs(&accounts, &[reserve(SOLD)], &[reserve(BOUGHT)], &pools);
        assert!(needs.len() > 2 && accounts.unread(needs).is_empty());
        let venue = find(&accounts, &pools).unwrap();
        let chosen = |amount| {
            let (curve, out) = venue.best(&key(SOLD), &key(BOUGHT), amount).unwrap();
            (*curve.pool(), out)
        };
        assert_eq!(chosen(1_000), (key(20), 999));
        assert_eq!(chosen(500_000).0, key(21));
        let route = venue
            .route(&key(7), &reserve(SOLD), &reserve(BOUGHT), &key(8), 500_000)
            .unwrap()
            .unwrap();
        assert_eq!(route.legs.len(), 1);
        assert!(route.legs[0].accounts.iter().any(|meta| meta.pubkey == key(21)));
        // The other way round nobody asked about.
        let back = venue.route(&key(7), &reserve(BOUGHT), &reserve(SOLD), &key(8), 1);
        assert!(back.unwrap_err().to_string().contains("none of the pools known"));
    }

    #[test]
    fn without_pools_the_oracles_price_is_assumed_and_nothing_is_sent() {
        let venue = find(&Accounts::default(), &Pools::default()).unwrap();
        assert_eq!(venue.describe(), "assumed: oracle prices less 0.25 %");
        let route = venue.route(&key(7), &reserve(SOLD), &reserve(BOUGHT), &key(8), 1);
        assert!(route.unwrap_err().to_string().contains("give a pool with --pool"));
    }

    #[test]
    fn a_pool_that_was_named_has_to_be_one() {
        let mut accounts = Accounts::default();
        put(&mut accounts, &key(5), key(9), vec![0; 1_544]);
        let said = |named| {
            let pools = Pools { named: vec![key(named)], stand_ins: Vec::new() };
            find(&accounts, &pools).err().unwrap().to_string()
        };
        assert!(said(5).contains("no venue that is known"), "{}", said(5));
        assert!(said(7).contains("no such account"), "{}", said(7));
    }

    #[test]
    fn the_book_knows_what_is_there_what_is_not_and_what_it_has_not_read() {
        use liquidation_venues::Accounts as _;
        let mut accounts = Accounts::default();
        put(&mut accounts, &key(1), key(9), vec![3]);
        accounts.put(&key(2), Version::end_of(1), None);
        let Known::Present(account) = accounts.known(&key(1)) else { panic!() };
        assert_eq!((*account.owner, account.data), (key(9), &[3][..]));
        assert!(matches!(accounts.known(&key(2)), Known::Absent));
        assert!(matches!(accounts.known(&key(3)), Known::Unread));
    }
}
