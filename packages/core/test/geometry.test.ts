import { describe, expect, it } from 'vitest';
import { TWO_64 } from '../src/address.ts';
import { FormatError } from '../src/errors.ts';
import { createGeometry, type GeometryDescription } from '../src/geometry.ts';
import { miniGeometry, SUBJECTS } from './formats.ts';
import { arm64Geometry, armShortGeometry, lpaeGeometry } from './formats-arm.ts';
import { refCanonical, thrownBy } from './model.ts';
import { numbers, someAddress } from './random-tables.ts';

const two: GeometryDescription = {
  name: 'two',
  levels: [
    { shift: 12, indexBits: 9 },
    { shift: 21, indexBits: 9 },
  ],
  vaBits: 30,
  paBits: 40,
};

describe('geometries', () => {
  it('are complete: what is left out is counted from the leaves', () => {
    const geometry = createGeometry(two, 8);
    expect(geometry).toMatchObject({ title: 'two', wordBits: 64, upper: 'sign', ignored: undefined, features: [] });
    expect(geometry.levels[1]).toEqual({
      level: 1,
      shift: 21,
      indexBits: 9,
      entries: 512,
      tableBytes: 4096,
      alignBytes: 4096,
      entrySpan: 0x20_0000,
      hardware: 1,
      name: 'level 1',
      leafName: '',
    });
    expect(geometry.root).toBe(geometry.levels[1]);
    expect(createGeometry(two, 4).levels[0]).toMatchObject({ tableBytes: 2048, alignBytes: 2048 });
  });

  it('have roots that are partial, concatenated, or aligned to more than their size', () => {
    expect(createGeometry(arm64Geometry(14, 48), 8).root).toMatchObject({ entries: 2, tableBytes: 16, alignBytes: 16 });
    expect(createGeometry(arm64Geometry(14, 48, { features: ['wide'] }), 8).root).toMatchObject({
      tableBytes: 16,
      alignBytes: 64,
    });
    expect(createGeometry(arm64Geometry(12, 40, { concatenated: 1 }), 8).root).toMatchObject({
      level: 2,
      entries: 1024,
      tableBytes: 8192,
      alignBytes: 8192,
    });
    expect(createGeometry(arm64Geometry(16, 52), 8).root).toMatchObject({ entries: 1024, shift: 42, hardware: 1 });
    expect(createGeometry(arm64Geometry(12, 52), 8).root).toMatchObject({ entries: 16, shift: 48, hardware: -1 });
    expect(createGeometry(armShortGeometry(30), 4).root).toMatchObject({ entries: 1024, tableBytes: 4096 });
  });

  it('translate the ranges that their upper bits allow', () => {
    const ranges = (description: GeometryDescription): [number, number][] =>
      createGeometry(description, 8).ranges.map(({ start, end }) => [start, end]);
    const top = Number(TWO_64);
    expect(ranges(miniGeometry(3))).toEqual([
      [0, 2 ** 20],
      [top - 2 ** 20, top],
    ]);
    expect(ranges(miniGeometry(3, { upper: 'zero' }))).toEqual([[0, 2 ** 21]]);
    expect(ranges(miniGeometry(3, { upper: 'one' }))).toEqual([[top - 2 ** 21, top]]);
    expect(ranges(lpaeGeometry(0, 'one'))).toEqual([[0, 2 ** 32]]);
    expect(ranges(lpaeGeometry(2, 'one'))).toEqual([[3 * 2 ** 30, 2 ** 32]]);
    expect(ranges({ ...two, wordBits: 32 })).toEqual([
      [0, 2 ** 29],
      [2 ** 32 - 2 ** 29, 2 ** 32],
    ]);
    const full = { ...two, levels: [{ shift: 12, indexBits: 52 }], vaBits: 64 } as const;
    expect(ranges(full)).toEqual([[0, top]]);
  });

  it('agree with the rule for upper bits, address by address', () => {
    for (const subject of SUBJECTS) {
      const random = numbers(1);
      const tags = subject.geometry.ignored === undefined ? 0 : 1;
      for (let i = 0; i < 200 && tags === 0; i++) {
        const va = someAddress(subject, random);
        const inside = subject.paging.geometry.ranges.some(({ start, end }) => va >= BigInt(start) && va < BigInt(end));
        expect(inside).toBe(refCanonical(subject, va) !== undefined);
      }
    }
  });

  it.each<[string, Partial<GeometryDescription>, string]>([
    ['no levels', { levels: [] }, 'level-count'],
    [
      'six levels',
      { levels: Array.from({ length: 6 }, (_, i) => ({ shift: 12 + i, indexBits: 1 })), vaBits: 18 },
      'level-count',
    ],
    [
      'a gap',
      {
        levels: [
          { shift: 12, indexBits: 9 },
          { shift: 22, indexBits: 8 },
        ],
      },
      'radix-gap',
    ],
    [
      'an overlap',
      {
        levels: [
          { shift: 12, indexBits: 9 },
          { shift: 20, indexBits: 10 },
        ],
      },
      'radix-gap',
    ],
    ['too few bits', { vaBits: 31 }, 'radix-cover'],
    ['too many bits', { vaBits: 29 }, 'radix-cover'],
    ['small pages', { levels: [{ shift: 11, indexBits: 19 }] }, 'page-size'],
    ['an index without bits', { levels: [{ shift: 12, indexBits: 0 }], vaBits: 12 }, 'index-bits'],
    ['an index of half a bit', { levels: [{ shift: 12, indexBits: 0.5 }], vaBits: 12.5 }, 'index-bits'],
    ['odd alignment', { levels: [{ shift: 12, indexBits: 18, alignBytes: 24 }] }, 'align'],
    ['addresses wider than the word', { levels: [{ shift: 12, indexBits: 24 }], vaBits: 36, wordBits: 32 }, 'va-bits'],
    ['physical addresses beyond 56 bits', { paBits: 57 }, 'pa-bits'],
  ])('refuse %s', (_, more, rule) => {
    const error = thrownBy(() => createGeometry({ ...two, ...more }, 8));
    expect(error).toBeInstanceOf(FormatError);
    expect(error.rule).toBe(rule);
    expect(error.message).toContain('two: ');
  });
});
