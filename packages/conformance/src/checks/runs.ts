/** Runs: several entries that act as one leaf, looked at entry by entry and edited in part. */
import { type Change, merge, NotMappedError, PartialLeafError, protect, translate, unmap } from '@pagefold/core';
import { Bed } from '../bed.ts';
import { type Context, defineCheck } from '../context.ts';
import {
  aloneAt,
  type LeafKind,
  leafKinds,
  leafSpots,
  mappableSpace,
  readFields,
  sameValues,
  type UniformSet,
  uniformSets,
  virtualSpot,
} from '../parts.ts';
import { Reference } from '../reference.ts';
import type { ConformanceCheck } from '../subject.ts';

/** A run that was mapped. */
interface MappedRun {
  readonly bed: Bed;
  readonly kind: LeafKind;
  readonly va: bigint;
  readonly pa: bigint;
  readonly set: UniformSet;
}

function runsOf(context: Context): LeafKind[] {
  return leafKinds(context.paging).filter(({ compiled }) => compiled.runEntries > 1);
}

/** Maps a run at a random place, in a bed of its own. */
function mapRun(context: Context, kind: LeafKind, pa: bigint, set: UniformSet): MappedRun | undefined {
  const va = virtualSpot(context, kind.leafBytes, kind.leafBytes);
  if (va === undefined || pa + kind.leafBytes > 1n << BigInt(context.paging.geometry.paBits)) return undefined;
  const bed = new Bed(context);
  bed.map({ va, pa, bytes: kind.leafBytes, attributes: (leaf) => set.on(leaf) });
  return { bed, kind, va, pa, set };
}

/** What is expected of one entry of a (former) run. */
interface Expected {
  readonly set: UniformSet;
  /** Is it still one of the run? `undefined`: either. */
  readonly run: boolean | undefined;
}

/** Checks every entry of the group; `expected` says what it should be, or `undefined` for a hole. */
function checkGroup(
  context: Context,
  { bed, kind, va, pa }: MappedRun,
  what: string,
  expected: (item: number) => Expected | undefined,
): void {
  const { compiled, entryBytes, level } = kind;
  for (let item = 0; item < compiled.runEntries; item++) {
    const offset = BigInt(item) * entryBytes;
    const want = expected(item);
    const inside = context.random.belowBig(entryBytes);
    const found = translate(bed.space, va + offset + inside);
    const where = { level, shape: kind.shape, va, pa, item };
    if (want === undefined) {
      if (found.mapped) context.fail('run-hole', `${what}: what was taken away is gone`, where);
      continue;
    }
    if (!found.mapped) {
      context.fail('run-kept', `${what}: every entry translates`, { ...where, reason: found.reason });
    }
    context.equal(found.pa, pa + offset + inside, 'run-address', `${what}: every entry keeps its address`, where);
    const isRun = found.leafBytes === kind.leafBytes;
    if (want.run !== undefined) {
      context.equal(isRun, want.run, want.run ? 'run-whole' : 'run-broken', `${what}: is it a run?`, where);
    }
    const shape = context.paging.codec(found.level).leaves.find((leaf) => leaf.shape.name === found.shape);
    if (shape === undefined) context.fail('run-shape', `${what}: the leaf has a known shape`, where);
    const values = readFields(shape, found.entry, Object.keys(want.set.values));
    if (!sameValues(want.set.values, values)) {
      context.fail('run-attributes', `${what}: every entry has its attributes`, {
        ...where,
        expected: JSON.stringify(want.set.values),
        actual: JSON.stringify(values),
      });
    }
  }
}

export const runEntries: ConformanceCheck = defineCheck(
  'run-entries',
  'Each entry of a run, taken alone, translates every address in its span to the right place, and decodes to the run.',
  (context) => {
    const reference = new Reference(context.paging);
    const sets = uniformSets(context);
    for (const kind of runsOf(context)) {
      for (const pa of leafSpots(context, kind)) {
        const run = mapRun(context, kind, pa, context.random.pick(sets));
        if (run === undefined) continue;
        checkGroup(context, run, 'map', () => ({ set: run.set, run: true }));
        const first = translate(run.bed.space, run.va).slot ?? 0n;
        const step = BigInt(context.paging.format.entryBytes);
        for (let item = 0; item < kind.compiled.runEntries; item++) {
          const entry = run.bed.read(first + BigInt(item) * step);
          const where = { level: kind.level, shape: kind.shape, pa, item, entry };
          const decoded = context.paging.decode(kind.level, entry);
          context.equal(decoded.address, pa, 'run-start', 'an entry decodes to the start of its run', where);
          context.equal(
            decoded.leafBytes,
            kind.leafBytes,
            'run-size',
            'an entry decodes to the size of its run',
            where,
          );
          const stored = kind.compiled.sharedAddress ? pa : pa + BigInt(item) * kind.entryBytes;
          context.equal(
            reference.decode(kind.level, entry).stored,
            stored,
            'run-stored',
            'each entry stores its own address, or all that of the run',
            where,
          );
        }
      }
    }
  },
);

/** A part of a run that is neither empty nor all: entries `from` up to, not including, `to`. */
function partOf(context: Context, entries: number): { from: number; to: number } {
  const from = context.random.below(entries);
  const to = context.random.between(from + 1, entries);
  return to - from === entries ? { from: 1, to: entries } : { from, to };
}

