/**
 * Takes the objects of Kamino's own package, `@kamino-finance/klend-sdk`, in place of
 * account bytes.
 *
 * The types name only the fields that are read, so that the objects of many versions of
 * the SDK fit and the SDK itself is not needed.
 *
 * @module
 */

import { type Address, isAddress } from '@solana/kit';

import { type Obligation, type Reserve, obligationFrom, reserveFrom } from './klend/accounts.js';

/** An address: a string of Kit's SDKs, or web3.js's `PublicKey`. */
export type SdkAddress = string | { toBase58(): string };

/** A whole number, `BN` among them. A string is none: it may be hexadecimal. */
export type SdkNumber = bigint | number | { toString(): string; toNumber(): number };

/** A `KaminoObligation`, or a decoded `Obligation` as `state` with its address. */
export interface SdkObligation {
  readonly obligationAddress: SdkAddress;
  readonly state: {
    readonly lendingMarket: SdkAddress;
    readonly owner: SdkAddress;
    readonly deposits: readonly {
      readonly depositReserve: SdkAddress;
      readonly depositedAmount: SdkNumber;
    }[];
    readonly borrows: readonly {
      readonly borrowReserve: SdkAddress;
      readonly borrowedAmountSf: SdkNumber;
    }[];
    readonly referrer: SdkAddress;
    readonly elevationGroup: SdkNumber;
    readonly borrowFactorAdjustedDebtValueSf: SdkNumber;
    readonly unhealthyBorrowValueSf: SdkNumber;
  };
}

/** A `KaminoReserve`, or a decoded `Reserve` as `state` with its address. */
export interface SdkReserve {
  readonly address: SdkAddress;
  readonly state: {
    readonly lendingMarket: SdkAddress;
    readonly farmCollateral: SdkAddress;
    readonly farmDebt: SdkAddress;
    readonly liquidity: {
      readonly mintPubkey: SdkAddress;
      readonly supplyVault: SdkAddress;
      readonly feeVault: SdkAddress;
      readonly tokenProgram: SdkAddress;
      readonly mintDecimals: SdkNumber;
      /** Its name since version 8 of the SDK. */
      readonly totalAvailableAmount?: SdkNumber;
      /** Its name before. */
      readonly availableAmount?: SdkNumber;
    };
    readonly collateral: {
      readonly mintPubkey: SdkAddress;
      readonly supplyVault: SdkAddress;
    };
    readonly config: {
      readonly protocolTakeRatePct: SdkNumber;
      readonly fees: { readonly flashLoanFeeSf: SdkNumber };
      readonly tokenInfo: {
        readonly name: readonly number[] | Uint8Array;
        readonly scopeConfiguration: { readonly priceFeed: SdkAddress };
        readonly switchboardConfiguration: {
          readonly priceAggregator: SdkAddress;
          readonly twapAggregator: SdkAddress;
        };
        readonly pythConfiguration: { readonly price: SdkAddress };
      };
    };
  };
}

/**
 * What `readObligation` returns for the same account: the state of its last refresh.
 * `KaminoObligation.refreshedStats`, the SDK's own estimate, is not read.
 *
 * @throws when a field is missing or no such value, naming both.
 */
export function obligationFromSdk(obligation: SdkObligation): Obligation {
  const address = new SdkFields('obligation', obligation).address('obligationAddress');
  const fields = new SdkFields(`obligation ${address}`, obligation.state, 'state');
  return obligationFrom({
    address,
    lendingMarket: fields.address('lendingMarket'),
    owner: fields.address('owner'),
    deposits: fields.list('deposits').map((deposit) => ({
      reserve: deposit.address('depositReserve'),
      ctokenAmount: deposit.u64('depositedAmount'),
    })),
    debts: fields.list('borrows').map((debt) => ({
      reserve: debt.address('borrowReserve'),
      amountSf: debt.u128('borrowedAmountSf'),
    })),
    referrer: fields.address('referrer'),
    elevationGroup: fields.u8('elevationGroup'),
    debtValueSf: fields.u128('borrowFactorAdjustedDebtValueSf'),
    unhealthyValueSf: fields.u128('unhealthyBorrowValueSf'),
  });
}

/**
 * What `readReserve` returns for the same account.
 *
 * @throws when a field is missing or no such value, naming both.
 */
