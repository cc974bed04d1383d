//! Arguments of commands that sign.

use std::path::PathBuf;

use clap::Args;
use flash_liquidator_client::perps::Leftover;
use solana_address::Address;

use super::{AggregatorArgs, MAIN_MARKET, ProgramArgs, SignerArgs, TermsArgs};
use crate::{
    build::{
        perp,
        plan::{Fees, Least, Wishes},
    },
    route::fees::Offer,
};

#[derive(Clone, Debug, Default, Args)]
pub struct JupiterArgs {
    /// Sell through this answer of Jupiter's /swap-instructions, made for the
    /// keeper's swap authority.
    #[arg(long, value_name = "FILE", requires = "jupiter_amount")]
    pub jupiter: Option<PathBuf>,
    /// Input the answer was quoted for, raw units.
    #[arg(long, value_name = "RAW", requires = "jupiter")]
    pub jupiter_amount: Option<u64>,
}

#[derive(Clone, Debug, Args)]
pub struct LiquidateArgs {
    /// The obligation's address.
    pub obligation: Address,
    #[command(flatten)]
    pub terms: TermsArgs,
    /// Have prices written first where that lets the obligation be liquidated (Scope's
    /// refresh_price_list).
    #[arg(long)]
    pub refresh_prices: bool,
    /// Simulate only: here, and on the node where --keypair names a key it knows.
    #[arg(long)]
    pub dry_run: bool,
    /// Least profit after loan and fee, raw units of the debt's token; negative
    /// consents to a loss. Held on chain.
    #[arg(long, value_name = "RAW", default_value_t = 0, allow_negative_numbers = true)]
    pub min_profit: i64,
    /// How much of the quoted profit may be lost until it lands, bps: where that
    /// leaves more than --min-profit, it is what is signed.
    #[arg(long, value_name = "BPS", default_value_t = 2_500)]
    pub profit_tolerance_bps: u16,
    /// Slots after which the transaction must not execute any more; 0 for no
    /// deadline.
    #[arg(long, value_name = "SLOTS", default_value_t = 32)]
    pub deadline_slots: u64,
    /// Lookup table to use; may be given several times. For a simulation without
    /// one, one is made for the occasion.
    #[arg(long = "table", value_name = "TABLE")]
    pub tables: Vec<Address>,
    #[command(flatten)]
    pub jupiter: JupiterArgs,
    #[command(flatten)]
    pub aggregator: AggregatorArgs,
    /// Send as a bundle of one to this block engine's JSON-RPC (sendBundle), in
    /// place of the node. Needs a tip.
    #[arg(long, value_name = "URL")]
    pub block_engine: Option<String>,
    #[command(flatten)]
    pub program: ProgramArgs,
    #[command(flatten)]
    pub signer: SignerArgs,
    /// Send on mainnet without asking.
    #[arg(long)]
    pub yes: bool,
}

impl LiquidateArgs {
    /// What the operator wants, by hand: fees and the least profit are as stated.
    pub fn wishes(&self) -> Wishes {
        let terms = &self.terms;
        Wishes {
            search: terms.search(),
            slippage_bps: terms.slippage_bps,
            tolerance_bps: self.profit_tolerance_bps,
            least: Least::Raw(self.min_profit),
            fees: Fees::Stated {
                offer: Offer { unit_price: terms.priority_fee, tip: terms.tip },
                tip_account: terms.tip_account,
            },
            deadline_slots: self.deadline_slots,
            sol_usd: None,
            dont_front: None,
            jupiter: self.jupiter.jupiter.clone().zip(self.jupiter.jupiter_amount),
            tables: self.tables.clone(),
            simulates: true,
        }
    }
}

