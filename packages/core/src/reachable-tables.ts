/** The tables that roots reach, each once: however many entries share a table, it is looked through a single time. */
import { type PhysAddr, phys, type VirtAddr } from './address.ts';
import type { Memory } from './memory.ts';
import { createSpace, type RootDescription, vaOf } from './space.ts';
import { SKIP, traverse } from './traverse.ts';

/** A table that a root reaches. */
export interface ReachableTable {
  readonly address: PhysAddr;
  /** Level from the leaves. */
  readonly level: number;
  /** First virtual address that it covers where it was met first. */
  readonly va: VirtAddr;
  readonly bytes: number;
  /** Labels of the roots that reach it, in their order. */
  readonly roots: readonly string[];
}

/**
 * Every table that some roots reach, in the order of meeting: the first root, what is below it in rising order of
 * addresses, the next root. Tables outside memory are listed too, but nothing is known of what is below them.
 * @param roots each on its own; they may translate the same addresses
 */
export function reachableTables(memory: Memory, roots: readonly RootDescription[]): ReachableTable[] {
  const met = new Map<string, ReachableTable & { readonly roots: string[] }>();
  for (const description of roots) {
    const [root] = createSpace(memory, description).roots;
    if (root === undefined) continue;
    const { levels } = root.paging.geometry;
    const seen = new Set<string>();
    /** Notes a table; answers whether it is new below this root. */
    const meet = (address: number, level: number, va: number): boolean => {
      const key = `${level}:${address}`;
      if (seen.has(key)) return false;
      seen.add(key);
      const known = met.get(key);
      if (known !== undefined) known.roots.push(root.label);
      else {
        const bytes = levels[level]?.tableBytes ?? 0;
        met.set(key, { address: phys(address), level, va: vaOf(va), bytes, roots: [root.label] });
      }
      return true;
    };
    meet(root.address, root.paging.geometry.root.level, root.ranges[0]?.start ?? 0);
    for (const range of root.ranges) {
      traverse(
        memory,
        { root, ...range },
        {
          table(cursor) {
            const address = cursor.below;
            return meet(address, cursor.level - 1, cursor.entryVa) ? undefined : SKIP;
          },
          missing: () => undefined,
        },
      );
    }
  }
  return [...met.values()];
}
