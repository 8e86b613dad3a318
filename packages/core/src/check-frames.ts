/** What is mapped twice, and which of it is tables. */
import { sizeText } from './address.ts';
import type { CheckReport } from './check-report.ts';
import type { Root } from './space.ts';

/** Leaves that continue each other, by physical address; exact numbers, half-open. */
export interface MappedFrames {
  readonly root: Root;
  readonly pa: number;
  readonly end: number;
  readonly va: number;
  /** How many leaves, one after the other in virtual addresses, map just this. */
  readonly leaves: number;
  readonly level: number;
  readonly slot: number;
  readonly entry: bigint;
  readonly user: boolean;
  readonly write: boolean;
  readonly memory: string;
}

/** A table in memory. */
export interface TableFrame {
  readonly address: number;
  readonly bytes: number;
}

/** Tables by address, so that those in a range are found quickly even if some lie across others. */
class TableIndex {
  readonly #tables: readonly TableFrame[];
  /** How far the tables up to each one reach. */
  readonly #reach: number[] = [];

  /** @param tables sorted by address */
  constructor(tables: readonly TableFrame[]) {
    this.#tables = tables;
    let end = 0;
    for (const { address, bytes } of tables) {
      end = Math.max(end, address + bytes);
      this.#reach.push(end);
    }
  }

  /** The tables that have memory in a range. */
  *within(start: number, end: number): Generator<TableFrame> {
    let low = 0;
    let high = this.#tables.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#reach[middle] as number) > start) high = middle;
      else low = middle + 1;
    }
    for (let i = low; i < this.#tables.length; i++) {
      const table = this.#tables[i] as TableFrame;
      if (table.address >= end) return;
      if (table.address + table.bytes > start) yield table;
    }
  }
}

/**
 * Tables that can be written: for users each stretch of them, for the supervisor one finding for each root, since kernels
 * mostly map all of memory.
 * @param tables sorted by address
 * @param writable leaves that can be written
 */
export function checkWritable(
  report: CheckReport,
  tables: readonly TableFrame[],
  writable: readonly MappedFrames[],
): void {
  const index = new TableIndex(tables);
  const supervisor = new Map<Root, { readonly met: Set<number>; readonly first: MappedFrames; readonly at: bigint }>();
  for (const frames of writable) {
    for (const { address, bytes } of index.within(frames.pa, frames.end)) {
      const from = Math.max(address, frames.pa);
      // Tables may be smaller than pages: no exact number then.
      const start = BigInt(frames.va) + BigInt(from - frames.pa);
      const { root, level, slot, entry } = frames;
      if (frames.user) {
        const size = BigInt(Math.min(address + bytes, frames.end) - from);
        const values = { table: BigInt(address) };
        for (let leaf = 0; leaf < frames.leaves; leaf++) {
          const at = start + BigInt(leaf) * BigInt(frames.end - frames.pa);
          report.add('table-user-writable', { root, start: at, end: at + size, level, slot, entry, values });
        }
        continue;
      }
      const known = supervisor.get(root);
      if (known === undefined) supervisor.set(root, { met: new Set([address]), first: frames, at: start });
      else known.met.add(address);
    }
  }
  for (const [root, { met, first, at }] of supervisor) {
    const { level, slot, entry } = first;
    const [table = 0] = met;
    const message = `${met.size} of ${tables.length} tables are mapped writable for the supervisor`;
    const { pageBytes: page } = root.paging;
    const start = at - (at % page);
    report.add('table-writable', {
      ...{ root, start, end: start + page, level, slot, entry, message },
      values: { tables: met.size, table: BigInt(table) },
    });
  }
}

/**
 * Physical memory that is mapped with different memory types.
 * @param mapped all leaves
 */
export function checkAliases(report: CheckReport, mapped: readonly MappedFrames[]): void {
  const sorted = [...mapped].sort((a, b) => a.pa - b.pa || a.va - b.va);
  let active: MappedFrames[] = [];
  for (const frames of sorted) {
    const { root, pa, va, level, slot, entry, memory } = frames;
    active = active.filter(({ end }) => end > pa);
    const other = active.find((each) => each.memory !== memory);
    // Of equal ones the one that reaches farthest says it all.
    const same = active.find((each) => each.memory === memory && each.end >= frames.end);
    if (same === undefined)
      active = [...active.filter((each) => each.memory !== memory || each.end > frames.end), frames];
    if (other === undefined) continue;
    const end = Math.min(frames.end, other.end);
    const otherVa = other.va + (pa - other.pa);
    report.add('memory-alias', {
      ...{ root, start: va, end: va + (end - pa), level, slot, entry },
      message: `${sizeText(BigInt(end - pa))} of physical memory are mapped as ${memory} here and as ${other.memory} elsewhere`,
      values: { pa: BigInt(pa), memory, other: BigInt(otherVa), otherMemory: other.memory },
      kind: `${memory} ${other.memory}`,
    });
  }
}
