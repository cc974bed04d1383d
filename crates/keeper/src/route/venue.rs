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

use crate::feeds::source::{Filter, Source};

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
    fn read(source: &dyn Source, key: &Address, account: &Account) -> Result<Self> {
        let (owner, data) = (&account.owner, &account.data[..]);
        match *owner {
            whirlpool::PROGRAM_ID => Ok(Self::Whirlpool(Whirlpool::read(key, owner, data)?)),
            raydium_cpmm::PROGRAM_ID => Ok(Self::Cpmm(CpmmPool::read(key, owner, data)?)),
            raydium_clmm::PROGRAM_ID => {
                let pool = ClmmPool::read(key, owner, data)?;
                let found = source.accounts(&[pool.bitmap_extension()])?.pop().flatten();
                let extension = found
                    .map(|account| BitmapExtension::read(&pool, &account.owner, &account.data))
                    .transpose()?;
                Ok(Self::Clmm { pool, extension })
            }
            _ => bail!("account {key} is neither a Whirlpool nor a Raydium CPMM or CLMM pool"),
        }
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
    pub fn discover(
        source: &dyn Source,
        sold: &[ReserveAddresses],
        bought: &[ReserveAddresses],
        named: &[Address],
        cost_bps: u16,
    ) -> Result<Self> {
        if !named.is_empty() {
            let accounts = source.accounts(named)?;
            let pools = named
                .iter()
                .zip(accounts)
                .map(|(key, account)| {
                    let account =
                        account.ok_or_else(|| anyhow!("pool {key}: there is no such account"))?;
                    Pool::read(source, key, &account)
                })
                .collect::<Result<_>>()?;
            return Ok(Self::Pools { pools, cost_bps });
        }
        let filter = Filter::of_len(stand_in::POOL_LEN);
        let pools = source.program_accounts(&stand_in::PROGRAM_ID, filter)?;
        let mut found = BTreeMap::new();
        for (key, account) in &pools {
            let Some(fee_bps) = stand_in::fee_bps(&account.data) else { continue };
            let authority = stand_in::pool_authority(key);
            let vault = |reserve: &ReserveAddresses| {
                associated_token_account(
                    &authority,
                    &reserve.liquidity_mint,
                    &reserve.liquidity_token_program,
                )
            };
            for from in sold {
                for to in bought.iter().filter(|to| to.liquidity_mint != from.liquidity_mint) {
                    let (vault_in, vault_out) = (vault(from), vault(to));
                    let vaults = source.accounts(&[vault_in, vault_out])?;
                    let [Some(paid_in), Some(paid_out)] = &vaults[..] else { continue };
                    let (Some(reserve_in), Some(reserve_out)) =
                        (balance(&paid_in.data), balance(&paid_out.data))
                    else {
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
            }
        }
        Ok(if found.is_empty() { Self::Assumed { cost_bps } } else { Self::StandIn(found) })
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
    use klend_fork::World;
    use klend_model::reserve::Clock;

    use super::*;
    use crate::feeds::source::{Progress, Visitor};

    /// Accounts and nothing else.
    struct Accounts(BTreeMap<Address, Account>);

    impl Source for Accounts {
        fn name(&self) -> String {
            "a test".to_owned()
        }

        fn clock(&self) -> Result<Clock> {
            bail!("there is no clock")
        }

        fn accounts_at(&self, keys: &[Address]) -> Result<(u64, Vec<Option<Account>>)> {
            Ok((1, keys.iter().map(|key| self.0.get(key).cloned()).collect()))
        }

        fn program_accounts(&self, _: &Address, _: Filter) -> Result<Vec<(Address, Account)>> {
            bail!("where pools are named, none is searched for")
        }

        fn visit_obligations(&self, _: &Address, _: Progress, _: Visitor) -> Result<()> {
            bail!("there are no obligations")
        }

        fn world(&self, _: &[Address]) -> Result<World> {
            bail!("there is no virtual machine")
        }
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
        Venue::discover(accounts, &[], &[], named, 25)
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
        let mut accounts = Accounts(BTreeMap::from([(key(5), clmm(0))]));
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
        let extension = account(
            raydium_clmm::PROGRAM_ID,
            1832,
            &[(0, &[60, 150, 36, 219, 97, 128, 139, 153]), (8, &[5; 32]), (40, &[1])],
        );
        accounts.0.insert(pool.bitmap_extension(), extension);
        let venue = discover(&accounts, &[key(5)]).unwrap();
        let both = venue.leg(&trade(11, 10)).unwrap();
        assert_eq!(both.accounts.len(), 14 + 2);
        // That one lies above: selling the first mint does not reach it.
        assert_eq!(venue.leg(&trade(10, 11)).unwrap(), near);
    }

    #[test]
    fn a_pool_that_cannot_be_sold_in_says_why() {
        let other = account(key(9), 1544, &[]);
        let accounts = Accounts(BTreeMap::from([(key(5), clmm(1 << 4)), (key(6), other)]));
        let said = |named| discover(&accounts, &[key(named)]).err().unwrap().to_string();
        assert!(said(5).contains("does not swap at present"), "{}", said(5));
        assert!(said(6).contains("neither a Whirlpool nor a Raydium"), "{}", said(6));
        assert!(said(7).contains("no such account"), "{}", said(7));
    }
}
