//! What Jupiter's `/build` is asked.

use solana_address::Address;

/// Most accounts that a route may be asked to name.
pub const MOST_ACCOUNTS: u8 = 64;

/// A question for `GET /swap/v2/build`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Mint to be sold.
    pub sold: Address,
    /// Mint to be bought.
    pub bought: Address,
    /// Raw units to be sold.
    pub amount: u64,
    /// Who sells: the swap authority.
    pub authority: Address,
    /// Who would pay for accounts.
    pub payer: Address,
    /// How much less than quoted it may bring, bps.
    pub slippage_bps: u16,
    /// Most accounts that the route may name, 1 to [`MOST_ACCOUNTS`].
    pub max_accounts: u8,
}

impl Ask {
    /// Names and values of the question's parameters. SOL is neither wrapped nor
    /// unwrapped: the swap authority cannot sign for that.
    #[must_use]
    pub fn parameters(&self) -> [(&'static str, String); 8] {
        [
            ("inputMint", self.sold.to_string()),
            ("outputMint", self.bought.to_string()),
            ("amount", self.amount.to_string()),
            ("taker", self.authority.to_string()),
            ("payer", self.payer.to_string()),
            ("slippageBps", self.slippage_bps.to_string()),
            ("maxAccounts", self.max_accounts.clamp(1, MOST_ACCOUNTS).to_string()),
            ("wrapAndUnwrapSol", "false".to_owned()),
        ]
    }
}
