//! Swap venues as legs of a liquidation.
//!
//! Every leg is a [`SwapLeg`](crate::receiver::SwapLeg): program, accounts, data, and
//! where in the data the program writes the input that is really there. The swap
//! authority ([`crate::receiver::swap_authority`]) is the only signer a leg can have, so
//! it owns the accounts that a leg sells from.
//!
//! Pools are read, quoted and sold into by [`liquidation_venues`], whose modules are found
//! here, too: [`liquidation_venues::read`], [`Pool::curve`], [`Curve::leg`]. An
//! aggregator's answer becomes a leg in [`jupiter`].

pub use liquidation_venues::{
    Account, Accounts, Amount, Curve, Now, Pool, Side, Trade, VenueError, meteora_dlmm,
    raydium_amm, raydium_clmm, raydium_cpmm, stand_in, whirlpool,
};
use solana_address::Address;

use crate::klend::ReserveAddresses;

pub mod jupiter;

/// Programs whose pools pay what they are asked for and call nobody else's code but the
/// token programs': a route over these alone may pay the keeper's debt account itself
/// ([`Route::pay_directly`](crate::receiver::Route::pay_directly)). Whoever may upgrade them
/// is trusted with that, and no more. An aggregator is none of them: it calls others.
const WELL_KNOWN: [Address; 7] = [
    meteora_dlmm::PROGRAM_ID,
    whirlpool::PROGRAM_ID,
    whirlpool::IMMUTABLE_PROGRAM_ID,
    raydium_amm::PROGRAM_ID,
    raydium_clmm::PROGRAM_ID,
    raydium_cpmm::PROGRAM_ID,
    stand_in::PROGRAM_ID,
];

/// Whether `program` may pay the keeper's debt account itself.
#[must_use]
pub fn is_well_known(program: &Address) -> bool {
    WELL_KNOWN.contains(program)
}

/// The liquidity of a reserve, in this token account, as one side of a [`Trade`].
#[must_use]
pub const fn side(reserve: &ReserveAddresses, account: Address) -> Side {
    let (mint, token_program) = (reserve.liquidity_mint, reserve.liquidity_token_program);
    Side { account, mint, token_program }
}

/// Bytes at an offset of an account whose length has been checked.
pub(crate) fn field<const N: usize>(data: &[u8], at: usize) -> [u8; N] {
    data.get(at..).and_then(|tail| tail.first_chunk()).copied().unwrap_or([0; N])
}

/// A key at an offset of an account whose length has been checked.
pub(crate) fn key(data: &[u8], at: usize) -> Address {
    Address::new_from_array(field(data, at))
}
