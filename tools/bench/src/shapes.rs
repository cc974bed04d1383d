//! Bytes of a transaction by the shape of the obligation, against the naive way
//! to assemble one.

use anyhow::Result;
use flash_liquidator_client::{
    budget::{Format, MAX_ACCOUNT_LOCKS, check_v0, compile_v1},
    compute_budget::ComputeBudget,
    flash_liquidation::Refresh,
    lookup_table,
    transaction::transaction_bytes,
};
use serde::{Deserialize, Serialize};
use solana_hash::Hash;
use solana_message::{AddressLookupTableAccount, Message, VersionedMessage};

#[path = "../../../crates/flash-liquidator-client/tests/support/mod.rs"]
mod support;

use support::{Shape, Venue, keeper, key};

/// Most deposits of an obligation.
pub const DEPOSITS: usize = 8;
/// Most debts of an obligation.
pub const DEBTS: usize = 5;

const COMPUTE: ComputeBudget = ComputeBudget { unit_limit: Some(900_000), unit_price: 1_000 };

/// Bytes of a transaction, by deposits and debts, both from one.
pub type Bytes = [[u64; DEBTS]; DEPOSITS];

/// Transactions over all shapes with one route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shapes {
    /// Where the collateral is sold.
    pub venue: String,
    /// Whether there are farms on both sides.
    pub farms: bool,
    /// Version 0 with a lookup table, reserves refreshed in one batch.
    pub v0: Bytes,
    /// Version 1, reserves refreshed in one batch.
    pub v1: Bytes,
    /// A legacy transaction, reserves refreshed one by one.
    pub naive: Bytes,
    /// Accounts that the first two lock.
    pub accounts: Bytes,
}

impl Shapes {
    /// Short description.
    pub fn name(&self) -> String {
        let farms = if self.farms { "farms on both sides" } else { "no farms" };
        format!("{}, {farms}", self.venue)
    }

    /// Most deposits that fit beside each number of debts; 0 where not even one does.
    pub fn most_deposits(&self, bytes: &Bytes, format: Format) -> [usize; DEBTS] {
        std::array::from_fn(|debts| {
            (0..DEPOSITS)
                .filter(|&deposits| {
                    let accounts = self.accounts[deposits][debts];
                    bytes[deposits][debts] <= format.max_bytes() as u64
                        && accounts <= MAX_ACCOUNT_LOCKS as u64
                })
                .map(|deposits| deposits + 1)
                .max()
                .unwrap_or(0)
        })
    }
}

/// Measures every shape.
///
/// # Errors
/// When one does not fit its format.
pub fn measure() -> Result<Vec<Shapes>> {
    let mut all = Vec::new();
    for (venue, name) in [
        (Venue::None, "collateral kept"),
        (Venue::StandIn, "stand-in pool"),
        (Venue::Whirlpool, "Whirlpool"),
    ] {
        for farms in [false, true] {
            let mut shapes = Shapes {
                venue: name.to_owned(),
                farms,
                v0: Bytes::default(),
                v1: Bytes::default(),
                naive: Bytes::default(),
                accounts: Bytes::default(),
            };
            for deposits in 0..DEPOSITS {
                for debts in 0..DEBTS {
                    let shape = Shape {
                        deposits: deposits as u8 + 1,
                        debts: debts as u8 + 1,
                        farms,
                        in_group: false,
                        venue,
                    };
                    let at =
                        |bytes: &mut Bytes, value: usize| bytes[deposits][debts] = value as u64;
                    let batched = shape.instructions(COMPUTE, Refresh::Batch);
                    let table = AddressLookupTableAccount {
                        key: key(40, 0),
                        addresses: lookup_table::candidates(&batched, &keeper()),
                    };
                    let v0 = check_v0(&keeper(), &batched, &[table], COMPUTE.unit_limit)?;
                    at(&mut shapes.v0, v0.bytes);
                    at(&mut shapes.accounts, v0.accounts);
                    let batched = shape.instructions(ComputeBudget::default(), Refresh::Batch);
                    let (_, v1) = compile_v1(&keeper(), &batched, &COMPUTE, Hash::default())?;
                    at(&mut shapes.v1, v1.bytes);
                    let each = shape.instructions(COMPUTE, Refresh::Each);
                    let legacy = VersionedMessage::Legacy(Message::new(&each, Some(&keeper())));
                    at(&mut shapes.naive, transaction_bytes(&legacy));
                }
            }
            all.push(shapes);
        }
    }
    Ok(all)
}
