//! One call of a swap program.

use solana_address::{Address, address};
use solana_instruction::AccountMeta;

/// The memo program, which swaps use for accounts that demand memos.
pub(crate) const MEMO_PROGRAM_ID: Address = address!("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr");

/// One call of a swap program, signed by the swap authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwapLeg {
    /// Program to call.
    pub program: Address,
    /// Its accounts. Signer flags are dropped: on chain the swap authority
    /// signs wherever it appears, and nobody else does.
    pub accounts: Vec<AccountMeta>,
    /// Whose balance fills `amount_in_offset`: 0 is the collateral, `n` the n-th
    /// intermediate.
    pub input: u8,
    /// Where in `data` the program writes the input that is really there, as a
    /// little-endian u64. `None` leaves `data` as it is.
    pub amount_in_offset: Option<u16>,
    /// Instruction data.
    pub data: Vec<u8>,
}

/// One side of a swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Side {
    /// Token account: of the swap authority where it sells, of the swap
    /// authority or the keeper where the proceeds go.
    pub account: Address,
    /// Its mint.
    pub mint: Address,
    /// Token program of the mint.
    pub token_program: Address,
}

/// How much a leg sells, raw units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// All that is there when it runs: about this much.
    All(u64),
    /// This much and no more, so that another leg can sell the rest.
    Exactly(u64),
}

impl Amount {
    /// What is expected to be sold.
    #[must_use]
    pub const fn expected(self) -> u64 {
        match self {
            Self::All(amount) | Self::Exactly(amount) => amount,
        }
    }
}

/// What one leg sells and buys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trade {
    /// The swap authority.
    pub authority: Address,
    /// What is sold.
    pub input: Side,
    /// What is bought.
    pub output: Side,
    /// How much is sold. The leg reaches as far into the pool as that needs.
    pub amount: Amount,
    /// Least raw units to receive, or the swap fails.
    pub min_out: u64,
    /// Which token the leg sells: 0 is the collateral, `n` the n-th intermediate.
    pub token: u8,
}

impl Trade {
    /// A leg of this trade whose data begins with `start`, where the input follows.
    pub(crate) fn leg(
        &self,
        program: Address,
        accounts: Vec<AccountMeta>,
        start: &[u8],
    ) -> SwapLeg {
        let mut data = Vec::with_capacity(start.len() + 48);
        data.extend(start);
        let (written, offset) = match self.amount {
            Amount::All(_) => (0, Some(start.len() as u16)),
            Amount::Exactly(amount) => (amount, None),
        };
        data.extend(written.to_le_bytes());
        data.extend(self.min_out.to_le_bytes());
        SwapLeg { program, accounts, input: self.token, amount_in_offset: offset, data }
    }
}
