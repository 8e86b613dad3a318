/** What happens when an operation cannot be done: nothing. */
import {
  ArgumentError,
  AttributeError,
  type Change,
  freeTables,
  NotMappedError,
  OutOfTablesError,
  OverlapError,
  PagefoldError,
  planMap,
  protect,
  split,
  unmap,
  walk,
} from '@pagefold/core';
import { Bed } from '../bed.ts';
import { type Context, defineCheck } from '../context.ts';
import {
  aloneAt,
  canonicalSpans,
  type LeafKind,
  leafKinds,
  mappableSpace,
  type UniformSet,
  uniformSets,
} from '../parts.ts';
import type { ConformanceCheck } from '../subject.ts';

/** A bed with one leaf of each size that stands alone, each at the start of a root entry (or near it). */
function furnish(context: Context, set: UniformSet): { bed: Bed; leaves: { kind: LeafKind; va: bigint }[] } {
  const { paging } = context;
  const bed = new Bed(context);
  const [span] = canonicalSpans(paging);
  const leaves: { kind: LeafKind; va: bigint }[] = [];
  let at = span?.start ?? 0n;
  const space = mappableSpace(paging);
  for (const kind of leafKinds(paging)) {
    const va = at + ((kind.leafBytes - (at % kind.leafBytes)) % kind.leafBytes);
    if (kind.leafBytes > space || va + kind.leafBytes * 2n > (span?.end ?? 0n)) continue;
    const pa = kind.leafBytes * 2n <= space ? kind.leafBytes : 0n;
    bed.map({ va, pa, bytes: kind.leafBytes, attributes: (leaf) => set.on(leaf) });
    leaves.push({ kind, va });
    at = va + kind.leafBytes * 2n;
  }
  return { bed, leaves };
}

/** A word that hardware takes for empty, but that is not zero: software keeps something there. */
function softwareWord(context: Context, level: number): bigint | undefined {
  const bits = context.paging.format.entryBytes * 8;
  for (let bit = bits - 1; bit >= 0; bit--) {
    const word = 1n << BigInt(bit);
    if (context.paging.decode(level, word).kind === 'empty') return word;
  }
  return undefined;
}

/** What software keeps in empty entries is neither mapped over nor freed. */
function checkSoftware(context: Context, set: UniformSet): void {
  const { paging } = context;
  const [span] = canonicalSpans(paging);
  const page = paging.pageBytes;
  for (const { level } of paging.levels) {
    const word = softwareWord(context, level.level);
    if (span === undefined || word === undefined) continue;
    const bed = new Bed(context);
    const request = { va: span.start, pa: 0n, bytes: page, attributes: (leaf: LeafKind['choice']) => set.on(leaf) };
    bed.map(request);
    const slot = walk(bed.space, span.start).steps.find((step) => step.level === level.level)?.slot ?? 0n;
    unmap(bed.space, { start: span.start, end: span.start + page });
    bed.release(freeTables(bed.space, { start: span.start, end: span.start + BigInt(level.entrySpan) }));
    bed.write(slot, word);
    const where = { level: level.level, word };
    context.refuses([OverlapError], 'software-entry', 'what software keeps is not mapped over', where, () =>
      bed.map(request),
    );
    context.equal(bed.read(slot), word, 'software-entry', 'what software keeps stays', where);
    bed.release(bed.map({ ...request, existing: 'keep' }));
    context.equal(bed.read(slot), word, 'software-entry', 'keeping what exists keeps it too', where);
    bed.release(freeTables(bed.space, span));
    context.equal(
      bed.read(slot),
      word,
      'software-entry',
      'a table in which software keeps something is not free',
      where,
    );
  }
}

export const refusals: ConformanceCheck = defineCheck(
  'refusals',
  'What overlaps, is misaligned, lies outside the address spaces, or cannot be expressed is refused with a typed error ' +
    'and leaves every table word as it was; so do entries that are empty for hardware but not for software.',
  (context) => {
    const { paging } = context;
    const [set] = uniformSets(context);
    if (set === undefined) return;
    const { bed, leaves } = furnish(context, set);
    const before = bed.snapshot();
    const page = paging.pageBytes;
    const space = 1n << BigInt(paging.geometry.paBits);
    const attributes = (leaf: LeafKind['choice']) => set.on(leaf);
    const refuse = (what: string, kinds: Parameters<Context['refuses']>[0], action: () => unknown, va = 0n): void => {
      context.refuses(kinds, 'refused', `${what} is refused`, { va }, action);
      bed.mustEqual(before, what);
    };
    for (const { kind, va } of leaves) {
      const last = va + kind.leafBytes - page;
      refuse('mapping over a leaf', [OverlapError], () => bed.map({ va, pa: 0n, bytes: page, attributes }), va);
      refuse('mapping up into a leaf', [OverlapError], () =>
        bed.map({ va: last, pa: 0n, bytes: page * 2n, attributes }),
      );
      const beyond = va + kind.leafBytes;
      refuse('protecting a hole', [NotMappedError], () =>
        protect(bed.space, { start: va, end: beyond + page }, { fields: set.values }),
      );
      refuse('an unknown field', [AttributeError], () =>
        protect(bed.space, { start: va, end: beyond }, { fields: { 'no such field': 1 } }),
      );
    }
    checkSoftware(context, set);
    const free = leaves[leaves.length - 1];
    const va = free === undefined ? 0n : free.va + free.kind.leafBytes;
    refuse('no bytes', [ArgumentError], () => bed.map({ va, pa: 0n, bytes: 0n, attributes }));
    refuse('half a page', [ArgumentError], () => bed.map({ va, pa: 0n, bytes: page / 2n, attributes }));
    refuse('a misaligned start', [ArgumentError], () => bed.map({ va: va + 1n, pa: 0n, bytes: page, attributes }));
    refuse('a misaligned target', [AttributeError], () => bed.map({ va, pa: page / 2n, bytes: page, attributes }));
    refuse('a target too high', [AttributeError], () => bed.map({ va, pa: space, bytes: page, attributes }));
    refuse('a target that ends too high', [AttributeError], () =>
      bed.map({ va, pa: space - page, bytes: page * 2n, attributes }),
    );
    refuse('an unknown attribute', [AttributeError], () =>
      bed.map({ va, pa: 0n, bytes: page, attributes: { 'no such field': 1 } }),
    );
    for (const { start, end } of canonicalSpans(paging)) {
      if (end < 1n << 64n) {
        refuse('a range that leaves the address space', [ArgumentError], () =>
          bed.map({ va: end - page, pa: 0n, bytes: page * 2n, attributes }),
        );
      }
      if (start > 0n) {
        refuse('a range that begins before the address space', [ArgumentError], () =>
          unmap(bed.space, { start: start - page, end: start + page }),
        );
      }
    }
  },
);

