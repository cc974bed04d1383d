//! What the stand-in answers, case by case, against what klend answered.
//!
//! When `KLEND_ELF` (and, for farms, `FARMS_ELF`) name the real programs, every
//! case also runs on them, and `KLEND_VERSION` says which klend that is. On the
//! version that the stand-in follows, 1.25, the outcome must be the same and both
//! must leave the same bytes in every account. On an older one the outcome must
//! be the same, except in cases about what came with 1.25: interest has other
//! last digits there, and nothing writes the time.
//!
//! The expected outcomes were recorded from klend 1.16; those about newer rules
//! (`newer`) are what its later source says.
//!
//! Needs the fork folder beside the checkout and says so when it is absent.

mod arbitrary;
#[path = "../common/mod.rs"]
mod common;
mod entries;
mod faults;
mod flash_loans;
mod liquidations;
mod mutations;
mod newer;
mod offsets;
mod positions;
mod refreshes;
mod several;
mod switches;
mod twins;

use common::{
    Outcome::{Custom, Done, Failed},
    *,
};
use offsets::*;
use solana_instruction::error::InstructionError;
use solana_instruction_v2::Instruction;
use solana_pubkey_v2::Pubkey;
use twins::*;

const SOL: &Pubkey = &SOL_RESERVE;
const USDC: &Pubkey = &USDC_RESERVE;
const JITOSOL: &Pubkey = &JITOSOL_RESERVE;

/// Lamports per SOL.
const LAMPORTS: u64 = 1_000_000_000;
/// Units per USDC.
const USDC_UNITS: u64 = 1_000_000;
