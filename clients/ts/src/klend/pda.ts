/**
 * Addresses that klend and the farms program derive from seeds. Only those that no
 * account names: a reserve's vaults are not among them.
 *
 * @module
 */

import { type Address, getAddressEncoder, getProgramDerivedAddress } from '@solana/kit';

import { KLEND } from '../facts/klend.js';

const encoder = getAddressEncoder();

async function derive(
  programAddress: Address,
  seed: string,
  ...keys: readonly Address[]
): Promise<Address> {
  const seeds = [seed, ...keys.map((key) => encoder.encode(key))];
  return (await getProgramDerivedAddress({ programAddress, seeds }))[0];
}

/** PDA `["lma", market]`: owner of every vault of the market. */
export function lendingMarketAuthority(lendingMarket: Address): Promise<Address> {
  return derive(KLEND.programAddress, 'lma', lendingMarket);
}

/** PDA `["referrer_acc", referrer, reserve]`: fees a referrer has earned in a reserve. */
export function referrerTokenState(referrer: Address, reserve: Address): Promise<Address> {
  return derive(KLEND.programAddress, 'referrer_acc', referrer, reserve);
}

/** PDA `["user", farm, obligation]` of the farms program: an obligation's stake in a reserve's farm. */
export function farmUserState(farm: Address, obligation: Address): Promise<Address> {
  return derive(KLEND.farmsProgramAddress, 'user', farm, obligation);
}
