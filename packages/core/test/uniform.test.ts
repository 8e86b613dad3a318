/** Regions that share a handful of tables are one range, whatever their size, and say what they map. */
import { describe, expect, test } from 'vitest';
import { createSpace, mappedRanges, phys, SparseMemory, translate, writeWord } from '../src/index.ts';
import { toyPaging } from './toy-format.ts';

const ROOT = 0x1000n;
const TABLES = [0x2000n, 0x3000n, 0x4000n] as const;
const PAGE = 0x9000n;

/** Four levels: every root entry of a range points to one table, each of whose entries points to the next, and so on. */
function sharedTree(first: number, count: number): ReturnType<typeof createSpace> {
  const memory = new SparseMemory([{ start: 0n, end: 0x10_0000n }]);
  const space = createSpace(memory, { paging: toyPaging(4), address: ROOT });
  const fill = (table: bigint, word: bigint, from = 0, entries = 512): void => {
    for (let i = from; i < from + entries; i++) writeWord(memory, phys(table + BigInt(i * 8)), word);
  };
  fill(ROOT, TABLES[0] | 3n, first, count);
  fill(TABLES[0], TABLES[1] | 3n);
  fill(TABLES[1], TABLES[2] | 3n);
  fill(TABLES[2], PAGE | 1n);
  return space;
}

describe('uniform tables', () => {
  test('terabytes of one page are one range', () => {
    const space = sharedTree(2, 32);
    const span = 1n << 39n;
    const found = mappedRanges(space, { start: 0n, end: 1n << 48n });
    expect(found).toHaveLength(1);
    expect(found[0]).toMatchObject({
      start: 2n * span,
      end: 34n * span,
      pa: PAGE,
      repeats: true,
      level: 0,
      entries: 2 ** 32,
    });
    for (const va of [2n * span, 5n * span + 0x1234_5678n, 34n * span - 1n]) {
      expect(translate(space, va)).toMatchObject({ mapped: true, pa: PAGE + (va % 4096n) });
    }
  });

  test('a boundary cuts it, a range clips it', () => {
    const space = sharedTree(0, 1);
    const at = 0x4000_1000n;
    const cut = mappedRanges(space, { start: 0x1000n, end: 1n << 39n }, { boundaries: [at] });
    expect(cut.map(({ start, end, repeats }) => [start, end, repeats])).toEqual([
      [0x1000n, at, true],
      [at, 1n << 39n, true],
    ]);
  });

  test('tables that are all empty are passed over, and a table that differs in one entry is not uniform', () => {
    const space = sharedTree(0, 1);
    const { memory } = space;
    for (let i = 0n; i < 512n; i++) writeWord(memory, phys(TABLES[2] + i * 8n), 0n);
    expect(mappedRanges(space, { start: 0n, end: 1n << 48n })).toEqual([]);
    writeWord(memory, phys(TABLES[2] + 8n), PAGE | 1n);
    const found = mappedRanges(space, { start: 0n, end: 1n << 22n });
    expect(found.map(({ start, repeats }) => [start, repeats])).toEqual([
      [0x1000n, false],
      [0x20_1000n, false],
    ]);
  });
});
