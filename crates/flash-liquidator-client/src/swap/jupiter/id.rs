//! The program's address.

use solana_address::{Address, address};

/// Jupiter's aggregator, version 6.
pub const PROGRAM_ID: Address = address!("JUP6LkbZbjS1jKKwapdHNy74zcZ3tLUZoi5QNyVTaV4");
