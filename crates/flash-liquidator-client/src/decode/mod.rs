//! What became of a transaction: events, costs, and why it failed.
//!
//! Give [`decode`] what an RPC node or a simulation reports, and read the
//! [`Outcome`]. Two failures are everyday life of a keeper and no faults:
//! [`Outcome::LostRace`], when somebody else liquidated first, and
//! [`Outcome::HealthyAgain`], when the position recovered. A failed transaction
//! alone cannot always tell them apart (klend's answer is 6016 to both); the
//! obligation before and after can, see [`Witness`].

use anchor_lang::{AnchorDeserialize, Discriminator};
use flash_liquidator::{FlashLiquidatorError, Liquidated, Settled};
use klend_interface::state::Obligation;
use klend_model::{
    errors::{Code, KlendError},
    keys,
};
use solana_address::Address;
use solana_instruction::error::InstructionError;
use solana_transaction_error::TransactionError;

use crate::{
    klend, receiver,
    token::{TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID},
};

mod cause;
mod jupiter;
mod logs;
mod venue;

pub use cause::{Cause, Explanation, receiver_error};
pub use logs::{AnchorLog, Call, Logs};
pub use venue::{Advice, Refusal, refusal};

/// A transaction as it was executed or simulated.
#[derive(Clone, Copy, Debug)]
pub struct Executed<'a> {
    /// Its error, if it failed.
    pub error: Option<&'a TransactionError>,
    /// Its log lines.
    pub logs: &'a [String],
    /// Programs of its top-level instructions, in order; may be empty if they
    /// are not known. They attribute an error when the logs are incomplete.
    pub programs: &'a [Address],
}

/// The obligation at two moments, to tell a lost race from a recovery.
#[derive(Clone, Copy, Debug)]
pub struct Witness<'a> {
    /// The account that the transaction was built on.
    pub before: &'a Obligation,
    /// The account after the failure; `None` when it is gone.
    pub after: Option<&'a Obligation>,
}

/// An event of this project's program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An obligation was liquidated.
    Liquidated(Box<Liquidated>),
    /// A bracket was settled.
    Settled(Box<Settled>),
}

/// A failure and where it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Top-level instruction that failed; `None` when the whole transaction was
    /// refused.
    pub instruction: Option<u8>,
    /// Why.
    pub cause: Cause,
}

/// How a transaction ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was executed.
    Succeeded,
    /// Somebody else liquidated first.
    LostRace(Failure),
    /// The position is not liquidatable any more, without anybody's liquidation
    /// being known.
    HealthyAgain(Failure),
    /// It failed for another reason.
    Failed(Failure),
}

impl Outcome {
    /// How a failure counts. `witness` decides between a lost race and a
    /// recovery, as in [`decode`].
    #[must_use]
    pub fn of(failure: Failure, witness: Option<Witness<'_>>) -> Self {
        classify(failure, witness)
    }

    /// The failure, whatever its kind.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Succeeded => None,
            Self::LostRace(failure) | Self::HealthyAgain(failure) | Self::Failed(failure) => {
                Some(failure)
            }
        }
    }
}

/// A decoded transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// How it ended.
    pub outcome: Outcome,
    /// Events of this project's program, in order. A failed transaction has
    /// none that count.
    pub events: Vec<Event>,
    /// What the logs say.
    pub logs: Logs,
}

/// Reads what was reported about a transaction.
///
/// `witness` decides between a lost race and a recovery. Without it, a vanished
/// debt or collateral counts as a lost race, and klend's `ObligationHealthy` as
/// a recovery.
#[must_use]
pub fn decode(executed: &Executed<'_>, witness: Option<Witness<'_>>) -> Decoded {
    let logs = Logs::read(executed.logs);
    let (outcome, events) = match executed.error {
        None => (Outcome::Succeeded, events(&logs)),
        Some(error) => {
            let failure = failure(error, &logs, executed.programs);
            (Outcome::of(failure, witness), Vec::new())
        }
    };
    Decoded { outcome, events, logs }
}

/// Events of this project's program among logged data; what other programs log
/// in the same form is not an event.
fn events(logs: &Logs) -> Vec<Event> {
    logs.data
        .iter()
        .filter(|(program, _)| *program == receiver::PROGRAM_ID)
        .filter_map(|(_, data)| event(data))
        .collect()
}

