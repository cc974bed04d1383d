//! What instructions will use of compute units, before anybody runs them.
//!
//! An [`Estimate`] is a range. Its lower end is below all that klend and the
//! receiver used in this project's tests, so that a limit under it is refused before
//! it costs a fee; its upper end leaves room for programs compiled by Solana's older
//! tools, which take up to 1.8 times as much, and is what to ask for where nothing
//! was simulated. A simulation is always better. Swap programs are rules of thumb:
//! what a swap uses depends on how many ticks or venues it crosses, and
//! [`estimate_selling`] takes what quotes say of that.

use std::{fmt, ops::Add};

use anchor_lang::{AnchorDeserialize, Discriminator};
use flash_liquidator::{LiquidateArgs, instruction as receiver_ix};
use klend_interface::discriminators as klend_ix;
use klend_model::constants::SCOPE_PROGRAM_ID;
use solana_address::Address;
use solana_instruction::Instruction;
use solana_sdk_ids::{address_lookup_table, compute_budget, system_program};

use crate::{
    compute_budget::MAX_COMPUTE_UNITS,
    klend,
    receiver::{self, ACCOUNTS_PER_INTERMEDIATE},
    swap::{
        jupiter::id as jupiter, meteora_dlmm, raydium_amm, raydium_clmm, raydium_cpmm, stand_in,
        whirlpool,
    },
};

/// Compute units that an instruction or a transaction will use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// It cannot do with less.
    pub at_least: u32,
    /// It is unlikely to need more.
    pub at_most: u32,
}

impl Estimate {
    const fn new(at_least: u32, at_most: u32) -> Self {
        Self { at_least, at_most }
    }

    /// `count` times.
    const fn times(self, count: usize) -> Self {
        let count = count as u32;
        Self::new(self.at_least.saturating_mul(count), self.at_most.saturating_mul(count))
    }

    /// A limit to ask for where nothing was simulated.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.at_most.min(MAX_COMPUTE_UNITS)
    }
}

impl Add for Estimate {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self::new(
            self.at_least.saturating_add(other.at_least),
            self.at_most.saturating_add(other.at_most),
        )
    }
}

impl std::iter::Sum for Estimate {
    fn sum<I: Iterator<Item = Self>>(estimates: I) -> Self {
        estimates.fold(Self::default(), Add::add)
    }
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {} compute units", self.at_least, self.at_most)
    }
}

/// Builtin programs: system, compute budget.
const BUILTIN: Estimate = Estimate::new(150, 150);
/// Creating or extending a lookup table.
const LOOKUP_TABLE: Estimate = Estimate::new(500, 20_000);
/// Creating an associated token account; cheap where it is there already.
const TOKEN_ACCOUNT: Estimate = Estimate::new(2_500, 45_000);

const FLASH_BORROW: Estimate = Estimate::new(13_000, 42_000);
const FLASH_REPAY: Estimate = Estimate::new(10_000, 40_000);
const REFRESH_RESERVE: Estimate = Estimate::new(4_500, 30_000);
/// Beside the reserves.
const REFRESH_BATCH: Estimate = Estimate::new(500, 10_000);
const REFRESH_OBLIGATION: Estimate = Estimate::new(3_000, 20_000);
/// For each deposit and borrow.
const REFRESH_POSITION: Estimate = Estimate::new(1_500, 16_000);
const INIT_FARM: Estimate = Estimate::new(10_000, 60_000);
const INIT_REFERRER: Estimate = Estimate::new(2_000, 40_000);
/// klend's liquidation by itself.
const LIQUIDATE_V2: Estimate = Estimate::new(45_000, 160_000);
/// For each farm that the obligation is staked in.
const LIQUIDATE_FARM: Estimate = Estimate::new(3_000, 40_000);

/// The receiver around klend's liquidation.
const LIQUIDATE: Estimate = Estimate::new(5_000, 35_000);
/// The receiver around one leg.
const LEG: Estimate = Estimate::new(2_000, 16_000);
/// The receiver's work for one intermediate token.
const INTERMEDIATE: Estimate = Estimate::new(500, 12_000);
const OPEN: Estimate = Estimate::new(2_000, 16_000);
const SETTLE: Estimate = Estimate::new(1_500, 12_000);

/// Scope's refresh, and each of its entries.
const PRICES: Estimate = Estimate::new(1_000, 25_000);
const PRICE: Estimate = Estimate::new(500, 60_000);

/// Any other program.
const UNKNOWN: Estimate = Estimate::new(100, 200_000);

/// What one instruction will use.
#[must_use]
pub fn estimate(instruction: &Instruction) -> Estimate {
    estimate_one(instruction, None)
}

/// What they will use together.
#[must_use]
pub fn estimate_all(instructions: &[Instruction]) -> Estimate {
    estimate_selling(instructions, None)
}

/// The same, where it was quoted that the swaps of a liquidation's legs take at most `swaps`
/// units: a swap through many ticks takes several times what rules of thumb say.
#[must_use]
pub fn estimate_selling(instructions: &[Instruction], swaps: Option<u32>) -> Estimate {
    instructions.iter().map(|instruction| estimate_one(instruction, swaps)).sum()
}

