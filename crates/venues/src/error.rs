//! Why a pool's payment cannot be known, or its leg not be built.

use solana_address::Address;

/// Why not. Every variant names the pool or the account that is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VenueError {
    /// No venue here has pools of that program.
    #[error("account {account} belongs to {owner}, which is no venue that is known")]
    NoVenue {
        /// The account.
        account: Address,
        /// The program it belongs to.
        owner: Address,
    },
    /// The account belongs to another program.
    #[error("account {account} belongs to {owner}, a {what} to {expected}")]
    OtherProgram {
        /// The account.
        account: Address,
        /// What it was taken for.
        what: &'static str,
        /// The program it belongs to.
        owner: Address,
        /// The program it should belong to.
        expected: Address,
    },
    /// The program is right, the account is something else.
    #[error("account {account} is not a {what}")]
    OtherKind {
        /// The account.
        account: Address,
        /// What it was taken for.
        what: &'static str,
    },
    /// The account is too short.
    #[error("account {account} has {len} bytes, a {what} has {expected}")]
    Truncated {
        /// The account.
        account: Address,
        /// What it was taken for.
        what: &'static str,
        /// Bytes there.
        len: usize,
        /// Bytes needed.
        expected: usize,
    },
    /// The account is of another pool.
    #[error("{what} {account} is of {actual}, not of pool {pool}")]
    OtherPool {
        /// The pool.
        pool: Address,
        /// The account.
        account: Address,
        /// What it is.
        what: &'static str,
        /// The pool or mint that it names.
        actual: Address,
    },
    /// A needed account was not read.
    #[error("pool {pool}: its {what} {account} has not been read")]
    Unread {
        /// The pool.
        pool: Address,
        /// The account.
        account: Address,
        /// What it is.
        what: &'static str,
    },
    /// A needed account does not exist.
    #[error("pool {pool}: there is no {what} {account}")]
    Absent {
        /// The pool.
        pool: Address,
        /// The account.
        account: Address,
        /// What it would be.
        what: &'static str,
    },
    /// A field has a value that its program never writes.
    #[error("pool {pool}: {field} is {actual}, outside of {low} to {high}")]
    OutOfRange {
        /// The pool.
        pool: Address,
        /// The field.
        field: &'static str,
        /// Its value.
        actual: i128,
        /// The least it may be.
        low: i128,
        /// The most it may be.
        high: i128,
    },
    /// A field has a value whose meaning is not known here.
    #[error("pool {pool}: {field} is {actual}, which is not known here")]
    Unknown {
        /// The pool.
        pool: Address,
        /// The field.
        field: &'static str,
        /// Its value.
        actual: u64,
    },
    /// The pool trades other tokens.
    #[error("pool {pool} does not trade {sold} for {bought}")]
    OtherTokens {
        /// The pool.
        pool: Address,
        /// Mint to be sold.
        sold: Address,
        /// Mint to be bought.
        bought: Address,
    },
    /// The pool does not trade that mint.
    #[error("pool {pool} does not trade {mint}")]
    OtherMint {
        /// The pool.
        pool: Address,
        /// The mint.
        mint: Address,
    },
    /// The pool exists, but swaps are switched off.
    #[error("pool {pool} does not swap at present")]
    Closed {
        /// The pool.
        pool: Address,
    },
    /// Swaps begin later.
    #[error("pool {pool} is not open yet: it opens at {opens}, it is {now} ({unit})")]
    NotOpenYet {
        /// The pool.
        pool: Address,
        /// When it opens.
        opens: u64,
        /// What time it is.
        now: u64,
        /// What both are counted in.
        unit: &'static str,
    },
    /// No liquidity in the direction of the swap.
    #[error("pool {pool} has no liquidity that {sold} could be sold into")]
    NoLiquidity {
        /// The pool.
        pool: Address,
        /// Mint to be sold.
        sold: Address,
    },
    /// A mint takes a fee from every transfer.
    #[error("pool {pool}: transfers of mint {mint} cost a fee of {bps} bps")]
    TransferFee {
        /// The pool.
        pool: Address,
        /// The mint.
        mint: Address,
        /// The fee.
        bps: u16,
    },
    /// A mint calls a program on every transfer.
    #[error("pool {pool}: transfers of mint {mint} call program {program}")]
    TransferHook {
        /// The pool.
        pool: Address,
        /// The mint.
        mint: Address,
        /// The program.
        program: Address,
    },
    /// A mint's transfers are paused.
    #[error("pool {pool}: transfers of mint {mint} are paused")]
    Paused {
        /// The pool.
        pool: Address,
        /// The mint.
        mint: Address,
    },
    /// A mint's tokens cannot be transferred at all.
    #[error("pool {pool}: mint {mint} cannot be transferred")]
    NonTransferable {
        /// The pool.
        pool: Address,
        /// The mint.
        mint: Address,
    },
    /// One of the pool's vaults is frozen.
    #[error("pool {pool}: its vault {vault} is frozen")]
    Frozen {
        /// The pool.
        pool: Address,
        /// The vault.
        vault: Address,
    },
    /// More than the pool can take, as far as it was read.
    #[error("pool {pool} takes at most {most}, not {amount}")]
    TooMuch {
        /// The pool.
        pool: Address,
        /// What was to be sold.
        amount: u64,
        /// What it takes.
        most: u64,
    },
    /// As [`VenueError::TooMuch`], and reading one more account would tell more.
    #[error("pool {pool}: {amount} goes beyond {most}, where its {what} {account} is needed")]
    Beyond {
        /// The pool.
        pool: Address,
        /// What was to be sold.
        amount: u64,
        /// What it takes as far as it was read.
        most: u64,
        /// The account.
        account: Address,
        /// What it is.
        what: &'static str,
    },
    /// So little that the program refuses to swap it.
    #[error("pool {pool} pays nothing for {amount}")]
    TooLittle {
        /// The pool.
        pool: Address,
        /// What was to be sold.
        amount: u64,
    },
    /// A second leg through the same pool is of no use.
    #[error("pool {pool}: a second leg through it reaches no further")]
    OneLeg {
        /// The pool.
        pool: Address,
    },
    /// The program's own arithmetic overflows.
    #[error("pool {pool}: its program cannot compute {what}")]
    Overflow {
        /// The pool.
        pool: Address,
        /// What it cannot compute.
        what: &'static str,
    },
}