export async function reserveFromSdk(reserve: SdkReserve): Promise<Reserve> {
  const address = new SdkFields('reserve', reserve).address('address');
  const fields = new SdkFields(`reserve ${address}`, reserve.state, 'state');
  const tokenInfo = 'config.tokenInfo';
  const available = 'liquidity.totalAvailableAmount';
  return reserveFrom({
    address,
    lendingMarket: fields.address('lendingMarket'),
    liquidityMint: fields.address('liquidity.mintPubkey'),
    liquidityTokenProgram: fields.address('liquidity.tokenProgram'),
    liquiditySupplyVault: fields.address('liquidity.supplyVault'),
    feeVault: fields.address('liquidity.feeVault'),
    ctokenMint: fields.address('collateral.mintPubkey'),
    collateralSupplyVault: fields.address('collateral.supplyVault'),
    collateralFarm: fields.address('farmCollateral'),
    debtFarm: fields.address('farmDebt'),
    oracles: {
      pyth: fields.address(`${tokenInfo}.pythConfiguration.price`),
      switchboardPrice: fields.address(`${tokenInfo}.switchboardConfiguration.priceAggregator`),
      switchboardTwap: fields.address(`${tokenInfo}.switchboardConfiguration.twapAggregator`),
      scope: fields.address(`${tokenInfo}.scopeConfiguration.priceFeed`),
    },
    symbol: fields.bytes(`${tokenInfo}.name`),
    decimals: fields.u64('liquidity.mintDecimals'),
    availableAmount: fields.u64(fields.has(available) ? available : 'liquidity.availableAmount'),
    flashLoanFeeSf: fields.u64('config.fees.flashLoanFeeSf'),
    protocolTakeRatePct: fields.u8('config.protocolTakeRatePct'),
  });
}

/**
 * Reads an object's fields by their names, and checks each. The objects are of another
 * package, whose version the types may not be those of, or of JavaScript.
 */
class SdkFields {
  readonly #what: string;
  readonly #object: unknown;
  readonly #prefix: string;

  constructor(what: string, object: unknown, path?: string) {
    this.#what = what;
    this.#object = object;
    this.#prefix = path === undefined ? '' : `${path}.`;
  }

  has(path: string): boolean {
    return this.#get(path) !== undefined;
  }

  address(path: string): Address {
    const value = this.#get(path);
    const text = hasMethod(value, 'toBase58') ? value.toBase58() : value;
    return typeof text === 'string' && isAddress(text)
      ? text
      : this.#fail(path, value, 'an address');
  }

  u8(path: string): number {
    return Number(this.#unsigned(path, 8));
  }

  u64(path: string): bigint {
    return this.#unsigned(path, 64);
  }

  u128(path: string): bigint {
    return this.#unsigned(path, 128);
  }

  bytes(path: string): Uint8Array {
    const value = this.#get(path);
    if (value instanceof Uint8Array) return value;
    const byte = (item: unknown): boolean =>
      Number.isInteger(item) && Number(item) >= 0 && Number(item) < 256;
    return Array.isArray(value) && value.every(byte)
      ? Uint8Array.from(value as number[])
      : this.#fail(path, value, 'a list of bytes');
  }

  list(path: string): SdkFields[] {
    const value = this.#get(path);
    if (!Array.isArray(value)) return this.#fail(path, value, 'a list');
    return value.map(
      (item, index) => new SdkFields(this.#what, item, `${this.#prefix}${path}[${index}]`),
    );
  }

  #unsigned(path: string, bits: number): bigint {
    const value = this.#get(path);
    let number: bigint | null = null;
    if (typeof value === 'bigint') {
      number = value;
    } else if (Number.isSafeInteger(value)) {
      number = BigInt(value as number);
    } else if (hasMethod(value, 'toNumber')) {
      // Decimal's may have a fraction or an exponent.
      const text = String(value);
      if (/^\d+$/.test(text)) number = BigInt(text);
    }
    return number !== null && number === BigInt.asUintN(bits, number)
      ? number
      : this.#fail(path, value, `an unsigned whole number of ${bits} bits`);
  }

  #get(path: string): unknown {
    return path
      .split('.')
      .reduce<unknown>(
        (object, name) => (object as Record<string, unknown> | null | undefined)?.[name],
        this.#object,
      );
  }

  #fail(path: string, value: unknown, wanted: string): never {
    const shown = typeof value === 'string' ? JSON.stringify(value) : String(value);
    throw new Error(
      `${this.#what} of klend-sdk: ${this.#prefix}${path} is ${shown}, not ${wanted}`,
    );
  }
}

function hasMethod<Name extends string>(
  value: unknown,
  name: Name,
): value is { readonly [name in Name]: () => unknown } {
  return (
    typeof value === 'object' &&
    value !== null &&
    typeof (value as Record<string, unknown>)[name] === 'function'
  );
}
