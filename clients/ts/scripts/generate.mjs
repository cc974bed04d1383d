// Generates src/generated from the IDL with Codama.
//
//   node scripts/generate.mjs [OUT]
//
// OUT is a folder, src/generated unless told. `cargo xtask clients` runs this.

import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

import {
  accountValueNode,
  constantPdaSeedNodeFromString,
  definedTypeNode,
  pdaNode,
  pdaSeedValueNode,
  pdaValueNode,
  publicKeyTypeNode,
  rootNode,
  variablePdaSeedNode,
} from '@codama/nodes';
import { rootNodeFromAnchor } from '@codama/nodes-from-anchor';
import { renderVisitor } from '@codama/renderers-js';
import { setInstructionAccountDefaultValuesVisitor } from '@codama/visitors';
import { visit } from '@codama/visitors-core';

const here = import.meta.dirname;
const out = resolve(process.argv[2] ?? join(here, '../src/generated'));
const idl = JSON.parse(readFileSync(join(here, '../../../idl/flash_liquidator.json'), 'utf8'));
const { program } = rootNodeFromAnchor(idl);

// Both addresses the program derives itself, from seeds that the IDL does not carry.
const seeds = { swapAuthority: 'swap_authority', bracket: 'bracket' };
const pdas = Object.entries(seeds).map(([name, seed]) =>
  pdaNode({
    name,
    docs: [`PDA \`["${seed}", keeper]\`.`],
    seeds: [
      constantPdaSeedNodeFromString('utf8', seed),
      variablePdaSeedNode('keeper', publicKeyTypeNode(), 'The keeper it belongs to.'),
    ],
  }),
);

// The renderer knows no events; each becomes a type, and decoding looks at its
// discriminator (src/facts/events.ts).
const events = (program.events ?? []).map((event) => {
  const struct = event.data.kind === 'hiddenPrefixTypeNode' ? event.data.type : event.data;
  return definedTypeNode({ name: event.name, docs: event.docs ?? [], type: struct });
});

const root = rootNode({
  ...program,
  pdas,
  events: [],
  definedTypes: [...program.definedTypes, ...events],
});
const withDefaults = visit(
  root,
  setInstructionAccountDefaultValuesVisitor(
    Object.keys(seeds).map((account) => ({
      account,
      defaultValue: pdaValueNode(account, [pdaSeedValueNode('keeper', accountValueNode('keeper'))]),
    })),
  ),
);

await visit(
  withDefaults,
  renderVisitor(out, {
    deleteFolderBeforeRendering: true,
    formatCode: true,
    generatedFolder: '.',
    kitImportStrategy: 'rootOnly',
    prettierOptions: { singleQuote: true, printWidth: 100 },
    syncPackageJson: false,
  }),
);

// Node resolves neither folders nor names without extension.
const folders = readdirSync(out, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name);
for (const name of readdirSync(out, { recursive: true })) {
  if (!name.endsWith('.ts')) continue;
  const file = join(out, name);
  let text = readFileSync(file, 'utf8').replaceAll(
    /from '(\.\.?\/)([^']+)'/g,
    (_, up, target) => `from '${up}${target}${folders.includes(target) ? '/index' : ''}.js'`,
  );
  // The renderer writes for Kit 6; Kit 8 gives the same value another type.
  const plugin = '    return extendClient(client, {';
  text = text.replace(plugin, `    // @ts-expect-error -- typed for an earlier Kit\n${plugin}`);
  writeFileSync(file, text);
}
