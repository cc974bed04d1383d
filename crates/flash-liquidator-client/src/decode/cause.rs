//! Why a transaction failed: the error of whichever program or runtime check
//! said no, with what it means and what to do.

use core::fmt;

use flash_liquidator::FlashLiquidatorError;
use klend_model::errors::KlendError;
use solana_address::Address;
use solana_instruction::error::InstructionError;
use solana_transaction_error::TransactionError;

use super::{
    jupiter,
    logs::AnchorLog,
    venue::{Refusal, refusal},
};
use crate::swap::jupiter::PROGRAM_ID;

/// Why a transaction failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// This project's program refused.
    Receiver(FlashLiquidatorError),
    /// This project's program refused because the profit is below the least that was signed
    /// for (7037), and said both; raw units of the debt.
    Unprofitable {
        /// What the profit would have been; negative for a loss.
        profit: i64,
        /// The least that was signed for.
        min_profit: i64,
    },
    /// klend refused.
    Klend(KlendError),
    /// Anchor's own checks refused, in the program named.
    Anchor {
        /// Program whose accounts or arguments were checked; `None` if the logs
        /// do not say.
        program: Option<Address>,
        /// Anchor's number, 100 to 5000.
        code: u32,
        /// Anchor's name for it.
        name: &'static str,
    },
    /// SPL Token or Token-2022 refused.
    Token {
        /// The token program's number.
        code: u32,
        /// Its name for it.
        name: &'static str,
    },
    /// The system program refused.
    System {
        /// The system program's number.
        code: u32,
        /// Its name for it.
        name: &'static str,
    },
    /// Another program's own number: a swap's, mostly.
    Program {
        /// The program; `None` if the logs do not say.
        program: Option<Address>,
        /// Its number.
        code: u32,
        /// What it logged about it, when it is an Anchor program.
        log: Option<AnchorLog>,
    },
    /// The compute-unit limit was reached.
    OutOfComputeUnits,
    /// An instruction failed with one of the runtime's own errors.
    Instruction {
        /// Program in which it happened; `None` if the logs do not say.
        program: Option<Address>,
        /// The runtime's error.
        error: InstructionError,
    },
    /// The transaction as a whole was refused.
    Transaction(TransactionError),
}

/// A cause in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Who refused, the number and the name: `klend 6016 ObligationHealthy`.
    pub title: String,
    /// What it means.
    pub sentence: String,
    /// What to do about it.
    pub hint: String,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.title, self.sentence, self.hint)
    }
}

impl Cause {
    /// The number in the transaction's `Custom(…)`, for causes that have one.
    #[must_use]
    pub fn code(&self) -> Option<u32> {
        match self {
            Self::Receiver(error) => Some(u32::from(*error)),
            Self::Unprofitable { .. } => Some(u32::from(FlashLiquidatorError::ProfitBelowMinimum)),
            Self::Klend(error) => Some(error.code()),
            Self::Anchor { code, .. }
            | Self::Token { code, .. }
            | Self::System { code, .. }
            | Self::Program { code, .. } => Some(*code),
            Self::OutOfComputeUnits | Self::Instruction { .. } | Self::Transaction(_) => None,
        }
    }

