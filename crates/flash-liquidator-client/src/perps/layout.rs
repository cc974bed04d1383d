//! Where the fields that are read lie in each exchange's accounts, the
//! discriminator counted. An account of another length is not read.
//!
//! Pinned by the exchanges' published interface descriptions:
//! `tests/perps/interface.rs`.

use super::Exchange;

/// First bytes of each kind of account: `sha256("account:<Name>")[..8]`, on both
/// exchanges.
pub mod discriminator {
    /// `State`.
    pub const STATE: [u8; 8] = [216, 146, 107, 94, 104, 75, 182, 177];
    /// `User`.
    pub const USER: [u8; 8] = [159, 117, 95, 227, 239, 151, 58, 236];
    /// `SpotMarket`.
    pub const SPOT_MARKET: [u8; 8] = [100, 177, 8, 107, 168, 65, 65, 39];
    /// `PerpMarket`.
    pub const PERP_MARKET: [u8; 8] = [10, 223, 12, 44, 107, 245, 55, 247];
    /// `PythLazerOracle`.
    pub const PYTH_LAZER_ORACLE: [u8; 8] = [159, 7, 161, 249, 34, 81, 121, 133];
    /// `PrelaunchOracle`.
    pub const PRELAUNCH_ORACLE: [u8; 8] = [92, 14, 139, 234, 72, 244, 68, 26];
}

/// A `User`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named after the fields")]
pub struct UserLayout {
    pub len: usize,
    pub authority: usize,
    pub spot_positions: usize,
    pub perp_positions: usize,
    pub perp_position: PerpPositionLayout,
    pub liquidation_margin_freed: usize,
    pub last_active_slot: usize,
    pub sub_account_id: usize,
    pub status: usize,
    pub open_orders: usize,
    /// Drift only.
    pub margin_mode: Option<usize>,
    pub pool_id: usize,
}

/// A `PerpPosition`, from its own first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named after the fields")]
pub struct PerpPositionLayout {
    pub len: usize,
    pub last_cumulative_funding_rate: usize,
    pub base: usize,
    pub quote: usize,
    pub open_bids: usize,
    pub open_asks: usize,
    pub isolated_balance: usize,
    pub market_index: usize,
    pub open_orders: usize,
    pub flag: usize,
}

/// Positions of each kind in a `User`.
pub const POSITIONS: usize = 8;

/// A `SpotPosition`, from its own first byte; the same on both exchanges.
#[expect(missing_docs, reason = "named after the fields")]
pub mod spot_position {
    pub const LEN: usize = 40;
    pub const SCALED_BALANCE: usize = 0;
    pub const MARKET_INDEX: usize = 32;
    /// 0 deposit, 1 borrow.
    pub const BALANCE_TYPE: usize = 34;
    pub const OPEN_ORDERS: usize = 35;
}

/// A `SpotMarket`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named after the fields")]
pub struct SpotMarketLayout {
    pub len: usize,
    pub oracle: usize,
    pub mint: usize,
    pub vault: usize,
    pub cumulative_deposit_interest: usize,
    pub cumulative_borrow_interest: usize,
    pub maintenance_asset_weight: usize,
    pub maintenance_liability_weight: usize,
    pub imf_factor: usize,
    pub liquidator_fee: usize,
    pub if_liquidation_fee: usize,
    pub decimals: usize,
    pub market_index: usize,
    pub oracle_source: usize,
    pub token_program_flag: usize,
    pub pool_id: usize,
}

/// A `PerpMarket`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named after the fields")]
pub struct PerpMarketLayout {
    pub len: usize,
    pub oracle: usize,
    pub oracle_source: usize,
    pub cumulative_funding_rate_long: usize,
    pub cumulative_funding_rate_short: usize,
    pub order_step_size: usize,
    pub imf_factor: usize,
    pub liquidator_fee: usize,
    pub if_liquidation_fee: usize,
    pub margin_ratio_maintenance: usize,
    pub unrealized_pnl_maintenance_asset_weight: usize,
    pub market_index: usize,
    pub status: usize,
    pub contract_type: usize,
    pub quote_spot_market_index: usize,
    pub pool_id: usize,
    /// Initial and maintenance, 16 bits each; Drift only.
    pub high_leverage_margin_ratios: Option<[usize; 2]>,
}

/// `State`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named after the fields")]
pub struct StateLayout {
    pub len: usize,
    pub liquidation_margin_buffer_ratio: usize,
    pub exchange_status: usize,
    pub liquidation_duration: usize,
    pub initial_pct_to_liquidate: usize,
}

/// All that is known of an exchange's accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named after the accounts")]
pub struct Layout {
    pub user: UserLayout,
    pub spot_market: SpotMarketLayout,
    pub perp_market: PerpMarketLayout,
}

impl Exchange {
    /// The layouts of its accounts.
    #[must_use]
    pub const fn layout(self) -> &'static Layout {
        match self {
            Self::Drift => &DRIFT,
            Self::Velocity => &VELOCITY,
        }
    }
}

