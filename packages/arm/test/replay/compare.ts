/** Comparing whole records, without a test runner. */
import { same } from '../../../core/test/replay/same.ts';

/** A JSON object. */
export type Json = Readonly<Record<string, unknown>>;

/** Numbers, whether written as hex text (some of it padded) or as numbers, become exact ones. Everything else stays. */
function parsed(value: unknown): unknown {
  if (typeof value === 'string' && /^0x[0-9a-f]+$/i.test(value)) return BigInt(value);
  if (typeof value === 'number' && Number.isSafeInteger(value)) return BigInt(value);
  if (Array.isArray(value)) return value.map(parsed);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, parsed(each)]));
}

/** Throws unless both have the same members with the same values, whichever way numbers are written. */
export function sameRecord(actual: Json, expected: unknown, what: string): void {
  same(parsed(actual), parsed(expected), what);
}

/** A member that is hex text, as a number. */
export function numberIn(record: Json, key: string): bigint {
  const value = parsed(record[key]);
  if (typeof value !== 'bigint') throw new Error(`${key} is no hex number`);
  return value;
}
