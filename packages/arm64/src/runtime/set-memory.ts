/**
 * Changing what may be done with pages of the kernel. Nothing is split: whoever wants to change single pages has mapped
 * them as such. Source: Linux 6.12 arch/arm64/mm/pageattr.c.
 */
import { type AddressRange, ArgumentError, type PhysAddr, rangeCovers, writeWord } from '@pagefold/core';
import type { PageTree } from '../boot/page-tree.ts';
import { LINUX_BITS, linuxBits } from '../entry-bits.ts';
import { linuxAddress } from '../linux-addresses.ts';
import { entryFor } from './entries.ts';

/** The calls `set_memory_…`. */
export type MemoryChange = 'ro' | 'rw' | 'nx' | 'x' | 'valid' | 'invalid';

/** How a change is made. */
export interface SetMemoryOptions {
  /** The area of vmalloc that holds the range. `valid` and `invalid` do without. */
  readonly area?: AddressRange<bigint>;
  /** The address in the linear map of a page, if that must follow (`rodata=full`). Not supplied: it need not. */
  readonly linearAlias?: (pa: bigint) => bigint;
  /** The kernel's text is protected by branch target identification. Not supplied: no. */
  readonly bti?: boolean;
}

/** Bits that a change sets and clears. */
export function changeMasks(change: MemoryChange, bti = false): { readonly set: bigint; readonly clear: bigint } {
  const guarded = bti ? LINUX_BITS.GP : 0n;
  switch (change) {
    case 'ro':
      return { set: LINUX_BITS.RDONLY, clear: LINUX_BITS.WRITE };
    case 'rw':
      return { set: LINUX_BITS.WRITE, clear: LINUX_BITS.RDONLY };
    case 'nx':
      return { set: LINUX_BITS.PXN, clear: guarded };
    case 'x':
      return { set: guarded, clear: LINUX_BITS.PXN };
    case 'valid':
      return { set: LINUX_BITS.VALID, clear: 0n };
    case 'invalid':
      return { set: 0n, clear: LINUX_BITS.VALID };
  }
}

interface PageChange {
  readonly address: PhysAddr;
  readonly word: bigint;
}

/** The new words of some pages; nothing is written yet. */
function pageChanges(tree: PageTree, start: bigint, pages: number, set: bigint, clear: bigint): PageChange[] {
  return Array.from({ length: pages }, (_, i) => {
    const va = start + BigInt(i) * tree.paging.pageBytes;
    const { address, word, level } = entryFor(tree, va);
    if (level !== 0 || word === 0n) {
      throw new ArgumentError('set-memory-page', 'only pages that are mapped as such can change', { va, word });
    }
    return { address, word: (word & ~clear) | set };
  });
}

/**
 * `set_memory_ro` and its relatives.
 * @returns ranges whose cached translations are stale
 * @throws ArgumentError `set-memory-area` outside one area, `set-memory-page` where there are no pages, `range-align`;
 *   nothing is changed then
 */
export function setMemory(
  tree: PageTree,
  change: MemoryChange,
  start: bigint,
  pages: number,
  options: SetMemoryOptions = {},
): AddressRange<bigint>[] {
  const page = tree.paging.pageBytes;
  if (start % page !== 0n) throw new ArgumentError('range-align', 'a range of pages begins at a page', { start });
  if (pages === 0) return [];
  const range = { start, end: start + BigInt(pages) * page };
  const free = change === 'valid' || change === 'invalid';
  if (!free && (options.area === undefined || !rangeCovers(options.area, range))) {
    throw new ArgumentError('set-memory-area', 'the range must lie in one area of vmalloc', { ...range });
  }
  const { set, clear } = changeMasks(change, options.bti);
  const changes = pageChanges(tree, start, pages, set, clear);
  const stale: AddressRange<bigint>[] = [range];
  const { linearAlias } = options;
  if (linearAlias !== undefined && ((set | clear) & LINUX_BITS.RDONLY) !== 0n) {
    for (const { word } of [...changes]) {
      const alias = linearAlias(linuxAddress(word, tree.addresses));
      changes.push(...pageChanges(tree, alias, 1, set, clear));
      stale.push({ start: alias, end: alias + page });
    }
  }
  for (const { address, word } of changes) writeWord(tree.memory, address, word);
  return stale;
}

/**
 * `set_direct_map_invalid_noflush`, `set_direct_map_default_noflush`: one page of the linear map. The caller flushes.
 * @param singlePages is the linear map made of pages? If not, nothing happens, as in Linux.
 */
export function setDirectMap(tree: PageTree, va: bigint, valid: boolean, singlePages: boolean): void {
  if (!singlePages) return;
  const set = valid ? linuxBits('VALID WRITE') : 0n;
  const clear = valid ? LINUX_BITS.RDONLY : LINUX_BITS.VALID;
  for (const { address, word } of pageChanges(tree, va, 1, set, clear)) writeWord(tree.memory, address, word);
}

/** `kernel_page_present`: is an address of the linear map there now? */
export function kernelPagePresent(tree: PageTree, va: bigint): boolean {
  const { word } = entryFor(tree, va);
  return (word & LINUX_BITS.VALID) !== 0n;
}
