//! Markets: of tokens, and of perps.

use solana_program::pubkey::Pubkey;

use super::{ABSENT, Fields, FieldsMut, Layout, SpotPosition, both, discriminator, len};
use crate::{
    Exchange,
    error::{Error, Result, fits},
};

/// A spot market.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpotMarket {
    /// Its account's address.
    pub address: Pubkey,
    /// Oracle; zeros for a price of one dollar.
    pub oracle: Pubkey,
    /// Mint of the token.
    pub mint: Pubkey,
    /// Where the tokens are.
    pub vault: Pubkey,
    /// Sum of all scaled deposits.
    pub deposit_balance: u128,
    /// Sum of all scaled borrows.
    pub borrow_balance: u128,
    /// What a scaled deposit has grown to.
    pub deposit_interest: u128,
    /// What a scaled borrow has grown to.
    pub borrow_interest: u128,
    /// Share of a deposit that counts: for new risk, and before a liquidation.
    pub asset_weight: [u32; 2],
    /// What a borrow counts for: for new risk, and before a liquidation.
    pub liability_weight: [u32; 2],
    /// How the weights worsen with size, in millionths.
    pub imf_factor: u32,
    /// Liquidator's discount, in millionths.
    pub liquidator_fee: u32,
    /// The most that the insurance fund takes of a liquidation, in millionths.
    pub insurance_fee: u32,
    /// Decimals of the token.
    pub decimals: u32,
    /// Its number.
    pub index: u16,
    /// 1 for a Token-2022 mint.
    pub token_program_flag: u8,
    /// Kind of the oracle.
    pub oracle_source: u8,
    /// 1 in ordinary operation.
    pub status: u8,
    /// Deposits below this may all be withdrawn, in units.
    pub withdraw_guard: u64,
    /// The most that may be deposited; 0 for no limit.
    pub max_deposits: u64,
    /// Average deposits of a day.
    pub deposit_twap: u64,
    /// Pool of markets that it is in.
    pub pool_id: u8,
    /// Average of the oracle's price.
    pub average: Average,
}

impl Layout for SpotMarket {
    const DISCRIMINATOR: [u8; 8] = discriminator::SPOT_MARKET;
    const LEN: [usize; 2] = len::SPOT_MARKET;

    fn read(data: &[u8], exchange: Exchange) -> Self {
        let fields = Fields(data, exchange);
        Self {
            address: fields.get(both(8)),
            oracle: fields.get(both(40)),
            mint: fields.get(both(72)),
            vault: fields.get(both(104)),
            deposit_balance: fields.get([432, 296]),
            borrow_balance: fields.get([448, 312]),
            deposit_interest: fields.get([464, 328]),
            borrow_interest: fields.get([480, 344]),
            withdraw_guard: fields.get([528, 544]),
            max_deposits: fields.get([536, 552]),
            deposit_twap: fields.get([544, 560]),
            asset_weight: [fields.get([640, 656]), fields.get([644, 660])],
            liability_weight: [fields.get([648, 664]), fields.get([652, 668])],
            average: Average::read(&fields, [200, ABSENT]),
            imf_factor: fields.get([656, 672]),
            liquidator_fee: fields.get([660, 676]),
            insurance_fee: fields.get([664, 680]),
            decimals: fields.get([680, 696]),
            index: fields.get([684, 700]),
            oracle_source: fields.get([687, 703]),
            status: fields.get([688, 704]),
            token_program_flag: fields.get([734, 745]),
            pool_id: fields.get([735, 746]),
        }
    }

    fn write(&self, data: &mut [u8], exchange: Exchange) {
        let mut fields = FieldsMut(data, exchange);
        fields.set(both(8), &self.address);
        fields.set(both(40), &self.oracle);
        fields.set(both(72), &self.mint);
        fields.set(both(104), &self.vault);
        fields.set([432, 296], &self.deposit_balance);
        fields.set([448, 312], &self.borrow_balance);
        fields.set([464, 328], &self.deposit_interest);
        fields.set([480, 344], &self.borrow_interest);
        fields.set([528, 544], &self.withdraw_guard);
        fields.set([536, 552], &self.max_deposits);
        fields.set([544, 560], &self.deposit_twap);
        for kind in [0, 1] {
            fields.set([640 + 4 * kind, 656 + 4 * kind], &self.asset_weight[kind]);
        }
        for kind in [0, 1] {
            fields.set([648 + 4 * kind, 664 + 4 * kind], &self.liability_weight[kind]);
        }
        self.average.write(&mut fields, [200, ABSENT]);
        fields.set([656, 672], &self.imf_factor);
        fields.set([660, 676], &self.liquidator_fee);
        fields.set([664, 680], &self.insurance_fee);
        fields.set([680, 696], &self.decimals);
        fields.set([684, 700], &self.index);
        fields.set([687, 703], &self.oracle_source);
        fields.set([688, 704], &self.status);
        fields.set([734, 745], &self.token_program_flag);
        fields.set([735, 746], &self.pool_id);
    }
}

