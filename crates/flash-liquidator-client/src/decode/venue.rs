//! What swap programs' refusals mean for a keeper.
//!
//! Numbers and names are those of the programs' published interfaces; that the programs
//! answer with them in these cases is held by `tests/suites/venues`, which asks them.

use solana_address::Address;

use crate::swap::{meteora_dlmm, raydium_amm, raydium_clmm, raydium_cpmm, whirlpool};

/// What helps against a refusal of a swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// It would have brought less than its minimum.
    QuoteAgain,
    /// The pool does not take so much, or the leg does not reach so far.
    SellLess,
    /// So little brings nothing.
    SellMore,
    /// The price has left the arrays that the leg names.
    BuildAnew,
    /// Swaps are switched off, or have not begun.
    NotOpen,
    /// The pool cannot be used with these tokens or in this way.
    OtherPool,
}

impl Advice {
    /// What it means, and what to do.
    #[must_use]
    pub const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::QuoteAgain => (
                "The swap would have brought less than its minimum: the price has moved.",
                "Quote again.",
            ),
            Self::SellLess => (
                "The pool does not take so much, or the leg does not reach so far.",
                "Sell less: a smaller repayment, or over two pools.",
            ),
            Self::SellMore => {
                ("The swap would have brought nothing for so little.", "Sell more, or nothing.")
            }
            Self::BuildAnew => (
                "The price has left the arrays that the leg names.",
                "Read the pool and build the leg again.",
            ),
            Self::NotOpen => (
                "This pool is not open yet, or its swaps are switched off.",
                "Take another pool; its account says from when on it is open.",
            ),
            Self::OtherPool => ("This pool cannot be used with these tokens.", "Take another one."),
        }
    }
}

/// A refusal that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The venue in words.
    pub venue: &'static str,
    /// The program's number.
    pub code: u32,
    /// Its name for it.
    pub name: &'static str,
    /// What helps.
    pub advice: Advice,
}

type Row = (u32, &'static str, Advice);

const WHIRLPOOL: &[Row] = &[
    (6023, "InvalidTickArraySequence", Advice::BuildAnew),
    (6035, "ZeroTradableAmount", Advice::SellMore),
    (6036, "AmountOutBelowMinimum", Advice::QuoteAgain),
    (6038, "TickArraySequenceInvalidIndex", Advice::SellLess),
    (6047, "UnsupportedTokenMint", Advice::OtherPool),
    (6057, "PartialFillError", Advice::SellLess),
    (6064, "TradeIsNotEnabled", Advice::NotOpen),
];

const RAYDIUM_AMM: &[Row] = &[
    (22, "InvalidStatus", Advice::NotOpen),
    (29, "InvalidInput", Advice::SellMore),
    (30, "ExceededSlippage", Advice::QuoteAgain),
    (40, "InsufficientFunds", Advice::SellLess),
];

const RAYDIUM_CLMM: &[Row] = &[
    (6000, "NotApproved", Advice::NotOpen),
    (6016, "LiquidityInsufficient", Advice::SellLess),
    (6018, "TooLittleOutputReceived", Advice::QuoteAgain),
    (6022, "TooSmallInputOrOutputAmount", Advice::SellMore),
    (6023, "NotEnoughTickArrayAccount", Advice::SellLess),
    (6024, "InvalidFirstTickArrayAccount", Advice::BuildAnew),
    (6034, "NotSupportMint", Advice::OtherPool),
    (6035, "MissingTickArrayBitmapExtensionAccount", Advice::BuildAnew),
    (6036, "InsufficientLiquidityForDirection", Advice::SellLess),
];

const RAYDIUM_CPMM: &[Row] = &[
    // Anchor's own number, where nothing would be paid.
    (2505, "RequireGtViolated", Advice::SellMore),
    (6000, "NotApproved", Advice::NotOpen),
    (6005, "ExceededSlippage", Advice::QuoteAgain),
    (6006, "ZeroTradingTokens", Advice::SellMore),
    (6007, "NotSupportMint", Advice::OtherPool),
    (6012, "InsufficientVault", Advice::SellLess),
];

const METEORA_DLMM: &[Row] = &[
    // Anchor's own number, where it looks for one more array.
    (3005, "AccountNotEnoughKeys", Advice::BuildAnew),
    (6003, "ExceededAmountSlippageTolerance", Advice::QuoteAgain),
    (6009, "BinArrayNotFound", Advice::BuildAnew),
    (6012, "PairInsufficientLiquidity", Advice::SellLess),
    // A leg names the extension where it exists: there is nothing beyond.
    (6036, "BitmapExtensionAccountIsNotProvided", Advice::SellLess),
    (6037, "CannotFindNonZeroLiquidityBinArrayId", Advice::SellLess),
    (6039, "InsufficientOutAmount", Advice::SellMore),
    (6042, "PoolDisabled", Advice::NotOpen),
    (6069, "NotSupportMint", Advice::OtherPool),
    (6070, "UnsupportedMintExtension", Advice::OtherPool),
    (6100, "CpiDisabled", Advice::OtherPool),
];

/// What a swap program's number means, where that is known.
#[must_use]
pub fn refusal(program: &Address, code: u32) -> Option<Refusal> {
    let (venue, rows) = match *program {
        whirlpool::PROGRAM_ID | whirlpool::IMMUTABLE_PROGRAM_ID => ("Orca Whirlpool", WHIRLPOOL),
        raydium_amm::PROGRAM_ID => ("Raydium AMM", RAYDIUM_AMM),
        raydium_clmm::PROGRAM_ID => ("Raydium CLMM", RAYDIUM_CLMM),
        raydium_cpmm::PROGRAM_ID => ("Raydium CPMM", RAYDIUM_CPMM),
        meteora_dlmm::PROGRAM_ID => ("Meteora DLMM", METEORA_DLMM),
        _ => return None,
    };
    let (code, name, advice) = *rows.iter().find(|(number, ..)| *number == code)?;
    Some(Refusal { venue, code, name, advice })
}
