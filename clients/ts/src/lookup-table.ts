/**
 * Address lookup tables: without one, a flash liquidation with a swap does not fit a
 * transaction's 1,232 bytes.
 *
 * @module
 */

import {
  AccountRole,
  type Address,
  type Instruction,
  type TransactionSigner,
  getAddressEncoder,
  getProgramDerivedAddress,
  isSignerRole,
} from '@solana/kit';

import { type BuiltInstruction, systemProgramAddress } from './meta.js';

const programAddress =
  'AddressLookupTab1e1111111111111111111111111' as Address<'AddressLookupTab1e1111111111111111111111111'>;
const encoder = getAddressEncoder();

/**
 * Most addresses that one {@link extendLookupTable} fits into a transaction beside a
 * payer, an authority and a compute-budget instruction.
 */
export const MAX_ADDRESSES_PER_EXTEND = 30;

/**
 * Addresses of `instructions` that a lookup table may hold: all but signers and the
 * programs called at top level, which the runtime wants in the message itself. Each
 * once, in order of first use.
 */
export function lookupTableCandidates(
  instructions: readonly Instruction[],
  payer: Address,
): Address[] {
  const excluded = new Set<Address>([payer]);
  for (const { programAddress, accounts = [] } of instructions) {
    excluded.add(programAddress);
    for (const { address, role } of accounts) if (isSignerRole(role)) excluded.add(address);
  }
  const used = instructions.flatMap(({ accounts = [] }) => accounts.map(({ address }) => address));
  return [...new Set(used)].filter((address) => !excluded.has(address));
}

/**
 * Creates an empty table.
 *
 * @param authority who may extend and close it, and pays its rent
 * @param recentSlot one of the last 512 slots that had a block
 * @returns the instruction and the table's address
 */
export async function createLookupTable(
  authority: TransactionSigner,
  recentSlot: bigint,
): Promise<{ readonly instruction: BuiltInstruction; readonly address: Address }> {
  const slot = new Uint8Array(8);
  new DataView(slot.buffer).setBigUint64(0, recentSlot, true);
  const [address, bump] = await getProgramDerivedAddress({
    programAddress,
    seeds: [encoder.encode(authority.address), slot],
  });
  const instruction: BuiltInstruction = {
    programAddress,
    accounts: [
      { address, role: AccountRole.WRITABLE },
      { address: authority.address, role: AccountRole.READONLY_SIGNER, signer: authority },
      { address: authority.address, role: AccountRole.WRITABLE_SIGNER, signer: authority },
      { address: systemProgramAddress, role: AccountRole.READONLY },
    ],
    // Instruction 0, u32 in little-endian.
    data: Uint8Array.of(0, 0, 0, 0, ...slot, bump),
  };
  return { instruction, address };
}

/**
 * Appends `addresses`, which a simulation can use from the next slot on. Before you send
 * a transaction that uses them, wait until this one is finalized, some seconds: leaders
 * drop it without a word until then. Split longer lists by {@link MAX_ADDRESSES_PER_EXTEND}.
 */
export function extendLookupTable(
  table: Address,
  authority: TransactionSigner,
  addresses: readonly Address[],
): BuiltInstruction {
  const count = new Uint8Array(8);
  new DataView(count.buffer).setBigUint64(0, BigInt(addresses.length), true);
  return {
    programAddress,
    accounts: [
      { address: table, role: AccountRole.WRITABLE },
      { address: authority.address, role: AccountRole.READONLY_SIGNER, signer: authority },
      { address: authority.address, role: AccountRole.WRITABLE_SIGNER, signer: authority },
      { address: systemProgramAddress, role: AccountRole.READONLY },
    ],
    // Instruction 2, u32 in little-endian.
    data: Uint8Array.of(
      2,
      0,
      0,
      0,
      ...count,
      ...addresses.flatMap((key) => [...encoder.encode(key)]),
    ),
  };
}
