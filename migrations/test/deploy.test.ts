// deploy.ts against a real `Connection` of web3.js and a node that serves what it is told.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type Server, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";

import { AnchorProvider, Wallet } from "@anchor-lang/core";
import { Connection, Keypair, PublicKey } from "@solana/web3.js";

import deploy = require("../deploy");

const LOADER = "BPFLoaderUpgradeab1e11111111111111111111111";
const repository = join(__dirname, "../../..");
const id = /declare_id!\("(\w+)"\)/.exec(
  readFileSync(join(repository, "programs/flash-liquidator/src/lib.rs"), "utf8"),
)?.[1] as string;
const [dataAddress] = PublicKey.findProgramAddressSync(
  [new PublicKey(id).toBytes()],
  new PublicKey(LOADER),
);
const authority = Keypair.generate().publicKey;

// An ELF header with the machine number of Solana's programs, and something behind it.
const elf = Buffer.alloc(1_000, 7);
elf.writeUInt32BE(0x7f454c46, 0);
elf.writeUInt16LE(247, 18);

interface Account {
  readonly owner: string;
  readonly data: Buffer;
}
let accounts = new Map<string, Account>();
let genesis = "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d";
let server: Server;
let provider: AnchorProvider;
let root: string;

/** This server's price of a byte; a cluster has its own. */
const rentOf = (length: number): number => (128 + length) * 6_960;

function answer(method: string, params: readonly unknown[]): unknown {
  switch (method) {
    case "getGenesisHash":
      return genesis;
    case "getMinimumBalanceForRentExemption":
      return rentOf(params[0] as number);
    case "getMultipleAccounts":
      return {
        context: { slot: 1 },
        value: (params[0] as string[]).map((key) => {
          const account = accounts.get(key);
          if (!account) return null;
          const data = [account.data.toString("base64"), "base64"];
          return { data, owner: account.owner, executable: false, lamports: 1, rentEpoch: 0 };
        }),
      };
    default:
      throw new Error(`the test's node does not know ${method}`);
  }
}

before(async () => {
  server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => (body += chunk.toString()));
    request.on("end", () => {
      const { id, method, params } = JSON.parse(body) as {
        id: string;
        method: string;
        params?: unknown[];
      };
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ jsonrpc: "2.0", id, result: answer(method, params ?? []) }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const connection = new Connection(`http://127.0.0.1:${port}`, "confirmed");
  provider = new AnchorProvider(connection, new Wallet(Keypair.generate()), {});
});

after(() => {
  server.close();
  server.closeAllConnections();
});

beforeEach(() => {
  accounts = new Map();
  genesis = "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d";
  root = mkdtempSync(join(tmpdir(), "deploy-"));
  for (const path of ["programs/flash-liquidator/src/lib.rs", "Anchor.toml", "idl"]) {
    cpSync(join(repository, path), join(root, path), { recursive: true });
  }
  mkdirSync(join(root, "target/deploy"), { recursive: true });
  writeFileSync(join(root, "target/deploy/flash_liquidator.so"), elf);
});

const run = async () => {
  const lines: string[] = [];
  try {
    const report = await deploy(provider, { root, print: (line) => lines.push(line) });
    return { report, text: lines.join("\n") };
  } finally {
    rmSync(root, { recursive: true });
  }
};

function put(code: Buffer, owner: PublicKey | null): void {
  const program = Buffer.alloc(36);
  program.writeUInt32LE(2, 0);
  dataAddress.toBuffer().copy(program, 4);
  accounts.set(id, { owner: LOADER, data: program });
  const data = Buffer.alloc(45 + code.length);
  data.writeUInt32LE(3, 0);
  data.writeBigUInt64LE(436_000_000n, 4);
  if (owner) {
    data[12] = 1;
    owner.toBuffer().copy(data, 13);
  }
  code.copy(data, 45);
  accounts.set(dataAddress.toBase58(), { owner: LOADER, data });
}

test("before a deployment: hash, size, rent and what to do", async () => {
  const { report, text } = await run();
  const hash = createHash("sha256").update(elf).digest("hex");
  assert.equal(report.state, "absent");
  assert.equal(report.cluster, "mainnet-beta");
  assert.equal(report.elfHash, hash);
  assert.equal(report.rent, rentOf(36) + rentOf(45 + elf.length));
  assert.equal(report.bufferRent, rentOf(37 + elf.length));
  assert.match(text, new RegExp(`program +${id}`));
  assert.match(text, new RegExp(`1000 bytes, sha256 ${hash}`));
  assert.match(text, /0\.009305520 SOL for good/);
  assert.match(text, /solana program deploy .*--url mainnet-beta/);
});

