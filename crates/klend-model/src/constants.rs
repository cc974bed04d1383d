//! Numbers and addresses that klend fixes in its code rather than in an account.

use solana_address::{Address, address};

/// Kamino Lend on mainnet.
pub const KLEND_PROGRAM_ID: Address = address!("KLend2g3cP87fffoy8q1mQqGKjrxjC8boSyAYavgmjD");

/// Kamino Lend's staging deployment (also on mainnet).
pub const KLEND_STAGING_PROGRAM_ID: Address =
    address!("SLendK7ySfcEzyaFqy93gDnD3RtrpXJcnRwb6zFHJSh");

/// Kamino Farms, the same for every klend deployment.
pub const FARMS_PROGRAM_ID: Address = address!("FarmsPZpWu9i7Kky8tPN37rs2TpmMrAZrC7S7vJa91Hr");

/// The Scope oracle program, owner of Scope's price accounts.
pub const SCOPE_PROGRAM_ID: Address = address!("HFn8GnPADiny6XqUoWE8uRPPxb29ikn4yTuPa9MF2fWJ");
/// First bytes of Scope's table of prices, `sha256("account:OraclePrices")[..8]`.
pub const SCOPE_PRICES_DISCRIMINATOR: [u8; 8] = [89, 128, 118, 221, 6, 72, 180, 146];

/// Pyth's pull-oracle receiver, owner of `PriceUpdateV2` accounts.
pub const PYTH_RECEIVER_PROGRAM_ID: Address =
    address!("rec5EKMGg6MxZYaMdyBfgwp4d5rB9T1VQH5pJv5LtFJ");

/// Switchboard On-Demand on mainnet, owner of pull feeds.
pub const SWITCHBOARD_ON_DEMAND_PROGRAM_ID: Address =
    address!("SBondMDrcV3K4kxZR1HNVT7osZxAHVHgYXL5Ze1oMUv");

/// klend's own estimate of slots per second; it sets the interest per slot.
pub const SLOTS_PER_SECOND: u64 = 2;

/// Slots in klend's year of 365 days.
pub const SLOTS_PER_YEAR: u64 = SLOTS_PER_SECOND * SECONDS_PER_YEAR;

/// Seconds in that year.
pub const SECONDS_PER_YEAR: u64 = 60 * 60 * 24 * 365;

/// Milliseconds per slot klend assumes when it turns a Switchboard slot into a
/// time of day.
pub const SLOT_DURATION_MS: u64 = 400;

/// Seconds in a day, the unit of klend's deleveraging rates.
pub const SECONDS_PER_DAY: u64 = 86_400;

/// Basis points in one hundred per cent.
pub const FULL_BPS: u64 = 10_000;

/// The only `version` klend accepts in a reserve and writes into a market.
pub const PROGRAM_VERSION: u64 = 1;

/// Deposit slots in an obligation.
pub const MAX_DEPOSITS: usize = 8;

/// Borrow slots in an obligation.
pub const MAX_BORROWS: usize = 5;

/// `flash_loan_fee_sf` of a reserve that gives no flash loans.
pub const FLASH_LOANS_DISABLED: u64 = u64::MAX;

/// No-borrow-factor LTV, in per cent, from which klend pays the bad-debt bonus.
pub const BAD_DEBT_LTV_PCT: u64 = 99;

/// Bits of `last_update.price_status`.
pub mod price_status {
    /// A price was read.
    pub const PRICE_LOADED: u8 = 0b0000_0001;
    /// The price was young enough.
    pub const PRICE_AGE_CHECKED: u8 = 0b0000_0010;
    /// The price was close enough to its TWAP.
    pub const TWAP_CHECKED: u8 = 0b0000_0100;
    /// The TWAP was young enough.
    pub const TWAP_AGE_CHECKED: u8 = 0b0000_1000;
    /// The price was inside the configured band.
    pub const HEURISTIC_CHECKED: u8 = 0b0001_0000;
    /// The reserve's price is not blocked by its configuration.
    pub const PRICE_USAGE_ALLOWED: u8 = 0b0010_0000;
    /// Every check passed.
    pub const ALL_CHECKS: u8 = 0b0011_1111;
    /// What a liquidation asks of a reserve and of the obligation.
    pub const LIQUIDATION_CHECKS: u8 = PRICE_LOADED | PRICE_AGE_CHECKED | PRICE_USAGE_ALLOWED;
}

/// `ReserveConfig.status`.
pub mod reserve_status {
    /// In use.
    pub const ACTIVE: u8 = 0;
    /// Retired: no new deposits, borrows or flash loans.
    pub const OBSOLETE: u8 = 1;
    /// In use, not shown by Kamino's own interface.
    pub const HIDDEN: u8 = 2;
}

/// Bits of `permissioned_ops` in a market and in a reserve's configuration: what
/// needs the signature of the market's `permissioning_authority`, if it has one.
pub mod permissioned_ops {
    /// Deposits.
    pub const DEPOSIT: u64 = 1;
    /// Borrows.
    pub const BORROW: u64 = 1 << 1;
    /// Liquidations.
    pub const LIQUIDATE: u64 = 1 << 2;
}
