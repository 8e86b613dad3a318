/** Tables that share memory with others, and tables that are linked from two places. */
import { beforeEach, describe, expect, it } from 'vitest';
import { phys } from '../src/address.ts';
import { BumpAllocator, FreeListAllocator, StaticTables } from '../src/allocators.ts';
import { releaseTables } from '../src/change.ts';
import { protect, unmap } from '../src/edit.ts';
import { OutOfTablesError } from '../src/errors.ts';
import { map, planMap } from '../src/map.ts';
import { readWord, SparseMemory, writeWord } from '../src/memory.ts';
import { createPaging } from '../src/paging.ts';
import { type AddressSpace, createSpace } from '../src/space.ts';
import { OccupiedMemory } from '../src/table-guard.ts';
import { countTables, type TableHole, tablesOf } from '../src/table-needs.ts';
import { freeTables } from '../src/tables.ts';
import { translate } from '../src/walk.ts';
import { andedFormat, andedGeometry } from './formats-anded.ts';
import { armShortFormat, armShortGeometry } from './formats-arm.ts';
import { thrownBy } from './model.ts';
import { numbers } from './random-tables.ts';

const PAGE = 0x1000n;
const TWO_MIB = 1n << 21n;
const GIB = 1n << 30n;
const paging = createPaging(andedFormat, andedGeometry(4), { features: ['nx', 'huge'] });
const attributes = { rw: 1 };

function words(memory: SparseMemory, start: bigint, end: bigint): string {
  const all: bigint[] = [];
  for (let at = start; at < end; at += 8n) all.push(readWord(memory, phys(at)));
  return all.join();
}

describe('memory that tables occupy', () => {
  it('is never given twice, compared with a list', () => {
    const random = numbers(7);
    const occupied = new OccupiedMemory();
    const list: [number, number][] = [];
    for (let i = 0; i < 2000; i++) {
      const bytes = 2 ** (5 + random(10));
      const start = random(4096) * 32;
      const free = list.every(([from, to]) => to <= start || from >= start + bytes);
      expect(occupied.take(start, bytes)).toBe(free);
      if (free) list.push([start, start + bytes]);
    }
  });

  it('includes roots of several pages', () => {
    const memory = new SparseMemory([{ start: 0n, end: 0x10_0000n }]);
    const short = createPaging(armShortFormat, armShortGeometry());
    const space = createSpace(memory, { paging: short, address: 0n });
    const request = { va: PAGE, pa: 0n, bytes: PAGE, attributes: 0n };
    const inside = { ...request, allocator: new BumpAllocator(PAGE, 0x10_0000n) };
    expect(thrownBy(() => map(space, inside)).rule).toBe('table-twice');
    expect(words(memory, 0n, 0x8000n).replaceAll(/[0,]/g, '')).toBe('');
    map(space, { ...request, allocator: new BumpAllocator(0x4000n, 0x10_0000n) });
    expect(translate(space, PAGE).mapped).toBe(true);
  });
});

