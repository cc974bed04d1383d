use anchor_lang::prelude::*;

/// Result of everything in this program. An error was logged where it arose; what
/// is handed up is only its number.
pub type Result<T> = core::result::Result<T, ProgramError>;

/// Makes of the enum in it Anchor's error codes, and names and messages that can be
/// logged without formatting them: that machinery is larger than this program.
macro_rules! error_codes {
    (
        $(#[$enum_doc:meta])*
        pub enum $enum:ident {
            $($(#[doc = $doc:tt])* #[msg($message:tt)] $name:ident,)*
        }
    ) => {
        $(#[$enum_doc])*
        #[error_code(offset = 7000)]
        #[derive(PartialEq, Eq)]
        pub enum $enum {
            $($(#[doc = $doc])* #[msg($message)] $name,)*
        }

        impl $enum {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// What it is called and what it says.
            pub const fn text(self) -> ErrorText {
                match self {
                    $(Self::$name => ErrorText { name: stringify!($name), message: $message },)*
                }
            }
        }
    };
}

/// Name and message of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorText {
    /// Name of the variant.
    pub name: &'static str,
    /// What is wrong, and what to do about it.
    pub message: &'static str,
}

error_codes! {
    /// Everything this program refuses, with what to do about it.
    ///
    /// Numbers start at 7000, clear of klend's own 6000..6194: a failing CPI
    /// surfaces its error at our instruction, and the two must not be confused.
    pub enum FlashLiquidatorError {
        // Position in the transaction.
        /// 7000
        #[msg("Called by another program: send this as a top-level instruction")]
        NotTopLevel,
        /// 7001
        #[msg(
            "The instructions sysvar cannot be read: pass Sysvar1nstructions1111111111111111111111111"
        )]
        InstructionsSysvarMalformed,
        /// 7002
        #[msg("flash_borrow_index must name an instruction before this one")]
        FlashBorrowNotBefore,
        /// 7003
        #[msg("flash_repay_index must name an instruction after this one")]
        FlashRepayNotAfter,
        /// 7004
        #[msg("No klend flash borrow stands at flash_borrow_index: fix the index or the program id")]
        FlashBorrowInvalid,
        /// 7005
        #[msg(
            "No klend flash repay of this borrow stands at flash_repay_index: same principal, borrow index and accounts are required"
        )]
        FlashRepayInvalid,
        /// 7006
        #[msg(
            "The flash loan is signed by somebody else: borrow with the keeper that signs this instruction"
        )]
        FlashLoanWrongKeeper,
        /// 7007
        #[msg("The flash loan comes from another reserve: pass the lending reserve as flash_reserve")]
        FlashLoanWrongReserve,
        /// 7008
        #[msg("The flash loan is of another mint: borrow the mint of the debt")]
        FlashLoanWrongMint,
        /// 7009
        #[msg("The flash loan arrives in another token account: borrow into the keeper's debt account")]
        FlashLoanWrongTokenAccount,

        // Arguments.
        /// 7010
        #[msg("The deadline slot has passed: quote again and send a fresh transaction")]
        DeadlinePassed,
        /// 7011
        #[msg("repay_amount is zero: pass a cap, or u64::MAX for as much as the loan and klend allow")]
        RepayAmountZero,
        /// 7012
        #[msg("repay_amount exceeds the flash loan: borrow more, lower it, or pass u64::MAX")]
        RepayAmountExceedsLoan,

        // klend accounts.
        /// 7013
        #[msg("The program to call is not the klend deployment this program was built for")]
        WrongKlendProgram,
        /// 7014
        #[msg("Not a klend account of the expected type: check owner, discriminator and length")]
        KlendAccountInvalid,
        /// 7015
        #[msg(
            "Liquidations here need the market's permissioning authority: pass it, signing, with has_permissioner, or skip it"
        )]
        LiquidationPermissioned,
        /// 7016
        #[msg("A reserve of this liquidation is in emergency mode: skip it until it is lifted")]
        ReserveInEmergencyMode,
        /// 7017
        #[msg("The flash reserve has flash loans disabled: choose another reserve of the mint")]
        FlashLoansDisabled,

        // Token accounts.
        /// 7018
        #[msg("Not an account of the expected token program: pass the mint's own token program")]
        TokenProgramMismatch,
        /// 7019
        #[msg("Not a usable token account: it must be initialised and not frozen")]
        TokenAccountInvalid,
        /// 7020
        #[msg("The token account is of another mint")]
        TokenAccountWrongMint,
        /// 7021
        #[msg("The token account belongs to somebody else")]
        TokenAccountWrongOwner,
        /// 7022
        #[msg("Debt and collateral are the same mint: pass one token account for both, and no swap")]
        SameMintNeedsOneAccount,

        // Swap.
        /// 7023
        #[msg(
            "swap_authority is not the keeper's: derive it from ['swap_authority', keeper] and the bump passed"
        )]
        SwapAuthorityMismatch,
        /// 7024
        #[msg("A swap leg needs swap_collateral, the swap authority's account of the collateral mint")]
        SwapCollateralMissing,
        /// 7025
        #[msg("Too few remaining accounts, or no whole groups: pass what the arguments announce")]
        RemainingAccountsMissing,
        /// 7026
        #[msg("More remaining accounts than the arguments announce")]
        RemainingAccountsUnused,
        /// 7027
        #[msg("A swap leg names no program: account_count must be at least 1")]
        LegEmpty,
        /// 7028
        #[msg("This program must never be called as a swap: use a swap or router program")]
        LegProgramForbidden,
        /// 7029
        #[msg("The first account of a leg must be an executable swap program")]
        LegProgramNotExecutable,
        /// 7030
        #[msg("A leg's input must be 0 for the collateral or the number of an intermediate")]
        LegInputUnknown,
        /// 7031
        #[msg("amount_in_offset leaves no room for eight bytes in the leg's data")]
        LegAmountOffsetOutOfRange,
        /// 7032
        #[msg("Nothing arrived to swap: the redemption was skipped or an earlier leg returned nothing")]
        LegInputEmpty,
        /// 7033
        #[msg(
            "A token account others had in hand has a delegate or close authority: revoke it, or avoid the program that set it"
        )]
        TokenAccountExposed,
        /// 7034
        #[msg("A swap took tokens that were not this liquidation's: lower the leg's input")]
        SwapOverspent,

        // Outcome.
        /// 7035
        #[msg(
            "klend could not redeem all collateral: accept cTokens with AllowPartial or leave the reserve more liquidity"
        )]
        RedemptionIncomplete,
        /// 7036
        #[msg("Less collateral arrived than min_collateral_received: quote again")]
        CollateralBelowMinimum,
        /// 7037
        #[msg(
            "The proceeds do not cover loan, fee and min_profit: quote again, find a better route or lower min_profit"
        )]
        ProfitBelowMinimum,
        /// 7038
        #[msg("An amount does not fit its integer type")]
        MathOverflow,

        // Bracket.
        /// 7039
        #[msg(
            "settle_index must name this program's settle, before the flash repay, with the accounts of open"
        )]
        SettleNotFound,
        /// 7040
        #[msg(
            "Another open, a settle or a sweep stands before the flash repay: one bracket per flash loan, and sweep outside of it"
        )]
        BracketNested,
        /// 7041
        #[msg("This settle does not belong to the open that created the bracket")]
        BracketMismatch,
        /// 7042
        #[msg("Too many guarded accounts: guard at most 8 besides the debt account")]
        TooManyGuards,
        /// 7043
        #[msg("max_losses needs one entry for each guarded account")]
        GuardCountMismatch,
        /// 7044
        #[msg("A guarded token account lost more than max_losses allows")]
        GuardedBalanceBelowFloor,
        /// 7045
        #[msg("The keeper spent more lamports than max_lamports_spent allows")]
        LamportsBelowFloor,

        // Signers.
        /// 7046
        #[msg(
            "The account of the keeper or of its swap authority is no plain wallet (any more): avoid the program that took it over"
        )]
        SignerReassigned,

        // What others had in hand.
        /// 7047
        #[msg(
            "A token account's extensions or rent reserve are not what they were: avoid the program that changed them"
        )]
        TokenAccountChanged,
        /// 7048
        #[msg(
            "A leg changed the keeper's debt account though swap_debt receives the proceeds: avoid its program, or pass no swap_debt"
        )]
        DebtAccountChanged,
        /// 7049
        #[msg("open must be the instruction right after the flash borrow: move what is between")]
        OpenNotAfterBorrow,
    }
}

