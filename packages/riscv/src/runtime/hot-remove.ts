/**
 * Taking memory out of the linear map or out of vmemmap. Source: Linux 6.12 arch/riscv/mm/init.c (`remove_pgd_mapping`
 * and its children, `free_pte_table`).
 */
import {
  type NameHelpers,
  type PhysAddr,
  type Slot,
  TABLE_NAMES,
  type TableName,
  type VirtAddr,
  virt,
} from '@pagefold/core';
import { slotIn, tableOf } from '../boot/create-mapping.ts';
import type { KernelTables } from './kernel-tables.ts';

/** What a removal did. */
export interface RemovalResult {
  /** Leaves that were cleared, with the memory that they mapped. */
  readonly leaves: readonly { readonly va: VirtAddr; readonly pa: bigint; readonly bytes: bigint }[];
  /** Tables that were empty and were given back: lower ones before upper ones. */
  readonly freed: readonly { readonly name: TableName; readonly address: PhysAddr }[];
}

interface Removal {
  readonly tables: KernelTables;
  readonly leaves: { va: VirtAddr; pa: bigint; bytes: bigint }[];
  readonly freed: { name: TableName; address: PhysAddr }[];
}

/** Are all entries of a table empty? */
function isEmpty({ names }: KernelTables, helper: NameHelpers, table: PhysAddr): boolean {
  let slot = slotIn(names, helper.name, table, 0n) as Slot;
  for (let i = 0; i < helper.tableEntries; i++) {
    if (slot.load() !== 0n) return false;
    slot = helper.next(slot);
  }
  return true;
}

/**
 * Frees the table below an entry if it is empty. A table that hangs in the root stays, because processes have copied
 * the root's entry.
 */
function freeTable(removal: Removal, name: TableName, slot: Slot, lower: NameHelpers, vaddr: bigint): void {
  const { tables, freed } = removal;
  const helper = tables.names.byName(name);
  if (helper.level === tables.names.geometry.root.level) return;
  const address = tableOf(tables.names, slot.load());
  if (!isEmpty(tables, lower, address)) return;
  helper.clear(slot);
  lower.freeOne(address, vaddr);
  freed.push({ name: lower.name, address });
}

function removeName(removal: Removal, name: TableName, parent: PhysAddr | Slot, start: bigint, end: bigint): void {
  const { tables, leaves } = removal;
  const { names } = tables;
  const helper = names.byName(name);
  let vaddr = start;
  let slot = helper.offset(parent, vaddr);
  do {
    const next = helper.addrEnd(vaddr, end);
    const word = slot.load();
    if (helper.trivial) {
      removeName(removal, TABLE_NAMES[TABLE_NAMES.indexOf(name) + 1] as TableName, slot, vaddr, next);
    } else if (name === 'pte' ? helper.present(word) : helper.leaf(word)) {
      // Whole, whatever part of it the range covers. A leaf in the root stays where p4d or pud fold into it.
      if (name === 'pte' || name === 'pmd' || !helper.folded) {
        const base = tableOf(names, word);
        leaves.push({ va: virt(vaddr & helper.mask), pa: base, bytes: helper.size });
        helper.clear(slot);
      }
    } else if (name !== 'pte' && helper.present(word)) {
      const below = TABLE_NAMES[TABLE_NAMES.indexOf(name) + 1] as TableName;
      removeName(removal, below, slot, vaddr, next);
      freeTable(removal, name, slot, names.byName(below), vaddr);
    }
    slot = helper.next(slot);
    vaddr = next;
  } while (vaddr !== end);
}

/**
 * Removes a range: clears its leaves, then frees tables that became empty. Nothing is split, so a leaf that the range
 * covers in part goes as a whole; Linux removes only what it added in the same pieces. Ends with a flush of everything.
 * @param start first address
 * @param end exclusive
 */
export function removeMapping(tables: KernelTables, start: bigint, end: bigint): RemovalResult {
  const removal: Removal = { tables, leaves: [], freed: [] };
  removeName(removal, 'pgd', tables.root, start, BigInt.asUintN(tables.names.geometry.wordBits, end));
  return { leaves: removal.leaves, freed: removal.freed };
}
