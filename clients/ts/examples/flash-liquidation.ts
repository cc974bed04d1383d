// Your own flash liquidation, in LiteSVM: docs/typescript.md walks through it.

import { generateKeyPairSigner, lamports } from '@solana/kit';
import {
  AS_MUCH_AS_POSSIBLE,
  decodeTransaction,
  flashLiquidationInstructions,
  flashLoanFee,
  isObligation,
  keeperAccounts,
  lookupTableCandidates,
  setUpKeeper,
  signedTransaction,
} from 'klend-flash-liquidator';

import { loadFork } from './fork.js';
import { sellInPool, standInPoolProgram } from './stand-in-pool.js';
import { logsOf, putLookupTable, refreshed, send, tokenBalance } from './svm.js';

const { svm, accounts } = loadFork();

// 1. A keeper needs lamports for fees and rent, and no tokens.
const keeper = await generateKeyPairSigner();
svm.airdrop(keeper.address, lamports(1_000_000_000n));

// 2. Find an obligation that can be liquidated. Every address that klend wants stands in
//    its reserves. On a cluster: getProgramAccounts of klend, `obligationFilters(market)`.
let found: Awaited<ReturnType<typeof refreshed>> | undefined;
for (const account of accounts.filter(isObligation)) {
  const candidate = await refreshed(svm, keeper, account);
  if (candidate.obligation.wasLiquidatable) found = candidate;
}
if (found === undefined) throw new Error('every position of this fork is healthy');
const { obligation, reserves } = found;
const [debt] = obligation.debts;
const [deposit] = obligation.deposits;
const repay = reserves.find(({ address }) => address === debt?.reserve);
const withdraw = reserves.find(({ address }) => address === deposit?.reserve);
if (!debt || !deposit || !repay || !withdraw) throw new Error('nothing to repay or to seize');

// 3. Open the keeper's token accounts, once.
await send(svm, keeper, await setUpKeeper(keeper, repay, withdraw));

// 4. Build the liquidation: borrow, refresh, liquidate and sell, repay.
const pool = accounts.find(({ programAddress }) => programAddress === standInPoolProgram);
if (pool === undefined) throw new Error('the fork has no pool to sell in');
const instructions = await flashLiquidationInstructions({
  keeper,
  obligation,
  reserves,
  repayReserve: repay.address,
  withdrawReserve: withdraw.address,
  // The whole debt and a little interest; klend takes what it allows, the rest goes back.
  flashAmount: debt.amount + debt.amount / 1_000n,
  terms: { repayAmount: AS_MUCH_AS_POSSIBLE, minProfit: 1n },
  route: await sellInPool(pool, keeper.address, withdraw, repay),
});

// 5. Sign and send it with a lookup table.
const table = await putLookupTable(
  svm,
  keeper,
  lookupTableCandidates(instructions, keeper.address),
);
const { debt: profitAccount } = await keeperAccounts(keeper.address, repay, withdraw);
const before = tokenBalance(svm, profitAccount);
const transaction = await signedTransaction({
  payer: keeper,
  instructions,
  lifetime: { blockhash: svm.latestBlockhash(), lastValidBlockHeight: 0n },
  computeUnitLimit: 400_000,
  lookupTables: { [table.address]: table.addresses },
});
const { events, failure } = decodeTransaction({ logs: logsOf(svm.sendTransaction(transaction)) });

// 6. Read what happened.
if (failure !== null) throw new Error(`${failure.title}: ${failure.sentence} ${failure.hint}`);
const event = events.find(({ name }) => name === 'Liquidated');
if (event?.name !== 'Liquidated') throw new Error('the program has logged no event');
const { data } = event;
const units = (amount: bigint, { decimals, symbol }: typeof repay): string =>
  `${(Number(amount) / 10 ** decimals).toFixed(decimals)} ${symbol}`;
console.log(`obligation    ${data.obligation}`);
console.log(`flash loan    ${units(data.flashLoan, repay)}`);
console.log(`flash fee     ${units(data.flashFee, repay)}`);
console.log(`debt repaid   ${units(data.debtRepaid, repay)}`);
console.log(`collateral    ${units(data.collateralReceived, withdraw)}`);
console.log(`proceeds      ${units(data.swapProceeds, repay)}`);
console.log(`profit        ${units(data.profit, repay)}`);

const kept = tokenBalance(svm, profitAccount) - before;
if (kept !== data.profit) throw new Error(`${kept} units arrived, the event says ${data.profit}`);
if (data.flashFee !== flashLoanFee(repay, data.flashLoan)) throw new Error('another flash fee');
