/**
 * Reads the addresses that klend's instructions want from klend's accounts.
 *
 * Nothing is derived that an account states: old reserves (USDC, SOL and JitoSOL of
 * the main market among them) hold their vaults at addresses that no formula gives.
 *
 * @module
 */

import {
  type Address,
  type Base58EncodedBytes,
  type ReadonlyUint8Array,
  getAddressDecoder,
  getBase58Decoder,
} from '@solana/kit';

import { KLEND, LENDING_MARKET, OBLIGATION, RESERVE } from '../facts/klend.js';
import { systemProgramAddress } from '../meta.js';
import { lendingMarketAuthority, referrerTokenState } from './pda.js';

/** An account as an RPC node, a snapshot or LiteSVM gives it. */
export interface AccountData {
  /** Its address. */
  readonly address: Address;
  /** Its bytes, discriminator included. */
  readonly data: ReadonlyUint8Array;
  /** Program that owns it; checked when given. */
  readonly programAddress?: Address;
}

/** Oracle accounts that a reserve is configured to read; `null` = not used. */
export interface Oracles {
  /** Pyth `PriceUpdateV2` account. */
  readonly pyth: Address | null;
  /** Switchboard price feed. */
  readonly switchboardPrice: Address | null;
  /** Switchboard TWAP feed. */
  readonly switchboardTwap: Address | null;
  /** Scope price account. */
  readonly scope: Address | null;
}

/** Every address that klend's instructions want with a reserve, and what a flash loan from it costs. */
export interface Reserve {
  /** The Reserve account itself. */
  readonly address: Address;
  /** Market it belongs to. */
  readonly lendingMarket: Address;
  /** PDA of the market that owns the vaults. */
  readonly lendingMarketAuthority: Address;
  /** Mint of the liquidity (the token lent). */
  readonly liquidityMint: Address;
  /** Token program of that mint: SPL Token or Token-2022. */
  readonly liquidityTokenProgram: Address;
  /** Vault with the unborrowed liquidity. */
  readonly liquiditySupplyVault: Address;
  /** Vault that fees are paid into. */
  readonly feeVault: Address;
  /** Mint of the reserve's cToken; always SPL Token. */
  readonly ctokenMint: Address;
  /** Vault with the cTokens of all obligations. */
  readonly collateralSupplyVault: Address;
  /** Farm that deposits are staked in. */
  readonly collateralFarm: Address | null;
  /** Farm that debts are staked in. */
  readonly debtFarm: Address | null;
  /** Oracles that `refresh_reserve` reads. */
  readonly oracles: Oracles;
  /** Symbol, as Kamino wrote it into the account. */
  readonly symbol: string;
  /** Decimals of the liquidity mint. */
  readonly decimals: number;
  /** Liquidity in the vault, raw units. */
  readonly availableAmount: bigint;
  /** Flash-loan fee as a fraction scaled by 2^60; `null` when flash loans are disabled. */
  readonly flashLoanFeeSf: bigint | null;
  /** Whether a referrer of this reserve's borrowers is paid: decides the order of referrer states. */
  readonly paysReferrers: boolean;
}

/** A deposit of an obligation. */
export interface Deposit {
  /** Reserve it is in. */
  readonly reserve: Address;
  /** cTokens deposited, raw units. */
  readonly ctokenAmount: bigint;
}

/** A debt of an obligation. */
export interface Debt {
  /** Reserve it was borrowed from. */
  readonly reserve: Address;
  /**
   * What was owed when the obligation was last refreshed, raw units rounded up.
   * Interest since then is not in it.
   */
  readonly amount: bigint;
}

/** What klend's instructions want with an obligation. */
export interface Obligation {
  /** The Obligation account itself. */
  readonly address: Address;
  /** Market it belongs to. */
  readonly lendingMarket: Address;
  /** Who opened it. */
  readonly owner: Address;
  /** Active deposits, in slot order. */
  readonly deposits: readonly Deposit[];
  /** Active debts, in slot order. */
  readonly debts: readonly Debt[];
  /** Referrer of the owner. */
  readonly referrer: Address | null;
  /** Elevation group; 0 = none. */
  readonly elevationGroup: number;
  /**
   * Whether its debt exceeded what its deposits carry when it was last refreshed. klend
   * refreshes again before it liquidates, and has further reasons to liquidate.
   */
  readonly wasLiquidatable: boolean;
}

