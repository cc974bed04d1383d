//! The client's reader of logs and events.

use flash_liquidator_client::{
    decode::{Executed, Logs, decode, event},
    receiver,
};
use solana_instruction::error::InstructionError;
use solana_transaction_error::TransactionError;

/// An event's bytes, or an error number of four bytes and log lines.
pub fn run(bytes: &[u8]) {
    // Whatever it says.
    let _ = event(bytes);
    let Some((number, text)) = bytes.split_first_chunk() else { return };
    let lines: Vec<String> = String::from_utf8_lossy(text).split('\n').map(str::to_owned).collect();
    let number = u32::from_le_bytes(*number);
    let index = (number % 7) as u8;
    for error in [
        InstructionError::Custom(number),
        InstructionError::ComputationalBudgetExceeded,
        InstructionError::ProgramFailedToComplete,
    ] {
        let error = TransactionError::InstructionError(index, error);
        let programs = [receiver::PROGRAM_ID];
        let executed = Executed { error: Some(&error), logs: &lines, programs: &programs };
        let decoded = decode(&executed, None);
        let cause = &decoded.outcome.failure().expect("a failure").cause;
        assert!(!cause.explain().sentence.is_empty(), "{cause:?}");
    }
    let decoded = decode(&Executed { error: None, logs: &lines, programs: &[] }, None);
    assert!(decoded.outcome.failure().is_none());
    assert_eq!(decoded.logs, Logs::read(&lines));
}
