//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use klend_model::version::KlendVersion;
use solana_address::Address;

use crate::{
    build::plan::{Fees, Least, Wishes},
    feeds::source::{Rpc, TIMEOUT},
    ledger::report::By,
    program::{self, Authority, Expected, Hash, Said},
    route::{fees::Offer, position::Search},
};

/// Kamino's main market.
pub const MAIN_MARKET: &str = "7u3HeHxYDLhnCoErrtycNokbQYbWGzLs6JSDqGAv5PfF";

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  error: standard error says what and what to do
  2  the command line is wrong
  3  nothing to do: the obligation is healthy, or somebody else was faster
  4  a transaction was sent, and whether it was executed is not known

Results go to standard output, logs, progress and errors to standard error.
Colours are for terminals only, and never with NO_COLOR set.";

/// Keeper for klend flash liquidations.
///
/// Reads accounts from an RPC node (--rpc), a fork folder (--fork DIR) or the
/// built-in fork (--fork builtin); every command works on any of them.
#[derive(Debug, Parser)]
#[command(name = "keeper", version, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    pub source: SourceArgs,
    /// Print one JSON document; `watch` then logs in JSON. Amounts in raw units
    /// are strings.
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Args)]
pub struct SourceArgs {
    /// RPC node: a URL, or mainnet, devnet, localhost. What follows the host is
    /// never shown.
    #[arg(long, global = true, value_name = "URL", env = "KEEPER_RPC_URL", hide_env_values = true)]
    pub rpc: Option<String>,
    /// Fork folder, or "builtin".
    #[arg(long, global = true, value_name = "DIR")]
    pub fork: Option<String>,
    /// The klend whose rules apply, such as 1.25; else what the source says, else the
    /// newest that is known.
    #[arg(long, global = true, value_name = "VERSION")]
    pub klend: Option<KlendVersion>,
    /// Longest the RPC node may take to answer; what fails is tried again.
    #[arg(
        long,
        global = true,
        value_name = "SECONDS",
        default_value_t = TIMEOUT.as_secs(),
        value_parser = clap::value_parser!(u64).range(1..=600)
    )]
    pub rpc_timeout: u64,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// A reserve: liquidity, rates, risk, addresses, borrow curve with today's point.
    Reserve {
        /// The reserve's address.
        reserve: Address,
        /// Also write the borrow curve to this file, as SVG.
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
    },
    /// A market and its reserves.
    Market {
        /// The market's address.
        #[arg(default_value = MAIN_MARKET)]
        market: Address,
        /// Also show what a running `watch` found of model and chain: where it serves its
        /// metrics.
        #[arg(long, value_name = "HOST:PORT")]
        at: Option<String>,
    },
    /// An obligation: health, positions, liquidation prices, LTV against price.
    Obligation {
        /// The obligation's address.
        obligation: Address,
        /// Also write LTV against the price of the largest deposit to this file,
        /// as SVG.
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
    },
    /// All obligations of a market with debt, the closest to liquidation first.
    Scan(ScanArgs),
    /// The best liquidation of an obligation.
    Quote {
        /// The obligation's address.
        obligation: Address,
        /// Whose swap authority and token accounts the route in the JSON names; a made-up
        /// keeper's unless told.
        #[arg(long, value_name = "ADDRESS")]
        keeper: Option<Address>,
        #[command(flatten)]
        terms: TermsArgs,
    },
    /// Liquidates an obligation with a flash loan: build, simulate, send, report.
    ///
    /// Simulates in a local virtual machine, on accounts and programs as they are
    /// now, and then on the node. On a fork there is no node and nothing is sent.
    Liquidate(LiquidateArgs),
    /// Liquidates a perp position on Drift or Velocity with a klend flash loan:
    /// health, quote, build, simulate, send, report. See docs/perps.md.
    ///
    /// Simulates in a local virtual machine, on accounts and programs as they are
    /// now. On a fork folder nothing is sent.
    Perp(PerpArgs),
    /// Watches a market and liquidates what becomes unhealthy, the most
    /// profitable first.
    ///
    /// Scans all obligations, then follows account updates, and values again only
    /// what an update can have made unhealthy. While the subscription is broken it
    /// polls; when it stands again, everything is read once more. Only simulates
    /// unless the configuration says send = true. SIGINT and SIGTERM let what is
    /// in flight end and begin nothing new; a second one ends at once. RUST_LOG
    /// chooses what is logged (default: keeper=info).
    Watch(WatchArgs),
    /// Runs the loop of `watch` over what another one recorded (`watch --record`).
    ///
    /// The same decisions at the same moments, without a node and as fast as this machine
    /// can; liquidations are simulated, and nothing is sent. Two replays write the same
    /// ledger, and the one of the recorded run if that sent nothing. With another
    /// configuration it shows what that would have done.
    Replay(ReplayArgs),
    /// What happened in a transaction, in words.
    Explain {
        /// A signature (needs --rpc), or a file with an answer of getTransaction.
        #[arg(value_name = "SIGNATURE|FILE")]
        transaction: String,
    },
    /// Token accounts and lookup tables for liquidations in a market. Shows the
    /// costs; does it with --yes.
    Setup(SetupArgs),
    /// Fetch what lies in the swap authority's token accounts, and their rent.
    Sweep(SweepArgs),
    /// Who liquidated in a market lately, how, and for how much; with the ledger of
    /// `watch`, what this keeper knew of it and what it lost to.
    Races(RacesArgs),
    /// Liquidates a whole market on paper: for each obligation, prices move in a local
    /// machine until klend lets it be liquidated, and the whole path is tried on it.
    Drill(DrillArgs),
    /// Turn wrapped SOL of the keeper into SOL for fees.
    Unwrap(UnwrapArgs),
    /// Turn cTokens that a liquidation could not redeem into tokens, as far as klend's
    /// vaults can pay now.
    Redeem(RedeemArgs),
    /// Whether a running `watch` is well: its loop, feed, node, key, tables, program
    /// and ledger. Fails when something is not.
    Status {
        /// Where it serves its metrics.
        #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9184")]
        at: String,
    },
    /// What the ledger of `watch` adds up to: how attempts ended, profit, costs.
    Report(ReportArgs),
    /// The deployed program that liquidations are signed for: its hash, and who may
    /// replace it.
    Program {
        /// Another program's address.
        program: Option<Address>,
    },
    /// Completions for a shell, to standard output.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Man pages: the main one to standard output, or all of them into a folder.
    Man {
        /// Folder for one page per command; must exist.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Recomputes what klend did and compares to the unit: refreshes of reserves and
    /// liquidations.
    ///
    /// A node knows accounts as they are, not as they were. So --blocks follows what
    /// happens from now on, and what is past has to be recorded: by --out, or by `watch`,
    /// which keeps what differs. Fails when model and klend differ.
    Verify(VerifyArgs),
    /// Writes a fork folder that --fork reads: accounts, programs with their code,
    /// a manifest with the slot. The folder appears when it is complete.
    Fork {
        /// Only this obligation's market, and no other obligation.
        #[arg(long, conflicts_with = "market", required_unless_present = "market")]
        obligation: Option<Address>,
        /// This market with all its obligations that have debt.
        #[arg(long)]
        market: Option<Address>,
        /// Folder to write; must not exist.
        #[arg(long, value_name = "DIR")]
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
    #[arg(long, value_name = "USD", default_value_t = 0.0)]
    pub min_debt: f64,
    /// Leave out health factors of this and more (1 = about to be liquidated).
    #[arg(long, value_name = "HEALTH")]
    pub below: Option<f64>,
    /// Leave out profits below this, US dollars; only what can be liquidated has
    /// one.
    #[arg(long, value_name = "USD")]
    pub min_profit: Option<f64>,
    /// Only obligations with a deposit in this reserve.
    #[arg(long, value_name = "RESERVE")]
    pub deposit: Option<Address>,
    /// Only obligations with a debt in this reserve.
    #[arg(long, value_name = "RESERVE")]
    pub borrow: Option<Address>,
    /// What selling the collateral is assumed to cost, bps of the oracle price.
    #[arg(long, value_name = "BPS", default_value_t = 30)]
    pub swap_cost_bps: u16,
    /// Highest flash-loan fee, bps.
    #[arg(long, value_name = "BPS", default_value_t = 10)]
    pub max_fee_bps: u16,
    /// A pool that collateral may be sold in; may be given several times. Obligations whose
    /// collateral none of them leads away from are marked and come last.
    #[arg(long = "pool", value_name = "POOL")]
    pub pools: Vec<Address>,
}

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

#[derive(Debug, Args)]
pub struct WatchArgs {
    /// Configuration file (TOML); without one, defaults and no sending.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Stop after the market was valued so many times.
    #[arg(long, value_name = "N")]
    pub passes: Option<u64>,
    /// Only read the configuration and say what is wrong with it.
    #[arg(long)]
    pub check: bool,
    /// Record what the loop is told in this new file, for `keeper replay`.
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// End the recording when the file is so large, MiB.
    #[arg(long, value_name = "MIB", requires = "record", default_value_t = 4_096)]
    pub record_limit: u64,
}

#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The recording.
    pub recording: PathBuf,
    /// Configuration of the run that recorded, or another one for the same markets; only
    /// what it says of the markets and of liquidating them counts.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Keep the ledger in this new file.
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct DrillArgs {
    /// The market's address.
    #[arg(default_value = MAIN_MARKET)]
    pub market: Address,
    #[command(flatten)]
    pub terms: TermsArgs,
    /// Leave out debts worth less, US dollars.
    #[arg(long, value_name = "USD", default_value_t = 1.0)]
    pub min_debt: f64,
    /// What has to be left after all costs, US dollars; with less, it is too small.
    #[arg(long, value_name = "USD", default_value_t = 0.0)]
    pub min_profit: f64,
    /// Price of SOL in US dollars, where the market has none.
    #[arg(long, value_name = "USD")]
    pub sol_usd: Option<f64>,
    /// Lookup table of the keeper; may be given several times. Without one, one is made for
    /// each transaction.
    #[arg(long = "table", value_name = "TABLE")]
    pub tables: Vec<Address>,
    /// Rows to print; JSON has them all.
    #[arg(long, default_value_t = 50)]
    pub limit: usize,
    /// Also draw profit against price fall, what sells and what does not, to this file, as
    /// SVG.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct RacesArgs {
    /// The market's address.
    #[arg(default_value = MAIN_MARKET)]
    pub market: Address,
    /// Look at the market's transactions of so many slots up to now.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub slots: u64,
    /// Transactions read at most.
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    pub most: usize,
    /// Read transactions from a folder instead: JSON files, each an answer of
    /// `getTransaction`, of whatever market.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["slots", "most"])]
    pub folder: Option<PathBuf>,
    /// The ledger of `watch`: adds what was tried here, and a table of what was lost to
    /// what by week.
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    Csv,
    Json,
}

#[derive(Debug, Args)]
pub struct ReportArgs {
    /// The ledger: what `ledger` names in the configuration of `watch`.
    #[arg(long, value_name = "FILE")]
    pub ledger: PathBuf,
    /// Only attempts since then: 24h, 7d, 2w, 2026-11-26 or "2026-11-26 08:00" (UTC).
    #[arg(long, value_name = "WHEN")]
    pub since: Option<String>,
    /// What attempts are put together by; by day, unless told otherwise.
    #[arg(long, value_enum)]
    pub by: Option<By>,
    /// Print every attempt with all its figures in place of the sums.
    #[arg(long, value_enum, value_name = "FORMAT", conflicts_with = "by")]
    pub export: Option<ExportFormat>,
    /// Also draw profit after every cost over time to this file, as SVG.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["folder", "blocks"])))]
pub struct VerifyArgs {
    /// A recorded case, or a folder of them.
    #[arg(value_name = "FOLDER")]
    pub folder: Option<PathBuf>,
    /// Follow the market for so many slots; needs --rpc.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub blocks: Option<u64>,
    /// The market to follow.
    #[arg(long, default_value = MAIN_MARKET, conflicts_with = "folder")]
    pub market: Address,
    /// Record every case in this folder.
    #[arg(long, value_name = "DIR", requires = "blocks")]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct SetupArgs {
    /// The market's address.
    #[arg(long, default_value = MAIN_MARKET)]
    pub market: Address,
    /// Only this reserve; may be given several times.
    #[arg(long = "reserve", value_name = "RESERVE")]
    pub reserves: Vec<Address>,
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

fn price_of_oracle(text: &str) -> Result<(Address, i64), String> {
    let (oracle, price) = text.split_once('=').ok_or("not of the form ORACLE=PRICE")?;
    let oracle = oracle.parse().map_err(|error| format!("{oracle}: {error}"))?;
    let price: i64 = price.parse().map_err(|error| format!("{price}: {error}"))?;
    if price <= 0 {
        return Err(format!("{price}: not a price"));
    }
    Ok((oracle, price))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_agrees_with_itself() {
        Cli::command().debug_assert();
    }

    /// Every command, argument and flag has a help text.
    #[test]
    fn everything_is_documented() {
        fn check(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for argument in command.get_arguments() {
                let id = argument.get_id();
                let is_documented =
                    argument.get_help().is_some() || id == "help" || id == "version";
                assert!(is_documented, "{} {id}", command.get_name());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }
}
