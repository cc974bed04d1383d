// klend-sdk's objects mean what the bytes mean that they were decoded from.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
  type SdkReserve,
  obligationFromSdk,
  readObligation,
  readReserve,
  reserveFromSdk,
} from 'klend-flash-liquidator';

import { bn, publicKey, sdkObjects } from './sdk-objects.js';

test('there are objects with Kit’s addresses and with web3.js’s', () => {
  const kinds = sdkObjects.map(({ reserves }) => typeof reserves[0]?.object.address);
  assert.deepEqual(new Set(kinds), new Set(['string', 'object']));
});

for (const { version, reserves, obligations } of sdkObjects) {
  test(`klend-sdk ${version}: reserves`, async () => {
    assert(reserves.length > 2);
    for (const { account, object } of reserves) {
      assert.deepEqual(await reserveFromSdk(object), await readReserve(account));
    }
    const [scrambled] = reserves.slice(-1);
    assert(scrambled);
    const { oracles, collateralFarm, debtFarm, paysReferrers } = await reserveFromSdk(
      scrambled.object,
    );
    const addresses = [...Object.values(oracles), collateralFarm, debtFarm];
    assert(new Set(addresses).size === 6 && !addresses.includes(null) && paysReferrers);
  });

  test(`klend-sdk ${version}: obligations`, () => {
    assert(obligations.length > 1);
    for (const { account, object } of obligations) {
      assert.deepEqual(obligationFromSdk(object), readObligation(account));
    }
    const scrambled = obligations.slice(-3).map(({ object }) => obligationFromSdk(object));
    assert.equal(new Set(scrambled.map(({ wasLiquidatable }) => wasLiquidatable)).size, 2);
    assert(scrambled.every(({ referrer, debts }) => referrer !== null && debts.length === 5));
  });
}

/** An object with another value where the path ends. */
function changed<T>(object: T, [name, ...rest]: readonly (string | number)[], value: unknown): T {
  if (name === undefined) return value as T;
  const copy = (Array.isArray(object) ? [...(object as unknown[])] : { ...object }) as T;
  const fields = copy as Record<string | number, unknown>;
  fields[name] = changed(fields[name], rest, value);
  return copy;
}

const [first] = sdkObjects;
const reserve = first?.reserves[0]?.object;
const obligation = first?.obligations[0]?.object;
assert(reserve && obligation);

test('numbers may be bigint, number or BN', async () => {
  const path = ['state', 'config', 'fees', 'flashLoanFeeSf'];
  for (const value of [5n, 5, bn('5')]) {
    assert.equal((await reserveFromSdk(changed(reserve, path, value))).flashLoanFeeSf, 5n);
  }
  const disabled = changed(reserve, path, bn(String(2n ** 64n - 1n)));
  assert.equal((await reserveFromSdk(disabled)).flashLoanFeeSf, null);
});

test('what is missing or no such value is named, with the value', async () => {
  const address = (await reserveFromSdk(reserve)).address;
  const cases: readonly (readonly [string, unknown, string])[] = [
    ['liquidity.tokenProgram', undefined, 'undefined, not an address'],
    ['liquidity.mintPubkey', 'USDC', '"USDC", not an address'],
    ['farmDebt', bn('7'), '7, not an address'],
    ['farmDebt', publicKey(''), '[object Object], not an address'],
    ['liquidity.mintDecimals', '6', '"6", not an unsigned whole number of 64 bits'],
    ['liquidity.mintDecimals', 6.5, '6.5, not an unsigned whole number of 64 bits'],
    ['liquidity.mintDecimals', 2 ** 53, '9007199254740992, not an unsigned'],
    ['liquidity.mintDecimals', -1n, '-1, not an unsigned whole number of 64 bits'],
    ['liquidity.mintDecimals', 2n ** 64n, '18446744073709551616, not an unsigned'],
    ['config.fees.flashLoanFeeSf', bn('1e+21'), '1e+21, not an unsigned whole number of 64 bits'],
    ['config.tokenInfo.name', 'USDC', '"USDC", not a list of bytes'],
    ['config.tokenInfo.name', [300], '300, not a list of bytes'],
  ];
  for (const [path, value, expected] of cases) {
    const object = changed(reserve, ['state', ...path.split('.')], value);
    await assert.rejects(reserveFromSdk(object), ({ message }: Error) =>
      message.startsWith(`reserve ${address} of klend-sdk: state.${path} is ${expected}`),
    );
  }
  const available = ['state', 'liquidity'];
  const { availableAmount, totalAvailableAmount, ...rest } = reserve.state.liquidity;
  assert.notEqual(availableAmount ?? totalAvailableAmount, undefined);
  await assert.rejects(reserveFromSdk(changed(reserve, available, rest)), /availableAmount is und/);
  await assert.rejects(
    reserveFromSdk(changed(reserve, available, null)),
    /mintPubkey is undefined/,
  );

  const own = obligationFromSdk(obligation).address;
  assert.throws(
    () => obligationFromSdk(changed(obligation, ['state', 'borrows', 0, 'borrowReserve'], null)),
    {
      message: `obligation ${own} of klend-sdk: state.borrows[0].borrowReserve is null, not an address`,
    },
  );
  assert.throws(() => obligationFromSdk(changed(obligation, ['state', 'elevationGroup'], 256)), {
    message: /elevationGroup is 256, not an unsigned whole number of 8 bits$/,
  });
  assert.throws(() => obligationFromSdk(changed(obligation, ['state', 'deposits'], {})), {
    message: /state\.deposits is \[object Object\], not a list$/,
  });
  // An account's state alone says no address; a JavaScript caller learns what is wanted.
  await assert.rejects(
    reserveFromSdk(reserve.state as unknown as SdkReserve),
    /^Error: reserve of klend-sdk: address is undefined, not an address$/,
  );
});