/// An event of this project's program from the data it logged; `None` if it is
/// not one, to the last byte.
#[must_use]
pub fn event(data: &[u8]) -> Option<Event> {
    fn body<T: AnchorDeserialize + Discriminator>(data: &[u8]) -> Option<Box<T>> {
        let mut rest = data.strip_prefix(T::DISCRIMINATOR)?;
        let event = T::deserialize(&mut rest).ok()?;
        rest.is_empty().then(|| Box::new(event))
    }
    body(data).map(Event::Liquidated).or_else(|| body(data).map(Event::Settled))
}

fn failure(error: &TransactionError, logs: &Logs, programs: &[Address]) -> Failure {
    let TransactionError::InstructionError(index, error) = error else {
        return Failure { instruction: None, cause: Cause::Transaction(error.clone()) };
    };
    let top_level = programs
        .get(usize::from(*index))
        .copied()
        .or_else(|| logs.calls.get(usize::from(*index)).map(|call| call.program));
    let cause = match error {
        InstructionError::Custom(code) => custom(*code, logs, top_level),
        InstructionError::ComputationalBudgetExceeded => Cause::OutOfComputeUnits,
        _ if logs.out_of_units => Cause::OutOfComputeUnits,
        error => {
            Cause::Instruction { program: logs.failed_program.or(top_level), error: error.clone() }
        }
    };
    Failure { instruction: Some(*index), cause }
}

/// Attributes a number to the program that returned it. Without logs, the ranges
/// of this project's program and of klend, which do not overlap, decide below a
/// top-level instruction of either.
fn custom(code: u32, logs: &Logs, top_level: Option<Address>) -> Cause {
    let program = logs.failed_program;
    let origin = program.or(top_level);
    let is_ours = origin == Some(receiver::PROGRAM_ID);
    let is_klend = origin == Some(klend::PROGRAM_ID) || (program.is_none() && is_ours);
    if is_ours && let Some(error) = receiver_error(code) {
        let compared = logs.anchor_error.as_ref().filter(|log| log.number == code);
        let compared = compared.and_then(|log| log.compared);
        return match (error, compared) {
            (FlashLiquidatorError::ProfitBelowMinimum, Some((profit, min_profit))) => {
                Cause::Unprofitable { profit, min_profit }
            }
            _ => Cause::Receiver(error),
        };
    }
    if is_klend && let Some(error) = KlendError::from_code(code) {
        return Cause::Klend(error);
    }
    match origin {
        Some(id) if id == TOKEN_PROGRAM_ID || id == TOKEN_2022_PROGRAM_ID => {
            return Cause::Token { code, name: cause::token_name(code) };
        }
        Some(id) if id == solana_sdk_ids::system_program::ID => {
            return Cause::System { code, name: cause::system_name(code) };
        }
        _ => {}
    }
    let log = logs.anchor_error.clone().filter(|log| log.number == code);
    match cause::anchor_name(code) {
        Some(name) if log.is_some() || is_ours || is_klend => {
            Cause::Anchor { program: origin, code, name }
        }
        _ => Cause::Program { program: origin, code, log },
    }
}

/// Sorts out the failures that mean "there is nothing to liquidate any more".
fn classify(failure: Failure, witness: Option<Witness<'_>>) -> Outcome {
    let error = match &failure.cause {
        Cause::Klend(error) => *error,
        // An account that is gone does not reach klend's own checks.
        Cause::Anchor { program: Some(klend::PROGRAM_ID), code, .. }
            if is_missing_account(*code)
                && witness.is_some_and(|witness| witness.after.is_none()) =>
        {
            return Outcome::LostRace(failure);
        }
        // What was seized before leaves less to seize.
        Cause::Receiver(FlashLiquidatorError::CollateralBelowMinimum)
            if witness.as_ref().is_some_and(was_seized) =>
        {
            return Outcome::LostRace(failure);
        }
        _ => return Outcome::Failed(failure),
    };
    let Some(code) = error.lending_error() else { return Outcome::Failed(failure) };
    let vanished = matches!(
        code,
        Code::ObligationDepositsEmpty
            | Code::ObligationBorrowsEmpty
            | Code::ObligationDepositsZero
            | Code::ObligationBorrowsZero
            | Code::InvalidObligationCollateral
            | Code::InvalidObligationLiquidity
            | Code::ObligationCollateralEmpty
            | Code::ObligationLiquidityEmpty
    );
    let healthy = matches!(code, Code::ObligationHealthy);
    let changed = matches!(
        code,
        // The account lists no longer fit the obligation, or what is left of it
        // is ranked differently.
        Code::InvalidAccountInput
            | Code::LiquidationTooSmall
            | Code::LiquidationBorrowFactorPriority
            | Code::LiquidationLowestLiquidationLtvPriority
            | Code::RepayTooSmallForFullLiquidation
    );
    match witness {
        Some(witness) if (vanished || healthy || changed) && was_seized(&witness) => {
            Outcome::LostRace(failure)
        }
        Some(_) if vanished || healthy => Outcome::HealthyAgain(failure),
        None if vanished => Outcome::LostRace(failure),
        None if healthy => Outcome::HealthyAgain(failure),
        _ => Outcome::Failed(failure),
    }
}

