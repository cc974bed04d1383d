// The constant-product pool that local forks sell collateral in. On a cluster its place
// is taken by a leg of a real venue: what its SDK or API gives as an instruction, signed
// by the swap authority, becomes a `SwapLeg`.

import {
  AccountRole,
  type AccountMeta,
  type Address,
  type EncodedAccount,
  address,
  getAddressEncoder,
  getProgramDerivedAddress,
} from '@solana/kit';
import {
  type Reserve,
  type Route,
  associatedTokenAccount,
  keeperAccounts,
  swapAuthority,
} from 'klend-flash-liquidator';

/** The pool's program. */
export const standInPoolProgram = address('SwapStandin11111111111111111111111111111111');

const readonly = (address: Address): AccountMeta => ({ address, role: AccountRole.READONLY });
const writable = (address: Address): AccountMeta => ({ address, role: AccountRole.WRITABLE });

/** A route of one leg: all collateral into the fork's pool, the debt token to the keeper. */
export async function sellInPool(
  pool: EncodedAccount,
  keeper: Address,
  withdraw: Reserve,
  repay: Reserve,
): Promise<Route> {
  const [poolAuthority] = await getProgramDerivedAddress({
    programAddress: standInPoolProgram,
    seeds: ['pool', getAddressEncoder().encode(pool.address)],
  });
  const authority = await swapAuthority(keeper);
  const account = (owner: Address, reserve: Reserve): Promise<Address> =>
    associatedTokenAccount(owner, reserve.liquidityMint, reserve.liquidityTokenProgram);
  const swapCollateral = await account(authority.address, withdraw);
  const { debt } = await keeperAccounts(keeper, repay, withdraw);
  return {
    swapCollateral,
    // The leg pays the keeper itself.
    swapDebt: null,
    intermediates: [],
    legs: [
      {
        program: standInPoolProgram,
        accounts: [
          readonly(authority.address),
          readonly(pool.address),
          writable(swapCollateral),
          writable(debt),
          writable(await account(poolAuthority, withdraw)),
          writable(await account(poolAuthority, repay)),
          readonly(withdraw.liquidityMint),
          readonly(repay.liquidityMint),
          readonly(withdraw.liquidityTokenProgram),
          readonly(repay.liquidityTokenProgram),
          readonly(poolAuthority),
        ],
        input: 0,
        // The program writes what has really arrived here, just before the call.
        amountInOffset: 1,
        // Instruction 0 (swap), amount in, least amount out: the profit guard is stricter.
        data: Uint8Array.of(0, ...new Uint8Array(8), ...new Uint8Array(8)),
      },
    ],
  };
}
