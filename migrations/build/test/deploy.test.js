"use strict";
// deploy.ts against a real `Connection` of web3.js and a node that serves what it is told.
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const strict_1 = __importDefault(require("node:assert/strict"));
const node_crypto_1 = require("node:crypto");
const node_fs_1 = require("node:fs");
const node_http_1 = require("node:http");
const node_os_1 = require("node:os");
const node_path_1 = require("node:path");
const node_test_1 = require("node:test");
const core_1 = require("@anchor-lang/core");
const web3_js_1 = require("@solana/web3.js");
const deploy = require("../deploy");
const LOADER = "BPFLoaderUpgradeab1e11111111111111111111111";
const repository = (0, node_path_1.join)(__dirname, "../../..");
const id = /declare_id!\("(\w+)"\)/.exec((0, node_fs_1.readFileSync)((0, node_path_1.join)(repository, "programs/flash-liquidator/src/lib.rs"), "utf8"))?.[1];
const [dataAddress] = web3_js_1.PublicKey.findProgramAddressSync([new web3_js_1.PublicKey(id).toBytes()], new web3_js_1.PublicKey(LOADER));
const authority = web3_js_1.Keypair.generate().publicKey;
// An ELF header with the machine number of Solana's programs, and something behind it.
const elf = Buffer.alloc(1_000, 7);
elf.writeUInt32BE(0x7f454c46, 0);
elf.writeUInt16LE(247, 18);
let accounts = new Map();
let genesis = "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d";
let server;
let provider;
let root;
/** The rent rule of every cluster. */
const rentOf = (length) => (128 + length) * 6_960;
function answer(method, params) {
    switch (method) {
        case "getGenesisHash":
            return genesis;
        case "getMinimumBalanceForRentExemption":
            return rentOf(params[0]);
        case "getMultipleAccounts":
            return {
                context: { slot: 1 },
                value: params[0].map((key) => {
                    const account = accounts.get(key);
                    if (!account)
                        return null;
                    const data = [account.data.toString("base64"), "base64"];
                    return { data, owner: account.owner, executable: false, lamports: 1, rentEpoch: 0 };
                }),
            };
        default:
            throw new Error(`the test's node does not know ${method}`);
    }
}
(0, node_test_1.before)(async () => {
    server = (0, node_http_1.createServer)((request, response) => {
        let body = "";
        request.on("data", (chunk) => (body += chunk.toString()));
        request.on("end", () => {
            const { id, method, params } = JSON.parse(body);
            response.setHeader("content-type", "application/json");
            response.end(JSON.stringify({ jsonrpc: "2.0", id, result: answer(method, params ?? []) }));
        });
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address();
    const connection = new web3_js_1.Connection(`http://127.0.0.1:${port}`, "confirmed");
    provider = new core_1.AnchorProvider(connection, new core_1.Wallet(web3_js_1.Keypair.generate()), {});
});
(0, node_test_1.after)(() => {
    server.close();
    server.closeAllConnections();
});
(0, node_test_1.beforeEach)(() => {
    accounts = new Map();
    genesis = "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d";
    root = (0, node_fs_1.mkdtempSync)((0, node_path_1.join)((0, node_os_1.tmpdir)(), "deploy-"));
    for (const path of ["programs/flash-liquidator/src/lib.rs", "Anchor.toml", "idl"]) {
        (0, node_fs_1.cpSync)((0, node_path_1.join)(repository, path), (0, node_path_1.join)(root, path), { recursive: true });
    }
    (0, node_fs_1.mkdirSync)((0, node_path_1.join)(root, "target/deploy"), { recursive: true });
    (0, node_fs_1.writeFileSync)((0, node_path_1.join)(root, "target/deploy/flash_liquidator.so"), elf);
});
const run = async () => {
    const lines = [];
    try {
        const report = await deploy(provider, { root, print: (line) => lines.push(line) });
        return { report, text: lines.join("\n") };
    }
    finally {
        (0, node_fs_1.rmSync)(root, { recursive: true });
    }
};
function put(code, owner) {
    const program = Buffer.alloc(36);
    program.writeUInt32LE(2, 0);
    dataAddress.toBuffer().copy(program, 4);
    accounts.set(id, { owner: LOADER, data: program });
    const data = Buffer.alloc(45 + code.length);
    data.writeUInt32LE(3, 0);
    data.writeBigUInt64LE(436000000n, 4);
    if (owner) {
        data[12] = 1;
        owner.toBuffer().copy(data, 13);
    }
    code.copy(data, 45);
    accounts.set(dataAddress.toBase58(), { owner: LOADER, data });
}
(0, node_test_1.test)("before a deployment: hash, size, rent and what to do", async () => {
    const { report, text } = await run();
    const hash = (0, node_crypto_1.createHash)("sha256").update(elf).digest("hex");
    strict_1.default.equal(report.state, "absent");
    strict_1.default.equal(report.cluster, "mainnet-beta");
    strict_1.default.equal(report.elfHash, hash);
    strict_1.default.equal(report.rent, rentOf(36) + rentOf(45 + elf.length));
    strict_1.default.equal(report.bufferRent, rentOf(37 + elf.length));
    strict_1.default.match(text, new RegExp(`program +${id}`));
    strict_1.default.match(text, new RegExp(`1000 bytes, sha256 ${hash}`));
    strict_1.default.match(text, /0\.009305520 SOL for good/);
    strict_1.default.match(text, /solana program deploy .*--url mainnet-beta/);
});
(0, node_test_1.test)("the same code, with room to spare and an authority", async () => {
    genesis = "EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG";
    put(Buffer.concat([elf, Buffer.alloc(24)]), authority);
    const { report, text } = await run();
    strict_1.default.equal(report.state, "same");
    strict_1.default.equal(report.authority?.toBase58(), authority.toBase58());
    strict_1.default.match(text, /the same code, 24 bytes to spare/);
    strict_1.default.match(text, new RegExp(`authority +${authority.toBase58()}`));
    strict_1.default.match(text, /set-upgrade-authority .*--final --url devnet/);
});
(0, node_test_1.test)("the same code, immutable", async () => {
    genesis = "11111111111111111111111111111111";
    put(elf, null);
    const { report, text } = await run();
    strict_1.default.deepEqual([report.state, report.authority, report.cluster], ["same", null, "localnet"]);
    strict_1.default.match(text, /nobody: the program is immutable$/);
});
(0, node_test_1.test)("other code that may be upgraded, too small for the new one", async () => {
    put(elf.subarray(0, 900), authority);
    const { report, text } = await run();
    strict_1.default.equal(report.state, "different");
    strict_1.default.match(text, /900 bytes of room/);
    strict_1.default.match(text, new RegExp(`solana program extend ${id} 100`));
    strict_1.default.match(text, /write-buffer/);
});
(0, node_test_1.test)("other code that nobody can change", async () => {
    put(Buffer.from(elf).fill(8, 900), null);
    await strict_1.default.rejects(run, /nobody can change it/);
});
(0, node_test_1.test)("an id that was closed", async () => {
    put(elf, authority);
    accounts.delete(dataAddress.toBase58());
    await strict_1.default.rejects(run, /was closed: that id can never be used again/);
});
(0, node_test_1.test)("an id that is a wallet", async () => {
    accounts.set(id, { owner: "11111111111111111111111111111111", data: Buffer.alloc(0) });
    await strict_1.default.rejects(run, /no upgradeable program/);
});
(0, node_test_1.test)("a keypair of another id", async () => {
    const other = web3_js_1.Keypair.generate();
    const keypair = (0, node_path_1.join)(root, "target/deploy/flash_liquidator-keypair.json");
    (0, node_fs_1.writeFileSync)(keypair, JSON.stringify([...other.secretKey]));
    await strict_1.default.rejects(run, new RegExp(`the keypair says ${other.publicKey.toBase58()}`));
});
(0, node_test_1.test)("an Anchor.toml of another id", async () => {
    const path = (0, node_path_1.join)(root, "Anchor.toml");
    const toml = (0, node_fs_1.readFileSync)(path, "utf8");
    (0, node_fs_1.writeFileSync)(path, toml.replace(/(\[programs\.devnet\]\nflash_liquidator = ")\w+/, "$1other"));
    await strict_1.default.rejects(run, /Anchor.toml for devnet says other/);
});
(0, node_test_1.test)("an IDL of another id", async () => {
    const path = (0, node_path_1.join)(root, "idl/flash_liquidator.json");
    (0, node_fs_1.writeFileSync)(path, (0, node_fs_1.readFileSync)(path, "utf8").replace(id, "other"));
    await strict_1.default.rejects(run, /the IDL says other/);
});
(0, node_test_1.test)("no ELF", async () => {
    (0, node_fs_1.rmSync)((0, node_path_1.join)(root, "target/deploy/flash_liquidator.so"));
    await strict_1.default.rejects(run, /is not there: run "anchor build/);
});
(0, node_test_1.test)("a file that is no program", async () => {
    (0, node_fs_1.writeFileSync)((0, node_path_1.join)(root, "target/deploy/flash_liquidator.so"), "hello");
    await strict_1.default.rejects(run, /is no Solana program/);
});
(0, node_test_1.test)("a build of the mutation tests", async () => {
    const marker = "SWITCHED-OFF-AT:";
    const checks = (0, node_fs_1.readFileSync)((0, node_path_1.join)(repository, "programs/flash-liquidator/src/checks.rs"), "utf8");
    (0, strict_1.default)(checks.includes(`*b"${marker}"`), "what marks such a build has changed");
    (0, node_fs_1.writeFileSync)((0, node_path_1.join)(root, "target/deploy/flash_liquidator.so"), Buffer.concat([elf, Buffer.from(marker)]));
    await strict_1.default.rejects(run, /its checks can be switched off/);
});
(0, node_test_1.test)("the program as it was built here", async () => {
    const folder = process.env["SBF_OUT_DIR"] || (0, node_path_1.join)(repository, "target/deploy");
    const built = (0, node_fs_1.readFileSync)((0, node_path_1.join)(folder, "flash_liquidator.so"));
    (0, node_fs_1.writeFileSync)((0, node_path_1.join)(root, "target/deploy/flash_liquidator.so"), built);
    put(built, authority);
    const { report } = await run();
    strict_1.default.equal(report.state, "same");
});
