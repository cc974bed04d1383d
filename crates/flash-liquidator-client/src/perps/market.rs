//! Markets' accounts, and the exchange's own.

use solana_address::Address;

use super::{
    Exchange, PerpError,
    layout::{self, discriminator, oracle_source, token_program_flag},
    read::{check, oracle, u16_at, u32_at, u64_at, u128_at},
};
use crate::{
    swap::{field, key},
    token::{TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID},
};

/// A spot market, as its account states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpotMarket {
    /// Where it is.
    pub exchange: Exchange,
    /// Its account.
    pub address: Address,
    /// Its number.
    pub index: u16,
    /// Its oracle; none where the price is one dollar by definition.
    pub oracle: Option<Address>,
    /// Kind of the oracle.
    pub oracle_source: u8,
    /// Mint of its token.
    pub mint: Address,
    /// Where its tokens are.
    pub vault: Address,
    /// Token program of the mint.
    pub token_program: Address,
    /// Whether transfers call a hook.
    pub has_transfer_hook: bool,
    /// Pool of markets that it is in.
    pub pool_id: u8,
    /// What a quote needs.
    pub risk: SpotRisk,
}

/// Terms of a spot market, as far as they decide about liquidations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpotRisk {
    /// Decimals of the token, at most 18.
    pub decimals: u32,
    /// What a scaled deposit has grown to, of 10^10.
    pub deposit_interest: u128,
    /// What a scaled borrow has grown to, of 10^10.
    pub borrow_interest: u128,
    /// Share of a deposit that counts before a liquidation, of 10^4.
    pub asset_weight: u32,
    /// What a borrow counts for before a liquidation, of 10^4.
    pub liability_weight: u32,
    /// How the weights worsen with size, of 10^6.
    pub imf_factor: u32,
    /// Liquidator's discount, of 10^6.
    pub liquidator_fee: u32,
    /// The most that the insurance fund takes of a liquidation, of 10^6.
    pub insurance_fee: u32,
}

impl SpotMarket {
    /// Reads a `SpotMarket` account of either exchange.
    ///
    /// # Errors
    /// [`PerpError::NotA`].
    pub fn read(address: &Address, owner: &Address, data: &[u8]) -> Result<Self, PerpError> {
        let (exchange, at) = check(
            "spot market",
            address,
            owner,
            data,
            &discriminator::SPOT_MARKET,
            |all| all.spot_market,
            |at| at.len,
        )?;
        let flag = data[at.token_program_flag];
        let is_token_2022 = flag & token_program_flag::TOKEN_2022 != 0;
        let decimals = u32_at(data, at.decimals);
        if decimals > 18 {
            return Err(PerpError::NotA { what: "spot market", address: *address });
        }
        Ok(Self {
            exchange,
            address: *address,
            index: u16_at(data, at.market_index),
            oracle: oracle(data, at.oracle),
            oracle_source: data[at.oracle_source],
            mint: key(data, at.mint),
            vault: key(data, at.vault),
            token_program: if is_token_2022 { TOKEN_2022_PROGRAM_ID } else { TOKEN_PROGRAM_ID },
            has_transfer_hook: flag & token_program_flag::TRANSFER_HOOK != 0,
            pool_id: data[at.pool_id],
            risk: SpotRisk {
                decimals,
                deposit_interest: u128_at(data, at.cumulative_deposit_interest),
                borrow_interest: u128_at(data, at.cumulative_borrow_interest),
                asset_weight: u32_at(data, at.maintenance_asset_weight),
                liability_weight: u32_at(data, at.maintenance_liability_weight),
                imf_factor: u32_at(data, at.imf_factor),
                liquidator_fee: u32_at(data, at.liquidator_fee),
                insurance_fee: u32_at(data, at.if_liquidation_fee),
            },
        })
    }
}

/// A perp market, as its account states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerpMarket {
    /// Where it is.
    pub exchange: Exchange,
    /// Its account.
    pub address: Address,
    /// Its number.
    pub index: u16,
    /// Its oracle; none where the price is one dollar by definition.
    pub oracle: Option<Address>,
    /// Kind of the oracle.
    pub oracle_source: u8,
    /// Spot market that profits are settled in.
    pub quote_spot_market: u16,
    /// Pool of markets that it is in.
    pub pool_id: u8,
    /// What a quote needs.
    pub risk: PerpRisk,
}