/// What Anchor refuses before an instruction runs: here the same, with Anchor's
/// numbers, names and messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum InterfaceError {
    /// The data begins with no instruction's discriminator.
    InstructionFallbackNotFound = 101,
    /// The arguments are cut short, too long, or not what their types allow.
    InstructionDidNotDeserialize = 102,
    /// An account must be writable.
    ConstraintMut = 2000,
    /// There are fewer accounts than the instruction names.
    AccountNotEnoughKeys = 3005,
    /// An account is not the program it should be.
    InvalidProgramId = 3008,
    /// An account must sign.
    AccountNotSigner = 3010,
    /// The program was deployed at another address than the one compiled in.
    DeclaredProgramIdMismatch = 4100,
}

impl InterfaceError {
    /// What Anchor calls it and says.
    pub const fn text(self) -> ErrorText {
        let (name, message) = match self {
            Self::InstructionFallbackNotFound => {
                ("InstructionFallbackNotFound", "Fallback functions are not supported")
            }
            Self::InstructionDidNotDeserialize => (
                "InstructionDidNotDeserialize",
                "The program could not deserialize the given instruction",
            ),
            Self::ConstraintMut => ("ConstraintMut", "A mut constraint was violated"),
            Self::AccountNotEnoughKeys => {
                ("AccountNotEnoughKeys", "Not enough account keys given to the instruction")
            }
            Self::InvalidProgramId => ("InvalidProgramId", "Program ID was not as expected"),
            Self::AccountNotSigner => ("AccountNotSigner", "The given account did not sign"),
            Self::DeclaredProgramIdMismatch => (
                "DeclaredProgramIdMismatch",
                "The declared program id does not match the actual program id",
            ),
        };
        ErrorText { name, message }
    }
}

