//! The model against the program, to the last unit.
//!
//! Thousands of seeded random positions are written as account bytes, refreshed
//! and liquidated by klend in the virtual machine, and computed by
//! `klend-model`. Every reserve number after its refresh, every obligation
//! number after its refresh, every error and every token moved must be equal.
//! The positions are made so that each reason to liquidate, each bonus rule,
//! each rounding and each kind of redemption occurs; a table of how often is
//! printed, and a branch that never occurs fails the test.
//!
//! `KLEND_ELF` chooses the program, and `KLEND_VERSION` says which klend that is;
//! otherwise it is the stand-in, which follows 1.25, or 1.26 where `KLEND_VERSION`
//! asks for that. The stand-in does not answer everything as klend does
//! (`compare::beyond_the_stand_in`).
//! `DIFFERENTIAL_CASES` sets the number of cases (default 3000),
//! `DIFFERENTIAL_SEED` the first seed.

mod compare;
mod generate;
mod machine;
mod rng;
mod world;

use compare::Run;
use klend_fork::{KLEND_VERSION, Programs};
use klend_model::version::KlendVersion;
use machine::Machine;
use rng::Rng;

/// Branches of a liquidation that a run of the default length must see.
const BRANCHES: [&str; 60] = [
    "reason: LTV exceeded",
    "reason: individual deleveraging",
    "reason: market-wide deleveraging",
    "reason: reserve debt maturity",
    "reason: debt term",
    "reason: order, condition 1",
    "reason: order, condition 2",
    "reason: order, condition 3",
    "reason: order, condition 4",
    "reason: order, condition 5",
    "reason: order, condition 6",
    "LTV bonus: minimum",
    "LTV bonus: maximum",
    "LTV bonus: excess LTV",
    "LTV bonus: capped by headroom",
    "LTV bonus: bad debt, configured",
    "LTV bonus: bad debt, headroom",
    "LTV bonus: bad debt, insolvent",
    "other bonus: by rule",
    "other bonus: capped by headroom",
    "repay: whole units",
    "repay: rounded up",
    "amount: limited by the request",
    "seizure: debt, part of the collateral for part of the debt",
    "seizure: debt, part of the collateral for all debt",
    "seizure: debt, all collateral for part of the debt",
    "seizure: small debt, part of the collateral for all debt",
    "seizure: small debt, all collateral for all debt",
    "redemption: full",
    "redemption: partial",
    "redemption: none",
    "redemption: last cToken rounded up",
    "redemption: last cToken rounded down",
    "fee: a share of the bonus",
    "fee: the minimum of one unit",
    "pair: one reserve",
    "flash loan: from the repay reserve",
    "flash loan: from the withdraw reserve",
    "obligation: in an elevation group",
    "obligation: every slot in use",
    "redemption: to the vault's last unit",
    "seizure: small debt, repaid for collateral worth less",
    "refused: 6015 LiquidationTooSmall",
    "refused: 6016 ObligationHealthy",
    "refused: 6064 WithdrawalCapReached",
    "refused: 6066 LiquidationRewardTooSmall",
    "refused: 6099 LiquidationBorrowFactorPriority",
    "refused: 6100 LiquidationLowestLiquidationLtvPriority",
    "refused: 6121 RepayTooSmallForFullLiquidation",
    "interest: 5 or more slots",
    "refused: 6028 NegativeInterestRate",
    "verified: interest",
    "verified: debt",
    "verified: fees",
    "verified: limits",
    "verified: health",
    "verified: reason",
    "verified: repayment",
    "verified: seizure",
    "verified: redemption",
];

/// Branches that exist from klend 1.24 on.
const BRANCHES_SINCE_1_24: [&str; 5] = [
    "rewards: by the cap",
    "rewards: by their rate",
    "rewards: the whole pot",
    "refused: 6175 ReserveEmergencyMode",
    "refused: 6183 MissingPermissioner",
];

/// Branches that exist from klend 1.25 on.
const BRANCHES_SINCE_1_25: [&str; 8] = [
    "interest: 0 seconds",
    "interest: 1 seconds",
    "interest: 2 seconds",
    "interest: 3 seconds",
    "interest: 4 seconds",
    "interest: 5 or more seconds",
    "interest: seconds, clock went back",
    "interest: seconds, time unknown",
];

/// Status bits of a price that a run of the default length must see.
const PRICES: [&str; 5] = [
    "price status 100001",
    "price status 101111",
    "price status 110011",
    "price status 111101",
    "price status 111111",
];

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| {
        text.parse().unwrap_or_else(|error| panic!("{variable}={text}: {error}"))
    })
}

/// The version of the program under test: what `KLEND_VERSION` says, of the
/// stand-in one of the two that it can follow.
fn version() -> KlendVersion {
    let named = std::env::var(KLEND_VERSION).ok().filter(|named| !named.is_empty());
    let Some(named) = named.filter(|_| Programs::klend_is_stand_in()) else {
        return Programs::klend_version().unwrap_or_else(|error| panic!("{error}"));
    };
    match named.parse().unwrap_or_else(|error| panic!("{error}")) {
        version @ (KlendVersion::V1_25 | KlendVersion::V1_26) => version,
        other => panic!("the stand-in follows klend 1.25 or 1.26, not {other}: set KLEND_ELF"),
    }
}

#[test]
fn the_model_reads_prices_as_the_program_does() {
    let mut machine = Machine::new();
    let (first, cases) = (number("DIFFERENTIAL_SEED", 1), number("DIFFERENTIAL_CASES", 3000));
    let mut run = Run::new(&mut machine, version());
    // The stand-in reads Scope only.
    let kinds = if Programs::klend_is_stand_in() { 1..=1 } else { 0..=7 };
    for seed in first..first + cases {
        let world = generate::oracles(&mut Rng(seed), kinds.clone());
        run.begin(seed, format!("{:?}", world.oracle_kinds()));
        run.price(&world);
    }
    run.report(first, cases, &PRICES);
}

#[test]
fn the_model_agrees_with_the_program_to_the_unit() {
    let mut machine = Machine::new();
    let (first, cases) = (number("DIFFERENTIAL_SEED", 1), number("DIFFERENTIAL_CASES", 3000));
    let version = version();
    let mut run = Run::new(&mut machine, version);
    for seed in first..first + cases {
        let (aim, mut world, ask) = generate::case(&mut Rng(seed));
        world.ask_stand_in_for(version);
        run.begin(seed, format!("{aim:?}"));
        run.case(&world, &ask);
    }
    let mut branches = BRANCHES.to_vec();
    if version >= KlendVersion::V1_24 {
        branches.extend(BRANCHES_SINCE_1_24);
    }
    if version >= KlendVersion::V1_25 {
        branches.extend(BRANCHES_SINCE_1_25);
    }
    if version >= KlendVersion::V1_26 {
        // Only orders counted towards the caps of withdrawals.
        branches.retain(|branch| !branch.starts_with("reason: order") && !branch.contains("6064"));
    }
    run.report(first, cases, &branches);
}
