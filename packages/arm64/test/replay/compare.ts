/** Comparing a whole record at once, without a test runner. */
import { same } from '../../../core/test/replay/same.ts';
import { GRANULES, type Granule } from '../../src/index.ts';

/** A JSON object. */
export type Json = Readonly<Record<string, unknown>>;

/** A check of one record; `file` is the whole vector file. Throws on a mismatch. */
export type Replay = (record: unknown, file: unknown) => void;

/** Vectors write numbers as hex text, some of it padded: here they become numbers. Everything else stays. */
export function parsed(value: unknown): unknown {
  if (typeof value === 'string' && /^-?0x[0-9a-f]+$/i.test(value)) return hexNumber(value);
  if (Array.isArray(value)) return value.map(parsed);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, parsed(each)]));
}

/** Hex text with an optional sign. */
export function hexNumber(text: string): bigint {
  return text.startsWith('-') ? -BigInt(text.slice(1)) : BigInt(text);
}

/**
 * Throws unless every member of `expected` equals the member of that name of `actual`; the error lists all that do not.
 * @param keys the members to compare; not supplied: all of `expected`
 */
export function sameMembers(actual: Json, expected: Json, keys: readonly string[] = Object.keys(expected)): void {
  const wrong: string[] = [];
  for (const key of keys) {
    try {
      same(actual[key], parsed(expected[key]), key);
    } catch (error) {
      wrong.push(error instanceof Error ? error.message : String(error));
    }
  }
  if (wrong.length > 0) throw new Error(wrong.join('; '));
}

/** Throws if a record has members that its replay knows nothing of, so that nothing in a file goes unchecked. */
export function knowsMembers(record: Json, known: readonly string[]): void {
  const unknown = Object.keys(record).filter((key) => !known.includes(key));
  if (unknown.length > 0) throw new Error(`no replay for ${unknown.join(', ')}`);
}

/** A member of a record that must be one of some words. */
export function wordIn<W extends string>(record: Json, key: string, words: readonly W[]): W {
  const found = words.find((word) => word === record[key]);
  if (found === undefined) throw new Error(`no replay for ${key} ${JSON.stringify(record[key])}`);
  return found;
}

/** A member that is hex text, as a number. */
export function numberIn(record: Json, key: string): bigint {
  const value = parsed(record[key]);
  if (typeof value !== 'bigint') throw new Error(`${key} is no hex number`);
  return value;
}

/** The record's granule. */
export function granuleIn(record: Json): Granule {
  return wordIn(record, 'granule', GRANULES);
}
