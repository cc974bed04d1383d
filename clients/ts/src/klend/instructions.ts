/**
 * klend's instructions around a flash liquidation: the flash loan and the refreshes.
 *
 * @module
 */

import { AccountRole, type AccountMeta, type Address, type TransactionSigner } from '@solana/kit';

import { KLEND, KLEND_INSTRUCTIONS } from '../facts/klend.js';
import { type BuiltInstruction, instructionsSysvarAddress, type SignerMeta } from '../meta.js';
import type { Obligation, Reserve } from './accounts.js';

/**
 * The accounts that both halves of a flash loan name. klend refuses the borrow (6033)
 * unless the repay names exactly the same ones, so both are built from one value.
 */
export interface FlashLoan {
  /** Reserve that lends. */
  readonly reserve: Reserve;
  /** Owner of `tokenAccount`; signs both halves. */
  readonly borrower: TransactionSigner;
  /** Where the loan arrives and what it is repaid from. */
  readonly tokenAccount: Address;
}

const readonly = (address: Address): AccountMeta => ({ address, role: AccountRole.READONLY });
const writable = (address: Address): AccountMeta => ({ address, role: AccountRole.WRITABLE });

/** An account that is left out: klend wants its own id in its place. */
const orAbsent = (address: Address | null): AccountMeta =>
  readonly(address ?? KLEND.programAddress);

function instruction(
  discriminator: readonly number[],
  args: readonly number[],
  accounts: readonly (AccountMeta | SignerMeta)[],
): BuiltInstruction {
  return {
    programAddress: KLEND.programAddress,
    accounts,
    data: Uint8Array.from([...discriminator, ...args]),
  };
}

function u64(value: bigint): number[] {
  if (value < 0n || value > 0xffff_ffff_ffff_ffffn) {
    throw new RangeError(`an amount of ${value} does not fit 64 bits`);
  }
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value, true);
  return [...bytes];
}

function loanAccounts(loan: FlashLoan): (AccountMeta | SignerMeta)[] {
  const { reserve, borrower, tokenAccount } = loan;
  return [
    // Read-only for klend; a transaction's fee payer is writable anyway.
    { address: borrower.address, role: AccountRole.READONLY_SIGNER, signer: borrower },
    readonly(reserve.lendingMarketAuthority),
    readonly(reserve.lendingMarket),
    writable(reserve.address),
    readonly(reserve.liquidityMint),
    writable(reserve.liquiditySupplyVault),
    writable(tokenAccount),
    writable(reserve.feeVault),
    // Referrer's token state and wallet.
    orAbsent(null),
    orAbsent(null),
    readonly(instructionsSysvarAddress),
    readonly(reserve.liquidityTokenProgram),
  ];
}

/**
 * `flash_borrow_reserve_liquidity`: lends `amount` raw units. Must be a top-level
 * instruction with its {@link flashRepay} later in the transaction.
 */
export function flashBorrow(loan: FlashLoan, amount: bigint): BuiltInstruction {
  return instruction(KLEND_INSTRUCTIONS.flashBorrow, u64(amount), loanAccounts(loan));
}

/**
 * `flash_repay_reserve_liquidity`: takes back `amount` raw units, the principal; klend
 * adds the fee by itself.
 *
 * @param borrowIndex position of the {@link flashBorrow} among the transaction's instructions
 */
export function flashRepay(loan: FlashLoan, amount: bigint, borrowIndex: number): BuiltInstruction {
  const args = [...u64(amount), borrowIndex];
  return instruction(KLEND_INSTRUCTIONS.flashRepay, args, loanAccounts(loan));
}

function refreshAccounts(reserve: Reserve): AccountMeta[] {
  const { pyth, switchboardPrice, switchboardTwap, scope } = reserve.oracles;
  return [
    writable(reserve.address),
    readonly(reserve.lendingMarket),
    ...[pyth, switchboardPrice, switchboardTwap, scope].map(orAbsent),
  ];
}

/** `refresh_reserve`: accrues interest to this slot and reads the oracles. Needs no signer. */
export function refreshReserve(reserve: Reserve): BuiltInstruction {
  return instruction(KLEND_INSTRUCTIONS.refreshReserve, [], refreshAccounts(reserve));
}

/** `refresh_reserves_batch`: several reserves in one instruction, prices included. */
export function refreshReservesBatch(reserves: readonly Reserve[]): BuiltInstruction {
  // The argument: do not skip the prices.
  return instruction(
    KLEND_INSTRUCTIONS.refreshReservesBatch,
    [0],
    reserves.flatMap(refreshAccounts),
  );
}

/**
 * `refresh_obligation`: recomputes values and limits. All its reserves have to be fresh
 * in this slot. Needs no signer.
 *
 * @param referrerTokenStates for an obligation with a referrer:
 * {@link referrerTokenStates} of `accounts.ts`
 */
export function refreshObligation(
  obligation: Obligation,
  referrerTokenStates: readonly Address[] = [],
): BuiltInstruction {
  const reserves = [...obligation.deposits, ...obligation.debts].map(({ reserve }) => reserve);
  return instruction(
    KLEND_INSTRUCTIONS.refreshObligation,
    [],
    [
      readonly(obligation.lendingMarket),
      writable(obligation.address),
      ...[...reserves, ...referrerTokenStates].map(writable),
    ],
  );
}
