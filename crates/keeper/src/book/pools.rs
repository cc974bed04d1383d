//! Which pools are known.

use solana_address::Address;

/// Where collateral may be sold.
#[derive(Clone, Debug, Default)]
pub struct Pools {
    /// Pools that the operator named.
    pub named: Vec<Address>,
    /// Pools of the stand-in program.
    pub stand_ins: Vec<Address>,
}