/// Anchor's answers to an account that does not exist.
fn is_missing_account(code: u32) -> bool {
    use anchor_lang::error::ErrorCode as E;
    [E::AccountNotInitialized, E::AccountOwnedByWrongProgram, E::AccountDiscriminatorNotFound]
        .into_iter()
        .any(|known| u32::from(known) == code)
}

/// Whether collateral left the obligation together with debt. Its owner cannot
/// withdraw from an obligation that is unhealthy, so it was a liquidator.
fn was_seized(witness: &Witness<'_>) -> bool {
    let before = witness.before;
    let Some(after) = witness.after else {
        // An account is closed once its last deposit is gone.
        return true;
    };
    before.deposits.iter().filter(|deposit| keys::is_set(&deposit.deposit_reserve)).any(|deposit| {
        let left: u64 = after
            .deposits
            .iter()
            .filter(|left| left.deposit_reserve == deposit.deposit_reserve)
            .map(|left| left.deposited_amount)
            .sum();
        left < deposit.deposited_amount
    })
}

#[cfg(test)]
mod tests {
    use anchor_lang::Event as _;
    use bytemuck::Zeroable;
    use klend_model::keys::to_v2;

    use super::*;

    fn key(byte: u8) -> Address {
        Address::new_from_array([byte; 32])
    }

    fn liquidated() -> Liquidated {
        Liquidated {
            keeper: key(1),
            obligation: key(2),
            lending_market: key(3),
            repay_reserve: key(4),
            withdraw_reserve: key(5),
            flash_reserve: key(6),
            debt_mint: key(7),
            collateral_mint: key(8),
            flash_loan: 9,
            flash_fee: 10,
            debt_repaid: 11,
            collateral_received: 12,
            protocol_fee: 13,
            ctokens_received: 14,
            collateral_sold: 15,
            swap_proceeds: 16,
            profit: -17,
            min_profit: -18,
        }
    }

    fn emitted(program: &Address, data: &[u8]) -> Vec<String> {
        use base64::{Engine, engine::general_purpose::STANDARD};
        vec![
            format!("Program {program} invoke [1]"),
            format!("Program data: {}", STANDARD.encode(data)),
            format!("Program {program} success"),
        ]
    }

    fn failing(programs: &[Address], code: u32) -> (TransactionError, Vec<String>) {
        let mut logs: Vec<_> = programs
            .iter()
            .enumerate()
            .map(|(depth, program)| format!("Program {program} invoke [{}]", depth + 1))
            .collect();
        logs.extend(
            programs.iter().rev().map(|program| {
                format!("Program {program} failed: custom program error: {code:#x}")
            }),
        );
        (TransactionError::InstructionError(0, InstructionError::Custom(code)), logs)
    }

    fn cause_of(programs: &[Address], code: u32) -> Cause {
        let (error, logs) = failing(programs, code);
        let executed = Executed { error: Some(&error), logs: &logs, programs: &[] };
        decode(&executed, None).outcome.failure().unwrap().cause.clone()
    }

    #[test]
    fn our_events_are_read_and_nobody_elses() {
        let event = liquidated();
        let data = event.data();
        let logs = emitted(&receiver::PROGRAM_ID, &data);
        let decoded = decode(&Executed { error: None, logs: &logs, programs: &[] }, None);
        assert_eq!(decoded.outcome, Outcome::Succeeded);
        assert_eq!(decoded.events, [Event::Liquidated(Box::new(event))]);

        let logs = emitted(&key(99), &data);
        let forged = decode(&Executed { error: None, logs: &logs, programs: &[] }, None);
        assert_eq!(forged.events, []);
        assert_eq!(super::event(&[&data[..], &[0]].concat()), None);
        assert_eq!(super::event(&data[..data.len() - 1]), None);
    }

