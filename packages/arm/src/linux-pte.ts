/**
 * What Linux keeps in page entries: under short descriptors in a table of its own beside the hardware's, under long
 * descriptors in the entry itself.
 * Sources: Linux 6.12 arch/arm/include/asm/pgtable-2level.h, pgtable-2level-hwdef.h, pgtable-3level.h,
 * pgtable-3level-hwdef.h.
 */
import { ArgumentError, type Field, gather, rangesMask, scatter } from '@pagefold/core';

/** `short` or `lpae`: which kernel. */
export type LinuxModel = 'short' | 'lpae';

type Row = readonly [name: string, hi: number, lo: number, meaning: string];

function fieldsFrom(section: string, rows: readonly Row[]): readonly Field[] {
  return rows.map(([name, hi, lo, meaning]) => ({ name, bits: [[hi, lo]], meaning, section }));
}

/** Linux's own page entry under short descriptors (`L_PTE_…`). */
export const linuxShortPte: readonly Field[] = fieldsFrom('asm/pgtable-2level.h', [
  ['pfn', 31, 12, 'page frame number'],
  ['none', 11, 11, 'PROT_NONE'],
  ['shared', 10, 10, 'shared between processors'],
  ['xn', 9, 9, 'not executable'],
  ['user', 8, 8, 'accessible by user code'],
  ['rdonly', 7, 7, 'read-only'],
  ['dirty', 6, 6, 'written to'],
  ['type', 5, 2, 'memory type'],
  ['young', 1, 1, 'accessed'],
  ['present', 0, 0, 'present (also called valid)'],
]);

/** A page entry under long descriptors, in Linux's words. */
export const linuxLpaePte: readonly Field[] = fieldsFrom('asm/pgtable-3level.h', [
  ['rdonly', 58, 58, 'read-only'],
  ['none', 57, 57, 'PROT_NONE'],
  ['special', 56, 56, 'no struct page'],
  ['dirty', 55, 55, 'written to'],
  ['xn', 54, 54, 'not executable'],
  ['pxn', 53, 53, 'not executable by privileged code'],
  ['pfn', 39, 12, 'page frame number'],
  ['nG', 11, 11, 'not global'],
  ['young', 10, 10, 'accessed (AF)'],
  ['shared', 9, 8, 'shared between processors'],
  ['ap2', 7, 7, 'read-only in hardware'],
  ['user', 6, 6, 'accessible by user code'],
  ['type', 4, 2, 'memory type'],
  ['present', 1, 0, 'present'],
]);

const FIELDS: Readonly<Record<LinuxModel, readonly Field[]>> = { short: linuxShortPte, lpae: linuxLpaePte };

function fieldNamed(model: LinuxModel, name: string): Field {
  const field = FIELDS[model].find((each) => each.name === name);
  if (field === undefined) throw new ArgumentError('linux-field', `a ${model} page entry has no such field`, { name });
  return field;
}

/** All bits of some fields. @throws ArgumentError `linux-field` if there is no such field */
export function linuxMask(model: LinuxModel, ...names: readonly string[]): bigint {
  return names.reduce((mask, name) => mask | rangesMask(fieldNamed(model, name).bits), 0n);
}

/** The value of a field in an entry. */
export function linuxField(model: LinuxModel, name: string, entry: bigint): bigint {
  return gather(entry, fieldNamed(model, name).bits);
}

/** An entry made of field values. @throws ArgumentError `linux-field`; FormatError if a value does not fit */
export function linuxEntry(model: LinuxModel, values: Readonly<Record<string, bigint | number>>): bigint {
  return Object.entries(values).reduce(
    (entry, [name, value]) => entry | scatter(BigInt(value), fieldNamed(model, name).bits),
    0n,
  );
}

