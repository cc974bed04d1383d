// Loads a fork folder into LiteSVM: real account bytes, real programs, no network.
// `cargo xtask fork` writes the folder; `keeper fork` writes one of mainnet's accounts.

import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

import {
  type Address,
  type EncodedAccount,
  address,
  getBase64Encoder,
  lamports,
} from '@solana/kit';
import { FLASH_LIQUIDATOR_PROGRAM_ADDRESS } from 'klend-flash-liquidator/program';
import { LiteSVM } from 'litesvm';

import { standInPoolProgram } from './stand-in-pool.js';

/** The repository's root, from build/examples. */
const root = join(import.meta.dirname, '../../../..');

/** Folder that `cargo xtask fork` writes. */
export const forkFolder = process.env['FORK_DIR'] || join(root, 'target/fork');

/** Folder of the compiled programs. */
export const deployFolder = process.env['SBF_OUT_DIR'] || join(root, 'target/deploy');

const klend = address('KLend2g3cP87fffoy8q1mQqGKjrxjC8boSyAYavgmjD');
const farms = address('FarmsPZpWu9i7Kky8tPN37rs2TpmMrAZrC7S7vJa91Hr');

/** Programs by address. klend and its farms are stand-ins unless the variables name others. */
const programs: readonly (readonly [Address, string])[] = [
  [klend, process.env['KLEND_ELF'] || join(deployFolder, 'klend_stand_in.so')],
  [farms, process.env['FARMS_ELF'] || join(deployFolder, 'farms_stand_in.so')],
  [standInPoolProgram, join(deployFolder, 'swap_stand_in.so')],
  [FLASH_LIQUIDATOR_PROGRAM_ADDRESS, join(deployFolder, 'flash_liquidator.so')],
];

interface AccountFile {
  readonly pubkey: string;
  readonly account: {
    readonly lamports: number;
    readonly data: readonly [string, string];
    readonly owner: string;
    readonly executable: boolean;
  };
}

/** A virtual machine with a fork's accounts in it. */
export interface Fork {
  /** The virtual machine, at the fork's slot and time. */
  readonly svm: LiteSVM;
  /** The fork's accounts as they were read, programs left out. */
  readonly accounts: readonly EncodedAccount[];
}

/** Reads the folder. */
export function loadFork(folder: string = forkFolder): Fork {
  const manifest = readJson<{ slot: number; unix_timestamp: number }>(
    join(folder, 'manifest.json'),
  );
  const svm = new LiteSVM();
  for (const [id, elf] of programs) svm.addProgram(id, readFileSync(elf));

  const names = readdirSync(join(folder, 'accounts')).sort();
  const accounts = names
    .map((name) => readJson<AccountFile>(join(folder, 'accounts', name)))
    .filter(({ account }) => !account.executable)
    .map(({ pubkey, account }): EncodedAccount => {
      const data = getBase64Encoder().encode(account.data[0]);
      return {
        address: address(pubkey),
        data: Uint8Array.from(data),
        executable: false,
        lamports: lamports(BigInt(account.lamports)),
        programAddress: address(account.owner),
        space: BigInt(data.length),
      };
    })
    // Code of the programs, which are here already.
    .filter(({ programAddress }) => !programAddress.startsWith('BPFLoader'));
  for (const account of accounts) svm.setAccount(account);

  const clock = svm.getClock();
  clock.slot = BigInt(manifest.slot);
  clock.unixTimestamp = BigInt(manifest.unix_timestamp);
  svm.setClock(clock);
  // New lookup tables are made at one of the latest slots.
  svm.setSlotHashes([{ slot: clock.slot - 1n, hash: svm.latestBlockhash() }]);
  return { svm, accounts };
}

function readJson<T>(file: string): T {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as T;
  } catch (error) {
    throw new Error(`cannot read ${file}: run \`cargo xtask fork\` first`, { cause: error });
  }
}
