/** How addresses are cut into indices. */
import { walk } from '@pagefold/core';
import { Bed } from '../bed.ts';
import type { Context } from '../context.ts';
import { defineCheck } from '../context.ts';
import { aloneAt, attributeSets, canonicalSpans, leafKinds, type Span } from '../parts.ts';
import type { ConformanceCheck } from '../subject.ts';

function checkLevels(context: Context): void {
  const { geometry, format } = context.paging;
  const { levels, vaBits, wordBits } = geometry;
  let decoded = levels[0]?.shift ?? 0;
  levels.forEach(({ level, shift, indexBits, entries, entrySpan, tableBytes, alignBytes }, at) => {
    const where = { level: at };
    context.equal(level, at, 'level-order', 'levels are numbered from the leaves', where);
    context.equal(shift, decoded, 'radix-once', 'a level decodes the bits right above those decoded below it', where);
    context.equal(BigInt(entrySpan), 1n << BigInt(shift), 'radix-span', 'an entry covers all bits below', where);
    context.equal(entries, 2 ** indexBits, 'radix-entries', 'a table has an entry for each index', where);
    context.equal(tableBytes, entries * format.entryBytes, 'table-bytes', 'a table is as long as its entries', where);
    if (alignBytes < format.entryBytes || !Number.isInteger(Math.log2(alignBytes))) {
      context.fail('table-align', 'a table is aligned to a power of two of at least an entry', {
        ...where,
        alignBytes,
      });
    }
    decoded += indexBits;
  });
  context.equal(decoded, vaBits, 'radix-cover', 'the levels together decode exactly the virtual bits');
  if (vaBits > wordBits) context.fail('radix-word', 'no more bits are decoded than the word has', { vaBits, wordBits });
  context.equal(geometry.root.level, levels.length - 1, 'radix-root', 'the root is the highest level');
}

function checkRanges(context: Context): void {
  const { ranges } = context.paging.geometry;
  const expected = canonicalSpans(context.paging);
  context.equal(ranges.length, expected.length, 'ranges', 'the ranges are those that the upper bits allow');
  expected.forEach(({ start, end }, at) => {
    const found = ranges[at];
    context.equal(BigInt(found?.start ?? -1), start, 'ranges', 'a range starts where the upper bits allow', { at });
    context.equal(BigInt(found?.end ?? -1), end, 'ranges', 'a range ends where the upper bits allow', { at });
  });
}

export const radix: ConformanceCheck = defineCheck(
  'radix',
  'Levels decode adjacent bits, each once, exactly vaBits in all; the ranges are exactly the canonical addresses.',
  (context) => {
    checkLevels(context);
    checkRanges(context);
  },
);

/** Maps one smallest page and compares the walk's indices with plain arithmetic. */
function checkPath(context: Context, va: bigint): number[] {
  const { paging } = context;
  const { levels } = paging.geometry;
  const bed = new Bed(context);
  const set = attributeSets(context)[0];
  bed.map({ va, pa: 0n, bytes: paging.pageBytes, attributes: (leaf) => set?.on(leaf) ?? 0n });
  const { steps, outcome } = walk(bed.space, va + paging.pageBytes - 1n);
  if (!outcome.mapped) context.fail('path-mapped', 'a page that was mapped is found', { va });
  context.equal(steps.length, levels.length, 'path-length', 'the path to a smallest page goes through all levels', {
    va,
  });
  return steps.map(({ level, index, decoded }, at) => {
    const { shift, entries } = levels[level] as (typeof levels)[number];
    context.equal(level, levels.length - 1 - at, 'path-levels', 'a walk goes down level by level', { va });
    const expected = Number((va >> BigInt(shift)) % BigInt(entries));
    context.equal(index, expected, 'path-index', 'an index is the bits of its level', { va, level });
    const kind = level === 0 ? 'leaf' : 'table';
    context.equal(decoded?.kind, kind, 'path-kind', 'above the leaf every entry is a table', { va, level });
    return index;
  });
}

function checkEdges(context: Context, { start, end }: Span, lowerHalf: boolean): void {
  const { geometry, pageBytes } = context.paging;
  const { levels, vaBits } = geometry;
  const rootEntries = geometry.root.entries;
  // Below 2^vaBits counted from the bottom of the ring: an upper half begins in the middle of the root.
  const inRoot = BigInt.asUintN(vaBits, start);
  checkPath(context, start).forEach((index, at) => {
    const expected = at === 0 ? Number(inRoot >> BigInt(geometry.root.shift)) : 0;
    context.equal(index, expected, 'first-page', 'the first page is at the first index of each table', { start, at });
  });
  checkPath(context, end - pageBytes).forEach((index, at) => {
    const { entries } = levels[levels.length - 1 - at] as (typeof levels)[number];
    const expected = at === 0 && lowerHalf ? rootEntries / 2 - 1 : entries - 1;
    context.equal(index, expected, 'last-page', 'the last page is at the last index of each table', { end, at });
  });
}

export const edgePages: ConformanceCheck = defineCheck(
  'edge-pages',
  'The first and the last page of each range stand at the first and last index of every table on their path.',
  (context) => {
    if (aloneAt(leafKinds(context.paging), 0) === undefined) {
      context.fail('smallest-leaf', 'level 0 has a leaf that stands alone');
    }
    const spans = canonicalSpans(context.paging);
    for (const span of spans) checkEdges(context, span, spans.length === 2 && span.start === 0n);
    for (let round = context.rounds(8); round > 0; round--) {
      const { start, end } = context.random.pick(spans);
      const page = context.paging.pageBytes;
      checkPath(context, start + context.random.belowBig((end - start) / page) * page);
    }
  },
);