/** Linux's memory types (`L_PTE_MT_…`), the values of `type`. Some are one and the same under long descriptors. */
export const LINUX_TYPES: Readonly<Record<LinuxModel, Readonly<Record<string, number>>>> = {
  short: {
    UNCACHED: 0,
    BUFFERABLE: 1,
    WRITETHROUGH: 2,
    WRITEBACK: 3,
    DEV_SHARED: 4,
    MINICACHE: 6,
    WRITEALLOC: 7,
    DEV_WC: 9,
    DEV_CACHED: 11,
    DEV_NONSHARED: 12,
    VECTORS: 15,
  },
  lpae: {
    UNCACHED: 0,
    BUFFERABLE: 1,
    WRITETHROUGH: 2,
    WRITEBACK: 3,
    DEV_SHARED: 4,
    WRITEALLOC: 7,
    DEV_WC: 1,
    DEV_CACHED: 3,
    DEV_NONSHARED: 4,
  },
};

/** A memory type as the bits of an entry. @throws ArgumentError `linux-type` if there is none of that name */
export function linuxTypeBits(model: LinuxModel, type: string): bigint {
  const value = LINUX_TYPES[model][type];
  if (value === undefined) throw new ArgumentError('linux-type', `no such memory type (${model})`, { type });
  return linuxEntry(model, { type: value });
}

/** PTE_EXT_NG: what `set_pte_ext` is told for addresses of one process; the same bit in both formats. */
export const EXT_NOT_GLOBAL = 0x800n;

/** Has an entry all bits of these one-bit fields? */
export function hasFlags(model: LinuxModel, entry: bigint, ...names: readonly string[]): boolean {
  const mask = linuxMask(model, ...names);
  return (entry & mask) === mask;
}

/** `pte_present`. A PROT_NONE page is present. */
export function ptePresent(model: LinuxModel, entry: bigint): boolean {
  return (entry & linuxMask(model, 'present')) !== 0n;
}

/** `pte_valid_user`: the entries that `set_ptes` makes non-global. */
export function pteValidUser(model: LinuxModel, entry: bigint): boolean {
  return (entry & 1n) === 1n && hasFlags(model, entry, 'user', 'young');
}

/** `pte_access_permitted`: may a user touch the page without a fault that needs repair? */
export function pteAccessPermitted(model: LinuxModel, entry: bigint, write: boolean): boolean {
  if (!ptePresent(model, entry) || !hasFlags(model, entry, 'user')) return false;
  return !write || !hasFlags(model, entry, 'rdonly');
}

/** `pte_same`: long descriptors get nG only when they are stored, so it is not compared. */
export function pteSame(model: LinuxModel, a: bigint, b: bigint): boolean {
  const ignored = model === 'lpae' ? linuxMask('lpae', 'nG') : 0n;
  return (a & ~ignored) === (b & ~ignored);
}

/** A swap entry under short descriptors. */
export interface SwapEntry {
  /** 5 bits. */
  readonly type: number;
  /** 24 bits. */
  readonly offset: bigint;
  readonly exclusive: boolean;
}

const SWAP: readonly Field[] = fieldsFrom('asm/pgtable.h, swap entries', [
  ['offset', 31, 8, 'page in the swap area'],
  ['exclusive', 7, 7, 'belongs to one process alone'],
  ['type', 6, 2, 'swap area'],
]);

/** A swap entry as a word; its low two bits are zero, so that it is neither present nor anything to the hardware. */
export function encodeSwap({ type, offset, exclusive }: SwapEntry): bigint {
  const values: Readonly<Record<string, bigint>> = { type: BigInt(type), offset, exclusive: exclusive ? 1n : 0n };
  return SWAP.reduce((word, { name, bits }) => word | scatter(values[name] ?? 0n, bits), 0n);
}

/** A word as a swap entry. @throws ArgumentError `swap-entry` if its low bits say that it is none */
export function decodeSwap(word: bigint): SwapEntry {
  if ((word & 3n) !== 0n || word === 0n) throw new ArgumentError('swap-entry', 'the word is no swap entry', { word });
  const value = (name: string): bigint =>
    SWAP.filter((field) => field.name === name).reduce((sum, { bits }) => sum + gather(word, bits), 0n);
  return { type: Number(value('type')), offset: value('offset'), exclusive: value('exclusive') === 1n };
}
