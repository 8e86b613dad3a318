/**
 * Huge pages of programs: blocks, and groups of entries with the contiguous hint, which change only as a whole.
 * Source: Linux 6.12 arch/arm64/mm/hugetlbpage.c.
 */
import { type AddressRange, ArgumentError, writeWord } from '@pagefold/core';
import { type PageTree, slotAt, tableBelow } from '../boot/page-tree.ts';
import { LINUX_BITS, tableMask } from '../entry-bits.ts';
import { contiguousEntries, type Granule, hardwareLevel, levelShift } from '../granule.ts';
import { linuxAddress, linuxAddressBits } from '../linux-addresses.ts';
import { pteDirty, pteYoung } from '../linux-predicates.ts';
import { pteMkdirty, pteMkyoung } from '../linux-transitions.ts';
import { entryFor } from './entries.ts';

/** A size of huge pages. */
export interface HugeSize {
  readonly bytes: bigint;
  /** Level, from the pages, of its entries. */
  readonly level: number;
  /** Entries of one huge page. */
  readonly entries: number;
}

/** The sizes that Linux offers with a granule, rising: groups of pages, blocks, groups of blocks, with 4K pud blocks. */
export function hugeSizes(granule: Granule): readonly HugeSize[] {
  const size = (level: number, entries: number): HugeSize => ({
    bytes: BigInt(entries) << BigInt(levelShift(granule, hardwareLevel(level))),
    level,
    entries,
  });
  return [
    size(0, contiguousEntries(granule, 3) as number),
    size(1, 1),
    size(1, contiguousEntries(granule, 2) as number),
    ...(granule === '4K' ? [size(2, 1)] : []),
  ];
}

/** @throws ArgumentError `huge-size` if there are no such pages, `huge-align` if the address is none of one */
function hugeSize({ addresses }: PageTree, va: bigint, bytes: bigint): HugeSize {
  const found = hugeSizes(addresses.granule).find((size) => size.bytes === bytes);
  if (found === undefined) throw new ArgumentError('huge-size', 'there are no huge pages of that size', { bytes });
  if (va % bytes !== 0n) throw new ArgumentError('huge-align', 'a huge page lies at a multiple of its size', { va });
  return found;
}

/**
 * `set_huge_pte_at`: all entries of a huge page; tables are made where they are missing.
 * @throws ArgumentError `huge-size`, `huge-align`; BootError `leaf-in-the-way`
 */
export function setHugePage(tree: PageTree, va: bigint, pa: bigint, bytes: bigint, prot: bigint): void {
  const { level: last, entries } = hugeSize(tree, va, bytes);
  hugeSize(tree, pa, bytes);
  let table = tree.root;
  for (let level = tree.paging.geometry.root.level; level > last; level--) {
    // Programs have execution by the kernel forbidden in their tables.
    table = tableBelow(tree, slotAt(tree, table, level, va), level, va, tableMask('pxnTable'));
  }
  const type = last === 0 ? LINUX_BITS.TYPE_MASK : LINUX_BITS.VALID;
  const bits = (prot & ~LINUX_BITS.TYPE_MASK) | type | (entries > 1 ? LINUX_BITS.CONT : 0n);
  const step = BigInt(tree.paging.codec(last).level.entrySpan);
  for (let i = 0n; i < BigInt(entries); i++) {
    const { address } = slotAt(tree, table, last, va + i * step);
    writeWord(tree.memory, address, linuxAddressBits(pa + i * step, tree.addresses) | bits);
  }
}

/** The words of a huge page's entries, or none if there is no such page. */
function hugeWords(tree: PageTree, va: bigint, { level, entries }: HugeSize): ReturnType<typeof entryFor>[] {
  const step = BigInt(tree.paging.codec(level).level.entrySpan);
  const found = Array.from({ length: entries }, (_, i) => entryFor(tree, va + BigInt(i) * step, level));
  return found.every((entry) => entry.level === level && entry.word !== 0n) ? found : [];
}

/** `huge_ptep_get`: the first entry, dirty or accessed if any entry of the group is; `undefined` if there is none. */
export function hugePage(tree: PageTree, va: bigint, bytes: bigint): bigint | undefined {
  const words = hugeWords(tree, va, hugeSize(tree, va, bytes)).map(({ word }) => word);
  const [first] = words;
  if (first === undefined) return undefined;
  const young = words.some((word) => pteYoung(word)) ? pteMkyoung(first) : first;
  return words.some((word) => pteDirty(word)) ? pteMkdirty(young) : young;
}

/** A step of a change: entries must not be used while they differ. */
export type HugeStep =
  | { readonly op: 'clear' | 'write' }
  | { readonly op: 'flush'; readonly range: AddressRange<bigint> };

/**
 * Gives a huge page another protection. A group is cleared, flushed and written again; a single entry is just written.
 * @returns the steps in their order, for whoever keeps count of invalidations
 * @throws ArgumentError `huge-missing` if there is no such page
 */
export function changeHugePage(tree: PageTree, va: bigint, bytes: bigint, prot: bigint): HugeStep[] {
  const size = hugeSize(tree, va, bytes);
  const before = hugePage(tree, va, bytes);
  if (before === undefined) throw new ArgumentError('huge-missing', 'no such huge page is there', { va, bytes });
  const flush = { op: 'flush', range: { start: va, end: va + bytes } } as const;
  const group = size.entries > 1;
  if (group) for (const { address } of hugeWords(tree, va, size)) writeWord(tree.memory, address, 0n);
  const kept = before & (LINUX_BITS.AF | LINUX_BITS.DIRTY);
  setHugePage(tree, va, linuxAddress(before, tree.addresses), bytes, prot | kept);
  return group ? [{ op: 'clear' }, flush, { op: 'write' }] : [{ op: 'write' }, flush];
}

/** `huge_ptep_get_and_clear`: takes a huge page away. Gives what {@link hugePage} had. */
export function clearHugePage(tree: PageTree, va: bigint, bytes: bigint): bigint | undefined {
  const before = hugePage(tree, va, bytes);
  for (const { address } of hugeWords(tree, va, hugeSize(tree, va, bytes))) writeWord(tree.memory, address, 0n);
  return before;
}
