//! Computations that must give the same values on the host and in the virtual machine.
//!
//! A compiler for Solana programs that is assembled from parts (`tools/sbf`) can go wrong
//! in ways that no type checker sees: a carry lost in a 128-bit product, an argument read
//! from the wrong place, a comparison with NaN inverted. This crate holds what programs
//! are made of, arranged to meet such mistakes. It is compiled twice, as a library for the
//! host and as a program, and `tests/differential.rs` compares what both compute, value by
//! value.
//!
//! Everything derives from a seed, passed at run time so that neither compiler can
//! evaluate it beforehand. Nothing here may depend on the platform: no addresses, no hash
//! map order, no bits of a NaN.

mod calls;
mod collections;
mod enums;
mod floats;
mod integers;
mod memory;
mod text;
mod transcript;
mod wide;

use solana_program::{
    account_info::AccountInfo, entrypoint::ProgramResult, program::set_return_data,
    program_error::ProgramError, pubkey::Pubkey,
};
pub use transcript::{Outcome, Transcript};

/// A named computation: writes what it computes from the seed to the transcript.
pub type Computation = (&'static str, fn(u64, &mut Transcript));

/// All of them. An instruction names one by its position.
pub const COMPUTATIONS: &[Computation] = &[
    ("signed division", integers::signed_division),
    ("checked 64-bit arithmetic", integers::checked_arithmetic),
    ("bits of integers", integers::bits),
    ("narrow integers", integers::narrow),
    ("128-bit products", wide::products),
    ("128-bit quotients", wide::quotients),
    ("128-bit signed quotients", wide::signed_quotients),
    ("128-bit shifts", wide::shifts),
    ("128-bit checked arithmetic", wide::checked_arithmetic),
    ("128-bit roots and logarithms", wide::roots),
    ("256-bit arithmetic", wide::u256),
    ("fixed point", wide::fixed_point),
    ("f64 arithmetic", floats::arithmetic64),
    ("f64 comparisons", floats::comparisons64),
    ("f64 conversions", floats::conversions64),
    ("f64 rounding", floats::rounding64),
    ("f32 arithmetic and conversions", floats::arithmetic32),
    ("many arguments", calls::many_arguments),
    ("wide returns", calls::wide_returns),
    ("calls through pointers", calls::indirect),
    ("recursion", calls::recursion),
    ("struct copies", memory::structs),
    ("memory moves", memory::moves),
    ("unaligned access", memory::unaligned),
    ("memory comparisons", memory::comparisons),
    ("maps", collections::maps),
    ("stable sorting", collections::stable_sort),
    ("unstable sorting", collections::unstable_sort),
    ("queues and heaps", collections::queues),
    ("enums", enums::variants),
    ("matches", enums::matches),
    ("formatting", text::formatting),
    ("formatting floats", text::floats),
    ("parsing", text::parsing),
    ("strings", text::strings),
];

/// Which computation to run, on what, and how much of it to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Position in [`COMPUTATIONS`].
    pub computation: u8,
    pub seed: u64,
    /// Only the first `limit` values count; `u32::MAX` for all.
    pub limit: u32,
}

impl Request {
    /// Instruction data.
    pub fn to_bytes(self) -> [u8; 13] {
        let mut bytes = [0; 13];
        bytes[0] = self.computation;
        bytes[1..9].copy_from_slice(&self.seed.to_le_bytes());
        bytes[9..].copy_from_slice(&self.limit.to_le_bytes());
        bytes
    }

    /// The inverse of [`Self::to_bytes`]; `None` for any other length.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (computation, rest) = bytes.split_first()?;
        let (seed, limit) = rest.split_first_chunk()?;
        Some(Self {
            computation: *computation,
            seed: u64::from_le_bytes(*seed),
            limit: u32::from_le_bytes(limit.try_into().ok()?),
        })
    }

    /// Runs the computation; `None` when there is none of this number.
    pub fn run(self) -> Option<Outcome> {
        let (_, computation) = COMPUTATIONS.get(usize::from(self.computation))?;
        let mut transcript = Transcript::new(self.limit);
        computation(self.seed, &mut transcript);
        Some(transcript.finish())
    }
}

#[cfg(not(feature = "no-entrypoint"))]
solana_program::entrypoint!(process_instruction);

/// Runs the request in the instruction data and returns the outcome as return data.
pub fn process_instruction(_: &Pubkey, _: &[AccountInfo], data: &[u8]) -> ProgramResult {
    let request = Request::from_bytes(data).ok_or(ProgramError::InvalidInstructionData)?;
    let outcome = request.run().ok_or(ProgramError::InvalidArgument)?;
    set_return_data(&outcome.to_bytes());
    Ok(())
}