/** Runs an operation with an allocator that gives 0, 1, 2… tables, until it succeeds. */
function runDry(context: Context, bed: Bed, what: string, needed: number | undefined, action: () => Change): Change {
  const before = bed.snapshot();
  for (let left = 0; ; left++) {
    bed.frames.left = left;
    let change: Change;
    try {
      change = action();
    } catch (error) {
      if (!(error instanceof OutOfTablesError)) throw error;
      bed.mustEqual(before, `${what} that runs out of tables`);
      if (left > 64) context.fail('dry-ends', `${what} succeeds when there are enough tables`, { tables: left });
      continue;
    } finally {
      bed.frames.left = Number.POSITIVE_INFINITY;
    }
    context.equal(change.allocated.length, left, 'dry-exact', `${what} takes no table that it does not link`);
    if (needed !== undefined) context.equal(left, needed, 'dry-plan', `${what} takes the tables that were planned`);
    return change;
  }
}

export const dryAllocator: ConformanceCheck = defineCheck(
  'dry-allocator',
  'Map, unmap, protect and split are all or nothing at whatever table the allocator runs dry.',
  (context) => {
    const { paging, random } = context;
    const sets = uniformSets(context);
    const page = paging.pageBytes;
    const space = mappableSpace(paging);
    for (const { start, end } of canonicalSpans(paging)) {
      const bed = new Bed(context);
      const set = random.pick(sets);
      // Two tables at every level below the root: across the middle of the range.
      const middle = start + (end - start) / 2n;
      const request = {
        va: middle - page,
        pa: 0n,
        bytes: page * 2n,
        attributes: (leaf: LeafKind['choice']) => set.on(leaf),
      };
      const { tables } = planMap(bed.space, request);
      runDry(context, bed, 'map', tables.length, () => bed.map(request));
      bed.mustOwnTables('map');
    }
    const kinds = leafKinds(paging);
    for (const kind of kinds) {
      if (kind.level === 0 || kind.compiled.runEntries > 1 || kind.leafBytes > space) continue;
      const below = kinds.filter(({ level, compiled }) => level < kind.level && compiled.runEntries === 1);
      // Down to the last level without gaps, otherwise a page cannot be cut out.
      const reaches = Array.from({ length: kind.level }, (_, level) => aloneAt(below, level)).every(Boolean);
      if (!reaches) continue;
      const set = random.pick(sets);
      const other = random.pick(sets);
      for (const name of ['unmap', 'protect', 'split'] as const) {
        const bed = new Bed(context);
        const [span] = canonicalSpans(paging);
        const va = span?.start ?? 0n;
        const bytes = kind.leafBytes;
        if (span === undefined || bytes > span.end - va) continue;
        bed.map({ va, pa: 0n, bytes, attributes: (leaf) => set.on(leaf) });
        const range = { start: va + page, end: va + bytes - page };
        const allocator = bed.frames;
        runDry(context, bed, name, undefined, () => {
          if (name === 'split') return split(bed.space, range, allocator);
          if (name === 'unmap') return unmap(bed.space, range, { allocator });
          return protect(bed.space, range, { fields: other.values }, { allocator });
        });
        bed.mustOwnTables(name);
      }
    }
    const bed = new Bed(context);
    const [span] = canonicalSpans(paging);
    const needsTable = paging.levels.length > 1;
    if (span !== undefined && needsTable) {
      context.refuses(
        [PagefoldError],
        'dry-none',
        'without an allocator a mapping that needs a table is refused',
        {},
        () => {
          bed.frames.left = 0;
          bed.map({ va: span.start, pa: 0n, bytes: page, attributes: (leaf) => sets[0]?.on(leaf) ?? 0n });
        },
      );
    }
  },
);
