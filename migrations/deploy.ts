// `anchor migrate` runs this after `anchor deploy`. The program has no state to
// initialise, so this verifies what was deployed: that the id in the source, the
// keypair and the cluster agree, that the code on the cluster is the code built
// here, and who may still change it. It sends no transaction.

import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

import type { AnchorProvider } from "@coral-xyz/anchor";
import { Keypair, PublicKey } from "@solana/web3.js";

const ROOT = join(__dirname, "..");
const ELF = join(ROOT, "target", "deploy", "flash_liquidator.so");
const KEYPAIR = join(ROOT, "target", "deploy", "flash_liquidator-keypair.json");
const SOURCE = join(ROOT, "programs", "flash-liquidator", "src", "lib.rs");
const UPGRADEABLE_LOADER = new PublicKey("BPFLoaderUpgradeab1e11111111111111111111111");
// ProgramData: u32 variant, u64 slot, option tag, upgrade authority, then the ELF.
const AUTHORITY_TAG = 12;
const AUTHORITY = 13;
const ELF_START = 45;

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

function declaredId(): PublicKey {
  const id = readFileSync(SOURCE, "utf8").match(/declare_id!\("(\w+)"\)/);
  if (!id) throw new Error(`${SOURCE} declares no program id`);
  return new PublicKey(id[1]);
}

module.exports = async function deploy(provider: AnchorProvider): Promise<void> {
  const programId = declaredId();
  if (existsSync(KEYPAIR)) {
    const secret = Uint8Array.from(JSON.parse(readFileSync(KEYPAIR, "utf8")) as number[]);
    const key = Keypair.fromSecretKey(secret).publicKey;
    if (!key.equals(programId)) {
      throw new Error(`the source declares ${programId}, the keypair is ${key}: run "anchor keys sync"`);
    }
  }

  const elf = readFileSync(ELF);
  const { connection } = provider;
  const rent = await connection.getMinimumBalanceForRentExemption(ELF_START + elf.length);
  console.log(`program   ${programId}`);
  console.log(`built     ${elf.length} bytes, sha256 ${sha256(elf)}`);
  console.log(`rent      ${rent} lamports for code of this size`);

  const [programData] = PublicKey.findProgramAddressSync([programId.toBytes()], UPGRADEABLE_LOADER);
  const account = await connection.getAccountInfo(programData);
  if (!account) throw new Error(`nothing is deployed at ${programId}: run "anchor deploy" first`);

  const deployed = account.data.subarray(ELF_START, ELF_START + elf.length);
  const rest = account.data.subarray(ELF_START + elf.length);
  const same = sha256(deployed) === sha256(elf) && rest.every((byte) => byte === 0);
  if (!same) {
    throw new Error(`the code on the cluster (sha256 ${sha256(deployed)}) is not what was built here`);
  }
  console.log(`deployed  the same code, ${rest.length} spare bytes`);

  const authority =
    account.data[AUTHORITY_TAG] === 1
      ? new PublicKey(account.data.subarray(AUTHORITY, AUTHORITY + 32)).toBase58()
      : "nobody: the program is immutable";
  console.log(`authority ${authority}`);
};