#[derive(Clone, Debug, Args)]
pub struct PerpArgs {
    /// The user's account on the exchange, which says which exchange it is.
    pub user: Address,
    /// Perp market to liquidate in; else the user's largest position.
    #[arg(long, value_name = "INDEX")]
    pub perp_market: Option<u16>,
    /// The most to take over, billionths of the base asset; else all that is handed
    /// over.
    #[arg(long, value_name = "RAW", default_value_t = u64::MAX, hide_default_value = true)]
    pub max_base: u64,
    /// Loan, raw units of the quote token; else a quarter of what is handed over,
    /// which a quote has to say.
    #[arg(long, value_name = "RAW")]
    pub loan: Option<u64>,
    /// klend market that lends it.
    #[arg(long, value_name = "MARKET", default_value = MAIN_MARKET)]
    pub market: Address,
    /// Number of the keeper's own sub-account; it has to be empty, and is opened in
    /// the transaction when it is not there.
    #[arg(long, value_name = "ID", default_value_t = 0)]
    pub sub_account: u16,
    /// Price of an oracle that cannot be read, ORACLE=MILLIONTHS of a dollar; may be
    /// given several times.
    #[arg(long = "price", value_name = "ORACLE=PRICE", value_parser = price_of_oracle)]
    pub prices: Vec<(Address, i64)>,
    /// Settle this user's loss first, so that the market's pool can pay; may be given
    /// several times.
    #[arg(long, value_name = "USER")]
    pub settle_first: Vec<Address>,
    /// Whose resting orders may fill the close where the market maker does not, and
    /// whoever referred the keeper's wallet; may be given several times.
    #[arg(long = "maker", value_name = "USER")]
    pub makers: Vec<Address>,
    /// A profit that the pool cannot pay may stay on the exchange, to be settled
    /// later.
    #[arg(long)]
    pub allow_leftover: bool,
    /// Simulate only.
    #[arg(long)]
    pub dry_run: bool,
    /// Least profit after loan and fee, raw units of the quote token. Held on chain.
    #[arg(long, value_name = "RAW", default_value_t = 1, allow_negative_numbers = true)]
    pub min_profit: i64,
    /// Slots after which the transaction must not execute any more; 0 for no
    /// deadline.
    #[arg(long, value_name = "SLOTS", default_value_t = 32)]
    pub deadline_slots: u64,
    /// Priority fee, micro-lamports per compute unit.
    #[arg(long, value_name = "MICROLAMPORTS", default_value_t = 0)]
    pub priority_fee: u64,
    /// Lookup table to use; may be given several times. For a simulation without
    /// one, one is made for the occasion.
    #[arg(long = "table", value_name = "TABLE")]
    pub tables: Vec<Address>,
    #[command(flatten)]
    pub program: ProgramArgs,
    #[command(flatten)]
    pub signer: SignerArgs,
    /// Send on mainnet without asking.
    #[arg(long)]
    pub yes: bool,
}

impl PerpArgs {
    /// What they say of the liquidation itself.
    pub fn wishes(&self) -> perp::Wishes {
        perp::Wishes {
            user: self.user,
            perp_market: self.perp_market,
            max_base: self.max_base,
            loan: self.loan,
            market: self.market,
            sub_account: self.sub_account,
            prices: self.prices.clone(),
            settle_first: self.settle_first.clone(),
            makers: self.makers.clone(),
            leftover: if self.allow_leftover { Leftover::Allow } else { Leftover::Refuse },
            min_profit: self.min_profit,
            deadline_slots: self.deadline_slots,
            priority_fee: self.priority_fee,
        }
    }
}

fn price_of_oracle(text: &str) -> Result<(Address, i64), String> {
    let (oracle, price) = text.split_once('=').ok_or("not of the form ORACLE=PRICE")?;
    let oracle = oracle.parse().map_err(|error| format!("{oracle}: {error}"))?;
    let price: i64 = price.parse().map_err(|error| format!("{price}: {error}"))?;
    if price <= 0 {
        return Err(format!("{price}: not a price"));
    }
    Ok((oracle, price))
}

#[derive(Debug, Args)]
pub struct SetupArgs {
    /// The market's address.
    #[arg(long, default_value = MAIN_MARKET)]
    pub market: Address,
    /// Only this reserve; may be given several times.
    #[arg(long = "reserve", value_name = "RESERVE")]
    pub reserves: Vec<Address>,
    /// What is named where prices are written first goes into the tables too: mappings,
    /// averages and sources of these reserves' prices (see refresh_prices of `watch`).
    #[arg(long)]
    pub refresh_prices: bool,
    /// Sweep the swap authority's token accounts, close the keeper's empty ones, and
    /// retire, then close, the tables given.
    #[arg(long)]
    pub undo: bool,
    /// Lookup table to retire and close, with --undo; may be given several times.
    #[arg(long = "table", value_name = "TABLE", requires = "undo")]
    pub tables: Vec<Address>,
    #[command(flatten)]
    pub program: ProgramArgs,
    #[command(flatten)]
    pub signer: SignerArgs,
    /// Do it.
    #[arg(long)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct SweepArgs {
    #[command(flatten)]
    pub program: ProgramArgs,
    #[command(flatten)]
    pub signer: SignerArgs,
    /// Do it.
    #[arg(long)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct UnwrapArgs {
    #[command(flatten)]
    pub signer: SignerArgs,
    /// Only while the key has less than this, SOL.
    #[arg(long, value_name = "SOL", value_parser = sol)]
    pub below: Option<f64>,
    /// Leave so much wrapped, SOL.
    #[arg(long, value_name = "SOL", value_parser = sol)]
    pub keep: Option<f64>,
    /// Do it.
    #[arg(long)]
    pub yes: bool,
}

/// An amount of SOL.
fn sol(text: &str) -> Result<f64, String> {
    let sol: f64 = text.parse().map_err(|_| format!("{text:?} is no amount of SOL"))?;
    if (0.0..=1e9).contains(&sol) {
        Ok(sol)
    } else {
        Err(format!("{sol} is not between 0 and 1e9"))
    }
}

#[derive(Debug, Args)]
pub struct RedeemArgs {
    /// The market's address.
    #[arg(default_value = MAIN_MARKET)]
    pub market: Address,
    #[command(flatten)]
    pub signer: SignerArgs,
    /// Do it.
    #[arg(long)]
    pub yes: bool,
}
