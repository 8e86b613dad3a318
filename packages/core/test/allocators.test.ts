import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { phys, virt } from '../src/address.ts';
import type { TableAllocator, TableRequest } from '../src/allocator.ts';
import { BumpAllocator, FreeListAllocator, RecordingAllocator, StaticTables } from '../src/allocators.ts';
import { OutOfTablesError, PagefoldError } from '../src/errors.ts';
import { rangeOfSize } from '../src/range.ts';
import { TableCounter } from '../src/table-counter.ts';
import { shortPaging, toyPaging } from './toy-format.ts';

const request = (level: number, bytes = 4096, va = 0n, alignBytes = bytes): TableRequest => ({
  level,
  va: virt(va),
  bytes,
  alignBytes,
});

function rule(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    expect(error).toBeInstanceOf(PagefoldError);
    return (error as PagefoldError).rule;
  }
  return 'none';
}

describe('bump areas', () => {
  it('go upwards, aligned, and stay unused when a request does not fit', () => {
    const bump = new BumpAllocator(0x1800n, 0x6000n);
    expect(bump.allocate(request(0))).toBe(0x2000n);
    expect(bump.allocate(request(0, 1024))).toBe(0x3000n);
    expect(bump.allocate(request(1, 4096))).toBe(0x4000n);
    expect(rule(() => bump.allocate(request(1, 8192)))).toBe('bump-exhausted');
    expect(bump.next).toBe(0x5000n);
    expect(bump.allocate(request(0))).toBe(0x5000n);
    expect(() => bump.allocate(request(0))).toThrow(OutOfTablesError);
    // Only the last table comes back.
    bump.free(phys(0x4000n), request(1));
    expect(() => bump.allocate(request(0))).toThrow(/0x6000/);
    bump.free(phys(0x5000n), request(0));
    expect(bump.next).toBe(0x5000n);
    expect(bump.allocate(request(0))).toBe(0x5000n);
  });

  it('never hand out the same byte twice', () => {
    const sizes = fc.array(fc.tuple(fc.constantFrom(1024, 4096, 16384), fc.constantFrom(1024, 4096, 16384)));
    fc.assert(
      fc.property(sizes, (list) => {
        const bump = new BumpAllocator(0x1400n, 1n << 40n);
        let end = 0x1400n;
        for (const [bytes, align] of list) {
          const at = bump.allocate(request(0, bytes, 0n, align));
          expect(at % BigInt(align)).toBe(0n);
          expect(at).toBeGreaterThanOrEqual(end);
          end = at + BigInt(bytes);
        }
      }),
    );
  });

  it('refuse nonsense', () => {
    expect(rule(() => new BumpAllocator(0x2000n, 0x2000n))).toBe('range-empty');
    const bump = new BumpAllocator(0n, 0x8000n);
    expect(rule(() => bump.allocate(request(0, 0)))).toBe('table-request');
    expect(rule(() => bump.allocate(request(0, 4096, 0n, 3000)))).toBe('table-request');
  });
});

describe('static tables', () => {
  const early = () =>
    new StaticTables([
      { name: 'early_pmd', level: 1, addresses: [0x1000n], covers: rangeOfSize(virt(0x8000_0000n), 1n << 30n) },
      { name: 'early_pud', level: 2, addresses: [0x2000n, 0x3000n] },
      { name: 'more_pud', level: 2, addresses: [0x4800n] },
    ]);

  it('are handed out by level and in order', () => {
    const tables = early();
    expect(tables.left(2)).toBe(3);
    expect(tables.allocate(request(2))).toBe(0x2000n);
    expect(tables.allocate(request(1, 4096, 0x8000_0000n))).toBe(0x1000n);
    expect(tables.allocate(request(2))).toBe(0x3000n);
    expect(tables.left(2)).toBe(1);
    // Only the last one of a pool comes back.
    tables.free(phys(0x2000n));
    expect(tables.left(2)).toBe(1);
    tables.free(phys(0x3000n));
    expect(tables.left(2)).toBe(2);
    expect(tables.allocate(request(2))).toBe(0x3000n);
  });

  it('say why there is none', () => {
    const tables = early();
    expect(rule(() => tables.allocate(request(0)))).toBe('static-level');
    expect(rule(() => tables.allocate(request(1, 4096, 0xc000_0000n)))).toBe('static-range');
    tables.allocate(request(1, 4096, 0x8000_0000n));
    expect(rule(() => tables.allocate(request(1, 4096, 0x8000_0000n)))).toBe('static-exhausted');
    tables.allocate(request(2));
    tables.allocate(request(2));
    expect(rule(() => tables.allocate(request(2)))).toBe('static-align');
    expect(tables.left(2)).toBe(1);
    expect(tables.allocate(request(2, 2048))).toBe(0x4800n);
    const twice = [{ name: 'a', level: 0, addresses: [0x1000n, 0x1000n] }];
    expect(rule(() => new StaticTables(twice))).toBe('static-twice');
  });
});

