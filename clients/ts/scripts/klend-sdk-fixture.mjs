// Writes test/fixtures/klend-sdk-VERSION.json: what Kamino's own SDK decodes from the
// obligations and reserves of `cargo xtask fork`. By hand, when the SDK or klend's layout
// has changed; the SDK is no dependency of this package:
//
//   cd "$(mktemp -d)" && npm init -y
//   npm install --no-save --ignore-scripts @kamino-finance/klend-sdk@VERSION
//   node CLIENT/scripts/klend-sdk-fixture.mjs .

import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';

const root = join(import.meta.dirname, '..');
const fork = process.env.FORK_DIR || join(root, '../../target/fork');
const [, , folder = '.'] = process.argv;
const sdk = join(resolve(folder), 'node_modules/@kamino-finance/klend-sdk');
const { name, version } = JSON.parse(readFileSync(join(sdk, 'package.json'), 'utf8'));

// Only the module of the accounts: the whole SDK asks for much more, and 8.0.2 does not
// load at all with the newest version of a dependency.
const modules = ['dist/@codegen/klend/accounts', 'dist/idl_codegen/accounts'];
const accounts = modules.map((path) => join(sdk, path)).find((path) => existsSync(path));
if (accounts === undefined) throw new Error(`${sdk}: none of ${modules.join(', ')}`);
const { Obligation, Reserve } = createRequire(join(sdk, 'package.json'))(accounts);

/** Plain JSON, in which BN and PublicKey are still told from text. Padding is left out. */
function plain(value) {
  if (typeof value?.toBase58 === 'function') return { publicKey: value.toBase58() };
  if (typeof value?.toNumber === 'function') return { bn: value.toString() };
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  const fields = Object.entries(value).filter(([name]) => !/padding|reserved/i.test(name));
  return Object.fromEntries(fields.map(([name, field]) => [name, plain(field)]));
}

/** Bytes that repeat nothing, so that no field looks like another. The same in each run. */
function scrambled(type, length, seed) {
  let state = seed;
  const data = Buffer.alloc(length).map(() => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  });
  type.discriminator.copy(data);
  return data;
}

/**
 * The fork's accounts of a type, then `more` scrambled ones: in the fork most oracles and
 * referrers are none. One account a line.
 */
function decoded(type, addressField, more) {
  const found = [];
  const add = (data, pubkey) => {
    const state = type.decode(data);
    const { lendingMarket } = state;
    const inside = typeof lendingMarket === 'string' ? String : lendingMarket.constructor;
    const own = pubkey ?? lendingMarket.toString();
    // An address of the same kind as those inside.
    const object = plain({ [addressField]: new inside(own).valueOf(), state });
    found.push({ address: own, data: gzipSync(data).toString('base64'), object });
  };
  for (const file of readdirSync(join(fork, 'accounts')).sort()) {
    const { pubkey, account } = JSON.parse(readFileSync(join(fork, 'accounts', file), 'utf8'));
    const data = Buffer.from(account.data[0], 'base64');
    if (data.subarray(0, 8).equals(type.discriminator)) add(data, pubkey);
  }
  const [first] = found;
  if (first === undefined) throw new Error(`${fork} has none of the accounts`);
  const { length } = gunzipSync(Buffer.from(first.data, 'base64'));
  for (let seed = 1; seed <= more; seed++) add(scrambled(type, length, seed));
  return `[\n${found.map((entry) => JSON.stringify(entry)).join(',\n')}\n]`;
}

const out = join(root, 'test/fixtures');
mkdirSync(out, { recursive: true });
const file = join(out, `klend-sdk-${version}.json`);
writeFileSync(
  file,
  `{"sdk":"${name}","version":"${version}",
"reserves":${decoded(Reserve, 'address', 1)},
"obligations":${decoded(Obligation, 'obligationAddress', 3)}}
`,
);
console.log(file);
