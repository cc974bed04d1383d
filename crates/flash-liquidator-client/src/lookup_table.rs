//! Address lookup tables: what belongs in one, and its life from creation to
//! closing.

use std::collections::BTreeSet;

use solana_address::Address;
use solana_address_lookup_table_interface::{instruction as table, state::AddressLookupTable};
use solana_instruction::Instruction;
use solana_message::AddressLookupTableAccount;
use solana_sdk_ids::address_lookup_table;

use crate::{
    klend::{self, ReserveAddresses},
    receiver::swap_authority,
    token::{TOKEN_PROGRAM_ID, associated_token_account},
};

/// Most addresses a table can hold.
pub const MAX_ADDRESSES: usize = 256;

/// Most addresses that one [`extend`] fits into a transaction beside a payer, an
/// authority, and compute-unit limit and price.
pub const MAX_ADDRESSES_PER_EXTEND: usize = 26;

/// The same beside a [`create`] as well.
pub const MAX_ADDRESSES_BESIDE_CREATE: usize = 25;

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

/// What a lasting table of a keeper holds: everything that liquidations between
/// these reserves name, whichever obligation it is. The obligation itself, its
/// stakes in farms and its referrer's states change with every liquidation, and a
/// venue's accounts are the venue's: they take 32 bytes each in the message, or a
/// second table.
#[must_use]
pub fn for_reserves(keeper: &Address, reserves: &[ReserveAddresses]) -> Vec<Address> {
    let (authority, _) = swap_authority(keeper);
    let mut addresses = vec![
        klend::PROGRAM_ID,
        klend::FARMS_PROGRAM_ID,
        TOKEN_PROGRAM_ID,
        solana_sdk_ids::sysvar::instructions::ID,
        authority,
    ];
    for reserve in reserves {
        addresses.extend([
            reserve.lending_market,
            reserve.lending_market_authority,
            reserve.reserve,
            reserve.liquidity_mint,
            reserve.liquidity_token_program,
            reserve.liquidity_supply_vault,
            reserve.fee_vault,
            reserve.ctoken_mint,
            reserve.collateral_supply_vault,
        ]);
        let oracles = reserve.oracles;
        let optional = [
            reserve.collateral_farm,
            reserve.debt_farm,
            oracles.pyth,
            oracles.switchboard_price,
            oracles.switchboard_twap,
            oracles.scope,
        ];
        addresses.extend(optional.into_iter().flatten());
        let liquidity = (&reserve.liquidity_mint, &reserve.liquidity_token_program);
        let ctoken = (&reserve.ctoken_mint, &TOKEN_PROGRAM_ID);
        for (owner, (mint, program)) in
            [(keeper, liquidity), (keeper, ctoken), (&authority, liquidity)]
        {
            addresses.push(associated_token_account(owner, mint, program));
        }
    }
    let mut seen = BTreeSet::new();
    addresses.retain(|address| seen.insert(*address));
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

/// Appends `addresses`; they can be used from the next slot on, in a simulation. In a
/// transaction wait until this one is finalized, some seconds: leaders look tables up
/// in the newest finalized block and drop, without a word, what names addresses that are
/// not there yet. Split longer lists by [`MAX_ADDRESSES_PER_EXTEND`].
#[must_use]
pub fn extend(
    table_address: &Address,
    authority: &Address,
    payer: &Address,
    addresses: &[Address],
) -> Instruction {
    table::extend_lookup_table(*table_address, *authority, Some(*payer), addresses.to_vec())
}

/// Creates a table and fills it, in transactions that have to be sent one after
/// the other: the first creates it. Returns them and the table's address.
/// `recent_slot` as for [`create`]; at most [`MAX_ADDRESSES`] fit.
#[must_use]
pub fn create_and_extend(
    authority: &Address,
    payer: &Address,
    recent_slot: u64,
    addresses: &[Address],
) -> (Vec<Vec<Instruction>>, Address) {
    let (creation, table) = create(authority, payer, recent_slot);
    let extension = |chunk: &[Address]| extend(&table, authority, payer, chunk);
    let beside_creation = addresses.len().min(MAX_ADDRESSES_BESIDE_CREATE);
    let (first, rest) = addresses.split_at(beside_creation);
    let mut transactions = vec![vec![creation]];
    if !first.is_empty() {
        transactions[0].push(extension(first));
    }
    transactions.extend(rest.chunks(MAX_ADDRESSES_PER_EXTEND).map(|chunk| vec![extension(chunk)]));
    (transactions, table)
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
    fn every_transaction_of_a_full_table_fits_and_no_address_more() {
        use crate::{budget::compile_v0, compute_budget::ComputeBudget};
        let compiles = |instructions: &[Instruction]| {
            let budget = ComputeBudget { unit_limit: Some(20_000), unit_price: 1_000 };
            let whole = [&budget.instructions(), instructions].concat();
            compile_v0(&key(1), &whole, &[], solana_hash::Hash::default()).is_ok()
        };
        let addresses: Vec<_> = (0..=255).map(key).collect();
        let (authority, payer) = (key(2), key(1));
        let (transactions, table) = create_and_extend(&authority, &payer, 99, &addresses);
        assert_eq!(
            transactions.len(),
            1 + (256 - MAX_ADDRESSES_BESIDE_CREATE).div_ceil(MAX_ADDRESSES_PER_EXTEND)
        );
        let mut filled = Vec::new();
        for instructions in &transactions {
            assert!(compiles(instructions));
            for extension in instructions.iter().filter(|ix| ix.data[0] == 2) {
                assert_eq!(extension.accounts[0].pubkey, table);
                // Tag and length, then the addresses.
                filled.extend(extension.data[12..].chunks(32).map(<[u8]>::to_vec));
            }
        }
        let expected: Vec<_> = addresses.iter().map(|key| key.to_bytes().to_vec()).collect();
        assert_eq!(filled, expected);
        assert_eq!(create_and_extend(&authority, &payer, 99, &[]).0.len(), 1);

        let extension = |count: usize| extend(&table, &authority, &payer, &addresses[..count]);
        assert!(!compiles(&[extension(MAX_ADDRESSES_PER_EXTEND + 1)]));
        let creation = create(&authority, &payer, 99).0;
        assert!(!compiles(&[creation, extension(MAX_ADDRESSES_BESIDE_CREATE + 1)]));
    }

    #[test]
    fn a_lasting_table_holds_each_address_once() {
        use bytemuck::Zeroable;
        let reserve = |byte| {
            let state = klend_interface::state::Reserve::zeroed();
            ReserveAddresses {
                collateral_farm: Some(key(99)),
                ..ReserveAddresses::read(&key(byte), &state)
            }
        };
        let addresses = for_reserves(&key(1), &[reserve(2), reserve(3)]);
        let distinct: BTreeSet<_> = addresses.iter().collect();
        assert_eq!(distinct.len(), addresses.len());
        for wanted in [key(2), key(3), key(99), swap_authority(&key(1)).0, klend::PROGRAM_ID] {
            assert!(addresses.contains(&wanted));
        }
        assert!(!addresses.contains(&key(1)), "the keeper signs");
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
