// The client against the Rust client: the same accounts must give the same instructions,
// to the last byte.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import {
  AccountRole,
  type Address,
  type Instruction,
  type TransactionSigner,
  address,
  createNoopSigner,
  getBase64Decoder,
  getBase64Encoder,
  isSignerRole,
  isWritableRole,
} from '@solana/kit';
import {
  Redemption,
  type Route,
  distinctReserves,
  flashLiquidationInstructions,
  intermediate,
  readObligation,
  readReferralFeeBps,
  readReserve,
  referrerTokenStates,
  sweep,
} from 'klend-flash-liquidator';

interface MetaJson {
  readonly address: string;
  readonly signer: boolean;
  readonly writable: boolean;
}

interface InstructionJson {
  readonly program: string;
  readonly accounts: readonly MetaJson[];
  readonly data: string;
}

interface Case {
  readonly name: string;
  readonly keeper: string;
  readonly obligation: string;
  readonly lendingMarket: string;
  readonly repayReserve: string;
  readonly withdrawReserve: string;
  readonly flashReserve: string;
  readonly flashAmount: string;
  readonly permissioner: string | null;
  readonly refresh: 'batch' | 'each';
  readonly terms: {
    readonly repayAmount: string;
    readonly minCollateralReceived: string;
    readonly minProfit: string;
    readonly deadlineSlot: string;
    readonly redemption: keyof typeof Redemption;
  };
  readonly route: {
    readonly swapCollateral: string;
    readonly swapDebt: string | null;
    readonly intermediates: readonly { readonly mint: string; readonly tokenProgram: string }[];
    readonly legs: readonly {
      readonly program: string;
      readonly accounts: readonly MetaJson[];
      readonly input: number;
      readonly amountInOffset: number | null;
      readonly data: string;
    }[];
  } | null;
  readonly instructions: readonly InstructionJson[];
}

interface Vectors {
  readonly accounts: Readonly<Record<string, { readonly owner: string; readonly data: string }>>;
  readonly cases: readonly Case[];
  readonly sweep: InstructionJson;
}

const file =
  process.env['VECTORS'] || join(import.meta.dirname, '../../../../target/typescript/vectors.json');
const { accounts, cases, sweep: expectedSweep } = JSON.parse(readFileSync(file, 'utf8')) as Vectors;

function account(key: string) {
  const found = accounts[key];
  assert(found, `${key} is not among the accounts`);
  const data = getBase64Encoder().encode(found.data);
  return { address: address(key), data, programAddress: address(found.owner) };
}

async function route(keeper: Address, json: NonNullable<Case['route']>): Promise<Route> {
  return {
    swapCollateral: address(json.swapCollateral),
    swapDebt: json.swapDebt === null ? null : address(json.swapDebt),
    intermediates: await Promise.all(
      json.intermediates.map(({ mint, tokenProgram }) =>
        intermediate(keeper, address(mint), address(tokenProgram)),
      ),
    ),
    legs: json.legs.map((leg) => ({
      program: address(leg.program),
      accounts: leg.accounts.map((meta) => ({ address: address(meta.address), role: role(meta) })),
      input: leg.input,
      amountInOffset: leg.amountInOffset,
      data: getBase64Encoder().encode(leg.data),
    })),
  };
}

function role({ signer, writable }: MetaJson): AccountRole {
  if (signer) return writable ? AccountRole.WRITABLE_SIGNER : AccountRole.READONLY_SIGNER;
  return writable ? AccountRole.WRITABLE : AccountRole.READONLY;
}

function toJson({
  programAddress,
  accounts = [],
  data = new Uint8Array(),
}: Instruction): InstructionJson {
  return {
    program: programAddress,
    accounts: accounts.map(({ address, role }) => ({
      address,
      signer: isSignerRole(role),
      writable: isWritableRole(role),
    })),
    data: getBase64Decoder().decode(data),
  };
}

