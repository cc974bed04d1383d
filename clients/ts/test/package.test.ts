// What would be published.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

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
