import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { phys, virt } from '../src/address.ts';
import { BumpAllocator, FreeListAllocator, RecordingAllocator } from '../src/allocators.ts';
import { populateEarlyShadow, type SharedShadow } from '../src/early-shadow.ts';
import { freePageTables } from '../src/free-range.ts';
import { TABLE_NAMES, type TableName } from '../src/geometry.ts';
import { createNames, type LinuxNames, type Slot } from '../src/linux-names.ts';
import { readWord, SparseMemory, writeWord } from '../src/memory.ts';
import type { Paging } from '../src/paging.ts';
import { type PageWalk, type WalkOps, walkPageRange } from '../src/walk-page-range.ts';
import { builtPaging, longPaging, reindexPaging, shortPaging, toyLeaf, toyPaging, toyTable } from './toy-format.ts';

const ROOT = phys(0x10_0000n);

function tree(paging: Paging) {
  const memory = new SparseMemory();
  const allocator = new RecordingAllocator(new FreeListAllocator(new BumpAllocator(0x100_0000n, 1n << 40n)));
  return { memory, allocator, names: createNames(memory, paging, { allocator }) };
}

function slotOf(names: LinuxNames, va: bigint, name: TableName = 'pte'): Slot {
  let slot: Slot = names.pgd.offset(ROOT, va);
  for (const each of TABLE_NAMES.slice(1, TABLE_NAMES.indexOf(name) + 1)) slot = names.byName(each).alloc(slot, va);
  return slot;
}

const FOLDED: [string, Paging][] = [
  ['2 levels', toyPaging(2)],
  ['3 levels', toyPaging(3)],
  ['4 levels', toyPaging(4)],
  ['5 levels', toyPaging(5)],
  ['3 levels, counts as built', builtPaging(3)],
  ['4 of 5 levels, looked up again', reindexPaging],
];

/** Ranges around the boundaries of all levels of the lower half, in pages. */
const near = fc
  .tuple(fc.constantFrom(0n, 0x20_0000n, 0x1fe0_0000n), fc.integer({ min: 0, max: 6 }), fc.integer({ min: -3, max: 3 }))
  .map(([base, pmds, pages]) => base + BigInt(pmds) * 0x20_0000n + BigInt(pages) * 4096n)
  .filter((va) => va >= 0n);

const quads = fc.uniqueArray(near, { minLength: 4, maxLength: 4 }).map((list) => list.sort((a, b) => (a < b ? -1 : 1)));

describe.each(FOLDED)('freeing tables of %s', (_, paging) => {
  it('frees exactly those whose span lies between floor and ceiling', () => {
    fc.assert(
      fc.property(quads, fc.boolean(), fc.boolean(), (sorted, bottom, openTop) => {
        const [low, addr, end, high] = sorted as [bigint, bigint, bigint, bigint];
        const bounds = { floor: bottom ? 0n : low, ceiling: openTop ? 0n : high };
        const { allocator, names } = tree(paging);
        for (let va = addr & names.pmd.mask; va < end; va += names.pmd.size) slotOf(names, va);
        const made = allocator.events.length;
        const freed = freePageTables(names, ROOT, addr, end, bounds);
        // The slow reference: each table that was made, judged by its span alone.
        const expected = allocator.events.slice(0, made).filter(({ level, va }) => {
          const { shift, entries } = paging.codec(level).level;
          const span = BigInt(entries) << BigInt(shift);
          return va >= bounds.floor && (bounds.ceiling === 0n || va + span <= bounds.ceiling);
        });
        const order = (list: bigint[]) => list.sort((a, b) => (a < b ? -1 : 1));
        expect(order(freed.map(({ address }) => address))).toEqual(order(expected.map(({ address }) => address)));
        const given = allocator.events.slice(made);
        expect(given.map(({ op, address, va }) => [op, address, va])).toEqual(
          freed.map(({ address, start }) => ['free', address, start]),
        );
        // Nothing that was freed can be reached any more, nothing else was lost.
        const left = new Set(expected.map(({ address }) => address));
        const seen: bigint[] = [];
        for (const { level, va, address } of allocator.events.slice(0, made)) {
          const above = TABLE_NAMES.filter((name) => names[name].level === level + 1).at(-1) as TableName;
          let slot: Slot | undefined = names.pgd.offset(ROOT, va);
          for (const name of TABLE_NAMES.slice(1, TABLE_NAMES.indexOf(above) + 1)) {
            const upper = names.byName(TABLE_NAMES[TABLE_NAMES.indexOf(name) - 1] as TableName);
            if (upper.none(slot.load())) {
              slot = undefined;
              break;
            }
            slot = names.byName(name).offset(slot, va);
          }
          if (slot !== undefined && !names.byName(above).none(slot.load())) seen.push(address);
        }
        const kept = allocator.events.slice(0, made).filter(({ address }) => !left.has(address));
        expect(order(seen)).toEqual(order(kept.map(({ address }) => address)));
      }),
      { numRuns: 60 },
    );
  });
});

