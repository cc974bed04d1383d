/**
 * Small things that several modules share.
 *
 * @module
 */

import {
  type AccountMeta,
  type AccountRole,
  type Address,
  type Instruction,
  type ReadonlyUint8Array,
  type TransactionSigner,
} from '@solana/kit';

/** An account that signs, with its signer, as Kit's signing functions look for it. */
export interface SignerMeta extends AccountMeta {
  /** Always a signer's role. */
  readonly role: AccountRole.READONLY_SIGNER | AccountRole.WRITABLE_SIGNER;
  /** Who signs. */
  readonly signer: TransactionSigner;
}

/** An instruction whose accounts and data are there. */
export type BuiltInstruction = Instruction<string, readonly (AccountMeta | SignerMeta)[]> & {
  /** Its accounts, in the program's order. */
  readonly accounts: readonly (AccountMeta | SignerMeta)[];
  /** Its data. */
  readonly data: ReadonlyUint8Array;
};

/** The instructions sysvar, which klend and this program read the flash loan from. */
export const instructionsSysvarAddress =
  'Sysvar1nstructions1111111111111111111111111' as Address<'Sysvar1nstructions1111111111111111111111111'>;

/** The system program. */
export const systemProgramAddress =
  '11111111111111111111111111111111' as Address<'11111111111111111111111111111111'>;

/** SPL Token, the program of every cToken. */
export const tokenProgramAddress =
  'TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA' as Address<'TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA'>;
