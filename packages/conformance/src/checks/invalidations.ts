/** What a change says must be invalidated, against what really changed. */
import type { Change, Invalidation, MappedRange } from '@pagefold/core';
import { type Context, defineCheck } from '../context.ts';
import { lower, type Span } from '../parts.ts';
import { Simulation, type Step } from '../simulation.ts';
import type { ConformanceCheck } from '../subject.ts';

/** A piece of the address space in which one leaf kind stood before and one stands now. */
interface Piece extends Span {
  readonly before: MappedRange | undefined;
  readonly after: MappedRange | undefined;
}

/** Cuts the address space at every edge of two lists of ranges. */
function pieces(before: readonly MappedRange[], after: readonly MappedRange[]): Piece[] {
  const edges = new Set<bigint>();
  for (const { start, end } of [...before, ...after]) edges.add(start).add(end);
  const sorted = [...edges].sort((a, b) => (a < b ? -1 : 1));
  const found: Piece[] = [];
  let i = 0;
  let j = 0;
  for (let at = 0; at + 1 < sorted.length; at++) {
    const start = sorted[at] as bigint;
    const end = sorted[at + 1] as bigint;
    while (i < before.length && (before[i] as MappedRange).end <= start) i++;
    while (j < after.length && (after[j] as MappedRange).end <= start) j++;
    const holds = (range: MappedRange | undefined): MappedRange | undefined =>
      range !== undefined && range.start <= start ? range : undefined;
    found.push({ start, end, before: holds(before[i]), after: holds(after[j]) });
  }
  return found;
}

/** Does a piece translate as before: same address, size, attributes, and the same below the tables above? */
function same({ start, before, after }: Piece): boolean {
  if (before === undefined || after === undefined) return before === after;
  return (
    before.pa + start - before.start === after.pa + start - after.start &&
    before.leafBytes === after.leafBytes &&
    before.level === after.level &&
    before.bits === after.bits &&
    Object.keys(before.fields).every((name) => before.fields[name] === after.fields[name])
  );
}

/** The first address of a range that none of some ranges holds. */
function uncovered({ start, end }: Span, covers: readonly Span[]): bigint | undefined {
  let at = start;
  for (const cover of [...covers].sort((a, b) => (a.start < b.start ? -1 : 1))) {
    if (cover.start <= at && cover.end > at) at = cover.end;
  }
  return at < end ? at : undefined;
}

/** Would naming addresses one stride apart reach every old entry in a piece? */
function reaches({ start, end, strideBytes }: Invalidation, piece: Piece, entryBytes: bigint): boolean {
  if (strideBytes <= entryBytes) return true;
  if (piece.end - piece.start > entryBytes) return false;
  const entry = piece.start - (piece.start % entryBytes);
  const steps = entry <= start ? 0n : (entry - start + strideBytes - 1n) / strideBytes;
  return start + steps * strideBytes < lower(entry + entryBytes, end);
}

function checkPiece(context: Context, step: Step, piece: Piece, { invalidate }: Change): void {
  if (same(piece)) return;
  const where = { operation: step.name, options: step.options, start: piece.start, end: piece.end };
  const causes = piece.before === undefined ? ['installed', 'changed'] : ['changed', 'removed'];
  const able = invalidate.filter(({ cause }) => causes.includes(cause));
  const missed = uncovered(piece, able);
  if (missed !== undefined) {
    const rule = piece.before === undefined ? 'invalidate-installed' : 'invalidate-changed';
    context.fail(rule, `every page that changed is invalidated as ${causes.join(' or ')}`, { ...where, missed });
  }
  if (piece.before === undefined) return;
  const entryBytes = BigInt(context.paging.geometry.levels[piece.before.level]?.entrySpan ?? 0);
  const reaching = able.filter((item) => reaches(item, piece, entryBytes));
  const skipped = uncovered(piece, reaching);
  if (skipped !== undefined) {
    context.fail('invalidate-stride', 'addresses one stride apart name every leaf that may be cached', {
      ...where,
      skipped,
      leafEntry: entryBytes,
      strides: able.map(({ strideBytes }) => strideBytes.toString(16)).join(' '),
    });
  }
}

function checkChange(context: Context, step: Step, change: Change): void {
  const { geometry } = context.paging;
  let last = -1n;
  for (const { start, end, level, strideBytes } of change.invalidate) {
    const where = { operation: step.name, options: step.options, start, end, level };
    if (start >= end) context.fail('invalidate-range', 'a range to invalidate is not empty', where);
    if (start < last) context.fail('invalidate-order', 'ranges to invalidate come in rising order', where);
    last = start;
    const entry = geometry.levels[level]?.entrySpan;
    context.equal(strideBytes, BigInt(entry ?? 0), 'invalidate-level', 'the stride is an entry of the level', where);
  }
  for (const { va, level } of change.detached) {
    const { entries = 1, shift = 0 } = geometry.levels[level] ?? {};
    const span = { start: va, end: va + (BigInt(entries) << BigInt(shift)) };
    const missed = uncovered(
      span,
      change.invalidate.filter(({ tables, cause }) => tables && cause !== 'installed'),
    );
    if (missed === undefined) continue;
    context.fail('invalidate-tables', 'what an unlinked table covered is invalidated together with table caches', {
      operation: step.name,
      va,
      level,
      missed,
    });
  }
}

export const invalidations: ConformanceCheck = defineCheck(
  'invalidations',
  'Every page whose translation, size or attributes changed lies in a range to invalidate with a fitting cause, and ' +
    'strides reach every leaf that may be cached; ranges of unlinked tables include the caches of tables.',
  (context) => {
    const rounds = 2;
    for (let round = 0; round < rounds; round++) {
      const simulation = new Simulation(context);
      for (let count = context.tableRounds(25); count > 0; count--) {
        simulation.step((step, before, change, after) => {
          checkChange(context, step, change);
          for (const piece of pieces(before, after)) checkPiece(context, step, piece, change);
        });
      }
    }
  },
);
