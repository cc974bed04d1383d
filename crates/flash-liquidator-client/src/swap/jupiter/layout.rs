//! The data of Jupiter's route instructions: where each keeps what matters here.

use solana_address::Address;
use solana_instruction::AccountMeta;

use super::{JupiterError, PROGRAM_ID};
use crate::swap::field;

/// Bytes behind the route plan in the first generation's instructions: input and quoted
/// output (u64), slippage (u16) and platform fee (u8) in bps.
const TAIL: usize = 8 + 8 + 2 + 1;
/// The same arguments in the second generation, where they come first: input and quoted
/// output, slippage, platform fee and positive slippage (u16) in bps.
const HEAD: usize = 8 + 8 + 2 + 2 + 2;

/// What a route instruction states about the swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stated {
    /// Raw units that are sold.
    pub amount_in: u64,
    /// Raw units that it was quoted to bring.
    pub amount_out: u64,
    /// How much less than that it may bring, bps.
    pub slippage_bps: u16,
    /// Fee that somebody takes of the output or input, bps.
    pub platform_fee_bps: u16,
    /// Share of what it brings beyond the quote that somebody keeps, bps.
    pub positive_slippage_bps: u16,
}

/// Where a route instruction keeps what matters here.
pub(super) struct Layout {
    pub name: &'static str,
    amount: Amount,
    /// Positions of the account sold from, of the account paid, and of the one
    /// that is paid instead of it unless it is the program's own id.
    accounts: (usize, usize, Option<usize>),
    /// Accounts the instruction names before those of the venues.
    named: usize,
}

/// Where the input is in the data.
enum Amount {
    /// Behind the route plan, with the rest of the arguments after it.
    BeforeTail,
    /// At a fixed place, with the rest of the arguments after it.
    At(usize),
}

impl Layout {
    /// By the instruction's first eight bytes.
    pub fn of(data: &[u8]) -> Result<Self, JupiterError> {
        /// Of `route_with_token_ledger` and `shared_accounts_route_with_token_ledger`.
        const LEDGER: &str = "leave useTokenLedger out of the request, its input is set anyway";
        /// Of all that fix the output.
        const EXACT_IN: &str = "ask for swapMode=ExactIn";

        let refused = |instruction, remedy| Err(JupiterError::NotExactIn { instruction, remedy });
        match data.first_chunk::<8>() {
            Some([229, 23, 203, 151, 122, 227, 173, 42]) => Ok(Self {
                name: "route",
                amount: Amount::BeforeTail,
                accounts: (2, 3, Some(4)),
                named: 9,
            }),
            Some([193, 32, 155, 51, 65, 214, 156, 129]) => Ok(Self {
                name: "shared_accounts_route",
                amount: Amount::BeforeTail,
                accounts: (3, 6, None),
                named: 13,
            }),
            Some([187, 100, 250, 204, 49, 196, 175, 20]) => Ok(Self {
                name: "route_v2",
                amount: Amount::At(8),
                accounts: (1, 2, Some(7)),
                named: 10,
            }),
            Some([209, 152, 83, 147, 124, 254, 216, 233]) => Ok(Self {
                name: "shared_accounts_route_v2",
                // Behind the number of the shared accounts.
                amount: Amount::At(9),
                accounts: (2, 5, None),
                named: 12,
            }),
            Some([150, 86, 71, 116, 167, 93, 14, 104]) => {
                refused("route_with_token_ledger", LEDGER)
            }
            Some([230, 121, 143, 80, 119, 159, 106, 170]) => {
                refused("shared_accounts_route_with_token_ledger", LEDGER)
            }
            Some([208, 51, 239, 151, 123, 43, 237, 92]) => refused("exact_out_route", EXACT_IN),
            Some([176, 209, 105, 168, 154, 125, 69, 62]) => {
                refused("shared_accounts_exact_out_route", EXACT_IN)
            }
            Some([157, 138, 184, 82, 21, 244, 243, 36]) => refused("exact_out_route_v2", EXACT_IN),
            Some([53, 96, 229, 202, 216, 187, 250, 24]) => {
                refused("shared_accounts_exact_out_route_v2", EXACT_IN)
            }
            _ => Err(JupiterError::UnknownInstruction {
                discriminator: data[..data.len().min(8)].to_vec(),
            }),
        }
    }

    /// Where the input is, in data of that length.
    pub fn amount_in_offset(&self, data_len: usize) -> Result<usize, JupiterError> {
        let (offset, needed) = match self.amount {
            Amount::At(offset) => (offset, offset + HEAD),
            Amount::BeforeTail => (data_len.saturating_sub(TAIL), 8 + TAIL),
        };
        if data_len < needed {
            return Err(JupiterError::TooShort { actual: data_len, expected: needed });
        }
        Ok(offset)
    }

    /// What the data states.
    pub fn stated(&self, data: &[u8]) -> Result<Stated, JupiterError> {
        let at = self.amount_in_offset(data.len())?;
        let u16_at = |at| u16::from_le_bytes(field(data, at));
        let (platform_fee_bps, positive_slippage_bps) = match self.amount {
            Amount::BeforeTail => (u16::from(field::<1>(data, at + 18)[0]), 0),
            Amount::At(_) => (u16_at(at + 18), u16_at(at + 20)),
        };
        Ok(Stated {
            amount_in: u64::from_le_bytes(field(data, at)),
            amount_out: u64::from_le_bytes(field(data, at + 8)),
            slippage_bps: u16_at(at + 16),
            platform_fee_bps,
            positive_slippage_bps,
        })
    }

    /// Writes another input and quoted output.
    pub fn write(
        &self,
        data: &mut [u8],
        amount_in: u64,
        amount_out: u64,
    ) -> Result<(), JupiterError> {
        let at = self.amount_in_offset(data.len())?;
        if let Some(amounts) = data.get_mut(at..at + 16) {
            amounts[..8].copy_from_slice(&amount_in.to_le_bytes());
            amounts[8..].copy_from_slice(&amount_out.to_le_bytes());
        }
        Ok(())
    }

    /// The account sold from and the account paid.
    pub fn ends(&self, accounts: &[AccountMeta]) -> Result<(Address, Address), JupiterError> {
        if accounts.len() < self.named {
            return Err(JupiterError::TooFewAccounts {
                instruction: self.name,
                actual: accounts.len(),
                expected: self.named,
            });
        }
        let key = |position: usize| accounts[position].pubkey;
        let (source, user, other) = self.accounts;
        // Anchor's form of an account that is left out.
        let other = other.map(key).filter(|other| *other != PROGRAM_ID);
        Ok((key(source), other.unwrap_or(key(user))))
    }
}