fn estimate_one(instruction: &Instruction, swaps: Option<u32>) -> Estimate {
    let program = instruction.program_id;
    if [system_program::ID, compute_budget::ID].contains(&program) {
        BUILTIN
    } else if program == address_lookup_table::ID {
        LOOKUP_TABLE
    } else if program == spl_associated_token_account_interface::program::ID {
        TOKEN_ACCOUNT
    } else if program == klend::PROGRAM_ID {
        klend_estimate(instruction)
    } else if program == receiver::PROGRAM_ID {
        receiver_estimate(instruction, swaps)
    } else if program == SCOPE_PROGRAM_ID {
        let count = instruction.data.get(8..12).and_then(|count| count.try_into().ok());
        PRICES + PRICE.times(count.map_or(1, u32::from_le_bytes) as usize)
    } else {
        swap_estimate(&program)
    }
}

fn klend_estimate(instruction: &Instruction) -> Estimate {
    let accounts = instruction.accounts.len();
    let is = |discriminator: &[u8; 8]| instruction.data.starts_with(discriminator);
    if is(&klend_ix::FLASH_BORROW_RESERVE_LIQUIDITY) {
        FLASH_BORROW
    } else if is(&klend_ix::FLASH_REPAY_RESERVE_LIQUIDITY) {
        FLASH_REPAY
    } else if is(&klend_ix::REFRESH_RESERVE) {
        REFRESH_RESERVE
    } else if is(&klend_ix::REFRESH_RESERVES_BATCH) {
        // Without prices a reserve takes two accounts instead of six.
        let each = if instruction.data.get(8) == Some(&1) { 2 } else { 6 };
        REFRESH_BATCH + REFRESH_RESERVE.times(accounts / each)
    } else if is(&klend_ix::REFRESH_OBLIGATION) {
        REFRESH_OBLIGATION + REFRESH_POSITION.times(accounts.saturating_sub(2))
    } else if is(&klend_ix::INIT_OBLIGATION_FARMS_FOR_RESERVE) {
        INIT_FARM
    } else if is(&klend_ix::INIT_REFERRER_TOKEN_STATE) {
        INIT_REFERRER
    } else if is(&klend_ix::LIQUIDATE_OBLIGATION_AND_REDEEM_RESERVE_COLLATERAL_V2) {
        LIQUIDATE_V2 + LIQUIDATE_FARM.times(farms(instruction))
    } else {
        UNKNOWN
    }
}

/// Farms among the accounts of a liquidation, klend's or the receiver's.
fn farms(instruction: &Instruction) -> usize {
    const FARM_STATES: [usize; 2] = [21, 23];
    let named = |position: &&usize| {
        instruction.accounts.get(**position).is_some_and(|meta| meta.pubkey != klend::PROGRAM_ID)
    };
    FARM_STATES.iter().filter(named).count()
}

fn receiver_estimate(instruction: &Instruction, swaps: Option<u32>) -> Estimate {
    let data = &instruction.data;
    if data.starts_with(receiver_ix::Open::DISCRIMINATOR) {
        return OPEN;
    }
    if data.starts_with(receiver_ix::Settle::DISCRIMINATOR) {
        return SETTLE;
    }
    let args = data
        .strip_prefix(receiver_ix::Liquidate::DISCRIMINATOR)
        .and_then(|args| LiquidateArgs::try_from_slice(args).ok());
    let Some(args) = args else { return UNKNOWN };
    let intermediates = usize::from(args.intermediate_count);
    let mut at = receiver::NAMED_ACCOUNTS
        + usize::from(args.deposit_reserve_count)
        + intermediates * ACCOUNTS_PER_INTERMEDIATE;
    let mut by_thumb = Estimate::default();
    for leg in &args.legs {
        let program = instruction.accounts.get(at).map(|meta| meta.pubkey).unwrap_or_default();
        by_thumb = by_thumb + swap_estimate(&program);
        at += usize::from(leg.account_count);
    }
    let swaps = swaps.map_or(by_thumb, |units| Estimate::new(by_thumb.at_least.min(units), units));
    LIQUIDATE_V2
        + LIQUIDATE_FARM.times(farms(instruction))
        + LIQUIDATE
        + INTERMEDIATE.times(intermediates)
        + LEG.times(args.legs.len())
        + swaps
}

fn swap_estimate(program: &Address) -> Estimate {
    match *program {
        whirlpool::PROGRAM_ID | whirlpool::IMMUTABLE_PROGRAM_ID => Estimate::new(20_000, 160_000),
        raydium_amm::PROGRAM_ID => Estimate::new(10_000, 80_000),
        raydium_cpmm::PROGRAM_ID => Estimate::new(15_000, 90_000),
        raydium_clmm::PROGRAM_ID => Estimate::new(20_000, 200_000),
        meteora_dlmm::PROGRAM_ID => Estimate::new(20_000, 250_000),
        jupiter::PROGRAM_ID => Estimate::new(20_000, 500_000),
        stand_in::PROGRAM_ID => Estimate::new(2_000, 20_000),
        _ => UNKNOWN,
    }
}
