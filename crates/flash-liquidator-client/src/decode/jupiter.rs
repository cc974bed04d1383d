//! Jupiter's errors, as its program of 2026-03 has them.

/// A number's name, what it means, and what helps.
pub(super) struct Known {
    pub name: &'static str,
    pub sentence: &'static str,
    pub hint: &'static str,
}

const FIRST: u32 = 6_000;

/// In the order of their numbers.
const NAMES: [&str; 27] = [
    "EmptyRoute",
    "SlippageToleranceExceeded",
    "InvalidCalculation",
    "MissingPlatformFeeAccount",
    "InvalidSlippage",
    "NotEnoughPercent",
    "InvalidInputIndex",
    "InvalidOutputIndex",
    "NotEnoughAccountKeys",
    "NonZeroMinimumOutAmountNotSupported",
    "InvalidRoutePlan",
    "InvalidReferralAuthority",
    "LedgerTokenAccountDoesNotMatch",
    "InvalidTokenLedger",
    "IncorrectTokenProgramID",
    "TokenProgramNotProvided",
    "SwapNotSupported",
    "ExactOutAmountNotMatched",
    "SourceAndDestinationMintCannotBeTheSame",
    "InvalidMint",
    "InvalidProgramAuthority",
    "InvalidOutputTokenAccount",
    "InvalidFeeWallet",
    "InvalidAuthority",
    "InsufficientFunds",
    "InvalidTokenAccount",
    "BondingCurveAlreadyCompleted",
];

/// What a number of Jupiter's means.
pub(super) fn known(code: u32) -> Option<Known> {
    let name = *NAMES.get(usize::try_from(code.checked_sub(FIRST)?).ok()?)?;
    let (sentence, hint) = match name {
        "SlippageToleranceExceeded" => (
            "The route brought less than its quote less the slippage that it was asked for with.",
            "Ask again for the amount that is sold now: an answer for another amount, or an old one, fails like this.",
        ),
        "MissingPlatformFeeAccount" | "InvalidFeeWallet" => (
            "The route takes a fee, and its account is missing.",
            "Ask without platformFeeBps and feeAccount.",
        ),
        "NotEnoughAccountKeys" => (
            "Accounts of the route are missing at the end of its list.",
            "Pass all accounts of the answer on, in their order.",
        ),
        "InvalidTokenAccount" | "InvalidOutputTokenAccount" => (
            "A token account of the swap authority does not exist, or is of another mint.",
            "Create those that the route names first: of the token that is bought even where another account is paid, and of the tokens on the way.",
        ),
        "InsufficientFunds" => (
            "The swap authority's account holds less than the route sells.",
            "Ask for no more than the liquidation brings.",
        ),
        "LedgerTokenAccountDoesNotMatch" | "InvalidTokenLedger" => {
            ("The route sells what a token ledger noted.", "Ask without useTokenLedger.")
        }
        "IncorrectTokenProgramID" | "TokenProgramNotProvided" => (
            "A token program of the route is not the one of its mint.",
            "Ask again: the answer does not fit these tokens.",
        ),
        "SwapNotSupported" | "BondingCurveAlreadyCompleted" => (
            "A venue on the route does not swap like that any more.",
            "Ask again, or leave that venue out with excludeDexes.",
        ),
        "InvalidAuthority" | "InvalidProgramAuthority" | "InvalidReferralAuthority" => (
            "An authority on the route is not the one that it was made for.",
            "Ask with the swap authority as taker.",
        ),
        _ => ("The route or its arguments are not what Jupiter takes.", "Ask for another route."),
    };
    Some(Known { name, sentence, hint })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers from failures that are known: `SlippageToleranceExceeded` 6001,
    /// `NotEnoughAccountKeys` 6008, `SourceAndDestinationMintCannotBeTheSame` 6018 of the
    /// published interface; `InvalidTokenAccount` 6025 as the program answers.
    #[test]
    fn numbers_have_jupiters_names() {
        let name = |code| known(code).map(|known| known.name);
        assert_eq!(name(6_001), Some("SlippageToleranceExceeded"));
        assert_eq!(name(6_008), Some("NotEnoughAccountKeys"));
        assert_eq!(name(6_018), Some("SourceAndDestinationMintCannotBeTheSame"));
        assert_eq!(name(6_025), Some("InvalidTokenAccount"));
        assert_eq!((name(5_999), name(6_027)), (None, None));
        for code in 6_000..=6_026 {
            let Known { sentence, hint, .. } = known(code).unwrap_or_else(|| panic!("{code}"));
            assert!(sentence.ends_with('.') && hint.ends_with('.'), "{code}");
        }
    }
}