impl SpotMarket {
    /// Scaled balances have 9 decimals and interest 10, whatever the token has.
    fn precision(&self) -> Result<u128> {
        let decimals = 19u32.checked_sub(self.decimals).ok_or(Error::MathError)?;
        Ok(10u128.pow(decimals))
    }

    /// Units of a scaled balance, negative for a borrow: deposits are rounded
    /// down, borrows up.
    pub fn tokens(&self, scaled_balance: u128, is_borrow: bool) -> Result<i128> {
        let precision = self.precision()?;
        if is_borrow {
            let units = (scaled_balance * self.borrow_interest).div_ceil(precision);
            Ok(-fits::<i128, _>(units)?)
        } else {
            fits(scaled_balance * self.deposit_interest / precision)
        }
    }

    /// Adds `units` to a position, or takes them away: a deposit may become a
    /// borrow and the other way round.
    pub fn add(&mut self, position: &mut SpotPosition, units: i128) -> Result<()> {
        let held = self.tokens(position.scaled_balance.into(), position.is_borrow)?;
        let total = held.checked_add(units).ok_or(Error::MathError)?;
        self.book(position.scaled_balance.into(), position.is_borrow, false)?;
        position.is_borrow = total < 0;
        position.scaled_balance = fits(self.scaled(total)?)?;
        self.book(position.scaled_balance.into(), position.is_borrow, true)
    }

    /// The scaled balance of these units, rounded against the user.
    fn scaled(&self, units: i128) -> Result<u128> {
        let value = units.unsigned_abs().checked_mul(self.precision()?).ok_or(Error::MathError)?;
        Ok(if units < 0 {
            value.div_ceil(self.borrow_interest)
        } else {
            value / self.deposit_interest
        })
    }

    /// Adds a scaled balance to the market's sum, or takes it out.
    fn book(&mut self, scaled_balance: u128, is_borrow: bool, is_added: bool) -> Result<()> {
        let sum = if is_borrow { &mut self.borrow_balance } else { &mut self.deposit_balance };
        *sum = if is_added {
            sum.checked_add(scaled_balance)
        } else {
            sum.checked_sub(scaled_balance)
        }
        .ok_or(Error::MathError)?;
        Ok(())
    }

    /// Moves `units` into a pool of the market, or out of it.
    pub fn add_to_pool(&mut self, scaled_pool: &mut u128, units: i128) -> Result<()> {
        let held = self.tokens(*scaled_pool, false)?;
        let total = held.checked_add(units).filter(|total| *total >= 0).ok_or(Error::MathError)?;
        self.book(*scaled_pool, false, false)?;
        *scaled_pool = self.scaled(total)?;
        self.book(*scaled_pool, false, true)
    }
}

/// A perp market.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PerpMarket {
    /// Its account's address.
    pub address: Pubkey,
    /// Oracle.
    pub oracle: Pubkey,
    /// Sizes are multiples of this.
    pub step_size: u64,
    /// How far from the oracle the market buys and sells, in millionths.
    pub spread: [u32; 2],
    /// Where profits are paid from, as a scaled deposit in the quote market.
    pub pnl_pool: u128,
    /// How the margin ratio worsens with size, in millionths.
    pub imf_factor: u32,
    /// Liquidator's discount, in millionths.
    pub liquidator_fee: u32,
    /// The most that the insurance fund takes of a liquidation, in millionths.
    pub insurance_fee: u32,
    /// Margin that a position takes: for new risk, and before a liquidation.
    pub margin_ratio: [u32; 2],
    /// Share of a profit not settled that counts: for new risk, and before a
    /// liquidation.
    pub pnl_weight: [u32; 2],
    /// Its number.
    pub index: u16,
    /// Spot market that profits are settled in.
    pub quote_spot_market: u16,
    /// Kind of the oracle.
    pub oracle_source: u8,
    /// 1 in ordinary operation.
    pub status: u8,
    /// Average of the oracle's price.
    pub average: Average,
    /// Pool of markets that it is in.
    pub pool_id: u8,
    /// What the market maker has earned since funding was last paid; negative for a
    /// loss.
    pub recent_revenue: i64,
    /// What it has earned and kept.
    pub fees_kept: i128,
    /// Slots that the oracle may be old for the market to fill at once; negative for
    /// none.
    pub oracle_delay: i8,
}

impl Layout for PerpMarket {
    const DISCRIMINATOR: [u8; 8] = discriminator::PERP_MARKET;
    const LEN: [usize; 2] = len::PERP_MARKET;