describe('a table that two entries link', () => {
  let memory: SparseMemory;
  let space: AddressSpace;
  let allocator: BumpAllocator;
  /** Two GiB below one table of level 1, by way of the table of level 2 at 0x3000. */
  beforeEach(() => {
    memory = new SparseMemory([{ start: 0n, end: 0x100_0000n }]);
    space = createSpace(memory, { paging, address: PAGE });
    allocator = new BumpAllocator(0x10000n, 0x100_0000n);
    writeWord(memory, phys(PAGE), paging.encodeTable(3, 0x3000n));
    for (const slot of [0x3000n, 0x3008n]) writeWord(memory, phys(slot), paging.encodeTable(2, 0x4000n));
  });

  it('is not mapped into under both addresses', () => {
    for (const maxLeafBytes of [PAGE, TWO_MIB, GIB]) {
      const before = words(memory, PAGE, 0x6000n);
      const request = { va: 0n, pa: 0n, bytes: 2n * GIB, attributes, maxLeafBytes, allocator };
      expect(thrownBy(() => map(space, request)).rule).toBe('shared-table');
      expect(words(memory, PAGE, 0x6000n)).toBe(before);
      expect(allocator.next).toBe(0x10000n);
    }
    // Under one of them it is.
    map(space, { va: 0n, pa: 0n, bytes: TWO_MIB, attributes, maxLeafBytes: TWO_MIB });
    expect(translate(space, GIB + 0x123n)).toMatchObject({ mapped: true, pa: 0x123n });
  });

  it('is not mapped into if it is the root', () => {
    writeWord(memory, phys(PAGE + 8n), paging.encodeTable(3, PAGE));
    const va = (1n << 39n) | (1n << 30n);
    expect(thrownBy(() => map(space, { va, pa: 0n, bytes: PAGE, attributes, allocator })).rule).toBe('shared-table');
  });

  it('is split once, and every table that was taken is told of', () => {
    writeWord(memory, phys(0x4000n), paging.encodeLeaf(1, 0n, attributes));
    writeWord(memory, phys(0x4008n), paging.encodeLeaf(1, TWO_MIB, attributes));
    const range = { start: PAGE, end: GIB + PAGE };
    const change = protect(space, range, { fields: { rw: 0 } }, { holes: 'skip', allocator });
    expect(change.allocated.map(({ address }) => address)).toEqual([0x10000n]);
    expect(allocator.next).toBe(0x11000n);
  });

  it('is not handed out for reuse while one of them is left', () => {
    map(space, { va: 0n, pa: 0n, bytes: TWO_MIB, attributes, maxLeafBytes: PAGE, allocator });
    unmap(space, { start: 0n, end: TWO_MIB });
    const first = freeTables(space, { start: 0n, end: GIB });
    // The table of pages is gone; the one that held its pointer is linked once more.
    expect(first.detached.map(({ address }) => address)).toEqual([0x10000n]);
    expect(readWord(memory, phys(0x3000n))).toBe(0n);
    const second = freeTables(space, { start: GIB, end: 2n * GIB });
    expect(second.detached.map(({ address }) => address)).toEqual([0x4000n]);
    const reuse = new FreeListAllocator();
    releaseTables(first, reuse);
    releaseTables(second, reuse);
    expect(reuse.available(4096)).toEqual([0x10000n, 0x4000n]);
  });

  it('is not handed out by a leaf that takes its place either', () => {
    const change = map(space, { va: 0n, pa: 0n, bytes: GIB, attributes });
    expect(change.detached).toEqual([]);
    expect(map(space, { va: GIB, pa: 0n, bytes: GIB, attributes }).detached).toMatchObject([{ address: 0x4000n }]);
  });
});

describe('a mapping that fails for want of tables', () => {
  const space = createSpace(new SparseMemory([{ start: 0n, end: 0x100_0000n }]), { paging, address: PAGE });
  const request = { va: 0n, pa: 0n, bytes: PAGE, attributes };

  it('uses nothing up', () => {
    const bump = new BumpAllocator(0x2000n, 0x4000n);
    expect(() => map(space, { ...request, allocator: bump })).toThrow(OutOfTablesError);
    expect(bump.next).toBe(0x2000n);
    const pools = [0, 1, 2].map((level) => ({ name: `${level}`, level, addresses: [0x8000n + BigInt(level) * PAGE] }));
    const tables = new StaticTables(pools.slice(1));
    expect(() => map(space, { ...request, allocator: tables })).toThrow(OutOfTablesError);
    expect([tables.left(1), tables.left(2)]).toEqual([1, 1]);
    map(space, { ...request, allocator: new StaticTables(pools) });
  });

  it('fails at once, however much was asked for', () => {
    const bump = new BumpAllocator(0x2_0000n, 0x4_0000n);
    const bytes = 1n << 46n;
    const start = performance.now();
    expect(() => map(space, { va: 1n << 46n, pa: 0n, bytes, attributes, maxLeafBytes: PAGE, allocator: bump })).toThrow(
      OutOfTablesError,
    );
    expect(performance.now() - start).toBeLessThan(1000);
    expect(bump.next).toBe(0x2_0000n);
    const none = thrownBy(() => map(space, { va: 1n << 46n, pa: 0n, bytes, attributes, maxLeafBytes: PAGE }));
    expect(none.values).toMatchObject({ tables: `0x${((1 << 25) + (1 << 16) + (1 << 7)).toString(16)}` });
  });
});

describe('the tables of holes', () => {
  it('are as many as are counted, each once, parents before children', () => {
    const random = numbers(3);
    for (let round = 0; round < 200; round++) {
      const holes: TableHole[] = [];
      let at = 0;
      for (let i = 0; i < 1 + random(4); i++) {
        const from = at + random(600) * 4096;
        const to = from + (1 + random(2000)) * 4096;
        holes.push({ level: random(3), leafLevel: 0, from, to });
        at = to;
      }
      const named = [...tablesOf(paging, holes)];
      expect(countTables(paging, holes)).toBe(named.length);
      const keys = named.map(({ level, va }) => `${level} ${va}`);
      expect(new Set(keys).size).toBe(keys.length);
    }
  });

  it('agree with a plan', () => {
    const space = createSpace(new SparseMemory([{ start: 0n, end: 0x100_0000n }]), { paging, address: PAGE });
    const plan = planMap(space, { va: GIB - PAGE, pa: 0n, bytes: TWO_MIB, attributes, maxLeafBytes: PAGE });
    expect(plan.tables.map(({ level }) => level)).toEqual([2, 1, 0, 1, 0]);
  });
});
