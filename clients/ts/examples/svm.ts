// What an RPC node and a wallet do on a cluster, for LiteSVM.

import {
  type Address,
  type EncodedAccount,
  type Instruction,
  type TransactionSigner,
  getU64Decoder,
} from '@solana/kit';
import {
  MAX_ADDRESSES_PER_EXTEND,
  type Obligation,
  type Reserve,
  createLookupTable,
  distinctReserves,
  extendLookupTable,
  readObligation,
  readReserve,
  refreshObligation,
  refreshReservesBatch,
  signedTransaction,
} from 'klend-flash-liquidator';
import { FailedTransactionMetadata, type LiteSVM, type TransactionMetadata } from 'litesvm';

/** The log lines of a transaction, failed or not. */
export function logsOf(result: TransactionMetadata | FailedTransactionMetadata): string[] {
  return (result instanceof FailedTransactionMetadata ? result.meta() : result).logs();
}

/** Sends instructions that must succeed. */
export async function send(
  svm: LiteSVM,
  payer: TransactionSigner,
  instructions: readonly Instruction[],
): Promise<TransactionMetadata> {
  const lifetime = { blockhash: svm.latestBlockhash(), lastValidBlockHeight: 0n };
  const result = svm.sendTransaction(await signedTransaction({ payer, instructions, lifetime }));
  if (result instanceof FailedTransactionMetadata) throw new Error(result.toString());
  return result;
}

/**
 * The obligation and its reserves at this moment: refreshed as anybody may, then read.
 * On a cluster the same refresh is simulated instead of sent.
 */
export async function refreshed(
  svm: LiteSVM,
  payer: TransactionSigner,
  account: EncodedAccount,
): Promise<{ readonly obligation: Obligation; readonly reserves: readonly Reserve[] }> {
  const obligation = readObligation(account);
  const reserves = await Promise.all(
    distinctReserves(obligation).map((address) => readReserve(existing(svm, address))),
  );
  await send(svm, payer, [refreshReservesBatch(reserves), refreshObligation(obligation)]);
  return { obligation: readObligation(existing(svm, account.address)), reserves };
}

/** Units in a token account. */
export function tokenBalance(svm: LiteSVM, account: Address): bigint {
  return getU64Decoder().decode(existing(svm, account).data, 64);
}

function existing(svm: LiteSVM, address: Address): EncodedAccount {
  const account = svm.getAccount(address);
  if (!account.exists) throw new Error(`account ${address} is not there`);
  return account;
}

/** Makes a lookup table of `addresses` and waits until it can be used. */
export async function putLookupTable(
  svm: LiteSVM,
  authority: TransactionSigner,
  addresses: Address[],
): Promise<{ readonly address: Address; readonly addresses: Address[] }> {
  const { slot } = svm.getClock();
  const { instruction, address } = await createLookupTable(authority, slot - 1n);
  await send(svm, authority, [instruction]);
  for (let start = 0; start < addresses.length; start += MAX_ADDRESSES_PER_EXTEND) {
    const some = addresses.slice(start, start + MAX_ADDRESSES_PER_EXTEND);
    await send(svm, authority, [extendLookupTable(address, authority, some)]);
  }
  svm.warpToSlot(slot + 1n);
  return { address, addresses };
}
