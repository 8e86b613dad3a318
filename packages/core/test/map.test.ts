import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { phys, TWO_64 } from '../src/address.ts';
import { ArgumentError, MalformedEntryError } from '../src/errors.ts';
import { planLeaves } from '../src/leaf-plan.ts';
import { leaves, mappedRanges } from '../src/leaves.ts';
import { type MapRequest, map, planMap } from '../src/map.ts';
import { readWord, writeWord } from '../src/memory.ts';
import { createPaging } from '../src/paging.ts';
import { createSpace } from '../src/space.ts';
import { translate } from '../src/walk.ts';
import { named, SUBJECTS } from './formats.ts';
import { armShortFormat, armShortGeometry } from './formats-arm.ts';
import { ask, MINI } from './mini-bed.ts';
import { bed, Frames, refused, SmallMemory } from './model.ts';
import { allRanges } from './operations.ts';
import { numbers, seeds } from './random-tables.ts';

const SHORT = named('short');

describe('planLeaves', () => {
  it('places at each address the largest leaf that fits, as doing it one by one would', () => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const random = numbers(seed);
        const sizes = [1, 2, 4, 8, 64]
          .filter((size) => size === 1 || random(3) > 0)
          .map((size) => ({ leafBytes: size * 4096 }));
        const va = random(200) * 4096;
        const pa = random(200) * 4096 + (random(2) === 0 ? 2 ** 56 - 2 ** 21 : 0);
        const bytes = (random(300) + 1) * 4096;
        const expected: [number, number, number][] = [];
        for (let done = 0; done < bytes; ) {
          const { leafBytes } = [...sizes]
            .reverse()
            .find(
              (size) =>
                (va + done) % size.leafBytes === 0 &&
                (pa + done) % size.leafBytes === 0 &&
                done + size.leafBytes <= bytes,
            ) as { leafBytes: number };
          expected.push([va + done, pa + done, leafBytes]);
          done += leafBytes;
        }
        const rows = planLeaves(sizes, va, pa, bytes) ?? [];
        const got = rows.flatMap((row) =>
          Array.from({ length: row.count }, (_, i) => {
            const at = i * row.size.leafBytes;
            return [row.va + at, row.pa + at, row.size.leafBytes];
          }),
        );
        expect(got).toEqual(expected);
      }),
    );
  });

  it('gives up where no size fits', () => {
    expect(planLeaves([{ leafBytes: 8192 }], 0, 4096, 8192)).toBeUndefined();
    expect(planLeaves([], 0, 0, 4096)).toBeUndefined();
  });
});

