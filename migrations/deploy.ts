// `anchor migrate` runs this after `anchor deploy`; `npm run check` in this folder runs it
// at any time, before a deployment too. The program has no state to initialise, so it
// sends no transaction: it verifies that the id in the source, the keypair, Anchor.toml,
// the IDL and the ELF belong together, shows what a deployment costs, says what is at
// that address on the cluster and who may change it, and prints what to do next.

import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

import type { AnchorProvider } from "@anchor-lang/core";
import { type AccountInfo, Keypair, LAMPORTS_PER_SOL, PublicKey } from "@solana/web3.js";

const LOADER = new PublicKey("BPFLoaderUpgradeab1e11111111111111111111111");

// The upgradeable loader's accounts: a u32 variant first.
const PROGRAM_SIZE = 36; // variant 2, address of the program data
const BUFFER_HEADER = 37; // variant 1, authority as an option, then the ELF
const DATA_HEADER = 45; // variant 3, u64 slot, authority as an option, then the ELF
const DATA_AUTHORITY_TAG = 12;
const DATA_AUTHORITY = 13;

const CLUSTERS: Readonly<Record<string, string>> = {
  "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d": "mainnet-beta",
  EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG: "devnet",
  "4uhcVJyU9pJkvQyS88uRDiswHXSCkY3zQawwpjk2NsNY": "testnet",
};

namespace deploy {
  /** What was found. */
  export interface Report {
    /** Where the program is or will be. */
    readonly programId: PublicKey;
    /** Name of the cluster; `localnet` when it is none of the public ones. */
    readonly cluster: string;
    /** SHA-256 of the whole ELF file. */
    readonly elfHash: string;
    /** SHA-256 without zeros at the end, as `solana-verify get-executable-hash` gives it. */
    readonly executableHash: string;
    /** Lamports locked by a deployment: program and program data. */
    readonly rent: number;
    /** Lamports needed besides while it is uploaded; they come back. */
    readonly bufferRent: number;
    /** `absent`, or whether the code there is the code here. */
    readonly state: "absent" | "same" | "different";
    /** Who may upgrade it; `null` when nobody may, or nothing is there. */
    readonly authority: PublicKey | null;
  }

  /** For tests. */
  export interface Options {
    /** The repository. */
    readonly root?: string;
    /** Where lines go. */
    readonly print?: (line: string) => void;
  }
}

const repository = (): string => {
  // Compiled, this file lies one folder deeper.
  const parent = join(__dirname, "..");
  return existsSync(join(parent, "Anchor.toml")) ? parent : join(parent, "..");
};

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

const withoutTrailingZeros = (bytes: Uint8Array): Uint8Array => {
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end -= 1;
  return bytes.subarray(0, end);
};

function read(path: string, advice: string): Buffer {
  if (!existsSync(path)) throw new Error(`${path} is not there: ${advice}`);
  return readFileSync(path);
}

/** The program's id, on which everything in the repository has to agree. */
function programId(root: string): PublicKey {
  const source = join(root, "programs/flash-liquidator/src/lib.rs");
  const declared = read(source, "run this from the repository").toString();
  const id = declared.match(/declare_id!\("(\w+)"\)/)?.[1];
  if (!id) throw new Error(`${source} declares no program id`);

  const disagree = (where: string, other: string): Error =>
    new Error(`the source declares ${id}, ${where} says ${other}: run "anchor keys sync" and "cargo xtask idl"`);
  const toml = read(join(root, "Anchor.toml"), "run this from the repository").toString();
  for (const [, cluster, other] of toml.matchAll(/^\[programs\.(\w+)\]\s*flash_liquidator = "(\w+)"/gm)) {
    if (other !== id) throw disagree(`Anchor.toml for ${cluster}`, other ?? "nothing");
  }
  const idl = read(join(root, "idl/flash_liquidator.json"), "run cargo xtask idl").toString();
  const { address } = JSON.parse(idl) as { address: string };
  if (address !== id) throw disagree("the IDL", address);
  const keypair = join(root, "target/deploy/flash_liquidator-keypair.json");
  if (existsSync(keypair)) {
    const secret = Uint8Array.from(JSON.parse(readFileSync(keypair, "utf8")) as number[]);
    const key = Keypair.fromSecretKey(secret).publicKey.toBase58();
    if (key !== id) throw disagree("the keypair", key);
  }
  return new PublicKey(id);
}

function checkElf(elf: Buffer, path: string): void {
  const EM_BPF = 247;
  const EM_SBF = 263;
  const isElf = elf.length > 64 && elf.readUInt32BE(0) === 0x7f454c46;
  if (!isElf || ![EM_BPF, EM_SBF].includes(elf.readUInt16LE(18))) {
    throw new Error(`${path} is no Solana program`);
  }
  // What the feature `mutation` leaves in an ELF for the tests to patch.
  if (elf.includes("SWITCHED-OFF-AT:")) {
    throw new Error(`${path} was built for the mutation tests: its checks can be switched off`);
  }
}

/** The program data account behind the program, or `null` when nothing was ever deployed. */
function programData(
  id: PublicKey,
  program: AccountInfo<Buffer> | null,
  data: AccountInfo<Buffer> | null,
): AccountInfo<Buffer> | null {
  if (!program) {
    if (data) throw new Error(`program data without a program at ${id}`);
    return null;
  }
  if (!program.owner.equals(LOADER) || program.data.length !== PROGRAM_SIZE) {
    throw new Error(`${id} is in use by something that is no upgradeable program (owner ${program.owner})`);
  }
  if (!data || data.data.length < DATA_HEADER) {
    throw new Error(`the program at ${id} was closed: that id can never be used again, take a new one`);
  }
  return data;
}

