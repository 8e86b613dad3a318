/**
 * Which tables a mapping will take. A hole can need millions; they are named one by one only while they are allocated, so
 * that an allocator which has too few says so at once.
 */
import type { TableNeed } from './change.ts';
import type { Paging } from './paging.ts';

/** A stretch without tables that leaves will be put into. */
export interface TableHole {
  /** Level of the tables that are missing first, from the root down. */
  readonly level: number;
  /** Level of the tables that will hold the leaves. */
  readonly leafLevel: number;
  /** The part that will be mapped, in exact numbers, half-open. */
  readonly from: number;
  readonly to: number;
}

/** Bytes that a table of a level covers. */
function tableSpan(paging: Paging, level: number): number {
  const { entrySpan, entries } = paging.codec(level).level;
  return entrySpan * entries;
}

/**
 * The tables of some holes, in the order of linking.
 * @param holes in rising order; what an earlier one needed is not needed again
 */
export function* tablesOf(paging: Paging, holes: readonly TableHole[]): Generator<TableNeed> {
  const covered: number[] = [];
  for (const { level, leafLevel, from, to } of holes) yield* below(paging, covered, leafLevel, level, from, to);
}

function* below(
  paging: Paging,
  covered: number[],
  leafLevel: number,
  level: number,
  from: number,
  to: number,
): Generator<TableNeed> {
  const span = tableSpan(paging, level);
  for (let start = Math.floor(from / span) * span; start < to; start += span) {
    if (start >= (covered[level] ?? 0)) {
      yield { level, va: start };
      covered[level] = start + span;
    }
    if (level > leafLevel) {
      yield* below(paging, covered, leafLevel, level - 1, Math.max(from, start), Math.min(to, start + span));
    }
  }
}

/** How many tables {@link tablesOf} names. */
export function countTables(paging: Paging, holes: readonly TableHole[]): number {
  const covered: number[] = [];
  let count = 0;
  for (const { level: top, leafLevel, from, to } of holes) {
    for (let level = top; level >= leafLevel; level--) {
      const span = tableSpan(paging, level);
      const start = Math.max(Math.floor(from / span) * span, covered[level] ?? 0);
      const tables = Math.max(0, Math.ceil((to - start) / span));
      count += tables;
      covered[level] = Math.max(covered[level] ?? 0, start + tables * span);
    }
  }
  return count;
}
