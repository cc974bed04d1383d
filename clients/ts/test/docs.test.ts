// The documents show the example as it is, and the example runs.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import * as client from 'klend-flash-liquidator';

import { sdkObjects } from './sdk-objects.js';

const root = join(import.meta.dirname, '../..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const blocks = (markdown: string, language: string): string[] =>
  [...markdown.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)]
    .filter(([, found]) => found === language)
    .map(([, , text = '']) => text);

test('docs/typescript.md quotes what runs, and the example prints what the page says', () => {
  const page = read('../../docs/typescript.md');
  const example = read('examples/flash-liquidation.ts');
  const quotes = blocks(page, 'ts');
  assert(quotes.length >= 5);
  // A part that the example has no use for is a test's.
  const tested = read('test/liquidate.test.ts');
  for (const quote of quotes) assert(example.includes(quote) || tested.includes(quote), quote);
  for (const { version } of sdkObjects) assert(page.includes(version), version);

  const script = join(root, 'build/examples/flash-liquidation.js');
  const printed = execFileSync(process.execPath, [script], { encoding: 'utf8' });
  const [shown] = blocks(page, 'text');
  assert(shown);
  for (const line of shown.trim().split('\n')) {
    const label = line.slice(0, 14);
    const found = printed.split('\n').find((printed) => printed.startsWith(label));
    assert(found, `nothing is printed for ${label}`);
    // The figures are the stand-in's; another klend may round otherwise.
    if (!process.env['KLEND_ELF']) assert.equal(found, line);
  }
});

test('every function that the README names is exported', () => {
  const readme = read('README.md');
  const table = readme.slice(readme.indexOf('| what for'), readme.indexOf('## What to know'));
  const names = [...table.matchAll(/`([a-z]\w+)`/gi)].map(([, name = '']) => name);
  const known = new Set<string>([...Object.keys(client), 'open', 'settle']);
  assert(names.length > 15);
  for (const name of names) assert(known.has(name), name);
});
