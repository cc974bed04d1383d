"use strict";
// deploy.ts without Anchor's command line: ANCHOR_PROVIDER_URL names the cluster and
// ANCHOR_WALLET a keypair, as Anchor itself has them.
Object.defineProperty(exports, "__esModule", { value: true });
const core_1 = require("@anchor-lang/core");
const deploy = require("./deploy");
deploy(core_1.AnchorProvider.env()).catch((error) => {
    console.error(`error: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
});
