//! Where the fields lie.

/// Offsets in a market's body.
pub mod market {
    pub const REFERRAL_FEE_BPS: usize = 112;
    pub const EMERGENCY: usize = 114;
    pub const AUTODELEVERAGE: usize = 115;
    pub const BORROW_DISABLED: usize = 116;
    pub const PRICE_TRIGGER_PCT: usize = 117;
    pub const CLOSE_FACTOR_PCT: usize = 118;
    pub const INSOLVENCY_PCT: usize = 119;
    pub const MIN_FULL: usize = 120;
    pub const MAX_AT_ONCE: usize = 128;
    pub const GLOBAL_ALLOWED: usize = 144;
    pub const GROUPS: usize = 192;
    pub const GROUP_LEN: usize = 72;
    pub const MIN_NET_VALUE_SF: usize = 3216;
    pub const SKIP_LTV_CHECKS: usize = 3232;
    pub const SKIP_BF_CHECKS: usize = 3272;
    pub const INDIVIDUAL_PERIOD: usize = 3280;
    pub const ORDERS: usize = 3296;
    pub const PRICE_TRIGGERED_DISABLED: usize = 3299;
    pub const MATURITY: usize = 3300;
    pub const TERM: usize = 3301;
    pub const TERM_DURATION: usize = 3384;
    pub const REWARDS_MAX_APR_BPS: usize = 3350;
    pub const PERMISSIONING_AUTHORITY: usize = 3392;
    pub const PERMISSIONED: usize = 3424;
    /// The stand-in's own switch.
    pub const STAND_IN_VERSION: usize = 4648;
}

/// Offsets in a reserve's body.
pub mod reserve {
    pub const VERSION: usize = 0;
    pub const SLOT: usize = 8;
    pub const PRICE_STATUS: usize = 17;
    pub const TIMESTAMP: usize = 20;
    pub const AVAILABLE: usize = 216;
    pub const PRICE_TIME: usize = 256;
    pub const DEPOSIT_CROSSED: usize = 272;
    pub const BORROW_CROSSED: usize = 280;
    pub const REWARDS_AVAILABLE: usize = 432;
    pub const STATUS: usize = 4848;
    pub const HOST_FIXED_BPS: usize = 4850;
    pub const MIN_DELEVERAGING_BONUS: usize = 4852;
    pub const BLOCK_CTOKENS: usize = 4854;
    pub const EMERGENCY: usize = 4856;
    pub const BASIS: usize = 4857;
    pub const ORDER_FEE_PCT: usize = 4861;
    pub const LIQUIDATION_FEE_PCT: usize = 4863;
    pub const LTV_PCT: usize = 4864;
    pub const THRESHOLD_PCT: usize = 4865;
    pub const MIN_BONUS: usize = 4866;
    pub const MAX_BONUS: usize = 4868;
    pub const BAD_DEBT_BONUS: usize = 4870;
    pub const MARGIN_CALL_PERIOD: usize = 4872;
    pub const THRESHOLD_DECREASE: usize = 4880;
    pub const ORIGINATION_FEE_SF: usize = 4888;
    pub const FLASH_FEE_SF: usize = 4896;
    pub const BORROW_FACTOR_PCT: usize = 5000;
    pub const DEPOSIT_LIMIT: usize = 5008;
    pub const BORROW_LIMIT: usize = 5016;
    pub const HEURISTIC: usize = 5056;
    pub const TWAP_DIVERGENCE: usize = 5080;
    pub const MAX_AGE: usize = 5088;
    pub const MAX_TWAP_AGE: usize = 5096;
    pub const PRICE_FEED: usize = 5104;
    pub const PRICE_CHAIN: usize = 5136;
    pub const TWAP_CHAIN: usize = 5144;
    pub const BLOCK_PRICE_USAGE: usize = 5248;
    pub const DEPOSIT_CAP: usize = 5408;
    pub const DEBT_CAP: usize = 5440;
    pub const GROUPS: usize = 5472;
    pub const NO_COLLATERAL_OUTSIDE_GROUP: usize = 5492;
    pub const UTILIZATION_LIMIT: usize = 5493;
    pub const AUTODELEVERAGE: usize = 5494;
    pub const LIMIT_OUTSIDE_GROUPS: usize = 5496;
    pub const LIMITS_IN_GROUPS: usize = 5504;
    pub const BONUS_INCREASE: usize = 5760;
    pub const MATURITY: usize = 5768;
    pub const TERM: usize = 5776;
    pub const REWARDS_PER_UNIT: usize = 5784;
    pub const PERMISSIONED: usize = 5792;
    pub const QUEUED: usize = 6960;
}

/// Offsets in an obligation's body.
pub mod obligation {
    pub const DEPOSITED: usize = 88 + 32;
    pub const LAST_BORROWED: usize = 1200 + 80;
    pub const BORROWED_SF: usize = 1200 + 88;
    pub const TARGET_LTV_PCT: usize = 2313;
    pub const MARGIN_CALL: usize = 2328;
    pub const TIMESTAMP: usize = 20;
    pub const OWNERSHIP_TRANSFER: usize = 2316;
    pub const ORDERS: usize = 2336;
    pub const MORE_BORROW_ORDERS: usize = 2784;
}