#[cfg(test)]
mod tests {
    use anchor_lang::error::ErrorCode;

    use super::*;

    #[test]
    fn texts_are_what_anchor_makes_of_them() {
        for (position, error) in FlashLiquidatorError::ALL.iter().enumerate() {
            let text = error.text();
            assert_eq!(text.name, error.name());
            assert_eq!(text.message, error.to_string());
            assert_eq!(u32::from(*error), 7000 + u32::try_from(position).unwrap());
        }
    }

    #[test]
    fn interface_errors_are_anchors() {
        use InterfaceError as Ours;
        for (ours, theirs) in [
            (Ours::InstructionFallbackNotFound, ErrorCode::InstructionFallbackNotFound),
            (Ours::InstructionDidNotDeserialize, ErrorCode::InstructionDidNotDeserialize),
            (Ours::ConstraintMut, ErrorCode::ConstraintMut),
            (Ours::AccountNotEnoughKeys, ErrorCode::AccountNotEnoughKeys),
            (Ours::InvalidProgramId, ErrorCode::InvalidProgramId),
            (Ours::AccountNotSigner, ErrorCode::AccountNotSigner),
            (Ours::DeclaredProgramIdMismatch, ErrorCode::DeclaredProgramIdMismatch),
        ] {
            assert_eq!(ours as u32, u32::from(theirs));
            assert_eq!(ours.text().name, theirs.name());
            assert_eq!(ours.text().message, theirs.to_string());
        }
    }
}