    #[test]
    fn a_failed_transaction_has_no_events() {
        let mut logs = emitted(&receiver::PROGRAM_ID, &liquidated().data());
        let (error, failed) = failing(&[klend::PROGRAM_ID], 6033);
        logs.extend(failed);
        let decoded = decode(&Executed { error: Some(&error), logs: &logs, programs: &[] }, None);
        assert_eq!(decoded.events, []);
    }

    #[test]
    fn numbers_belong_to_the_program_that_returned_them() {
        let ours = receiver::PROGRAM_ID;
        let swap = key(42);
        assert_eq!(cause_of(&[ours], 7037), Cause::Receiver(receiver_error(7037).unwrap()));
        assert_eq!(
            cause_of(&[ours, klend::PROGRAM_ID], 6099),
            Cause::Klend(KlendError::from_code(6099).unwrap())
        );
        // A swap's 6016 is not klend's, and its 7010 is not ours.
        assert_eq!(
            cause_of(&[ours, swap], 6016),
            Cause::Program { program: Some(swap), code: 6016, log: None }
        );
        assert_eq!(
            cause_of(&[ours, swap], 7010),
            Cause::Program { program: Some(swap), code: 7010, log: None }
        );
        assert_eq!(
            cause_of(&[ours, TOKEN_PROGRAM_ID], 1),
            Cause::Token { code: 1, name: "InsufficientFunds" }
        );
        assert_eq!(
            cause_of(&[solana_sdk_ids::system_program::ID], 1),
            Cause::System { code: 1, name: "ResultWithNegativeLamports" }
        );
        assert_eq!(
            cause_of(&[ours], 3012),
            Cause::Anchor { program: Some(ours), code: 3012, name: "AccountNotInitialized" }
        );
    }

    /// Sell less, quote again, not open yet: by venue and number, and nobody else's.
    #[test]
    fn venues_numbers_say_what_helps() {
        use crate::swap::{meteora_dlmm, raydium_amm, raydium_cpmm, whirlpool};
        let words = |program, code| cause_of(&[receiver::PROGRAM_ID, program], code).explain();
        let moved = words(whirlpool::PROGRAM_ID, 6036);
        assert_eq!(moved.title, "Orca Whirlpool 6036 AmountOutBelowMinimum");
        assert_eq!(moved.hint, "Quote again.");
        assert!(words(whirlpool::IMMUTABLE_PROGRAM_ID, 6038).hint.contains("Sell less"));
        assert!(words(raydium_cpmm::PROGRAM_ID, 6000).sentence.contains("not open yet"));
        assert!(words(raydium_amm::PROGRAM_ID, 22).sentence.contains("not open yet"));
        assert!(words(meteora_dlmm::PROGRAM_ID, 3005).hint.contains("build the leg again"));
        assert_eq!(words(whirlpool::PROGRAM_ID, 6005).title, "program error 6005");
        assert_eq!(words(key(42), 6036).title, "program error 6036");
    }

    #[test]
    fn a_profit_that_is_too_small_says_by_how_much() {
        let (error, mut logs) = failing(&[receiver::PROGRAM_ID], 7037);
        let text = "AnchorError occurred. Error Code: ProfitBelowMinimum. Error Number: 7037. \
                    Error Message: the profit is below the minimum.";
        for (n, line) in [text, "Left: -5", "Right: 100"].into_iter().enumerate() {
            logs.insert(1 + n, format!("Program log: {line}"));
        }
        let executed = Executed { error: Some(&error), logs: &logs, programs: &[] };
        let outcome = decode(&executed, None).outcome;
        let failure = outcome.failure().unwrap();
        assert_eq!(failure.cause, Cause::Unprofitable { profit: -5, min_profit: 100 });
        assert_eq!(failure.cause.code(), Some(7037));
        let words = failure.cause.explain();
        assert!(words.sentence.contains("a loss of 5, 105 short of the least of 100"), "{words}");
        assert!(words.title.contains("7037 ProfitBelowMinimum") && words.hint.len() > 6);
    }

    #[test]
    fn jupiters_numbers_have_names_and_nobody_elses() {
        let jupiter = crate::swap::jupiter::PROGRAM_ID;
        let words = |program, code| cause_of(&[receiver::PROGRAM_ID, program], code).explain();
        assert_eq!(words(jupiter, 6001).title, "Jupiter 6001 SlippageToleranceExceeded");
        assert!(words(jupiter, 6025).hint.contains("Create"));
        assert_eq!(words(jupiter, 6400).title, "program error 6400");
        assert_eq!(words(key(42), 6001).title, "program error 6001");
    }