/// Drift 2.161.0.
const DRIFT: Layout = Layout {
    user: UserLayout {
        len: 4_376,
        authority: 8,
        spot_positions: 104,
        perp_positions: 424,
        perp_position: PerpPositionLayout {
            len: 96,
            last_cumulative_funding_rate: 0,
            base: 8,
            quote: 16,
            open_bids: 40,
            open_asks: 48,
            isolated_balance: 72,
            market_index: 92,
            open_orders: 94,
            flag: 95,
        },
        liquidation_margin_freed: 4_320,
        last_active_slot: 4_328,
        sub_account_id: 4_346,
        status: 4_348,
        open_orders: 4_351,
        margin_mode: Some(4_355),
        pool_id: 4_356,
    },
    spot_market: SpotMarketLayout {
        len: 776,
        oracle: 40,
        mint: 72,
        vault: 104,
        cumulative_deposit_interest: 464,
        cumulative_borrow_interest: 480,
        maintenance_asset_weight: 644,
        maintenance_liability_weight: 652,
        imf_factor: 656,
        liquidator_fee: 660,
        if_liquidation_fee: 664,
        decimals: 680,
        market_index: 684,
        oracle_source: 687,
        token_program_flag: 734,
        pool_id: 735,
    },
    perp_market: PerpMarketLayout {
        len: 1_216,
        oracle: 40,
        oracle_source: 926,
        cumulative_funding_rate_long: 608,
        cumulative_funding_rate_short: 624,
        order_step_size: 808,
        imf_factor: 1_120,
        liquidator_fee: 1_128,
        if_liquidation_fee: 1_132,
        margin_ratio_maintenance: 1_140,
        unrealized_pnl_maintenance_asset_weight: 1_148,
        market_index: 1_160,
        status: 1_162,
        contract_type: 1_163,
        quote_spot_market_index: 1_166,
        pool_id: 1_173,
        high_leverage_margin_ratios: Some([1_174, 1_176]),
    },
};

/// Drift's state; Velocity's liquidations have a pace of another kind, which is not
/// quoted.
pub const DRIFT_STATE: StateLayout = StateLayout {
    len: 992,
    liquidation_margin_buffer_ratio: 960,
    exchange_status: 974,
    liquidation_duration: 975,
    initial_pct_to_liquidate: 976,
};

/// Velocity, interface description at commit `0077e03b`.
const VELOCITY: Layout = Layout {
    user: UserLayout {
        len: 4_496,
        authority: 8,
        spot_positions: 104,
        perp_positions: 424,
        perp_position: PerpPositionLayout {
            len: 80,
            last_cumulative_funding_rate: 0,
            base: 8,
            quote: 16,
            open_bids: 40,
            open_asks: 48,
            isolated_balance: 64,
            market_index: 76,
            open_orders: 78,
            flag: 79,
        },
        liquidation_margin_freed: 4_440,
        last_active_slot: 4_448,
        sub_account_id: 4_466,
        status: 4_468,
        open_orders: 4_471,
        margin_mode: None,
        pool_id: 4_475,
    },
    spot_market: SpotMarketLayout {
        len: 808,
        oracle: 40,
        mint: 72,
        vault: 104,
        cumulative_deposit_interest: 328,
        cumulative_borrow_interest: 344,
        maintenance_asset_weight: 660,
        maintenance_liability_weight: 668,
        imf_factor: 672,
        liquidator_fee: 676,
        if_liquidation_fee: 680,
        decimals: 696,
        market_index: 700,
        oracle_source: 703,
        token_program_flag: 745,
        pool_id: 746,
    },
    perp_market: PerpMarketLayout {
        len: 1_304,
        oracle: 312,
        oracle_source: 673,
        cumulative_funding_rate_long: 184,
        cumulative_funding_rate_short: 200,
        order_step_size: 544,
        imf_factor: 600,
        liquidator_fee: 608,
        if_liquidation_fee: 612,
        margin_ratio_maintenance: 620,
        unrealized_pnl_maintenance_asset_weight: 628,
        market_index: 640,
        status: 642,
        contract_type: 643,
        quote_spot_market_index: 646,
        pool_id: 664,
        high_leverage_margin_ratios: None,
    },
};

/// Values of `oracle_source`.
pub mod oracle_source {
    /// One dollar by definition; there is no account.
    pub const QUOTE_ASSET: u8 = 2;
    /// The only oracle that the exchange itself writes to.
    pub const PRELAUNCH: u8 = 6;
    /// Pyth Lazer, in an account of the exchange's own.
    pub const PYTH_LAZER: u8 = 12;
    /// The same for a thousand of the token.
    pub const PYTH_LAZER_1K: u8 = 13;
    /// The same for a million of the token.
    pub const PYTH_LAZER_1M: u8 = 14;
    /// The same, taken for one dollar when it is close.
    pub const PYTH_LAZER_STABLE_COIN: u8 = 15;
}

/// Bits of `token_program_flag`.
pub mod token_program_flag {
    /// Token-2022.
    pub const TOKEN_2022: u8 = 1;
    /// Transfers call a hook.
    pub const TRANSFER_HOOK: u8 = 2;
}
