//! Error numbers: klend's own (6000 and up) and those of the framework klend
//! is written with, which it returns for accounts of the wrong kind.

use solana_program::program_error::ProgramError;

/// Result of every instruction and check.
pub type Result<T> = core::result::Result<T, ProgramError>;

macro_rules! numbered {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $number:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum $name { $($(#[$doc])* $variant = $number,)* }

        impl $name {
            /// Every error with its name, for checks against published lists.
            pub const ALL: &'static [(Self, &'static str)] =
                &[$((Self::$variant, stringify!($variant)),)*];

            /// The number a client sees in `Custom(n)`.
            pub const fn number(self) -> u32 {
                self as u32
            }
        }

        impl From<$name> for ProgramError {
            fn from(error: $name) -> Self {
                Self::Custom(error.number())
            }
        }
    };
}

numbered! {
    /// klend's errors, as far as the stand-in raises them.
    KlendError {
        InvalidAmount = 6003,
        InvalidConfig = 6004,
        InvalidSigner = 6005,
        InvalidAccountInput = 6006,
        MathOverflow = 6007,
        InsufficientLiquidity = 6008,
        ReserveStale = 6009,
        BorrowTooSmall = 6012,
        BorrowTooLarge = 6013,
        LiquidationTooSmall = 6015,
        ObligationHealthy = 6016,
        ObligationStale = 6017,
        ObligationReserveLimit = 6018,
        InvalidObligationOwner = 6019,
        ObligationDepositsEmpty = 6020,
        ObligationBorrowsEmpty = 6021,
        ObligationDepositsZero = 6022,
        ObligationBorrowsZero = 6023,
        InvalidObligationCollateral = 6024,
        InvalidObligationLiquidity = 6025,
        ObligationCollateralEmpty = 6026,
        ObligationLiquidityEmpty = 6027,
        NegativeInterestRate = 6028,
        InvalidOracleConfig = 6029,
        FlashBorrowCpi = 6031,
        NoFlashRepayFound = 6032,
        InvalidFlashRepay = 6033,
        FlashRepayCpi = 6034,
        MultipleFlashBorrows = 6035,
        FlashLoansDisabled = 6036,
        GlobalEmergencyMode = 6042,
        PriceNotValid = 6044,
        NoFarmForReserve = 6050,
        IncorrectInstructionInPosition = 6051,
        InvalidTwapConfig = 6053,
        InvalidPythPriceAccount = 6054,
        InvalidSwitchboardAccount = 6055,
        InvalidScopePriceAccount = 6056,
        InvalidObligationSeedsValue = 6058,
        WithdrawalCapReached = 6064,
        LastTimestampGreaterThanCurrent = 6065,
        LiquidationRewardTooSmall = 6066,
        InconsistentElevationGroup = 6068,
        InvalidElevationGroup = 6069,
        UnhealthyElevationGroupLtv = 6071,
        ElevationGroupNewLoansDisabled = 6072,
        ReserveDeprecated = 6073,
        ReferrerAccountNotInitialized = 6074,
        ReferrerAccountMintMissmatch = 6075,
        ReferrerAccountWrongAddress = 6076,
        ReferrerAccountReferrerMissmatch = 6077,
        CpiDisabled = 6080,
        ReserveObsolete = 6082,
        ElevationGroupAlreadyActivated = 6083,
        CollateralNonLiquidatable = 6087,
        BorrowingDisabled = 6088,
        BorrowLimitExceeded = 6089,
        DepositLimitExceeded = 6090,
        ReserveTokenBalanceMismatch = 6095,
        ReserveVaultBalanceMismatch = 6096,
        ReserveAccountingMismatch = 6097,
        BorrowingAboveUtilizationRateDisabled = 6098,
        LiquidationBorrowFactorPriority = 6099,
        LiquidationLowestLiquidationLtvPriority = 6100,
        ElevationGroupBorrowLimitExceeded = 6101,
        ElevationGroupHasAnotherDebtReserve = 6104,
        ElevationGroupDebtReserveAsCollateral = 6105,
        ObligationCollateralExceedsElevationGroupLimit = 6106,
        UnsupportedTokenExtension = 6108,
        InvalidTokenAccount = 6109,
        DepositDisabledOutsideElevationGroup = 6110,
        CannotCalculateReferralAmountDueToSlotsMismatch = 6111,
        FarmAccountsMissing = 6120,
        RepayTooSmallForFullLiquidation = 6121,
        InsufficientRepayAmount = 6122,
        CTokenUsageBlocked = 6132,
        ReserveDebtMaturityReached = 6139,
        DebtReachedReserveDebtTerm = 6142,
        ReserveEmergencyMode = 6175,
        MissingPermissioner = 6183,
    }
}

numbered! {
    /// Errors of the Anchor framework with the numbers it gives them.
    AnchorError {
        InstructionMissing = 100,
        InstructionFallbackNotFound = 101,
        InstructionDidNotDeserialize = 102,
        ConstraintMut = 2000,
        ConstraintHasOne = 2001,
        ConstraintSeeds = 2006,
        ConstraintAddress = 2012,
        ConstraintTokenMint = 2014,
        ConstraintTokenOwner = 2015,
        ConstraintMintTokenProgram = 2022,
        RequireKeysEqViolated = 2502,
        AccountDiscriminatorNotFound = 3001,
        AccountDiscriminatorMismatch = 3002,
        AccountDidNotDeserialize = 3003,
        AccountNotEnoughKeys = 3005,
        AccountNotMutable = 3006,
        AccountOwnedByWrongProgram = 3007,
        InvalidProgramId = 3008,
        InvalidProgramExecutable = 3009,
        AccountNotSigner = 3010,
        AccountNotInitialized = 3012,
        AccountSysvarMismatch = 3015,
    }
}

/// `Ok` when the condition holds, the error otherwise.
pub fn require(condition: bool, error: impl Into<ProgramError>) -> Result<()> {
    if condition { Ok(()) } else { Err(error.into()) }
}
