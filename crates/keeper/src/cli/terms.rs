//! What several commands are told: terms, whose key, whose program.

use std::path::PathBuf;

use clap::Args;
use solana_address::Address;

use super::DiscoverArgs;
use crate::{
    feeds::source::Rpc,
    program::{self, Authority, Expected, Hash, Said},
    route::{frozen::Selling, position::Search},
};

#[derive(Clone, Debug, Args)]
pub struct TermsArgs {
    /// What selling the collateral is assumed to cost where no pool is known, bps of the
    /// oracle price.
    #[arg(long, value_name = "BPS", default_value_t = 30)]
    pub swap_cost_bps: u16,
    /// How much less collateral than quoted is accepted, bps.
    #[arg(long, value_name = "BPS", default_value_t = 50)]
    pub slippage_bps: u16,
    /// Highest flash-loan fee, bps of the loan.
    #[arg(long, value_name = "BPS", default_value_t = 10)]
    pub max_fee_bps: u16,
    /// Loan beyond the quoted repayment, bps: interest accrues until it lands.
    #[arg(long, value_name = "BPS", default_value_t = 5)]
    pub loan_margin_bps: u16,
    /// Repay no more than this at once, US dollars.
    #[arg(long, value_name = "USD")]
    pub max_repay: Option<u64>,
    /// Market whose reserves may lend as well; may be given several times.
    #[arg(long = "lend-from", value_name = "MARKET")]
    pub lend_from: Vec<Address>,
    /// Sell in this Orca Whirlpool, Raydium AMM v4, CPMM or CLMM or Meteora DLMM pool; may be given
    /// several times: the collateral is sold in the one that pays most, in two that
    /// share it, or in two by way of a third token. What pools pay is computed to the
    /// unit, and the size is chosen by it.
    #[arg(long = "pool", value_name = "POOL")]
    pub pools: Vec<Address>,
    #[command(flatten)]
    pub discover: DiscoverArgs,
    /// Tip, lamports.
    #[arg(long, value_name = "LAMPORTS", default_value_t = 0)]
    pub tip: u64,
    /// Who gets the tip.
    #[arg(long, value_name = "ACCOUNT", requires = "tip")]
    pub tip_account: Option<Address>,
    /// Priority fee, micro-lamports per compute unit.
    #[arg(long, value_name = "MICROLAMPORTS", default_value_t = 0)]
    pub priority_fee: u64,
}

impl TermsArgs {
    /// Who lends, and where collateral may be sold.
    pub fn selling(&self) -> Selling {
        Selling {
            lenders: self.lend_from.clone(),
            pools: self.pools.clone(),
            seeking: self.discover.seeking(),
        }
    }

    /// How a liquidation is looked for.
    pub fn search(&self) -> Search {
        Search {
            swap_cost_bps: self.swap_cost_bps,
            max_fee_bps: self.max_fee_bps,
            loan_margin_bps: self.loan_margin_bps,
            max_repay_usd: self.max_repay,
            ..Search::default()
        }
    }
}

/// Whose key signs and pays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct SignerArgs {
    /// Keypair file that signs and pays; else the one the solana CLI is
    /// configured with.
    #[arg(long, value_name = "FILE", conflicts_with = "vault")]
    pub keypair: Option<PathBuf>,
    /// HashiCorp Vault whose transit engine signs; VAULT_TOKEN holds the token.
    /// Needs a keeper built with the feature `vault`.
    #[arg(long, value_name = "URL", requires_all = ["vault_key", "vault_pubkey"])]
    pub vault: Option<String>,
    /// Name of the key in the vault.
    #[arg(long, value_name = "NAME", requires = "vault")]
    pub vault_key: Option<String>,
    /// Address of that key.
    #[arg(long, value_name = "ADDRESS", requires = "vault")]
    pub vault_pubkey: Option<Address>,
}

/// Whose program the key signs for.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct ProgramArgs {
    /// Hash that the deployed program has to have before anything is sent to it, as
    /// `keeper program` prints it.
    #[arg(long, value_name = "HASH", env = "KEEPER_PROGRAM_HASH", value_parser = program_hash)]
    pub program_hash: Option<Hash>,
    /// Who alone may be able to replace the program; `none` for nobody.
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "KEEPER_PROGRAM_AUTHORITY",
        value_parser = program_authority
    )]
    pub program_authority: Option<Authority>,
}

impl ProgramArgs {
    /// Compares the deployed program with it.
    ///
    /// # Errors
    /// See [`program::require`].
    pub fn require(&self, rpc: &Rpc) -> Result<(), anyhow::Error> {
        let expected = Expected { hash: self.program_hash, authority: self.program_authority };
        program::require(rpc, &expected, Said::Flags).map(drop)
    }
}

fn program_hash(text: &str) -> Result<Hash, String> {
    text.parse().map_err(|()| "not 64 hexadecimal digits".to_owned())
}

fn program_authority(text: &str) -> Result<Authority, String> {
    text.parse().map_err(|()| "neither an address nor none".to_owned())
}
