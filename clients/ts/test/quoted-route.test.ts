// Legs from the JSON of `keeper quote`.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { AccountRole } from '@solana/kit';
import { routeFromQuote } from 'klend-flash-liquidator';

const KEEPER = 'SwapStandin11111111111111111111111111111111';
const SYSTEM = '11111111111111111111111111111111';
const TOKEN = 'TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA';

const quoted = {
  keeper: KEEPER,
  swapCollateral: SYSTEM,
  swapDebt: null,
  intermediates: [{ swapAccount: KEEPER, keeperAccount: SYSTEM, mint: TOKEN, tokenProgram: TOKEN }],
  legs: [
    {
      program: TOKEN,
      accounts: [
        { address: KEEPER, isWritable: false, isSigner: true },
        { address: SYSTEM, isWritable: true, isSigner: false },
        { address: TOKEN, isWritable: false, isSigner: false },
      ],
      input: 1,
      amountInOffset: 8,
      data: 'AQID',
    },
  ],
};

test('a quoted route becomes legs', () => {
  const route = routeFromQuote(quoted, KEEPER);
  assert.equal(route.swapDebt, null);
  assert.equal(route.intermediates[0]?.keeperAccount, SYSTEM);
  const [leg] = route.legs;
  assert(leg);
  assert.deepEqual(
    leg.accounts.map(({ role }) => role),
    [AccountRole.READONLY_SIGNER, AccountRole.WRITABLE, AccountRole.READONLY],
  );
  assert.deepEqual([leg.program, leg.input, leg.amountInOffset], [TOKEN, 1, 8]);
  assert.deepEqual([...leg.data], [1, 2, 3]);
});

test('a route made for another keeper, or with an address that is none, is refused', () => {
  assert.throws(() => routeFromQuote(quoted, SYSTEM), /quote with --keeper 1111/);
  assert.throws(() => routeFromQuote({ ...quoted, swapCollateral: 'x' }, KEEPER));
});