describe('map', () => {
  it('makes the leaves and asks for the tables that planMap tells, in that order', () => {
    for (const subject of SUBJECTS) {
      const made = bed(subject, 64);
      const { paging } = subject;
      const range = allRanges(subject).at(-1) as { start: bigint; end: bigint };
      const page = paging.pageBytes;
      const large = paging.leafChoices.filter(({ runEntries }) => runEntries === 1).at(-1)?.leafBytes ?? page;
      const bytes = large * 2n > range.end - range.start ? range.end - range.start : large + page * 3n;
      const request = {
        va: range.end - bytes,
        pa: (1n << BigInt(subject.format.entryBytes === 4 ? 32 : paging.geometry.paBits)) - bytes,
        bytes,
        attributes: subject.looks[0],
        allocator: made.frames,
      };
      const plan = planMap(made.space, request);
      expect(made.frames.requests).toEqual([]);
      const change = map(made.space, request);
      expect(made.frames.requests.map(({ level, va, bytes: size }) => ({ level, va, bytes: size }))).toEqual(
        plan.tables,
      );
      expect(change.allocated.map(({ level, va }) => [level, va])).toEqual(plan.tables.map((t) => [t.level, t.va]));
      expect(plan.tableBytes).toBe(plan.tables.reduce((sum, table) => sum + BigInt(table.bytes), 0n));
      const made1 = leaves(made.space, range);
      const planned = plan.leaves.flatMap(({ va, pa, leaf, count }) =>
        Array.from({ length: count * leaf.runEntries }, (_, i) => {
          const at = BigInt(i) * leaf.entryBytes;
          return [va + at, pa + at, leaf.level, leaf.shape, leaf.leafBytes];
        }),
      );
      expect(made1.map(({ start, pa, level, shape, leafBytes }) => [start, pa, level, shape, leafBytes])).toEqual(
        planned,
      );
      expect(change.entries).toBe(planned.length);
      expect(change.detached).toEqual([]);
    }
  });

  it('reaches the first and the last page of every half, with the largest physical address', () => {
    for (const subject of SUBJECTS) {
      const made = bed(subject, 64);
      const page = subject.paging.pageBytes;
      const top = 1n << BigInt(subject.format.entryBytes === 4 ? 32 : subject.paging.geometry.paBits);
      for (const { start, end } of allRanges(subject)) {
        for (const va of [start, end - page]) {
          map(made.space, { va, pa: top - page, bytes: page, attributes: subject.looks[1], allocator: made.frames });
          expect(translate(made.space, va + page - 1n)).toMatchObject({ mapped: true, pa: top - 1n, level: 0 });
        }
      }
    }
  });

  it('maps whole halves and the end of the address space', () => {
    const made = bed(MINI);
    const half = 1n << 20n;
    const first = map(made.space, ask(made, { va: TWO_64 - half, bytes: half }));
    expect(first.invalidate).toEqual([
      {
        start: TWO_64 - half,
        end: TWO_64,
        cause: 'installed',
        level: 2,
        strideBytes: 0x4_0000n,
        tables: false,
      },
    ]);
    expect(first.allocated).toEqual([]);
    map(made.space, ask(made, { bytes: half, pa: half }));
    expect(mappedRanges(made.space, { start: 0n, end: TWO_64 }).map(({ start, end, pa }) => [start, end, pa])).toEqual([
      [0n, half, half],
      [TWO_64 - half, TWO_64, 0n],
    ]);
  });

  it('crosses from one root to the next', () => {
    const { paging } = SHORT;
    const quarter = createPaging(armShortFormat, armShortGeometry(30));
    const memory = new SmallMemory(0n, 0x10_0000, 64);
    const frames = new Frames(0x8000n, 0x10_0000n);
    const space = createSpace(memory, [
      { paging: quarter, address: 0x1000n, label: 'TTBR0' },
      { paging, address: 0x4000n, label: 'TTBR1', ranges: [{ start: 1n << 30n, end: 1n << 32n }] },
    ]);
    const va = (1n << 30n) - 0x10_1000n;
    const change = map(space, { va, pa: 0xf_f000n, bytes: 0x20_2000n, attributes: { ap: 3 }, allocator: frames });
    expect(change.allocated.map(({ level, va: at }) => [level, at])).toEqual([
      [0, (1n << 30n) - 0x20_0000n],
      [0, (1n << 30n) + 0x10_0000n],
    ]);
    expect(
      mappedRanges(space, { start: 0n, end: 1n << 32n }).map(({ start, root, shape }) => [start, root, shape]),
    ).toEqual([
      [va, 'TTBR0', 'small'],
      [(1n << 30n) - 0x10_0000n, 'TTBR0', 'section'],
      [1n << 30n, 'TTBR1', 'section'],
      [(1n << 30n) + 0x10_0000n, 'TTBR1', 'small'],
    ]);
    // Index 1024 of the full table, not index 0: the second root is not shifted.
    expect(readWord(memory, phys(0x4000n + 4096n), 4) & 3n).toBe(2n);
  });

  it('writes runs whole: identical words where the address is shared, own addresses otherwise', () => {
    const shared = bed(SHORT);
    map(shared.space, { va: 0n, pa: 0x100_0000n, bytes: 0x100_0000n, attributes: { ap: 1, tex: 5 } });
    const words = Array.from({ length: 16 }, (_, i) => readWord(shared.memory, phys(shared.root + BigInt(4 * i)), 4));
    expect(new Set(words)).toEqual(new Set([0x104_5402n]));
    const own = bed(MINI);
    map(own.space, ask(own, { bytes: 0x1_0000n, pa: 0x1_0000n }));
    const [, table] = [...own.frames.live.keys(), ...own.frames.live.keys()];
    expect([0n, 8n].map((at) => readWord(own.memory, phys((table as bigint) + at)))).toEqual([
      (0x1_0000n << 8n) | 0xcdn,
      (0x1_8000n << 8n) | 0xcdn,
    ]);
  });

  it('limits leaves and runs as asked', () => {
    const shapes = (more: Partial<MapRequest>): string[] => {
      const made = bed(MINI);
      map(made.space, ask(made, { bytes: 0x4_0000n, ...more }));
      return mappedRanges(made.space, { start: 0n, end: 0x4_0000n }).map(({ shape }) => shape);
    };
    expect(shapes({})).toEqual(['block']);
    expect(shapes({ maxLeafBytes: 0x3_ffffn })).toEqual(['block-pair']);
    expect(shapes({ maxLeafBytes: 0x8000n })).toEqual(['block']);
    expect(shapes({ maxLeafBytes: 0x4000n })).toEqual(['page-run']);
    expect(shapes({ maxLeafBytes: 0x4000n, runs: false })).toEqual(['page']);
  });

  it('asks for attributes once for each kind of leaf, and of pointers by their level', () => {
    const made = bed(MINI);
    const asked: string[] = [];
    const levels: number[] = [];
    map(made.space, {
      ...ask(made, { va: 0x7000n, pa: 0x7000n, bytes: 0xb000n }),
      attributes: ({ shape, level, runEntries, leafBytes, entryBytes }) => {
        asked.push(shape);
        expect(leafBytes).toBe(entryBytes * BigInt(runEntries));
        return level === 0 ? { a: 1, soft: 1 } : { a: 1, soft: 2 };
      },
      tableAttributes: (level) => {
        levels.push(level);
        return level === 2 ? { nowrite: 1 } : 0n;
      },
    });
    expect(asked).toEqual(['page', 'block']);
    expect(new Set(levels)).toEqual(new Set([1, 2]));
    const ranges = mappedRanges(made.space, { start: 0n, end: 0x2_0000n });
    expect(ranges.map(({ shape, fields }) => [shape, fields.soft])).toEqual([
      ['page', 1],
      ['block', 2],
      ['page', 1],
    ]);
    expect(ranges[0]?.effects).toContainEqual({ on: 'w', op: 'clear', value: 1 });
    expect(ranges[0]?.effects).toContainEqual({ on: 'u', op: 'and', value: 0 });
  });

  it('makes pointers that limit nothing if nothing is said of them', () => {
    for (const subject of SUBJECTS) {
      const made = bed(subject);
      const va = allRanges(subject)[0]?.start ?? 0n;
      const bytes = subject.paging.pageBytes;
      for (const look of subject.looks) {
        map(made.space, { va, pa: 0n, bytes, attributes: look, allocator: made.frames });
        const found = translate(made.space, va);
        expect(found).toMatchObject({ mapped: true, fields: look });
        if (found.mapped) writeWord(made.memory, found.slot, 0n, subject.format.entryBytes);
      }
    }
  });

  it('zeroes a table before it is linked', () => {
    const made = bed(MINI, 32);
    for (let at = made.root + 64n; at < made.root + 0x400n; at += 8n) writeWord(made.memory, phys(at), 0xffffn);
    map(made.space, ask(made));
    expect(mappedRanges(made.space, { start: 0n, end: 1n << 20n }).map(({ start, end }) => [start, end])).toEqual([
      [0n, 0x1000n],
    ]);
  });

  it('replaces an empty table where a leaf goes, with all below it, and hands it back', () => {
    const made = bed(MINI);
    map(made.space, ask(made));
    const [upper, lower] = [...made.frames.live.keys()];
    const slot = readWord(made.memory, phys(made.root));
    expect(slot).not.toBe(0n);
    writeWord(made.memory, phys(lower as bigint), 0n);
    const change = map(made.space, ask(made, { bytes: 0x4_0000n }));
    expect(change.detached.map(({ address, level, va }) => [address, level, va])).toEqual([
      [upper, 1, 0n],
      [lower, 0, 0n],
    ]);
    expect(change.allocated).toEqual([]);
    const stale = change.invalidate.filter(({ tables }) => tables);
    expect(stale.map(({ start, end }) => [start, end])).toEqual([
      [0n, 0x4_0000n],
      [0n, 0x8000n],
    ]);
    expect(stale.every(({ cause }) => cause !== 'installed')).toBe(true);
    expect(change.invalidate.some(({ cause }) => cause === 'installed')).toBe(true);
    expect(translate(made.space, 0x3_ffffn)).toMatchObject({ mapped: true, level: 2 });
  });

  it('tells what is to be invalidated in rising order', () => {
    const made = bed(MINI);
    map(made.space, ask(made, { va: 0x8000n }));
    const [, lower] = [...made.frames.live.keys()];
    writeWord(made.memory, phys(lower as bigint), 0n);
    const { invalidate } = map(made.space, ask(made, { bytes: 0x1_0000n, runs: false }));
    const starts = invalidate.map(({ start }) => start);
    expect(starts).toEqual([...starts].sort((a, b) => Number(a - b)));
  });
});

