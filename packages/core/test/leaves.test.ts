import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { phys, TWO_64 } from '../src/address.ts';
import { ArgumentError, MemoryError } from '../src/errors.ts';
import { leaves, type MappedRange, mappedRanges, type OddEntry } from '../src/leaves.ts';
import { map } from '../src/map.ts';
import { readWord, writeWord } from '../src/memory.ts';
import { createSpace } from '../src/space.ts';
import { eachTable, type TableLink } from '../src/table-links.ts';
import { translate } from '../src/walk.ts';
import { mini, named, SUBJECTS } from './formats.ts';
import { LOOK, MINI } from './mini-bed.ts';
import { type Bed, bed, refCanonical, refWalk, thrownBy } from './model.ts';
import { numbers, randomBed, seeds, someAddress } from './random-tables.ts';

const SHORT = named('short');
const EVERYTHING = { start: 0n, end: TWO_64 };

/** Two halves of mini tables, read page by page: what the reference walker finds, folded by hand. */
function foldByHand({ subject, memory, root }: Bed): { start: bigint; end: bigint; pa: bigint; key: string }[] {
  const folded: { start: bigint; end: bigint; pa: bigint; key: string }[] = [];
  for (const range of subject.paging.geometry.ranges) {
    let open: (typeof folded)[number] | undefined;
    for (let va = BigInt(range.start); va < BigInt(range.end); va += 0x1000n) {
      const found = refWalk(subject, memory, root, va);
      if (found.kind !== 'mapped') {
        open = undefined;
        continue;
      }
      const { level, shape, pa, fields } = found;
      const names = ['soft', 'key', 'pat', 'd', 'a', 'nx', 'u', 'w'];
      const key = `${level} ${shape} ${names.map((name) => fields[name] ?? 0).join(' ')}`;
      if (open !== undefined && open.end === va && open.key === key && open.pa + va - open.start === pa) {
        open.end = va + 0x1000n;
      } else {
        open = { start: va, end: va + 0x1000n, pa, key };
        folded.push(open);
      }
    }
  }
  return folded;
}

/** The same of ranges as core folds them; it also parts what tables above do, even if the outcome is the same. */
function asKeys(ranges: readonly MappedRange[]): ReturnType<typeof foldByHand> {
  const found: ReturnType<typeof foldByHand> = [];
  for (const range of ranges) {
    const { level, shape, fields } = range;
    const names = ['soft', 'key', 'pat', 'd', 'a', 'nx', 'u', 'w'];
    const key = `${level} ${shape} ${names.map((name) => fields[name] ?? 0).join(' ')}`;
    // Leaves that all map the same are counted, not continued.
    const count = range.repeats ? BigInt(range.entries) : 1n;
    const bytes = (range.end - range.start) / count;
    for (let start: bigint = range.start; start < range.end; start += bytes) {
      const { pa } = range;
      const last = found.at(-1);
      if (last !== undefined && last.end === start && last.key === key && last.pa + start - last.start === pa) {
        last.end = start + bytes;
      } else found.push({ start, end: start + bytes, pa, key });
    }
  }
  return found;
}

