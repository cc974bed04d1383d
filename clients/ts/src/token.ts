/**
 * Associated token accounts.
 *
 * @module
 */

import {
  AccountRole,
  type Address,
  type TransactionSigner,
  getAddressEncoder,
  getProgramDerivedAddress,
} from '@solana/kit';

import { type BuiltInstruction, systemProgramAddress } from './meta.js';

const associatedTokenProgramAddress =
  'ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL' as Address<'ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL'>;
const encoder = getAddressEncoder();

/** Where `wallet` holds `mint` by convention. */
export async function associatedTokenAccount(
  wallet: Address,
  mint: Address,
  tokenProgram: Address,
): Promise<Address> {
  const [address] = await getProgramDerivedAddress({
    programAddress: associatedTokenProgramAddress,
    seeds: [wallet, tokenProgram, mint].map((key) => encoder.encode(key)),
  });
  return address;
}

/** Creates that account at `payer`'s cost; succeeds when it is there already. */
export async function createAssociatedTokenAccount(
  payer: TransactionSigner,
  wallet: Address,
  mint: Address,
  tokenProgram: Address,
): Promise<BuiltInstruction> {
  const account = await associatedTokenAccount(wallet, mint, tokenProgram);
  return {
    programAddress: associatedTokenProgramAddress,
    accounts: [
      { address: payer.address, role: AccountRole.WRITABLE_SIGNER, signer: payer },
      { address: account, role: AccountRole.WRITABLE },
      { address: wallet, role: AccountRole.READONLY },
      { address: mint, role: AccountRole.READONLY },
      { address: systemProgramAddress, role: AccountRole.READONLY },
      { address: tokenProgram, role: AccountRole.READONLY },
    ],
    // CreateIdempotent.
    data: Uint8Array.of(1),
  };
}
