import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { virt } from '../src/address.ts';
import { PagefoldError } from '../src/errors.ts';
import { Memblock, type PhysRangeInput } from '../src/memblock.ts';

const range = (start: bigint, end: bigint): PhysRangeInput => ({ start, end });
const MIB = 1n << 20n;

function rule(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    expect(error).toBeInstanceOf(PagefoldError);
    return (error as PagefoldError).rule;
  }
  return 'none';
}

describe('memblock', () => {
  it('hands out the highest fitting address below the limit', () => {
    const block = new Memblock({
      memory: [range(0x8000_0000n, 0x9000_0000n)],
      reserved: [range(0x8fff_0000n, 0x9000_0000n)],
      limit: 0x8fff_8000n,
    });
    expect(block.physAlloc(4096n, 4096n)).toBe(0x8ffe_f000n);
    expect(block.physAlloc(4096n, 4096n)).toBe(0x8ffe_e000n);
    expect(block.physAlloc(MIB * 2n, MIB * 2n)).toBe(0x8fc0_0000n);
    expect(block.physAlloc(100n, 64n)).toBe(0x8ffe_df80n);
    block.limit = 0x8800_0000n;
    expect(block.physAlloc(4096n, 4096n)).toBe(0x87ff_f000n);
    expect(block.physAlloc(4096n, 4096n, { max: 0x9000_0000n })).toBe(0x8ffe_c000n);
    expect(block.physAlloc(4096n, 4096n, { min: 0x8700_0000n, max: 0x8700_2000n })).toBe(0x8700_1000n);
  });

  it('can search upwards and never hands out the page at 0', () => {
    const block = new Memblock({ memory: [range(0n, MIB)], bottomUp: true });
    expect(block.physAlloc(4096n, 4096n)).toBe(0x1000n);
    expect(block.physAlloc(8192n, 8192n)).toBe(0x2000n);
    block.bottomUp = false;
    expect(block.bottomUp).toBe(false);
    expect(block.physAlloc(4096n, 4096n)).toBe(0xf_f000n);
    const tiny = new Memblock({ memory: [range(0n, 4096n)] });
    expect(rule(() => tiny.physAlloc(64n, 64n))).toBe('memblock-exhausted');
    expect(new Memblock({ memory: [range(0n, 4096n)], guardBytes: 0n }).physAlloc(64n, 64n)).toBe(0xfc0n);
  });

  it('merges reservations, keeps nomap out and gives memory back', () => {
    const block = new Memblock({ memory: [range(MIB, 4n * MIB)], nomap: [range(3n * MIB, 4n * MIB)] });
    block.reserve(range(MIB, 2n * MIB));
    block.reserve(range(2n * MIB, 2n * MIB + 4096n));
    expect(block.reserved).toEqual([range(MIB, 2n * MIB + 4096n)]);
    expect(block.mappable).toEqual([range(MIB, 3n * MIB)]);
    expect([...block.freeRanges()]).toEqual([range(2n * MIB + 4096n, 3n * MIB)]);
    expect(block.physAlloc(4096n, 4096n)).toBe(3n * MIB - 4096n);
    expect(block.isReserved(range(3n * MIB - 4096n, 3n * MIB))).toBe(true);
    block.physFree(range(0n, 4n * MIB));
    expect(block.reserved).toEqual([]);
    block.clearNomap(range(3n * MIB, 4n * MIB + MIB));
    expect(block.nomap).toEqual([]);
    expect(block.mappable).toEqual([range(MIB, 4n * MIB)]);
    block.remove(range(0n, 2n * MIB));
    expect(block.memory).toEqual([range(2n * MIB, 4n * MIB)]);
    expect([block.isMemory(2n * MIB), block.isMemory(4n * MIB)]).toEqual([true, false]);
    block.markNomap(range(0n, 3n * MIB));
    block.add(range(0n, MIB));
    expect(block.mappable).toEqual([range(3n * MIB, 4n * MIB)]);
  });

  it('serves tables and finds a double free', () => {
    const block = new Memblock({ memory: [range(0n, MIB)] });
    const request = { level: 0, va: virt(0), bytes: 4096, alignBytes: 4096 };
    const table = block.allocate(request);
    expect(table).toBe(MIB - 4096n);
    block.free(table, request);
    expect(rule(() => block.free(table, request))).toBe('double-free');
    expect(block.allocate(request)).toBe(table);
  });

  it('refuses nonsense and changes nothing then', () => {
    const block = new Memblock({ memory: [range(0n, MIB)] });
    for (const [size, align] of [
      [0n, 4096n],
      [-1n, 4096n],
      [4096n, 0n],
      [4096n, 3n],
    ] as const) {
      expect(rule(() => block.physAlloc(size, align))).toBe('memblock-request');
    }
    expect(rule(() => block.add(range(0n, (1n << 56n) + 1n)))).toBe('phys-range');
    expect(rule(() => block.reserve(range(5n, 5n)))).toBe('range-empty');
    expect(rule(() => (block.limit = (1n << 56n) + 1n))).toBe('phys-range');
    expect(rule(() => block.physAlloc(MIB, 4096n))).toBe('memblock-exhausted');
    expect(block.reserved).toEqual([]);
    expect(block.limit).toBe(1n << 56n);
  });

  it('agrees with a search over single pages', () => {
    const PAGES = 48;
    const piece = fc.tuple(fc.nat(PAGES - 1), fc.integer({ min: 1, max: 12 }));
    const toRange = ([at, pages]: readonly [number, number]) =>
      range(BigInt(at) * 4096n, BigInt(Math.min(at + pages, PAGES)) * 4096n);
    const marks = (ranges: (readonly [number, number])[]) => {
      const set = new Set<number>();
      for (const [at, pages] of ranges) for (let i = at; i < Math.min(at + pages, PAGES); i++) set.add(i);
      return set;
    };
    fc.assert(
      fc.property(
        fc.array(piece, { minLength: 1, maxLength: 4 }),
        fc.array(piece, { maxLength: 5 }),
        fc.array(piece, { maxLength: 2 }),
        fc.array(fc.tuple(fc.integer({ min: 1, max: 6 }), fc.constantFrom(1, 2, 4, 8)), { maxLength: 12 }),
        fc.boolean(),
        fc.integer({ min: 1, max: PAGES }),
        (memory, reserved, nomap, requests, bottomUp, limit) => {
          const block = new Memblock({
            memory: memory.map(toRange),
            reserved: reserved.map(toRange),
            nomap: nomap.map(toRange),
            bottomUp,
            limit: BigInt(limit) * 4096n,
          });
          const [ram, used, hidden] = [marks(memory), marks(reserved), marks(nomap)];
          const isFree = (page: number) => ram.has(page) && !used.has(page) && !hidden.has(page);
          for (const [pages, align] of requests) {
            // The slow reference: try every page, from the end that the search starts at.
            let found: number | undefined;
            for (let i = 0; i < PAGES && found === undefined; i++) {
              const at = bottomUp ? i : PAGES - 1 - i;
              const all = Array.from({ length: pages }, (_, n) => at + n);
              if (at > 0 && at % align === 0 && at + pages <= limit && all.every(isFree)) found = at;
            }
            const asked = [BigInt(pages) * 4096n, BigInt(align) * 4096n] as const;
            expect(block.find(...asked)).toBe(found === undefined ? undefined : BigInt(found) * 4096n);
            if (found === undefined) continue;
            expect(block.physAlloc(...asked)).toBe(BigInt(found) * 4096n);
            for (let i = 0; i < pages; i++) used.add(found + i);
          }
          const free = [...block.freeRanges()];
          expect([...block.freeRangesDown()].reverse()).toEqual(free);
          for (let page = 0; page < PAGES; page++) {
            const at = BigInt(page) * 4096n;
            expect(free.some(({ start, end }) => start <= at && at < end)).toBe(isFree(page));
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  it('is fast on a machine with a terabyte', () => {
    const block = new Memblock({ memory: [range(1n << 31n, 1n << 40n), range(1n << 52n, (1n << 56n) - 4096n)] });
    for (let i = 0; i < 1000; i++)
      block.reserve(range((1n << 32n) + BigInt(i) * 8n * MIB, (1n << 32n) + BigInt(i) * 8n * MIB + MIB));
    const before = performance.now();
    for (let i = 0; i < 50_000; i++) block.physAlloc(4096n, 4096n);
    expect(performance.now() - before).toBeLessThan(5000);
    expect(block.reserved).toHaveLength(1001);
  });
});