describe('freeing tables', () => {
  it('reaches the top of the space with an end of 0', () => {
    for (const [paging, top] of [
      [toyPaging(3), 1n << 64n],
      [longPaging, 1n << 32n],
      [shortPaging, 1n << 32n],
    ] as const) {
      for (const end of [0n, top]) {
        const { names } = tree(paging);
        slotOf(names, top - 0x1000n);
        const freed = freePageTables(names, ROOT, top - 0x20_0000n, end);
        expect(freed.map(({ name }) => name)).toEqual(paging === shortPaging ? ['pte'] : ['pte', 'pmd']);
        expect(freed[0]?.start).toBe(top - 0x20_0000n);
        expect(readWord(names.memory, names.pgd.offset(ROOT, top - 1n).address, paging.format.entryBytes)).toBe(0n);
      }
    }
  });

  it('skips holes, cleans up bad words and refuses empty ranges', () => {
    const { memory, names } = tree(toyPaging(4));
    expect(freePageTables(names, ROOT, 0n, 1n << 40n)).toEqual([]);
    const pmd = slotOf(names, 0x20_0000n, 'pmd');
    writeWord(memory, pmd.address, 0x20_0001n);
    expect(freePageTables(names, ROOT, 0x20_0000n, 0x40_0000n, { floor: 0x1000n })).toEqual([]);
    expect(pmd.load()).toBe(0n);
    expect(() => freePageTables(names, ROOT, 0x1000n, 0x1000n)).toThrow(/free-range/);
    // Floor and ceiling that leave no whole table.
    expect(freePageTables(names, ROOT, virt(-4096n), 0n, { floor: virt(-4096n) })).toEqual([]);
    expect(freePageTables(names, ROOT, 0n, 0x1000n, { ceiling: 0x1000n })).toEqual([]);
  });
});

/** Every page of a range as single looks at the tree give it: what a walk must cover, in order and without gap. */
function recordingOps(events: [string, bigint, bigint][], more: Partial<WalkOps> = {}): WalkOps {
  const entry = (name: string) => (_slot: Slot, addr: bigint, next: bigint) => {
    events.push([name, addr, next]);
    return undefined;
  };
  return {
    pgd: entry('pgd'),
    p4d: entry('p4d'),
    pud: entry('pud'),
    pmd: entry('pmd'),
    pte: entry('pte'),
    hole: (addr, next, depth) => {
      events.push([`hole${depth}`, addr, next]);
      return undefined;
    },
    ...more,
  };
}

describe.each(FOLDED)('walking %s', (_, paging) => {
  it('covers the range once with leaves, ptes and holes', () => {
    fc.assert(
      fc.property(fc.array(near, { maxLength: 4 }), near, fc.bigInt(1n, 0x60_0000n), (mapped, from, bytes) => {
        const { names } = tree(paging);
        for (const va of mapped) slotOf(names, va);
        const events: [string, bigint, bigint][] = [];
        const end = from + bytes - (bytes % 4096n) + 4096n;
        expect(walkPageRange(names, ROOT, from, end, recordingOps(events))).toBe(0);
        const covered = events.filter(([name]) => name === 'pte' || name.startsWith('hole'));
        expect(covered[0]?.[1]).toBe(from);
        expect(covered.at(-1)?.[2]).toBe(end);
        covered.forEach(([, addr], i) => {
          if (i > 0) expect(covered[i - 1]?.[2]).toBe(addr);
        });
        const hasTable = (va: bigint) => mapped.some((each) => each / 0x20_0000n === va / 0x20_0000n);
        for (const [name, addr] of covered) expect(name === 'pte').toBe(hasTable(addr));
        // A hole is reported at the depth of a name that has tables (or at the root).
        for (const [name] of covered) {
          const depth = name.startsWith('hole') ? Number(name.slice(4)) : 4;
          expect(names[TABLE_NAMES[depth] as TableName].folded).toBe(false);
        }
      }),
      { numRuns: 30 },
    );
  });
});

