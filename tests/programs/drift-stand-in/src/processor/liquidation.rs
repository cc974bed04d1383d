//! What the three liquidations share: the two parties, when one begins, how much of it
//! may happen at once, and when it is over.

use solana_program::{account_info::AccountInfo, clock::Clock, sysvar::Sysvar};

use super::{require_authority, require_running, split, state, user};
use crate::{
    error::{Error, Result, fits, require},
    exchange::{Exchange, Side},
    margin::{Kind, Margin},
    markets::{Markets, Rest},
    state::{
        BEING_LIQUIDATED, Layout, POSITION_BEING_LIQUIDATED, SpotPosition, State, User, UserStats,
    },
};

/// The two parties of a liquidation.
pub struct Liquidation<'a, 'info> {
    pub state: State,
    pub liquidator: Box<User>,
    pub user: Box<User>,
    accounts: [&'a AccountInfo<'info>; 2],
    pub rest: Rest<'a, 'info>,
    /// The isolated position that is liquidated; none when it is the account.
    isolated: Option<u16>,
}

/// What is missing when it begins.
pub struct Shortage {
    /// The margin before.
    pub margin: Margin,
    /// Millionths of a dollar.
    pub amount: i128,
}

impl<'a, 'info> Liquidation<'a, 'info> {
    /// Accounts: 0 state, 1 authority (signer), 2 liquidator (writable),
    /// 3 liquidator's statistics (writable), 4 user (writable), 5 user's statistics
    /// (writable); markets.
    pub fn load(accounts: &'a [AccountInfo<'info>]) -> Result<Self> {
        let ([state, authority, liquidator, liquidator_stats, user_account, user_stats], rest) =
            split::<6>(accounts)?;
        let liquidator = (liquidator, Box::new(user(liquidator, liquidator_stats)?));
        let user = (user_account, Box::new(user(user_account, user_stats)?));
        Self::between(state, authority, liquidator, user, rest)
    }

    /// The same without 5, and 3 only read: Velocity's `liquidate_spot`.
    pub fn load_without_user_stats(accounts: &'a [AccountInfo<'info>]) -> Result<Self> {
        let ([state, authority, liquidator, liquidator_stats, user], rest) = split::<5>(accounts)?;
        for account in [liquidator, user] {
            require(account.is_writable, Error::ConstraintMut)?;
        }
        let value = Box::new(User::load(liquidator)?);
        let belong = UserStats::load(liquidator_stats)?.authority == value.authority;
        require(belong, Error::ConstraintRaw)?;
        Self::between(
            state,
            authority,
            (liquidator, value),
            (user, Box::new(User::load(user)?)),
            rest,
        )
    }

    fn between(
        state_account: &AccountInfo,
        authority: &AccountInfo,
        liquidator: (&'a AccountInfo<'info>, Box<User>),
        user: (&'a AccountInfo<'info>, Box<User>),
        rest: Rest<'a, 'info>,
    ) -> Result<Self> {
        let state = state(state_account)?;
        require_running(&state, 16)?;
        require_authority(&liquidator.1, authority)?;
        require(liquidator.0.key != user.0.key, Error::UserCantLiquidateThemself)?;
        let accounts = [liquidator.0, user.0];
        let (liquidator, user) = (liquidator.1, user.1);
        Ok(Self { state, liquidator, user, accounts, rest, isolated: None })
    }

    /// Whether there is anything to liquidate in the account, or in the isolated
    /// position in a perp market: none when a liquidation that has begun is over, which
    /// is no error. 6004 when none may begin.
    pub fn begin(&mut self, markets: &Markets, perp: Option<u16>) -> Result<Option<Shortage>> {
        self.isolated = perp
            .filter(|index| self.user.perp(*index).is_ok_and(|position| position.is_isolated()));
        let margin = self.margin(markets)?;
        let amount = margin.shortage(self.state.margin_buffer);
        if self.has_begun()? {
            if amount == 0 {
                self.set_begun(false)?;
                return Ok(None);
            }
            return Ok(Some(Shortage { margin, amount }));
        }
        require(!margin.is_met(), Error::SufficientCollateral)?;
        self.set_begun(true)?;
        self.user.last_active_slot = Clock::get()?.slot;
        Ok(Some(Shortage { margin, amount }))
    }

    fn margin(&self, markets: &Markets) -> Result<Margin> {
        match self.isolated {
            Some(index) => {
                let position = self.user.perp(index)?;
                Margin::isolated(&self.user, position, markets, Kind::Maintenance)
            }
            None => Margin::of(&self.user, markets, Kind::Maintenance),
        }
    }

    fn has_begun(&self) -> Result<bool> {
        Ok(match self.isolated {
            Some(index) => self.user.perp(index)?.flag & POSITION_BEING_LIQUIDATED != 0,
            None => self.user.status & BEING_LIQUIDATED != 0,
        })
    }

    fn set_begun(&mut self, has_begun: bool) -> Result<()> {
        let (field, bit) = match self.isolated {
            Some(index) => (&mut self.user.perp_mut(index)?.flag, POSITION_BEING_LIQUIDATED),
            None => {
                self.user.margin_freed = 0;
                (&mut self.user.status, BEING_LIQUIDATED)
            }
        };
        *field = if has_begun { *field | bit } else { *field & !bit };
        Ok(())
    }

    /// Share of what is missing that may be freed by now, of 10,000. An isolated
    /// position goes at once.
    pub fn share(&self, shortage: &Shortage) -> Result<u128> {
        if self.isolated.is_some() || shortage.amount < 50_000_000 {
            return Ok(10_000);
        }
        let missing = shortage.amount.unsigned_abs();
        let elapsed = Clock::get()?.slot.saturating_sub(self.user.last_active_slot);
        let by_time = (u128::from(elapsed) * 10_000)
            .checked_div(self.state.duration_slots.into())
            .unwrap_or(10_000);
        let share = (by_time + u128::from(self.state.initial_share)).min(10_000);
        let freed = u128::from(self.user.margin_freed);
        let left = ((missing + freed) * share / 10_000).saturating_sub(freed);
        Ok(left * 10_000 / missing)
    }

    /// Liquidator's discount on a perp: it grows by a millionth a slot once a
    /// liquidation has been left alone for 1,500, to three times itself or the margin.
    pub fn perp_fee(&self, fee: u32, margin_ratio: u32) -> Result<u32> {
        let waited = Clock::get()?.slot.saturating_sub(self.user.last_active_slot);
        if waited < 1_500 {
            return Ok(fee);
        }
        let most = (fee * 3).min(margin_ratio * 100);
        Ok(fee.saturating_add(waited.try_into().unwrap_or(u32::MAX)).min(most))
    }

    /// Notes what has been freed, and whether that is all.
    pub fn end(&mut self, markets: &Markets, shortage: &Shortage, is_over: bool) -> Result<()> {
        if self.isolated.is_none() {
            let left = self.margin(markets)?.shortage(self.state.margin_buffer);
            let freed = (shortage.amount - left).max(0);
            self.user.margin_freed += fits::<u64, _>(freed)?;
        }
        if is_over {
            self.set_begun(false)?;
        }
        let is_backed = Margin::of(&self.liquidator, markets, Kind::Initial)?.is_met();
        require(is_backed, Error::InsufficientCollateral)
    }

    pub fn store(&self) -> Result<()> {
        self.liquidator.store(self.accounts[0])?;
        self.user.store(self.accounts[1])
    }
}

