//! Where seized collateral is sold, and what it brings.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow, bail};
use flash_liquidator_client::{
    klend::ReserveAddresses,
    receiver::{Route, SwapLeg, swap_authority},
    swap::{
        PoolError, Side, Trade,
        raydium_clmm::{self, BitmapExtension, ClmmPool},
        raydium_cpmm::{self, CpmmPool},
        stand_in,
        whirlpool::{self, Whirlpool},
    },
    token::associated_token_account,
};
use klend_model::{
    fraction::{Fraction, mul_div, ten_pow},
    reserve::ReserveState,
};
use solana_account::Account;
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

/// A stand-in pool with the balances it had.
#[derive(Clone, Copy, Debug)]
pub struct StandInPool {
    pool: stand_in::Pool,
    reserve_in: u64,
    reserve_out: u64,
    fee_bps: u16,
}

/// A pool of a venue on mainnet.
#[derive(Clone, Debug)]
pub enum Pool {
    Whirlpool(Whirlpool),
    Cpmm(CpmmPool),
    Clmm {
        pool: ClmmPool,
        /// Tells of liquidity far from the price, where the pool has such.
        extension: Option<BitmapExtension>,
    },
}

impl Pool {
    /// Reads a pool of any venue that is known, and what else its swaps need.
    fn read(accounts: &Accounts, key: &Address, account: &Account) -> Result<Self> {
        let (owner, data) = (&account.owner, &account.data[..]);
        match *owner {
            whirlpool::PROGRAM_ID => Ok(Self::Whirlpool(Whirlpool::read(key, owner, data)?)),
            raydium_cpmm::PROGRAM_ID => Ok(Self::Cpmm(CpmmPool::read(key, owner, data)?)),
            raydium_clmm::PROGRAM_ID => {
                let pool = ClmmPool::read(key, owner, data)?;
                let extension = accounts
                    .get(&pool.bitmap_extension())
                    .map(|account| BitmapExtension::read(&pool, &account.owner, &account.data))
                    .transpose()?;
                Ok(Self::Clmm { pool, extension })
            }
            _ => bail!("account {key} is neither a Whirlpool nor a Raydium CPMM or CLMM pool"),
        }
    }

    /// Accounts that have to be known before a swap in the pool at `key` can be made.
    fn needs(accounts: &Accounts, key: &Address) -> Vec<Address> {
        let pool = accounts.get(key).filter(|account| account.owner == raydium_clmm::PROGRAM_ID);
        let pool = pool.and_then(|pool| ClmmPool::read(key, &pool.owner, &pool.data).ok());
        pool.map(|pool| pool.bitmap_extension()).into_iter().collect()
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Whirlpool(_) => "Orca Whirlpool",
            Self::Cpmm(_) => "Raydium CPMM pool",
            Self::Clmm { .. } => "Raydium CLMM pool",
        }
    }

    /// Whether it trades these two mints for each other.
    fn trades(&self, from: &Address, to: &Address) -> bool {
        let mints = match self {
            Self::Whirlpool(pool) => pool.mints,
            Self::Cpmm(pool) => pool.mints,
            Self::Clmm { pool, .. } => pool.mints,
        };
        mints == [*from, *to] || mints == [*to, *from]
    }

    fn leg(&self, trade: &Trade) -> Result<SwapLeg, PoolError> {
        match self {
            Self::Whirlpool(pool) => pool.leg(trade),
            Self::Cpmm(pool) => pool.leg(trade),
            Self::Clmm { pool, extension } => pool.leg(trade, extension.as_ref()),
        }
    }
}

/// Each pool with each pair of different mints that may be traded in it.
fn pairs<'a>(
    sold: &'a [ReserveAddresses],
    bought: &'a [ReserveAddresses],
    pools: &'a [Address],
) -> impl Iterator<Item = (&'a Address, &'a ReserveAddresses, &'a ReserveAddresses)> {
    let of_pool = move |pool| {
        sold.iter().flat_map(move |from| {
            let others = bought.iter().filter(|to| to.liquidity_mint != from.liquidity_mint);
            others.map(move |to| (pool, from, to))
        })
    };
    pools.iter().flat_map(of_pool)
}