describe('walking', () => {
  it('ends with what a callback answers', () => {
    const { names } = tree(toyPaging(3));
    slotOf(names, 0x1000n);
    for (const name of TABLE_NAMES) {
      const events: [string, bigint, bigint][] = [];
      const stop = { [name]: () => -5 } as Partial<WalkOps>;
      expect(walkPageRange(names, ROOT, 0n, 0x40_0000n, recordingOps(events, stop))).toBe(-5);
      expect(events.map(([each]) => each)).toEqual(TABLE_NAMES.slice(0, TABLE_NAMES.indexOf(name)));
    }
    expect(walkPageRange(names, ROOT, 0x20_0000n, 0x40_0000n, { pte: () => 1, hole: () => 7 })).toBe(7);
  });

  it('goes on, looks again or goes below as pud and pmd callbacks want', () => {
    const { memory, names } = tree(toyPaging(4));
    slotOf(names, 0x1000n);
    const pmd = slotOf(names, 0x20_0000n, 'pmd');
    writeWord(memory, pmd.address, 0x20_0001n);
    const seen: string[] = [];
    let turns = 0;
    walkPageRange(names, ROOT, 0n, 0x60_0000n, {
      pmd: (slot, addr, _next, walk: PageWalk) => {
        seen.push(`pmd ${addr.toString(16)} ${walk.action}`);
        if (addr === 0n) walk.action = 'continue';
        // As a split does: the huge entry becomes a table, then it is looked at again.
        if (addr === 0x20_0000n && turns++ === 0) {
          names.pmd.populate(slot, names.pte.allocOne(addr) ?? phys(0n));
          walk.action = 'again';
        }
        return undefined;
      },
      pte: (_slot, addr) => {
        if (addr % 0x20_0000n === 0n) seen.push(`pte ${addr.toString(16)}`);
        return undefined;
      },
      hole: (addr, _next, depth) => {
        seen.push(`hole ${addr.toString(16)} ${depth}`);
        return undefined;
      },
    });
    expect(seen).toEqual(['pmd 0 subtree', 'pmd 200000 subtree', 'pmd 200000 subtree', 'pte 200000', 'hole 400000 3']);
  });

  it('reports leaves and words that are not present, and never goes below them', () => {
    const { memory, names } = tree(toyPaging(4));
    for (const word of [0x4000_0001n, 0x4000_0002n]) {
      for (const name of ['pud', 'pmd'] as const) {
        writeWord(memory, slotOf(names, 0n, name).address, word);
        const events: [string, bigint, bigint][] = [];
        walkPageRange(names, ROOT, 0n, 0x1000n, recordingOps(events));
        expect(events.at(-1)).toEqual([name, 0n, 0x1000n]);
        writeWord(memory, slotOf(names, 0n, name === 'pud' ? 'pud' : 'pmd').address, 0n);
      }
    }
  });

  it('clears bad words at the top two names', () => {
    const { memory, names } = tree(toyPaging(5));
    const p4d = slotOf(names, 0n, 'p4d');
    writeWord(memory, p4d.address, 0x5001n);
    const events: [string, bigint, bigint][] = [];
    walkPageRange(names, ROOT, 0n, 0x1000n, recordingOps(events));
    expect(events.map(([name]) => name)).toEqual(['pgd', 'hole1']);
    expect(p4d.load()).toBe(0n);
  });

  it('reaches the last page of a word of 32 and of 64 bits', () => {
    for (const [paging, top] of [
      [toyPaging(4), 1n << 64n],
      [shortPaging, 1n << 32n],
      [longPaging, 1n << 32n],
    ] as const) {
      const { names } = tree(paging);
      slotOf(names, top - 0x1000n);
      const events: [string, bigint, bigint][] = [];
      walkPageRange(names, ROOT, top - 0x2000n, top, recordingOps(events));
      expect(events.filter(([name]) => name === 'pte')).toEqual([
        ['pte', top - 0x2000n, top - 0x1000n],
        ['pte', top - 0x1000n, top],
      ]);
      expect(() => walkPageRange(names, ROOT, 0n, top + 1n, {})).toThrow(/walk-range/);
      expect(() => walkPageRange(names, ROOT, 0x1000n, 0n, {})).toThrow(/walk-range/);
      expect(() => walkPageRange(names, ROOT, 0x1000n, 0x1000n, {})).toThrow(/walk-range/);
    }
  });
});

