/** Bits of descriptors by field name, read from the descriptions of the formats, so that no position is written twice. */
import { ArgumentError, type Field, rangesMask } from '@pagefold/core';
import { leafFields, stage2LeafFields, tableFields } from './fields.ts';

function masksOf(fields: readonly Field[]): ReadonlyMap<string, bigint> {
  return new Map(fields.map(({ name, bits }) => [name, rangesMask(bits)]));
}

// The granule only matters for addresses, which have functions of their own.
const LEAF = masksOf(leafFields('4K', true));
const TABLE = masksOf(tableFields('4K'));
const STAGE2 = masksOf(stage2LeafFields('4K', true));

function look(masks: ReadonlyMap<string, bigint>, name: string): bigint {
  const mask = masks.get(name);
  if (mask === undefined || name === 'address') {
    throw new ArgumentError('entry-field', 'descriptors have no field of that name', { field: name });
  }
  return mask;
}

/**
 * The mask of a field of stage-1 blocks and pages.
 * @param name as the format names it: `uxn`, `attrIndx`
 * @throws ArgumentError `entry-field` if there is no such field
 */
export function leafMask(name: string): bigint {
  return look(LEAF, name);
}

/** The mask of a field of stage-1 tables; see {@link leafMask}. */
export function tableMask(name: string): bigint {
  return look(TABLE, name);
}

/** The mask of a field of stage-2 blocks and pages; see {@link leafMask}. */
export function stage2Mask(name: string): bigint {
  return look(STAGE2, name);
}

/** A value put where a mask is. */
export function placed(mask: bigint, value: number): bigint {
  return BigInt(value) * (mask & -mask);
}

/** The value that a mask holds of a word. */
export function valueAt(mask: bigint, word: bigint): number {
  return Number((word & mask) / (mask & -mask));
}

const software = leafMask('sw');
const unit = software & -software;
const type = leafMask('type');
const poIndex = leafMask('pbha') & (leafMask('pbha') << 1n);

/** Names of {@link LINUX_BITS}. */
export type LinuxBit =
  | 'VALID'
  | 'TYPE_MASK'
  | 'TABLE_BIT'
  | 'ATTRINDX_MASK'
  | 'USER'
  | 'RDONLY'
  | 'SHARED'
  | 'AF'
  | 'NG'
  | 'GP'
  | 'WRITE'
  | 'CONT'
  | 'PXN'
  | 'UXN'
  | 'DIRTY'
  | 'SPECIAL'
  | 'DEVMAP'
  | 'UFFD_WP'
  | 'PO_IDX_MASK'
  | 'PRESENT_INVALID';

/**
 * Bits of stage-1 entries under the names that Linux gives them, without their `PTE_`. WRITE is the hardware's dirty bit
 * modifier; PRESENT_INVALID, with VALID clear, makes an entry present for software.
 * Source: Linux 6.12 arch/arm64/include/asm/pgtable-hwdef.h, pgtable-prot.h.
 */
export const LINUX_BITS: Readonly<Record<LinuxBit, bigint>> = {
  VALID: type & -type,
  TYPE_MASK: type,
  TABLE_BIT: type & ~(type & -type),
  ATTRINDX_MASK: leafMask('attrIndx'),
  USER: leafMask('ap1'),
  RDONLY: leafMask('ap2'),
  SHARED: leafMask('sh'),
  AF: leafMask('af'),
  NG: leafMask('nG'),
  GP: leafMask('gp'),
  WRITE: leafMask('dbm'),
  CONT: leafMask('contiguous'),
  PXN: leafMask('pxn'),
  UXN: leafMask('uxn'),
  DIRTY: unit,
  SPECIAL: unit << 1n,
  DEVMAP: unit << 2n,
  UFFD_WP: unit << 3n,
  PO_IDX_MASK: poIndex,
  PRESENT_INVALID: leafMask('nG'),
};

/** Bits by name, with spaces between the names: `USER RDONLY`. */
export function linuxBits(names: string): bigint {
  return names.split(' ').reduce((word, name) => word | LINUX_BITS[name as LinuxBit], 0n);
}
