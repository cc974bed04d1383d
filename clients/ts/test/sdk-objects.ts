// What klend-sdk decodes, of a version with Kit and of one with web3.js, as
// scripts/klend-sdk-fixture.mjs has written it.

import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

import { type Address } from '@solana/kit';
import type { AccountData, SdkObligation, SdkReserve } from 'klend-flash-liquidator';

interface Entry<T> {
  readonly account: AccountData;
  readonly object: T;
}

export interface SdkObjects {
  readonly version: string;
  readonly reserves: readonly Entry<SdkReserve>[];
  readonly obligations: readonly Entry<SdkObligation>[];
}

interface FixtureEntry<T> {
  readonly address: Address;
  readonly data: string;
  readonly object: T;
}

interface Fixture {
  readonly version: string;
  readonly reserves: readonly FixtureEntry<SdkReserve>[];
  readonly obligations: readonly FixtureEntry<SdkObligation>[];
}

/** What the SDK's objects have of `BN` and `PublicKey`. */
export const bn = (text: string) => ({ toString: () => text, toNumber: () => Number(text) });
export const publicKey = (text: string) => ({ toBase58: () => text });

const folder = join(import.meta.dirname, '../../test/fixtures');

/** The objects of each version. */
export const sdkObjects: readonly SdkObjects[] = readdirSync(folder).map((name) => {
  const fixture = JSON.parse(readFileSync(join(folder, name), 'utf8'), revived) as Fixture;
  const entry = <T>({ address, data, object }: FixtureEntry<T>): Entry<T> => ({
    account: { address, data: gunzipSync(Buffer.from(data, 'base64')) },
    object,
  });
  return {
    version: fixture.version,
    reserves: fixture.reserves.map(entry),
    obligations: fixture.obligations.map(entry),
  };
});

function revived(_: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if ('bn' in value) return bn(String(value.bn));
  if ('publicKey' in value) return publicKey(String(value.publicKey));
  return value;
}