    #[test]
    fn without_logs_the_ranges_decide() {
        let error = TransactionError::InstructionError(1, InstructionError::Custom(6016));
        let programs = [key(1), receiver::PROGRAM_ID];
        let decoded =
            decode(&Executed { error: Some(&error), logs: &[], programs: &programs }, None);
        let Outcome::HealthyAgain(failure) = decoded.outcome else { panic!("{decoded:?}") };
        assert_eq!(failure.instruction, Some(1));
        assert_eq!(failure.cause.code(), Some(6016));

        let programs = [key(1), key(2)];
        let decoded =
            decode(&Executed { error: Some(&error), logs: &[], programs: &programs }, None);
        assert!(matches!(decoded.outcome, Outcome::Failed(_)), "{decoded:?}");
    }

    fn position(ctokens: u64) -> Obligation {
        let mut obligation = Obligation::zeroed();
        obligation.deposits[2].deposit_reserve = to_v2(&key(1));
        obligation.deposits[2].deposited_amount = ctokens;
        obligation
    }

    #[test]
    fn seized_collateral_tells_a_lost_race_from_a_recovery() {
        let (error, logs) = failing(&[receiver::PROGRAM_ID, klend::PROGRAM_ID], 6016);
        let executed = Executed { error: Some(&error), logs: &logs, programs: &[] };
        let before = position(100);
        let outcome = |after: Option<&Obligation>| {
            decode(&executed, Some(Witness { before: &before, after })).outcome
        };
        assert!(matches!(outcome(Some(&position(99))), Outcome::LostRace(_)));
        assert!(matches!(outcome(None), Outcome::LostRace(_)));
        assert!(matches!(outcome(Some(&position(100))), Outcome::HealthyAgain(_)));
        assert!(matches!(outcome(Some(&position(150))), Outcome::HealthyAgain(_)));
    }

    #[test]
    fn a_fault_stays_a_fault_whoever_was_faster() {
        let (error, logs) = failing(&[receiver::PROGRAM_ID], 7037);
        let executed = Executed { error: Some(&error), logs: &logs, programs: &[] };
        let (before, after) = (position(100), position(1));
        let decoded = decode(&executed, Some(Witness { before: &before, after: Some(&after) }));
        assert!(matches!(decoded.outcome, Outcome::Failed(_)), "{decoded:?}");
    }

    #[test]
    fn less_collateral_after_a_seizure_is_a_lost_race() {
        let (error, logs) = failing(&[receiver::PROGRAM_ID], 7036);
        let executed = Executed { error: Some(&error), logs: &logs, programs: &[] };
        let before = position(100);
        let outcome = |after: &Obligation| {
            decode(&executed, Some(Witness { before: &before, after: Some(after) })).outcome
        };
        assert!(matches!(outcome(&position(99)), Outcome::LostRace(_)));
        assert!(matches!(outcome(&position(100)), Outcome::Failed(_)));
    }

    #[test]
    fn what_never_ran_is_explained_too() {
        let error = TransactionError::BlockhashNotFound;
        let decoded = decode(&Executed { error: Some(&error), logs: &[], programs: &[] }, None);
        let Outcome::Failed(failure) = decoded.outcome else { panic!("{decoded:?}") };
        assert_eq!(failure.instruction, None);
        assert!(failure.cause.explain().hint.contains("fresh"), "{failure:?}");
    }

    #[test]
    fn exhausted_units_are_told_from_an_abort() {
        let programs = [receiver::PROGRAM_ID];
        let aborted = InstructionError::ProgramFailedToComplete;
        let error = TransactionError::InstructionError(0, aborted.clone());
        let cause = |text: &str| {
            let logs = [
                format!("Program {} invoke [1]", programs[0]),
                format!("Program {} failed: {text}", programs[0]),
            ];
            let executed = Executed { error: Some(&error), logs: &logs, programs: &programs };
            decode(&executed, None).outcome.failure().unwrap().cause.clone()
        };
        assert_eq!(cause("exceeded CUs meter at BPF instruction"), Cause::OutOfComputeUnits);
        assert_eq!(
            cause("Access violation in unknown section"),
            Cause::Instruction { program: Some(programs[0]), error: aborted }
        );
    }
}
