// deploy.ts without Anchor's command line: ANCHOR_PROVIDER_URL names the cluster and
// ANCHOR_WALLET a keypair, as Anchor itself has them.

import { AnchorProvider } from "@anchor-lang/core";

import deploy = require("./deploy");

async function check(): Promise<void> {
  await deploy(AnchorProvider.env());
}

check().catch((error: unknown) => {
  console.error(`error: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
});
