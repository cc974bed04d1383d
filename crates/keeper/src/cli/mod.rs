//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use klend_model::version::KlendVersion;
use solana_address::Address;

use crate::feeds::source::TIMEOUT;

mod act;
mod look;
mod run;
mod selling;
mod terms;

pub use act::{JupiterArgs, LiquidateArgs, PerpArgs, RedeemArgs, SetupArgs, SweepArgs, UnwrapArgs};
pub use look::{
    DrillArgs, ExportFormat, RacesArgs, ReportArgs, ScanArgs, Sort, VenuesArgs, VerifyArgs,
};
pub use run::{ReplayArgs, WatchArgs};
pub use selling::{AggregatorArgs, DiscoverArgs, PER_PAIR, VIA, usual_via};
pub use terms::{ProgramArgs, SignerArgs, TermsArgs};

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
    /// never shown. Several, after commas or each with its own --rpc, stand in for each
    /// other, the first one first.
    #[arg(
        long,
        global = true,
        value_name = "URL",
        value_delimiter = ',',
        env = "KEEPER_RPC_URL",
        hide_env_values = true
    )]
    pub rpc: Vec<String>,
    /// Fork folder, or "builtin".
    #[arg(long, global = true, value_name = "DIR")]
    pub fork: Option<String>,
    /// The klend whose rules apply, such as 1.25; else what the source says, else the
    /// newest that mainnet was seen to run.
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
        #[command(flatten)]
        aggregator: AggregatorArgs,
    },
    /// The pools that sell one reserve's token for another's, the best first, and those
    /// that cannot be sold in, with the reason.
    ///
    /// Asks the node for each venue's pools of the pair; on a folder, looks through its
    /// accounts.
    Venues(VenuesArgs),
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