/// A stand-in pool's vaults of what is sold and what is bought.
fn vaults(pool: &Address, from: &ReserveAddresses, to: &ReserveAddresses) -> [Address; 2] {
    let authority = stand_in::pool_authority(pool);
    [from, to].map(|reserve| {
        associated_token_account(
            &authority,
            &reserve.liquidity_mint,
            &reserve.liquidity_token_program,
        )
    })
}

/// A venue for every pair of mints an obligation can need.
pub enum Venue {
    /// Stand-in pools of a fork, by mint sold and mint bought.
    StandIn(BTreeMap<(Address, Address), StandInPool>),
    /// Pools the user named. Quotes assume the oracles' prices less `cost_bps`.
    Pools {
        /// The pools; the first that trades a pair is used.
        pools: Vec<Pool>,
        /// What a swap is assumed to cost.
        cost_bps: u16,
    },
    /// No venue is known: quotes assume the oracles' prices less this many bps,
    /// and nothing can be sent.
    Assumed {
        /// What a swap is assumed to cost.
        cost_bps: u16,
    },
}

impl Venue {
    /// The `pools` named, or stand-in pools between the collaterals and the debts;
    /// without any, swaps are assumed to cost `cost_bps`.
    ///
    /// # Errors
    /// A pool that was named is not there, or not one.
    pub fn find(
        accounts: &Accounts,
        sold: &[ReserveAddresses],
        bought: &[ReserveAddresses],
        pools: &Pools,
        cost_bps: u16,
    ) -> Result<Self> {
        if !pools.named.is_empty() {
            let pools = pools
                .named
                .iter()
                .map(|key| {
                    let account = accounts
                        .get(key)
                        .ok_or_else(|| anyhow!("pool {key}: there is no such account"))?;
                    Pool::read(accounts, key, account)
                })
                .collect::<Result<_>>()?;
            return Ok(Self::Pools { pools, cost_bps });
        }
        let mut found = BTreeMap::new();
        for (key, from, to) in pairs(sold, bought, &pools.stand_ins) {
            let fee = accounts.get(key).and_then(|account| stand_in::fee_bps(&account.data));
            let Some(fee_bps) = fee else { continue };
            let [vault_in, vault_out] = vaults(key, from, to);
            let held = |vault| accounts.get(vault).and_then(|account| balance(&account.data));
            let (Some(reserve_in), Some(reserve_out)) = (held(&vault_in), held(&vault_out)) else {
                continue;
            };
            let pool = stand_in::Pool { pool: *key, vault_in, vault_out };
            let new = StandInPool { pool, reserve_in, reserve_out, fee_bps };
            found
                .entry((from.liquidity_mint, to.liquidity_mint))
                .and_modify(|best: &mut StandInPool| {
                    if best.reserve_out < reserve_out {
                        *best = new;
                    }
                })
                .or_insert(new);
        }
        Ok(if found.is_empty() { Self::Assumed { cost_bps } } else { Self::StandIn(found) })
    }

    /// The accounts that [`Self::find`] looks at.
    pub fn needs(
        accounts: &Accounts,
        sold: &[ReserveAddresses],
        bought: &[ReserveAddresses],
        pools: &Pools,
    ) -> Vec<Address> {
        if !pools.named.is_empty() {
            let needs = pools.named.iter().flat_map(|key| Pool::needs(accounts, key));
            return pools.named.iter().copied().chain(needs).collect();
        }
        pairs(sold, bought, &pools.stand_ins)
            .flat_map(|(key, from, to)| [*key].into_iter().chain(vaults(key, from, to)))
            .collect()
    }

