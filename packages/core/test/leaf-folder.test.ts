import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { phys } from '../src/address.ts';
import { leaves, type MappedRange, mappedRanges } from '../src/leaves.ts';
import { map } from '../src/map.ts';
import { readWord, writeWord } from '../src/memory.ts';
import { SUBJECTS, type Subject } from './formats.ts';
import { type Bed, bed } from './model.ts';
import { numbers, seeds } from './random-tables.ts';

type Random = (below: number) => number;

/** Some leaves of a subject in a row, from the start of one of its ranges or up to the end of one. */
interface Rows {
  readonly made: Bed;
  readonly start: bigint;
  readonly end: bigint;
}

/** Rows of leaves that mostly continue each other, some of them damaged: other bits, other words, nothing at all. */
function someRows(subject: Subject, random: Random, windowBytes: number): Rows {
  const { paging, looks, format } = subject;
  const made = bed(subject, windowBytes);
  const page = paging.pageBytes;
  const range = paging.geometry.ranges[random(paging.geometry.ranges.length)] ?? { start: 0, end: 2 ** 32 };
  const pages = Math.min(40 + random(600), (range.end - range.start) / Number(page));
  const bytes = BigInt(pages) * page;
  const start = random(2) === 0 ? BigInt(range.start) : BigInt(range.end) - bytes;
  const top = (1n << BigInt(paging.geometry.paBits)) - bytes;
  let pa = random(3) === 0 ? top : BigInt(random(0x10000)) * page;
  for (let va = start; va < start + bytes; ) {
    const left = (start + bytes - va) / page;
    const some = BigInt(1 + random(Math.min(Number(left), 200)));
    const request = { va, pa, bytes: some * page, attributes: looks[random(3)] ?? {}, allocator: made.frames };
    // Not every address can be held by every leaf: then there is a hole.
    try {
      map(made.space, { ...request, runs: random(2) === 0, ...(random(2) === 0 ? { maxLeafBytes: page } : {}) });
    } catch {}
    va += some * page;
    if (random(3) > 0) pa += some * page;
  }
  for (const { slot } of leaves(made.space, { start, end: start + bytes })) {
    if (random(30) > 0) continue;
    const entry = readWord(made.memory, slot, format.entryBytes);
    const flipped = entry ^ (1n << BigInt(random(format.entryBytes * 8)));
    writeWord(made.memory, slot, random(4) === 0 ? 0n : flipped, format.entryBytes);
  }
  return { made, start, end: start + bytes };
}

/** Leaves one after the other, joined by the rule. */
function joined(found: readonly MappedRange[], boundaries: readonly bigint[]): MappedRange[] {
  const ranges: MappedRange[] = [];
  for (const leaf of found) {
    const open = ranges.at(-1);
    const alike =
      open !== undefined &&
      open.end === leaf.start &&
      open.level === leaf.level &&
      open.shape === leaf.shape &&
      open.bits === leaf.bits &&
      JSON.stringify(open.effects) === JSON.stringify(leaf.effects) &&
      !boundaries.includes(leaf.start);
    const continues = alike && !open.repeats && open.pa + (open.end - open.start) === leaf.pa;
    // A run's entries differ in what they map even where they are equal.
    const alone = leaf.leafBytes === leaf.end - leaf.start;
    const repeats = alike && (open.repeats || open.entries === 1) && open.pa === leaf.pa && alone;
    if (continues || repeats) {
      ranges[ranges.length - 1] = { ...open, end: leaf.end, entries: open.entries + 1, repeats };
    } else ranges.push(leaf);
  }
  return ranges;
}

describe('folded ranges', () => {
  for (const subject of SUBJECTS) {
    it(`${subject.name}: are the leaves one after the other, joined where they continue each other`, () => {
      fc.assert(
        fc.property(seeds, fc.constantFrom(64, 0x1_0000), (seed, windowBytes) => {
          const random = numbers(seed);
          const { made, start, end } = someRows(subject, random, windowBytes);
          const page = subject.paging.pageBytes;
          const pages = Number((end - start) / page);
          const from = start + BigInt(random(20)) * page;
          const part = { start: from, end: from + BigInt(1 + random(pages - 20)) * page };
          const marks = Array.from({ length: random(4) }, () => start + BigInt(random(pages)) * page);
          const boundaries = [...marks].sort((a, b) => (a < b ? -1 : 1));
          const expected = joined(leaves(made.space, part), boundaries);
          expect(mappedRanges(made.space, part, { boundaries })).toEqual(expected);
        }),
        { numRuns: 30 },
      );
    });
  }

  it('share what their attributes mean, which nobody can change', () => {
    const made = bed(SUBJECTS[0] as Subject);
    const page = made.subject.paging.pageBytes;
    const attributes = made.subject.looks[0];
    map(made.space, { va: 0n, pa: phys(0), bytes: page, attributes, allocator: made.frames });
    map(made.space, { va: 2n * page, pa: phys(0), bytes: page, attributes, allocator: made.frames });
    const [first, second] = mappedRanges(made.space, { start: 0n, end: 4n * page });
    expect(first?.fields).toBe(second?.fields);
    expect(Object.isFrozen(first?.fields)).toBe(true);
  });
});