async function build(vector: Case): Promise<Instruction[]> {
  const keeper: TransactionSigner = createNoopSigner(address(vector.keeper));
  const obligation = readObligation(account(vector.obligation));
  const used = distinctReserves(obligation);
  const reserves = await Promise.all(used.map((key) => readReserve(account(key))));
  const { terms } = vector;
  return flashLiquidationInstructions({
    keeper,
    obligation,
    reserves,
    repayReserve: address(vector.repayReserve),
    withdrawReserve: address(vector.withdrawReserve),
    flashReserve: await readReserve(account(vector.flashReserve)),
    flashAmount: BigInt(vector.flashAmount),
    refresh: vector.refresh,
    terms: {
      repayAmount: BigInt(terms.repayAmount),
      minCollateralReceived: BigInt(terms.minCollateralReceived),
      minProfit: BigInt(terms.minProfit),
      deadlineSlot: BigInt(terms.deadlineSlot),
      redemption: Redemption[terms.redemption],
    },
    referrerTokenStates: await referrerTokenStates(
      obligation,
      reserves,
      readReferralFeeBps(account(vector.lendingMarket)),
    ),
    ...(vector.permissioner && {
      permissioner: createNoopSigner(address(vector.permissioner)),
    }),
    ...(vector.route && { route: await route(keeper.address, vector.route) }),
  });
}

test('there are vectors', () => assert(cases.length >= 6));

for (const vector of cases) {
  test(`as Rust builds it: ${vector.name}`, async () => {
    const built = (await build(vector)).map(toJson);
    assert.deepEqual(
      built.map(({ program }) => program),
      vector.instructions.map(({ program }) => program),
    );
    for (const [position, expected] of vector.instructions.entries()) {
      assert.deepEqual(built[position], expected, `instruction ${position}`);
    }
  });
}

test('as Rust builds it: a sweep', async () => {
  const [keeperMeta, , ...swept] = expectedSweep.accounts;
  assert(keeperMeta && swept.length === 8);
  const keeper = createNoopSigner(address(keeperMeta.address));
  const token = (at: number) =>
    intermediate(
      keeper.address,
      address(swept[at + 2]?.address ?? ''),
      address(swept[at + 3]?.address ?? ''),
    );
  const built = await sweep(keeper, [await token(0), await token(4)]);
  assert.deepEqual(toJson(built), expectedSweep);
});

test('defaults are those of the Rust client', async () => {
  const vector = cases.find(({ name }) => name.startsWith('no swap'));
  assert(vector);
  const obligation = readObligation(account(vector.obligation));
  const used = distinctReserves(obligation);
  const built = await flashLiquidationInstructions({
    keeper: createNoopSigner(address(vector.keeper)),
    obligation,
    reserves: await Promise.all(used.map((key) => readReserve(account(key)))),
    repayReserve: address(vector.repayReserve),
    withdrawReserve: address(vector.withdrawReserve),
    flashAmount: BigInt(vector.flashAmount),
  });
  assert.deepEqual(built.map(toJson), vector.instructions);
});

test('accounts of another kind, owner or length are refused', async () => {
  const key = cases[0]?.obligation ?? '';
  const obligation = account(key);
  const system = address('11111111111111111111111111111111');
  assert.throws(() => readObligation({ ...obligation, programAddress: system }), /belongs to/);
  const shorter = obligation.data.slice(0, -1);
  assert.throws(() => readObligation({ ...obligation, data: shorter }), /3343 bytes/);
  const longer = Uint8Array.of(...obligation.data, 0);
  assert.deepEqual(readObligation({ ...obligation, data: longer }), readObligation(obligation));
  const other = Uint8Array.from(obligation.data).fill(0, 0, 8);
  assert.throws(() => readObligation({ ...obligation, data: other }), /no klend Obligation/);
  await assert.rejects(readReserve(obligation), /bytes/);
});

test('a reserve that is not given is named', async () => {
  const vector = cases[0];
  assert(vector);
  const obligation = readObligation(account(vector.obligation));
  const reserve = await readReserve(account(vector.repayReserve));
  await assert.rejects(
    flashLiquidationInstructions({
      keeper: createNoopSigner(address(vector.keeper)),
      obligation,
      reserves: [reserve],
      repayReserve: address(vector.repayReserve),
      withdrawReserve: address(vector.withdrawReserve),
      flashAmount: 1n,
    }),
    new RegExp(`reserve ${vector.withdrawReserve} of obligation ${vector.obligation}`),
  );
});