    /// What it means where a swap program that is known refused.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Program { program: Some(program), code, .. }
            | Self::Anchor { program: Some(program), code, .. } => refusal(program, *code),
            _ => None,
        }
    }

    /// The cause in words.
    #[must_use]
    pub fn explain(&self) -> Explanation {
        if let Some(Refusal { venue, code, name, advice }) = self.refusal() {
            let (sentence, hint) = advice.words();
            return words(format!("{venue} {code} {name}"), sentence, hint);
        }
        match self {
            Self::Receiver(error) => {
                let title = format!("flash-liquidator {} {}", u32::from(*error), error.name());
                let (sentence, hint) = halves(&error.to_string(), ": ", RECEIVER_HINT);
                Explanation { title, sentence, hint }
            }
            Self::Unprofitable { profit, min_profit } => {
                let Explanation { title, hint, .. } =
                    Self::Receiver(FlashLiquidatorError::ProfitBelowMinimum).explain();
                let short = i128::from(*min_profit) - i128::from(*profit);
                let what = if *profit < 0 { "a loss" } else { "a profit" };
                let sentence = format!(
                    "It would have been {what} of {}, {short} short of the least of {min_profit} \
                     that was signed for (raw units of the debt's token).",
                    profit.unsigned_abs()
                );
                Explanation { title, sentence, hint }
            }
            Self::Klend(error) => {
                let title = format!("klend {} {}", error.code(), error.name());
                let (sentence, hint) = halves(error.sentence(), "; ", KLEND_HINT);
                Explanation { title, sentence, hint }
            }
            Self::Anchor { program, code, name } => Explanation {
                title: format!("Anchor {code} {name}"),
                sentence: format!("{} did not accept an account or argument.", named(program)),
                hint: anchor_hint(*code).to_owned(),
            },
            Self::Token { code, name } => {
                let (sentence, hint) = token_words(*code);
                words(format!("token program {code} {name}"), sentence, hint)
            }
            Self::System { code, name } => {
                let (sentence, hint) = system_words(*code);
                words(format!("system program {code} {name}"), sentence, hint)
            }
            Self::Program { program: Some(program), code, .. }
                if *program == PROGRAM_ID && jupiter::known(*code).is_some() =>
            {
                let known = jupiter::known(*code);
                let (name, sentence, hint) = known
                    .map_or(("", "", ""), |known| (known.name, known.sentence, known.hint));
                words(format!("Jupiter {code} {name}"), sentence, hint)
            }
            Self::Program { program, code, log } => Explanation {
                title: match log {
                    Some(log) => format!("program error {code} {}", log.name),
                    None => format!("program error {code}"),
                },
                sentence: match log {
                    Some(log) => format!("{} says: {}.", named(program), log.message),
                    None => format!("{} refused with its own error {code}.", named(program)),
                },
                hint: "If it is a swap, its price or liquidity has changed: quote again, or take another route.".to_owned(),
            },
            Self::OutOfComputeUnits => words(
                "compute units exhausted".to_owned(),
                "The transaction reached its compute-unit limit.",
                "Raise the limit (1,400,000 at most), or take a route with fewer swaps.",
            ),
            Self::Instruction { program, error } => Explanation {
                title: format!("instruction error: {error}"),
                sentence: format!("{} failed: {error}.", named(program)),
                hint: instruction_hint(error).to_owned(),
            },
            Self::Transaction(error) => {
                let title = format!("transaction refused: {error}");
                words(title, "Nothing was executed.", transaction_hint(error))
            }
        }
    }
}

const RECEIVER_HINT: &str = "Check the accounts and arguments of the instruction.";
const KLEND_HINT: &str =
    "A liquidation does not meet this error when its accounts were read freshly.";

fn words(title: String, sentence: &str, hint: &str) -> Explanation {
    Explanation { title, sentence: sentence.to_owned(), hint: hint.to_owned() }
}

fn named(program: &Option<Address>) -> String {
    program.map_or_else(|| "A program".to_owned(), |program| format!("Program {program}"))
}

/// Splits `what it means<separator>what to do` and makes sentences of both.
fn halves(text: &str, separator: &str, default_hint: &str) -> (String, String) {
    match text.split_once(separator) {
        Some((sentence, hint)) => (full_sentence(sentence), full_sentence(hint)),
        None => (full_sentence(text), default_hint.to_owned()),
    }
}

fn full_sentence(text: &str) -> String {
    let first_word = text.split(' ').next().unwrap_or_default();
    let mut letters = text.chars();
    let mut sentence: String = match letters.next() {
        // Names stay as they are.
        Some(_) if first_word.contains('_') || first_word == "klend" => text.to_owned(),
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    };
    if !sentence.ends_with('.') {
        sentence.push('.');
    }
    sentence
}

/// This project's error with that number.
#[must_use]
pub fn receiver_error(code: u32) -> Option<FlashLiquidatorError> {
    FlashLiquidatorError::ALL.iter().find(|error| u32::from(**error) == code).copied()
}

