// The real program, in LiteSVM: borrow, liquidate, sell, repay.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
  type Instruction,
  type TransactionSigner,
  generateKeyPairSigner,
  lamports,
} from '@solana/kit';
import {
  FLASH_LIQUIDATOR_PROGRAM_ADDRESS,
  type FlashLiquidation,
  type Obligation,
  type Reserve,
  decodeTransaction,
  flashLiquidationInstructions,
  flashLoanFee,
  isObligation,
  keeperAccounts,
  lookupTableCandidates,
  obligationFromSdk,
  readObligation,
  reserveFromSdk,
  setUpKeeper,
  signedTransaction,
} from 'klend-flash-liquidator';
import { FailedTransactionMetadata } from 'litesvm';

import { type Fork, loadFork } from '../examples/fork.js';
import { sellInPool, standInPoolProgram } from '../examples/stand-in-pool.js';
import { logsOf, putLookupTable, refreshed, send, tokenBalance } from '../examples/svm.js';
import { sdkObjects } from './sdk-objects.js';

interface Scene extends Fork {
  readonly keeper: TransactionSigner;
  readonly risky: Obligation;
  readonly healthy: Obligation;
  readonly reserves: readonly Reserve[];
  readonly repay: Reserve;
  readonly withdraw: Reserve;
}

async function scene(): Promise<Scene> {
  const fork = loadFork();
  const keeper = await generateKeyPairSigner();
  fork.svm.airdrop(keeper.address, lamports(1_000_000_000n));
  const found = [];
  for (const account of fork.accounts.filter(isObligation)) {
    found.push(await refreshed(fork.svm, keeper, account));
  }
  const risky = found.find(({ obligation }) => obligation.wasLiquidatable);
  const healthy = found.find(({ obligation }) => !obligation.wasLiquidatable)?.obligation;
  assert(risky && healthy, 'the fork has a risky and a healthy position');
  const { obligation, reserves } = risky;
  const repay = reserves.find(({ address }) => address === obligation.debts[0]?.reserve);
  const withdraw = reserves.find(({ address }) => address === obligation.deposits[0]?.reserve);
  assert(repay && withdraw);
  await send(fork.svm, keeper, await setUpKeeper(keeper, repay, withdraw));
  return { ...fork, keeper, risky: obligation, healthy, reserves, repay, withdraw };
}

async function instructions(
  scene: Scene,
  change: Partial<FlashLiquidation> = {},
): Promise<Instruction[]> {
  const { accounts, keeper, risky, reserves, repay, withdraw } = scene;
  const pool = accounts.find(({ programAddress }) => programAddress === standInPoolProgram);
  assert(pool);
  return flashLiquidationInstructions({
    keeper,
    obligation: risky,
    reserves,
    repayReserve: repay.address,
    withdrawReserve: withdraw.address,
    flashAmount: risky.debts[0]?.amount ?? 0n,
    terms: { minProfit: 1n },
    route: await sellInPool(pool, keeper.address, withdraw, repay),
    ...change,
  });
}

async function execute({ svm, keeper }: Scene, list: readonly Instruction[]) {
  const table = await putLookupTable(svm, keeper, lookupTableCandidates(list, keeper.address));
  const transaction = await signedTransaction({
    payer: keeper,
    instructions: list,
    lifetime: { blockhash: svm.latestBlockhash(), lastValidBlockHeight: 0n },
    computeUnitLimit: 600_000,
    computeUnitPrice: 1_000n,
    lookupTables: { [table.address]: table.addresses },
  });
  const result = svm.sendTransaction(transaction);
  return { result, decoded: decodeTransaction({ logs: logsOf(result) }) };
}

