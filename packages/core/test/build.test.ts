/** Tables for lists of regions: what is planned is what is built, and what is built says what was asked. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  ArgumentError,
  adviseTables,
  buildTables,
  leaves,
  OutOfTablesError,
  OverlapError,
  planTables,
  RegionError,
  type RegionRequest,
  reachableTables,
  translate,
} from '../src/index.ts';
import { SUBJECTS } from './formats.ts';
import { numbers, seeds } from './random-tables.ts';
import { toyPaging } from './toy-format.ts';

const paging = toyPaging(3);
const roots = { paging, address: 0x1000n };
const tables = [{ start: 0x1000n, end: 0x10_0000n }];
const region = (
  name: string,
  va: bigint,
  pa: bigint,
  bytes: bigint,
  more: Partial<RegionRequest> = {},
): RegionRequest => {
  return { name, va, pa, bytes, attributes: 0n, ...more };
};

describe('building tables for regions', () => {
  it('takes what the plan says, and maps what was asked', () => {
    fc.assert(
      fc.property(fc.constantFrom(...SUBJECTS), seeds, (subject, seed) => {
        const random = numbers(seed);
        const { paging: own, looks } = subject;
        const { ranges, root } = own.geometry;
        const range = ranges[random(ranges.length)] as { start: number; end: number };
        const page = own.pageBytes;
        let va = BigInt(range.start);
        const regions: RegionRequest[] = [];
        for (let i = 0; i < 4; i++) {
          va += page * BigInt(random(40) * ([1, 7, 64][random(3)] ?? 1));
          const bytes = page * BigInt(1 + random(40));
          if (va + bytes > BigInt(range.end)) break;
          const pa = page * BigInt(random(64));
          regions.push({ name: `r${i}`, va, pa, bytes, attributes: looks[random(3)] ?? {}, runs: random(2) === 0 });
          va += bytes;
        }
        fc.pre(regions.length > 0);
        const description = { paging: own, address: 0n };
        const plan = planTables(description, regions);
        const end = BigInt(root.tableBytes) + plan.tableBytes * 2n;
        const area = { start: 0n, end: end < 1n << 30n ? 1n << 30n : end };
        const usable = 1n << BigInt(Math.min(own.geometry.paBits, 30));
        const built = buildTables({
          roots: description,
          regions,
          tables: [{ start: 0n, end: area.end < usable ? area.end : usable }],
        });
        expect(built.plan).toEqual(plan);
        expect(built.tables).toHaveLength(plan.tables);
        expect(reachableTables(built.space.memory, [description])).toHaveLength(plan.tables);
        plan.regions.forEach(({ name, tables: count }) => {
          expect(built.tables.filter((table) => table.region === name)).toHaveLength(count);
        });
        for (const each of regions) {
          for (let at = 0n; at < each.bytes; at += page) {
            const found = translate(built.space, each.va + at);
            expect(found.mapped && found.pa).toBe(each.pa + at);
          }
        }
        const all = leaves(built.space, { start: 0n, end: 1n << 64n });
        const mapped = all.reduce((sum, leaf) => sum + leaf.end - leaf.start, 0n);
        expect(mapped).toBe(regions.reduce((sum, { bytes }) => sum + bytes, 0n));
      }),
      { numRuns: 150 },
    );
  });

  it('counts tables of single regions: added in turn, and needed by no other', () => {
    const plan = planTables(roots, [
      region('one', 0n, 0n, 0x1000n),
      region('two', 0x2000n, 0n, 0x1000n),
      region('far', 0x4000_0000n, 0n, 0x1000n),
    ]);
    expect(plan.tables).toBe(5);
    expect(plan.regions.map(({ tables: added, own }) => [added, own])).toEqual([
      [2, 0],
      [0, 0],
      [2, 2],
    ]);
    expect(plan.levels.map(({ level, tables: count }) => [level, count])).toEqual([
      [2, 1],
      [1, 2],
      [0, 2],
    ]);
  });

  it('plans terabytes of pages at once', () => {
    const five = toyPaging(5);
    const all = region('all', 0n, 0n, 1n << 46n, { maxLeafBytes: 0x1000n });
    expect(planTables({ paging: five, address: 0n }, [all]).tables).toBe(2 ** 25 + 2 ** 16 + 2 ** 7 + 1 + 1);
  });

  it('advises what a trial shows', () => {
    const regions = [
      region('ragged', 0x4000_0000n, 0x20_0000n, 0x20_1000n),
      region('shifted', 0x8000_1000n, 0x60_0000n, 0x20_0000n),
      region('limited', 0xc000_0000n, 0n, 0x40_0000n, { maxLeafBytes: 0x1000n }),
    ];
    const before = planTables(roots, regions).tables;
    const advice = adviseTables(roots, regions);
    expect(advice.map(({ region: name, kind, saves }) => [name, kind, saves])).toEqual([
      ['shifted', 'move', 3],
      ['limited', 'leaves', 2],
      ['ragged', 'grow', 1],
    ]);
    for (const { region: name, va, pa, bytes, kind, alignBytes, saves } of advice) {
      const changed = regions.map((each) =>
        each.name === name
          ? { ...each, va, pa, bytes, ...(kind === 'leaves' ? { maxLeafBytes: alignBytes } : {}) }
          : each,
      );
      expect(before - planTables(roots, changed).tables).toBe(saves);
    }
  });

  it('does not advise what would overlap or cannot be', () => {
    const regions = [region('low', 0n, 0n, 0x1000n), region('next', 0x1000n, 0x5000n, 0x1000n)];
    expect(adviseTables(roots, regions)).toEqual([]);
  });

  it('passes over places that are taken', () => {
    const regions = [
      region('taken', 0x8000_0000n, 0n, 0x1000n),
      region('shifted', 0x8000_1000n, 0x60_0000n, 0x20_0000n),
    ];
    expect(adviseTables(roots, regions)).toEqual([
      expect.objectContaining({ region: 'shifted', kind: 'move', va: 0x8020_0000n, saves: 1 }),
    ]);
  });

  it('uses several areas in turn, and leaves out the root', () => {
    const areas = [
      { start: 0x1000n, end: 0x3000n },
      { start: 0x8000n, end: 0xa000n },
    ];
    const regions = [region('one', 0n, 0n, 0x1000n), region('far', 0x4000_0000n, 0n, 0x1000n)];
    expect(() => buildTables({ roots, regions, tables: areas })).toThrow(OutOfTablesError);
    const wider = [...areas, { start: 0x2_0000n, end: 0x2_1000n }];
    const built = buildTables({ roots, regions, tables: wider });
    expect(built.tables.map(({ address }) => address)).toEqual([0x1000n, 0x2000n, 0x8000n, 0x9000n, 0x2_0000n]);
  });

  it('refuses with the names of regions', () => {
    const overlap = [
      region('a', 0n, 0n, 0x4000n),
      region('b', 0x8000n, 0n, 0x1000n),
      region('c', 0x3000n, 0n, 0x1000n),
    ];
    expect(() => planTables(roots, overlap)).toThrow(OverlapError);
    expect(() => planTables(roots, overlap)).toThrow(/regions a and c overlap: start 0x3000, end 0x4000/);
    expect(() => planTables(roots, [region('a', 1n, 0n, 0x1000n)])).toThrow(RegionError);
    expect(() => planTables(roots, [region('a', 1n, 0n, 0x1000n)])).toThrow(/^region a: /);
    expect(() => planTables(roots, [region('a', 0n, 0n, 0n)])).toThrow(/region a: a region needs a positive size/);
    expect(() => planTables(roots, [region('a', 0n, 0n, 0x1000n, { maxLeafBytes: 1n })])).toThrow(/region a: no leaf/);
    expect(() => planTables(roots, [region('a', 0n, 0n, 0x1000n), region('a', 0x1000n, 0n, 0x1000n)])).toThrow(
      ArgumentError,
    );
    expect(() => planTables(roots, [region('a', 0n, 0n, 0x1000n, { common: {} })])).toThrow(
      /either attributes or common/,
    );
    expect(() => planTables({ ...roots, fault: 'off' }, [])).toThrow(/nothing is translated by root/);
    const one = [region('a', 0n, 0n, 0x1000n)];
    expect(() => buildTables({ roots, regions: one, tables: [{ start: 5n, end: 5n }] })).toThrow(ArgumentError);
    expect(() => buildTables({ roots, regions: one, tables: [...tables, ...tables] })).toThrow(/overlap/);
    expect(() => buildTables({ roots, regions: one, tables: [{ start: 0x1000n, end: 0x3000n }] })).toThrow(
      /2 tables are needed beside the roots: needed 0x2000, room 0x1000/,
    );
  });
});
