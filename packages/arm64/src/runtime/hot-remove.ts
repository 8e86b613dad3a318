/**
 * Taking memory out of the linear map or out of vmemmap, and freeing the tables that this empties.
 * Source: Linux 6.12 arch/arm64/mm/mmu.c (`unmap_hotplug_range`, `free_empty_tables`).
 */
import { type PhysAddr, phys, readWord, virt, writeWord } from '@pagefold/core';
import { type PageTree, slotAt } from '../boot/page-tree.ts';
import { linuxAddress } from '../linux-addresses.ts';
import { isTable } from './entries.ts';

/** A leaf that was cleared. */
export interface RemovedLeaf {
  readonly va: bigint;
  readonly pa: bigint;
  readonly bytes: bigint;
}

/** A table that was given back. */
export interface FreedTree {
  readonly address: PhysAddr;
  /** Level from the pages. */
  readonly level: number;
  readonly va: bigint;
}

type Visit = (slot: { readonly address: PhysAddr; readonly word: bigint }, level: number, va: bigint) => void;

/** Visits the entries of a range: leaves before, tables after what is below them. */
function visit(tree: PageTree, table: PhysAddr, level: number, start: bigint, end: bigint, each: VisitRange): void {
  const span = BigInt(tree.paging.codec(level).level.entrySpan);
  for (let va = start; va < end; ) {
    const edge = (va & -span) + span;
    const next = edge < end ? edge : end;
    const slot = slotAt(tree, table, level, va);
    if (isTable(slot.word, level)) {
      visit(tree, phys(linuxAddress(slot.word, tree.addresses)), level - 1, va, next, each);
      each.table?.(slot, level, va, next);
    } else if (slot.word !== 0n) each.leaf?.(slot, level, va);
    va = next;
  }
}

interface VisitRange {
  readonly leaf?: Visit;
  readonly table?: (slot: Parameters<Visit>[0], level: number, va: bigint, next: bigint) => void;
}

/** `unmap_hotplug_range`: clears leaves. Tables stay. A leaf that the range covers in part goes as a whole. */
export function unmapRange(tree: PageTree, start: bigint, end: bigint): RemovedLeaf[] {
  const removed: RemovedLeaf[] = [];
  const leaf: Visit = ({ address, word }, level, va) => {
    const bytes = BigInt(tree.paging.codec(level).level.entrySpan);
    removed.push({ va: va & -bytes, pa: linuxAddress(word, tree.addresses) & -bytes, bytes });
    writeWord(tree.memory, address, 0n);
  };
  visit(tree, tree.root, tree.paging.geometry.root.level, start, end, { leaf });
  return removed;
}

/** `pgtable_range_aligned`: does all that a table covers lie between floor and ceiling? */
function spanIsFree(start: bigint, end: bigint, floor: bigint, ceiling: bigint, span: bigint): boolean {
  if ((start & -span) < floor) return false;
  const limit = ceiling & -span;
  return limit !== 0n && end <= limit;
}

/**
 * `free_empty_tables`: gives back tables of a range that hold nothing, lower ones first. The root stays.
 * @param floor the region's start, and `ceiling` its end: tables that reach beyond them stay
 */
export function freeEmptyTables(
  tree: PageTree,
  start: bigint,
  end: bigint,
  floor: bigint,
  ceiling: bigint,
): FreedTree[] {
  const freed: FreedTree[] = [];
  const table: NonNullable<VisitRange['table']> = ({ address, word }, level, va, next) => {
    const span = BigInt(tree.paging.codec(level).level.entrySpan);
    if (!spanIsFree(va, next, floor, ceiling, span)) return;
    const { entries, tableBytes, alignBytes } = tree.paging.codec(level - 1).level;
    const below = phys(linuxAddress(word, tree.addresses));
    for (let i = 0; i < entries; i++) if (readWord(tree.memory, phys(below + BigInt(i) * 8n)) !== 0n) return;
    writeWord(tree.memory, address, 0n);
    const first = va & -span;
    tree.phase.allocator.free(below, { level: level - 1, va: virt(first), bytes: tableBytes, alignBytes });
    freed.push({ address: below, level: level - 1, va: first });
  };
  visit(tree, tree.root, tree.paging.geometry.root.level, start, end, { table });
  return freed;
}
