//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use solana_address::Address;

/// Kamino's main market.
pub const MAIN_MARKET: &str = "7u3HeHxYDLhnCoErrtycNokbQYbWGzLs6JSDqGAv5PfF";

/// Keeper for klend flash liquidations.
///
/// Reads accounts from an RPC node (--rpc), a fork folder (--fork DIR) or the
/// built-in fork (--fork builtin); every command works on any of them.
#[derive(Debug, Parser)]
#[command(name = "keeper", version)]
pub struct Cli {
    #[command(flatten)]
    pub source: SourceArgs,
    /// Print JSON.
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Args)]
pub struct SourceArgs {
    /// RPC node: a URL, or mainnet, devnet, localhost.
    #[arg(long, global = true, env = "KEEPER_RPC_URL", hide_env_values = true)]
    pub rpc: Option<String>,
    /// Fork folder, or "builtin".
    #[arg(long, global = true)]
    pub fork: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// A reserve: liquidity, rates, risk, addresses, borrow curve.
    Reserve {
        /// The reserve's address.
        reserve: Address,
    },
    /// A market and its reserves.
    Market {
        /// The market's address.
        #[arg(default_value = MAIN_MARKET)]
        market: Address,
    },
    /// An obligation: health, positions, liquidation prices.
    Obligation {
        /// The obligation's address.
        obligation: Address,
    },
    /// All obligations of a market with debt, the closest to liquidation first.
    Scan(ScanArgs),
    /// The best liquidation of an obligation.
    Quote {
        /// The obligation's address.
        obligation: Address,
        #[command(flatten)]
        terms: TermsArgs,
    },
    /// Liquidates an obligation with a flash loan: build, simulate, send, report.
    /// On a fork everything happens in a virtual machine.
    Liquidate(LiquidateArgs),
    /// Looks at prices again and again and liquidates what becomes unhealthy,
    /// the most profitable first. Only simulates unless the configuration says
    /// send = true.
    Watch {
        /// Configuration file (TOML); without one, defaults and no sending.
        #[arg(long)]
        config: Option<PathBuf>,
        /// Stop after so many looks.
        #[arg(long)]
        passes: Option<u64>,
    },
    /// What happened in a transaction, in words.
    Explain {
        /// A signature (needs --rpc), or a file with an answer of getTransaction.
        transaction: String,
    },
    /// Token accounts and a lookup table for liquidations in a market. Shows the
    /// costs; does it with --yes.
    Setup(SetupArgs),
    /// Writes a fork folder that --fork reads.
    Fork {
        /// Only this obligation's market, and no other obligation.
        #[arg(long, conflicts_with = "market", required_unless_present = "market")]
        obligation: Option<Address>,
        /// This market with all its obligations that have debt.
        #[arg(long)]
        market: Option<Address>,
        /// Folder to write; must not exist.
        #[arg(long)]
        out: PathBuf,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Sort {
    /// Lowest health factor first.
    Distance,
    /// Highest profit first.
    Profit,
    /// Largest debt first.
    Debt,
}

#[derive(Debug, Args)]
pub struct ScanArgs {
    /// The market's address.
    #[arg(default_value = MAIN_MARKET)]
    pub market: Address,
    /// Order of the table.
    #[arg(long, value_enum, default_value_t = Sort::Distance)]
    pub sort: Sort,
    /// Rows to print.
    #[arg(long, default_value_t = 50)]
    pub limit: usize,
    /// Leave out debts worth less, US dollars.
    #[arg(long, default_value_t = 0.0)]
    pub min_debt: f64,
    /// Leave out health factors of this and more (1 = about to be liquidated).
    #[arg(long)]
    pub below: Option<f64>,
    /// What selling the collateral is assumed to cost, bps of the oracle price.
    #[arg(long, default_value_t = 30)]
    pub swap_cost_bps: u16,
    /// Highest flash-loan fee, bps.
    #[arg(long, default_value_t = 10)]
    pub max_fee_bps: u16,
}

#[derive(Clone, Debug, Args)]
pub struct TermsArgs {
    /// What selling the collateral is assumed to cost where no venue is known,
    /// bps of the oracle price.
    #[arg(long, default_value_t = 30)]
    pub swap_cost_bps: u16,
    /// How much less collateral than quoted is accepted, bps.
    #[arg(long, default_value_t = 50)]
    pub slippage_bps: u16,
    /// Highest flash-loan fee, bps of the loan.
    #[arg(long, default_value_t = 10)]
    pub max_fee_bps: u16,
    /// Loan beyond the quoted repayment, bps: interest accrues until it lands.
    #[arg(long, default_value_t = 5)]
    pub loan_margin_bps: u16,
    /// Sell in this Orca Whirlpool or Raydium CPMM pool. What it pays is known
    /// only from the simulation; the quote assumes --swap-cost-bps.
    #[arg(long)]
    pub pool: Option<Address>,
    /// Tip, lamports.
    #[arg(long, default_value_t = 0)]
    pub tip: u64,
    /// Who gets the tip.
    #[arg(long, requires = "tip")]
    pub tip_account: Option<Address>,
    /// Priority fee, micro-lamports per compute unit.
    #[arg(long, default_value_t = 0)]
    pub priority_fee: u64,
}

#[derive(Debug, Args)]
pub struct SetupArgs {
    /// The market's address.
    #[arg(long, default_value = MAIN_MARKET)]
    pub market: Address,
    /// Only these reserves; a lookup table holds 256 addresses.
    #[arg(long = "reserve")]
    pub reserves: Vec<Address>,
    /// Close what is empty and retire the tables given.
    #[arg(long)]
    pub undo: bool,
    /// Lookup tables to retire and close, with --undo.
    #[arg(long = "table", requires = "undo")]
    pub tables: Vec<Address>,
    /// Keypair file that signs and pays; else the one the solana CLI is
    /// configured with.
    #[arg(long)]
    pub keypair: Option<PathBuf>,
    /// Do it.
    #[arg(long)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct JupiterArgs {
    /// Sell through this answer of Jupiter's /swap-instructions, made for the
    /// keeper's swap authority.
    #[arg(long)]
    pub jupiter: Option<PathBuf>,
    /// Input the answer was quoted for, raw units.
    #[arg(long, requires = "jupiter")]
    pub jupiter_amount: Option<u64>,
}

#[derive(Debug, Args)]
pub struct LiquidateArgs {
    /// The obligation's address.
    pub obligation: Address,
    #[command(flatten)]
    pub terms: TermsArgs,
    /// Simulate only.
    #[arg(long)]
    pub dry_run: bool,
    /// Least profit after loan and fee, raw units of the debt's token; negative
    /// consents to a loss.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    pub min_profit: i64,
    /// Slots after which the transaction must not execute any more; 0 for no
    /// deadline.
    #[arg(long, default_value_t = 32)]
    pub deadline_slots: u64,
    /// Lookup tables to use. On a fork one is made for the occasion.
    #[arg(long = "table")]
    pub tables: Vec<Address>,
    #[command(flatten)]
    pub jupiter: JupiterArgs,
    /// Keypair file that signs and pays; else the one the solana CLI is
    /// configured with.
    #[arg(long)]
    pub keypair: Option<PathBuf>,
    /// Send on mainnet without asking.
    #[arg(long)]
    pub yes: bool,
}
