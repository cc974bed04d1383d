//! What the demo shows.

use std::fmt::{self, Display, Formatter};

use comfy_table::{CellAlignment, Table, presets::UTF8_FULL_CONDENSED};
use owo_colors::{OwoColorize, Stream::Stdout};
use serde::Serialize;

/// A token amount.
#[derive(Debug, Serialize)]
pub struct Amount {
    /// Raw units.
    pub units: u64,
    /// Decimals of the mint.
    pub decimals: u8,
    /// Symbol of the reserve.
    pub symbol: String,
    /// Worth at the oracle's price when it was shown, USD.
    pub usd: f64,
}

impl Display for Amount {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        let one = 10u64.pow(self.decimals.into());
        let (whole, part) = (self.units / one, self.units % one);
        write!(f, "{whole}.{part:0width$} {}", self.symbol, width = usize::from(self.decimals))
    }
}

/// An obligation as klend's refresh left it.
#[derive(Debug, Serialize)]
pub struct Obligation {
    /// Value of the deposits, USD.
    pub deposited_usd: f64,
    /// Value of the debts, USD.
    pub borrowed_usd: f64,
    /// Debt (borrow-factor adjusted) over deposits.
    pub ltv: f64,
    /// LTV from which it may be liquidated.
    pub liquidation_ltv: f64,
    /// Whether it may be.
    pub liquidatable: bool,
}

/// One step of the scenario and the obligation after it.
#[derive(Debug, Serialize)]
pub struct Step {
    /// What happened.
    pub what: String,
    /// The obligation then.
    pub obligation: Obligation,
}

/// One instruction of the transaction.
#[derive(Debug, Serialize)]
pub struct InstructionRow {
    /// Program and instruction.
    pub name: String,
    /// What it used; none is logged for built-in programs.
    pub compute_units: Option<u64>,
}

/// The whole story.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The obligation, step by step.
    pub steps: Vec<Step>,
    /// Keeper that liquidated.
    pub keeper: String,
    /// Obligation that was liquidated.
    pub obligation: String,
    /// Principal.
    pub flash_loan: Amount,
    /// klend's flash fee.
    pub flash_fee: Amount,
    /// Debt repaid.
    pub debt_repaid: Amount,
    /// Collateral after klend's fee.
    pub collateral_received: Amount,
    /// klend's protocol fee.
    pub protocol_fee: Amount,
    /// cTokens that could not be redeemed, raw units.
    pub ctokens_received: u64,
    /// Collateral the swap took.
    pub collateral_sold: Amount,
    /// What the swap paid.
    pub swap_proceeds: Amount,
    /// What the keeper's account grew by after the loan was repaid.
    pub profit: Amount,
    /// The transaction's instructions.
    pub instructions: Vec<InstructionRow>,
    /// Compute units of the transaction.
    pub compute_units: u64,
    /// Bytes of the signed transaction.
    pub transaction_bytes: usize,
    /// Bytes that fit.
    pub transaction_limit: usize,
    /// Accounts the fork lacked and that were rebuilt.
    pub rebuilt: Vec<String>,
}

fn percent(ratio: f64) -> String {
    format!("{:.2} %", ratio * 100.0)
}

fn table(header: &[&str], right_from: usize) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).set_header(header);
    for column in table.column_iter_mut().skip(right_from) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        let heading = |text: &str| text.if_supports_color(Stdout, |text| text.bold()).to_string();
        for account in &self.rebuilt {
            writeln!(f, "rebuilt: {account}")?;
        }

        writeln!(f, "{}", heading(&format!("Obligation {}", self.obligation)))?;
        for (number, step) in (1..).zip(&self.steps) {
            writeln!(f, "  {number}. {}", step.what)?;
        }
        let mut obligation =
            table(&["after", "deposited USD", "borrowed USD", "LTV", "limit", "state"], 1);
        for (number, Step { obligation: state, .. }) in (1..).zip(&self.steps) {
            let verdict = if state.liquidatable { "liquidatable" } else { "healthy" };
            obligation.add_row([
                format!("step {number}"),
                format!("{:.2}", state.deposited_usd),
                format!("{:.2}", state.borrowed_usd),
                percent(state.ltv),
                percent(state.liquidation_ltv),
                verdict.to_owned(),
            ]);
        }
        writeln!(f, "{obligation}\n")?;

        writeln!(f, "{}", heading("Money"))?;
        let mut money = table(&["what", "amount", "USD"], 1);
        for (what, amount) in [
            ("flash loan", &self.flash_loan),
            ("flash fee", &self.flash_fee),
            ("debt repaid", &self.debt_repaid),
            ("collateral received", &self.collateral_received),
            ("protocol fee", &self.protocol_fee),
            ("collateral sold", &self.collateral_sold),
            ("swap proceeds", &self.swap_proceeds),
            ("profit", &self.profit),
        ] {
            money.add_row([what.to_owned(), amount.to_string(), format!("{:.2}", amount.usd)]);
        }
        writeln!(f, "{money}")?;
        if self.ctokens_received > 0 {
            writeln!(f, "cTokens left with the keeper: {} units", self.ctokens_received)?;
        }

        writeln!(f, "\n{}", heading("Transaction"))?;
        let mut instructions = table(&["instruction", "compute units"], 1);
        for row in &self.instructions {
            let units = row.compute_units.map_or("-".to_owned(), |units| units.to_string());
            instructions.add_row([row.name.clone(), units]);
        }
        instructions.add_row(["whole transaction".to_owned(), self.compute_units.to_string()]);
        writeln!(f, "{instructions}")?;
        writeln!(
            f,
            "{} of {} bytes, signed by {}",
            self.transaction_bytes, self.transaction_limit, self.keeper
        )?;
        let profit = format!("profit {} ({:.2} USD)", self.profit, self.profit.usd);
        writeln!(f, "{}", profit.if_supports_color(Stdout, |text| text.green()))
    }
}
