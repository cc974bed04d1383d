//! A local Kamino Lend: real account bytes, real instructions, no network.
//!
//! A [`World`] is a [LiteSVM](litesvm) with klend, its farms program, the
//! receiver and a swap pool deployed, and the accounts of a klend market. It
//! comes
//!
//! * from built-in main-market figures ([`World::builtin`]), which need nothing
//!   outside the repository;
//! * from a fork folder ([`World::from_folder`]);
//! * from accounts just fetched ([`World::from_snapshot`]).
//!
//! klend and farms are stand-ins unless the environment variables `KLEND_ELF`
//! and `FARMS_ELF` name the real ones. Both work on the same bytes.
//!
//! A world is cheap to clone, and the clone is independent: that is how to try
//! something and come back.
//!
//! ```
//! use klend_fork::{Position, World};
//! use solana_signer::Signer;
//!
//! # fn main() -> Result<(), klend_fork::ForkError> {
//! let mut world = World::builtin()?;
//! let borrower = world.actor("borrower");
//! let (sol, usdc) = (world.reserve_named("SOL")?, world.reserve_named("USDC")?);
//! let obligation = world.open_position(
//!     &borrower,
//!     &Position::new(&[(sol, 1_000_000_000_000)], &[(usdc, 110_000_000_000)]),
//! )?;
//! assert!(!world.obligation(&obligation)?.is_liquidatable());
//! let before = world.price(&sol)?;
//! world.set_price(&sol, before.scaled(80, 100).expect("a fifth less is still a price"))?;
//! world.refresh(&obligation)?;
//! assert!(world.obligation(&obligation)?.is_liquidatable());
//! # Ok(()) }
//! ```

#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod builtin;
mod error;
mod farm;
pub mod lenient;
mod machine;
mod names;
mod pool;
mod position;
mod programs;
mod rebuild;
mod rehearsal;
pub mod scope;
mod send;
mod snapshot;
mod tokens;
mod twin;
mod world;

pub use error::ForkError;
pub use machine::Machine;
pub use pool::Pool;
pub use position::Position;
pub use programs::{
    FARMS_ELF, KLEND_ELF, KLEND_VERSION, Program, Programs, RECEIVER_ELF, SBF_OUT_DIR,
    STAND_IN_VERSION, deploy_folder,
};
pub use rebuild::{Absent, Part};
pub use rehearsal::Rehearsal;
pub use scope::Price;
pub use send::{Failure, InstructionCost, Outcome, ProgramData};
pub use snapshot::Snapshot;
pub use tokens::{NATIVE_MINT, TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID};
pub use world::World;