const shared: SharedShadow = {
  p4d: phys(0x20_0000n),
  pud: phys(0x20_1000n),
  pmd: phys(0x20_2000n),
  pte: phys(0x20_3000n),
  pageEntry: toyLeaf(0x20_4000n),
};

describe('early shadow over a whole root', () => {
  it('fills every entry, also where one pgd entry as built stands for all of them', () => {
    for (const [paging, start] of [
      [toyPaging(4), 0xffff_0000_0000_0000n],
      [reindexPaging, 0xffff_0000_0000_0000n],
      [toyPaging(5), 0xfe00_0000_0000_0000n],
    ] as const) {
      const { memory, allocator, names } = tree(paging);
      populateEarlyShadow(names, ROOT, start, 0n, shared);
      const target = paging.geometry.levels.length === 5 ? shared.p4d : shared.pud;
      for (let i = 0n; i < 512n; i++) expect(readWord(memory, phys(ROOT + i * 8n))).toBe(toyTable(target));
      expect(allocator.events).toEqual([]);
    }
  });
});

describe.each(FOLDED)('early shadow over %s', (_, paging) => {
  // Two levels translate 1 GiB only; with more, the range may hold whole entries of the third.
  const limit = paging.geometry.vaBits === 30 ? 0x1000_0000n : 0xc000_0000n;

  it('shows the shared page everywhere in the range and nothing outside', () => {
    fc.assert(
      fc.property(fc.oneof(near, fc.constant(0n)), fc.bigInt(0n, limit), (start, bytes) => {
        const { memory, allocator, names } = tree(paging);
        for (let i = 0n; i < 512n; i++) {
          writeWord(memory, phys(shared.pte + i * 8n), shared.pageEntry);
          writeWord(memory, phys(shared.pmd + i * 8n), toyTable(shared.pte));
          writeWord(memory, phys(shared.pud + i * 8n), toyTable(shared.pmd));
          writeWord(memory, phys(shared.p4d + i * 8n), toyTable(shared.pud));
        }
        const end = start + 4096n + bytes - (bytes % 4096n);
        // The last 100 bytes are no page and stay unmapped.
        populateEarlyShadow(names, ROOT, start, end + 100n, shared);
        const read = (va: bigint): bigint => {
          let table: bigint = ROOT;
          for (const { shift, level } of [...paging.geometry.levels].reverse()) {
            const word = readWord(memory, phys(table + ((va >> BigInt(shift)) % 512n) * 8n));
            if (level === 0 || word === 0n) return word;
            table = word & ~0xfffn;
          }
          return 0n;
        };
        const middle = start + ((end - start) / 8192n) * 4096n;
        for (const va of [start, start + 4096n, middle, end - 4096n]) {
          if (va < end) expect(read(va)).toBe(shared.pageEntry);
        }
        expect(read(end)).toBe(0n);
        if (start > 0n) expect(read(start - 4096n)).toBe(0n);
        // Own tables only at the two edges: at most two of each level.
        for (const { level } of paging.geometry.levels) {
          expect(allocator.events.filter((event) => event.level === level).length).toBeLessThanOrEqual(2);
        }
        for (const at of [shared.p4d, shared.pud, shared.pmd, shared.pte]) {
          for (let i = 1n; i < 512n; i++) {
            expect(readWord(memory, phys(at + i * 8n)) === readWord(memory, at)).toBe(true);
          }
        }
      }),
      { numRuns: 15 },
    );
  });

  it('refuses a range that is empty or begins inside a page', () => {
    const { names } = tree(paging);
    expect(() => populateEarlyShadow(names, ROOT, 0x1000n, 0x1000n, shared)).toThrow(/shadow-range/);
    expect(() => populateEarlyShadow(names, ROOT, 0x1001n, 0x3000n, shared)).toThrow(/shadow-range/);
  });
});