test("the same code, with room to spare and an authority", async () => {
  genesis = "EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG";
  put(Buffer.concat([elf, Buffer.alloc(24)]), authority);
  const { report, text } = await run();
  assert.equal(report.state, "same");
  assert.equal(report.authority?.toBase58(), authority.toBase58());
  assert.match(text, /the same code, 24 bytes to spare/);
  assert.match(text, new RegExp(`authority +${authority.toBase58()}`));
  assert.match(text, /set-upgrade-authority .*--final --url devnet/);
});

test("the same code, immutable", async () => {
  genesis = "11111111111111111111111111111111";
  put(elf, null);
  const { report, text } = await run();
  assert.deepEqual([report.state, report.authority, report.cluster], ["same", null, "localnet"]);
  assert.match(text, /nobody: the program is immutable$/);
});

test("other code that may be upgraded, too small for the new one", async () => {
  put(elf.subarray(0, 900), authority);
  const { report, text } = await run();
  assert.equal(report.state, "different");
  assert.match(text, /900 bytes of room/);
  assert.match(text, new RegExp(`solana program extend ${id} 100`));
  assert.match(text, /write-buffer/);
});

test("other code that nobody can change", async () => {
  put(Buffer.from(elf).fill(8, 900), null);
  await assert.rejects(run, /nobody can change it/);
});

test("an id that was closed", async () => {
  put(elf, authority);
  accounts.delete(dataAddress.toBase58());
  await assert.rejects(run, /was closed: that id can never be used again/);
});

test("an id that is a wallet", async () => {
  accounts.set(id, { owner: "11111111111111111111111111111111", data: Buffer.alloc(0) });
  await assert.rejects(run, /no upgradeable program/);
});

test("a keypair of another id", async () => {
  const other = Keypair.generate();
  const keypair = join(root, "target/deploy/flash_liquidator-keypair.json");
  writeFileSync(keypair, JSON.stringify([...other.secretKey]));
  await assert.rejects(run, new RegExp(`the keypair says ${other.publicKey.toBase58()}`));
});

test("an Anchor.toml of another id", async () => {
  const path = join(root, "Anchor.toml");
  const toml = readFileSync(path, "utf8");
  writeFileSync(path, toml.replace(/(\[programs\.devnet\]\nflash_liquidator = ")\w+/, "$1other"));
  await assert.rejects(run, /Anchor.toml for devnet says other/);
});

test("an IDL of another id", async () => {
  const path = join(root, "idl/flash_liquidator.json");
  writeFileSync(path, readFileSync(path, "utf8").replace(id, "other"));
  await assert.rejects(run, /the IDL says other/);
});

test("no ELF", async () => {
  rmSync(join(root, "target/deploy/flash_liquidator.so"));
  await assert.rejects(run, /is not there: run "anchor build/);
});

test("a file that is no program", async () => {
  writeFileSync(join(root, "target/deploy/flash_liquidator.so"), "hello");
  await assert.rejects(run, /is no Solana program/);
});

test("a build of the mutation tests", async () => {
  const marker = "SWITCHED-OFF-AT:";
  const checks = readFileSync(join(repository, "programs/flash-liquidator/src/checks.rs"), "utf8");
  assert(checks.includes(`*b"${marker}"`), "what marks such a build has changed");
  writeFileSync(
    join(root, "target/deploy/flash_liquidator.so"),
    Buffer.concat([elf, Buffer.from(marker)]),
  );
  await assert.rejects(run, /its checks can be switched off/);
});

test("the program as it was built here", async () => {
  const folder = process.env["SBF_OUT_DIR"] || join(repository, "target/deploy");
  const built = readFileSync(join(folder, "flash_liquidator.so"));
  writeFileSync(join(root, "target/deploy/flash_liquidator.so"), built);
  put(built, authority);
  const { report } = await run();
  assert.equal(report.state, "same");
});

test("npm run check without a cluster or a wallet says what is missing", () => {
  const check = (variables: Record<string, string>) => {
    const { ANCHOR_PROVIDER_URL: _url, ANCHOR_WALLET: _wallet, ...env } = process.env;
    const script = join(repository, "migrations/build/check.js");
    const options = { env: { ...env, ...variables }, encoding: "utf8" } as const;
    const { status, stdout, stderr } = spawnSync(process.execPath, [script], options);
    return { status, stdout, stderr };
  };
  const url = { ANCHOR_PROVIDER_URL: "http://127.0.0.1:1" };
  const cases: [Record<string, string>, RegExp][] = [
    [{}, /^error: .*ANCHOR_PROVIDER_URL.*\n$/],
    [url, /^error: .*ANCHOR_WALLET.*\n$/],
    [{ ...url, ANCHOR_WALLET: "/nowhere.json" }, /^error: .*\/nowhere\.json.*\n$/],
  ];
  for (const [variables, error] of cases) {
    const { status, stdout, stderr } = check(variables);
    assert.equal(status, 1);
    assert.equal(stdout, "");
    assert.match(stderr, error);
  }
});