describe('mappedRanges', () => {
  it('are what walking page by page finds, folded', () => {
    for (const subject of SUBJECTS.filter(({ name }) => name.startsWith('mini') && !name.includes('four'))) {
      fc.assert(
        fc.property(seeds, fc.constantFrom(16, 0x1_0000), (seed, windowBytes) => {
          const made = randomBed(subject, seed, windowBytes);
          expect(asKeys(mappedRanges(made.space, EVERYTHING))).toEqual(foldByHand(made));
        }),
        { numRuns: 10 },
      );
    }
  });

  it('and leaves agree with translate, range by range', () => {
    let count = 0;
    for (const subject of SUBJECTS) {
      const made = randomBed(subject, 5, 0x1_0000);
      const random = numbers(5);
      const page = subject.paging.pageBytes;
      const found = Array.from({ length: 30 }, () => {
        const va = refCanonical(subject, someAddress(subject, random)) ?? 0n;
        const start = va - (va % page);
        return leaves(made.space, { start, end: start + page * 8n > TWO_64 ? TWO_64 : start + page * 8n });
      }).flat();
      for (const one of found) {
        const { start, pa, level, shape, leafBytes, slot, entry, fields, common, root, hardwareLevel } = one;
        expect(translate(made.space, start)).toMatchObject({
          mapped: true,
          pa,
          level,
          shape,
          leafBytes,
          slot,
          entry,
          fields,
          common,
          root,
          hardwareLevel,
        });
        expect(one.entries).toBe(1);
        expect(readWord(made.memory, slot, subject.format.entryBytes)).toBe(entry);
        count++;
      }
    }
    expect(count).toBeGreaterThan(200);
  });

  it('fold neighbours that continue each other, and end where anything differs', () => {
    const made = bed(MINI);
    const { space, frames } = made;
    const more = { attributes: LOOK, allocator: frames, maxLeafBytes: 0x1000n };
    map(space, { va: 0n, pa: 0x10_0000n, bytes: 0x3000n, ...more });
    map(space, { va: 0x3000n, pa: 0x10_4000n, bytes: 0x1000n, ...more });
    map(space, { va: 0x4000n, pa: 0x10_5000n, bytes: 0x1000n, ...more, attributes: { a: 1 } });
    map(space, { va: 0x6000n, pa: 0x10_7000n, bytes: 0x3000n, ...more });
    expect(mappedRanges(space, EVERYTHING).map(({ start, end, entries }) => [start, end, entries])).toEqual([
      [0n, 0x3000n, 3],
      [0x3000n, 0x4000n, 1],
      [0x4000n, 0x5000n, 1],
      [0x6000n, 0x9000n, 3],
    ]);
    const cut = mappedRanges(space, EVERYTHING, { boundaries: [0x1000n, 0x1800n, 0x8000n] });
    expect(cut.map(({ start }) => start)).toEqual([0n, 0x1000n, 0x3000n, 0x4000n, 0x6000n, 0x8000n]);
    expect(mappedRanges(space, EVERYTHING, { fold: false })).toEqual(leaves(space, EVERYTHING));
  });

  it('give the part of a leaf that lies in the range', () => {
    const made = bed(MINI);
    map(made.space, { va: 0n, pa: 0x4_0000n, bytes: 0x4_0000n, attributes: LOOK });
    const [part] = mappedRanges(made.space, { start: 0x5000n, end: 0x9000n });
    expect(part).toMatchObject({ start: 0x5000n, end: 0x9000n, pa: 0x4_5000n, leafBytes: 0x4_0000n });
  });

  it('are parted by what the tables above do', () => {
    const made = bed(MINI);
    const { space, frames } = made;
    const more = { attributes: LOOK, allocator: frames, maxLeafBytes: 0x1000n };
    map(space, { va: 0x7000n, pa: 0x7000n, bytes: 0x1000n, ...more, tableAttributes: { tu: 1 } });
    map(space, { va: 0x8000n, pa: 0x8000n, bytes: 0x1000n, ...more, tableAttributes: { tu: 1, nowrite: 1 } });
    expect(mappedRanges(space, EVERYTHING).map(({ start, fields }) => [start, fields.w])).toEqual([
      [0x7000n, 1],
      [0x8000n, 0],
    ]);
  });

  it('add to a shared address what a run entry adds to it', () => {
    const made = bed(SHORT);
    map(made.space, { va: 0n, pa: 0x9_0000_0000n, bytes: 0x100_0000n, attributes: { ap: 1 } });
    const [run] = mappedRanges(made.space, { start: 0n, end: 1n << 32n });
    expect(run).toMatchObject({ pa: 0x9_0000_0000n, entries: 16, leafBytes: 0x100_0000n, name: 'level 1' });
    expect(leaves(made.space, { start: 0x30_0000n, end: 0x40_0000n })).toMatchObject([{ pa: 0x9_0030_0000n }]);
  });

  it('take leaves that all map one page as one range, however many tables share it', () => {
    const made = bed(MINI);
    const frame = (level: number): bigint => {
      return made.frames.allocate({ level, va: 0n as never, bytes: 64, alignBytes: 64 });
    };
    const [upper, lower] = [frame(1), frame(0)];
    for (let i = 0n; i < 8n; i++) {
      writeWord(made.memory, phys(lower + 8n * i), mini.encodeLeaf(0, 0x5000n, { a: 1, w: 1 }));
      writeWord(made.memory, phys(upper + 8n * i), mini.encodeTable(1, lower));
    }
    writeWord(made.memory, phys(made.root), mini.encodeTable(2, upper));
    writeWord(made.memory, phys(made.root + 8n), mini.encodeTable(2, upper));
    expect(mappedRanges(made.space, EVERYTHING)).toMatchObject([
      { start: 0n, end: 0x8_0000n, pa: 0x5000n, repeats: true, entries: 128, leafBytes: 0x1000n },
    ]);
    const part = { start: 0x7000n, end: 0x4_9000n };
    expect(mappedRanges(made.space, part, { boundaries: [0x9000n] })).toMatchObject([
      { start: 0x7000n, end: 0x9000n, repeats: true, entries: 2 },
      { start: 0x9000n, end: 0x4_9000n, repeats: true, entries: 64 },
    ]);
    expect(leaves(made.space, EVERYTHING)).toHaveLength(128);
    writeWord(made.memory, phys(made.root + 8n), mini.encodeTable(2, upper, { tu: 1, nowrite: 1 }));
    expect(mappedRanges(made.space, EVERYTHING).map(({ start, fields }) => [start, fields.w])).toEqual([
      [0n, 1],
      [0x4_0000n, 0],
    ]);
  });

  it('tell of malformed entries and missing tables, in order', () => {
    const made = bed(MINI);
    map(made.space, { va: 0n, pa: 0n, bytes: 0x4_0000n, attributes: LOOK });
    writeWord(made.memory, phys(made.root + 8n), 0x91n | (1n << 63n));
    writeWord(made.memory, phys(made.root + 16n), mini.encodeTable(2, 0x40n));
    const odd: OddEntry[] = [];
    const seen = mappedRanges(made.space, EVERYTHING, { odd: (entry) => odd.push(entry) }).map(({ start }) => start);
    expect(odd).toEqual([
      {
        va: 0x4_0000n,
        level: 2,
        hardwareLevel: 8,
        slot: made.root + 8n,
        entry: 0x91n | (1n << 63n),
        reasons: ['reserved_63', 'u_without_a'],
        root: 'root',
      },
      {
        va: 0x8_0000n,
        level: 1,
        hardwareLevel: 9,
        slot: 0x40n,
        entry: undefined,
        reasons: ['no_memory'],
        root: 'root',
      },
    ]);
    expect(seen).toEqual([0n]);
    expect(mappedRanges(made.space, EVERYTHING)).toHaveLength(1);
  });

  it('refuse bad ranges and pass over what no root translates', () => {
    const made = bed(MINI);
    for (const range of [
      { start: 0n, end: 0n },
      { start: 1n, end: 0x1000n },
      { start: 0n, end: TWO_64 + 1n },
    ]) {
      expect(thrownBy(() => mappedRanges(made.space, range))).toBeInstanceOf(ArgumentError);
    }
    expect(mappedRanges(made.space, { start: 1n << 21n, end: 1n << 22n })).toEqual([]);
  });
});

