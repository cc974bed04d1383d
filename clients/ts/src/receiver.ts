/**
 * This project's on-chain program: `liquidate`, what the keeper signs for, and the swap
 * route that turns the collateral into the debt token.
 *
 * @module
 */

import {
  AccountRole,
  type AccountMeta,
  type Address,
  type ReadonlyUint8Array,
  type TransactionSigner,
} from '@solana/kit';

import { KLEND } from './facts/klend.js';
import {
  FLASH_LIQUIDATOR_PROGRAM_ADDRESS,
  Redemption,
  findSwapAuthorityPda,
  getLiquidateInstruction,
  getSweepInstruction,
} from './generated/index.js';
import type { Obligation, Reserve } from './klend/accounts.js';
import { farmUserState } from './klend/pda.js';
import {
  type BuiltInstruction,
  type SignerMeta,
  instructionsSysvarAddress,
  tokenProgramAddress,
} from './meta.js';
import { associatedTokenAccount } from './token.js';

/** Largest u64: as much as the flash loan and klend allow. */
export const AS_MUCH_AS_POSSIBLE = 0xffff_ffff_ffff_ffffn;

/** What the keeper signs for, beyond the accounts. Amounts are raw units. */
export interface Terms {
  /** Most debt to repay, debt units. Default: {@link AS_MUCH_AS_POSSIBLE}. */
  readonly repayAmount?: bigint;
  /** Least collateral that must arrive after klend's protocol fee, collateral units. Default: 0. */
  readonly minCollateralReceived?: bigint;
  /** Least profit after loan and fee, debt units; negative consents to a loss. Default: 0. */
  readonly minProfit?: bigint;
  /** Last slot in which this may execute; 0 for none. Default: 0. */
  readonly deadlineSlot?: bigint;
  /** Whether cTokens that klend cannot redeem are acceptable. Default: `RequireFull`. */
  readonly redemption?: Redemption;
}

/** The keeper's token accounts. */
export interface KeeperAccounts {
  /** Of the debt mint: the loan arrives and is repaid here, the profit stays. */
  readonly debt: Address;
  /** Of the withdraw reserve's cToken mint. */
  readonly ctoken: Address;
  /** Of the collateral mint. */
  readonly collateral: Address;
}

/** One call of a swap program, signed by the keeper's swap authority. */
export interface SwapLeg {
  /** Program to call. */
  readonly program: Address;
  /**
   * Its accounts. Signer roles are dropped: on chain the swap authority signs wherever
   * it appears, and nobody else does.
   */
  readonly accounts: readonly AccountMeta[];
  /** Whose balance fills `amountInOffset`: 0 is the collateral, `n` the n-th intermediate. */
  readonly input: number;
  /**
   * Where in `data` the program writes the input that is really there, as a
   * little-endian u64. `null` leaves `data` as it is.
   */
  readonly amountInOffset: number | null;
  /** Instruction data. */
  readonly data: ReadonlyUint8Array;
}

/** A token between collateral and debt. */
export interface Intermediate {
  /** The swap authority's account of it. */
  readonly swapAccount: Address;
  /** The keeper's account of it, where leftovers go. */
  readonly keeperAccount: Address;
  /** Its mint. */
  readonly mint: Address;
  /** Token program of the mint. */
  readonly tokenProgram: Address;
}

/** How the collateral becomes the debt token. */
export interface Route {
  /** The swap authority's account of the collateral mint. */
  readonly swapCollateral: Address;
  /**
   * The swap authority's account of the debt mint; `null` when the last leg pays the
   * keeper's debt account itself. With it no leg may touch the debt account, so that
   * nothing that arrives there from elsewhere can stand in for proceeds that a leg
   * withholds: leave it out only for programs that you know well.
   */
  readonly swapDebt: Address | null;
  /** Tokens on the way, numbered from 1 by {@link SwapLeg.input}. */
  readonly intermediates: readonly Intermediate[];
  /** Calls, in order. */
  readonly legs: readonly SwapLeg[];
}

/** A keeper's swap authority and the bump of its address: PDA `["swap_authority", keeper]`. */
export async function swapAuthority(
  keeper: Address,
): Promise<{ readonly address: Address; readonly bump: number }> {
  const [address, bump] = await findSwapAuthorityPda({ keeper });
  return { address, bump };
}

