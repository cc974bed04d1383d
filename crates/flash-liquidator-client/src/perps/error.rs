//! Why an account cannot be read, an instruction not be built or a liquidation
//! not be quoted.

use solana_address::Address;

use super::Exchange;

/// What is refused, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PerpError {
    /// Another program's account, another kind, or a layout that is not known.
    #[error("{address} is no {what} of Drift or Velocity, or of a version that is not known")]
    NotA {
        /// What it was taken for.
        what: &'static str,
        /// The account.
        address: Address,
    },
    /// Accounts of both exchanges in one instruction or calculation.
    #[error("{what} is of {found}, and the account that acts is of {expected}")]
    OtherExchange {
        /// What does not belong.
        what: &'static str,
        /// Where it is from.
        found: Exchange,
        /// Where it should be from.
        expected: Exchange,
    },
    /// A market that the instruction has to list.
    #[error("{kind} market {index} is needed and was not given")]
    MarketMissing {
        /// "spot" or "perp".
        kind: &'static str,
        /// Its index.
        index: u16,
    },
    /// Transfers would need the accounts of the mint's hook.
    #[error("the token of spot market {index} has a transfer hook, which is not supported")]
    TransferHook {
        /// The market's index.
        index: u16,
    },
    /// The account that is to take over has something in it already.
    #[error(
        "sub-account {address} is not empty ({deposits} deposits or borrows, {positions} perp \
         positions, {orders} orders): what lies there would pass as profit; withdraw it, or use \
         another sub-account"
    )]
    NotEmpty {
        /// The account.
        address: Address,
        /// Spot positions in use.
        deposits: usize,
        /// Perp positions in use.
        positions: usize,
        /// Open orders.
        orders: u8,
    },
    /// The account is itself being liquidated, or bankrupt.
    #[error("{address} is {what}")]
    Status {
        /// The account.
        address: Address,
        /// "being liquidated" or "bankrupt".
        what: &'static str,
    },
    /// An account in another pool needs a liquidator in the same pool.
    #[error("{address} is in pool {found}, and the account that acts in pool {expected}")]
    OtherPool {
        /// The account.
        address: Address,
        /// Its pool.
        found: u8,
        /// The pool of the account that acts.
        expected: u8,
    },
    /// A price that is needed and was not given.
    #[error("the price of oracle {oracle} is needed and was not given")]
    PriceMissing {
        /// The oracle.
        oracle: Address,
    },
    /// An oracle of a kind that is not read here.
    #[error("oracle {oracle} is of a kind that is not read ({kind}): give its price")]
    OracleKind {
        /// The oracle.
        oracle: Address,
        /// The market's `oracle_source`.
        kind: u8,
    },
    /// Something that the margin arithmetic here does not cover.
    #[error("no quote: {what}")]
    NoQuote {
        /// What it is.
        what: &'static str,
    },
    /// The user's position in a market.
    #[error("the user has no {what} in {kind} market {index}")]
    NoPosition {
        /// "position", "deposit", "borrow" or "loss".
        what: &'static str,
        /// "spot" or "perp".
        kind: &'static str,
        /// Its index.
        index: u16,
    },
    /// Balances or prices beyond what the program itself can count.
    #[error("a number does not fit: the program would refuse it as well")]
    Overflow,
}
