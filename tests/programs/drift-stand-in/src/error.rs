//! Error numbers of Drift, and of the framework that Drift is written with.

use solana_program::program_error::ProgramError;

/// Result of every instruction and check.
pub type Result<T> = core::result::Result<T, ProgramError>;

macro_rules! errors {
    ($($name:ident = $number:literal,)*) => {
        /// Errors, by the name Drift or its framework has for them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        #[expect(missing_docs, reason = "the names say it")]
        pub enum Error { $($name = $number,)* }
    };
}

errors! {
    // The framework's.
    InstructionFallbackNotFound = 101,
    InstructionDidNotDeserialize = 102,
    ConstraintMut = 2000,
    ConstraintHasOne = 2001,
    ConstraintRaw = 2003,
    ConstraintSeeds = 2006,
    ConstraintTokenOwner = 2015,
    AccountDiscriminatorMismatch = 3002,
    AccountNotEnoughKeys = 3005,
    AccountOwnedByWrongProgram = 3007,
    InvalidProgramId = 3008,
    AccountNotSigner = 3010,

    // Drift's.
    InsufficientDeposit = 6002,
    InsufficientCollateral = 6003,
    SufficientCollateral = 6004,
    MaxNumberOfPositions = 6005,
    UserHasNoPositionInMarket = 6010,
    MathError = 6019,
    PriceBandsBreached = 6023,
    ExchangePaused = 6024,
    ReferrerStatsNotFound = 6030,
    OracleNotFound = 6036,
    MaxDeposit = 6038,
    CastingFailure = 6041,
    InvalidOrder = 6042,
    InvalidOrderIOC = 6050,
    ReduceOnlyOrderIncreasedRisk = 6064,
    PerpMarketNotFound = 6078,
    MarketWrongMutability = 6081,
    CouldNotFindSpotPosition = 6083,
    NoSpotPositionAvailable = 6084,
    SpotMarketNotFound = 6087,
    SpotMarketWrongMutability = 6090,
    InsufficientCollateralForSettlingPNL = 6095,
    PositionDoesntHaveOpenPositionOrOrders = 6114,
    WrongSpotBalanceType = 6119,
    UserCantLiquidateThemself = 6120,
    InvalidPerpPositionToLiquidate = 6121,
    InvalidBaseAssetAmountForLiquidatePerp = 6122,
    DailyWithdrawLimit = 6128,
    ReduceOnlyWithdrawIncreasedRisk = 6153,
    LiquidationDoesntSatisfyLimitPrice = 6156,
    InvalidUserSubAccountId = 6214,
    InvalidLiquidation = 6220,
    UserWrongMutability = 6229,
    UserStatsWrongMutability = 6232,
    InvalidUserStatsAccount = 6233,
    UserStatsNotFound = 6236,
    NoUnsettledPnl = 6259,
    PnlPoolCantSettleUser = 6260,
    PlaceAndTakeOrderSuccessConditionFailed = 6289,
    InvalidPoolId = 6302,
}

impl From<Error> for ProgramError {
    fn from(error: Error) -> Self {
        Self::Custom(error as u32)
    }
}

/// `error` unless `condition` holds.
pub fn require(condition: bool, error: Error) -> Result<()> {
    if condition { Ok(()) } else { Err(error.into()) }
}

/// A number that fits, or Drift's error for one that does not.
pub fn fits<T, N: TryInto<T>>(number: N) -> Result<T> {
    number.try_into().map_err(|_| Error::MathError.into())
}