/// Anchor's name for one of its own numbers.
pub(super) fn anchor_name(code: u32) -> Option<&'static str> {
    use anchor_lang::error::ErrorCode as E;
    macro_rules! names {
        ($($name:ident)*) => {
            match code {
                $(code if code == u32::from(E::$name) => Some(stringify!($name)),)*
                _ => None,
            }
        };
    }
    names! {
        InstructionMissing InstructionFallbackNotFound InstructionDidNotDeserialize
        InstructionDidNotSerialize EventInstructionStub ConstraintMut ConstraintHasOne
        ConstraintSigner ConstraintRaw ConstraintOwner ConstraintRentExempt ConstraintSeeds
        ConstraintExecutable ConstraintAssociated ConstraintAssociatedInit ConstraintClose
        ConstraintAddress ConstraintZero ConstraintTokenMint ConstraintTokenOwner
        ConstraintMintMintAuthority ConstraintMintFreezeAuthority ConstraintMintDecimals
        ConstraintSpace ConstraintAccountIsNone ConstraintTokenTokenProgram
        ConstraintMintTokenProgram ConstraintAssociatedTokenTokenProgram
        ConstraintDuplicateMutableAccount RequireViolated RequireEqViolated RequireKeysEqViolated
        RequireNeqViolated RequireKeysNeqViolated RequireGtViolated RequireGteViolated
        AccountDiscriminatorAlreadySet AccountDiscriminatorNotFound AccountDiscriminatorMismatch
        AccountDidNotDeserialize AccountDidNotSerialize AccountNotEnoughKeys AccountNotMutable
        AccountOwnedByWrongProgram InvalidProgramId InvalidProgramExecutable AccountNotSigner
        AccountNotSystemOwned AccountNotInitialized AccountNotProgramData
        AccountNotAssociatedTokenAccount AccountSysvarMismatch AccountReallocExceedsLimit
        AccountDuplicateReallocs DeclaredProgramIdMismatch TryingToInitPayerAsProgramAccount
        InvalidNumericConversion
    }
}

fn anchor_hint(code: u32) -> &'static str {
    match code {
        100..=103 => {
            "The instruction's data does not fit the deployed program: compare versions of client and program."
        }
        2000 | 3006 => "An account has to be writable.",
        2001 | 2006 | 2012 => {
            "An address is not the one the program expects: read vaults, mints, farms and oracles from the reserve account."
        }
        2040 => "Two writable accounts are the same where they must differ.",
        2502 => {
            "Remaining accounts are in the wrong order: pass the obligation's deposit reserves, then its borrow reserves, in slot order."
        }
        3005 => "Accounts are missing at the end of the list.",
        3007 => "An account belongs to another program, or was closed.",
        3012 => {
            "An account does not exist yet: create the token accounts, and the obligation's farm states, first."
        }
        _ => "Check the accounts of the instruction against the program's interface.",
    }
}

/// SPL Token's errors, which Token-2022 shares.
const TOKEN_ERRORS: [&str; 20] = [
    "NotRentExempt",
    "InsufficientFunds",
    "InvalidMint",
    "MintMismatch",
    "OwnerMismatch",
    "FixedSupply",
    "AlreadyInUse",
    "InvalidNumberOfProvidedSigners",
    "InvalidNumberOfRequiredSigners",
    "UninitializedState",
    "NativeNotSupported",
    "NonNativeHasBalance",
    "InvalidInstruction",
    "InvalidState",
    "Overflow",
    "AuthorityTypeNotSupported",
    "MintCannotFreeze",
    "AccountFrozen",
    "MintDecimalsMismatch",
    "NonNativeNotSupported",
];

/// The token programs' name for a number; Token-2022's later ones share one.
pub(super) fn token_name(code: u32) -> &'static str {
    usize::try_from(code)
        .ok()
        .and_then(|index| TOKEN_ERRORS.get(index))
        .copied()
        .unwrap_or("Token2022Extension")
}

