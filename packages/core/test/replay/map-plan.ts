/** Replays the records of the group `mapPlan`: which leaves a range is made of. */
import { type LeafSize, planLeaves } from '../../src/leaf-plan.ts';

interface Record {
  readonly leafSizes: readonly string[];
  readonly contig: readonly { readonly size: string; readonly item: string }[];
  readonly va: string;
  readonly pa: string;
  readonly size: string;
  readonly error?: string;
  readonly expect?: readonly unknown[];
}

interface MenuSize extends LeafSize {
  readonly item: number;
}

/** Checks one record; throws on a mismatch. */
export function replayMapPlan(record: unknown): void {
  const { leafSizes, contig, va, pa, size, error, expect } = record as Record;
  const menu: MenuSize[] = [
    ...leafSizes.map((text) => ({ leafBytes: Number(text), item: Number(text) })),
    ...contig.map((group) => ({ leafBytes: Number(group.size), item: Number(group.item) })),
  ];
  const rows = planLeaves(menu, Number(va), Number(pa), Number(size));
  if (error !== undefined) {
    if (rows !== undefined) throw new Error(`expected an error (${error}), got ${JSON.stringify(rows)}`);
    return;
  }
  const hex = (value: number): string => `0x${BigInt(value).toString(16)}`;
  const got = rows?.map((row) => ({
    va: hex(row.va),
    pa: hex(row.pa),
    size: hex(row.size.leafBytes),
    item: hex(row.size.item),
    itemsPerLeaf: row.size.leafBytes / row.size.item,
    count: row.count,
  }));
  if (JSON.stringify(got) !== JSON.stringify(expect)) {
    throw new Error(`expected ${JSON.stringify(expect)}, got ${JSON.stringify(got)}`);
  }
}
