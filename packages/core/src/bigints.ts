/**
 * Checks for callers in plain JavaScript, where nothing keeps a number away from a place that wants a bigint. Numbers
 * are not converted: addresses above 2^53 would silently be others by the time we see them.
 */
import { ArgumentError, type ErrorValues } from './errors.ts';

/**
 * Checks that some arguments are bigints.
 * @param given the arguments by name
 * @throws ArgumentError `not-bigint` for the first that is none
 */
export function checkBigints(given: Readonly<Record<string, unknown>>): void {
  const wrong = Object.entries(given).find(([, value]) => typeof value !== 'bigint');
  if (wrong === undefined) return;
  const [name, value] = wrong;
  const shown: ErrorValues = { [name]: typeof value === 'number' ? value : `${typeof value} ${text(value)}`.trim() };
  throw new ArgumentError('not-bigint', 'addresses, sizes and words are bigints, such as 0x1000n', shown);
}

/** Text of anything; what cannot be text (an object without a prototype) is only named by its type. */
function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
