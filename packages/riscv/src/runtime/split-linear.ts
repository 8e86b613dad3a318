/**
 * Splitting the linear map: leaves that a range covers only in part become tables of leaves of the next size.
 * Source: Linux 6.12 arch/riscv/mm/pageattr.c (`split_linear_mapping`).
 */
import { type NameHelpers, type PhysAddr, type Slot, TABLE_NAMES, type TableName } from '@pagefold/core';
import { slotIn } from '../boot/create-mapping.ts';
import { entryMask } from '../entry-bits.ts';
import type { KernelTables } from './kernel-tables.ts';

/** A leaf that became a table. */
export interface SplitLeaf {
  /** Name of the entry that held the leaf. */
  readonly name: TableName;
  /** First virtual address of the leaf. */
  readonly start: bigint;
  /** The table that took its place. */
  readonly table: PhysAddr;
}

function below(name: TableName): TableName {
  return TABLE_NAMES[TABLE_NAMES.indexOf(name) + 1] as TableName;
}

/** Does the range cover all of the entry? Such a leaf is changed whole. */
function isCovered(helper: NameHelpers, vaddr: bigint, next: bigint): boolean {
  return vaddr % helper.size === 0n && next - vaddr >= helper.size;
}

/** Replaces a leaf by a table of smaller leaves; all bits but the page number stay. The table is filled before it is hooked in. */
function splitLeaf(tables: KernelTables, name: TableName, slot: Slot, vaddr: bigint): PhysAddr {
  const { names, protections } = tables;
  const helper = names.byName(name);
  const lower = names.byName(below(name));
  const word = slot.load();
  const table = lower.allocOne(vaddr) as PhysAddr;
  const unit = entryMask(names.geometry.wordBits, 'ppn');
  const step = (lower.size >> 12n) * (unit & -unit);
  let into: Slot = slotIn(names, lower.name, table, 0n);
  for (let i = 0; i < lower.tableEntries; i++) {
    lower.set(into, word + BigInt(i) * step);
    into = lower.next(into);
  }
  helper.set(slot, ((table >> 12n) * (unit & -unit)) | protections.values.PAGE_TABLE);
  return table;
}

function splitName(
  tables: KernelTables,
  name: TableName,
  parent: PhysAddr | Slot,
  start: bigint,
  end: bigint,
  done: SplitLeaf[],
): void {
  const { names } = tables;
  const helper = names.byName(name);
  let vaddr = start;
  let slot = helper.offset(parent, vaddr);
  do {
    const next = helper.addrEnd(vaddr, end);
    // Leaves of the root are never made in the linear map of more than three levels, so the root itself is passed over.
    if (name === 'pgd' || !isCovered(helper, vaddr, next)) {
      if (helper.leaf(slot.load())) {
        const table = splitLeaf(tables, name, slot, vaddr);
        done.push({ name, start: vaddr & helper.mask, table });
      }
      if (name !== 'pmd') splitName(tables, below(name), slot, vaddr, next, done);
    }
    slot = helper.next(slot);
    vaddr = next;
  } while (vaddr !== end);
}

/**
 * `split_linear_mapping`: makes both ends of a range boundaries between leaves. A leaf of a p4d entry (Sv57) is not seen
 * as one by Linux 6.12, so a range inside it is refused.
 * @returns what was split, upper leaves first
 * @throws ArgumentError `not-a-table` if part of the range is not mapped; OutOfTablesError from the allocator, with the
 *   leaves before it split
 */
export function splitLinearMapping(tables: KernelTables, start: bigint, end: bigint): SplitLeaf[] {
  const done: SplitLeaf[] = [];
  splitName(tables, 'pgd', tables.root, start, BigInt.asUintN(tables.names.geometry.wordBits, end), done);
  return done;
}