describe('map keeps what exists', () => {
  it('fills the holes in tables and around them, and changes nothing that stands', () => {
    const made = bed(MINI);
    map(made.space, ask(made, { va: 0x3000n, pa: 0x7_3000n, bytes: 0x2000n }));
    const change = map(made.space, ask(made, { bytes: 0x4_0000n, existing: 'keep', attributes: { a: 1, nx: 1 } }));
    expect(change.detached).toEqual([]);
    expect(
      mappedRanges(made.space, { start: 0n, end: 1n << 20n }).map(({ start, pa, shape }) => [start, pa, shape]),
    ).toEqual([
      [0n, 0n, 'page'],
      [0x3000n, 0x7_3000n, 'page'],
      [0x5000n, 0x5000n, 'page'],
      [0x8000n, 0x8000n, 'block'],
      [0x1_0000n, 0x1_0000n, 'block-pair'],
    ]);
  });

  it('makes no run around something that is kept', () => {
    const made = bed(MINI);
    map(made.space, ask(made, { va: 0x5000n, pa: 0x7_3000n }));
    map(made.space, ask(made, { bytes: 0x8000n, existing: 'keep' }));
    expect(leaves(made.space, { start: 0n, end: 0x8000n }).map(({ shape }) => shape)).toEqual([
      ...Array.from({ length: 4 }, () => 'page-run'),
      ...Array.from({ length: 4 }, () => 'page'),
    ]);
  });

  it('leaves software entries alone and uses empty tables as they are', () => {
    const made = bed(MINI);
    map(made.space, ask(made));
    const [, lower] = [...made.frames.live.keys()] as [bigint, bigint];
    writeWord(made.memory, phys(lower), 0n);
    writeWord(made.memory, phys(lower + 16n), 0xabc0n);
    const change = map(made.space, ask(made, { bytes: 0x8000n, existing: 'keep' }));
    expect(change).toMatchObject({ allocated: [], detached: [], entries: 7 });
    expect(readWord(made.memory, phys(lower + 16n))).toBe(0xabc0n);
  });

  it('does nothing where everything exists, and still refuses malformed entries', () => {
    const made = bed(MINI);
    map(made.space, ask(made, { bytes: 0x8000n }));
    const words = made.memory.snapshot();
    expect(map(made.space, ask(made, { bytes: 0x8000n, existing: 'keep' })).entries).toBe(0);
    expect(made.memory.snapshot()).toEqual(words);
    writeWord(made.memory, phys(made.root), 5n);
    const error = refused(made, () => map(made.space, ask(made, { existing: 'keep' })));
    expect(error).toBeInstanceOf(MalformedEntryError);
  });
});

