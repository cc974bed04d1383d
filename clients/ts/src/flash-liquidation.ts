/**
 * The whole sequence of one flash liquidation, in the order klend forces: borrow,
 * refresh what the borrow made stale, liquidate, repay.
 *
 * @module
 */

import type { Address, Instruction, TransactionSigner } from '@solana/kit';

import { type Obligation, type Reserve, distinctReserves, find } from './klend/accounts.js';
import {
  flashBorrow,
  flashRepay,
  refreshObligation,
  refreshReserve,
  refreshReservesBatch,
} from './klend/instructions.js';
import { tokenProgramAddress } from './meta.js';
import {
  type KeeperAccounts,
  type Route,
  type Terms,
  keeperAccounts,
  liquidate,
  swapAuthority,
} from './receiver.js';
import { createAssociatedTokenAccount } from './token.js';

/** One flash liquidation: everything that its instructions depend on. */
export interface FlashLiquidation {
  /** Signer, borrower and liquidator; keeps the profit. */
  readonly keeper: TransactionSigner;
  /** Obligation to liquidate. */
  readonly obligation: Obligation;
  /** Every reserve of the obligation, in any order; others are ignored. */
  readonly reserves: readonly Reserve[];
  /** Reserve of the debt to repay. */
  readonly repayReserve: Address;
  /** Reserve of the collateral to seize. */
  readonly withdrawReserve: Address;
  /**
   * Reserve that lends; of the debt's mint, in any market. Default: the repay reserve.
   * Avoid the withdraw reserve: the loan empties the vault that redeems the collateral.
   */
  readonly flashReserve?: Reserve;
  /** Principal of the flash loan, debt units. */
  readonly flashAmount: bigint;
  /** What the keeper signs for. */
  readonly terms?: Terms;
  /**
   * The market's permissioning authority, who signs as well, where klend wants it for
   * this liquidation (klend 1.24 and later).
   */
  readonly permissioner?: TransactionSigner;
  /** How the collateral becomes the debt token; none when it is kept, or is the debt token. */
  readonly route?: Route;
  /** The keeper's token accounts. Default: the associated ones. */
  readonly keeperAccounts?: KeeperAccounts;
  /** For an obligation with a referrer: `referrerTokenStates`. */
  readonly referrerTokenStates?: readonly Address[];
  /** Instructions before the loan: token accounts that are missing, mostly. */
  readonly setup?: readonly Instruction[];
  /**
   * How reserves are refreshed: all in one instruction (fewest bytes, the default), or
   * each in its own.
   */
  readonly refresh?: 'batch' | 'each';
}

/**
 * The instructions of a flash liquidation, in order.
 *
 * Compute-unit limit and price are not among them: Kit's
 * `setTransactionMessageComputeUnitLimit` puts them behind, which leaves the positions
 * that `liquidate` and the repay name alone.
 *
 * @throws when a reserve of the obligation is not among `reserves`, or something does
 * not fit its byte.
 */
export async function flashLiquidationInstructions(
  liquidation: FlashLiquidation,
): Promise<Instruction[]> {
  const { keeper, obligation, reserves, flashAmount, setup = [] } = liquidation;
  const repay = find(reserves, liquidation.repayReserve, obligation);
  const withdraw = find(reserves, liquidation.withdrawReserve, obligation);
  const flashReserve = liquidation.flashReserve ?? repay;
  const accounts =
    liquidation.keeperAccounts ?? (await keeperAccounts(keeper.address, repay, withdraw));
  const loan = { reserve: flashReserve, borrower: keeper, tokenAccount: accounts.debt };

  const stale = distinctReserves(obligation).map((key) => find(reserves, key, obligation));
  const refreshes =
    liquidation.refresh === 'each' ? stale.map(refreshReserve) : [refreshReservesBatch(stale)];
  const before = [
    ...setup,
    flashBorrow(loan, flashAmount),
    ...refreshes,
    refreshObligation(obligation, liquidation.referrerTokenStates),
  ];
  const flashBorrowIndex = setup.length;
  const flashRepayIndex = before.length + 1;
  return [
    ...before,
    await liquidate({
      keeper,
      keeperAccounts: accounts,
      obligation,
      repay,
      withdraw,
      flashReserve: flashReserve.address,
      flashBorrowIndex,
      flashRepayIndex,
      ...(liquidation.terms && { terms: liquidation.terms }),
      route: liquidation.route,
      permissioner: liquidation.permissioner,
    }),
    flashRepay(loan, flashAmount, flashBorrowIndex),
  ];
}

/**
 * Instructions that create every associated token account that a liquidation of this
 * pair of reserves needs, at the keeper's cost: the keeper's three and, with a swap,
 * those of its swap authority. They succeed when an account is there already; send
 * them once, ahead of time.
 */
export async function setUpKeeper(
  keeper: TransactionSigner,
  repay: Reserve,
  withdraw: Reserve,
): Promise<Instruction[]> {
  const authority = await swapAuthority(keeper.address);
  const wanted: (readonly [Address, Address, Address])[] = [
    [keeper.address, repay.liquidityMint, repay.liquidityTokenProgram],
    [keeper.address, withdraw.ctokenMint, tokenProgramAddress],
  ];
  if (repay.liquidityMint !== withdraw.liquidityMint) {
    wanted.push(
      [keeper.address, withdraw.liquidityMint, withdraw.liquidityTokenProgram],
      [authority.address, withdraw.liquidityMint, withdraw.liquidityTokenProgram],
      [authority.address, repay.liquidityMint, repay.liquidityTokenProgram],
    );
  }
  return Promise.all(
    wanted.map(([wallet, mint, tokenProgram]) =>
      createAssociatedTokenAccount(keeper, wallet, mint, tokenProgram),
    ),
  );
}
