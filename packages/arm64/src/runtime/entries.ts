/** Finding the entries of a tree that stand for an address. */
import { phys } from '@pagefold/core';
import { type PageTree, slotAt, type TreeSlot } from '../boot/page-tree.ts';
import { LINUX_BITS } from '../entry-bits.ts';
import { linuxAddress } from '../linux-addresses.ts';

/** An entry that is no table, and where it was found. */
export interface FoundEntry extends TreeSlot {
  /** Level from the pages. */
  readonly level: number;
}

/** Is a word of a level a pointer to a table? */
export function isTable(word: bigint, level: number): boolean {
  return level > 0 && (word & LINUX_BITS.TYPE_MASK) === LINUX_BITS.TYPE_MASK;
}

/**
 * The entry that decides about an address: a leaf, an empty one, or anything else that is no table.
 * @param lowest level at which the search ends even if there is a table. Not supplied: 0
 */
export function entryFor(tree: PageTree, va: bigint, lowest = 0): FoundEntry {
  let table = tree.root;
  for (let level = tree.paging.geometry.root.level; ; level--) {
    const slot = slotAt(tree, table, level, va);
    if (level === lowest || !isTable(slot.word, level)) return { ...slot, level };
    table = phys(linuxAddress(slot.word, tree.addresses));
  }
}
