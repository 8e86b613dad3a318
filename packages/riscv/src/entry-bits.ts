/** Bits of entries by field name, read from the descriptions of the formats, so that no position is written twice. */
import { ArgumentError, type BitRange, type Field, rangesMask, scatter } from '@pagefold/core';
import { riscv32, riscv64 } from './format.ts';

/** Width of the machine's registers in bits. */
export type Xlen = 32 | 64;

function leafFields(xlen: Xlen): ReadonlyMap<string, Field> {
  const { shapes } = xlen === 64 ? riscv64 : riscv32;
  return new Map(
    shapes.flatMap(({ kind, fields }) => (kind === 'leaf' ? fields : [])).map((each) => [each.name, each]),
  );
}

const FIELDS: Readonly<Record<Xlen, ReadonlyMap<string, Field>>> = { 32: leafFields(32), 64: leafFields(64) };

function rangesOf(xlen: Xlen, name: string): readonly BitRange[] {
  const field = FIELDS[xlen].get(name);
  if (field === undefined) {
    throw new ArgumentError('entry-field', `entries of RV${xlen} have no field of that name`, { field: name });
  }
  return field.bits;
}

/**
 * The mask of a field of leaf entries.
 * @param name as the format names it: `v`, `ppn`, `pbmt`
 * @throws ArgumentError `entry-field` if entries of that width have no such field
 */
export function entryMask(xlen: Xlen, name: string): bigint {
  return rangesMask(rangesOf(xlen, name));
}

/**
 * Entry bits for values of fields.
 * @throws ArgumentError `entry-field` for an unknown field, FormatError `field-width` for a value that does not fit
 */
export function entryBits(xlen: Xlen, values: Readonly<Record<string, bigint | number>>): bigint {
  let word = 0n;
  for (const [name, value] of Object.entries(values)) word |= scatter(BigInt(value), rangesOf(xlen, name));
  return word;
}

/**
 * Entry bits for one-bit fields that are set, written as names with spaces between: `v r w`.
 * @throws ArgumentError `entry-field` for an unknown field
 */
export function entryFlags(xlen: Xlen, names: string): bigint {
  return names.split(' ').reduce((word, name) => word | entryMask(xlen, name), 0n);
}