async function deploy(provider: AnchorProvider, options: deploy.Options = {}): Promise<deploy.Report> {
  const { root = repository(), print = console.log } = options;
  const { connection } = provider;
  const id = programId(root);
  const path = join(root, "target/deploy/flash_liquidator.so");
  const elf = read(path, 'run "anchor build --verifiable" or "cargo xtask build" first');
  checkElf(elf, path);

  const [dataAddress] = PublicKey.findProgramAddressSync([id.toBytes()], LOADER);
  const [genesis, programRent, dataRent, bufferRent, [program, data]] = await Promise.all([
    connection.getGenesisHash(),
    connection.getMinimumBalanceForRentExemption(PROGRAM_SIZE),
    connection.getMinimumBalanceForRentExemption(DATA_HEADER + elf.length),
    connection.getMinimumBalanceForRentExemption(BUFFER_HEADER + elf.length),
    connection.getMultipleAccountsInfo([id, dataAddress]),
  ]);
  const cluster = CLUSTERS[genesis] ?? "localnet";
  const rent = programRent + dataRent;
  const elfHash = sha256(elf);
  const executableHash = sha256(withoutTrailingZeros(elf));
  const sol = (lamports: number): string => `${(lamports / LAMPORTS_PER_SOL).toFixed(9)} SOL`;
  print(`program    ${id}`);
  print(`cluster    ${cluster} (genesis ${genesis})`);
  print(`ELF        ${elf.length} bytes, sha256 ${elfHash}`);
  print(`executable sha256 ${executableHash} (as solana-verify gives it)`);
  print(`rent       ${sol(rent)} for good, and ${sol(bufferRent)} while it is uploaded`);

  const report = { programId: id, cluster, elfHash, executableHash, rent, bufferRent };
  const account = programData(id, program ?? null, data ?? null);
  if (!account) {
    print("deployed   nothing yet");
    instructions(print, firstDeployment(id, cluster));
    return { ...report, state: "absent", authority: null };
  }

  const authority =
    account.data[DATA_AUTHORITY_TAG] === 1
      ? new PublicKey(account.data.subarray(DATA_AUTHORITY, DATA_AUTHORITY + 32))
      : null;
  const room = account.data.length - DATA_HEADER;
  const deployed = sha256(withoutTrailingZeros(account.data.subarray(DATA_HEADER)));
  const state = deployed === executableHash ? "same" : "different";
  const spare = room - elf.length;
  print(
    state === "same"
      ? `deployed   the same code, ${spare} bytes to spare`
      : `deployed   other code: executable sha256 ${deployed}, ${room} bytes of room`,
  );
  print(`slot       ${account.data.readBigUInt64LE(4)}`);
  print(`authority  ${authority ?? "nobody: the program is immutable"}`);
  if (state === "different" && !authority) {
    throw new Error(`the code at ${id} is not what was built here, and nobody can change it`);
  }
  if (state === "different") instructions(print, upgrade(id, cluster, spare));
  else if (authority) instructions(print, afterDeployment(id, cluster));
  return { ...report, state, authority };
}

function instructions(print: (line: string) => void, lines: readonly string[]): void {
  print("");
  for (const line of lines) print(line);
}

const ELF = "target/deploy/flash_liquidator.so";
const url = (cluster: string): string => (cluster === "localnet" ? "localhost" : cluster);

function firstDeployment(id: PublicKey, cluster: string): string[] {
  return [
    "To deploy, with the keypair of the program id:",
    `  solana program deploy ${ELF} --url ${url(cluster)} \\`,
    "    --program-id target/deploy/flash_liquidator-keypair.json --with-compute-unit-price 10000",
    "Then run this again. An interrupted upload leaves a buffer; its rent comes back with:",
    `  solana program close --buffers --url ${url(cluster)}`,
    `The id ${id} is taken for good once it has been used.`,
  ];
}

function upgrade(id: PublicKey, cluster: string, spare: number): string[] {
  const extend =
    spare < 0
      ? [`  solana program extend ${id} ${-spare} --url ${url(cluster)}   # the new code is larger`]
      : [];
  return [
    "To upgrade, as the authority above:",
    ...extend,
    `  solana program deploy ${ELF} --program-id ${id} --url ${url(cluster)} --with-compute-unit-price 10000`,
    "Or upload for a multisig to approve:",
    `  solana program write-buffer ${ELF} --url ${url(cluster)}`,
    `  solana program set-buffer-authority BUFFER --new-buffer-authority MULTISIG --url ${url(cluster)}`,
  ];
}

function afterDeployment(id: PublicKey, cluster: string): string[] {
  return [
    "What is left to decide is who may change it:",
    `  solana program set-upgrade-authority ${id} --new-upgrade-authority MULTISIG \\`,
    `    --skip-new-upgrade-authority-signer-check --url ${url(cluster)}`,
    `  solana program set-upgrade-authority ${id} --final --url ${url(cluster)}   # nobody, for good`,
    "Anybody can check that this is the source's code:",
    `  solana-verify get-program-hash ${id} --url ${url(cluster)}`,
  ];
}

export = deploy;
