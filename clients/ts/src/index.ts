/**
 * Atomic, capital-free liquidation of Kamino Lend (klend) obligations inside a klend
 * flash loan, for `@solana/kit`.
 *
 * `readReserve` and `readObligation` take account data (`reserveFromSdk` and
 * `obligationFromSdk` the objects of Kamino's klend-sdk), `flashLiquidationInstructions`
 * makes the instructions of one transaction, `signedTransaction` signs it, and
 * `decodeTransaction` says what became of it. Nothing here talks to a network.
 *
 * @packageDocumentation
 */

export {
  type Decoded,
  type Event,
  type Executed,
  type Failure,
  type Logs,
  decodeEvent,
  decodeTransaction,
  explain,
  readLogs,
} from './decode/index.js';
export { type ErrorEntry, KLEND_ERRORS, RECEIVER_ERRORS } from './facts/errors.js';
export {
  type FlashLiquidation,
  flashLiquidationInstructions,
  setUpKeeper,
} from './flash-liquidation.js';
export {
  FLASH_LIQUIDATOR_PROGRAM_ADDRESS,
  type Liquidated,
  Redemption,
  type Settled,
} from './generated/index.js';
export {
  type SdkAddress,
  type SdkNumber,
  type SdkObligation,
  type SdkReserve,
  obligationFromSdk,
  reserveFromSdk,
} from './klend-sdk.js';
export {
  type AccountData,
  type Debt,
  type Deposit,
  type Obligation,
  type Oracles,
  type Reserve,
  distinctReserves,
  flashLoanFee,
  isObligation,
  obligationFilters,
  readObligation,
  readReferralFeeBps,
  readReserve,
  referrerTokenStates,
} from './klend/accounts.js';
export {
  type FlashLoan,
  flashBorrow,
  flashRepay,
  refreshObligation,
  refreshReserve,
  refreshReservesBatch,
} from './klend/instructions.js';
export { farmUserState, lendingMarketAuthority, referrerTokenState } from './klend/pda.js';
export {
  MAX_ADDRESSES_PER_EXTEND,
  createLookupTable,
  extendLookupTable,
  lookupTableCandidates,
} from './lookup-table.js';
export { type BuiltInstruction, type SignerMeta } from './meta.js';
export { type QuotedRoute, routeFromQuote } from './quoted-route.js';
export {
  AS_MUCH_AS_POSSIBLE,
  type Intermediate,
  type KeeperAccounts,
  type LiquidateInput,
  type Route,
  type SwapLeg,
  type Swept,
  type Terms,
  intermediate,
  keeperAccounts,
  liquidate,
  swapAuthority,
  sweep,
} from './receiver.js';
export { associatedTokenAccount, createAssociatedTokenAccount } from './token.js';
export { MAX_TRANSACTION_BYTES, type TransactionInput, signedTransaction } from './transaction.js';