/** The keeper's associated token accounts for liquidating this debt and collateral. */
export async function keeperAccounts(
  keeper: Address,
  repay: Reserve,
  withdraw: Reserve,
): Promise<KeeperAccounts> {
  const [debt, ctoken, collateral] = await Promise.all([
    associatedTokenAccount(keeper, repay.liquidityMint, repay.liquidityTokenProgram),
    associatedTokenAccount(keeper, withdraw.ctokenMint, tokenProgramAddress),
    associatedTokenAccount(keeper, withdraw.liquidityMint, withdraw.liquidityTokenProgram),
  ]);
  return { debt, ctoken, collateral };
}

/** An intermediate token over the associated accounts of the keeper and its swap authority. */
export async function intermediate(
  keeper: Address,
  mint: Address,
  tokenProgram: Address,
): Promise<Intermediate> {
  const authority = await swapAuthority(keeper);
  const [swapAccount, keeperAccount] = await Promise.all([
    associatedTokenAccount(authority.address, mint, tokenProgram),
    associatedTokenAccount(keeper, mint, tokenProgram),
  ]);
  return { swapAccount, keeperAccount, mint, tokenProgram };
}

/** Accounts and terms of one `liquidate`. */
export interface LiquidateInput {
  /** Signer, owner of the token accounts, borrower of the flash loan. */
  readonly keeper: TransactionSigner;
  /** The keeper's token accounts. */
  readonly keeperAccounts: KeeperAccounts;
  /** Obligation to liquidate. */
  readonly obligation: Obligation;
  /** Reserve of the debt. */
  readonly repay: Reserve;
  /** Reserve of the collateral. */
  readonly withdraw: Reserve;
  /** Reserve that lends. */
  readonly flashReserve: Address;
  /** Position of klend's flash borrow among the transaction's instructions. */
  readonly flashBorrowIndex: number;
  /** Position of klend's flash repay. */
  readonly flashRepayIndex: number;
  /** What the keeper signs for. */
  readonly terms?: Terms;
  /** How the collateral becomes the debt token; none when it is kept, or is the debt token. */
  readonly route?: Route | undefined;
  /**
   * The market's permissioning authority, who signs as well, where klend wants it for
   * this liquidation (klend 1.24 and later).
   */
  readonly permissioner?: TransactionSigner | undefined;
}

/**
 * `liquidate`, with the remaining accounts that its arguments announce.
 *
 * @throws RangeError when a count or an index does not fit its byte.
 */
export async function liquidate(input: LiquidateInput): Promise<BuiltInstruction> {
  const { keeper, obligation, repay, withdraw, route, permissioner, terms = {} } = input;
  const authority = await swapAuthority(keeper.address);
  const collateralFarm = await farm(withdraw.collateralFarm, obligation.address);
  const debtFarm = await farm(repay.debtFarm, obligation.address);
  // klend wants all active deposits of an obligation in an elevation group.
  const depositReserves =
    obligation.elevationGroup === 0 ? [] : obligation.deposits.map(({ reserve }) => reserve);
  const intermediates = route?.intermediates ?? [];
  const legs = route?.legs ?? [];

  const built = getLiquidateInstruction({
    keeper,
    obligation: obligation.address,
    lendingMarket: repay.lendingMarket,
    lendingMarketAuthority: repay.lendingMarketAuthority,
    repayReserve: repay.address,
    debtMint: repay.liquidityMint,
    repayReserveLiquiditySupply: repay.liquiditySupplyVault,
    withdrawReserve: withdraw.address,
    collateralMint: withdraw.liquidityMint,
    ctokenMint: withdraw.ctokenMint,
    withdrawReserveCollateralSupply: withdraw.collateralSupplyVault,
    withdrawReserveLiquiditySupply: withdraw.liquiditySupplyVault,
    withdrawReserveFeeVault: withdraw.feeVault,
    keeperDebt: input.keeperAccounts.debt,
    keeperCtoken: input.keeperAccounts.ctoken,
    keeperCollateral: input.keeperAccounts.collateral,
    ctokenTokenProgram: tokenProgramAddress,
    debtTokenProgram: repay.liquidityTokenProgram,
    collateralTokenProgram: withdraw.liquidityTokenProgram,
    instructionsSysvar: instructionsSysvarAddress,
    collateralFarmUserState: collateralFarm.stake,
    collateralFarmState: collateralFarm.farm,
    debtFarmUserState: debtFarm.stake,
    debtFarmState: debtFarm.farm,
    farmsProgram: KLEND.farmsProgramAddress,
    klendProgram: KLEND.programAddress,
    flashReserve: input.flashReserve,
    swapAuthority: authority.address,
    ...(route && { swapCollateral: route.swapCollateral }),
    ...(route && route.swapDebt !== null && { swapDebt: route.swapDebt }),
    repayAmount: terms.repayAmount ?? AS_MUCH_AS_POSSIBLE,
    minCollateralReceived: terms.minCollateralReceived ?? 0n,
    minProfit: terms.minProfit ?? 0n,
    deadlineSlot: terms.deadlineSlot ?? 0n,
    flashBorrowIndex: byte('flash borrow', input.flashBorrowIndex),
    flashRepayIndex: byte('flash repay', input.flashRepayIndex),
    redemption: terms.redemption ?? Redemption.RequireFull,
    depositReserveCount: byte('deposit reserves', depositReserves.length),
    hasPermissioner: permissioner !== undefined,
    intermediateCount: byte('intermediates', intermediates.length),
    swapAuthorityBump: authority.bump,
    legs: legs.map(({ accounts, input, amountInOffset, data }) => ({
      // The swap program is the first of a leg's accounts.
      accountCount: byte('accounts of a swap leg', accounts.length + 1),
      input: byte('input of a swap leg', input),
      amountInOffset,
      data,
    })),
  });

  // Farms are passed on to klend, which writes them; the program itself only reads.
  const farms = new Set<Address>(
    [collateralFarm, debtFarm].flatMap(({ stake, farm }) =>
      farm === KLEND.programAddress ? [] : [stake, farm],
    ),
  );
  const named = built.accounts.map((meta) =>
    farms.has(meta.address) ? { ...meta, role: AccountRole.WRITABLE as const } : meta,
  );
  return {
    programAddress: FLASH_LIQUIDATOR_PROGRAM_ADDRESS,
    accounts: [
      ...named,
      ...depositReserves.map(writable),
      ...(permissioner ? [signing(permissioner)] : []),
      ...intermediates.flatMap(({ swapAccount, keeperAccount, mint, tokenProgram }) => [
        writable(swapAccount),
        writable(keeperAccount),
        readonly(mint),
        readonly(tokenProgram),
      ]),
      ...legs.flatMap(({ program, accounts }) => [
        readonly(program),
        ...accounts.map(({ address, role }) =>
          role === AccountRole.WRITABLE || role === AccountRole.WRITABLE_SIGNER
            ? writable(address)
            : readonly(address),
        ),
      ]),
    ],
    data: built.data,
  };
}

