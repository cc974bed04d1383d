/**
 * What the runtime's log lines say about calls, data and failures.
 *
 * @module
 */

import { type Address, type ReadonlyUint8Array, getBase64Encoder, isAddress } from '@solana/kit';

/** The logs of one transaction, read. */
export interface Logs {
  /** Data that programs logged (`sol_log_data`), with the program that did. */
  readonly data: readonly { readonly program: Address; readonly bytes: ReadonlyUint8Array }[];
  /** The innermost program that failed: the failure's origin, however many callers it passed. */
  readonly failedProgram: Address | null;
  /** The number it failed with, when it gave one. */
  readonly code: number | null;
  /** What the failure's line says behind `failed: `. */
  readonly reason: string | null;
  /** The program ran out of compute units rather than failing by itself. */
  readonly outOfComputeUnits: boolean;
  /** Lines are missing at the end; data and failures may be among them. */
  readonly truncated: boolean;
}

const base64 = getBase64Encoder();

/**
 * Reads log lines. What programs print begins with `Program log: ` and is never
 * mistaken for the runtime's own lines.
 */
export function readLogs(lines: readonly string[]): Logs {
  const stack: Address[] = [];
  const data: { program: Address; bytes: ReadonlyUint8Array }[] = [];
  let failedProgram: Address | null = null;
  let reason: string | null = null;
  let truncated = false;
  for (const line of lines) {
    if (line === 'Log truncated') truncated = true;
    if (!line.startsWith('Program ')) continue;
    const rest = line.slice('Program '.length);
    if (rest.startsWith('log: ')) continue;
    if (rest.startsWith('data: ')) {
      const program = stack.at(-1);
      const bytes = fields(rest.slice('data: '.length));
      if (program !== undefined && bytes !== null) data.push({ program, bytes });
      continue;
    }
    const [program = '', verb] = rest.split(' ', 2);
    if (!isAddress(program)) continue;
    if (verb === 'invoke') stack.push(program);
    if (verb === 'success') stack.pop();
    if (verb === 'failed:') {
      stack.pop();
      if (failedProgram === null) {
        failedProgram = program;
        reason = rest.slice(`${program} failed: `.length);
      }
    }
  }
  const number = reason?.match(/custom program error: 0x([0-9a-f]+)$/i)?.[1];
  return {
    data,
    failedProgram,
    code: number === undefined ? null : Number.parseInt(number, 16),
    reason,
    outOfComputeUnits: /exceeded CUs meter|Computational budget exceeded/.test(reason ?? ''),
    truncated,
  };
}

function fields(encoded: string): Uint8Array | null {
  try {
    return Uint8Array.from(encoded.split(' ').flatMap((field) => [...base64.encode(field)]));
  } catch {
    return null;
  }
}
