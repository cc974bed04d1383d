// What would be published.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { test } from 'node:test';

import ts from 'typescript';

const root = join(import.meta.dirname, '../..');

interface Packed {
  readonly name: string;
  readonly size: number;
  readonly files: readonly { readonly path: string }[];
}

test('the package has the compiled client, its types and its README, and nothing else', () => {
  const output = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [packed] = JSON.parse(output) as Packed[];
  assert(packed);
  const paths = packed.files.map(({ path }) => path);
  for (const expected of [
    'LICENSE',
    'README.md',
    'package.json',
    'dist/index.js',
    'dist/index.d.ts',
    'dist/generated/index.js',
    'dist/generated/index.d.ts',
    'dist/generated/instructions/liquidate.js',
    'dist/facts/errors.js',
    'dist/klend/accounts.js',
    'dist/klend-sdk.js',
  ]) {
    assert(paths.includes(expected), `${expected} is missing`);
  }
  const other = paths.filter(
    (path) => !/^(LICENSE|README\.md|package\.json|dist\/[\w/.-]+\.(js|d\.ts))$/.test(path),
  );
  assert.deepEqual(other, []);
  assert(packed.size < 100_000, `${packed.size} bytes`);
});

test('its licence and version are the repository’s', () => {
  const read = (path: string): string => readFileSync(join(root, path), 'utf8');
  assert.equal(read('LICENSE'), read('../../LICENSE'));
  const [, version] = read('../../Cargo.toml').match(/^version = "(.*)"$/m) ?? [];
  const { version: ours } = JSON.parse(read('package.json')) as { version: string };
  assert.equal(ours, version);
});

test('importing a module does nothing, so that bundlers may drop what is not used', () => {
  const dist = join(root, 'dist');
  const names = readdirSync(dist, { recursive: true, encoding: 'utf8' });
  const modules = names.filter((name) => name.endsWith('.js'));
  assert(modules.length > 20);
  for (const name of modules) {
    const text = readFileSync(join(dist, name), 'utf8');
    const { statements } = ts.createSourceFile(name, text, ts.ScriptTarget.ES2022);
    for (const statement of statements) {
      // Codama's enums and texts fill a variable of their own module, nothing else.
      if (name.startsWith('generated')) continue;
      assert(
        ts.isImportDeclaration(statement) ||
          ts.isExportDeclaration(statement) ||
          ts.isFunctionDeclaration(statement) ||
          ts.isClassDeclaration(statement) ||
          ts.isVariableStatement(statement),
        `${name}: ${text.slice(statement.pos, statement.end).trim().slice(0, 80)}`,
      );
    }
  }
});

for (const module of ['klend/accounts.js', 'klend-sdk.js']) {
  test(`${module} does not bring the error texts along`, () => {
    const reached = new Set<string>();
    const visit = (file: string): void => {
      if (reached.has(file)) return;
      reached.add(file);
      const { importedFiles } = ts.preProcessFile(readFileSync(file, 'utf8'));
      for (const { fileName } of importedFiles) {
        if (fileName.startsWith('.')) visit(join(dirname(file), fileName));
      }
    };
    visit(join(root, 'dist', module));
    const names = [...reached].map((file) => relative(join(root, 'dist'), file));
    assert(names.includes('facts/klend.js'));
    assert(!names.some((name) => name.includes('errors')), names.join(', '));
  });
}
