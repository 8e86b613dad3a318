/** An empty tree of the toy format to replay vectors on. */
import { phys } from '../../src/address.ts';
import { BumpAllocator, RecordingAllocator } from '../../src/allocators.ts';
import { TABLE_NAMES, type TableName } from '../../src/geometry.ts';
import { createNames, type LinuxNames, type Slot } from '../../src/linux-names.ts';
import { SparseMemory } from '../../src/memory.ts';
import type { Paging } from '../../src/paging.ts';
import { TableCounter } from '../../src/table-counter.ts';

/** Root of the trees. */
export const ROOT = phys(0x10_0000n);
const AREA = phys(0x1000_0000n);
const AREA_END = 0x8000_0000n;

/** An empty tree of the toy format that takes its tables from a bump area. */
export function toyTree(paging: Paging) {
  const memory = new SparseMemory();
  const counter = new TableCounter(new BumpAllocator(AREA, AREA_END), paging);
  const allocator = new RecordingAllocator(counter);
  return { memory, counter, allocator, names: createNames(memory, paging, { allocator }) };
}

/** The slot of a name for an address, with all tables above it made. */
export function slotFor(names: LinuxNames, va: bigint, name: TableName): Slot {
  let slot: Slot = names.pgd.offset(ROOT, va);
  for (const each of TABLE_NAMES) {
    if (each !== 'pgd') slot = names.byName(each).alloc(slot, va);
    if (each === name) break;
  }
  return slot;
}