describe('eachTable', () => {
  const list = (space: Bed['space'], range = EVERYTHING): TableLink[] => {
    const found: TableLink[] = [];
    eachTable(space, range, (table) => found.push(table));
    return found;
  };

  it('visits roots, then tables in rising order, parents before children', () => {
    const made = bed(MINI);
    for (const va of [0x9000n, 0n, TWO_64 - 0x1000n]) {
      map(made.space, { va, pa: 0n, bytes: 0x1000n, attributes: LOOK, allocator: made.frames });
    }
    const tables = list(made.space);
    expect(tables.map(({ level, va }) => [level, va])).toEqual([
      [2, 0n],
      [1, 0n],
      [0, 0n],
      [0, 0x8000n],
      [1, TWO_64 - 0x4_0000n],
      [0, TWO_64 - 0x8000n],
    ]);
    expect(tables[0]).toEqual({ va: 0n, level: 2, address: made.root, bytes: 64, slot: undefined, root: 'root' });
    for (const { slot, address, level } of tables.slice(1)) {
      expect(readWord(made.memory, slot as never)).toBe(mini.encodeTable(level + 1, address));
    }
    expect(list(made.space, { start: 0x8000n, end: 0x9000n }).map(({ level, va }) => [level, va])).toEqual([
      [2, 0n],
      [1, 0n],
      [0, 0x8000n],
    ]);
  });

  it('tells of every root of several, and of links to tables that are not there', () => {
    const made = bed(MINI);
    writeWord(made.memory, phys(made.root), mini.encodeTable(2, 0x40n));
    expect(list(made.space).map(({ address }) => address)).toEqual([made.root, 0x40n]);
    const low = named('mini, low');
    const high = named('mini, high');
    const space = createSpace(made.memory, [
      { paging: low.paging, address: made.root, label: 'low' },
      { paging: high.paging, address: made.root + 64n, label: 'high' },
    ]);
    expect(list(space).map(({ root, va }) => [root, va])).toEqual([
      ['low', 0n],
      ['low', 0n],
      ['high', TWO_64 - (1n << 21n)],
    ]);
  });

  it('does not need the memory of the root', () => {
    const space = createSpace(bed(MINI).memory, { paging: mini, address: 0x40n });
    expect(list(space)).toHaveLength(1);
    expect(thrownBy(() => map(space, { va: 0n, pa: 0n, bytes: 0x4_0000n, attributes: LOOK }))).toBeInstanceOf(
      MemoryError,
    );
  });
});