describe('free lists', () => {
  it('reuse the last freed table of the size first', () => {
    const lists = new FreeListAllocator(new BumpAllocator(0x10_0000n, 0x20_0000n));
    const [a, b] = [lists.allocate(request(0)), lists.allocate(request(0))];
    const c = lists.allocate(request(1, 16384));
    for (const table of [a, b]) lists.free(table, request(0));
    lists.free(c, request(1, 16384));
    expect(lists.available(4096)).toEqual([a, b]);
    expect(lists.allocate(request(2))).toBe(b);
    expect(lists.allocate(request(2))).toBe(a);
    expect(lists.allocate(request(1, 16384))).toBe(c);
    expect(lists.allocate(request(0))).toBe(0x10_8000n);
  });

  it('find a double free, respect alignment and can be empty', () => {
    const lists = new FreeListAllocator();
    expect(rule(() => lists.allocate(request(0)))).toBe('free-list-empty');
    lists.free(phys(0x8000n), request(0));
    lists.free(phys(0x3000n), request(0));
    expect(rule(() => lists.free(phys(0x8000n), request(0)))).toBe('double-free');
    expect(lists.available(4096)).toEqual([0x8000n, 0x3000n]);
    expect(lists.allocate(request(0, 4096, 0n, 8192))).toBe(0x8000n);
    expect(rule(() => lists.allocate(request(0, 4096, 0n, 8192)))).toBe('free-list-empty');
    lists.free(phys(0x8000n), request(0));
  });

  it('never have a table in use twice', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat()), { maxLength: 100 }), (steps) => {
        const lists = new FreeListAllocator(new BumpAllocator(0n, 1n << 30n));
        const used: bigint[] = [];
        for (const [take, pick] of steps) {
          if (take) used.push(lists.allocate(request(0)));
          else if (used.length > 0) lists.free(phys(used.splice(pick % used.length, 1)[0] ?? 0n), request(0));
          expect(new Set(used).size).toBe(used.length);
        }
      }),
    );
  });
});

describe('records and counts', () => {
  it('keep the order of events, failures excepted', () => {
    const record = new RecordingAllocator(new FreeListAllocator(new BumpAllocator(0x1000n, 0x2000n)));
    const table = record.allocate(request(1, 4096, 0x4000_0000n));
    expect(rule(() => record.allocate(request(0)))).toBe('bump-exhausted');
    record.free(table, request(1, 4096, 0x4000_0000n));
    expect(record.events).toEqual([
      { op: 'allocate', address: 0x1000n, level: 1, va: 0x4000_0000n },
      { op: 'free', address: 0x1000n, level: 1, va: 0x4000_0000n },
    ]);
  });

  it('charge pud, pmd and pte tables, not p4d tables and roots', () => {
    const counter = new TableCounter(new FreeListAllocator(new BumpAllocator(0n, 1n << 30n)), toyPaging(5));
    const tables = [0, 1, 2, 3, 4].map((level) => counter.allocate(request(level)));
    expect(counter.tables).toEqual({ pgd: 1, p4d: 1, pud: 1, pmd: 1, pte: 1 });
    expect(counter.pgtablesBytes).toBe(3 * 4096);
    tables.forEach((table, level) => {
      counter.free(table, request(level));
    });
    expect(counter.tables).toEqual({ pgd: 0, p4d: 0, pud: 0, pmd: 0, pte: 0 });
    expect(counter.pgtablesBytes).toBe(0);
  });

  it('do not charge a root, whatever its level', () => {
    for (const levels of [2, 3, 4, 5]) {
      const counter = new TableCounter(new BumpAllocator(0n, 1n << 30n), toyPaging(levels));
      counter.allocate(request(levels - 1));
      expect(counter.tables.pgd).toBe(1);
      expect(counter.pgtablesBytes).toBe(0);
    }
  });

  it('charge only the software half of a page that holds both tables', () => {
    const counter = new TableCounter(new BumpAllocator(0n, 1n << 30n), shortPaging);
    counter.allocate(request(0));
    expect(counter.pgtablesBytes).toBe(512 * 4);
  });

  it('leave a failing allocator uncounted', () => {
    const failing: TableAllocator = {
      allocate: () => {
        throw new OutOfTablesError('none', 'none');
      },
      free: () => undefined,
    };
    const counter = new TableCounter(failing, toyPaging(3));
    expect(rule(() => counter.allocate(request(0)))).toBe('none');
    expect(counter.tables.pte).toBe(0);
  });
});