fn token_words(code: u32) -> (&'static str, &'static str) {
    match code {
        1 => (
            "A token account, or a wallet's lamports, did not hold enough.",
            "In a flash loan this means that the proceeds do not cover the repayment: quote again.",
        ),
        3 => ("A token account is of another mint.", "Pass accounts of the mint that moves."),
        4 => (
            "The signer is not the token account's owner.",
            "Pass the keeper's own token accounts, and the swap authority's for swaps.",
        ),
        9 => ("A token account is not initialised.", "Create it first (`setup`)."),
        17 => ("A token account is frozen.", "The mint's issuer froze it: avoid this mint."),
        18 => ("The decimals passed are not the mint's.", "Read them from the mint account."),
        _ => (
            "A token transfer was refused.",
            "Check that accounts, mint and token program belong together and that the mint has no extension that forbids the transfer.",
        ),
    }
}

/// The system program's errors.
const SYSTEM_ERRORS: [&str; 9] = [
    "AccountAlreadyInUse",
    "ResultWithNegativeLamports",
    "InvalidProgramId",
    "InvalidAccountDataLength",
    "MaxSeedLengthExceeded",
    "AddressWithSeedMismatch",
    "NonceNoRecentBlockhashes",
    "NonceBlockhashNotExpired",
    "NonceUnexpectedBlockhashValue",
];

pub(super) fn system_name(code: u32) -> &'static str {
    usize::try_from(code)
        .ok()
        .and_then(|index| SYSTEM_ERRORS.get(index))
        .copied()
        .unwrap_or("Unknown")
}

fn system_words(code: u32) -> (&'static str, &'static str) {
    match code {
        0 => ("The account exists already.", "Leave its creation out."),
        1 => (
            "A wallet does not hold enough lamports.",
            "Fund the keeper: rent of new accounts, fees and tips come out of it.",
        ),
        6..=8 => (
            "The durable nonce has moved on, or cannot move yet.",
            "Read the nonce account again: the transaction may have landed already.",
        ),
        _ => ("The system program refused.", "Check accounts and lamports of the instruction."),
    }
}

fn instruction_hint(error: &InstructionError) -> &'static str {
    match error {
        InstructionError::ProgramFailedToComplete => {
            "The program aborted: an account list that is too short, an arithmetic abort, or no compute units left. The logs tell which."
        }
        InstructionError::MissingAccount => {
            "An account that a program calls on is not in the transaction's list."
        }
        InstructionError::CallDepth => {
            "The swap calls too deep for a leg: use `open` and `settle` around it instead."
        }
        InstructionError::PrivilegeEscalation => {
            "A program asked for a signature or for write access that it was not given: only the swap authority signs in a leg."
        }
        InstructionError::InsufficientFunds => "Fund the keeper with lamports.",
        InstructionError::UnsupportedProgramId | InstructionError::IncorrectProgramId => {
            "A program id is wrong for this cluster."
        }
        InstructionError::MaxAccountsExceeded => "Use a route with fewer accounts.",
        _ => "The logs show the instruction and the call in which it happened.",
    }
}

fn transaction_hint(error: &TransactionError) -> &'static str {
    use TransactionError as E;
    match error {
        E::BlockhashNotFound => "Its blockhash expired: sign again with a fresh one.",
        E::AlreadyProcessed => "It landed before: look its signature up instead of sending again.",
        E::InsufficientFundsForFee | E::AccountNotFound => {
            "The fee payer has too few lamports: fund it."
        }
        E::InsufficientFundsForRent { .. } => {
            "An account would fall below its rent-exempt minimum: fund the keeper."
        }
        E::AddressLookupTableNotFound
        | E::InvalidAddressLookupTableData
        | E::InvalidAddressLookupTableOwner
        | E::InvalidAddressLookupTableIndex => {
            "A lookup table is missing, closed or was extended in this very slot: read it again."
        }
        E::TooManyAccountLocks => {
            "It names more accounts than the runtime locks: take a route with fewer."
        }
        E::AccountInUse
        | E::WouldExceedMaxBlockCostLimit
        | E::WouldExceedMaxAccountCostLimit
        | E::WouldExceedMaxVoteCostLimit
        | E::WouldExceedAccountDataBlockLimit => {
            "The block was full for these accounts: raise the priority fee or try the next slot."
        }
        E::SignatureFailure | E::SanitizeFailure | E::MissingSignatureForFee => {
            "The transaction is malformed or not signed by everybody it names."
        }
        E::MaxLoadedAccountsDataSizeExceeded | E::InvalidLoadedAccountsDataSizeLimit => {
            "Raise the limit for loaded account data."
        }
        _ => "Quote again and send a fresh transaction.",
    }
}

