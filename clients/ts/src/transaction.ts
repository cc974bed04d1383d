/**
 * From instructions to a signed transaction.
 *
 * @module
 */

import {
  type AddressesByLookupTableAddress,
  type Blockhash,
  type Instruction,
  type TransactionSigner,
  appendTransactionMessageInstructions,
  compileTransaction,
  compressTransactionMessageUsingAddressLookupTables,
  createTransactionMessage,
  getTransactionSize,
  pipe,
  setTransactionMessageComputeUnitLimit,
  setTransactionMessageComputeUnitPrice,
  setTransactionMessageFeePayerSigner,
  setTransactionMessageLifetimeUsingBlockhash,
  signTransactionMessageWithSigners,
} from '@solana/kit';

/** Most bytes of a version 0 transaction, signatures included. */
export const MAX_TRANSACTION_BYTES = 1_232;

/** What a transaction needs beside its instructions. */
export interface TransactionInput {
  /** Fee payer. */
  readonly payer: TransactionSigner;
  /** Its instructions, in order. */
  readonly instructions: readonly Instruction[];
  /** A recent blockhash and the last block it is good for. */
  readonly lifetime: {
    readonly blockhash: Blockhash;
    readonly lastValidBlockHeight: bigint;
  };
  /** Compute units it may use. Default: the runtime's 200,000 per instruction. */
  readonly computeUnitLimit?: number;
  /** Priority fee, micro-lamports per compute unit of the limit. Default: none. */
  readonly computeUnitPrice?: bigint;
  /** Lookup tables to use, by address: `fetchAddressesForLookupTables` of Kit reads them. */
  readonly lookupTables?: AddressesByLookupTableAddress;
}

/**
 * A signed version 0 transaction.
 *
 * @throws when it takes more than {@link MAX_TRANSACTION_BYTES}.
 */
export async function signedTransaction(
  input: TransactionInput,
): Promise<Awaited<ReturnType<typeof signTransactionMessageWithSigners>>> {
  const { payer, instructions, lifetime, lookupTables = {} } = input;
  const message = pipe(
    createTransactionMessage({ version: 0 }),
    (message) => setTransactionMessageFeePayerSigner(payer, message),
    (message) => setTransactionMessageLifetimeUsingBlockhash(lifetime, message),
    (message) => appendTransactionMessageInstructions(instructions, message),
    (message) => setTransactionMessageComputeUnitLimit(input.computeUnitLimit, message),
    (message) => setTransactionMessageComputeUnitPrice(input.computeUnitPrice, message),
    (message) => compressTransactionMessageUsingAddressLookupTables(message, lookupTables),
  );
  const bytes = getTransactionSize(compileTransaction(message));
  if (bytes > MAX_TRANSACTION_BYTES) {
    throw new Error(
      `the transaction takes ${bytes} bytes, ${MAX_TRANSACTION_BYTES} fit: put more accounts into a lookup table or shorten the route`,
    );
  }
  return signTransactionMessageWithSigners(message);
}
