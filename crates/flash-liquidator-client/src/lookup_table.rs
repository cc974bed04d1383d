//! Address lookup tables: what belongs in one, and its life from creation to
//! closing.

use std::collections::BTreeSet;

use solana_address::Address;
use solana_address_lookup_table_interface::{instruction as table, state::AddressLookupTable};
use solana_instruction::Instruction;
use solana_message::AddressLookupTableAccount;
use solana_sdk_ids::address_lookup_table;

/// Most addresses a table can hold.
pub const MAX_ADDRESSES: usize = 256;

/// Most addresses that one [`extend`] fits into a transaction beside a payer, an
/// authority and a compute-budget instruction.
pub const MAX_ADDRESSES_PER_EXTEND: usize = 30;

/// Addresses of `instructions` that a lookup table may hold: all but signers and
/// the programs called at top level, which the runtime wants in the message
/// itself. Each once, in order of first use.
#[must_use]
pub fn candidates(instructions: &[Instruction], payer: &Address) -> Vec<Address> {
    let mut excluded = BTreeSet::from([*payer]);
    for instruction in instructions {
        excluded.insert(instruction.program_id);
        excluded.extend(
            instruction.accounts.iter().filter(|meta| meta.is_signer).map(|meta| meta.pubkey),
        );
    }
    let mut addresses = Vec::new();
    for meta in instructions.iter().flat_map(|instruction| &instruction.accounts) {
        if excluded.insert(meta.pubkey) {
            addresses.push(meta.pubkey);
        }
    }
    addresses
}

/// Those of `addresses` that no table holds yet.
#[must_use]
pub fn missing(addresses: &[Address], tables: &[AddressLookupTableAccount]) -> Vec<Address> {
    addresses
        .iter()
        .filter(|address| !tables.iter().any(|table| table.addresses.contains(address)))
        .copied()
        .collect()
}

/// Reads a table's account; `None` if it is not a table, or is being retired:
/// its addresses cannot be relied on any more.
#[must_use]
pub fn read(key: &Address, owner: &Address, data: &[u8]) -> Option<AddressLookupTableAccount> {
    let table = AddressLookupTable::deserialize(data).ok()?;
    let usable = *owner == address_lookup_table::ID && table.meta.deactivation_slot == u64::MAX;
    usable.then(|| AddressLookupTableAccount { key: *key, addresses: table.addresses.to_vec() })
}

/// The slot a table was retired at, `Some(None)` for one in use; `None` if the
/// account is no table.
#[must_use]
pub fn retired_since(owner: &Address, data: &[u8]) -> Option<Option<u64>> {
    let table = AddressLookupTable::deserialize(data).ok()?;
    let slot = table.meta.deactivation_slot;
    (*owner == address_lookup_table::ID).then(|| (slot != u64::MAX).then_some(slot))
}

/// Creates an empty table; returns the instruction and the table's address.
/// `recent_slot` has to be among the last 512 slots that had a block.
#[must_use]
pub fn create(authority: &Address, payer: &Address, recent_slot: u64) -> (Instruction, Address) {
    table::create_lookup_table(*authority, *payer, recent_slot)
}

/// Appends `addresses`; they can be used from the next slot on. Split longer
/// lists by [`MAX_ADDRESSES_PER_EXTEND`].
#[must_use]
pub fn extend(
    table_address: &Address,
    authority: &Address,
    payer: &Address,
    addresses: &[Address],
) -> Instruction {
    table::extend_lookup_table(*table_address, *authority, Some(*payer), addresses.to_vec())
}

/// Starts the table's retirement: it can be closed some 513 slots later.
#[must_use]
pub fn deactivate(table_address: &Address, authority: &Address) -> Instruction {
    table::deactivate_lookup_table(*table_address, *authority)
}

/// Closes a deactivated table; its lamports go to `recipient`.
#[must_use]
pub fn close(table_address: &Address, authority: &Address, recipient: &Address) -> Instruction {
    table::close_lookup_table(*table_address, *authority, *recipient)
}

#[cfg(test)]
mod tests {
    use solana_instruction::AccountMeta;

    use super::*;

    fn key(byte: u8) -> Address {
        Address::new_from_array([byte; 32])
    }

    #[test]
    fn a_table_in_use_is_read_and_a_retired_one_is_not() {
        use solana_address_lookup_table_interface::state::LookupTableMeta;
        let data = |deactivation_slot| {
            let meta = LookupTableMeta { deactivation_slot, ..LookupTableMeta::default() };
            let addresses = vec![key(4), key(5)].into();
            AddressLookupTable { meta, addresses }.serialize_for_tests().unwrap()
        };
        let owner = address_lookup_table::ID;
        let table = read(&key(1), &owner, &data(u64::MAX)).unwrap();
        assert_eq!((table.key, table.addresses), (key(1), vec![key(4), key(5)]));
        assert_eq!(read(&key(1), &owner, &data(77)), None);
        assert_eq!(read(&key(1), &key(2), &data(u64::MAX)), None);
        assert_eq!(read(&key(1), &owner, &[0; 56]), None);
        assert_eq!(retired_since(&owner, &data(77)), Some(Some(77)));
        assert_eq!(retired_since(&owner, &data(u64::MAX)), Some(None));
        assert_eq!(retired_since(&key(2), &data(77)), None);
    }

    #[test]
    fn signers_and_top_level_programs_stay_in_the_message() {
        let instructions = [
            Instruction {
                program_id: key(1),
                accounts: vec![
                    AccountMeta::new(key(2), true),
                    AccountMeta::new(key(3), false),
                    AccountMeta::new(key(9), false),
                ],
                data: vec![],
            },
            Instruction {
                program_id: key(4),
                accounts: vec![
                    AccountMeta::new_readonly(key(2), false),
                    AccountMeta::new_readonly(key(1), false),
                    AccountMeta::new_readonly(key(3), false),
                    AccountMeta::new_readonly(key(5), false),
                ],
                data: vec![],
            },
        ];
        let found = candidates(&instructions, &key(9));
        assert_eq!(found, [key(3), key(5)]);
        let table = AddressLookupTableAccount { key: key(7), addresses: vec![key(5)] };
        assert_eq!(missing(&found, &[table]), [key(3)]);
    }
}
