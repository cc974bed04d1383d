//! Where seized collateral is sold, and what it brings.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow, bail};
use flash_liquidator_client::{
    klend::ReserveAddresses,
    receiver::{Route, SwapLeg, swap_authority},
    swap::{Side, Trade, raydium_cpmm::CpmmPool, stand_in, whirlpool::Whirlpool},
    token::associated_token_account,
};
use klend_model::{
    fraction::{Fraction, mul_div, ten_pow},
    reserve::ReserveState,
};
use solana_account::Account;
use solana_address::Address;

use crate::source::{Filter, Source};

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
#[derive(Clone, Copy, Debug)]
pub enum Pool {
    Whirlpool(Whirlpool),
    Cpmm(CpmmPool),
}

impl Pool {
    /// Reads a pool of any venue that is known.
    fn read(key: &Address, account: &Account) -> Result<Self> {
        Whirlpool::read(key, &account.owner, &account.data)
            .map(Self::Whirlpool)
            .or_else(|_| CpmmPool::read(key, &account.owner, &account.data).map(Self::Cpmm))
            .map_err(|_| anyhow!("account {key} is neither a Whirlpool nor a Raydium CPMM pool"))
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Whirlpool(_) => "Orca Whirlpool",
            Self::Cpmm(_) => "Raydium CPMM pool",
        }
    }

    /// Whether it trades these two mints for each other.
    fn trades(&self, from: &Address, to: &Address) -> bool {
        let mints = match self {
            Self::Whirlpool(pool) => pool.mints,
            Self::Cpmm(pool) => pool.mints,
        };
        mints == [*from, *to] || mints == [*to, *from]
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
                    Pool::read(key, &account)
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
                    Some(Pool::Whirlpool(pool)) => Ok(pool.leg(trade)?),
                    Some(Pool::Cpmm(pool)) => Ok(pool.leg(trade)?),
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