    /// What an amount brings.
    pub fn quote(
        &self,
        from: &ReserveState<'_>,
        to: &ReserveState<'_>,
        amount: u64,
    ) -> Option<u64> {
        match self {
            Self::StandIn(pools) => {
                let pool = pools.get(&(*from.mint(), *to.mint()))?;
                stand_in::amount_out(amount, pool.reserve_in, pool.reserve_out, pool.fee_bps)
            }
            Self::Pools { pools, cost_bps } => {
                let (from_mint, to_mint) = (from.mint(), to.mint());
                pools.iter().find(|pool| pool.trades(from_mint, to_mint))?;
                at_oracle_price(from, to, amount, *cost_bps)
            }
            Self::Assumed { cost_bps } => at_oracle_price(from, to, amount, *cost_bps),
        }
    }

    /// The venue in words.
    pub fn describe(&self) -> String {
        match self {
            Self::StandIn(_) => "stand-in pool".to_owned(),
            Self::Pools { pools, cost_bps } => {
                let mut names: Vec<&str> = pools.iter().map(Pool::name).collect();
                names.dedup();
                format!(
                    "{}, assumed to cost {:.2} % of the oracle price",
                    names.join(" or "),
                    f64::from(*cost_bps) / 100.0
                )
            }
            Self::Assumed { cost_bps } => {
                format!("assumed: oracle prices less {:.2} %", f64::from(*cost_bps) / 100.0)
            }
        }
    }

    /// The route from collateral to debt; `None` when both are one mint. The
    /// proceeds go to the keeper's own debt account.
    pub fn route(
        &self,
        keeper: &Address,
        withdraw: &ReserveAddresses,
        repay: &ReserveAddresses,
        keeper_debt: &Address,
    ) -> Result<Option<Route>> {
        if withdraw.liquidity_mint == repay.liquidity_mint {
            return Ok(None);
        }
        let mut route = Route::new(keeper, withdraw, repay);
        route.swap_debt = None;
        let (authority, _) = swap_authority(keeper);
        let trade = Trade {
            authority,
            input: Side {
                account: route.swap_collateral,
                mint: withdraw.liquidity_mint,
                token_program: withdraw.liquidity_token_program,
            },
            output: Side {
                account: *keeper_debt,
                mint: repay.liquidity_mint,
                token_program: repay.liquidity_token_program,
            },
            // The receiver holds the proceeds against loan, fee and profit.
            min_out: 0,
            token: 0,
        };
        route.legs = vec![self.leg(&trade)?];
        Ok(Some(route))
    }

    fn leg(&self, trade: &Trade) -> Result<SwapLeg> {
        match self {
            Self::StandIn(pools) => match pools.get(&(trade.input.mint, trade.output.mint)) {
                Some(pool) => Ok(stand_in::leg(&pool.pool, trade)),
                None => bail!("no pool sells {} for {}", trade.input.mint, trade.output.mint),
            },
            Self::Pools { pools, .. } => {
                let (from, to) = (&trade.input.mint, &trade.output.mint);
                match pools.iter().find(|pool| pool.trades(from, to)) {
                    Some(pool) => Ok(pool.leg(trade)?),
                    None => bail!("none of the pools given sells {from} for {to}"),
                }
            }
            Self::Assumed { .. } => bail!(
                "no venue sells {} for {}: give a pool with --pool or a route with --jupiter",
                trade.input.mint,
                trade.output.mint
            ),
        }
    }
}

