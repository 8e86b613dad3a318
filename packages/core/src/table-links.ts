/** Which tables an address space uses. */
import type { PhysAddr, VirtAddr } from './address.ts';
import { type AddressSpace, type Root, stretches, type VirtRange, vaOf } from './space.ts';
import { traverse } from './traverse.ts';

/** Where a table entry points; see {@link eachTable}. */
export interface TableLink {
  /** First virtual address that the table covers. */
  readonly va: VirtAddr;
  /** Level of the table itself. */
  readonly level: number;
  /** Physical address of the table. */
  readonly address: PhysAddr;
  /** Bytes of the table. */
  readonly bytes: number;
  /** Physical address of the entry that points to it; `undefined` for a root. */
  readonly slot: PhysAddr | undefined;
  readonly root: string;
}

/** Calls back for every table that a range uses, roots first, then in rising order, parents before children. */
export function eachTable(space: AddressSpace, range: VirtRange, each: (table: TableLink) => void): void {
  const roots = new Set<Root>();
  for (const stretch of stretches(space, range, true)) {
    const { root } = stretch;
    if (!roots.has(root)) {
      roots.add(root);
      const { level, tableBytes } = root.paging.geometry.root;
      each({
        va: vaOf(root.ranges[0]?.start ?? 0),
        level,
        address: BigInt(root.address) as PhysAddr,
        bytes: tableBytes,
        slot: undefined,
        root: root.label,
      });
    }
    traverse(space.memory, stretch, {
      table(cursor) {
        const below = root.paging.codec(cursor.level - 1).level;
        each({
          va: vaOf(cursor.entryVa),
          level: below.level,
          address: BigInt(cursor.below) as PhysAddr,
          bytes: below.tableBytes,
          slot: BigInt(cursor.slot) as PhysAddr,
          root: root.label,
        });
        return undefined;
      },
      missing: () => undefined,
    });
  }
}
