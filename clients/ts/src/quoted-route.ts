import { AccountRole, address, getBase64Encoder } from '@solana/kit';

import type { Route } from './receiver.js';

/** An account of a leg, in the JSON that `keeper quote --json` prints. */
interface QuotedAccount {
  readonly address: string;
  readonly isWritable: boolean;
  readonly isSigner: boolean;
}

/** `route` in the JSON that `keeper quote --json --keeper KEEPER --pool POOL` prints. */
export interface QuotedRoute {
  /** Whose swap authority and token accounts it names. */
  readonly keeper: string;
  readonly swapCollateral: string;
  readonly swapDebt: string | null;
  readonly intermediates: readonly {
    readonly swapAccount: string;
    readonly keeperAccount: string;
    readonly mint: string;
    readonly tokenProgram: string;
  }[];
  readonly legs: readonly {
    readonly program: string;
    readonly accounts: readonly QuotedAccount[];
    readonly input: number;
    readonly amountInOffset: number | null;
    /** Base64. */
    readonly data: string;
  }[];
}

function role({ isSigner, isWritable }: QuotedAccount): AccountRole {
  if (isSigner) return isWritable ? AccountRole.WRITABLE_SIGNER : AccountRole.READONLY_SIGNER;
  return isWritable ? AccountRole.WRITABLE : AccountRole.READONLY;
}

/**
 * The route that `keeper quote --json` counted with. It was made for `keeper`: another's
 * swap authority could not sign its legs.
 *
 * @throws where it was made for another keeper, or an address is none.
 */
export function routeFromQuote(quoted: QuotedRoute, keeper: string): Route {
  if (quoted.keeper !== keeper) {
    throw new Error(
      `the route is ${quoted.keeper}'s, not ${keeper}'s: quote with --keeper ${keeper}`,
    );
  }
  return {
    swapCollateral: address(quoted.swapCollateral),
    swapDebt: quoted.swapDebt === null ? null : address(quoted.swapDebt),
    intermediates: quoted.intermediates.map((token) => ({
      swapAccount: address(token.swapAccount),
      keeperAccount: address(token.keeperAccount),
      mint: address(token.mint),
      tokenProgram: address(token.tokenProgram),
    })),
    legs: quoted.legs.map((leg) => ({
      program: address(leg.program),
      accounts: leg.accounts.map((meta) => ({ address: address(meta.address), role: role(meta) })),
      input: leg.input,
      amountInOffset: leg.amountInOffset,
      data: getBase64Encoder().encode(leg.data),
    })),
  };
}