#[cfg(test)]
mod tests {
    use spl_token_interface::error::TokenError;

    use super::*;

    #[test]
    fn every_number_of_ours_has_a_sentence_and_a_hint() {
        for code in 7000..=7049 {
            let error = receiver_error(code).unwrap_or_else(|| panic!("no error {code}"));
            let words = Cause::Receiver(error).explain();
            assert!(words.title.contains(&code.to_string()), "{words}");
            assert!(words.sentence.len() > 6 && words.hint.len() > 6, "{words}");
        }
        assert_eq!(receiver_error(6999), None);
        assert_eq!(receiver_error(7050), None);
    }

    #[test]
    fn a_message_is_split_into_what_and_what_to_do() {
        let error = receiver_error(7010).unwrap();
        let words = Cause::Receiver(error).explain();
        assert_eq!(words.title, "flash-liquidator 7010 DeadlinePassed");
        assert_eq!(words.sentence, "The deadline slot has passed.");
        assert_eq!(words.hint, "Quote again and send a fresh transaction.");
        let words = Cause::Receiver(receiver_error(7011).unwrap()).explain();
        assert_eq!(words.sentence, "repay_amount is zero.");
    }

    #[test]
    fn every_number_of_klend_has_a_sentence_and_a_hint() {
        for code in klend_model::errors::FIRST_CODE..=klend_model::errors::LAST_CODE {
            let words = Cause::Klend(KlendError::from_code(code).unwrap()).explain();
            assert!(words.title.starts_with(&format!("klend {code} ")), "{words}");
            assert!(words.sentence.len() > 4 && words.hint.len() > 4, "{words}");
        }
    }

    #[test]
    fn token_numbers_are_spl_tokens() {
        for (code, error) in [
            (0, TokenError::NotRentExempt),
            (1, TokenError::InsufficientFunds),
            (4, TokenError::OwnerMismatch),
            (9, TokenError::UninitializedState),
            (13, TokenError::InvalidState),
            (17, TokenError::AccountFrozen),
            (18, TokenError::MintDecimalsMismatch),
            (19, TokenError::NonNativeNotSupported),
        ] {
            assert_eq!(error.clone() as u32, code);
            assert_eq!(token_name(code), format!("{error:?}"));
        }
        assert_eq!(token_name(38), "Token2022Extension");
    }

    #[test]
    fn system_numbers_are_the_system_programs() {
        use solana_system_interface::error::SystemError as E;
        for (code, error) in [
            (0, E::AccountAlreadyInUse),
            (1, E::ResultWithNegativeLamports),
            (8, E::NonceUnexpectedBlockhashValue),
        ] {
            assert_eq!(error.clone() as u32, code);
            assert_eq!(system_name(code), format!("{error:?}"));
        }
    }

    #[test]
    fn anchor_numbers_that_klend_documents_have_names() {
        for (code, name) in [
            (101, "InstructionFallbackNotFound"),
            (2001, "ConstraintHasOne"),
            (2012, "ConstraintAddress"),
            (2502, "RequireKeysEqViolated"),
            (3005, "AccountNotEnoughKeys"),
            (3007, "AccountOwnedByWrongProgram"),
            (3012, "AccountNotInitialized"),
        ] {
            assert_eq!(anchor_name(code), Some(name));
        }
        assert_eq!(anchor_name(6000), None);
    }
}
