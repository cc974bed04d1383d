//! The program's reader of arguments, against what Anchor writes.

use anchor_lang::{AnchorDeserialize, AnchorSerialize};
use flash_liquidator::{
    LiquidateArgs, OpenArgs,
    entrypoint::{LIQUIDATE, OPEN, process_instruction},
};

/// Data of an instruction.
pub fn run(bytes: &[u8]) {
    // Without accounts nothing gets through.
    process_instruction(&flash_liquidator::ID, &[], bytes).expect_err("no accounts");
    match bytes.split_first_chunk() {
        Some((&LIQUIDATE, args)) => assert_round_trip::<LiquidateArgs>(args),
        Some((&OPEN, args)) => assert_round_trip::<OpenArgs>(args),
        _ => {}
    }
}

fn assert_round_trip<T: AnchorDeserialize + AnchorSerialize>(bytes: &[u8]) {
    if let Ok(args) = T::try_from_slice(bytes) {
        let written = anchor_lang::prelude::borsh::to_vec(&args).expect("memory");
        assert_eq!(written, bytes, "what was read is not what was there");
    }
}
