/** Bit fields over `bigint` words: reading, writing and masks. For the edge; hot paths use compiled masks. */
import { FormatError } from './errors.ts';
import type { AddressPiece, BitRange, Field } from './format.ts';

/** A mask of `bits` ones, starting at bit `lo`. */
export function maskOf(bits: number, lo = 0): bigint {
  return ((1n << BigInt(bits)) - 1n) << BigInt(lo);
}

/** The mask of all bits of some ranges. */
export function rangesMask(ranges: readonly BitRange[]): bigint {
  return ranges.reduce((mask, [hi, lo]) => mask | maskOf(hi - lo + 1, lo), 0n);
}

/** Number of bits in some ranges. */
export function rangesWidth(ranges: readonly BitRange[]): number {
  return ranges.reduce((sum, [hi, lo]) => sum + hi - lo + 1, 0);
}

/** Gathers a possibly scattered field; the first range holds the most significant bits. */
export function gather(word: bigint, ranges: readonly BitRange[]): bigint {
  let value = 0n;
  for (const [hi, lo] of ranges) {
    const width = hi - lo + 1;
    value = (value << BigInt(width)) | ((word >> BigInt(lo)) & maskOf(width));
  }
  return value;
}

/** Is a value a whole number that fits in some ranges? */
export function fitsRanges(value: bigint | number, ranges: readonly BitRange[]): boolean {
  if (typeof value !== 'bigint' && !Number.isSafeInteger(value)) return false;
  const number = BigInt(value);
  return number >= 0n && number >> BigInt(rangesWidth(ranges)) === 0n;
}

/**
 * Scatters a value over ranges.
 * @throws FormatError if the value does not fit
 */
export function scatter(value: bigint, ranges: readonly BitRange[]): bigint {
  if (!fitsRanges(value, ranges)) {
    throw new FormatError('field-width', `a value does not fit in ${rangesWidth(ranges)} bits`, { value });
  }
  let rest = value;
  let word = 0n;
  for (const [hi, lo] of [...ranges].reverse()) {
    const bits = hi - lo + 1;
    word |= (rest & maskOf(bits)) << BigInt(lo);
    rest >>= BigInt(bits);
  }
  return word;
}

/** The entry bits that address pieces occupy, for address bits from `fromBit` up. */
export function piecesMask(pieces: readonly AddressPiece[], fromBit = 0): bigint {
  let mask = 0n;
  for (const { entryLo, addressLo, bits } of pieces) {
    const skip = Math.max(0, fromBit - addressLo);
    if (skip < bits) mask |= maskOf(bits - skip, entryLo + skip);
  }
  return mask;
}

/** Values of fields in a word. */
export function fieldsOf(fields: readonly Field[], word: bigint): Record<string, bigint> {
  return Object.fromEntries(fields.map((field) => [field.name, gather(word, field.bits)]));
}