const addressDecoder = getAddressDecoder();
const textDecoder = new TextDecoder();

class Fields {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;

  constructor(
    account: AccountData,
    what: string,
    layout: { readonly discriminator: readonly number[]; readonly length: number },
  ) {
    const { address, data, programAddress } = account;
    if (programAddress !== undefined && programAddress !== KLEND.programAddress) {
      throw new Error(
        `${what} ${address} belongs to program ${programAddress}, not to klend ${KLEND.programAddress}`,
      );
    }
    // klend appends to its accounts and moves nothing in them.
    if (data.length < layout.length) {
      throw new Error(
        `${what} ${address} has ${data.length} bytes, klend's have at least ${layout.length}`,
      );
    }
    if (!layout.discriminator.every((byte, index) => data[index] === byte)) {
      throw new Error(
        `${address} is no klend ${what}: its first 8 bytes are another account type's`,
      );
    }
    this.#bytes = Uint8Array.from(data);
    this.#view = new DataView(this.#bytes.buffer);
  }

  address(offset: number): Address {
    return addressDecoder.decode(this.#bytes, offset);
  }

  u8(offset: number): number {
    return this.#view.getUint8(offset);
  }

  u16(offset: number): number {
    return this.#view.getUint16(offset, true);
  }

  u64(offset: number): bigint {
    return this.#view.getBigUint64(offset, true);
  }

  u128(offset: number): bigint {
    return this.u64(offset) | (this.u64(offset + 8) << 64n);
  }

  bytes(offset: number, length: number): Uint8Array {
    return this.#bytes.subarray(offset, offset + length);
  }
}

/** The default public key, which is the system program's, is klend's way to leave one out. */
function optional(address: Address): Address | null {
  return address === systemProgramAddress ? null : address;
}

/**
 * Reads a Reserve account.
 *
 * @throws when it is not one: another owner or discriminator, or too short.
 */
export async function readReserve(account: AccountData): Promise<Reserve> {
  const fields = new Fields(account, 'Reserve', RESERVE);
  return reserveFrom({
    address: account.address,
    lendingMarket: fields.address(RESERVE.lendingMarket),
    liquidityMint: fields.address(RESERVE.liquidityMint),
    liquidityTokenProgram: fields.address(RESERVE.liquidityTokenProgram),
    liquiditySupplyVault: fields.address(RESERVE.liquiditySupplyVault),
    feeVault: fields.address(RESERVE.feeVault),
    ctokenMint: fields.address(RESERVE.ctokenMint),
    collateralSupplyVault: fields.address(RESERVE.collateralSupplyVault),
    collateralFarm: fields.address(RESERVE.collateralFarm),
    debtFarm: fields.address(RESERVE.debtFarm),
    oracles: {
      pyth: fields.address(RESERVE.pythPrice),
      switchboardPrice: fields.address(RESERVE.switchboardPrice),
      switchboardTwap: fields.address(RESERVE.switchboardTwap),
      scope: fields.address(RESERVE.scopePrices),
    },
    symbol: fields.bytes(RESERVE.symbol, RESERVE.symbolLength),
    decimals: fields.u64(RESERVE.decimals),
    availableAmount: fields.u64(RESERVE.availableAmount),
    flashLoanFeeSf: fields.u64(RESERVE.flashLoanFeeSf),
    protocolTakeRatePct: fields.u8(RESERVE.protocolTakeRatePct),
  });
}

/** A Reserve account's fields as klend stores them, wherever they were decoded. */
export interface StoredReserve extends Omit<
  Reserve,
  | 'lendingMarketAuthority'
  | 'collateralFarm'
  | 'debtFarm'
  | 'oracles'
  | 'symbol'
  | 'decimals'
  | 'flashLoanFeeSf'
  | 'paysReferrers'
> {
  readonly collateralFarm: Address;
  readonly debtFarm: Address;
  readonly oracles: { readonly [oracle in keyof Oracles]: Address };
  readonly symbol: Uint8Array;
  readonly decimals: bigint;
  readonly flashLoanFeeSf: bigint;
  readonly protocolTakeRatePct: number;
}

/** Says with `null` what klend says with a special value. */
export async function reserveFrom(stored: StoredReserve): Promise<Reserve> {
  const { protocolTakeRatePct, ...same } = stored;
  const oracle = (address: Address): Address | null =>
    address === KLEND.noOracle ? null : optional(address);
  const end = stored.symbol.indexOf(0);
  return {
    ...same,
    lendingMarketAuthority: await lendingMarketAuthority(stored.lendingMarket),
    collateralFarm: optional(stored.collateralFarm),
    debtFarm: optional(stored.debtFarm),
    oracles: {
      pyth: oracle(stored.oracles.pyth),
      switchboardPrice: oracle(stored.oracles.switchboardPrice),
      switchboardTwap: oracle(stored.oracles.switchboardTwap),
      scope: oracle(stored.oracles.scope),
    },
    symbol: textDecoder.decode(end < 0 ? stored.symbol : stored.symbol.subarray(0, end)),
    decimals: Number(stored.decimals),
    flashLoanFeeSf:
      stored.flashLoanFeeSf === KLEND.flashLoansDisabled ? null : stored.flashLoanFeeSf,
    paysReferrers: protocolTakeRatePct > 0,
  };
}

/** Whether an account is an Obligation of klend. */
export function isObligation({ data, programAddress }: AccountData): boolean {
  return (
    (programAddress === undefined || programAddress === KLEND.programAddress) &&
    data.length >= OBLIGATION.length &&
    OBLIGATION.discriminator.every((byte, index) => data[index] === byte)
  );
}

/** Filters with which `getProgramAccounts` of klend returns a market's obligations. */
export function obligationFilters(lendingMarket: Address) {
  const discriminator = getBase58Decoder().decode(Uint8Array.from(OBLIGATION.discriminator));
  const at = (offset: number, bytes: string) =>
    ({
      memcmp: { offset: BigInt(offset), bytes: bytes as Base58EncodedBytes, encoding: 'base58' },
    }) as const;
  return [at(0, discriminator), at(OBLIGATION.lendingMarket, lendingMarket)] as const;
}

/**
 * Reads an Obligation account.
 *
 * @throws when it is not one: another owner or discriminator, or too short.
 */
export function readObligation(account: AccountData): Obligation {
  const fields = new Fields(account, 'Obligation', OBLIGATION);
  const slots = (count: number, start: number, size: number): number[] =>
    Array.from({ length: count }, (_, slot) => start + slot * size);
  return obligationFrom({
    address: account.address,
    lendingMarket: fields.address(OBLIGATION.lendingMarket),
    owner: fields.address(OBLIGATION.owner),
    deposits: slots(OBLIGATION.depositSlots, OBLIGATION.deposits, OBLIGATION.depositSize).map(
      (start) => ({
        reserve: fields.address(start + OBLIGATION.depositReserve),
        ctokenAmount: fields.u64(start + OBLIGATION.depositAmount),
      }),
    ),
    debts: slots(OBLIGATION.borrowSlots, OBLIGATION.borrows, OBLIGATION.borrowSize).map(
      (start) => ({
        reserve: fields.address(start + OBLIGATION.borrowReserve),
        amountSf: fields.u128(start + OBLIGATION.borrowAmountSf),
      }),
    ),
    referrer: fields.address(OBLIGATION.referrer),
    elevationGroup: fields.u8(OBLIGATION.elevationGroup),
    debtValueSf: fields.u128(OBLIGATION.debtValueSf),
    unhealthyValueSf: fields.u128(OBLIGATION.unhealthyValueSf),
  });
}

/** An Obligation account's fields as klend stores them, wherever they were decoded. */
export interface StoredObligation extends Omit<
  Obligation,
  'debts' | 'referrer' | 'wasLiquidatable'
> {
  /** All slots, the empty ones too. */
  readonly deposits: readonly Deposit[];
  /** All slots, the empty ones too. */
  readonly debts: readonly { readonly reserve: Address; readonly amountSf: bigint }[];
  readonly referrer: Address;
  readonly debtValueSf: bigint;
  readonly unhealthyValueSf: bigint;
}

/** Leaves out empty slots, and says with `null` what klend says with a special value. */
export function obligationFrom(stored: StoredObligation): Obligation {
  const { debtValueSf, unhealthyValueSf, ...same } = stored;
  const used = ({ reserve }: { readonly reserve: Address }): boolean => optional(reserve) !== null;
  return {
    ...same,
    deposits: stored.deposits.filter(used),
    debts: stored.debts.filter(used).map(({ reserve, amountSf }) => ({
      reserve,
      amount: divideUp(amountSf, KLEND.fractionOne),
    })),
    referrer: optional(stored.referrer),
    wasLiquidatable: debtValueSf > unhealthyValueSf,
  };
}

/**
 * Reads from a LendingMarket account what share of the fees its referrers get, in
 * basis points. Needed only for an obligation that has a referrer.
 *
 * @throws when it is not one: another owner or discriminator, or too short.
 */
export function readReferralFeeBps(account: AccountData): number {
  return new Fields(account, 'LendingMarket', LENDING_MARKET).u16(LENDING_MARKET.referralFeeBps);
}

/** Every reserve of the obligation once, deposits first: what is refreshed before the obligation. */
export function distinctReserves(obligation: Obligation): Address[] {
  return [...new Set([...obligation.deposits, ...obligation.debts].map(({ reserve }) => reserve))];
}

/**
 * The referrer's token states for `refresh_obligation`, one per debt; none without a
 * referrer.
 *
 * klend takes the next state from the list only for a debt whose reserve pays
 * referrers; states that it will not take therefore come last.
 *
 * @param reserves accounts of the obligation's debts, in any order
 * @param referralFeeBps {@link readReferralFeeBps} of the obligation's market
 */
export async function referrerTokenStates(
  obligation: Obligation,
  reserves: readonly Reserve[],
  referralFeeBps: number,
): Promise<Address[]> {
  const { referrer, debts } = obligation;
  if (referrer === null) return [];
  const pays = (address: Address): boolean =>
    referralFeeBps > 0 && find(reserves, address, obligation).paysReferrers;
  const keys = debts.map(({ reserve }) => reserve);
  const ordered = [...keys.filter(pays), ...keys.filter((key) => !pays(key))];
  return Promise.all(ordered.map((reserve) => referrerTokenState(referrer, reserve)));
}

/**
 * What klend adds to a flash loan of `amount` raw units when it is repaid, in raw units:
 * the reserve's share rounded to the nearest unit, half up, and at least one unit.
 *
 * @throws when the reserve gives no flash loans (klend's error 6036), or when the fee
 * is not less than the loan (6012).
 */
export function flashLoanFee(reserve: Reserve, amount: bigint): bigint {
  if (reserve.flashLoanFeeSf === null) {
    throw new Error(
      `reserve ${reserve.address} gives no flash loans: choose another one of the mint`,
    );
  }
  if (reserve.flashLoanFeeSf === 0n) return 0n;
  const exact = amount * reserve.flashLoanFeeSf;
  const rounded = (exact + KLEND.fractionOne / 2n) / KLEND.fractionOne;
  const fee = rounded > 0n ? rounded : 1n;
  if (fee >= amount) {
    throw new Error(`a flash loan of ${amount} is not more than its fee of ${fee}`);
  }
  return fee;
}

/** The reserve with that address; its absence is the caller's mistake. */
export function find(
  reserves: readonly Reserve[],
  address: Address,
  obligation: Obligation,
): Reserve {
  const found = reserves.find((reserve) => reserve.address === address);
  if (found === undefined) {
    throw new Error(
      `reserve ${address} of obligation ${obligation.address} is not among the ${reserves.length} given`,
    );
  }
  return found;
}

function divideUp(amount: bigint, divisor: bigint): bigint {
  return (amount + divisor - 1n) / divisor;
}
