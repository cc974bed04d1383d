// Decoding, on log lines alone.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type Address, address, getBase64Decoder } from '@solana/kit';
import {
  FLASH_LIQUIDATOR_PROGRAM_ADDRESS as ours,
  KLEND_ERRORS,
  RECEIVER_ERRORS,
  decodeEvent,
  decodeTransaction,
  explain,
  flashLoanFee,
  type Reserve,
  readLogs,
} from 'klend-flash-liquidator';
import {
  getLiquidateDiscriminatorBytes,
  getSettledEncoder,
  identifyFlashLiquidatorInstruction,
  FlashLiquidatorInstruction,
} from 'klend-flash-liquidator/program';

const klend = address('KLend2g3cP87fffoy8q1mQqGKjrxjC8boSyAYavgmjD');
const token = address('TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA');
const swap = address('SwapStandin11111111111111111111111111111111');

const failing = (code: number, ...programs: readonly Address[]): string[] => [
  ...programs.map((program, depth) => `Program ${program} invoke [${depth + 1}]`),
  ...[...programs]
    .reverse()
    .map((program) => `Program ${program} failed: custom program error: 0x${code.toString(16)}`),
];
const settled = {
  keeper: ours,
  flashReserve: klend,
  debtMint: token,
  flashLoan: 1n,
  flashFee: 2n,
  debtBefore: 3n,
  debtAfter: 4n,
  profit: -5n,
  minProfit: -6n,
};
// sha256("event:Settled")[..8]
const discriminator = [232, 210, 40, 17, 142, 124, 145, 238];
const data = Uint8Array.of(...discriminator, ...getSettledEncoder().encode(settled));
const emitted = (program: Address, bytes: Uint8Array): string[] => [
  `Program ${program} invoke [1]`,
  `Program data: ${getBase64Decoder().decode(bytes)}`,
  `Program ${program} success`,
];

test('numbers belong to the program that returned them', () => {
  const title = (code: number, ...programs: readonly Address[]) =>
    decodeTransaction({ logs: failing(code, ...programs) }).failure?.title;
  assert.equal(title(7037, ours), 'flash-liquidator 7037 ProfitBelowMinimum');
  assert.equal(title(6099, ours, klend), 'klend 6099 LiquidationBorrowFactorPriority');
  assert.equal(title(1, ours, token), 'token program 1 InsufficientFunds');
  assert.equal(title(3012, ours), 'Anchor 3012 AccountNotInitialized');
  // A swap's 6016 is not klend's, and its 7010 is not ours.
  assert.equal(title(6016, ours, swap), 'program error 6016');
  assert.equal(title(7010, ours, swap), 'program error 7010');
});

test('without logs the error of an RPC node decides', () => {
  const decode = (code: number) =>
    decodeTransaction({
      logs: [],
      error: { InstructionError: [1, { Custom: code }] },
      programs: [klend, ours],
    }).failure;
  assert.equal(decode(7010)?.name, 'DeadlinePassed');
  assert.equal(decode(6016)?.name, 'ObligationHealthy');
  assert.equal(decodeTransaction({ logs: [], error: null }).failure, null);
  const refused = decodeTransaction({ logs: [], error: 'BlockhashNotFound' }).failure;
  assert.match(refused?.title ?? '', /BlockhashNotFound/);
});

test('exhausted compute units are told from an abort', () => {
  const failed = (reason: string) =>
    decodeTransaction({ logs: [`Program ${ours} invoke [1]`, `Program ${ours} failed: ${reason}`] })
      .failure;
  assert.equal(failed('exceeded CUs meter at BPF instruction')?.title, 'compute units exhausted');
  assert.match(failed('Access violation')?.sentence ?? '', /Access violation/);
});

test('our events are read and nobody else’s', () => {
  assert.deepEqual(decodeTransaction({ logs: emitted(ours, data) }).events, [
    { name: 'Settled', data: settled },
  ]);
  assert.deepEqual(decodeTransaction({ logs: emitted(swap, data) }).events, []);
  assert.equal(decodeEvent(Uint8Array.of(...data, 0)), null);
  assert.equal(decodeEvent(data.slice(0, 7)), null);
  assert.deepEqual(
    decodeTransaction({ logs: [...emitted(ours, data), ...failing(1, swap)] }).events,
    [],
  );
});

test('a program cannot forge the runtime or another program', () => {
  const logs = readLogs([
    `Program ${swap} invoke [1]`,
    `Program log: Program ${ours} invoke [2]`,
    'Program log: Program data: AQI=',
    'Program data: AwQ= BQ==',
    `Program log: Program ${ours} failed: custom program error: 0x1`,
    `Program ${swap} success`,
    'Log truncated',
  ]);
  assert.deepEqual(logs.data, [{ program: swap, bytes: Uint8Array.of(3, 4, 5) }]);
  assert.equal(logs.failedProgram, null);
  assert.equal(logs.truncated, true);
});

test('every number has a name, a sentence and a hint', () => {
  assert.equal(KLEND_ERRORS.length, 195);
  assert(RECEIVER_ERRORS.length >= 47);
  for (const { code, name, sentence, hint } of [...KLEND_ERRORS, ...RECEIVER_ERRORS]) {
    assert(name.length > 2 && sentence.length > 4 && hint.length > 4, `${code}`);
  }
  assert.equal(explain(swap, 5).name, null);
});

test('flash fees are rounded as klend rounds them', () => {
  const one = 1n << 60n;
  const fee = (rate: bigint | null, amount: bigint) =>
    flashLoanFee({ address: klend, flashLoanFeeSf: rate } as Reserve, amount);
  assert.equal(fee(one / 1_000n, 1_000_000n), 1_000n);
  assert.equal(fee(one / 1_000n, 2n), 1n, 'at least one unit');
  assert.equal(fee(one / 2n, 5n), 3n, 'half up');
  assert.equal(fee(0n, 5n), 0n);
  assert.throws(() => fee(one / 1_000n, 1n), /not more than its fee/);
  assert.throws(() => fee(null, 5n), /gives no flash loans/);
});

test('the generated client knows its instructions', () => {
  assert.equal(
    identifyFlashLiquidatorInstruction(getLiquidateDiscriminatorBytes()),
    FlashLiquidatorInstruction.Liquidate,
  );
});