    fn read(data: &[u8], exchange: Exchange) -> Self {
        let fields = Fields(data, exchange);
        Self {
            address: fields.get(both(8)),
            oracle: fields.get([40, 312]),
            average: Average::read(&fields, [104, ABSENT]),
            fees_kept: fields.get([560, ABSENT]),
            recent_revenue: fields.get([784, ABSENT]),
            step_size: fields.get([808, 544]),
            spread: [fields.get([908, ABSENT]), fields.get([904, ABSENT])],
            oracle_source: fields.get([926, 673]),
            oracle_delay: fields.get([935, 674]),
            pnl_pool: fields.get([976, 344]),
            imf_factor: fields.get([1_120, 600]),
            liquidator_fee: fields.get([1_128, 608]),
            insurance_fee: fields.get([1_132, 612]),
            margin_ratio: [fields.get([1136, 616]), fields.get([1140, 620])],
            pnl_weight: [fields.get([1144, 624]), fields.get([1148, 628])],
            index: fields.get([1_160, 640]),
            status: fields.get([1_162, 642]),
            quote_spot_market: fields.get([1_166, 646]),
            pool_id: fields.get([1_173, 664]),
        }
    }

    fn write(&self, data: &mut [u8], exchange: Exchange) {
        let mut fields = FieldsMut(data, exchange);
        fields.set(both(8), &self.address);
        fields.set([40, 312], &self.oracle);
        self.average.write(&mut fields, [104, ABSENT]);
        fields.set([560, ABSENT], &self.fees_kept);
        fields.set([784, ABSENT], &self.recent_revenue);
        fields.set([808, 544], &self.step_size);
        fields.set([908, ABSENT], &self.spread[0]);
        fields.set([904, ABSENT], &self.spread[1]);
        fields.set([926, 673], &self.oracle_source);
        fields.set([935, 674], &self.oracle_delay);
        fields.set([976, 344], &self.pnl_pool);
        fields.set([1_120, 600], &self.imf_factor);
        fields.set([1_128, 608], &self.liquidator_fee);
        fields.set([1_132, 612], &self.insurance_fee);
        for kind in [0, 1] {
            fields.set([1136 + 4 * kind, 616 + 4 * kind], &self.margin_ratio[kind]);
        }
        for kind in [0, 1] {
            fields.set([1144 + 4 * kind, 624 + 4 * kind], &self.pnl_weight[kind]);
        }
        fields.set([1_160, 640], &self.index);
        fields.set([1_162, 642], &self.status);
        fields.set([1_166, 646], &self.quote_spot_market);
        fields.set([1_173, 664], &self.pool_id);
    }
}

impl PerpMarket {
    /// Whether its market maker has lost so much lately that it fills nothing: ten
    /// thousand dollars, and two hundredths of what it has kept (of a market of the
    /// best tier).
    pub fn is_in_drawdown(&self) -> bool {
        const MOST: i128 = 10_000_000_000;
        let lost = -i128::from(self.recent_revenue);
        lost >= MOST && lost * 50 >= self.fees_kept.max(1)
    }
}

/// Average of an oracle's price over five minutes. All zeros where nobody looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Average {
    /// Price in millionths of a dollar.
    pub price: i64,
    /// When it was computed, Unix seconds.
    pub since: i64,
}

impl Average {
    const SECONDS: i64 = 300;

    fn read(fields: &Fields, at: [usize; 2]) -> Self {
        Self { price: fields.get(at), since: fields.get(at.map(|at| at.saturating_add(8))) }
    }

    fn write(self, fields: &mut FieldsMut, at: [usize; 2]) {
        fields.set(at, &self.price);
        fields.set(at.map(|at| at.saturating_add(8)), &self.since);
    }

    /// Follows the price: each second of the five minutes counts alike, and a price that
    /// is more than a tenth of the average away counts as a tenth. (The real program asks
    /// an average of an hour for that.)
    pub fn follow(&mut self, price: i64, now: i64) {
        if self.price == 0 {
            return;
        }
        let most = self.price / 10;
        let price = price.clamp(self.price - most, self.price + most);
        let passed = (now - self.since).clamp(0, Self::SECONDS);
        let sum = i128::from(price) * i128::from(passed)
            + i128::from(self.price) * i128::from(Self::SECONDS - passed);
        (self.price, self.since) = ((sum / i128::from(Self::SECONDS)) as i64, now);
    }

    /// Whether a price is half of the average away from it, or more: nothing is
    /// liquidated then.
    pub fn is_far_from(&self, price: i64) -> bool {
        self.price != 0 && price.abs_diff(self.price) >= self.price.unsigned_abs() / 2
    }

    /// Whether a price is more than a tenth of itself away from the average: nothing is
    /// settled then.
    pub fn forbids_settling(&self, price: i64) -> bool {
        self.price != 0 && price.abs_diff(self.price) > price.unsigned_abs() / 10
    }
}
