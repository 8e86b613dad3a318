/** Numbers as people write them on a command line. */
import { UsageError } from './errors.ts';

const NUMBER = /^(?:0x[0-9a-f]+|0b[01]+|0o[0-7]+|[0-9]+)$/i;

/** Does a word look like a number of ours? */
export function looksLikeNumber(text: string): boolean {
  return NUMBER.test(text.replaceAll('_', ''));
}

/**
 * A non-negative number: `0x…`, `0b…`, `0o…` or decimal; underscores separate digits.
 * @param what what the number is for, for the message
 * @param bits largest width
 * @throws UsageError if it is none, or too large
 */
export function parseNumber(text: string, what: string, bits = 64): bigint {
  const plain = text.trim().replaceAll('_', '');
  if (!NUMBER.test(plain)) {
    const hint = /^[0-9a-f]+$/i.test(plain) ? ` (write 0x${plain} for hexadecimal)` : '';
    throw new UsageError(`${what}: '${text}' is not a number${hint}`);
  }
  const value = BigInt(plain.toLowerCase());
  if (value >> BigInt(bits) !== 0n) throw new UsageError(`${what}: ${text} does not fit in ${bits} bits`);
  return value;
}

const UNITS: Readonly<Record<string, bigint>> = { K: 10n, M: 20n, G: 30n, T: 40n, P: 50n, E: 60n };

/**
 * A size: a number, or a decimal number with one of K M G T P E.
 * @throws UsageError if it is none
 */
export function parseSize(text: string, what: string): bigint {
  const match = /^([0-9]+)([KMGTPE])(?:i?B)?$/i.exec(text.trim());
  if (match === null) return parseNumber(text, what, 65);
  return BigInt(match[1] as string) << (UNITS[(match[2] as string).toUpperCase()] as bigint);
}

/**
 * A half-open range: `START-END` or `START+SIZE`.
 * @throws UsageError if it is neither, or empty
 */
export function parseRange(text: string, what: string): { readonly start: bigint; readonly end: bigint } {
  const match = /^\s*(\S+?)\s*([-+])\s*(\S+)\s*$/.exec(text);
  if (match === null) throw new UsageError(`${what}: '${text}' is not START-END or START+SIZE`);
  const start = parseNumber(match[1] as string, what);
  const second = match[3] as string;
  const end = match[2] === '+' ? start + parseSize(second, what) : parseNumber(second, what, 65);
  if (end <= start || end > 1n << 64n) throw new UsageError(`${what}: ${text} is empty or reaches beyond 2^64`);
  return { start, end };
}
