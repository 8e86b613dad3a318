/** Long rows of leaves, which edits deal with in one go: the outcome is that of going entry by entry. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { phys } from '../src/address.ts';
import { protect, unmap } from '../src/edit.ts';
import type { FieldValues } from '../src/format.ts';
import { map } from '../src/map.ts';
import { writeWord } from '../src/memory.ts';
import { entriesUnder, type Found, slowEdit } from './edit-reference.ts';
import { SUBJECTS, type Subject } from './formats.ts';
import { BASE, type Bed, bed, refDecode, refused } from './model.ts';
import { bigBelow, numbers, seeds, somePhysical } from './random-tables.ts';

/** So many pages of a large table are looked at. */
const PAGES = 256n;

type Random = (below: number) => number;

interface Filled {
  readonly made: Bed;
  /** The level of the rows. */
  readonly level: number;
  readonly start: bigint;
  readonly end: bigint;
}

/** The level whose rows are looked at: mostly that of pages. */
function someLevel({ paging }: Subject, random: Random): number {
  const bytes = BigInt(paging.codec(1).level.entrySpan) * BigInt(paging.codec(1).level.entries);
  const fits = paging.geometry.ranges.every(({ start, end }) => BigInt(end) - BigInt(start) >= bytes);
  const alone = paging.codec(1).leaves.some(({ runEntries }) => runEntries === 1);
  return paging.levels.length > 2 && fits && alone && random(3) === 0 ? 1 : 0;
}

/** Some tables side by side that hold leaves. */
function tablesOfLeaves(subject: Subject, random: Random, windowBytes: number): Filled {
  const made = bed(subject, windowBytes);
  const { paging } = subject;
  const level = someLevel(subject, random);
  const page = BigInt(paging.codec(level).level.entrySpan);
  const ranges = paging.geometry.ranges.map(({ start, end }) => ({ start: BigInt(start), end: BigInt(end) }));
  const whole = ranges[random(ranges.length)] as { start: bigint; end: bigint };
  const bytes = BigInt(paging.codec(level).level.entries) * page;
  const most = (whole.end - whole.start) / bytes;
  const few = paging.codec(level).level.entries > 16 ? 2n : 4n;
  const count = most < few ? most : few;
  // At an end of what is translated, or across whatever boundary lies somewhere in it.
  const places = [0n, most - count, bigBelow(random, most - count + 1n), (most - count) / 2n];
  const start = whole.start + (places[random(4)] as bigint) * bytes;
  for (let i = 0n; i < count; i++) {
    const request = { va: start + i * bytes, pa: 0n, bytes: page, attributes: subject.looks[0], runs: false };
    // One table may be missing.
    if (random(6) > 0) map(made.space, { ...request, allocator: made.frames });
  }
  // Of large tables only what lies next to where they meet.
  const middle = start + (count / 2n) * bytes;
  const end = start + count * bytes;
  const near = PAGES * page;
  return {
    made,
    level,
    start: middle - start > near ? middle - near : start,
    end: end - middle > near ? middle + near : end,
  };
}

/** A leaf with a bit changed that leaves it what it is: as hardware or software does to one of many. */
function flipped(subject: Subject, level: number, word: bigint, random: Random): bigint {
  const other = word ^ (1n << BigInt(random(subject.format.entryBytes * 8)));
  const [before, after] = [word, other].map((one) => refDecode(subject, level, one, 0));
  return after?.kind === 'leaf' && after.shape === before?.shape ? other : word;
}

/** Writes rows over the entries of tables of pages: leaves alike or not quite, runs, holes, and what else stands there. */
function fillRows({ made, level: own, start, end }: Filled, random: Random, malformed: boolean): void {
  const { subject, memory } = made;
  const { paging, format, looks } = subject;
  const { leaves } = paging.codec(own);
  const [alone, run] = [leaves.find((one) => one.runEntries === 1), leaves.at(-1)];
  if (alone === undefined || run === undefined) throw new Error('no pages');
  const highest = 1n << BigInt(Math.min(paging.geometry.paBits, format.entryBytes * 8));
  const slots = entriesUnder(made, { start, end }).filter(({ level }) => level === own);
  const most = Math.min(slots.length, 400);
  for (let i = 0; i < slots.length; ) {
    const kind = random(malformed ? 13 : 12);
    const length = Math.min(slots.length - i, random(3) === 0 ? 1 + random(4) : 1 + random(most));
    const look = looks[random(3)] as FieldValues;
    const to = i + length;
    const pa = somePhysical(subject, alone, random);
    for (let at = 0; i < to; i++, at++) {
      const { slot, va } = slots[i] as Found;
      let word = 0n;
      if (kind < 6) {
        const here = pa + BigInt(at * alone.entryBytes);
        const mapped = kind < 5 && here < highest ? here : somePhysical(subject, alone, random);
        // What hardware or software writes differs from leaf to leaf; now and then everything does.
        const other = kind === 4 && random(3) === 0 ? (looks[random(3)] as FieldValues) : look;
        word = paging.encodeLeaf(own, mapped, other, alone.shape.name);
        if (kind > 2 && random(2) === 0) word = flipped(subject, own, word, random);
      } else if (kind < 9 && (va % BigInt(run.leafBytes) === 0n || at > 0)) {
        word = paging.encodeLeaf(own, 0n, look, run.shape.name);
      } else if (kind === 9) {
        // Not valid, but not zero: software's own.
        word = (1n << BigInt(format.entryBytes * 8 - 2)) | (1n << 12n);
        const entry = paging.codec(own).classify(Number(word & 0xffff_ffffn), Number(word >> 32n));
        if ((entry & 3) !== 0) word = 0n;
      } else if (kind === 12) {
        word = (BigInt(random(2 ** 32)) << (format.entryBytes === 8 ? 32n : 0n)) | BigInt(random(256));
        // No table that is not there.
        if (refDecode(subject, own, word, 0).kind === 'table') word = 0n;
      }
      writeWord(memory, phys(slot), word, format.entryBytes);
    }
  }
}