function partRange({ va, kind }: MappedRun, from: number, to: number): { start: bigint; end: bigint } {
  return { start: va + BigInt(from) * kind.entryBytes, end: va + BigInt(to) * kind.entryBytes };
}

function checkEdits(context: Context, run: MappedRun, other: UniformSet): void {
  const { bed, kind, set, va, pa } = run;
  const { space } = bed;
  const whole = { start: va, end: va + kind.leafBytes };
  const { from, to } = partOf(context, kind.compiled.runEntries);
  const part = partRange(run, from, to);
  const inside = (item: number): boolean => item >= from && item < to;
  const joins = aloneAt(leafKinds(context.paging), kind.level) !== undefined;

  const before = bed.snapshot();
  for (const edit of [unmap, (s: typeof space, r: typeof part) => protect(s, r, { fields: other.values }, REFUSE)]) {
    context.refuses([PartialLeafError], 'run-refuse', 'part of a run can be refused', part, () => {
      edit(space, part, REFUSE);
    });
    bed.mustEqual(before, 'a refused edit of part of a run');
  }

  const split = protect(space, part, { fields: other.values });
  checkGroup(context, run, 'protect of a part', (item) => ({ set: inside(item) ? other : set, run: false }));
  mustInvalidate(context, split, whole, 'breaking a run');
  if (!sameValues(set.values, other.values)) {
    merge(space, whole);
    checkGroup(context, run, 'merge of unequal entries', (item) => ({ set: inside(item) ? other : set, run: false }));
  }
  protect(space, part, { fields: set.values });
  checkGroup(context, run, 'protect back', () => ({ set, run: undefined }));
  merge(space, whole);
  checkGroup(context, run, 'merge', () => ({ set, run: joins }));

  unmap(space, part);
  checkGroup(context, run, 'unmap of a part', (item) => (inside(item) ? undefined : { set, run: false }));
  context.refuses([NotMappedError], 'run-holes', 'changing the attributes of a hole is refused', part, () =>
    protect(space, whole, { fields: other.values }),
  );
  const rest = { va: part.start, pa: pa + part.start - va, bytes: part.end - part.start };
  bed.map({ ...rest, runs: false, attributes: (leaf) => set.on(leaf) });
  checkGroup(context, run, 'map of the hole', () => ({ set, run: undefined }));
  merge(space, whole);
  checkGroup(context, run, 'merge after the hole was filled', () => ({ set, run: joins }));

  unmap(space, part, { partial: 'whole' });
  checkGroup(context, run, 'unmap of the whole leaf', () => undefined);
}

const REFUSE = { partial: 'refuse' } as const;

function mustInvalidate(context: Context, { invalidate }: Change, range: { start: bigint; end: bigint }, what: string) {
  const hit = invalidate.some(({ start, end, cause }) => {
    return start <= range.start && end >= range.end && cause !== 'installed';
  });
  if (!hit) context.fail('run-invalidate', `${what} invalidates all of it`, range);
}

/** A table full of runs, merged: one larger leaf if there is one, and the same translations in any case. */
function checkFull(context: Context, kind: LeafKind, set: UniformSet): void {
  const { paging, random } = context;
  const above = paging.geometry.levels[kind.level + 1];
  const bytes = BigInt(above?.entrySpan ?? 0);
  const va = above === undefined ? undefined : virtualSpot(context, bytes, bytes);
  if (va === undefined || bytes * 2n > mappableSpace(paging)) return;
  const bed = new Bed(context);
  const pa = random.belowBig(mappableSpace(paging) / bytes) * bytes;
  bed.map({ va, pa, bytes, maxLeafBytes: kind.leafBytes, attributes: (leaf) => set.on(leaf) });
  const where = { level: kind.level, shape: kind.shape, va, pa };
  const first = translate(bed.space, va);
  context.equal(first.mapped && first.leafBytes, kind.leafBytes, 'run-full', 'a table can be full of runs', where);
  bed.release(merge(bed.space, { start: va, end: va + bytes }));
  bed.mustOwnTables('merging a table of runs');
  const larger = aloneAt(leafKinds(paging), kind.level + 1);
  for (const offset of [0n, bytes - 1n, random.belowBig(bytes), random.belowBig(bytes)]) {
    const found = translate(bed.space, va + offset);
    context.equal(found.mapped && found.pa, pa + offset, 'run-merged', 'merging keeps every translation', where);
    if (larger === undefined) continue;
    context.equal(found.mapped && found.leafBytes, bytes, 'run-merged', 'a full table becomes one leaf', where);
  }
}

export const runEdits: ConformanceCheck = defineCheck(
  'run-edits',
  'Editing part of a run breaks it into entries that keep their addresses and attributes; refusing changes nothing; ' +
    'merge joins them again, and a table full of them into one leaf.',
  (context) => {
    const sets = uniformSets(context);
    for (const kind of runsOf(context)) {
      for (let round = context.rounds(2); round > 0; round--) {
        const set = context.random.pick(sets);
        const other = sets.find(({ values }) => !sameValues(values, set.values)) ?? set;
        const spots = leafSpots(context, kind);
        const run = mapRun(context, kind, context.random.pick(spots), set);
        if (run !== undefined) checkEdits(context, run, other);
      }
      checkFull(context, kind, context.random.pick(sets));
    }
  },
);
