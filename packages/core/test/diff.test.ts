import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type AddressSpace,
  BumpAllocator,
  createPaging,
  createSpace,
  type Difference,
  diffSpaces,
  map,
  phys,
  type Shape,
  SparseMemory,
  translate,
  unmap,
  writeWord,
} from '../src/index.ts';
import { miniFormat, miniGeometry } from './formats.ts';
import { toyPaging } from './toy-format.ts';

const ALL = { start: 0n, end: 1n << 64n };
const SPAN = 2n ** 21n;

/** A space of its own memory, with its tables from an address on. */
function empty(levels: number, tables = 0x10_0000n): { space: AddressSpace; allocator: BumpAllocator } {
  const allocator = new BumpAllocator(tables + 0x1000n, tables + 0x80_0000n);
  return { space: createSpace(new SparseMemory(), { paging: toyPaging(levels), address: tables }), allocator };
}

function short({ kind, start, end, a, b, changed }: Difference): string {
  return [kind, start.toString(16), end.toString(16), a?.pa.toString(16), b?.pa.toString(16), changed.join('+')].join(
    ' ',
  );
}

describe('comparing address spaces', () => {
  it('finds nothing between spaces that map the same from different tables and memories', () => {
    const [one, two] = [empty(4), empty(4, 0x90_0000n)];
    for (const { space, allocator } of [one, two]) {
      map(space, { va: 0x40_0000n, pa: 0x8000_0000n, bytes: 5n * SPAN + 0x3000n, attributes: 0n, allocator });
    }
    expect(diffSpaces(one.space, two.space, ALL)).toEqual({ differences: [], truncated: false });
  });

  it('says what only one side maps, and what changed in what', () => {
    const [one, two] = [empty(4), empty(4)];
    map(one.space, { va: 0x1000n, pa: 0x5000n, bytes: 0x3000n, attributes: 0n, allocator: one.allocator });
    map(two.space, { va: 0x2000n, pa: 0x6000n, bytes: 0x1000n, attributes: 0n, allocator: two.allocator });
    map(two.space, { va: 0x3000n, pa: 0x9000n, bytes: 0x2000n, attributes: 0n, allocator: two.allocator });
    expect(diffSpaces(one.space, two.space, ALL).differences.map(short)).toEqual([
      'only-a 1000 2000 5000  ',
      'changed 3000 4000 7000 9000 pa',
      'only-b 4000 5000  a000 ',
    ]);
  });

  it('tells leaves of another size apart and folds them', () => {
    const [one, two] = [empty(4), empty(4)];
    const request = { va: 0n, pa: 0x8000_0000n, bytes: 2n * SPAN, attributes: 0n };
    map(one.space, { ...request, allocator: one.allocator });
    map(two.space, { ...request, maxLeafBytes: 0x1000n, allocator: two.allocator });
    const { differences } = diffSpaces(one.space, two.space, ALL);
    expect(differences.map(short)).toEqual(['changed 0 400000 80000000 80000000 level']);
    expect([differences[0]?.a?.level, differences[0]?.b?.level]).toEqual([1, 0]);
  });

  it('sees tables that act on other fields, though with the same values', () => {
    const mini = {
      ...miniFormat,
      shapes: miniFormat.shapes.map((shape): Shape => {
        if (shape.kind !== 'table') return shape;
        const effect = { field: 'tnx', op: 'or' } as const;
        return {
          ...shape,
          effects: [
            { ...effect, on: 'nx', when: ['flat'] },
            { ...effect, on: 'w', when: ['!flat'] },
          ],
        };
      }),
    };
    const spaces = [['flat'], []].map((features) => {
      const paging = createPaging(mini, miniGeometry(3), { features });
      const space = createSpace(new SparseMemory(), { paging, address: 0x1000n });
      const allocator = new BumpAllocator(0x1040n, 0x2000n);
      map(space, { va: 0n, pa: 0n, bytes: 0x1000n, attributes: { a: 1 }, tableAttributes: { tnx: 1 }, allocator });
      return space;
    }) as [AddressSpace, AddressSpace];
    expect(diffSpaces(...spaces, { start: 0n, end: 0x1000n }).differences.map(({ changed }) => changed)).toEqual([
      ['attributes'],
    ]);
  });

  it('compares spaces with different numbers of levels', () => {
    const [one, two] = [empty(3), empty(5)];
    for (const { space, allocator } of [one, two]) {
      map(space, { va: 0x7000n, pa: 0x5000n, bytes: SPAN, attributes: 0n, allocator });
    }
    expect(diffSpaces(one.space, two.space, ALL).differences).toEqual([]);
    unmap(two.space, { start: 0x8000n, end: 0x9000n });
    expect(diffSpaces(one.space, two.space, ALL).differences.map(short)).toEqual(['only-a 8000 9000 6000  ']);
  });

  it('stops at a limit, and keeps to a range', () => {
    const [one, two] = [empty(4), empty(4)];
    for (let i = 0n; i < 10n; i++) {
      map(one.space, { va: i * 0x2000n, pa: 0x5000n, bytes: 0x1000n, attributes: 0n, allocator: one.allocator });
    }
    expect(diffSpaces(one.space, two.space, ALL, { limit: 3 })).toMatchObject({ truncated: true });
    expect(diffSpaces(one.space, two.space, { start: 0x2000n, end: 0x6000n }).differences.length).toBe(2);
  });

  it('looks at tables that many entries share only once', () => {
    const [one, two] = [empty(5), empty(5)];
    for (const { space } of [one, two]) {
      const paging = space.roots[0]?.paging;
      if (paging === undefined) continue;
      // A table at each level below the root, all of whose entries lead to the next, the last to one page: 2^45 pages.
      for (let level = 4; level >= 0; level--) {
        const table = 0x10_0000n + BigInt(4 - level) * 0x1000n;
        const word = level === 0 ? paging.encodeLeaf(0, 0x5000n, 0n) : paging.encodeTable(level, table + 0x1000n);
        for (let i = 0n; i < 512n; i++) writeWord(space.memory, phys(table + i * 8n), word);
      }
    }
    expect(diffSpaces(one.space, two.space, ALL).differences).toEqual([]);
    writeWord(two.space.memory, phys(0x10_0000n), 0n);
    expect(diffSpaces(one.space, two.space, ALL, { limit: 5 }).truncated).toBe(true);
  });

  it('agrees page by page with translating both sides (random mappings)', () => {
    const piece = fc.record({
      page: fc.integer({ min: 0, max: 1200 }),
      pages: fc.integer({ min: 1, max: 600 }),
      to: fc.integer({ min: 0, max: 3 }),
      small: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 4 }), fc.array(piece, { maxLength: 4 }), (forA, forB) => {
        const [one, two] = [empty(3), empty(4)];
        for (const [{ space, allocator }, list] of [
          [one, forA],
          [two, forB],
        ] as const) {
          for (const { page, pages, to, small } of list) {
            const va = BigInt(page) * 0x1000n;
            map(space, {
              va,
              pa: va + BigInt(to) * SPAN,
              bytes: BigInt(pages) * 0x1000n,
              attributes: 0n,
              existing: 'keep',
              allocator,
              ...(small ? { maxLeafBytes: 0x1000n } : {}),
            });
          }
        }
        const { differences } = diffSpaces(one.space, two.space, ALL);
        for (let page = 0n; page < 1900n; page++) {
          const [a, b] = [translate(one.space, page * 0x1000n), translate(two.space, page * 0x1000n)];
          const same =
            a.mapped === b.mapped && (!a.mapped || !b.mapped || (a.pa === b.pa && a.leafBytes === b.leafBytes));
          const found = differences.filter(({ start, end }) => page * 0x1000n >= start && page * 0x1000n < end);
          expect([page, found.length]).toEqual([page, same ? 0 : 1]);
          if (found[0]?.a !== undefined && a.mapped) {
            expect(found[0].a.pa + page * 0x1000n - found[0].start).toBe(a.pa);
          }
        }
      }),
      { numRuns: 15, seed: 3 },
    );
  });
});