/// A spot position as a side of an exchange. 6302 unless its market is in the pool of
/// who takes it over.
pub fn side(
    markets: &Markets,
    position: &SpotPosition,
    liquidator: &User,
    margin_buffer: u32,
) -> Result<Side> {
    let market = markets.spot(position.market)?;
    require(market.pool_id == liquidator.pool_id, Error::InvalidPoolId)?;
    let units = market.tokens(position.scaled_balance.into(), position.is_borrow)?;
    let weight = if position.is_borrow {
        market.liability_weight[Kind::Maintenance as usize] + margin_buffer
    } else {
        market.asset_weight[Kind::Maintenance as usize]
    };
    Ok(Side {
        units: units.unsigned_abs(),
        price: fits(markets.price(&market.oracle)?)?,
        decimals: market.decimals,
        weight: weight.into(),
        fee: market.liquidator_fee,
    })
}

/// Dollars, for which a liability counts as small and goes whole.
pub const SMALL: u128 = 10_000_000;

/// What an exchange may take now, and what of it makes the liquidation over.
pub struct Allowed {
    pub now: u128,
    pub covering: u128,
}

impl Allowed {
    /// None when nothing may be freed yet, which is no error.
    pub fn of(
        exchange: &Exchange,
        parties: &Liquidation,
        shortage: &Shortage,
    ) -> Result<Option<Self>> {
        let covering = exchange.covering(shortage.amount.unsigned_abs())?;
        let now = covering.saturating_mul(parties.share(shortage)?) / 10_000;
        Ok((now > 0).then_some(Self { now, covering }))
    }
}