/** Runs that are whole: a range that cuts one would split it. */
function uncut(entries: readonly Found[], start: bigint, end: bigint): boolean {
  return [start, end].every((at) =>
    entries.every(({ kind, va, leafBytes }) => {
      if (kind !== 'leaf') return true;
      const from = va - (va % leafBytes);
      return at <= from || at >= from + leafBytes;
    }),
  );
}

/** A range of pages in which no leaf is cut: ends somewhere, at ends of tables or of windows, or next to those. */
function someRange(filled: Filled, random: Random): { start: bigint; end: bigint } {
  const { made, start, end } = filled;
  const { level } = made.subject.paging.codec(filled.level);
  const page = BigInt(level.entrySpan);
  const table = BigInt(level.entries);
  const pages = (end - start) / page;
  const entries = entriesUnder(made, { start, end });
  const place = (): bigint => {
    const unit = [1n, 8n, table][random(3)] as bigint;
    const at = bigBelow(random, pages / unit + 1n) * unit + BigInt(random(3) - 1);
    return start + (at < 0n ? 0n : at > pages ? pages : at) * page;
  };
  for (let tries = 0; tries < 8; tries++) {
    const [a, b] = [place(), place()];
    const range = a < b ? { start: a, end: b } : { start: b, end: a };
    if (range.start < range.end && uncut(entries, range.start, range.end)) return range;
  }
  return { start, end };
}

/** Makes a window that holds some of the entries read-only; tells whether a slot lies in it. */
function lockWindow({ made, start, end }: Filled, random: Random, windowBytes: number): (slot: bigint) => boolean {
  const all = entriesUnder(made, { start, end });
  const { slot } = all[random(all.length)] as Found;
  const base = slot - ((slot - BASE) % BigInt(windowBytes));
  made.memory.protect(base, windowBytes);
  return (at) => at >= base && at < base + BigInt(windowBytes);
}

function someChange({ looks }: Subject, random: Random): FieldValues | undefined {
  const names = [...new Set(looks.flatMap((look) => Object.keys(look)))];
  const look = looks[random(3)] as FieldValues;
  switch (random(4)) {
    case 0:
      return undefined;
    case 1: {
      const name = names[random(names.length)] as string;
      return { [name]: look[name] ?? 0 };
    }
    default:
      return Object.fromEntries(names.map((name) => [name, look[name] ?? 0]));
  }
}

function tell(subject: Subject, seed: number, windowBytes: number): void {
  const random = numbers(seed);
  const filled = tablesOfLeaves(subject, random, windowBytes);
  const { made, start, end } = filled;
  fillRows(filled, random, random(4) === 0);
  const readOnly = random(4) === 0 ? lockWindow(filled, random, windowBytes) : () => false;
  for (let step = 0; step < 4; step++) {
    const range = someRange(filled, random);
    const values = someChange(subject, random);
    const refuses = random(4) === 0;
    const entries = entriesUnder(made, range);
    const expected = slowEdit(made, entries, refuses, values, readOnly);
    const holes = refuses ? 'refuse' : 'skip';
    const run = () =>
      values === undefined
        ? unmap(made.space, range, { holes })
        : protect(made.space, range, { fields: values }, { holes });
    if (expected.error !== undefined) {
      expect(refused(made, run).name).toBe(expected.error);
      continue;
    }
    const before = new Map(entriesUnder(made, { start, end }).map(({ slot, word }) => [slot, word]));
    expect(run()).toEqual({ ...expected.change, allocated: [], detached: [] });
    for (const [slot, word] of expected.words) before.set(slot, word);
    expect(new Map(entriesUnder(made, { start, end }).map(({ slot, word }) => [slot, word]))).toEqual(before);
  }
}

describe('edits of rows', () => {
  for (const subject of SUBJECTS) {
    it(`do what entry after entry would: ${subject.name}`, () => {
      fc.assert(
        fc.property(seeds, fc.constantFrom(64, 0x1000, 0x1_0000), (seed, windowBytes) => {
          tell(subject, seed, windowBytes);
        }),
        { numRuns: 4 },
      );
    });
  }
});
