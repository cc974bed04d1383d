/**
 * What became of a transaction: events of this project's program, and why it failed.
 *
 * @module
 */

import type { Address, ReadonlyUint8Array } from '@solana/kit';

import {
  ANCHOR_ERRORS,
  type ErrorEntry,
  KLEND_ERRORS,
  RECEIVER_ERRORS,
  SYSTEM_ERRORS,
  TOKEN_ERRORS,
} from '../facts/errors.js';
import { KLEND } from '../facts/klend.js';
import {
  FLASH_LIQUIDATOR_PROGRAM_ADDRESS,
  type Liquidated,
  type Settled,
  getLiquidatedDecoder,
  getSettledDecoder,
} from '../generated/index.js';
import { EVENT_DISCRIMINATORS } from '../facts/events.js';
import { systemProgramAddress, tokenProgramAddress } from '../meta.js';
import { type Logs, readLogs } from './logs.js';

export { type Logs, readLogs } from './logs.js';

/** An event of this project's program. */
export type Event =
  | { readonly name: 'Liquidated'; readonly data: Liquidated }
  | { readonly name: 'Settled'; readonly data: Settled };

/** Why a transaction failed. */
export interface Failure {
  /** Program that refused; `null` when neither logs nor caller say. */
  readonly program: Address | null;
  /** Its number, the one in `Custom(…)`; `null` for the runtime's own errors. */
  readonly code: number | null;
  /** Who refused, the number and the name: `klend 6016 ObligationHealthy`. */
  readonly title: string;
  /** The name alone, where the number is known. */
  readonly name: string | null;
  /** What it means. */
  readonly sentence: string;
  /** What to do about it. */
  readonly hint: string;
}

/** A decoded transaction. */
export interface Decoded {
  /** Events of this project's program, in order. A failed transaction has none that count. */
  readonly events: readonly Event[];
  /** Why it failed; `null` when it did not. */
  readonly failure: Failure | null;
  /** What the logs say. */
  readonly logs: Logs;
}

/** A transaction as an RPC node, a simulation or LiteSVM reports it. */
export interface Executed {
  /** Its log lines. */
  readonly logs: readonly string[];
  /**
   * Its error as RPC nodes give it, for example `{ InstructionError: [4, { Custom: 7037 }] }`;
   * `null` when it succeeded. Left out, the logs alone decide.
   */
  readonly error?: unknown;
  /** Programs of its top-level instructions; they attribute an error when logs are incomplete. */
  readonly programs?: readonly Address[];
}

const token2022ProgramAddress = 'TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb';

/** Reads what was reported about a transaction. */
export function decodeTransaction({ logs: lines, error, programs = [] }: Executed): Decoded {
  const logs = readLogs(lines);
  const reported = readError(error);
  const failed = reported.failed ?? logs.failedProgram !== null;
  if (!failed) {
    const ours = logs.data.filter(({ program }) => program === FLASH_LIQUIDATOR_PROGRAM_ADDRESS);
    const events = ours.map(({ bytes }) => decodeEvent(bytes)).filter((event) => event !== null);
    return { events, failure: null, logs };
  }
  const topLevel = reported.instruction === null ? undefined : programs[reported.instruction];
  const program = logs.failedProgram ?? topLevel ?? null;
  const code = reported.code ?? logs.code;
  if (code === null)
    return { events: [], failure: withoutCode(program, logs, reported.text), logs };
  return { events: [], failure: explain(program, code, logs.failedProgram === null), logs };
}

/** An event from the data that the program logged; `null` if it is not one, to the last byte. */
export function decodeEvent(data: ReadonlyUint8Array): Event | null {
  const is = (discriminator: readonly number[]): boolean =>
    discriminator.every((byte, index) => data[index] === byte);
  if (is(EVENT_DISCRIMINATORS.liquidated)) {
    const [event, end] = getLiquidatedDecoder().read(data, EVENT_DISCRIMINATORS.liquidated.length);
    return end === data.length ? { name: 'Liquidated', data: event } : null;
  }
  if (is(EVENT_DISCRIMINATORS.settled)) {
    const [event, end] = getSettledDecoder().read(data, EVENT_DISCRIMINATORS.settled.length);
    return end === data.length ? { name: 'Settled', data: event } : null;
  }
  return null;
}

/**
 * A program's error number in words. Numbers of this program (7000 and up) and of klend
 * (6000 to 6194) do not overlap, so that either is recognised below an instruction of
 * this program even when the logs do not say which failed.
 *
 * @param program program that returned it, or the top-level one
 * @param guess whether `program` is only the top-level one
 */
export function explain(program: Address | null, code: number, guess = false): Failure {
  const isOurs = program === FLASH_LIQUIDATOR_PROGRAM_ADDRESS;
  const isKlend = program === KLEND.programAddress || (guess && isOurs);
  const tables: (readonly [boolean, string, readonly ErrorEntry[]])[] = [
    [isOurs, 'flash-liquidator', RECEIVER_ERRORS],
    [isKlend, 'klend', KLEND_ERRORS],
    [
      program === tokenProgramAddress || program === token2022ProgramAddress,
      'token program',
      TOKEN_ERRORS,
    ],
    [program === systemProgramAddress, 'system program', SYSTEM_ERRORS],
    [isOurs || isKlend, 'Anchor', ANCHOR_ERRORS],
  ];
  for (const [applies, who, table] of tables) {
    const entry = applies && table.find((entry) => entry.code === code);
    if (entry) {
      const { name, sentence, hint } = entry;
      return { program, code, name, title: `${who} ${code} ${name}`, sentence, hint };
    }
  }
  return {
    program,
    code,
    name: null,
    title: `program error ${code}`,
    sentence: `${named(program)} refused with its own error ${code}.`,
    hint: 'If it is a swap, its price or liquidity has changed: quote again, or take another route.',
  };
}

function withoutCode(program: Address | null, logs: Logs, text: string | null): Failure {
  if (logs.outOfComputeUnits) {
    return {
      program,
      code: null,
      name: null,
      title: 'compute units exhausted',
      sentence: 'The transaction reached its compute-unit limit.',
      hint: 'Raise the limit (1,400,000 at most), or take a route with fewer swaps.',
    };
  }
  const reason = logs.reason ?? text ?? 'no reason given';
  return {
    program,
    code: null,
    name: null,
    title: `transaction failed: ${reason}`,
    sentence: `${named(program)} failed: ${reason}.`,
    hint: 'The logs show the instruction and the call in which it happened.',
  };
}

const named = (program: Address | null): string =>
  program === null ? 'The transaction' : `Program ${program}`;

/** The parts of an error as RPC nodes write it in JSON. */
function readError(error: unknown): {
  /** `undefined` when the caller did not say whether it failed. */
  readonly failed: boolean | undefined;
  readonly instruction: number | null;
  readonly code: number | null;
  readonly text: string | null;
} {
  const nothing = { instruction: null, code: null, text: null };
  if (error === undefined) return { failed: undefined, ...nothing };
  if (error === null) return { failed: false, ...nothing };
  const text = typeof error === 'string' ? error : JSON.stringify(error, bigintAsNumber);
  const pair = property(error, 'InstructionError');
  if (!Array.isArray(pair)) return { failed: true, ...nothing, text };
  const code = property(pair[1], 'Custom');
  return {
    failed: true,
    instruction: Number(pair[0]),
    code: code === undefined ? null : Number(code),
    text,
  };
}

const bigintAsNumber = (_: string, value: unknown): unknown =>
  typeof value === 'bigint' ? Number(value) : value;

function property(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null
    ? (value as Record<string, unknown>)[name]
    : undefined;
}
