/** Replays of the early mapper. */
import { BumpAllocator, createSpace, leaves, phys, SparseMemory } from '@pagefold/core';
import { createMapping, KernelTables, USUAL_CPU } from '../../src/index.ts';
import { type Json, numberIn, sameRecord } from './compare.ts';

interface MappingRecord {
  readonly format: 'short' | 'lpae';
  readonly sectionProtAllowed: boolean;
  readonly tableAllowed: boolean;
  readonly leaves?: readonly Json[];
  readonly error?: string;
}

/** Neighbouring leaves of one size, as runs. */
function runsOf(tables: KernelTables): Json[] {
  const root = { paging: tables.names.paging, address: tables.root };
  const runs: { va: bigint; pa: bigint; size: bigint; count: number }[] = [];
  for (const leaf of leaves(createSpace(tables.memory, root), { start: 0n, end: 1n << 32n })) {
    const last = runs.at(-1);
    const next = last === undefined ? 0n : BigInt(last.count) * last.size;
    if (last?.size === leaf.leafBytes && last.va + next === leaf.start && last.pa + next === leaf.pa) last.count++;
    else runs.push({ va: leaf.start, pa: leaf.pa, size: leaf.leafBytes, count: 1 });
  }
  return runs;
}

/** One mapping into empty tables. */
export function mapping(record: unknown): void {
  const { format, sectionProtAllowed, tableAllowed, leaves: expected, error } = record as MappingRecord;
  const memory = new SparseMemory();
  const tables = new KernelTables({
    model: format,
    cpu: USUAL_CPU,
    memory,
    root: phys(0x4000n),
    allocator: new BumpAllocator(0x10_0000n, 0x1000_0000n),
  });
  tables.linkSwapper();
  const { MEMORY_RW } = tables.types;
  const type = {
    ...MEMORY_RW,
    section: sectionProtAllowed ? MEMORY_RW.section : 0n,
    table: tableAllowed ? MEMORY_RW.table : 0n,
  };
  const [va, pa, bytes] = ['va', 'pa', 'length'].map((key) => numberIn(record as Json, key)) as [
    bigint,
    bigint,
    bigint,
  ];
  const made = createMapping(tables, { va, pa, bytes, type });
  if (error !== undefined) {
    if (made || runsOf(tables).length > 0) throw new Error('not refused');
    if (tables.warnings.length !== 1) throw new Error('no warning');
    return;
  }
  sameRecord({ leaves: runsOf(tables) }, { leaves: expected }, 'mapped');
}