/** A token account of a keeper's swap authority to empty and close. */
export interface Swept {
  /** The swap authority's account. */
  readonly swapAccount: Address;
  /** The keeper's account of the same mint, where the tokens go. It must exist. */
  readonly keeperAccount: Address;
  /** Their mint. */
  readonly mint: Address;
  /** Token program of the mint. */
  readonly tokenProgram: Address;
}

/**
 * `sweep`: everything in these accounts of the keeper's swap authority goes to the keeper,
 * and so does their rent. {@link intermediate} names the associated accounts of a mint.
 *
 * An account in which a fee is withheld is emptied and stays: anybody may collect the
 * fee into the mint first (`HarvestWithheldTokensToMint` of Token-2022).
 */
export async function sweep(
  keeper: TransactionSigner,
  accounts: readonly Swept[],
): Promise<BuiltInstruction> {
  const authority = await swapAuthority(keeper.address);
  const built = getSweepInstruction({
    keeper,
    swapAuthority: authority.address,
    swapAuthorityBump: authority.bump,
  });
  return {
    programAddress: FLASH_LIQUIDATOR_PROGRAM_ADDRESS,
    accounts: [
      ...built.accounts,
      ...accounts.flatMap(({ swapAccount, keeperAccount, mint, tokenProgram }) => [
        writable(swapAccount),
        writable(keeperAccount),
        readonly(mint),
        readonly(tokenProgram),
      ]),
    ],
    data: built.data,
  };
}

const signing = (signer: TransactionSigner): SignerMeta => ({
  address: signer.address,
  role: AccountRole.READONLY_SIGNER,
  signer,
});
const readonly = (address: Address): AccountMeta => ({ address, role: AccountRole.READONLY });
const writable = (address: Address): AccountMeta => ({ address, role: AccountRole.WRITABLE });

/** A farm and the obligation's stake in it; klend's own id in the place of both without a farm. */
async function farm(
  farm: Address | null,
  obligation: Address,
): Promise<{ readonly stake: Address; readonly farm: Address }> {
  if (farm === null) return { stake: KLEND.programAddress, farm: KLEND.programAddress };
  return { stake: await farmUserState(farm, obligation), farm };
}

function byte(what: string, value: number): number {
  if (!Number.isInteger(value) || value < 0 || value > 255) {
    throw new RangeError(`${what}: ${value} does not fit a byte`);
  }
  return value;
}