/// Terms of a perp market, as far as they decide about liquidations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerpRisk {
    /// 1 when it is in ordinary operation.
    pub status: u8,
    /// 0 for an ordinary perpetual.
    pub contract_type: u8,
    /// Cumulative funding that longs have paid, of 10^9 a unit of base.
    pub funding_rate_long: i128,
    /// Cumulative funding that shorts have received.
    pub funding_rate_short: i128,
    /// Sizes are multiples of this.
    pub step_size: u64,
    /// How the margin ratio worsens with size, of 10^6.
    pub imf_factor: u32,
    /// Liquidator's discount, of 10^6.
    pub liquidator_fee: u32,
    /// The most that the insurance fund takes of a liquidation, of 10^6.
    pub insurance_fee: u32,
    /// Margin that a position takes before a liquidation, of 10^4.
    pub margin_ratio: u32,
    /// The same under Drift's high leverage; none where it is not offered.
    pub high_leverage_margin_ratio: Option<u32>,
    /// Share of a profit not settled that counts before a liquidation, of 10^4.
    pub pnl_weight: u32,
}

impl PerpMarket {
    /// Reads a `PerpMarket` account of either exchange.
    ///
    /// # Errors
    /// [`PerpError::NotA`].
    pub fn read(address: &Address, owner: &Address, data: &[u8]) -> Result<Self, PerpError> {
        let (exchange, at) = check(
            "perp market",
            address,
            owner,
            data,
            &discriminator::PERP_MARKET,
            |all| all.perp_market,
            |at| at.len,
        )?;
        let funding = |at| i128::from_le_bytes(field(data, at));
        Ok(Self {
            exchange,
            address: *address,
            index: u16_at(data, at.market_index),
            oracle: oracle(data, at.oracle),
            oracle_source: data[at.oracle_source],
            quote_spot_market: u16_at(data, at.quote_spot_market_index),
            pool_id: data[at.pool_id],
            risk: PerpRisk {
                status: data[at.status],
                contract_type: data[at.contract_type],
                funding_rate_long: funding(at.cumulative_funding_rate_long),
                funding_rate_short: funding(at.cumulative_funding_rate_short),
                step_size: u64_at(data, at.order_step_size),
                imf_factor: u32_at(data, at.imf_factor),
                liquidator_fee: u32_at(data, at.liquidator_fee),
                insurance_fee: u32_at(data, at.if_liquidation_fee),
                margin_ratio: u32_at(data, at.margin_ratio_maintenance),
                high_leverage_margin_ratio: at
                    .high_leverage_margin_ratios
                    .map(|ratios| ratios.map(|at| u32::from(u16_at(data, at))))
                    .filter(|ratios| !ratios.contains(&0))
                    .map(|[_, maintenance]| maintenance),
                pnl_weight: u32_at(data, at.unrealized_pnl_maintenance_asset_weight),
            },
        })
    }

    /// Whether the exchange itself writes the oracle's price (markets before their
    /// token's launch).
    pub(super) fn oracle_is_written(&self) -> bool {
        self.oracle_source == oracle_source::PRELAUNCH
    }
}

/// How an exchange liquidates, as its state account says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Which exchange's it is.
    pub exchange: Exchange,
    /// What liabilities count for more until a liquidation is over, of 10^4.
    pub margin_buffer: u32,
    /// Share of the shortage that may be freed at once, of 10^4.
    pub initial_share: u16,
    /// Slots after which all of it may be freed.
    pub duration_slots: u8,
    /// What is paused: 1 deposits, 2 withdrawals, 4 the market maker, 8 fills,
    /// 16 liquidations, 32 funding, 64 settling.
    pub paused: u8,
}

impl State {
    /// Reads Drift's `State` account.
    ///
    /// # Errors
    /// [`PerpError::NotA`]; [`PerpError::NoQuote`] for Velocity's, whose
    /// liquidations have a pace of another kind.
    pub fn read(address: &Address, owner: &Address, data: &[u8]) -> Result<Self, PerpError> {
        if Exchange::of(owner) == Some(Exchange::Velocity) {
            return Err(PerpError::NoQuote { what: VELOCITY_PACE });
        }
        let (exchange, at) = check(
            "state",
            address,
            owner,
            data,
            &discriminator::STATE,
            |_| layout::DRIFT_STATE,
            |at| at.len,
        )?;
        Ok(Self {
            exchange,
            margin_buffer: u32_at(data, at.liquidation_margin_buffer_ratio),
            initial_share: u16_at(data, at.initial_pct_to_liquidate),
            duration_slots: data[at.liquidation_duration],
            paused: data[at.exchange_status],
        })
    }
}

/// Why nothing is quoted on Velocity.
pub(super) const VELOCITY_PACE: &str =
    "Velocity paces liquidations by time and takes a fee of its own; its rules are not modelled";
