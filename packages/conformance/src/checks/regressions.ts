/** Cases that went wrong elsewhere once: facts from the history of Linux's generic_pt and of comparable libraries. */
import { freeTables, type MapRequest, mappedRanges, translate, unmap } from '@pagefold/core';
import { Bed } from '../bed.ts';
import { type Context, defineCheck } from '../context.ts';
import {
  type AttributeSet,
  attributeSets,
  canonicalSpans,
  type LeafKind,
  leafKinds,
  mappableSpace,
  type Span,
} from '../parts.ts';
import type { ConformanceCheck } from '../subject.ts';

function firstSet(context: Context): AttributeSet {
  const [set] = attributeSets(context);
  return set ?? context.fail('attributes-none', 'the subject needs at least one attribute set');
}

/** Leaf entries in a range. */
function entriesIn(bed: Bed, span: Span): number {
  return mappedRanges(bed.space, span).reduce((sum, { entries }) => sum + entries, 0);
}

/** Leaf entries that a range takes if at each place the largest leaf is used. */
function entriesNeeded(kinds: readonly LeafKind[], va: bigint, pa: bigint, bytes: bigint): number {
  const largestFirst = [...kinds].reverse();
  let count = 0;
  for (let done = 0n; done < bytes; ) {
    const kind = largestFirst.find(
      ({ leafBytes: size }) => (va + done) % size === 0n && (pa + done) % size === 0n && size <= bytes - done,
    );
    if (kind === undefined) return count;
    count += kind.compiled.runEntries;
    done += kind.leafBytes;
  }
  return count;
}

/** Maps something fixed, if the geometry has the addresses; checks every page and the number of entries. */
function checkFixed(context: Context, va: bigint, pa: bigint, bytes: bigint): number | undefined {
  const { paging } = context;
  const page = paging.pageBytes;
  const span = canonicalSpans(paging)[0];
  const down = (address: bigint): bigint => address - (address % page);
  if (span === undefined || va + bytes > span.end - span.start) return undefined;
  if (pa + bytes > mappableSpace(paging)) return undefined;
  const bed = new Bed(context);
  const set = firstSet(context);
  const start = span.start + down(va);
  const to = down(pa);
  const length = down(bytes + page - 1n);
  const change = bed.map({ va: start, pa: to, bytes: length, attributes: (leaf) => set.on(leaf) });
  const expected = entriesNeeded(leafKinds(paging), start, to, length);
  const where = { va: start, pa: to, bytes: length };
  context.equal(change.entries, expected, 'fixed-entries', 'as many entries are written as the sizes need', where);
  context.equal(entriesIn(bed, span), expected, 'fixed-entries', 'as many entries are found as were written', where);
  for (let round = 0; round < 40; round++) {
    const offset = context.random.belowBig(length);
    const found = translate(bed.space, start + offset);
    context.equal(found.mapped && found.pa, to + offset, 'fixed-address', 'every address is right', where);
  }
  return expected;
}

export const knownRegressions: ConformanceCheck = defineCheck(
  'known-regressions',
  'Two mappings that generic_pt once got wrong come out right: an unaligned pair, and one over several leaf sizes.',
  (context) => {
    checkFixed(context, 0xfef8_0000n, 0x20_8b95_d000n, 0x2_0000n);
    const entries = checkFixed(context, 0x3_fe40_0000n, 0x3_fe40_0000n, 0xc220_0000n);
    const between = leafKinds(context.paging)
      .filter(({ leafBytes }) => leafBytes >= 1n << 21n && leafBytes <= 1n << 31n)
      .map(({ leafBytes }) => leafBytes);
    const usual = between.length === 2 && between[0] === 1n << 21n && between[1] === 1n << 30n;
    if (entries !== undefined && usual) {
      context.equal(entries, 20, 'fixed-twenty', '14 leaves of 2 MiB, 3 of 1 GiB and 3 of 2 MiB are 20 entries');
    }
  },
);

export const eachSizeOnce: ConformanceCheck = defineCheck(
  'each-size-once',
  'With every size of leaf mapped once, side by side, each is found once with its size; unmapped, nothing is left.',
  (context) => {
    const { paging } = context;
    const set = firstSet(context);
    const space = mappableSpace(paging);
    for (const span of canonicalSpans(paging)) {
      const bed = new Bed(context);
      const placed: { kind: LeafKind; va: bigint }[] = [];
      let at = span.start;
      for (const kind of leafKinds(paging)) {
        const va = at + ((kind.leafBytes - (at % kind.leafBytes)) % kind.leafBytes);
        if (kind.leafBytes > space || va + kind.leafBytes > span.end) continue;
        bed.map({ va, pa: space - kind.leafBytes, bytes: kind.leafBytes, attributes: (leaf) => set.on(leaf) });
        placed.push({ kind, va });
        at = va + kind.leafBytes;
      }
      const found = mappedRanges(bed.space, span);
      for (const { kind, va } of placed) {
        const where = { va, leafBytes: kind.leafBytes };
        const range = found.find(({ start }) => start === va);
        context.equal(range?.end, va + kind.leafBytes, 'once-range', 'each leaf is found where it is', where);
        context.equal(range?.leafBytes, kind.leafBytes, 'once-size', 'with its size', where);
        context.equal(range?.entries, kind.compiled.runEntries, 'once-entries', 'in as many entries as it has', where);
      }
      context.equal(found.length, placed.length, 'once-count', 'nothing else is found');
      unmap(bed.space, span);
      context.equal(entriesIn(bed, span), 0, 'once-unmapped', 'nothing is mapped afterwards');
      bed.release(freeTables(bed.space, span));
      context.equal(bed.frames.live.size, 0, 'once-tables', 'no table is left afterwards');
    }
  },
);