describe('leaves that cannot hold an address', () => {
  const made = bed(SHORT);
  const attributes = { ap: 1 };

  it('are not used: above 4 GiB there are only supersections', () => {
    map(made.space, { va: 0x100_0000n, pa: 0x8_0100_0000n, bytes: 0x100_0000n, attributes, allocator: made.frames });
    expect(translate(made.space, 0x1ff_ffffn)).toMatchObject({ pa: 0x8_01ff_ffffn, shape: 'supersection' });
    const error = refused(made, () =>
      map(made.space, { va: 0x200_0000n, pa: 0x8_0200_0000n, bytes: 0x10_0000n, attributes, allocator: made.frames }),
    );
    expect(error).toBeInstanceOf(ArgumentError);
    expect(error.rule).toBe('map-size');
  });

  it('neither are tables that a pointer cannot hold', () => {
    const memory = new SmallMemory(0x1_0000_0000n, 0x1_0000, 64);
    const high = createSpace(memory, { paging: SHORT.paging, address: 0x1_0000_0000n });
    const frames = new Frames(0x1_0000_4000n, 0x1_0001_0000n);
    const error = refused({ memory, frames }, () =>
      map(high, { va: 0n, pa: 0n, bytes: 0x1000n, attributes, allocator: frames }),
    );
    expect(error.rule).toBe('physical-address');
  });
});