test('a risky position is liquidated with a profit, which the event reports', async () => {
  const world = await scene();
  const { svm, keeper, risky, repay, withdraw } = world;
  const account = (await keeperAccounts(keeper.address, repay, withdraw)).debt;
  const before = tokenBalance(svm, account);
  const { decoded } = await execute(world, await instructions(world));
  assert.equal(decoded.failure, null);
  const [event] = decoded.events;
  assert(event?.name === 'Liquidated' && decoded.events.length === 1);
  const { data } = event;
  assert.equal(data.keeper, keeper.address);
  assert.equal(data.obligation, risky.address);
  assert.equal(data.repayReserve, repay.address);
  assert.equal(data.withdrawReserve, withdraw.address);
  assert.equal(data.debtMint, repay.liquidityMint);
  assert.equal(data.collateralMint, withdraw.liquidityMint);
  assert.equal(data.flashLoan, risky.debts[0]?.amount);
  assert.equal(data.flashFee, flashLoanFee(repay, data.flashLoan));
  assert.equal(data.ctokensReceived, 0n);
  assert.equal(data.collateralSold, data.collateralReceived);
  assert.equal(data.profit, data.swapProceeds - data.debtRepaid - data.flashFee);
  assert(data.profit > 0n && data.debtRepaid > 0n && data.minProfit === 1n);
  assert.equal(tokenBalance(svm, account) - before, data.profit);

  const changed = svm.getAccount(risky.address);
  assert(changed.exists);
  const after = readObligation(changed);
  assert(after.debts[0] && risky.debts[0] && after.debts[0].amount < risky.debts[0].amount);
  assert(after.deposits[0] && risky.deposits[0]);
  assert(after.deposits[0].ctokenAmount < risky.deposits[0].ctokenAmount);
});

for (const { version, obligations, reserves } of sdkObjects) {
  test(`what klend-sdk ${version} has decoded, in place of the accounts`, async () => {
    const world = await scene();
    const kaminoReserves = reserves.map(({ object }) => object);
    const kaminoObligation = obligations
      .map(({ object }) => object)
      .find((object) => obligationFromSdk(object).address === world.risky.address);
    assert(kaminoObligation);
    const list = await instructions(world, {
      obligation: obligationFromSdk(kaminoObligation),
      reserves: await Promise.all(kaminoReserves.map(reserveFromSdk)),
    });
    const { decoded } = await execute(world, list);
    assert.equal(decoded.failure, null);
    assert(decoded.events[0]?.name === 'Liquidated' && decoded.events[0].data.profit > 0n);
    assert.deepEqual(list, await instructions(world));
  });
}

test('a refresh of each reserve and setup instructions before the loan work too', async () => {
  const world = await scene();
  const setup = await setUpKeeper(world.keeper, world.repay, world.withdraw);
  const list = await instructions(world, { refresh: 'each', setup: setup.slice(0, 1) });
  assert.equal(list.length, 1 + 1 + 2 + 1 + 1 + 1);
  const { decoded } = await execute(world, list);
  assert.equal(decoded.failure, null);
});

test('too much profit asked for: our error, in words, and nothing moves', async () => {
  const world = await scene();
  const { svm, keeper, repay, withdraw } = world;
  const account = (await keeperAccounts(keeper.address, repay, withdraw)).debt;
  const list = await instructions(world, { terms: { minProfit: 10n ** 15n } });
  const { result, decoded } = await execute(world, list);
  assert(result instanceof FailedTransactionMetadata);
  assert.equal(decoded.failure?.name, 'ProfitBelowMinimum');
  assert.equal(decoded.failure.code, 7037);
  assert.equal(decoded.failure.program, FLASH_LIQUIDATOR_PROGRAM_ADDRESS);
  assert.match(decoded.failure.title, /^flash-liquidator 7037 /);
  assert.match(decoded.failure.hint, /lower min_profit/);
  assert.deepEqual(decoded.events, []);
  assert.equal(tokenBalance(svm, account), 0n);
});

test('a healthy position: klend’s error through ours', async () => {
  const world = await scene();
  const list = await instructions(world, { obligation: world.healthy });
  const { decoded } = await execute(world, list);
  assert.equal(decoded.failure?.title, 'klend 6016 ObligationHealthy');
  assert.match(decoded.failure.sentence, /healthy/);
});

test('a deadline that has passed', async () => {
  const world = await scene();
  const list = await instructions(world, { terms: { deadlineSlot: 1n } });
  const { decoded } = await execute(world, list);
  assert.equal(decoded.failure?.name, 'DeadlinePassed');
});

test('what does not fit a transaction is refused before it is signed', async () => {
  const world = await scene();
  const { svm, keeper } = world;
  await assert.rejects(
    signedTransaction({
      payer: keeper,
      instructions: await instructions(world),
      lifetime: { blockhash: svm.latestBlockhash(), lastValidBlockHeight: 0n },
    }),
    /the transaction takes \d+ bytes, 1232 fit/,
  );
});