/** Fills a large leaf's place with the next smaller leaves, empties it, and maps the large leaf over the tables. */
function replaceTables(context: Context, kind: LeafKind, smaller: LeafKind): void {
  const { paging } = context;
  const set = firstSet(context);
  const [span] = canonicalSpans(paging);
  if (span === undefined || span.end - span.start < kind.leafBytes) return;
  const va = span.end - kind.leafBytes - (span.end % kind.leafBytes);
  const bed = new Bed(context);
  const attributes: MapRequest['attributes'] = (leaf) => set.on(leaf);
  const bytes = kind.leafBytes;
  const where = { va, leafBytes: bytes, smaller: smaller.leafBytes };
  bed.map({ va, pa: 0n, bytes, maxLeafBytes: smaller.leafBytes, runs: false, attributes });
  const count = Number(bytes / smaller.leafBytes);
  context.equal(entriesIn(bed, span), count, 'replace-fill', 'the place is filled with smaller leaves', where);
  const half = va + bytes / 2n;
  unmap(bed.space, { start: va, end: half });
  context.equal(entriesIn(bed, span), count / 2, 'replace-half', 'half of them are unmapped in one go', where);
  // One by one, but not all of a large table.
  const single = Math.min(32, count / 2);
  for (let i = 0; i < single; i++) {
    const start = half + BigInt(i) * smaller.leafBytes;
    const { entries } = unmap(bed.space, { start, end: start + smaller.leafBytes });
    context.equal(entries, 1, 'replace-one', 'unmapping a leaf clears one entry', where);
  }
  if (single < count / 2) unmap(bed.space, { start: half, end: va + bytes });
  context.equal(entriesIn(bed, span), 0, 'replace-empty', 'the place is empty', where);
  const tables = bed.frames.live.size;
  const change = bed.map({ va, pa: 0n, bytes, attributes });
  const replaced = change.detached.length;
  if (replaced === 0) context.fail('replace-detached', 'a leaf over empty tables detaches them', where);
  bed.release(change);
  context.equal(bed.frames.live.size, tables - replaced, 'replace-tables', 'what is detached is given back', where);
  bed.mustOwnTables('replacing tables by a leaf');
  const found = translate(bed.space, va + bytes - 1n);
  context.equal(found.mapped && found.leafBytes, bytes, 'replace-leaf', 'the large leaf stands there now', where);
}

export const tableToLeaf: ConformanceCheck = defineCheck(
  'table-to-leaf',
  'For every size a leaf maps over the empty tables that smaller leaves left behind, and those tables are detached.',
  (context) => {
    const space = mappableSpace(context.paging);
    const alone = leafKinds(context.paging).filter(({ compiled }) => compiled.runEntries === 1);
    alone.forEach((kind, at) => {
      const smaller = alone[at - 1];
      if (smaller !== undefined && kind.leafBytes <= space) replaceTables(context, kind, smaller);
    });
  },
);

export const wholeLeaf: ConformanceCheck = defineCheck(
  'whole-leaf',
  'Unmapping less than a leaf with `partial: whole` removes that leaf, entirely, and no other.',
  (context) => {
    const { paging, random } = context;
    const set = firstSet(context);
    const space = mappableSpace(paging);
    for (const kind of leafKinds(paging)) {
      const bytes = kind.leafBytes;
      const [span] = canonicalSpans(paging);
      if (span === undefined || bytes * 2n > span.end - span.start || bytes * 2n > space) continue;
      const bed = new Bed(context);
      const va = span.start;
      bed.map({ va, pa: 0n, bytes: bytes * 2n, maxLeafBytes: bytes, attributes: (leaf) => set.on(leaf) });
      const page = paging.pageBytes;
      const start = va + random.belowBig(bytes / page) * page;
      const change = unmap(bed.space, { start, end: start + page }, { partial: 'whole' });
      const where = { va, leafBytes: bytes, start };
      context.equal(change.entries, kind.compiled.runEntries, 'whole-entries', 'one leaf is removed', where);
      context.equal(entriesIn(bed, span), kind.compiled.runEntries, 'whole-rest', 'its neighbour stays', where);
      for (const offset of [0n, bytes - 1n]) {
        const gone = translate(bed.space, va + offset).mapped;
        context.equal(gone, false, 'whole-gone', 'the leaf is gone from its first to its last byte', where);
        const kept = translate(bed.space, va + bytes + offset);
        context.equal(kept.mapped && kept.pa, bytes + offset, 'whole-kept', 'the neighbour translates', where);
      }
      const [only] = change.invalidate;
      const exact = change.invalidate.length === 1 && only?.start === va && only.end === va + bytes;
      if (!exact) context.fail('whole-report', 'the change names the larger range that was removed', where);
    }
  },
);