/// Amount in a token account's data.
pub fn balance(data: &[u8]) -> Option<u64> {
    const AMOUNT_OFFSET: usize = 64;
    data.get(AMOUNT_OFFSET..)?.first_chunk().copied().map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use flash_liquidator_client::token::{TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID};

    use super::*;
    use crate::feeds::feed::Version;

    fn known(all: impl IntoIterator<Item = (Address, Account)>) -> Accounts {
        let mut accounts = Accounts::default();
        for (key, account) in all {
            let account = Account { lamports: 1, ..account };
            accounts.put(&key, Version::end_of(1), Some(account));
        }
        accounts
    }

    fn key(byte: u8) -> Address {
        Address::new_from_array([byte; 32])
    }

    fn account(owner: Address, len: usize, fields: &[(usize, &[u8])]) -> Account {
        let mut data = vec![0; len];
        for (at, bytes) in fields {
            data[*at..*at + bytes.len()].copy_from_slice(bytes);
        }
        Account { data, owner, ..Account::default() }
    }

    /// Of the mints 10 and 11, at tick zero of spacing one, in the published layout.
    fn clmm(status: u8) -> Account {
        let fields: [(usize, &[u8]); 6] = [
            (0, &[247, 237, 227, 245, 215, 195, 222, 70]),
            (73, &[10; 32]),
            (105, &[11; 32]),
            (235, &[1, 0]),
            (389, &[status]),
            // Liquidity in the array that begins at tick zero only.
            (904 + 64, &[1]),
        ];
        account(raydium_clmm::PROGRAM_ID, 1544, &fields)
    }

    fn discover(accounts: &Accounts, named: &[Address]) -> Result<Venue> {
        let pools = Pools { named: named.to_vec(), ..Pools::default() };
        Venue::find(accounts, &[], &[], &pools, 25)
    }

    fn trade(sold: u8, bought: u8) -> Trade {
        let side = |account, mint, token_program| Side {
            account: key(account),
            mint: key(mint),
            token_program,
        };
        Trade {
            authority: key(1),
            input: side(2, sold, TOKEN_PROGRAM_ID),
            output: side(3, bought, TOKEN_2022_PROGRAM_ID),
            min_out: 0,
            token: 0,
        }
    }

    #[test]
    fn a_clmm_pool_is_sold_in_with_the_liquidity_its_bitmaps_tell_of() {
        let mut accounts = known([(key(5), clmm(0))]);
        let venue = discover(&accounts, &[key(5)]).unwrap();
        assert!(venue.describe().starts_with("Raydium CLMM pool, assumed to cost 0.25 %"));
        let near = venue.leg(&trade(10, 11)).unwrap();
        assert_eq!(near.program, raydium_clmm::PROGRAM_ID);
        assert_eq!(near.accounts.len(), 14 + 1);
        let said = venue.leg(&trade(10, 12)).unwrap_err().to_string();
        assert!(said.contains("none of the pools given"), "{said}");

        // Another array, beyond the pool's own bitmap.
        let Venue::Pools { pools, .. } = venue else { panic!() };
        let [Pool::Clmm { pool, extension: None }] = &pools[..] else { panic!("{pools:?}") };
        // It has to be read before it is known not to be there.
        assert_eq!(Pool::needs(&accounts, &key(5)), [pool.bitmap_extension()]);
        let extension = account(
            raydium_clmm::PROGRAM_ID,
            1832,
            &[(0, &[60, 150, 36, 219, 97, 128, 139, 153]), (8, &[5; 32]), (40, &[1])],
        );
        let extension = Account { lamports: 1, ..extension };
        accounts.put(&pool.bitmap_extension(), Version::end_of(2), Some(extension));
        let venue = discover(&accounts, &[key(5)]).unwrap();
        let both = venue.leg(&trade(11, 10)).unwrap();
        assert_eq!(both.accounts.len(), 14 + 2);
        // That one lies above: selling the first mint does not reach it.
        assert_eq!(venue.leg(&trade(10, 11)).unwrap(), near);
    }

    #[test]
    fn a_pool_that_cannot_be_sold_in_says_why() {
        let other = account(key(9), 1544, &[]);
        let accounts = known([(key(5), clmm(1 << 4)), (key(6), other)]);
        let said = |named| discover(&accounts, &[key(named)]).err().unwrap().to_string();
        assert!(said(5).contains("does not swap at present"), "{}", said(5));
        assert!(said(6).contains("neither a Whirlpool nor a Raydium"), "{}", said(6));
        assert!(said(7).contains("no such account"), "{}", said(7));
    }
}
